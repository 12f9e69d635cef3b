//! S1–S4: what commits say against what had been done.

use penstock_crds::checkpoint::{Checkpoint, Rejected};

use super::Findings;
use super::facts::{Facts, PartitionFacts, clock};
use crate::history::{Micros, end_of};

pub(super) fn check(facts: &Facts<'_>, partition: &PartitionFacts<'_>, findings: &mut Findings) {
    lost(facts, partition, findings);
    ahead(facts, partition, findings);
    backwards(facts, partition, findings);
}

/// S1: every record came to an end, and what was to be written of it is there.
fn lost(facts: &Facts<'_>, partition: &PartitionFacts<'_>, findings: &mut Findings) {
    let rules = facts.rules();
    for record in &partition.records {
        let lost = match record.settled {
            None if facts.history.caught_up.is_none() => continue, // L1 says so
            None => "was never done",
            Some(_) if record.is_forwarded(rules, i64::MAX) => continue,
            Some(_) => "was done, and its dead letter or output is not there",
        };
        findings.add("S1", || format!("partition {}: a record {lost}: {}", partition.tp, record.story()));
    }
}

/// S2 and S4: everything below a committed offset was done when it was committed.
fn ahead(facts: &Facts<'_>, partition: &PartitionFacts<'_>, findings: &mut Findings) {
    let number = partition.tp;
    let mut frontier = 0;
    for (commit, _) in &partition.commits {
        let (offset, at) = (commit.offset, clock(end_of(commit.at) - 999));
        if offset > partition.end {
            let end = partition.end;
            findings.add("S2", || format!("partition {number}: {offset} was committed at {at}, the log ends at {end}"));
        }
        for record in partition.span(frontier, offset) {
            if !record.is_settled(end_of(commit.at)) {
                let story = || format!("partition {number}: {offset} was committed at {at} over {}", record.story());
                findings.add("S2", story);
            } else if !record.is_forwarded(facts.rules(), commit.at) {
                let story = || format!("partition {number}: {offset} was committed at {at} over {}", record.story());
                findings.add("S4", story);
            }
        }
        frontier = frontier.max(offset);
    }
}

/// How soon a commit that was taken late must be put right.
const PUT_RIGHT: Micros = 15_000_000;

/// S3: offsets never go back. A broker that gets on after a fault may take a commit that was given up after the one that followed, of the same
/// owner; nobody can prevent that, but the worker has to put it right.
fn backwards(facts: &Facts<'_>, partition: &PartitionFacts<'_>, findings: &mut Findings) {
    let brokers = || facts.history.disturbances.iter().filter(|one| one.worker.is_none());
    for (place, pair) in partition.commits.windows(2).enumerate() {
        let [(one, before), (next, after)] = pair else { continue };
        if next.offset >= one.offset {
            continue;
        }
        let late = end_of(next.at);
        let fault = brokers().any(|fault| (fault.from..=fault.until).contains(&late));
        // Kafka takes none of a member that is out of the group.
        let of =
            |checkpoint: &Result<Checkpoint, Rejected>| checkpoint.as_ref().ok().map(|checkpoint| checkpoint.owner);
        let same = of(before).is_some() && of(before) == of(after);
        let mut rest = partition.commits[place + 2..].iter();
        let mended = rest.any(|(commit, _)| commit.offset >= one.offset && end_of(commit.at) <= late + PUT_RIGHT);
        if !(fault && same && mended) {
            findings.add("S3", || {
                let (before, after) = (clock(end_of(one.at) - 999), clock(end_of(next.at) - 999));
                format!(
                    "partition {}: {} at {before} was followed by {} at {after}",
                    partition.tp, one.offset, next.offset
                )
            });
        }
    }
}
