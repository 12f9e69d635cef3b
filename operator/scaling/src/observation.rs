//! What was seen: plain data, each number with the time at which it was true.

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// The world at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    /// The pods.
    pub workers: Workers,
    /// The log and the group.
    pub kafka: Kafka,
}

/// The pods of the pipeline.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workers {
    /// `spec.replicas` of the Deployment; `None` while there is no Deployment.
    pub replicas: Option<u32>,
    /// Pods that are ready.
    pub ready: u32,
    /// Since when fewer pods are ready than are wanted, or a roll-out is under way; `None` when all is settled. The caller restarts it
    /// when the wanted number or the template changes.
    pub starting_since: Option<Timestamp>,
    /// What the pods that are not ready say of themselves, such as `ImagePullBackOff`.
    pub waiting_reason: Option<String>,
}

/// What is known of Kafka.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Kafka {
    /// No sample at all since then (for a fresh operator: since it began to look).
    Unknown {
        /// Operator's clock.
        since: Timestamp,
    },
    /// The newest samples. A partial or failed answer keeps the last value of a partition with the time of that value.
    Sampled {
        /// State of the consumer group.
        group: GroupState,
        /// Every partition of every source topic, in any order.
        partitions: Vec<PartitionSample>,
    },
}

/// State of the consumer group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GroupState {
    /// Members have their partitions.
    Stable,
    /// Partitions are being handed out.
    Rebalancing,
    /// No members.
    Empty,
    /// Not asked, or no answer.
    Unknown,
}

/// One partition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PartitionSample {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// When the three log offsets were true: operator's clock, time of the answer.
    pub log_at: Timestamp,
    /// First offset that retention left.
    pub log_start: i64,
    /// High watermark: the offset that the next record gets. Arrival rates come from it.
    pub end: i64,
    /// Last stable offset, where lag ends for workers that read committed records; the same as `end` for those that do not.
    pub stable_end: i64,
    /// When the committed offset and the checkpoint were true. With no worker at all its age does not matter: nobody can move it.
    pub committed_at: Timestamp,
    /// The group's committed offset; `None` when there is none.
    pub committed: Option<i64>,
    /// Where the group starts without one: the pinned start; `None` means `log_start`.
    pub start_pin: Option<i64>,
    /// What the worker wrote beside its last commit; `None` when there is nothing readable.
    pub checkpoint: Option<Checkpoint>,
    /// Records per offset, 0..=1: below 1 with compaction and transaction markers.
    pub density: f64,
}

/// What a worker said with its last commit of a partition. Counters are compared only within one owner and incarnation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Owner number of the partition: one more with each hand-over.
    pub owner: u64,
    /// Which worker process: partitions with the same one are owned by the same replica.
    pub incarnation: u64,
    /// The worker's clock when it wrote this.
    pub worker_time: Timestamp,
    /// Records above the committed offset that are done already.
    pub done_above: u64,
    /// Records done since the counters began.
    pub processed: u64,
    /// Slot-seconds that records of this partition held since the counters began; they accrue while a call runs.
    pub busy_seconds: f64,
    /// Seconds since the counters began during which records of this partition waited beside a free slot because their lanes were
    /// taken.
    pub lane_blocked_seconds: f64,
    /// Calls in progress.
    pub in_flight: u32,
    /// When the oldest call in progress began: worker's clock.
    pub oldest_start: Option<Timestamp>,
    /// Calls that the whole worker allows itself at once at the moment. Lower than its configured share means that the downstream asked
    /// for less. `None` when it does not say.
    pub concurrency_limit: Option<u32>,
    /// The record that does not get done, if there is one.
    pub stuck: Option<StuckRecord>,
    /// The worker delivers nothing of the partition, for a reason that more replicas would not mend.
    pub held: bool,
}

/// A record that keeps failing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StuckRecord {
    /// Its offset.
    pub offset: i64,
    /// Calls so far.
    pub attempts: u32,
    /// What it fails with, such as `http-500` or `timeout`.
    pub error_class: String,
}

impl PartitionSample {
    /// The first offset that the group has not finished: retention never counts as lag, and neither does what comes before the pin.
    pub fn position(&self) -> i64 {
        self.committed.or(self.start_pin).unwrap_or(self.log_start).max(self.log_start)
    }

    /// Offsets between the position and the stable end. Exact where zero, so it decides on scale to zero.
    pub fn unread(&self) -> u64 {
        let offsets = u64::try_from(self.stable_end.saturating_sub(self.position())).unwrap_or(0);
        offsets.saturating_sub(self.checkpoint.as_ref().map_or(0, |c| c.done_above))
    }

    /// Records that are not done: offsets times density, less what the checkpoint says is done above the committed offset.
    pub fn lag(&self) -> f64 {
        let offsets = self.stable_end.saturating_sub(self.position()).max(0) as f64;
        let done = self.checkpoint.as_ref().map_or(0.0, |c| c.done_above as f64);
        (offsets * self.density.clamp(0.0, 1.0) - done).max(0.0)
    }

    /// The older of its two moments.
    pub fn sampled_at(&self) -> Timestamp {
        self.log_at.min(self.committed_at)
    }
}
