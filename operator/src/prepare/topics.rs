//! Whether all topics are there, and what to do about those that are not.

use std::collections::BTreeMap;

use penstock_blueprint::{Reason, Trouble};
use penstock_crds::Pipeline;
use penstock_crds::pipeline::{DelayTopic, Topic};
use penstock_kafka::admin::{NewPartitions, NewTopic};

use super::{Chore, Configure};
use crate::sampling::{Sample, TopicFact};

/// How much larger a dead letter may be than its record: headers say where it came from and why it failed.
pub const DEAD_LETTER_ROOM: u32 = 64 * 1024;
/// `max.message.bytes` of a broker that was not asked: Kafka's default.
pub const MESSAGE_MAX_BYTES: u32 = 1_048_588;

/// What is known of the topics.
#[derive(Clone, Debug, PartialEq)]
pub struct Topics {
    /// All source topics exist, so the partitions are known.
    pub known: bool,
    /// What to do.
    pub chore: Option<Chore>,
    /// What is missing.
    pub obstacles: Vec<Trouble>,
}

/// Looks at source topics, then at the dead-letter topic, which takes its partitions from them, then at the output.
pub fn check(pipeline: &Pipeline, sample: &Sample, configure: Configure) -> Topics {
    let sources = &pipeline.source.topics;
    let fact = |name: &str| sample.topics.get(name);
    let missing: Vec<&Topic> =
        sources.iter().filter(|topic| matches!(fact(&topic.name), Some(TopicFact::Missing))).collect();
    let known = sources.iter().all(|topic| matches!(fact(&topic.name), Some(TopicFact::Present { .. })));
    let mut obstacles: Vec<Trouble> = missing
        .iter()
        .filter(|topic| topic.ensure.is_none())
        .map(|topic| missing_topic(&topic.name, "create it, or let Penstock do so with topics[].ensure"))
        .collect();
    let creatable: Vec<NewTopic> = missing.iter().filter_map(|topic| new_source(topic)).collect();
    if !known {
        let chore = (!creatable.is_empty()).then_some(Chore::CreateTopics(creatable));
        return Topics { known, chore, obstacles };
    }
    let largest = sources.iter().filter_map(|topic| sample.partition_count(&topic.name)).max().unwrap_or(1);
    let mut chore = growth(sources, sample);
    if let Some(dead_letter) = &pipeline.delivery.dead_letter {
        match (fact(&dead_letter.topic), dead_letter.create) {
            (Some(TopicFact::Missing), true) => {
                chore =
                    chore.or(Some(Chore::CreateDeadLetter { topic: dead_letter.topic.clone(), partitions: largest }));
            }
            (Some(TopicFact::Missing), false) => {
                obstacles.push(missing_topic(&dead_letter.topic, "create it, or set deadLetter.create"));
            }
            (Some(TopicFact::Present { partitions, .. }), true) if *partitions < largest => {
                let growth = NewPartitions { topic: dead_letter.topic.clone(), total: largest };
                chore = chore.or(Some(Chore::GrowTopics(vec![growth])));
            }
            (Some(TopicFact::Present { .. }) | None, _) => {}
        }
    }
    chore = chore.or_else(|| delay_topics(pipeline, sample, largest));
    if let Some(output) = &pipeline.output
        && matches!(fact(output), Some(TopicFact::Missing))
    {
        obstacles.push(missing_topic(output, "create it: output topics are the user's own"));
    }
    let chore = chore.or_else(|| configuration(sources, configure));
    Topics { known, chore, obstacles }
}

/// Delay topics are Penstock's own: made where they are absent, and grown with the source.
fn delay_topics(pipeline: &Pipeline, sample: &Sample, largest: u32) -> Option<Chore> {
    pipeline.delivery.retry.delay_topics.iter().find_map(|delay| match sample.topics.get(&delay.topic)? {
        TopicFact::Missing => Some(Chore::CreateDelay { delay: delay.clone(), partitions: largest }),
        TopicFact::Present { partitions, .. } if *partitions < largest => {
            Some(Chore::GrowTopics(vec![NewPartitions { topic: delay.topic.clone(), total: largest }]))
        }
        TopicFact::Present { .. } => None,
    })
}

fn configuration(sources: &[Topic], configure: Configure) -> Option<Chore> {
    if configure == Configure::Later {
        return None;
    }
    let wanted = |topic: &Topic| topic.ensure.as_ref()?.config.clone().filter(|config| !config.is_empty());
    let topics: Vec<_> =
        sources.iter().filter_map(|topic| wanted(topic).map(|config| (topic.name.clone(), config))).collect();
    (!topics.is_empty()).then_some(Chore::Configure { topics, alter: configure == Configure::Alter })
}

fn missing_topic(topic: &str, remedy: &str) -> Trouble {
    let message = format!("Topic {topic} does not exist, or the ACL Describe on it is missing: {remedy}.");
    Trouble { reason: Reason::TopicMissing, message }
}

fn new_source(topic: &Topic) -> Option<NewTopic> {
    let ensure = topic.ensure.as_ref()?;
    Some(NewTopic {
        name: topic.name.clone(),
        partitions: u32::try_from(ensure.partitions).ok(),
        replication_factor: ensure.replication_factor.and_then(|factor| u16::try_from(factor).ok()),
        config: ensure.config.clone().unwrap_or_default(),
    })
}

fn growth(sources: &[Topic], sample: &Sample) -> Option<Chore> {
    let growth: Vec<NewPartitions> = sources
        .iter()
        .filter_map(|topic| {
            let ensure = topic.ensure.as_ref().filter(|ensure| ensure.allow_growth == Some(true))?;
            let total = u32::try_from(ensure.partitions).ok()?;
            let present = sample.partition_count(&topic.name)?;
            (present < total).then(|| NewPartitions { topic: topic.name.clone(), total })
        })
        .collect();
    (!growth.is_empty()).then_some(Chore::GrowTopics(growth))
}

/// A dead-letter topic. By record time, retention would delete a dead letter of an old record on arrival: hence LogAppendTime.
pub fn dead_letter(topic: &str, partitions: u32, source_max_bytes: u32) -> NewTopic {
    let config = BTreeMap::from([
        ("cleanup.policy".to_owned(), "delete".to_owned()),
        ("message.timestamp.type".to_owned(), "LogAppendTime".to_owned()),
        ("max.message.bytes".to_owned(), source_max_bytes.saturating_add(DEAD_LETTER_ROOM).to_string()),
    ]);
    NewTopic { name: topic.to_owned(), partitions: Some(partitions), replication_factor: None, config }
}

/// A delay topic: as a dead-letter topic, and a record is there for a week after it is due.
pub fn delay(topic: &DelayTopic, partitions: u32, source_max_bytes: u32) -> NewTopic {
    let mut new = dead_letter(&topic.topic, partitions, source_max_bytes);
    new.config.insert("retention.ms".to_owned(), topic.retention_min().as_millis().to_string());
    new
}
