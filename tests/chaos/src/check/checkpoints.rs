//! S8, S10 and S11: what checkpoints claim, and who wrote them.

use std::collections::{BTreeMap, BTreeSet};

use penstock_crds::checkpoint::{Checkpoint, ErrorClass};

use super::Findings;
use super::facts::{Facts, PartitionFacts, clock};
use crate::history::{Commit, History, end_of};

pub(super) fn check(facts: &Facts<'_>, partition: &PartitionFacts<'_>, findings: &mut Findings) {
    let mut owner = 0;
    for (commit, checkpoint) in &partition.commits {
        let at = clock(end_of(commit.at) - 999);
        match checkpoint {
            Err(rejected) => {
                let offset = commit.offset;
                let what = || format!("partition {}: the commit of {offset} at {at}: {rejected}", partition.tp);
                findings.add("S8", what);
            }
            Ok(checkpoint) => {
                if checkpoint.owner < owner {
                    let was = checkpoint.owner;
                    findings.add("S10", || {
                        format!("partition {}: owner {was} committed at {at}, after owner {owner}", partition.tp)
                    });
                }
                owner = owner.max(checkpoint.owner);
                claims(facts, partition, commit, checkpoint, findings);
                failures(partition, commit, checkpoint, findings);
            }
        }
    }
    epochs(partition, findings);
    owners(partition, findings);
}

/// S8: an offset behind a record is committed with that record's leader epoch, or nobody could tell that the log was truncated.
fn epochs(partition: &PartitionFacts<'_>, findings: &mut Findings) {
    let first = partition.records.first().map_or(i64::MAX, |record| record.record.offset);
    for (commit, _) in partition.commits.iter().filter(|(commit, _)| commit.offset > first && commit.leader_epoch < 0) {
        let (offset, at) = (commit.offset, clock(end_of(commit.at) - 999));
        findings
            .add("S8", || format!("partition {}: {offset} was committed at {at} without leader epoch", partition.tp));
    }
}

/// S8: what a checkpoint says is done was done when it was written.
fn claims(
    facts: &Facts<'_>,
    partition: &PartitionFacts<'_>,
    commit: &Commit,
    checkpoint: &Checkpoint,
    findings: &mut Findings,
) {
    for run in &checkpoint.done {
        for record in partition.span(run.start, run.end) {
            if !record.is_done(facts.rules(), commit.at) {
                let at = clock(end_of(commit.at) - 999);
                findings.add("S8", || {
                    format!("partition {}: at {at} a checkpoint said done: {}", partition.tp, record.story())
                });
            }
        }
    }
}

/// S8: only records fail. S11: an outage charges nobody.
fn failures(partition: &PartitionFacts<'_>, commit: &Commit, checkpoint: &Checkpoint, findings: &mut Findings) {
    let at = || clock(end_of(commit.at) - 999);
    for failing in &checkpoint.failing {
        let Some(record) = partition.record(failing.offset) else {
            let offset = failing.offset;
            let what =
                || format!("partition {}: at {} offset {offset} was failing, where no record is", partition.tp, at());
            findings.add("S8", what);
            continue;
        };
        if matches!(failing.class, ErrorClass::Unreachable | ErrorClass::Misconfigured) {
            let class = failing.class.as_str();
            findings.add("S11", || {
                format!("partition {}: at {} {class} was charged: {}", partition.tp, at(), record.story())
            });
        }
    }
}

/// S8: a checkpoint is cut to what the broker takes. A commit that is refused lies nowhere; the worker counted it.
pub(super) fn check_workers(history: &History, findings: &mut Findings) {
    for (number, worker) in history.workers.iter().enumerate() {
        let refused = worker.metrics.map_or(0, |metrics| metrics.metadata_too_large);
        if refused > 0 {
            findings.add("S8", || {
                format!("worker {number}: {refused} commits were refused, for their checkpoints were too long for the broker")
            });
        }
    }
}

/// S10: an owner number is one worker's.
fn owners(partition: &PartitionFacts<'_>, findings: &mut Findings) {
    let mut owners: BTreeMap<u64, BTreeSet<u32>> = BTreeMap::new();
    for call in partition.records.iter().flat_map(|record| &record.calls) {
        owners.entry(call.owner).or_default().insert(call.worker);
    }
    for (owner, workers) in owners.into_iter().filter(|(_, workers)| workers.len() > 1) {
        let number = partition.tp;
        findings.add("S10", || format!("partition {number}: workers {workers:?} all called as owner {owner}"));
    }
}
