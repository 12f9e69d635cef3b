//! `spec.source`: what to read.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What to read from Kafka.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[x_kube(validation = Rule::new("has(self.groupId) == has(oldSelf.groupId) && (!has(self.groupId) || self.groupId == oldSelf.groupId)")
        .message("source.groupId is immutable: offsets belong to a group. Create another pipeline for another group"))]
#[serde(rename_all = "camelCase")]
pub struct SourceSpec {
    /// Topics to read, 1 to 32. The sum of their partitions caps the replicas.
    #[schemars(length(min = 1, max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub topics: Vec<TopicSpec>,
    /// Consumer group; `<namespace>.<name>` unless given. Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 249), pattern(r"^[a-zA-Z0-9._-]+$"))]
    pub group_id: Option<String>,
    /// Where to start a group that has no offsets; Earliest unless given. Pinned as real offsets before the first worker starts. A
    /// group that has offsets keeps them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_from: Option<StartFromSpec>,
    /// Which records of transactions are read; ReadCommitted unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = crate::schema::tell_words)]
    pub isolation: Option<Isolation>,
    /// What to do when retention, truncation or re-creation took unread records away; Stop unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = crate::schema::tell_words)]
    pub on_offset_loss: Option<OnOffsetLoss>,
}

/// One topic.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TopicSpec {
    /// The topic's name.
    #[schemars(length(min = 1, max = 249), pattern(r"^[a-zA-Z0-9._-]+$"))]
    pub name: String,
    /// Create the topic where it is absent, and configure it. Without this the topic must exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ensure: Option<EnsureSpec>,
}

/// What a topic should be like.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EnsureSpec {
    /// Partitions of a new topic.
    #[schemars(range(min = 1, max = 10_000))]
    pub partitions: i32,
    /// Copies of each partition of a new topic; the broker's default unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 9))]
    pub replication_factor: Option<i32>,
    /// True lets Penstock add partitions to a topic that has fewer. Keys move to other partitions then; false unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_growth: Option<bool>,
    /// Topic configuration by Kafka's names, such as `retention.ms`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxProperties" = 32))]
    pub config: Option<BTreeMap<String, String>>,
}

/// Where a group without offsets starts.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[x_kube(validation = Rule::new("(self.position == 'Timestamp') == has(self.timestamp)")
        .message("startFrom.timestamp goes with position Timestamp, and only with it"))]
#[serde(rename_all = "camelCase")]
pub struct StartFromSpec {
    /// The place in each partition's log.
    #[schemars(transform = crate::schema::tell_words)]
    pub position: StartPosition,
    /// With position Timestamp: the first record of this time or later, per partition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<Time>,
}

/// A place in a log.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum StartPosition {
    /// The oldest record there is.
    #[default]
    Earliest,
    /// Only records written after the pipeline was created.
    Latest,
    /// The first record of startFrom.timestamp or later.
    Timestamp,
}

/// Which records of transactions are read.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Isolation {
    /// Records of open and aborted transactions are not seen.
    #[default]
    ReadCommitted,
    /// All records are seen at once.
    ReadUncommitted,
}

/// What to do when unread records are gone.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnOffsetLoss {
    /// Stop the partition and say which offsets are lost; a human decides.
    #[default]
    Stop,
    /// Count what is lost and go on with the oldest record there is.
    Resume,
}
