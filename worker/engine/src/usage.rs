//! What a partition's calls take of the worker's slots: the operator's estimate of capacity rests on it.

use core::time::Duration;

use crate::limiter::WHOLE;
use crate::time::{Instant, nanos};

/// Slot time of a partition.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    pub(crate) processed: u64,
    /// Records with the processor.
    pub(crate) in_flight: u32,
    /// Calls that count as this partition's.
    slots: u32,
    pub(crate) lane_blocked: Duration,
    busy_nanos: u64,
    since: Instant,
    /// For how much a busy slot counts, in 1/1024.
    weight: u64,
}

impl Default for Usage {
    fn default() -> Self {
        Self {
            processed: 0,
            in_flight: 0,
            slots: 0,
            lane_blocked: Duration::ZERO,
            busy_nanos: 0,
            since: Instant::ZERO,
            weight: WHOLE,
        }
    }
}

impl Usage {
    /// That of a new assignment.
    pub(crate) fn anew(self) -> Self {
        Self { weight: self.weight, ..Self::default() }
    }

    /// A record is handed to the processor; the first of its call takes the slot for all of them.
    pub(crate) fn begin(&mut self, takes_slot: bool, now: Instant) {
        self.accrue(now);
        self.in_flight += 1;
        self.slots += u32::from(takes_slot);
    }

    /// A record's call ended.
    pub(crate) fn end(&mut self, gives_slot: bool, now: Instant) {
        self.accrue(now);
        self.in_flight -= 1;
        self.slots -= u32::from(gives_slot);
    }

    /// So many slots, be they all or not, were taken for that time, which is over.
    pub(crate) fn took(&mut self, time: Duration, slots: u32) {
        self.busy_nanos = self.busy_nanos.saturating_add(nanos(time).saturating_mul(slots.into()));
    }

    /// From now on a busy slot counts for so many 1/1024.
    pub(crate) fn weigh(&mut self, weight: u64, now: Instant) {
        self.accrue(now);
        self.weight = weight;
    }

    /// Slot-milliseconds up to now, running calls included.
    pub(crate) fn busy_millis(&mut self, now: Instant) -> u64 {
        self.accrue(now);
        self.busy_nanos / 1_000_000
    }

    fn accrue(&mut self, now: Instant) {
        if now == self.since {
            return;
        }
        let elapsed = nanos(now.since(self.since));
        let weighed = elapsed.saturating_mul(u64::from(self.slots) * self.weight) / WHOLE;
        self.busy_nanos = self.busy_nanos.saturating_add(weighed);
        self.since = now;
    }
}
