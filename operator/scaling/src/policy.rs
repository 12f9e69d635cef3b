//! What the user wants: plain data from the resolved pipeline.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Who decides on replicas: `spec.scaling.mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mode {
    /// This crate, from the lag.
    Auto,
    /// Whoever writes `spec.replicas`.
    Manual,
    /// This crate decides and reports; what runs stays as it is.
    Advise,
}

/// What is kept in order: `spec.delivery.ordering`. It bounds how much of one partition runs at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ordering {
    /// Records of one key; as many lanes as there are keys.
    Key,
    /// Records of one partition; a single lane, so one call at a time.
    Partition,
    /// Nothing; a lane a record.
    Unordered,
}

/// How the group hands partitions to members, as far as the fullest member is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Assignor {
    /// Counts differ by at most one over all topics together: KIP-848 `uniform`, cooperative-sticky, round-robin.
    Uniform,
    /// Counts differ by at most one within each topic, and the same members get the odd ones: `range`.
    Range,
}

/// What the user wants, with every default filled in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    /// Who decides.
    pub mode: Mode,
    /// No workers at all; offsets stay.
    pub paused: bool,
    /// `spec.replicas`; followed with [`Mode::Manual`] alone.
    pub manual_replicas: Option<u32>,
    /// The least replicas. 0 allows scale to zero.
    pub min_replicas: u32,
    /// The most replicas; `None` leaves the cap to the partitions, which always cap.
    pub max_replicas: Option<u32>,
    /// How long a record may wait. The decision sizes by rate and catch-up; the promise is for whoever reports on
    /// [`Parts::behind_seconds`](crate::Parts::behind_seconds).
    pub lag: Duration,
    /// How fast a backlog is cleared.
    pub catch_up: Duration,
    /// Share of its capacity that a replica should be busy, 0.1..=0.95.
    pub target_utilization: f64,
    /// How long the need must have been lower before replicas go, and the pause between two such steps.
    pub scale_down_window: Duration,
    /// How long nothing may be unread, in flight or arriving before the last replica goes.
    pub idle: Duration,
    /// Calls in progress at once, per replica; at least 1.
    pub concurrency: u32,
    /// Ceiling on records per second of the whole pipeline.
    pub max_records_per_second: Option<f64>,
    /// Ceiling on calls in progress of the whole pipeline.
    pub max_concurrency: Option<u32>,
    /// What is kept in order.
    pub ordering: Ordering,
    /// How long a worker lets finished records wait for their commit while it is busy. Lag of that length is no backlog.
    pub commit_interval: Duration,
    /// How partitions are spread over members.
    pub assignor: Assignor,
    /// Hash of the pod template: what was learned about capacity belongs to it.
    pub template_hash: String,
}

impl Policy {
    /// Utilisation above which a replica is in distress: half-way from the target to full, so that a group that was sized for the
    /// target has room to waver without being resized.
    pub fn max_utilization(&self) -> f64 {
        f64::midpoint(self.target_utilization.clamp(0.1, 0.95), 1.0)
    }
}
