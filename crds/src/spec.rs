//! The resource as users write it: `ConsumerPipeline`, group `penstock.dev`, version `v1alpha1`.
//!
//! Doc comments on fields are what `kubectl explain` prints; for a field whose type is an enum `schema::tell_words` adds those of its
//! words. No field has a default in the schema: a default written into the user's object would be drift to GitOps tools.
//! `resolve()` alone knows defaults.

pub mod batch;
pub mod delivery;
pub mod kafka;
pub mod processor;
pub mod scaling;
pub mod source;
pub mod worker;

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

pub use self::batch::BatchSpec;
pub use self::delivery::{DeadLetterHeaders, DeadLetterSpec, DeliverySpec, OnExhausted, Ordering, RetrySpec};
pub use self::kafka::{AuthenticationSpec, AuthenticationType, KafkaSpec, SecretRef};
pub use self::processor::{ContainerSpec, DiscardSpec, EmbeddedSpec, HttpSpec, ProcessorSpec, ProcessorType, Volume};
pub use self::scaling::{ScalingMode, ScalingSpec};
pub use self::source::{EnsureSpec, Isolation, OnOffsetLoss, SourceSpec, StartFromSpec, StartPosition, TopicSpec};
pub use self::worker::WorkerSpec;
use crate::status::ConsumerPipelineStatus;

/// What to read from Kafka, what to call for each record, and what to do when that fails.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "penstock.dev",
    version = "v1alpha1",
    kind = "ConsumerPipeline",
    plural = "consumerpipelines",
    singular = "consumerpipeline",
    shortname = "cpl",
    category = "kafka-pipelines",
    namespaced,
    status = "ConsumerPipelineStatus",
    derive = "PartialEq",
    doc = "A ConsumerPipeline turns Kafka topics into calls of a processor: Penstock runs the workers, keeps every record safe and scales them with the lag.",
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.ready", description = "Ready workers of those wanted"),
    printcolumn(name = "Partitions", type_ = "integer", json_path = ".status.partitions", description = "Partitions of all source topics: the cap on replicas"),
    printcolumn(name = "Lag", type_ = "integer", json_path = ".status.lag", description = "Records that wait to be processed"),
    printcolumn(name = "Behind", type_ = "string", json_path = ".status.behind", description = "How long the backlog takes to arrive again: about the age of the oldest waiting record"),
    printcolumn(name = "Mode", type_ = "string", json_path = ".status.mode", description = "Who decides on replicas: Auto, Manual or Advise"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase", description = "What the pipeline is doing, in a word"),
    printcolumn(name = "Group", type_ = "string", json_path = ".status.groupId", description = "Consumer group", priority = "1"),
    printcolumn(name = "Rate", type_ = "string", json_path = ".status.rate", description = "Records that arrive, per second", priority = "1"),
    printcolumn(name = "Capacity", type_ = "string", json_path = ".status.capacity", description = "Records one replica does per second, as learned", priority = "1"),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.message", description = "The last decision in words", priority = "1"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("self.metadata.name.size() <= 48").message("metadata.name must be at most 48 characters long, so that the names and labels of its objects fit into 63")
)]
#[x_kube(validation = Rule::new("!has(self.scaling) || !has(self.scaling.mode) || self.scaling.mode != 'Manual' || has(self.replicas)")
        .message("scaling.mode Manual needs replicas: set spec.replicas, or choose mode Auto or Advise"))]
#[x_kube(validation = Rule::new("self.processor.type != 'embedded' || (has(self.worker) && has(self.worker.image))")
        .message("processor.type embedded needs worker.image: the image of the worker that your handler is compiled into"))]
#[x_kube(validation = Rule::new("!has(self.output) || !self.source.topics.exists(t, t.name == self.output.topic)")
        .message("output.topic must not be one of source.topics: the pipeline would read its own output for ever"))]
#[x_kube(validation = Rule::new("!has(self.delivery) || !has(self.delivery.deadLetter) || !has(self.delivery.deadLetter.topic) || !self.source.topics.exists(t, t.name == self.delivery.deadLetter.topic)")
        .message("delivery.deadLetter.topic must not be one of source.topics: a dead letter would be read again for ever"))]
#[serde(rename_all = "camelCase")]
pub struct ConsumerPipelineSpec {
    /// How to reach the Kafka cluster.
    pub kafka: KafkaSpec,
    /// What to read.
    pub source: SourceSpec,
    /// What to call for each record.
    pub processor: ProcessorSpec,
    /// How records are delivered: order, concurrency, retries, dead letters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery: Option<DeliverySpec>,
    /// Where the processor's answers go. Without it they are acknowledgements only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<OutputSpec>,
    /// How many workers run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scaling: Option<ScalingSpec>,
    /// The worker pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<WorkerSpec>,
    /// Workers to run when scaling.mode is Manual: what `kubectl scale` and an HPA write. Ignored, with a condition that says
    /// so, in mode Auto.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000))]
    pub replicas: Option<i32>,
    /// True stops all workers and keeps their offsets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<bool>,
}

/// Where the processor's answers are written before the offset moves.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OutputSpec {
    /// Topic for the answers. It must exist. An answer keeps the key of its record.
    #[schemars(length(min = 1, max = 249), pattern(r"^[a-zA-Z0-9._-]+$"))]
    pub topic: String,
}
