//! S6 and S12: how often a record is tried, and who pays for what.

use super::Findings;
use super::facts::{Facts, PartitionFacts, RecordFacts};
use crate::history::{Answer, Call, Fate, Micros, OnExhausted, Rules, micros};

pub(super) fn check(facts: &Facts<'_>, partition: &PartitionFacts<'_>, findings: &mut Findings) {
    for record in partition.records.iter().filter(|record| !record.calls.is_empty()) {
        let number = partition.tp;
        let mut wrong = |invariant, what: String| {
            findings.add(invariant, || format!("partition {number}: {what}: {}", record.story()));
        };
        if let Some(what) = too_many(facts.rules(), record) {
            wrong("S6", what);
        }
        for pair in record.calls.windows(2) {
            let [one, next] = pair else { continue };
            if let Some((invariant, what)) = miscounted(facts, one, next) {
                wrong(invariant, what);
            }
        }
        if let Some(what) = innocent(facts, record) {
            wrong("S12", what);
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

/// What one call cost is what the next one counts, unless the worker that knew had no chance to tell. What a batch cost none of its
/// records is S12's business.
fn miscounted(facts: &Facts<'_>, one: &Call, next: &Call) -> Option<(&'static str, String)> {
    let told = facts.history.disturbed(one.worker, one.start, next.start).is_none();
    let blocked = facts.rules().on_exhausted == OnExhausted::Block && one.attempt >= facts.rules().max_attempts;
    if one.answer.is_final() || blocked {
        return None; // a repetition of what was done: S7's business
    }
    // An answer that came at the last moment may have come too late to be heard.
    let in_time = one.end - one.start < micros(facts.rules().timeout.min(facts.rules().drain)) / 2;
    let (least, most) = match one.answer {
        Answer::Failed | Answer::Garbage if told && in_time => (one.attempt + 1, one.attempt + 1),
        _ if !one.may_be_charged() => (if told { one.attempt } else { 1 }, one.attempt),
        _ => (if told { one.attempt } else { 1 }, one.attempt + 1),
    };
    // A call that nobody saw may have broken in between, and alone.
    let unseen = facts.history.unseen(next.worker, one.start, next.start) + facts.history.unread(one.tp, one.offset);
    let most = most.saturating_add(unseen);
    let invariant = if next.attempt > most && !one.is_alone() { "S12" } else { "S6" };
    (next.attempt < least || next.attempt > most).then(|| {
        let (attempt, answer, company, then) = (one.attempt, one.answer, one.company, next.attempt);
        (invariant, format!("attempt {attempt} ended as {answer:?} among {company}, and the next was attempt {then}"))
    })
}

/// A record that was not refused by a verdict of its own is never given up before it had all its attempts to itself.
fn innocent(facts: &Facts<'_>, record: &RecordFacts<'_>) -> Option<String> {
    let rules = facts.rules();
    let refused = record.record.fate == Fate::Refused && record.calls.iter().any(|call| call.answer == Answer::Reject);
    if record.letters.is_empty() || refused {
        return None;
    }
    let own = record.chargeable(facts.history, Micros::MAX);
    (own < rules.max_attempts)
        .then(|| format!("given up after {own} failures of its own, of {} allowed", rules.max_attempts))
}
