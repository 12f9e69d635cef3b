//! The pipeline as a worker reads it: the same YAML that a user writes.

use std::time::Duration as StdDuration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use penstock_crds::names::{ANNOTATION_GROUP_PROTOCOL, ANNOTATION_PINNED_TOPICS, SOCKET_DIR};
use penstock_crds::pipeline::{Batch, DeadLetter, Kafka, Processor, Source};
use penstock_crds::spec::{
    AuthenticationSpec, BatchSpec, ContainerSpec, DeadLetterSpec, DeliverySpec, DiscardSpec, EmbeddedSpec, HttpSpec,
    KafkaSpec, OutputSpec, ProcessorSpec, ProcessorType, RetrySpec, SecretRef, SourceSpec, TopicSpec, WorkerSpec,
};
use penstock_crds::{ConsumerPipeline, ConsumerPipelineSpec, Duration, Pipeline};

use crate::Settled;

/// The ConsumerPipeline that workers read, as YAML: every default filled in, without what a worker need not know.
///
/// It is what pods restart for, so whatever only the operator carries out is left out: scaling, replicas, paused, the pods, the generation,
/// and how source topics are to be made. Of the user's container only its address is left.
pub fn worker_file(pipeline: &Pipeline, settled: &Settled) -> String {
    yaml(&ConsumerPipeline { metadata: metadata(pipeline, settled), spec: spec(pipeline), status: None })
}

fn yaml(resource: &ConsumerPipeline) -> String {
    #[expect(
        clippy::expect_used,
        reason = "strings, numbers and maps with string keys: there is nothing YAML cannot hold"
    )]
    serde_norway::to_string(resource).expect("a resource is YAML")
}

fn metadata(pipeline: &Pipeline, settled: &Settled) -> ObjectMeta {
    let mut pinned: Vec<&str> =
        pipeline.topic_names().filter(|name| settled.pinned_topics.iter().any(|pinned| pinned == name)).collect();
    pinned.sort_unstable();
    let annotations = [
        (ANNOTATION_GROUP_PROTOCOL, settled.group_protocol.as_str().to_owned()),
        (ANNOTATION_PINNED_TOPICS, pinned.join(",")),
    ];
    ObjectMeta {
        name: Some(pipeline.identity.name.clone()),
        namespace: Some(pipeline.identity.namespace.clone()),
        uid: Some(pipeline.identity.uid.clone()),
        annotations: Some(annotations.map(|(key, value)| (key.to_owned(), value)).into()),
        ..ObjectMeta::default()
    }
}

fn spec(pipeline: &Pipeline) -> ConsumerPipelineSpec {
    ConsumerPipelineSpec {
        kafka: kafka(&pipeline.kafka),
        source: source(&pipeline.source),
        processor: processor(&pipeline.processor),
        delivery: Some(delivery(pipeline)),
        output: pipeline.output.clone().map(|topic| OutputSpec { topic }),
        scaling: None,
        // The rest of it is for the pod; the image is what `embedded` asks for.
        worker: (pipeline.processor == Processor::Embedded)
            .then(|| WorkerSpec { image: pipeline.worker.image.clone(), ..WorkerSpec::default() }),
        replicas: None,
        paused: None,
    }
}

fn kafka(kafka: &Kafka) -> KafkaSpec {
    KafkaSpec {
        bootstrap_servers: kafka.bootstrap_servers.clone(),
        secret_ref: kafka.secret.clone().map(|name| SecretRef { name }),
        authentication: kafka.authentication.map(|type_| AuthenticationSpec { type_ }),
        properties: Some(kafka.properties.clone()).filter(|properties| !properties.is_empty()),
    }
}

fn source(source: &Source) -> SourceSpec {
    SourceSpec {
        topics: source.topics.iter().map(|topic| TopicSpec { name: topic.name.clone(), ensure: None }).collect(),
        group_id: Some(source.group_id.clone()),
        start_from: Some(source.start_from.clone()),
        isolation: Some(source.isolation),
        on_offset_loss: Some(source.on_offset_loss),
    }
}

fn processor(processor: &Processor) -> ProcessorSpec {
    let nothing =
        ProcessorSpec { type_: ProcessorType::Discard, container: None, http: None, embedded: None, discard: None };
    match processor {
        Processor::Container(container) => ProcessorSpec {
            type_: ProcessorType::Container,
            container: Some(ContainerSpec {
                image: container.image.clone(),
                port: match container.socket {
                    Some(_) => None,
                    None => Some(container.port.unwrap_or(penstock_crds::resolve::CONTAINER_PORT)),
                },
                socket: container.socket.as_deref().map(workers_socket),
                path: Some(container.path.clone().unwrap_or_else(|| "/".to_owned())),
                ..ContainerSpec::default()
            }),
            ..nothing
        },
        Processor::Http { url } => {
            ProcessorSpec { type_: ProcessorType::Http, http: Some(HttpSpec { url: url.clone() }), ..nothing }
        }
        Processor::Embedded => {
            ProcessorSpec { type_: ProcessorType::Embedded, embedded: Some(EmbeddedSpec {}), ..nothing }
        }
        Processor::Discard => ProcessorSpec { discard: Some(DiscardSpec {}), ..nothing },
    }
}

/// Where a worker has the socket: its name in a folder of the worker's own, for one of the user's naming might hide the worker's files.
fn workers_socket(socket: &str) -> String {
    let name = socket.rsplit_once('/').map_or(socket, |(_, name)| name);
    format!("{SOCKET_DIR}/{name}")
}

fn delivery(pipeline: &Pipeline) -> DeliverySpec {
    let delivery = &pipeline.delivery;
    DeliverySpec {
        ordering: Some(delivery.ordering),
        concurrency: i32::try_from(delivery.concurrency).ok(),
        batch: delivery.batch.as_ref().map(batch),
        timeout: Some(span(delivery.timeout)),
        drain: Some(span(delivery.drain)),
        retry: Some(RetrySpec {
            max_attempts: i32::try_from(delivery.retry.max_attempts).ok(),
            initial_delay: Some(span(delivery.retry.initial_delay)),
            max_delay: Some(span(delivery.retry.max_delay)),
            max_age: delivery.retry.max_age.map(span),
            delay_topics: Some(delivery.retry.delay_topics.iter().map(|one| span(one.delay)).collect())
                .filter(|delays: &Vec<_>| !delays.is_empty()),
        }),
        on_exhausted: Some(delivery.on_exhausted),
        dead_letter: delivery.dead_letter.clone().map(|DeadLetter { topic, create, max_percent, headers }| {
            DeadLetterSpec {
                topic: Some(topic),
                create: Some(create),
                max_percent: i32::try_from(max_percent).ok(),
                headers: Some(headers).filter(|headers| !headers.is_empty()),
            }
        }),
    }
}

fn batch(batch: &Batch) -> BatchSpec {
    BatchSpec {
        max_records: i32::try_from(batch.max_records).unwrap_or(i32::MAX),
        max_bytes: i32::try_from(batch.max_bytes).ok(),
        max_wait: Some(span(batch.max_wait)),
        same_lane: Some(batch.same_lane),
    }
}

/// As users write it.
pub(crate) fn span(span: StdDuration) -> Duration {
    Duration::from_millis(u64::try_from(span.as_millis()).unwrap_or(u64::MAX))
}
