//! Whether the machine keeps up with the clock. Limits of seconds mean nothing while nobody gets a processor: what is measured here,
//! beside the workers and not by them, stretches those limits by as much, and is counted.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::cluster::Cluster;
use crate::history::{Micros, micros};
use crate::processor::now;

/// Between beats.
const BEAT: Duration = Duration::from_millis(200);
/// A beat that comes so late, or a broker's answer that takes so long, is the machine's fault: the one needs a processor for some
/// microseconds, the other for a millisecond.
const SLOW: Duration = Duration::from_secs(1);

/// Watches until told to end; gives the times when the machine was slow.
pub(super) fn watch(cluster: &Cluster, topic: &str, ended: &AtomicBool) -> Vec<(Micros, Micros)> {
    let mut slow = Vec::new();
    while !ended.load(Ordering::Relaxed) {
        let from = now();
        std::thread::sleep(BEAT);
        let slept = now();
        let answered = cluster.ends(topic, 1).is_ok();
        let until = now();
        let waited = if answered { (slept, until) } else { (slept, slept) };
        slow.extend(
            [(from + micros(BEAT), slept), waited].into_iter().filter(|(from, until)| from + micros(SLOW) <= *until),
        );
    }
    slow
}
