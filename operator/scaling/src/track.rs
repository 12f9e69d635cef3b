//! What is remembered of one partition.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::flow::Flow;
use crate::rate::Arrivals;
use crate::{PartitionSample, Policy, Timestamp};

/// How long a step of the last stable offset is expected to come again.
const STEP_MEMORY: Duration = Duration::from_secs(300);

/// What is remembered of one partition.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Track {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    pub(crate) arrivals: Arrivals,
    pub(crate) flow: Flow,
    /// Since when there has been a backlog without a break.
    pub(crate) backlog_since: Option<Timestamp>,
    /// Since when nothing was unread, in flight or arriving, by the time of the samples.
    pub(crate) quiet_since: Option<Timestamp>,
    /// Its worker says that it delivers nothing; without a worker, what was said last counts no more.
    #[serde(default)]
    pub(crate) held: bool,
    stable: Stable,
}

/// The last stable offset moves in jumps where producers use transactions; one jump is no backlog.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Stable {
    end: Option<i64>,
    open: bool,
    step: f64,
    step_at: Timestamp,
}

impl Track {
    pub(crate) fn of(topic: String, partition: i32) -> Self {
        Self { topic, partition, ..Self::default() }
    }

    /// Takes in a sample; `owned` says whether a ready worker is there to make progress.
    pub(crate) fn observe(&mut self, sample: &PartitionSample, policy: &Policy, owned: bool, now: Timestamp) {
        let moved = self.arrivals.observe(sample.log_at, sample.end, sample.density);
        self.stable.observe(sample);
        self.flow.observe(sample, owned, now);
        let in_flight = sample.checkpoint.as_ref().is_some_and(|checkpoint| checkpoint.in_flight > 0);
        self.held =
            owned && sample.unread() > 0 && sample.checkpoint.as_ref().is_some_and(|checkpoint| checkpoint.held);
        let nothing_left = sample.unread() == 0 && sample.end == sample.stable_end && !in_flight;
        self.quiet_since = match moved {
            Some(moved) => (nothing_left && !moved).then(|| self.quiet_since.unwrap_or(sample.log_at)),
            None => self.quiet_since.filter(|_| nothing_left),
        };
        let backlogged = self.backlog(sample, policy) > 0.0;
        self.backlog_since = backlogged.then(|| self.backlog_since.unwrap_or(sample.committed_at));
    }

    /// Records beyond what one commit interval, one transaction, the time between the two samples and calls in progress explain.
    pub(crate) fn backlog(&self, sample: &PartitionSample, policy: &Policy) -> f64 {
        let rate = self.arrivals.planned().unwrap_or(0.0);
        let apart = sample.log_at.since(sample.committed_at).as_secs_f64();
        let in_flight = sample.checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.in_flight);
        let explained = rate * (policy.commit_interval.as_secs_f64() + apart) + self.stable.step + f64::from(in_flight);
        (sample.lag() - explained).max(0.0)
    }
}

impl Stable {
    fn observe(&mut self, sample: &PartitionSample) {
        let at = sample.log_at;
        if at.since(self.step_at) > STEP_MEMORY {
            self.step = 0.0;
        }
        let step =
            self.end.map_or(0, |end| sample.stable_end.saturating_sub(end)) as f64 * sample.density.clamp(0.0, 1.0);
        if self.open && step > 0.0 && (step >= self.step || at.since(self.step_at) > STEP_MEMORY / 2) {
            self.step = step;
            self.step_at = at;
        }
        self.open = sample.stable_end < sample.end;
        self.end = Some(sample.stable_end);
    }
}
