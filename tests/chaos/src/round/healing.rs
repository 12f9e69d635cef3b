//! After the last fault: everything is to be done and committed.

use std::time::{Duration, Instant};

use crate::cluster::Cluster;
use crate::error::Result;
use crate::fleet::{Fleet, GRACE, Names};
use crate::plan::Plan;

/// How long no offset may move while records are left. What a fault leads to is over before: sessions, rejoining, back-offs.
const STALLED: Duration = Duration::from_secs(60);
/// At this pace, records a second, the slowest of rounds gets on, …
const SLOWEST: u64 = 150;
/// … at this one where a lane waits for several brokers to confirm each output before its next record: nearly all of a round can be one
/// hot key's (seed 27500: 44 a second), …
const SLOWEST_CONFIRMED: u64 = 30;
/// … and what is more than this many are healthy records of a large round, at that pace at the least.
const USUAL: u64 = 24_000;
const SLOWEST_OF_MORE: u64 = 500;
/// Between looks at the group's offsets.
const PAUSE: Duration = Duration::from_millis(100);

/// How long a group may take that gets on, however slowly the machine.
fn limit(records: u64, confirmed: bool) -> Duration {
    let usual = records.min(USUAL) / if confirmed { SLOWEST_CONFIRMED } else { SLOWEST };
    STALLED + Duration::from_secs(usual + records.saturating_sub(USUAL) / SLOWEST_OF_MORE)
}

/// Waits until everything is committed: as long as offsets move, and not for ever.
pub(super) fn await_caught_up(
    cluster: &Cluster,
    names: &Names,
    sources: &[(&str, i32)],
    fleet: &mut Fleet<'_>,
    plan: &Plan,
) -> bool {
    let end = Instant::now() + limit(plan.records, plan.output && plan.brokers > 1);
    let (mut before, mut moved) = (Vec::new(), Instant::now());
    while Instant::now() < end && moved.elapsed() < STALLED {
        let committed: Vec<Option<Vec<i64>>> =
            sources.iter().map(|(topic, partitions)| cluster.committed(&names.group, topic, *partitions)).collect();
        let ends = sources.iter().map(|(topic, partitions)| cluster.ends(topic, *partitions).ok());
        if ends.zip(&committed).all(|(ends, committed)| ends.is_some() && ends == *committed) {
            return true;
        }
        if committed != before {
            (before, moved) = (committed, Instant::now());
        }
        fleet.look();
        std::thread::sleep(PAUSE);
    }
    false
}

/// Tells everybody to stop and waits for their ends.
pub(super) fn stop(fleet: &mut Fleet<'_>) -> Result<()> {
    fleet.scale(0)?;
    let end = Instant::now() + GRACE + STALLED;
    while !fleet.is_empty() && Instant::now() < end {
        fleet.look();
        std::thread::sleep(PAUSE / 10);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_round_has_minutes_and_a_usual_one_what_it_had() {
        assert_eq!(limit(15_000, false), Duration::from_secs(160));
        assert_eq!(limit(24_000, false), Duration::from_secs(220));
        assert_eq!(limit(324_000, false), Duration::from_secs(820));
    }

    #[test]
    fn one_lane_may_wait_for_each_of_its_outputs() {
        assert_eq!(limit(5_000, true), Duration::from_secs(226));
    }
}
