//! What has to happen later, in order of time.

use core::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::seam::{ForwardId, Tp};
use crate::time::Instant;

/// What a timer is for. What it speaks of may be gone when it rings; that is checked then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Alarm {
    /// A record's back-off has passed.
    Retry { tp: Tp, epoch: u32, seq: u64 },
    /// The back-off of records that are tried again together has passed.
    Group(u64),
    /// A forward's back-off has passed.
    Forward(ForwardId),
    /// Ask for the checkpoint again.
    Fetch { tp: Tp, epoch: u32 },
    /// Commit again: one whose answer never came may have been taken after a later one.
    Commit { tp: Tp, epoch: u32 },
    /// Ask the processor for a sign of life again.
    Probe,
}

#[derive(Debug, Default)]
pub(crate) struct Timers {
    /// Ordered by time, then by when they were set.
    heap: BinaryHeap<Reverse<(Instant, u64, Alarm)>>,
    set: u64,
}

impl Timers {
    pub(crate) fn set(&mut self, at: Instant, alarm: Alarm) {
        self.set += 1;
        self.heap.push(Reverse((at, self.set, alarm)));
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((at, _, _))| *at)
    }

    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<Alarm> {
        if self.next()? > now {
            return None;
        }
        self.heap.pop().map(|Reverse((_, _, alarm))| alarm)
    }
}
