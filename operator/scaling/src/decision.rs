//! What is to be done, why, and every term of the sum.

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// How many replicas, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// Replicas that the Deployment should have. With Advise: those it has.
    pub replicas: u32,
    /// With Advise: what Auto would do. `None` in the other modes.
    pub advised: Option<u32>,
    /// Why.
    pub reason: Reason,
    /// What keeps the number from being another, where something does.
    pub limited_by: Option<Limit>,
    /// Every term of the sum.
    pub parts: Parts,
    /// When to ask again even if nothing new is observed; `None` when only a new observation can change the answer.
    pub wake_at: Option<Timestamp>,
}

/// Why a decision is what it is. A closed set: the reason of the Scaling condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Reason {
    /// Enough and not too much.
    Steady,
    /// Slots are full: more replicas for the arrivals.
    Overloaded,
    /// A backlog does not clear in time: more replicas.
    CatchingUp,
    /// From zero, because something is unread.
    Woken,
    /// Fewer were enough for a whole window: one step down.
    ScaledDown,
    /// Nothing unread, in flight or arriving for the idle time: to zero.
    Idle,
    /// The bounds of the policy or the partition count moved.
    Bounds,
    /// Waiting for pods that start.
    PodsStarting,
    /// Pods do not get ready in time; what is ready decides.
    PodsNotStarting,
    /// Partitions are being handed out.
    Rebalancing,
    /// Kafka has not answered: what runs stays.
    LagUnknown,
    /// In distress, but what a replica can do has not been seen yet.
    LearningCapacity,
    /// The downstream asks for less: no more replicas.
    Downstream,
    /// Nothing that is unread gets done: more or fewer replicas would change nothing.
    NoProgress,
    /// Somebody else sets the number.
    Manual,
    /// `paused: true`.
    Paused,
}

impl Reason {
    /// All of them, in the order of their declaration, for tables and tests.
    pub const ALL: [Self; 16] = [
        Self::Steady,
        Self::Overloaded,
        Self::CatchingUp,
        Self::Woken,
        Self::ScaledDown,
        Self::Idle,
        Self::Bounds,
        Self::PodsStarting,
        Self::PodsNotStarting,
        Self::Rebalancing,
        Self::LagUnknown,
        Self::LearningCapacity,
        Self::Downstream,
        Self::NoProgress,
        Self::Manual,
        Self::Paused,
    ];

    /// The word for a condition's reason. Part of the API: never changes.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Steady => "Steady",
            Self::Overloaded => "Overloaded",
            Self::CatchingUp => "CatchingUp",
            Self::Woken => "Woken",
            Self::ScaledDown => "ScaledDown",
            Self::Idle => "Idle",
            Self::Bounds => "Bounds",
            Self::PodsStarting => "PodsStarting",
            Self::PodsNotStarting => "PodsNotStarting",
            Self::Rebalancing => "Rebalancing",
            Self::LagUnknown => "LagUnknown",
            Self::LearningCapacity => "LearningCapacity",
            Self::Downstream => "Downstream",
            Self::NoProgress => "NoProgress",
            Self::Manual => "Manual",
            Self::Paused => "Paused",
        }
    }

    /// The sentence for `kubectl describe`, without numbers.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Steady => "The replicas are enough and not too many.",
            Self::Overloaded => "The replicas have no free slots left, so there must be more of them.",
            Self::CatchingUp => "The backlog does not clear in the catch-up time, so there must be more replicas.",
            Self::Woken => "A record arrived while there were no replicas.",
            Self::ScaledDown => "Fewer replicas were enough for a whole scale-down window.",
            Self::Idle => "Nothing was unread, in flight or arriving for the idle time, so no replica is needed.",
            Self::Bounds => "The bounds or the partitions changed, and the replicas follow.",
            Self::PodsStarting => "Pods are starting; the next decision waits for them.",
            Self::PodsNotStarting => "Pods do not become ready in time, so only the ready ones count.",
            Self::Rebalancing => "The group hands out partitions; the next decision waits for it.",
            Self::LagUnknown => "Kafka does not say what is unread, so the replicas stay as they are.",
            Self::LearningCapacity => "There is too much to do, but what one replica can do has not been measured yet.",
            Self::Downstream => "The processor asks for fewer calls, so more replicas would not help.",
            Self::NoProgress => "Nothing that is unread gets done, so another number of replicas would not help.",
            Self::Manual => "The number is set by hand, or by whoever writes spec.replicas.",
            Self::Paused => "The pipeline is paused.",
        }
    }
}

/// What keeps the number of replicas from being another. A closed set: `status.decision.limitedBy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Limit {
    /// More are needed than there are partitions.
    PartitionBound,
    /// More are needed than `maxReplicas`.
    MaxReplicas,
    /// Fewer are needed than `minReplicas`.
    MinReplicas,
    /// The order that is kept lets no more of a partition run at once.
    LaneBound,
    /// A partition gets more than a whole replica can do.
    HotPartition,
    /// A partition's oldest record does not get done.
    StuckPartition,
    /// Workers deliver nothing of some partitions, and say so.
    Held,
    /// The downstream asks for less.
    DownstreamBound,
    /// `Policy::max_records_per_second` or `Policy::max_concurrency`. The resource has no field for either yet, so no pipeline has it.
    RateLimit,
    /// Pods do not become ready.
    PodsNotStarting,
    /// Kafka does not answer.
    LagUnknown,
}

impl Limit {
    /// All of them, in the order of their declaration, for tables and tests.
    pub const ALL: [Self; 11] = [
        Self::PartitionBound,
        Self::MaxReplicas,
        Self::MinReplicas,
        Self::LaneBound,
        Self::HotPartition,
        Self::StuckPartition,
        Self::Held,
        Self::DownstreamBound,
        Self::RateLimit,
        Self::PodsNotStarting,
        Self::LagUnknown,
    ];

    /// The word for a condition's reason. Part of the API: never changes.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PartitionBound => "PartitionBound",
            Self::MaxReplicas => "MaxReplicas",
            Self::MinReplicas => "MinReplicas",
            Self::LaneBound => "LaneBound",
            Self::HotPartition => "HotPartition",
            Self::StuckPartition => "StuckPartition",
            Self::Held => "Held",
            Self::DownstreamBound => "DownstreamBound",
            Self::RateLimit => "RateLimit",
            Self::PodsNotStarting => "PodsNotStarting",
            Self::LagUnknown => "LagUnknown",
        }
    }

    /// The sentence for `kubectl describe`: what binds, and what would lift it.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::PartitionBound => {
                "More replicas than partitions would have nothing to read: add partitions to go further."
            }
            Self::MaxReplicas => "scaling.maxReplicas holds the number down: raise it to go further.",
            Self::MinReplicas => "scaling.minReplicas holds the number up.",
            Self::LaneBound => {
                "The order that is kept leaves slots free: more keys, or a weaker delivery.ordering, would go further."
            }
            Self::HotPartition => {
                "One partition gets more than a whole replica can do: spread its keys, or raise delivery.concurrency."
            }
            Self::StuckPartition => "A record does not get done and holds its partition: see status.stuck.",
            Self::Held => "Workers deliver nothing of some partitions for now: see the Delivering condition.",
            Self::DownstreamBound => "The processor asks for fewer calls: relieve what it depends on.",
            Self::RateLimit => "A ceiling on the pipeline's records per second or calls at once holds the number down.",
            Self::PodsNotStarting => "Pods do not become ready: see their events.",
            Self::LagUnknown => "Kafka does not answer: see the KafkaReachable condition.",
        }
    }
}

/// Every term of the sum. Rates are records per second.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Parts {
    /// Replicas that the Deployment had.
    pub current: u32,
    /// Pods that were ready.
    pub ready: u32,
    /// Partitions of all topics.
    pub partitions: u32,
    /// Arrivals: the larger of 0.85 × the 15 s mean and the 60 s mean; in distress at least what the last two intervals both reached.
    /// `None` until two samples were taken.
    pub arrival_rate: Option<f64>,
    /// Records that are not done.
    pub lag: f64,
    /// Of these, what commit intervals, transactions and calls in progress do not explain.
    pub backlog: f64,
    /// Seconds that the oldest record that is not done has been in the log, as far back as log ends were sampled; `None` while nothing
    /// was sampled.
    pub behind_seconds: Option<f64>,
    /// Records done per second over the last interval, all replicas together; `None` while unmeasured.
    pub throughput: Option<f64>,
    /// Share of the slots that were busy over the last interval; `None` while unmeasured.
    pub utilization: Option<f64>,
    /// What one replica can do; `None` while nothing is known.
    pub capacity: Option<Capacity>,
    /// Records per second that must be done: arrivals over the target utilisation, and the backlog over the catch-up time.
    pub demand: f64,
    /// Demand over capacity, before steps and bounds; `None` without a capacity.
    pub desired: Option<u32>,
    /// The least step that carries the demand, before bounds; `None` without a capacity.
    pub need: Option<u32>,
    /// The highest need within the scale-down window; `None` without a capacity.
    pub window_need: Option<u32>,
    /// The only numbers of replicas that make the fullest one less full, ascending.
    pub steps: Vec<u32>,
    /// The least that bounds allow.
    pub floor: u32,
    /// The most that bounds allow.
    pub ceiling: u32,
    /// Partitions whose oldest record does not get done, at most 16.
    pub stuck: Vec<StuckPartition>,
    /// Partitions that get more than a replica can do, at most 16.
    pub hot: Vec<HotPartition>,
}

/// What one replica can do.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Capacity {
    /// Records per second.
    pub records_per_second: f64,
    /// How it is known.
    pub source: CapacitySource,
}

/// How a capacity is known, the surest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CapacitySource {
    /// Seen just now while replicas had no room left.
    Saturated,
    /// Concurrency × records done / slot-seconds busy, just now.
    BusyTime,
    /// Seen earlier while replicas of this template had no room left.
    Learned,
    /// Seen earlier with another template.
    Inherited,
}

/// A partition whose oldest record does not get done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StuckPartition {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// The record: as the worker named it, else the first that is not done.
    pub offset: i64,
    /// Seconds without progress.
    pub seconds: u64,
    /// Calls so far, as the worker counted them.
    pub attempts: u32,
    /// What it fails with, if the worker said so.
    pub error_class: Option<String>,
}

/// A partition that gets more than a replica can do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HotPartition {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Arrivals.
    pub records_per_second: f64,
}
