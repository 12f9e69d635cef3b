//! `status`: what the operator observed, decided and did. Written only when its meaning changes, or at most every 10 s for
//! numbers that move.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What Penstock knows of the pipeline.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConsumerPipelineStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// What the pipeline is doing, in a word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = crate::schema::tell_words)]
    pub phase: Option<Phase>,
    /// The last decision, or what is wrong, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Ready workers of those wanted: `3/8`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready: Option<String>,
    /// Workers that exist; the number that `/scale` reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// Workers that are ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_replicas: Option<i32>,
    /// Label selector of the worker pods, for `/scale`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// Who decides on replicas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// The consumer group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group_id: Option<String>,
    /// Partitions of all source topics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partitions: Option<i32>,
    /// Records that wait to be processed. Absent while unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag: Option<i64>,
    /// About the age of the oldest waiting record: `4s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behind: Option<String>,
    /// Records that arrive per second: `2.4k/s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<String>,
    /// Records that one replica does per second: `600/s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<String>,
    /// What was learned about the Kafka side, and pinned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<SourceStatus>,
    /// The last scaling decision with every term of its sum.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<DecisionStatus>,
    /// What was learned about capacity, so that a restart of the operator or a wake from zero starts from knowledge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub learned: Option<LearnedStatus>,
    /// Partitions whose oldest record does not get done, and why. At most 16 are listed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stuck: Vec<StuckStatus>,
    /// Ready, Accepted, KafkaReachable, Available, Scaling, Delivering, and kstatus' Reconciling and Stalled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// What the pipeline is doing, in a word.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Objects are being made, workers are starting.
    Starting,
    /// Workers keep up.
    Running,
    /// A backlog is being cleared.
    CatchingUp,
    /// At zero replicas, waiting for a record.
    Idle,
    /// `paused: true`.
    Paused,
    /// Somebody else consumes with this group; workers start when the group is empty.
    WaitingForGroup,
    /// The spec cannot be carried out; the conditions say why.
    Invalid,
    /// Something stands in the way; the conditions say what.
    Degraded,
}

impl Phase {
    /// The word of the status.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "Starting",
            Self::Running => "Running",
            Self::CatchingUp => "CatchingUp",
            Self::Idle => "Idle",
            Self::Paused => "Paused",
            Self::WaitingForGroup => "WaitingForGroup",
            Self::Invalid => "Invalid",
            Self::Degraded => "Degraded",
        }
    }
}

/// What was learned about the Kafka side, and pinned.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceStatus {
    /// The cluster's id; with the group it is the key of GroupInUse.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_id: Option<String>,
    /// `classic` or `consumer` (KIP-848), decided once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group_protocol: Option<String>,
    /// Start offsets, pinned before the first worker. Never pinned twice.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pinned: Vec<PinnedTopic>,
    /// How far pinning has come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = crate::schema::tell_words)]
    pub pin: Option<PinState>,
    /// Committed offsets when the pipeline last went to zero or was paused, from which expired ones are restored.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resting: Vec<PinnedTopic>,
}

/// How far pinning has come.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PinState {
    /// Written down and about to be made.
    Intended,
    /// The group starts there.
    Done,
    /// The group had offsets already; startFrom was ignored.
    Kept,
}

/// Offsets of a topic, partition 0 first; −1 where there is none.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PinnedTopic {
    /// The topic.
    pub topic: String,
    /// One offset a partition.
    #[schemars(length(max = 10_000))]
    pub offsets: Vec<i64>,
}

/// A scaling decision with the terms of its sum. Rates are records per second.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DecisionStatus {
    /// Replicas decided on.
    pub replicas: i32,
    /// Why, as one word: the reason of the Scaling condition.
    pub reason: String,
    /// What keeps the number from being higher or lower, where something does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limited_by: Option<String>,
    /// The decision in words with its numbers.
    pub explanation: String,
    /// Records that arrive per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arrival_rate: Option<f64>,
    /// Records beyond what commit intervals explain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backlog: Option<i64>,
    /// Records per second that are needed: for the arrivals and for the backlog.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub demand: Option<f64>,
    /// Records per second that one replica can do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity_per_replica: Option<f64>,
    /// Share of the slots that were busy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub utilization: Option<f64>,
    /// Records done per second, all replicas together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub throughput: Option<f64>,
    /// Replicas before bounds and steps: demand over capacity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wanted: Option<i32>,
    /// The least number of replicas whose fullest one can carry its partitions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub need: Option<i32>,
    /// The highest need within the scale-down window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window_need: Option<i32>,
    /// The least that the bounds allow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum: Option<i32>,
    /// The most that the bounds and the partitions allow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maximum: Option<i32>,
    /// With mode Advise: the replicas that Auto would choose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advised: Option<i32>,
}

/// What was learned about capacity.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LearnedStatus {
    /// Hash of the pod template that it was learned with.
    pub template_hash: String,
    /// Records per second that one replica can do. Absent while unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_per_replica: Option<f64>,
    /// True when that was seen while replicas had no room left, and not derived from how busy they were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saturated: Option<bool>,
    /// Seconds from a pod's creation to its readiness.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_seconds: Option<f64>,
}

/// A partition whose oldest record does not get done.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StuckStatus {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The record.
    pub offset: i64,
    /// Calls so far.
    pub attempts: i32,
    /// What it fails with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_class: Option<String>,
}
