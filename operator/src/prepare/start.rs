//! Where a group starts, pinned once and never again, and what becomes of its offsets while no worker runs.
//!
//! The pin is written to status before it is made (`Intended`), so that a crash in between is finished and not done differently. It is
//! made only while no pin is recorded, no worker is seen, and the group is empty or absent; what the group has already is kept. Brokers
//! forget the offsets of an empty group after `offsets.retention.minutes`, so status holds those of a pipeline at rest, and puts them back.

use std::collections::BTreeMap;

use penstock_blueprint::{Reason, Trouble};
use penstock_crds::Pipeline;
use penstock_crds::status::{PinState, PinnedTopic, SourceStatus};
use penstock_kafka::TopicPartition;
use penstock_scaling::Timestamp;

use super::{Chore, Gate};
use crate::sampling::Sample;

/// In a list of offsets: none.
pub const NONE: i64 = -1;

/// What comes next.
#[derive(Clone, Debug, PartialEq)]
pub struct Start {
    /// Whether workers may run.
    pub gate: Gate,
    /// What to do in Kafka.
    pub chore: Option<Chore>,
    /// What is wrong.
    pub obstacle: Option<Trouble>,
    /// What status shall remember.
    pub source: SourceStatus,
}

/// Decides from what is recorded and what is seen. The topics exist and the group is this pipeline's.
pub fn next(recorded: &SourceStatus, committed: Option<&Committed>, workers_seen: bool) -> Start {
    let start = |gate, chore| Start { gate, chore, obstacle: None, source: recorded.clone() };
    let pinned = recorded.pin.is_some_and(|pin| pin != PinState::Intended) && recorded.group_protocol.is_some();
    if workers_seen && pinned {
        // Offsets move now: those of the last rest would be a step back.
        let source = SourceStatus { resting: vec![], ..recorded.clone() };
        return Start { source, ..start(Gate::Open, None) };
    }
    let Some(committed) = committed else { return start(Gate::Hold, None) };
    let keep = committed.values().any(Option::is_some);
    match recorded.pin {
        // Status was lost (restored from a backup, say) while workers run. What they committed is kept; nothing is altered beside them.
        _ if workers_seen => start(Gate::Hold, keep.then_some(Chore::Settle { keep })),
        None => start(Gate::Hold, Some(Chore::Settle { keep })),
        Some(PinState::Intended) => start(Gate::Hold, Some(Chore::Pin(recorded.pinned.clone()))),
        Some(PinState::Done | PinState::Kept) => rest(recorded, committed),
    }
}

/// No worker runs, and the group has or had offsets: they are noted, or put back.
fn rest(recorded: &SourceStatus, committed: &Committed) -> Start {
    let noted = offsets(&recorded.resting);
    let known = offsets(&recorded.pinned);
    let gone = |partition: &TopicPartition| committed.get(partition) == Some(&None);
    // Partitions that were added since have no offset, and start at their log start.
    let vanished: Vec<TopicPartition> = committed
        .keys()
        .filter(|partition| gone(partition))
        .filter(|partition| {
            noted.get(*partition).or_else(|| known.get(*partition)).is_some_and(|offset| *offset != NONE)
        })
        .cloned()
        .collect();
    let (lost, restorable): (Vec<_>, Vec<_>) =
        vanished.into_iter().partition(|partition| noted.get(partition).is_none_or(|offset| *offset == NONE));
    if let Some(first) = lost.first() {
        let message = format!(
            "The group's offset of {first} is gone, and so are those of {} more partitions: set them with Kafka's tools \
             (kafka-consumer-groups --reset-offsets), and the pipeline goes on from there.",
            lost.len() - 1
        );
        let obstacle = Some(Trouble { reason: Reason::OffsetsLost, message });
        return Start { gate: Gate::Closed, chore: None, obstacle, source: recorded.clone() };
    }
    if !restorable.is_empty() {
        let offsets = restorable.into_iter().filter_map(|one| noted.get(&one).map(|offset| (one, *offset)));
        let chore = Some(Chore::Restore(by_topic(offsets)));
        return Start { gate: Gate::Hold, chore, obstacle: None, source: recorded.clone() };
    }
    let now = committed.iter().map(|(partition, offset)| (partition.clone(), offset.unwrap_or(NONE)));
    let source = SourceStatus { resting: by_topic(now), ..recorded.clone() };
    Start { gate: Gate::Open, chore: None, obstacle: None, source }
}

/// The group's offset of every partition; `None` where it has none.
pub type Committed = BTreeMap<TopicPartition, Option<i64>>;

/// The group's offsets of all partitions of all source topics; `None` while any is unknown, or was read before `since`.
pub fn committed(pipeline: &Pipeline, sample: &Sample, since: Timestamp) -> Option<Committed> {
    let all = sample.partitions.iter().map(|(partition, fact)| {
        let offset = fact.committed.filter(|_| fact.committed_at >= since)?;
        Some((partition.clone(), offset))
    });
    let committed: Committed = all.collect::<Option<_>>()?;
    let complete = pipeline.topic_names().all(|topic| {
        let known = committed.keys().filter(|partition| *partition.topic == *topic).count();
        sample.partition_count(topic).is_some_and(|count| u32::try_from(known).is_ok_and(|known| known == count))
    });
    complete.then_some(committed)
}

/// From status' form to one entry a partition.
pub fn offsets(topics: &[PinnedTopic]) -> BTreeMap<TopicPartition, i64> {
    let of_topic = |topic: &PinnedTopic| {
        let name: std::sync::Arc<str> = topic.topic.as_str().into();
        let partitions = (0..).zip(topic.offsets.clone());
        partitions
            .map(move |(partition, offset)| (TopicPartition::new(std::sync::Arc::clone(&name), partition), offset))
    };
    topics.iter().flat_map(of_topic).collect()
}

/// From one entry a partition to status' form, where a partition that is not named has none.
pub fn by_topic(offsets: impl IntoIterator<Item = (TopicPartition, i64)>) -> Vec<PinnedTopic> {
    let mut topics: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for (partition, offset) in offsets {
        let Ok(index) = usize::try_from(partition.partition) else { continue };
        let list = topics.entry(partition.topic.to_string()).or_default();
        if list.len() <= index {
            list.resize(index + 1, NONE);
        }
        if let Some(slot) = list.get_mut(index) {
            *slot = offset;
        }
    }
    topics.into_iter().map(|(topic, offsets)| PinnedTopic { topic, offsets }).collect()
}
