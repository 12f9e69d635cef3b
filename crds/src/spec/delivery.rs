//! `spec.delivery`: order, concurrency, retries, dead letters.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::batch::BatchSpec;
use crate::Duration;

/// How records are delivered.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[x_kube(validation = Rule::new("!has(self.deadLetter) || !has(self.onExhausted) || self.onExhausted in ['DeadLetter', 'ParkKey']")
        .message("delivery.deadLetter goes only with onExhausted DeadLetter or ParkKey"))]
#[x_kube(validation = Rule::new("!has(self.onExhausted) || self.onExhausted != 'ParkKey' || !has(self.ordering) || self.ordering == 'Key'")
        .message("onExhausted ParkKey parks keys: it goes only with ordering Key"))]
#[x_kube(validation = Rule::new("!has(self.batch) || !has(self.batch.sameLane) || !self.batch.sameLane || !has(self.ordering) || self.ordering != 'Unordered'")
        .message("batch.sameLane needs an order to keep: choose ordering Key or Partition"))]
#[x_kube(validation = Rule::new("!has(self.retry) || !has(self.retry.delayTopics) || (has(self.ordering) && self.ordering == 'Unordered')")
        .message("retry.delayTopics needs ordering Unordered: a record that waits in another topic is overtaken"))]
#[serde(rename_all = "camelCase")]
pub struct DeliverySpec {
    /// What is kept in order; Key unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = crate::schema::tell_words)]
    pub ordering: Option<Ordering>,
    /// Calls in progress at once, per replica; 64 unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 4096))]
    pub concurrency: Option<i32>,
    /// Several records in one call. Without it a call holds one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<BatchSpec>,
    /// How long one call may take; 30s unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// How long calls in progress may finish when a partition or the pod goes; the smaller of timeout and 20s unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain: Option<Duration>,
    /// What happens after a failed call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<RetrySpec>,
    /// What to do with a record whose attempts are used up; DeadLetter unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = crate::schema::tell_words)]
    pub on_exhausted: Option<OnExhausted>,
    /// Where dead letters go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_letter: Option<DeadLetterSpec>,
}

/// What is kept in order.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ordering {
    /// Records of one key, one after the other; records without a key in any order.
    #[default]
    Key,
    /// Records of one partition, one after the other.
    Partition,
    /// Nothing.
    Unordered,
}

/// What happens after a failed call.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[x_kube(validation = Rule::new("!has(self.initialDelay) || !has(self.maxDelay) || duration(self.initialDelay) <= duration(self.maxDelay)")
        .message("retry.initialDelay must not be longer than retry.maxDelay"))]
#[x_kube(validation = Rule::new("!has(self.initialDelay) || !has(self.maxAge) || duration(self.initialDelay) <= duration(self.maxAge)")
        .message("retry.initialDelay must not be longer than retry.maxAge"))]
#[x_kube(validation = Rule::new("!has(self.delayTopics) || self.delayTopics.map(delay, duration(delay)).isSorted() && self.delayTopics.all(one, self.delayTopics.exists_one(other, duration(one) == duration(other)))")
        .message("retry.delayTopics must rise from one to the next"))]
#[x_kube(validation = Rule::new("!has(self.delayTopics) || size(self.delayTopics) < (has(self.maxAttempts) ? self.maxAttempts : 5)")
        .message("retry.delayTopics must be fewer than retry.maxAttempts, or the last are never used"))]
#[x_kube(validation = Rule::new("!has(self.delayTopics) || !has(self.maxAge) || self.delayTopics.all(delay, duration(delay) <= duration(self.maxAge))")
        .message("retry.delayTopics must not be longer than retry.maxAge"))]
#[serde(rename_all = "camelCase")]
pub struct RetrySpec {
    /// Calls of one record in all, the first included; 5 unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub max_attempts: Option<i32>,
    /// Pause before the second call; 200ms unless given. It doubles each time, with jitter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initial_delay: Option<Duration>,
    /// The longest pause; 1m unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_delay: Option<Duration>,
    /// The longest time from a record's first failed call to its last, 1s to 168h; bounded by attempts alone unless given. An
    /// outage is no failed call: a record that it outlasts is called once more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age: Option<Duration>,
    /// Where a failed record waits instead of in its worker: after the k-th failed call in the k-th of these topics, or the last,
    /// for so long. Up to 8 delays, 1s to 168h each, rising, and fewer than maxAttempts. Only with ordering Unordered. The topics
    /// are named `<groupId>.retry.<delay>` and made by Penstock; they are read by the group `<groupId>.retry`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 8))]
    pub delay_topics: Option<Vec<Duration>>,
}

/// What to do with a record whose attempts are used up.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnExhausted {
    /// Write it to the dead-letter topic, then go on.
    #[default]
    DeadLetter,
    /// Write it to the dead-letter topic, and the later records of its key after it, in order, until all of them have come back:
    /// `penstock-worker redrive` sends them. At most 64 keys of a partition are parked at once; beyond that, as Block.
    ParkKey,
    /// Keep trying at the longest pause; the records behind it in its lane wait.
    Block,
    /// Count it and go on. The record is lost on purpose.
    Discard,
}

/// Where dead letters go.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetterSpec {
    /// The topic; `<groupId>.dlq` unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 249), pattern(r"^[a-zA-Z0-9._-]+$"))]
    pub topic: Option<String>,
    /// True (the default) creates the topic where it is absent, with the partitions of the largest source topic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub create: Option<bool>,
    /// The fuse: when more than this share of a minute's records, of at least 100 distinct keys, would become dead letters, none
    /// does. The pipeline stops, tries a record now and then, and goes on when they succeed again. 20 unless given; 100 for never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub max_percent: Option<i32>,
    /// Headers besides Penstock's own, as other systems write them, for tools made for those: Spring (`kafka_dlt-*`), Connect
    /// (`__connect.errors.*`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub headers: Option<Vec<DeadLetterHeaders>>,
}

/// Headers as another system writes them.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum DeadLetterHeaders {
    /// Spring Kafka's `kafka_dlt-*`.
    Spring,
    /// Kafka Connect's `__connect.errors.*`.
    Connect,
}
