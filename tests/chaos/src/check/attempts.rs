//! S6 and S12: how often a record is tried, and what one call cost.

use super::Findings;
use super::facts::{Facts, PartitionFacts, RecordFacts};
use crate::history::{Answer, Call, OnExhausted, Rules, micros};

pub(super) fn check(facts: &Facts<'_>, partition: &PartitionFacts<'_>, findings: &mut Findings) {
    for record in partition.records.iter().filter(|record| !record.calls.is_empty()) {
        let number = partition.tp;
        let mut wrong = |invariant, what: String| {
            findings.add(invariant, || format!("partition {number}: {what}: {}", record.story()));
        };
        if let Some(what) = too_many(facts.rules(), record) {
            wrong("S6", what);
        }
        if let Some(what) = forgotten(facts.rules(), partition, record) {
            wrong("S6", what);
        }
        for pair in record.calls.windows(2) {
            let [one, next] = pair else { continue };
            if let Some((invariant, what)) = miscounted(facts, record, (one, next)) {
                wrong(invariant, what);
            }
        }
    }
}

/// No attempt beyond the last one.
fn too_many(rules: &Rules, record: &RecordFacts<'_>) -> Option<String> {
    let most = record.calls.iter().map(|call| call.attempt).max().unwrap_or_default();
    // What blocks is tried on and on, and charged no more: the number stays.
    let allowed = rules.max_attempts + u32::from(rules.on_exhausted == OnExhausted::Block);
    (most > allowed).then(|| format!("attempt {most} of {}", rules.max_attempts))
}

/// A call by an owner who could read in the checkpoint before its own first commit that more attempts had been charged: whatever befell
/// the one before it.
fn forgotten(rules: &Rules, partition: &PartitionFacts<'_>, record: &RecordFacts<'_>) -> Option<String> {
    record.calls.iter().find_map(|call| {
        let (_, read) = partition.read_by(call.owner)?;
        let charged = read.failing.iter().find(|failing| failing.offset == record.record.offset)?.attempts;
        let (owner, attempt) = (call.owner, call.attempt);
        (attempt < (charged + 1).min(rules.max_attempts))
            .then(|| format!("owner {owner} called as attempt {attempt} what it had read as charged {charged}"))
    })
}

/// What one call cost is what the next one counts, unless the worker that knew had no chance to tell. What a batch cost none of its
/// records is S12's business.
fn miscounted(
    facts: &Facts<'_>,
    record: &RecordFacts<'_>,
    (one, next): (&Call, &Call),
) -> Option<(&'static str, String)> {
    let (history, rules) = (facts.history, facts.rules());
    let told = history.disturbed(one.worker, one.start, next.start).is_none();
    let blocked = rules.on_exhausted == OnExhausted::Block && one.attempt >= rules.max_attempts;
    if one.answer.is_final() || blocked {
        return None; // a repetition of what was done: S7's business
    }
    // An answer that came at the last moment may have come too late to be heard.
    let limit = micros(rules.timeout.min(rules.drain));
    let late = history.late.within(one.start, one.end.saturating_add(limit));
    let in_time = (one.end - one.start).saturating_add(late) < limit / 2;
    let (least, most) = match one.answer {
        Answer::Failed | Answer::Garbage if told && in_time => (one.attempt + 1, one.attempt + 1),
        _ if !record.may_be_charged(one, history) => (if told { one.attempt } else { 1 }, one.attempt),
        _ => (if told { one.attempt } else { 1 }, one.attempt + 1),
    };
    // Calls that nobody saw may have been charged in between.
    let unseen = record.unseen_between(history, one, next.start).len();
    let most = most.saturating_add(u32::try_from(unseen).unwrap_or(u32::MAX));
    let most = most.saturating_add(history.unread(one.tp, one.offset));
    let invariant = if next.attempt > most && !one.is_alone() { "S12" } else { "S6" };
    (next.attempt < least || next.attempt > most).then(|| {
        let (attempt, answer, company, then) = (one.attempt, one.answer, one.company, next.attempt);
        (invariant, format!("attempt {attempt} ended as {answer:?} among {company}, and the next was attempt {then}"))
    })
}
