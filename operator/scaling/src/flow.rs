//! Work on one partition: differences of the counters in its checkpoints, and how long nothing was done.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Checkpoint, PartitionSample, Timestamp};

/// Shorter differences are left to grow: rounding and scheduling would be most of them.
const SHORTEST: Duration = Duration::from_secs(1);
/// Longer ones are dropped: a busy worker commits every 5 s, so most of such a span was idle, and a rate over it would be too low.
const LONGEST: Duration = Duration::from_secs(30);
/// How long an interval speaks for the present: three ticks and some jitter.
const FRESH: Duration = Duration::from_secs(20);

/// Counters of one partition and their newest difference.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Flow {
    base: Option<Counters>,
    interval: Option<Interval>,
    progress_at: Option<Timestamp>,
}

/// Absolute counters at one moment of their writer's clock.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Counters {
    owner: Option<Owner>,
    at: Timestamp,
    committed: Option<i64>,
    processed: f64,
    busy: f64,
    lane_blocked: f64,
    intervals: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Owner {
    number: u64,
    incarnation: u64,
}

/// What happened between two checkpoints of one owner.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Interval {
    /// The worker process; `None` where commits carry no checkpoint.
    pub(crate) incarnation: Option<u64>,
    /// Length.
    pub(crate) seconds: f64,
    /// Records done per second.
    pub(crate) rate: f64,
    /// Slots held on average; `None` without a checkpoint.
    pub(crate) busy: Option<f64>,
    /// Share of the time in which records waited beside a free slot for their lane, 0..=1.
    pub(crate) lane_blocked: f64,
    /// The first of this owner: it may hold the time until its first fetch.
    pub(crate) first: bool,
    /// When it was seen: operator's clock.
    pub(crate) seen_at: Timestamp,
    /// Whether capacity has taken it into account.
    pub(crate) counted: bool,
}

impl Interval {
    /// When it began, on the operator's clock, give or take the age of a commit.
    pub(crate) fn began_at(&self) -> Timestamp {
        let millis = Duration::from_secs_f64(self.seconds).as_millis();
        Timestamp::from_millis(self.seen_at.as_millis().saturating_sub(u64::try_from(millis).unwrap_or(u64::MAX)))
    }
}

impl Flow {
    /// Takes in a sample. `owned` says whether a ready worker could have made progress since the last one.
    pub(crate) fn observe(&mut self, sample: &PartitionSample, owned: bool, now: Timestamp) {
        let next = Counters::of(sample);
        let slow = sample.checkpoint.as_ref().is_some_and(may_be_slow);
        let moved = self.base.as_ref().is_none_or(|base| base.progressed(&next, slow));
        if moved || !owned || sample.unread() == 0 || self.progress_at.is_none() {
            self.progress_at = Some(now);
        }
        let Some(base) = &mut self.base else {
            self.base = Some(next);
            return;
        };
        if base.owner != next.owner || next.at < base.at {
            // Counters restart with an owner, and a clock that went back measures nothing.
            self.base = Some(next);
            return;
        }
        let elapsed = next.at.since(base.at);
        if elapsed < SHORTEST {
            return;
        }
        let intervals = if elapsed > LONGEST { base.intervals } else { base.intervals.saturating_add(1) };
        if elapsed <= LONGEST {
            self.interval = Some(base.interval_to(&next, elapsed, sample.committed_at));
        }
        *base = Counters { intervals, ..next };
    }

    /// The newest interval, if it speaks for the present.
    pub(crate) fn interval(&self, now: Timestamp) -> Option<&Interval> {
        self.interval.as_ref().filter(|interval| now.since(interval.seen_at) <= FRESH)
    }

    /// The newest interval if it was never handed out before; from then on it counts as taken.
    pub(crate) fn take_uncounted(&mut self, now: Timestamp) -> Option<&Interval> {
        let interval =
            self.interval.as_mut().filter(|interval| now.since(interval.seen_at) <= FRESH && !interval.counted)?;
        interval.counted = true;
        Some(interval)
    }

    /// How long nothing was done although something was unread and a worker was there.
    pub(crate) fn idle_for(&self, now: Timestamp) -> Duration {
        self.progress_at.map_or(Duration::ZERO, |at| now.since(at))
    }
}

impl Counters {
    fn of(sample: &PartitionSample) -> Self {
        let committed = sample.committed;
        match &sample.checkpoint {
            Some(checkpoint) => Self {
                owner: Some(Owner { number: checkpoint.owner, incarnation: checkpoint.incarnation }),
                at: checkpoint.worker_time,
                committed,
                processed: checkpoint.processed as f64,
                busy: checkpoint.busy_seconds,
                lane_blocked: checkpoint.lane_blocked_seconds,
                intervals: 0,
            },
            None => Self {
                owner: None,
                at: sample.committed_at,
                committed,
                processed: sample.position() as f64 * sample.density.clamp(0.0, 1.0),
                busy: 0.0,
                lane_blocked: 0.0,
                intervals: 0,
            },
        }
    }

    /// Whether anything was done between `self` and `next`. With `slow`, a call that goes on counts: a slow handler is not a stuck one.
    /// A new owner alone does not: a record that kills its worker makes one owner after the other.
    fn progressed(&self, next: &Self, slow: bool) -> bool {
        let done = if self.owner == next.owner {
            next.processed > self.processed || (slow && next.busy > self.busy)
        } else {
            next.owner.is_some() && next.processed > 0.0
        };
        done || next.committed > self.committed
    }

    fn interval_to(&self, next: &Self, elapsed: Duration, seen_at: Timestamp) -> Interval {
        let seconds = elapsed.as_secs_f64();
        let per_second = |from: f64, to: f64| (to - from).max(0.0) / seconds;
        Interval {
            incarnation: next.owner.map(|owner| owner.incarnation),
            seconds,
            rate: per_second(self.processed, next.processed),
            busy: next.owner.map(|_| per_second(self.busy, next.busy)),
            lane_blocked: per_second(self.lane_blocked, next.lane_blocked).min(1.0),
            first: self.intervals == 0,
            seen_at,
            counted: false,
        }
    }
}

/// Whether a call of this checkpoint may simply be slow: something runs, and no record is named as failing.
fn may_be_slow(checkpoint: &Checkpoint) -> bool {
    checkpoint.in_flight > 0 && checkpoint.stuck.is_none()
}
