//! The only place that knows defaults and limits. It says everything that is wrong at once, each as `path: what is wrong, what
//! would be right`.

mod batch;
mod check;
mod delay_topics;
mod properties;

use std::fmt;
use std::time::Duration;

use kube::ResourceExt as _;

use self::check::Check;
pub use self::properties::ALLOWED_PROPERTIES;
use crate::names;
use crate::pipeline::{DeadLetter, Delivery, Identity, Kafka, Pipeline, Processor, Retry, Scaling, Source, Topic};
use crate::spec::{
    ConsumerPipeline, DeliverySpec, OnExhausted, Ordering, ProcessorSpec, ProcessorType, ScalingMode, ScalingSpec,
    SourceSpec, StartFromSpec, StartPosition, WorkerSpec,
};

/// `processor.container.port` unless given.
pub const CONTAINER_PORT: i32 = 8080;
/// `delivery.concurrency` unless given: enough to hide 10 ms calls at 6,000 records/s, few enough for a small service.
pub const CONCURRENCY: i32 = 64;
/// `max.poll.interval.ms` of the workers. A drain must end well before it.
pub const MAX_POLL_INTERVAL: Duration = Duration::from_secs(300);
/// A drain ends this long before the grace period: for the last commit and leaving the group.
pub const GRACE_AFTER_DRAIN: Duration = Duration::from_secs(10);
/// The grace period exceeds a call's timeout by this much, so that a call which just started may finish.
pub const GRACE_AFTER_TIMEOUT: Duration = Duration::from_secs(15);
/// `worker.terminationGracePeriodSeconds` unless given.
const GRACE: i64 = 60;
const DRAIN_MAX: Duration = Duration::from_secs(20);

/// `delivery.retry.maxAge`: ages travel in checkpoints as whole seconds; after a week, Kafka's usual retention takes the record.
const RETRY_AGE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_hours(168));

/// `delivery.deadLetter.maxPercent` unless given: one record in five that fails for good is no matter of records any more.
const DEAD_LETTERS_MAX_PERCENT: i32 = 20;

/// One thing that is wrong with a pipeline, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    /// Field, from the top: `spec.delivery.drain`.
    pub path: String,
    /// What is wrong and what would be right, in one sentence.
    pub message: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}

/// Fills in defaults and checks everything.
///
/// # Errors
/// All violations at once, sorted by path.
pub fn resolve(resource: &ConsumerPipeline) -> Result<Pipeline, Vec<Violation>> {
    let mut check = Check::default();
    let spec = &resource.spec;
    let identity = identity(resource, &mut check);
    let source = source(&spec.source, &identity, &mut check);
    if spec.processor.type_ == ProcessorType::Embedded
        && spec.worker.as_ref().is_none_or(|worker| worker.image.is_none())
    {
        check.wrong(
            "spec.worker.image",
            "is missing; processor.type embedded needs the image that your handler is compiled into",
        );
    }
    let delivery = delivery(spec.delivery.as_ref(), &source, &mut check);
    let worker = spec.worker.clone().unwrap_or_default();
    let grace = grace(&worker, &delivery, &mut check);
    let processor = processor(&spec.processor, &mut check);
    let scaling = scaling(spec.scaling.as_ref(), spec.replicas, &mut check);
    let kafka = kafka(&spec.kafka, &mut check);
    if let Some(output) = &spec.output {
        check.topic("spec.output.topic", &output.topic);
        check.not_a_source("spec.output.topic", &output.topic, &source);
    }
    delay_topics::apart(&delivery, spec.output.as_ref().map(|output| output.topic.as_str()), &mut check);
    check.worker(&worker);
    let paused = spec.paused.unwrap_or(false);
    let output = spec.output.as_ref().map(|output| output.topic.clone());
    match (processor, check.finish()) {
        (Some(processor), Ok(())) => {
            Ok(Pipeline { identity, kafka, source, processor, delivery, output, scaling, worker, grace, paused })
        }
        (_, Err(violations)) => Err(violations),
        (None, Ok(())) => Err(vec![]),
    }
}

fn identity(resource: &ConsumerPipeline, check: &mut Check) -> Identity {
    let name = resource.metadata.name.clone().unwrap_or_else(|| "pipeline".to_owned());
    if name.len() > names::PIPELINE_NAME_MAX {
        check.wrong(
            "metadata.name",
            format!(
                "is {} characters long; at most {} leave room for the names of its objects",
                name.len(),
                names::PIPELINE_NAME_MAX
            ),
        );
    }
    Identity {
        namespace: resource.namespace().unwrap_or_else(|| "local".to_owned()),
        name,
        uid: resource.uid().unwrap_or_else(|| "local".to_owned()),
        generation: resource.metadata.generation.unwrap_or(0),
    }
}

fn kafka(spec: &crate::spec::KafkaSpec, check: &mut Check) -> Kafka {
    if spec.bootstrap_servers.is_none() && spec.secret_ref.is_none() {
        check.wrong(
            "spec.kafka.bootstrapServers",
            "is missing; give host:port here, or name a Secret in kafka.secretRef that has it",
        );
    }
    if spec.authentication.is_some() && spec.secret_ref.is_none() {
        check.wrong("spec.kafka.authentication", "has no credentials; name a Secret in kafka.secretRef");
    }
    let properties = spec.properties.clone().unwrap_or_default();
    properties::check(&properties, check);
    Kafka {
        bootstrap_servers: spec.bootstrap_servers.clone(),
        secret: spec.secret_ref.as_ref().map(|secret| secret.name.clone()),
        authentication: spec.authentication.as_ref().map(|authentication| authentication.type_),
        properties,
    }
}

fn source(spec: &SourceSpec, identity: &Identity, check: &mut Check) -> Source {
    let mut topics: Vec<Topic> =
        spec.topics.iter().map(|topic| Topic { name: topic.name.clone(), ensure: topic.ensure.clone() }).collect();
    topics.sort_by(|a, b| a.name.cmp(&b.name));
    check.within("spec.source.topics", "entries", i64::try_from(topics.len()).unwrap_or(i64::MAX), 1, 32);
    for topic in &topics {
        check.topic("spec.source.topics[].name", &topic.name);
        if let Some(ensure) = &topic.ensure {
            check.within("spec.source.topics[].ensure.partitions", "partitions", ensure.partitions.into(), 1, 10_000);
        }
    }
    if let Some([one, _]) = topics.array_windows().find(|[one, next]| one.name == next.name) {
        check.wrong("spec.source.topics", format!("has {} twice; name each topic once", one.name));
    }
    let start_from =
        spec.start_from.clone().unwrap_or(StartFromSpec { position: StartPosition::default(), timestamp: None });
    if (start_from.position == StartPosition::Timestamp) != start_from.timestamp.is_some() {
        check.wrong("spec.source.startFrom.timestamp", "goes with position Timestamp, and only with it");
    }
    let group_id = spec.group_id.clone().unwrap_or_else(|| names::group_id(&identity.namespace, &identity.name));
    Source {
        topics,
        group_id,
        start_from,
        isolation: spec.isolation.unwrap_or_default(),
        on_offset_loss: spec.on_offset_loss.unwrap_or_default(),
    }
}

fn processor(spec: &ProcessorSpec, check: &mut Check) -> Option<Processor> {
    let missing = |check: &mut Check, member: &str| {
        check.wrong(&format!("spec.processor.{member}"), format!("is missing; processor.type is {member}"));
        None
    };
    for (member, type_, present) in [
        ("container", ProcessorType::Container, spec.container.is_some()),
        ("http", ProcessorType::Http, spec.http.is_some()),
        ("embedded", ProcessorType::Embedded, spec.embedded.is_some()),
        ("discard", ProcessorType::Discard, spec.discard.is_some()),
    ] {
        if present && spec.type_ != type_ {
            check.wrong(
                &format!("spec.processor.{member}"),
                format!("goes only with type {member}; remove it or change processor.type"),
            );
        }
    }
    match spec.type_ {
        ProcessorType::Container => match &spec.container {
            Some(container) => {
                check.container(container);
                Some(Processor::Container(Box::new(container.clone())))
            }
            None => missing(check, "container"),
        },
        ProcessorType::Http => match &spec.http {
            Some(http) => {
                check.url("spec.processor.http.url", &http.url);
                Some(Processor::Http { url: http.url.clone() })
            }
            None => missing(check, "http"),
        },
        ProcessorType::Embedded => Some(Processor::Embedded),
        ProcessorType::Discard => Some(Processor::Discard),
    }
}

fn delivery(spec: Option<&DeliverySpec>, source: &Source, check: &mut Check) -> Delivery {
    let spec = spec.cloned().unwrap_or_default();
    let timeout = spec.timeout.map_or(Duration::from_secs(30), crate::Duration::get);
    let drain = spec.drain.map_or(timeout.min(DRAIN_MAX), crate::Duration::get);
    check.span("spec.delivery.timeout", timeout, Duration::from_millis(1), Duration::from_secs(3600));
    let longest = MAX_POLL_INTERVAL.saturating_sub(Duration::from_secs(30));
    check.span("spec.delivery.drain", drain, Duration::ZERO, longest);
    let retry = spec.retry.clone().unwrap_or_default();
    let retry = Retry {
        max_attempts: check.count("spec.delivery.retry.maxAttempts", retry.max_attempts.unwrap_or(5), 1, 1000),
        initial_delay: retry.initial_delay.map_or(Duration::from_millis(200), crate::Duration::get),
        max_delay: retry.max_delay.map_or(Duration::from_secs(60), crate::Duration::get),
        max_age: retry.max_age.map(|age| check.span("spec.delivery.retry.maxAge", age.get(), RETRY_AGE.0, RETRY_AGE.1)),
        delay_topics: Vec::new(),
    };
    for (name, bound) in [("maxDelay", Some(retry.max_delay)), ("maxAge", retry.max_age)] {
        if bound.is_some_and(|bound| retry.initial_delay > bound) {
            let message = format!("is longer than retry.{name}; make it the shorter of the two");
            check.wrong("spec.delivery.retry.initialDelay", message);
        }
    }
    let ordering = spec.ordering.unwrap_or_default();
    let given = spec.retry.as_ref().and_then(|retry| retry.delay_topics.as_deref()).unwrap_or_default();
    let retry = Retry { delay_topics: delay_topics::delay_topics(given, &retry, ordering, source, check), ..retry };
    let on_exhausted = spec.on_exhausted.unwrap_or_default();
    let dead_letter = dead_letter(&spec, on_exhausted, source, check);
    let concurrency = check.count("spec.delivery.concurrency", spec.concurrency.unwrap_or(CONCURRENCY), 1, 4096);
    if on_exhausted == OnExhausted::ParkKey && ordering != Ordering::Key {
        check.wrong(
            "spec.delivery.onExhausted",
            "is ParkKey, which parks keys; choose ordering Key, or DeadLetter here",
        );
    }
    Delivery {
        ordering,
        concurrency,
        batch: spec.batch.as_ref().map(|spec| batch::batch(spec, ordering, check)),
        timeout,
        drain,
        retry,
        on_exhausted,
        dead_letter,
    }
}

fn dead_letter(
    spec: &DeliverySpec,
    on_exhausted: OnExhausted,
    source: &Source,
    check: &mut Check,
) -> Option<DeadLetter> {
    let path = "spec.delivery.deadLetter";
    if !matches!(on_exhausted, OnExhausted::DeadLetter | OnExhausted::ParkKey) {
        if spec.dead_letter.is_some() {
            check.wrong(path, "goes only with onExhausted DeadLetter or ParkKey; remove one of the two");
        }
        return None;
    }
    let given = spec.dead_letter.clone().unwrap_or_default();
    let topic = given.topic.unwrap_or_else(|| names::dead_letter_topic(&source.group_id));
    check.topic(&format!("{path}.topic"), &topic);
    check.not_a_source(&format!("{path}.topic"), &topic, source);
    let max_percent = given.max_percent.unwrap_or(DEAD_LETTERS_MAX_PERCENT);
    let max_percent = check.count(&format!("{path}.maxPercent"), max_percent, 1, 100);
    let mut headers = given.headers.unwrap_or_default();
    headers.sort_unstable();
    headers.dedup();
    Some(DeadLetter { topic, create: given.create.unwrap_or(true), max_percent, headers })
}

fn grace(worker: &WorkerSpec, delivery: &Delivery, check: &mut Check) -> Duration {
    let needed = (delivery.timeout + GRACE_AFTER_TIMEOUT).max(delivery.drain + GRACE_AFTER_DRAIN);
    match worker.termination_grace_period_seconds {
        None => needed.max(Duration::from_secs(GRACE.unsigned_abs())),
        Some(seconds) => {
            check.within("spec.worker.terminationGracePeriodSeconds", "seconds", seconds, 30, 3600);
            let given = Duration::from_secs(seconds.unsigned_abs());
            if given < needed {
                check.wrong(
                    "spec.worker.terminationGracePeriodSeconds",
                    format!(
                        "is {seconds}; at least {} are needed: delivery.timeout + {} s, and delivery.drain + {} s",
                        needed.as_secs_f64().ceil(),
                        GRACE_AFTER_TIMEOUT.as_secs(),
                        GRACE_AFTER_DRAIN.as_secs()
                    ),
                );
            }
            given
        }
    }
}

fn scaling(spec: Option<&ScalingSpec>, replicas: Option<i32>, check: &mut Check) -> Scaling {
    let spec = spec.cloned().unwrap_or_default();
    let mode = spec.mode.unwrap_or_default();
    if mode == ScalingMode::Manual && replicas.is_none() {
        check.wrong("spec.replicas", "is missing; scaling.mode Manual needs it");
    }
    let min_replicas = check.count("spec.scaling.minReplicas", spec.min_replicas.unwrap_or(1), 0, 1000);
    let max_replicas = spec.max_replicas.map(|max| check.count("spec.scaling.maxReplicas", max, 1, 1000));
    if max_replicas.is_some_and(|max| max < min_replicas) {
        check.wrong("spec.scaling.minReplicas", "is greater than scaling.maxReplicas; lower it or raise the other");
    }
    let target_utilization = spec.target_utilization.unwrap_or(0.8);
    if !(0.1..=0.95).contains(&target_utilization) {
        check.wrong(
            "spec.scaling.targetUtilization",
            format!("is {target_utilization}; 0.1 to 0.95 leave room to catch up"),
        );
    }
    let span =
        |given: Option<crate::Duration>, seconds: u64| given.map_or(Duration::from_secs(seconds), crate::Duration::get);
    Scaling {
        mode,
        replicas: replicas.map(|replicas| check.count("spec.replicas", replicas, 0, 1000)),
        min_replicas,
        max_replicas,
        lag: check.span("spec.scaling.lag", span(spec.lag, 30), Duration::from_secs(1), Duration::from_secs(86_400)),
        catch_up: check.span(
            "spec.scaling.catchUp",
            span(spec.catch_up, 120),
            Duration::from_secs(1),
            Duration::from_secs(86_400),
        ),
        target_utilization,
        scale_down_window: check.span(
            "spec.scaling.scaleDownWindow",
            span(spec.scale_down_window, 300),
            Duration::from_secs(10),
            Duration::from_secs(86_400),
        ),
        idle: check.span(
            "spec.scaling.idle",
            span(spec.idle, 300),
            Duration::from_secs(10),
            Duration::from_secs(7 * 86_400),
        ),
    }
}

#[cfg(test)]
mod tests;
