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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::StuckRecord;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    /// A worker that holds one record for ever; its counters begin with its own clock.
    fn sample(second: u64, owner: u64, stuck: bool) -> PartitionSample {
        PartitionSample {
            topic: "t".to_owned(),
            partition: 0,
            log_at: at(second),
            log_start: 0,
            end: 10,
            stable_end: 10,
            committed_at: at(second),
            committed: Some(3),
            start_pin: None,
            checkpoint: Some(Checkpoint {
                owner,
                incarnation: owner,
                worker_time: at(second),
                done_above: 0,
                processed: 0,
                busy_seconds: second as f64,
                lane_blocked_seconds: 0.0,
                in_flight: 1,
                oldest_start: None,
                concurrency_limit: None,
                held: false,
                stuck: stuck.then(|| StuckRecord { offset: 3, attempts: 2, error_class: "timeout".to_owned() }),
            }),
            density: 1.0,
        }
    }

    fn after_ten_minutes(sample: impl Fn(u64) -> PartitionSample, owned: bool) -> Duration {
        let mut flow = Flow::default();
        for tick in 0..=120 {
            flow.observe(&sample(tick * 5), owned, at(tick * 5));
        }
        flow.idle_for(at(600))
    }

    #[test]
    fn a_call_that_takes_minutes_is_slow_and_not_stuck() {
        assert_eq!(after_ten_minutes(|second| sample(second, 1, false), true), Duration::ZERO);
        assert_eq!(after_ten_minutes(|second| sample(second, 1, true), true), Duration::from_secs(600));
    }

    #[test]
    fn a_record_that_kills_one_worker_after_the_other_is_stuck() {
        assert_eq!(after_ten_minutes(|second| sample(second, second / 5, false), true), Duration::from_secs(600));
    }

    #[test]
    fn without_a_worker_nothing_is_stuck() {
        assert_eq!(after_ten_minutes(|second| sample(second, 1, true), false), Duration::ZERO);
    }

    #[test]
    fn differences_end_with_their_owner_and_with_silence() {
        let mut flow = Flow::default();
        flow.observe(&sample(0, 1, false), true, at(0));
        flow.observe(&sample(5, 1, false), true, at(5));
        assert_eq!(flow.interval(at(5)).and_then(|interval| interval.busy), Some(1.0));
        flow.observe(&sample(10, 2, false), true, at(10));
        assert_eq!(
            flow.interval(at(10)).map(|interval| interval.incarnation),
            Some(Some(1)),
            "the old one's last word"
        );
        assert!(flow.interval(at(40)).is_none(), "which fades");
        flow.observe(&sample(100, 2, false), true, at(100));
        assert!(flow.interval(at(100)).is_none(), "most of such a span was idle");
    }
}
