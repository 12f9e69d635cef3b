//! What must be true before the first record is asked for: a cluster that answers, topics that exist, a processor that
//! takes connections. Each is waited for, and says in the log what it waits for.

mod delays;
mod fit;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use penstock_crds::spec::Isolation as SpecIsolation;
use penstock_kafka::admin::{AdminClient, AdminError, ConfigResource, Isolation, NewTopic, Topic};
use penstock_kafka::memory::RECORD_BYTES;
use penstock_kafka::settings::Connection;

use crate::config::Config;
use crate::failure::{Failure, TOPIC_NOT_FOUND};
use crate::kafka::{Beginnings, Directory};
use crate::shell::state::State;

/// A failure that lasts longer than this ends the worker, with the reason in its termination message.
pub const PERSISTENT: Duration = Duration::from_secs(60);
/// Longest wait for one answer of the cluster.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Waits between attempts double from the first to the second.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));
/// A dead letter is its record and what Penstock adds: topics made here take this much more than a record.
const DEAD_LETTER_EXTRA_BYTES: u64 = 64 * 1024;

/// What was learned about the cluster.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// Answers questions about partitions.
    pub directory: Directory,
    /// How many brokers there are.
    pub brokers: u32,
    /// Partitions of all source topics together.
    pub partitions: u32,
    /// Partitions of all delay topics together.
    pub delay_partitions: u32,
    /// The largest record that a source topic takes.
    pub record_bytes: u64,
    /// Topics that are written to, with their partitions.
    pub written: BTreeMap<String, i32>,
    /// `offset.metadata.max.bytes`, where the cluster tells.
    pub metadata_limit: Option<u32>,
}

/// Waits for the cluster and its topics. Stops waiting when the worker is told to stop.
///
/// # Errors
/// The last failure, after [`PERSISTENT`].
pub async fn cluster(config: &Config, connection: &Connection, state: &State) -> Result<Option<Cluster>, Failure> {
    let began = Instant::now();
    let mut delay = BACK_OFF.0;
    let client_id = penstock_crds::names::client_id(&config.pipeline.identity.uid);
    let admin = AdminClient::new(&connection.admin(&client_id)).map_err(|error| Failure::from_admin(&error))?;
    while !state.is_stopping() {
        state.turned();
        match learn(config, &admin).await {
            Ok(cluster) => return Ok(Some(cluster)),
            Err(failure) if began.elapsed() > PERSISTENT => return Err(failure),
            Err(failure) => tracing::warn!(reason = failure.reason, "{}; trying again", failure.message),
        }
        tokio::time::sleep(delay).await;
        delay = (delay * 2).min(BACK_OFF.1);
    }
    Ok(None)
}

async fn learn(config: &Config, admin: &AdminClient) -> Result<Cluster, Failure> {
    let pipeline = &config.pipeline;
    let described = admin.describe_cluster(TIMEOUT).await.map_err(|error| Failure::from_admin(&error))?;
    let sources: Vec<&str> = pipeline.topic_names().collect();
    let mut partitions = 0;
    let mut largest = 0;
    for (name, topic) in describe(admin, &sources).await? {
        let count = count(&found(&name, topic, "create it, or let Penstock do so: source.topics[].ensure")?);
        partitions += count;
        largest = largest.max(count);
    }
    let mut written = written(config, admin, largest).await?;
    let delayed = delays::topics(config, admin, largest).await?;
    let delay_partitions = delayed.values().map(|count| count.unsigned_abs()).sum();
    written.extend(delayed);
    let directory = Directory {
        admin: admin.clone(),
        cluster_id: described.id.as_str().into(),
        group: pipeline.source.group_id.as_str().into(),
        isolation: match pipeline.source.isolation {
            SpecIsolation::ReadCommitted => Isolation::ReadCommitted,
            SpecIsolation::ReadUncommitted => Isolation::ReadUncommitted,
        },
        beginnings: Arc::new(Beginnings {
            start_from: pipeline.source.start_from.clone(),
            pinned_topics: config.pinned_topics.clone(),
        }),
    };
    let brokers = u32::try_from(described.nodes.len()).unwrap_or(u32::MAX).max(1);
    let metadata_limit = metadata_limit(admin, described.nodes.first().map(|node| node.id)).await;
    let partitions = u32::try_from(partitions).unwrap_or(1);
    let largest_record = largest_record(config, admin).await;
    // Last, so that it is said once however often the others are waited for.
    if let (Some(dead_letter), Some(bytes)) = (&pipeline.delivery.dead_letter, largest_record) {
        fit::warn_of_large_letters(admin, &dead_letter.topic, bytes).await;
    }
    let record_bytes = largest_record.unwrap_or(RECORD_BYTES);
    Ok(Cluster { directory, brokers, partitions, delay_partitions, record_bytes, written, metadata_limit })
}

/// Output and dead-letter topic: they must be there, and the dead-letter topic is made where that is asked for. The operator
/// has seen to it already; this is for workers without one.
async fn written(config: &Config, admin: &AdminClient, largest: i32) -> Result<BTreeMap<String, i32>, Failure> {
    let pipeline = &config.pipeline;
    let mut written = BTreeMap::new();
    if let Some(output) = &pipeline.output {
        let topic = describe_one(admin, output).await?;
        let topic = found(output, topic, "create it: spec.output.topic is never made by Penstock")?;
        written.insert(output.clone(), count(&topic));
    }
    if let Some(dead_letter) = &pipeline.delivery.dead_letter {
        let mut topic = describe_one(admin, &dead_letter.topic).await?;
        if dead_letter.create && matches!(topic, Err(AdminError::NotFound(_))) {
            create_topic(config, admin, (&dead_letter.topic, largest), None).await?;
            topic = describe_one(admin, &dead_letter.topic).await?;
        }
        let topic = found(&dead_letter.topic, topic, "create it, or set delivery.deadLetter.create")?;
        fit::check(admin, ("dead-letter", &dead_letter.topic), fit::compacted).await?;
        written.insert(dead_letter.topic.clone(), count(&topic));
    }
    Ok(written)
}

/// A dead-letter or delay topic. With `LogAppendTime`, for retention by the records' own time would expire an old record on arrival.
async fn create_topic(
    config: &Config,
    admin: &AdminClient,
    (name, partitions): (&str, i32),
    retention: Option<Duration>,
) -> Result<(), Failure> {
    let record_bytes = largest_record(config, admin).await.unwrap_or(RECORD_BYTES);
    let mut settings = BTreeMap::from([
        ("cleanup.policy".to_owned(), "delete".to_owned()),
        ("message.timestamp.type".to_owned(), "LogAppendTime".to_owned()),
        ("max.message.bytes".to_owned(), (record_bytes + DEAD_LETTER_EXTRA_BYTES).to_string()),
    ]);
    settings.extend(retention.map(|time| ("retention.ms".to_owned(), time.as_millis().to_string())));
    let partitions = u32::try_from(partitions).ok().filter(|count| *count > 0);
    let topic = NewTopic { name: name.to_owned(), partitions, replication_factor: None, config: settings };
    let answers = admin.create_topics(&[topic], TIMEOUT).await.map_err(|error| Failure::from_admin(&error))?;
    for (name, answer) in answers {
        match answer {
            Ok(()) => tracing::info!(topic = name, partitions, "topic created"),
            Err(error) if error.code() == Some(penstock_kafka::ErrorCode::TOPIC_ALREADY_EXISTS) => {}
            Err(error) => return Err(Failure::from_admin(&error)),
        }
    }
    Ok(())
}

/// `max.message.bytes` of the source topics, the largest; `None` where their configuration may not be read.
async fn largest_record(config: &Config, admin: &AdminClient) -> Option<u64> {
    let sources: Vec<_> = config.pipeline.topic_names().map(|topic| ConfigResource::Topic(topic.to_owned())).collect();
    let configs = admin.describe_configs(&sources, TIMEOUT).await.ok()?;
    configs
        .into_iter()
        .filter_map(|(_, entries)| entries.ok())
        .flatten()
        .filter(|entry| entry.name == "max.message.bytes")
        .filter_map(|entry| entry.value?.parse().ok())
        .max()
}

async fn describe(admin: &AdminClient, names: &[&str]) -> Result<Vec<(String, Result<Topic, AdminError>)>, Failure> {
    admin.describe_topics(names, TIMEOUT).await.map_err(|error| Failure::from_admin(&error))
}

async fn describe_one(admin: &AdminClient, name: &str) -> Result<Result<Topic, AdminError>, Failure> {
    let answers = describe(admin, &[name]).await?;
    Ok(answers.into_iter().next().map_or_else(|| Err(AdminError::NotFound(name.to_owned())), |(_, topic)| topic))
}

fn found(name: &str, topic: Result<Topic, AdminError>, remedy: &str) -> Result<Topic, Failure> {
    topic.map_err(|error| match error {
        AdminError::NotFound(_) => Failure::new(TOPIC_NOT_FOUND, format!("the topic {name} does not exist: {remedy}")),
        error => Failure::from_admin(&error),
    })
}

fn count(topic: &Topic) -> i32 {
    i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX)
}

/// Brokers tell only who may describe their configuration; without an answer checkpoints stay short.
async fn metadata_limit(admin: &AdminClient, broker: Option<i32>) -> Option<u32> {
    let resource = [ConfigResource::Broker(broker?)];
    let configs = admin.describe_configs(&resource, TIMEOUT).await.ok()?;
    let entries = configs.into_iter().next()?.1.ok()?;
    entries.into_iter().find(|entry| entry.name == "offset.metadata.max.bytes")?.value?.parse().ok()
}

/// Waits until the processor gives a sign of life: nothing is subscribed before. False when the worker was told to stop.
pub(crate) async fn processor(ready: impl AsyncFn() -> Result<(), String>, state: &State) -> bool {
    let began = Instant::now();
    let mut delay = BACK_OFF.0;
    while !state.is_stopping() {
        state.turned();
        match ready().await {
            Ok(()) => return true,
            Err(error) => {
                let waited = began.elapsed().as_secs();
                tracing::warn!(error, waited_seconds = waited, "the processor is not ready yet; trying again");
            }
        }
        tokio::time::sleep(delay).await;
        delay = (delay * 2).min(BACK_OFF.1);
    }
    false
}
