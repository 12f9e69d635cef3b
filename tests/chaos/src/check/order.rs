//! S5: per lane, one after the other, and never two at once.

use super::Findings;
use super::facts::{Facts, PartitionFacts, RecordFacts};
use crate::history::{Call, Micros};

/// Calls of two workers may overlap from the moment one of them lost its partition without being asked. How much later its
/// calls may still be seen to end is up to its timeout.
pub(super) fn check(facts: &Facts<'_>, partition: &PartitionFacts<'_>, findings: &mut Findings) {
    for lane in partition.lanes(facts.rules().ordering) {
        overtaken(partition, &lane, findings);
        overlapping(facts, partition, &lane, findings);
    }
}

/// No call of a record begins before the one before it in its lane came to an end.
fn overtaken(partition: &PartitionFacts<'_>, lane: &[&RecordFacts<'_>], findings: &mut Findings) {
    for pair in lane.windows(2) {
        let [before, after] = pair else { continue };
        let Some(first) = after.calls.first() else { continue };
        let ended: Micros = before.settled.map_or(Micros::MAX, |settled| settled.at);
        if first.start < ended {
            findings.add("S5", || {
                let (number, before, after) = (partition.number, before.story(), after.story());
                format!("partition {number}: a record was called before its key's last one was done: {after} BEFORE {before}")
            });
        }
    }
}

/// No two calls of a lane run at once.
fn overlapping(facts: &Facts<'_>, partition: &PartitionFacts<'_>, lane: &[&RecordFacts<'_>], findings: &mut Findings) {
    let mut calls: Vec<&Call> = lane.iter().flat_map(|record| record.calls.iter().copied()).collect();
    calls.sort_by_key(|call| call.start);
    let mut running: Option<&Call> = None;
    for call in calls {
        if let Some(earlier) = running.filter(|earlier| earlier.end > call.start) {
            let excused = earlier.worker != call.worker
                && [earlier.worker, call.worker]
                    .iter()
                    .any(|worker| facts.history.disturbed(*worker, earlier.start, call.start).is_some());
            if !excused {
                let story = |call: &Call| partition.record(call.offset).map(RecordFacts::story).unwrap_or_default();
                findings.add("S5", || {
                    let (one, other) = (story(earlier), story(call));
                    format!("partition {}: two calls of one key at once: {one} AND {other}", partition.number)
                });
            }
        }
        if running.is_none_or(|earlier| call.end > earlier.end) {
            running = Some(call);
        }
    }
}
