//! S5: per lane, one after the other, and never two at once; what a lane puts out is in its order.

use std::collections::BTreeMap;

use super::Findings;
use super::facts::{Facts, PartitionFacts, RecordFacts};
use crate::history::{Answer, Call, Forwarded, Micros};

/// Calls of two workers may overlap from the moment one of them lost its partition without being asked. How much later its
/// calls may still be seen to end is up to its timeout.
pub(super) fn check(facts: &Facts<'_>, partition: &PartitionFacts<'_>, findings: &mut Findings) {
    let same_lane = facts.rules().same_lane;
    for lane in partition.lanes(facts.rules().ordering) {
        overtaken(partition, &lane, same_lane, findings);
        overlapping(facts, partition, &lane, findings);
        put_out_of_order(partition, &lane, findings);
    }
}

/// The outputs of a lane lie in its order. Where one could not be written at first, others may lie there twice; what was called again or
/// written twice is left out, and so is what two workers did.
fn put_out_of_order(partition: &PartitionFacts<'_>, lane: &[&RecordFacts<'_>], findings: &mut Findings) {
    let mut latest: BTreeMap<(u32, i32), (&RecordFacts<'_>, &Forwarded)> = BTreeMap::new();
    for record in lane {
        let mut taken = record.calls.iter().filter(|call| call.answer == Answer::Ack);
        let ([output], Some(call), None) = (record.outputs.as_slice(), taken.next(), taken.next()) else { continue };
        let before = latest.insert((call.worker, output.landed), (record, output));
        if let Some((before, _)) = before.filter(|(_, before)| before.at > output.at) {
            findings.add("S5", || {
                let (number, before, after) = (partition.tp, before.story(), record.story());
                format!(
                    "partition {number}: an output lies before that of its key's last record: {after} BEFORE {before}"
                )
            });
        }
    }
}

/// No call of a record begins before the one before it in its lane came to an end, unless both are in one request, in their order,
/// and may be: then the processor is the one to keep it.
fn overtaken(partition: &PartitionFacts<'_>, lane: &[&RecordFacts<'_>], same_lane: bool, findings: &mut Findings) {
    for pair in lane.windows(2) {
        let [before, after] = pair else { continue };
        let behind = |call: &&Call| same_lane && before.calls.iter().any(|ahead| ahead.is_followed_by(call));
        let Some(first) = after.calls.iter().copied().find(|call| !behind(call)) else { continue };
        let ended: Micros = before.settled.map_or(Micros::MAX, |settled| settled.at);
        if first.start < ended {
            findings.add("S5", || {
                let (number, before, after) = (partition.tp, before.story(), after.story());
                format!("partition {number}: a record was called before its key's last one was done: {after} BEFORE {before}")
            });
        }
    }
}

/// No two calls of a lane run at once, but those of one request where that may be.
fn overlapping(facts: &Facts<'_>, partition: &PartitionFacts<'_>, lane: &[&RecordFacts<'_>], findings: &mut Findings) {
    let mut calls: Vec<&Call> = lane.iter().flat_map(|record| record.calls.iter().copied()).collect();
    calls.sort_by_key(|call| (call.start, call.item));
    let mut running: Option<&Call> = None;
    for call in calls {
        let beside =
            |earlier: &&Call| earlier.end > call.start && !(facts.rules().same_lane && earlier.is_followed_by(call));
        if let Some(earlier) = running.filter(beside) {
            let excused = earlier.worker != call.worker
                && [earlier.worker, call.worker]
                    .iter()
                    .any(|worker| facts.history.disturbed(*worker, earlier.start, call.start).is_some());
            if !excused {
                let story = |call: &Call| partition.record(call.offset).map(RecordFacts::story).unwrap_or_default();
                findings.add("S5", || {
                    let (one, other) = (story(earlier), story(call));
                    format!("partition {}: two calls of one key at once: {one} AND {other}", partition.tp)
                });
            }
        }
        if running.is_none_or(|earlier| call.end > earlier.end) {
            running = Some(call);
        }
    }
}
