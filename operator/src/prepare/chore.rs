//! Changes in Kafka on a pipeline's behalf. Each looks again right before it changes anything, so that repeating one after a lost answer
//! does nothing twice.

use std::collections::BTreeMap;

use penstock_blueprint::{GroupProtocol, Reason, Trouble};
use penstock_crds::Pipeline;
use penstock_crds::pipeline::DelayTopic;
use penstock_crds::spec::{StartFromSpec, StartPosition};
use penstock_crds::status::{PinState, PinnedTopic, SourceStatus};
use penstock_kafka::admin::{
    AdminClient, AdminError, Answer, ConfigResource, GroupState, Isolation, NewPartitions, NewTopic, OffsetSpec,
    OffsetToAlter,
};
use penstock_kafka::{ErrorCode, TopicPartition};

use super::{start, topics};
use crate::sampling::CALL_TIMEOUT;

/// Broker setting that lists the group protocols it serves (KIP-848).
const PROTOCOLS: &str = "group.coordinator.rebalance.protocols";

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chore {
    /// Create source topics.
    CreateTopics(Vec<NewTopic>),
    /// Create the dead-letter topic.
    CreateDeadLetter {
        /// Its name.
        topic: String,
        /// Its partitions: as many as the largest source has.
        partitions: u32,
    },
    /// Create a delay topic.
    CreateDelay {
        /// Its name, and how long records wait in it.
        delay: DelayTopic,
        /// Its partitions: as many as the largest source has.
        partitions: u32,
    },
    /// Add partitions.
    GrowTopics(Vec<NewPartitions>),
    /// See to the configuration of topics.
    Configure {
        /// What it should be, by topic.
        topics: Vec<(String, BTreeMap<String, String>)>,
        /// Change what is not so; else only tell.
        alter: bool,
    },
    /// Decide on protocol and start offsets, and write nothing but status.
    Settle {
        /// The group has offsets, which are kept.
        keep: bool,
    },
    /// Write the recorded start offsets where the group has none.
    Pin(Vec<PinnedTopic>),
    /// Put back offsets that the broker has forgotten.
    Restore(Vec<PinnedTopic>),
}

/// What a chore came to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// What status shall remember, if that changed.
    pub source: Option<SourceStatus>,
    /// What is worth an Event.
    pub news: Vec<Trouble>,
}

/// Why a chore came to nothing.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ChoreError {
    /// The cluster refused, or did not answer.
    #[error("{0}")]
    Admin(#[from] AdminError),
    /// Somebody joined the group in between.
    #[error("the group is not empty any more")]
    Occupied,
}

impl Chore {
    /// A word for logs, and the key of back-offs.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::CreateTopics(_) => "CreateTopics",
            Self::CreateDeadLetter { .. } => "CreateDeadLetter",
            Self::CreateDelay { .. } => "CreateDelay",
            Self::GrowTopics(_) => "GrowTopics",
            Self::Configure { .. } => "Configure",
            Self::Settle { .. } => "Settle",
            Self::Pin(_) => "Pin",
            Self::Restore(_) => "Restore",
        }
    }

    /// The words for status when it failed.
    pub fn trouble(&self, error: &ChoreError) -> Trouble {
        let reason = match (error, self) {
            (ChoreError::Admin(AdminError::Authorization(_)), _) => Reason::NotAuthorized,
            (ChoreError::Admin(AdminError::Authentication(_)), _) => Reason::AuthenticationFailed,
            (_, Self::CreateTopics(_) | Self::CreateDeadLetter { .. } | Self::CreateDelay { .. }) => {
                Reason::TopicMissing
            }
            (_, Self::GrowTopics(_) | Self::Configure { .. }) => Reason::TopicConflict,
            (_, Self::Settle { .. } | Self::Pin(_) | Self::Restore(_)) => Reason::PinFailed,
        };
        let what = match self {
            Self::CreateTopics(topics) => {
                let names: Vec<&str> = topics.iter().map(|topic| topic.name.as_str()).collect();
                format!("Topic {} could not be created", names.join(", "))
            }
            Self::CreateDeadLetter { topic, .. } => format!("Dead-letter topic {topic} could not be created"),
            Self::CreateDelay { delay, .. } => format!("Delay topic {} could not be created", delay.topic),
            Self::GrowTopics(topics) => {
                let names: Vec<&str> = topics.iter().map(|topic| topic.topic.as_str()).collect();
                format!("Partitions could not be added to topic {}", names.join(", "))
            }
            Self::Configure { topics, .. } => {
                let names: Vec<&str> = topics.iter().map(|(topic, _)| topic.as_str()).collect();
                format!("The configuration of topic {} could not be seen to", names.join(", "))
            }
            Self::Settle { .. } => "The start of the group could not be looked up".to_owned(),
            Self::Pin(_) => "The start of the group could not be written".to_owned(),
            Self::Restore(_) => "Offsets that the broker had expired could not be put back".to_owned(),
        };
        Trouble { reason, message: format!("{what}: {error}.") }
    }
}

/// Carries out one chore.
///
/// # Errors
/// What Kafka refused. Nothing was changed, or what was changed will be found by the next look.
pub async fn carry_out(
    chore: &Chore,
    client: &AdminClient,
    pipeline: &Pipeline,
    source: &SourceStatus,
) -> Result<Outcome, ChoreError> {
    match chore {
        Chore::CreateTopics(new) => create(client, new).await,
        Chore::CreateDeadLetter { topic, partitions } => {
            let limit = source_max_bytes(client, pipeline).await?;
            create(client, &[topics::dead_letter(topic, *partitions, limit)]).await
        }
        Chore::CreateDelay { delay, partitions } => {
            let limit = source_max_bytes(client, pipeline).await?;
            create(client, &[topics::delay(delay, *partitions, limit)]).await
        }
        Chore::GrowTopics(growth) => grow(client, growth).await,
        Chore::Configure { topics, alter } => configure(client, topics, *alter).await,
        Chore::Settle { .. } => settle(client, pipeline, source).await,
        Chore::Pin(pinned) => {
            alter_missing(client, pipeline, pinned).await?;
            let message = "The start of the group was written as committed offsets.".to_owned();
            let news = vec![Trouble { reason: Reason::OffsetsPinned, message }];
            let done = SourceStatus { pin: Some(PinState::Done), resting: pinned.clone(), ..source.clone() };
            Ok(Outcome { source: Some(done), news })
        }
        Chore::Restore(resting) => {
            if alter_missing(client, pipeline, resting).await? == 0 {
                return Ok(Outcome::default());
            }
            let message = "Offsets that the broker had expired while the pipeline rested were put back.".to_owned();
            Ok(Outcome { source: None, news: vec![Trouble { reason: Reason::OffsetsRestored, message }] })
        }
    }
}

async fn create(client: &AdminClient, new: &[NewTopic]) -> Result<Outcome, ChoreError> {
    let mut news = Vec::new();
    for (topic, answer) in client.create_topics(new, CALL_TIMEOUT).await? {
        match answer {
            Ok(()) => {
                let message = format!("Topic {topic} was created.");
                news.push(Trouble { reason: Reason::TopicCreated, message });
            }
            // Made by somebody else, or by ourselves before an answer got lost: as wanted.
            Err(error) if error.code() == Some(ErrorCode::TOPIC_ALREADY_EXISTS) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Outcome { source: None, news })
}

async fn grow(client: &AdminClient, growth: &[NewPartitions]) -> Result<Outcome, ChoreError> {
    let mut news = Vec::new();
    for (topic, answer) in client.create_partitions(growth, CALL_TIMEOUT).await? {
        match answer {
            Ok(()) => {
                let message = format!("Partitions were added to topic {topic}.");
                news.push(Trouble { reason: Reason::TopicGrown, message });
            }
            // It has that many by now.
            Err(error) if error.code() == Some(ErrorCode::INVALID_PARTITIONS) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Outcome { source: None, news })
}

/// Alters what is not as wanted, or tells of it: somebody else changed it back, and two programs that write in turns help nobody.
async fn configure(
    client: &AdminClient,
    topics: &[(String, BTreeMap<String, String>)],
    alter: bool,
) -> Result<Outcome, ChoreError> {
    let resources: Vec<_> = topics.iter().map(|(topic, _)| ConfigResource::Topic(topic.clone())).collect();
    let mut news = Vec::new();
    for (resource, answer) in client.describe_configs(&resources, CALL_TIMEOUT).await? {
        let entries = answer?;
        let ConfigResource::Topic(name) = resource else { continue };
        let wanted = topics.iter().find(|(topic, _)| *topic == name).map(|(_, wanted)| wanted);
        let differs = |key: &str, value: &str| {
            !entries.iter().any(|entry| entry.name == key && entry.value.as_deref() == Some(value))
        };
        let set: Vec<(&str, &str)> = wanted
            .into_iter()
            .flatten()
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .filter(|(key, value)| differs(key, value))
            .collect();
        if set.is_empty() {
            continue;
        }
        if alter {
            client.alter_topic_config(&name, &set, CALL_TIMEOUT).await?;
        } else {
            let keys: Vec<&str> = set.iter().map(|(key, _)| *key).collect();
            let message = format!(
                "Topic {name} is not as topics[].ensure wants it in {}: somebody else changes it, so it is left alone.",
                keys.join(", ")
            );
            news.push(Trouble { reason: Reason::TopicConflict, message });
        }
    }
    Ok(Outcome { source: None, news })
}

/// `max.message.bytes` of the source topics, the largest; the broker's default where reading it is not allowed.
async fn source_max_bytes(client: &AdminClient, pipeline: &Pipeline) -> Result<u32, ChoreError> {
    let resources: Vec<_> = pipeline.topic_names().map(|name| ConfigResource::Topic(name.to_owned())).collect();
    let answers = client.describe_configs(&resources, CALL_TIMEOUT).await?;
    let entries = answers.into_iter().filter_map(|(_, answer)| answer.ok()).flatten();
    let limits =
        entries.filter(|entry| entry.name == "max.message.bytes").filter_map(|entry| entry.value?.parse().ok());
    Ok(limits.max().unwrap_or(topics::MESSAGE_MAX_BYTES))
}

async fn settle(client: &AdminClient, pipeline: &Pipeline, source: &SourceStatus) -> Result<Outcome, ChoreError> {
    let partitions = partitions(client, pipeline).await?;
    let committed = committed(client, &pipeline.source.group_id, &partitions).await?;
    let cluster = client.describe_cluster(CALL_TIMEOUT).await?;
    let group_protocol = match &source.group_protocol {
        Some(decided) => decided.clone(),
        None => protocol(client, cluster.nodes.first().map(|node| node.id)).await.as_str().to_owned(),
    };
    let settled = SourceStatus { cluster_id: Some(cluster.id), group_protocol: Some(group_protocol), ..source.clone() };
    if committed.values().any(Option::is_some) {
        let kept = start::by_topic(committed.into_iter().map(|(one, offset)| (one, offset.unwrap_or(start::NONE))));
        let message = "The group has offsets already, so source.startFrom is ignored.".to_owned();
        return Ok(Outcome {
            source: Some(SourceStatus { pin: Some(PinState::Kept), pinned: kept.clone(), resting: kept, ..settled }),
            news: vec![Trouble { reason: Reason::OffsetsKept, message }],
        });
    }
    let pinned = start::by_topic(start_offsets(client, &pipeline.source.start_from, partitions).await?);
    Ok(Outcome { source: Some(SourceStatus { pin: Some(PinState::Intended), pinned, ..settled }), news: vec![] })
}

async fn partitions(client: &AdminClient, pipeline: &Pipeline) -> Answer<Vec<TopicPartition>> {
    let names: Vec<&str> = pipeline.topic_names().collect();
    let mut partitions = Vec::new();
    for (name, answer) in client.describe_topics(&names, CALL_TIMEOUT).await? {
        let numbers = answer?.partitions.into_iter().map(|one| one.partition);
        partitions.extend(numbers.map(|number| TopicPartition::new(name.as_str(), number)));
    }
    Ok(partitions)
}

async fn committed(
    client: &AdminClient,
    group: &str,
    partitions: &[TopicPartition],
) -> Answer<BTreeMap<TopicPartition, Option<i64>>> {
    let answers = client.list_consumer_group_offsets(group, Some(partitions), true, CALL_TIMEOUT).await?;
    answers.into_iter().map(|(partition, answer)| Ok((partition, answer?.map(|committed| committed.offset)))).collect()
}

/// KIP-848 where the broker says that it serves it; the classic protocol where it does not, or where we may not ask.
async fn protocol(client: &AdminClient, broker: Option<i32>) -> GroupProtocol {
    let Some(broker) = broker else { return GroupProtocol::Classic };
    let Ok(answers) = client.describe_configs(&[ConfigResource::Broker(broker)], CALL_TIMEOUT).await else {
        return GroupProtocol::Classic;
    };
    let served = answers
        .into_iter()
        .filter_map(|(_, answer)| answer.ok())
        .flatten()
        .filter(|entry| entry.name == PROTOCOLS)
        .filter_map(|entry| entry.value)
        .any(|value| value.split(',').any(|word| word.trim().eq_ignore_ascii_case("consumer")));
    if served { GroupProtocol::Consumer } else { GroupProtocol::Classic }
}

/// The offsets that `startFrom` means right now. The high watermark, not the last stable offset, is the end of what was written so far.
async fn start_offsets(
    client: &AdminClient,
    from: &StartFromSpec,
    partitions: Vec<TopicPartition>,
) -> Answer<Vec<(TopicPartition, i64)>> {
    let spec = match (from.position, &from.timestamp) {
        (StartPosition::Timestamp, Some(time)) => OffsetSpec::Timestamp(time.0.as_millisecond()),
        (StartPosition::Earliest | StartPosition::Timestamp, _) => OffsetSpec::Earliest,
        (StartPosition::Latest, _) => OffsetSpec::Latest,
    };
    let ask = async |spec: OffsetSpec, partitions: &[TopicPartition]| {
        let asked: Vec<_> = partitions.iter().map(|partition| (partition.clone(), spec)).collect();
        client.list_offsets(&asked, Isolation::ReadUncommitted, CALL_TIMEOUT).await
    };
    let mut offsets = Vec::new();
    let mut younger = Vec::new();
    for (partition, answer) in ask(spec, &partitions).await? {
        match answer?.offset {
            Some(offset) => offsets.push((partition, offset)),
            // No record is that young: whatever comes next is.
            None => younger.push(partition),
        }
    }
    if !younger.is_empty() {
        for (partition, answer) in ask(OffsetSpec::Latest, &younger).await? {
            offsets.push((partition, answer?.offset.unwrap_or(0)));
        }
    }
    Ok(offsets)
}

/// Sets offsets where the group has none, and returns how many that were. Brokers refuse it for a group with members; what somebody
/// committed meanwhile is kept.
async fn alter_missing(client: &AdminClient, pipeline: &Pipeline, wanted: &[PinnedTopic]) -> Result<usize, ChoreError> {
    let group = &pipeline.source.group_id;
    let state = client.describe_consumer_group(group, CALL_TIMEOUT).await?.state;
    if !matches!(state, GroupState::Empty | GroupState::Dead) {
        return Err(ChoreError::Occupied);
    }
    let wanted = start::offsets(wanted);
    let partitions: Vec<_> = wanted.keys().cloned().collect();
    let present = committed(client, group, &partitions).await?;
    let missing: Vec<OffsetToAlter> = wanted
        .into_iter()
        .filter(|(partition, offset)| *offset != start::NONE && present.get(partition).is_none_or(Option::is_none))
        .map(|(partition, offset)| OffsetToAlter { partition, offset, leader_epoch: None, metadata: vec![] })
        .collect();
    if missing.is_empty() {
        return Ok(0);
    }
    for (_, answer) in client.alter_consumer_group_offsets(group, &missing, CALL_TIMEOUT).await? {
        answer?;
    }
    Ok(missing.len())
}
