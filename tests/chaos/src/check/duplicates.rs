//! S7: what is done twice, and whether it had to be.

use std::collections::BTreeMap;

use penstock_crds::checkpoint::Checkpoint;

use super::Findings;
use super::facts::{Facts, PartitionFacts, RecordFacts};
use crate::history::{Answer, Call, Forwarded, Micros, micros, start_of};

pub(super) fn check(facts: &Facts<'_>, partition: &PartitionFacts<'_>, findings: &mut Findings) {
    let firsts = first_commits(partition);
    for record in &partition.records {
        let repeated = repeated_call(facts, record).or_else(|| forgotten(partition, &firsts, record));
        for what in repeated.into_iter().chain(repeated_forward(facts, record)) {
            findings.add("S7", || format!("partition {}: {what}: {}", partition.tp, record.story()));
        }
    }
}

/// Where in the order of commits each owner begins.
fn first_commits(partition: &PartitionFacts<'_>) -> BTreeMap<u64, usize> {
    let mut firsts = BTreeMap::new();
    for (index, (_, checkpoint)) in partition.commits.iter().enumerate() {
        if let Ok(checkpoint) = checkpoint {
            firsts.entry(checkpoint.owner).or_insert(index);
        }
    }
    firsts
}

/// A call after the record was done must have a reason: the worker that knew could not tell.
fn repeated_call(facts: &Facts<'_>, record: &RecordFacts<'_>) -> Option<String> {
    let (settled, done) = (record.settled?, record.done_at(facts.rules())?);
    let knew = record.calls.iter().find(|call| call.end == settled.at)?;
    let again = record.calls.iter().find(|call| call.start > done)?;
    if may_be_unheard(facts, knew) || !knew.answer.is_final() {
        return None; // exhausted by attempts: which call was the last one is the worker's knowledge
    }
    let disturbed = facts.history.disturbances_of(knew.worker, settled.at, again.start);
    let Some(disturbance) = disturbed.min_by_key(|disturbance| disturbance.from) else {
        return Some("called again although the worker that had its answer was not disturbed".to_owned());
    };
    let unsaid = disturbance.from.saturating_sub(done);
    (unsaid > micros(facts.rules().commit_within))
        .then(|| format!("called again although {} ms passed between its end and {}", unsaid / 1000, disturbance.what))
}

/// The answer came so late that the worker may have hung up at the same moment.
fn may_be_unheard(facts: &Facts<'_>, call: &Call) -> bool {
    let rules = facts.rules();
    call.end - call.start >= micros(rules.timeout.min(rules.drain)) / 2
}

/// A call by an owner who could read in the checkpoint before its own first commit that the record is done.
fn forgotten(
    partition: &PartitionFacts<'_>,
    firsts: &BTreeMap<u64, usize>,
    record: &RecordFacts<'_>,
) -> Option<String> {
    let settled: Micros = record.settled?.at;
    let again = record.calls.iter().filter(|call| call.start > settled);
    for call in again {
        let Some(first) = firsts.get(&call.owner) else { continue };
        let Some((commit, Ok(read))) = first.checked_sub(1).and_then(|index| partition.commits.get(index)) else {
            continue;
        };
        if commit.offset > record.record.offset || claims(read, record.record.offset) {
            let owner = call.owner;
            return Some(format!("owner {owner} called again what it had read as done"));
        }
    }
    None
}

fn claims(checkpoint: &Checkpoint, offset: i64) -> bool {
    checkpoint.done.iter().any(|run| run.contains(&offset))
}

/// A second dead letter or output must have a reason too: each comes of a call of its own, or of a disturbance in between.
fn repeated_forward(facts: &Facts<'_>, record: &RecordFacts<'_>) -> Option<String> {
    let last = facts.rules().max_attempts;
    let cause = |call: &&&Call| matches!(call.answer, Answer::Ack | Answer::Reject) || call.attempt >= last;
    let causes = record.calls.iter().filter(cause).count();
    let one_each = |what: &str, forwarded: &[&Forwarded]| {
        let [first, .., last] = forwarded else { return None };
        let disturbed = facts.history.disturbances.iter().any(|disturbance| {
            disturbance.until >= start_of(first.appended).saturating_sub(1_000_000)
                && disturbance.from <= start_of(last.appended) + 1_000_000
        });
        (!disturbed && forwarded.len() > causes.max(1))
            .then(|| format!("{} {what}s of {causes} calls, and nothing was disturbed", forwarded.len()))
    };
    one_each("dead letter", &record.letters).or_else(|| one_each("output", &record.outputs))
}
