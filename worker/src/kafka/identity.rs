//! Whose log a partition is, what the group committed there, and where a partition begins that has no committed offset.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use penstock_crds::spec::{StartFromSpec, StartPosition};
use penstock_engine::seam::{Loaded, TopicId};
use penstock_kafka::TopicPartition;
use penstock_kafka::admin::{AdminClient, Isolation, OffsetSpec, TopicId as Uuid};
use penstock_kafka::consumer::Committed;

/// Longest wait for an answer of the cluster; the engine asks again after a failure.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Where partitions without a committed offset begin.
#[derive(Clone, Debug)]
pub struct Beginnings {
    /// `source.startFrom`: for topics whose start was never pinned.
    pub start_from: StartFromSpec,
    /// Topics whose start offsets the operator has pinned. A partition of these without an offset is a new one: it begins at its
    /// log's start, so that records written before it was discovered are not lost.
    pub pinned_topics: BTreeSet<String>,
}

impl Beginnings {
    fn of(&self, topic: &str) -> OffsetSpec {
        if self.pinned_topics.contains(topic) {
            return OffsetSpec::Earliest;
        }
        match (self.start_from.position, &self.start_from.timestamp) {
            (StartPosition::Latest, _) => OffsetSpec::Latest,
            (StartPosition::Timestamp, Some(time)) => OffsetSpec::Timestamp(time.0.as_millisecond()),
            (StartPosition::Earliest | StartPosition::Timestamp, _) => OffsetSpec::Earliest,
        }
    }
}

/// Answers questions about partitions by asking the cluster. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Directory {
    /// Who asks.
    pub admin: AdminClient,
    /// The cluster's id.
    pub cluster_id: Arc<str>,
    /// The consumer group.
    pub group: Arc<str>,
    /// Whose records count at a log's end.
    pub isolation: Isolation,
    /// Where partitions without an offset begin.
    pub beginnings: Arc<Beginnings>,
}

impl Directory {
    /// The same for the group of the delay topics, which begin at their start: whatever is there was put there to be read.
    pub(super) fn of_delays(&self, group: &str, topics: impl Iterator<Item = String>) -> Self {
        let beginnings = Beginnings { pinned_topics: topics.collect(), ..(*self.beginnings).clone() };
        Self { group: group.into(), beginnings: Arc::new(beginnings), ..self.clone() }
    }

    /// Committed offset and identity of each partition. A failure is never "nothing committed".
    pub(super) async fn load(&self, partitions: Vec<TopicPartition>) -> Vec<(TopicPartition, Result<Loaded, String>)> {
        match self.load_all(&partitions).await {
            Ok(loaded) => loaded,
            Err(error) => partitions.into_iter().map(|partition| (partition, Err(error.clone()))).collect(),
        }
    }

    async fn load_all(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<Vec<(TopicPartition, Result<Loaded, String>)>, String> {
        let committed =
            self.admin.list_consumer_group_offsets(&self.group, Some(partitions), true, TIMEOUT).await.map_err(text)?;
        let ids = self.topic_ids(partitions).await?;
        let mut loaded = Vec::with_capacity(committed.len());
        let mut fresh = Vec::new();
        for (partition, answer) in committed {
            let id = ids.iter().find(|(topic, _)| *topic == *partition.topic);
            let Some((_, Ok(id))) = id else {
                let error = id.and_then(|(_, id)| id.clone().err());
                loaded.push((partition, Err(error.unwrap_or_else(|| "the cluster left the topic out".to_owned()))));
                continue;
            };
            match answer {
                Err(error) => loaded.push((partition, Err(text(error)))),
                Ok(Some(committed)) => loaded.push((partition, Ok(self.continued(committed, *id)))),
                Ok(None) => fresh.push((partition, *id)),
            }
        }
        loaded.extend(self.begin(fresh).await);
        let missing = partitions.iter().filter(|one| !loaded.iter().any(|(partition, _)| partition == *one));
        let missing: Vec<_> = missing.cloned().collect();
        loaded.extend(missing.into_iter().map(|one| (one, Err("the coordinator left the partition out".to_owned()))));
        Ok(loaded)
    }

    fn continued(&self, committed: Committed, topic_id: TopicId) -> Loaded {
        Loaded {
            cluster_id: Arc::clone(&self.cluster_id),
            topic_id,
            offset: committed.offset,
            leader_epoch: committed.leader_epoch.unwrap_or(-1),
            metadata: String::from_utf8(committed.metadata).unwrap_or_default(),
        }
    }

    /// Partitions without a committed offset: where they begin.
    async fn begin(&self, fresh: Vec<(TopicPartition, TopicId)>) -> Vec<(TopicPartition, Result<Loaded, String>)> {
        if fresh.is_empty() {
            return Vec::new();
        }
        let asked: Vec<_> =
            fresh.iter().map(|(partition, _)| (partition.clone(), self.beginnings.of(&partition.topic))).collect();
        let first = self.offsets(&asked).await;
        // No record is as young as the time asked for: the partition begins behind its last one.
        let behind: Vec<_> = first
            .iter()
            .filter(|(_, offset)| matches!(offset, Ok(None)))
            .map(|(partition, _)| (partition.clone(), OffsetSpec::Latest))
            .collect();
        let behind = if behind.is_empty() { Vec::new() } else { self.offsets(&behind).await };
        fresh
            .into_iter()
            .map(|(partition, topic_id)| {
                let found = behind.iter().chain(&first).find(|(one, _)| *one == partition);
                let offset = match found {
                    Some((_, Ok(Some(offset)))) => Ok(*offset),
                    Some((_, Err(error))) => Err(error.clone()),
                    _ => Err("the cluster named no offset to begin at".to_owned()),
                };
                let loaded = offset.map(|offset| Loaded {
                    cluster_id: Arc::clone(&self.cluster_id),
                    topic_id,
                    offset,
                    leader_epoch: -1,
                    metadata: String::new(),
                });
                (partition, loaded)
            })
            .collect()
    }

    /// First offset, end, and identity of a log.
    pub(super) async fn ends(&self, partition: &TopicPartition) -> Result<(i64, i64, TopicId), String> {
        let ids = self.topic_ids(std::slice::from_ref(partition)).await?;
        let id = ids.into_iter().next().ok_or("the cluster left the topic out")?.1?;
        let mut ends = [0; 2];
        for (end, spec) in ends.iter_mut().zip([OffsetSpec::Earliest, OffsetSpec::Latest]) {
            let answer = self.offsets(&[(partition.clone(), spec)]).await.into_iter().next();
            *end = answer.ok_or("the cluster left the partition out")?.1?.ok_or("the cluster named no offset")?;
        }
        Ok((ends[0], ends[1], id))
    }

    /// One past the last offset that a reader of this pipeline's isolation gets.
    pub(super) async fn readable_end(&self, partition: &TopicPartition) -> Result<i64, String> {
        let answer = self.offsets(&[(partition.clone(), OffsetSpec::Latest)]).await.into_iter().next();
        answer.ok_or("the cluster left the partition out")?.1?.ok_or_else(|| "the cluster named no offset".to_owned())
    }

    /// The partitions that the group has given to a member; none to who is no member.
    pub(super) async fn given(&self, member: &str) -> Result<Vec<TopicPartition>, String> {
        let group = self.admin.describe_consumer_group(&self.group, TIMEOUT).await.map_err(text)?;
        Ok(group.members.into_iter().find(|one| one.member_id == member).map(|one| one.assignment).unwrap_or_default())
    }

    /// How many partitions a topic has.
    pub(super) async fn partitions_of(&self, topic: &str) -> Result<i32, String> {
        let answer = self.admin.describe_topics(&[topic], TIMEOUT).await.map_err(text)?.into_iter().next();
        let topic = answer.ok_or("the cluster left the topic out")?.1.map_err(text)?;
        Ok(i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX))
    }

    async fn offsets(
        &self,
        asked: &[(TopicPartition, OffsetSpec)],
    ) -> Vec<(TopicPartition, Result<Option<i64>, String>)> {
        match self.admin.list_offsets(asked, self.isolation, TIMEOUT).await {
            Ok(answers) => answers
                .into_iter()
                .map(|(partition, answer)| (partition, answer.map(|listed| listed.offset).map_err(text)))
                .collect(),
            Err(error) => {
                let error = text(error);
                asked.iter().map(|(partition, _)| (partition.clone(), Err(error.clone()))).collect()
            }
        }
    }

    async fn topic_ids(&self, partitions: &[TopicPartition]) -> Result<Vec<(String, Result<TopicId, String>)>, String> {
        let names: BTreeSet<&str> = partitions.iter().map(|partition| &*partition.topic).collect();
        let names: Vec<&str> = names.into_iter().collect();
        let topics = self.admin.describe_topics(&names, TIMEOUT).await.map_err(text)?;
        let id = |topic: penstock_kafka::admin::Topic| topic.id.map_or(TopicId(0), topic_id);
        Ok(topics.into_iter().map(|(name, topic)| (name, topic.map(id).map_err(text))).collect())
    }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

pub(crate) fn topic_id(id: Uuid) -> TopicId {
    TopicId(u128::from(id.high.cast_unsigned()) << 64 | u128::from(id.low.cast_unsigned()))
}

/// The id as Kafka's tools print it.
pub(crate) fn topic_id_text(id: TopicId) -> String {
    let bytes = id.0.to_be_bytes();
    let half = |range: std::ops::Range<usize>| bytes[range].try_into().map_or(0, i64::from_be_bytes);
    Uuid { high: half(0..8), low: half(8..16) }.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_id_reads_as_kafkas_tools_print_it() {
        let id = Uuid { high: -1, low: 1 };
        assert_eq!(topic_id_text(topic_id(id)), id.to_string());
    }

    #[test]
    fn a_new_partition_of_a_pinned_topic_begins_at_its_start() {
        let start_from = StartFromSpec { position: StartPosition::Latest, timestamp: None };
        let beginnings = Beginnings { start_from, pinned_topics: BTreeSet::from(["a".to_owned()]) };
        assert_eq!(beginnings.of("a"), OffsetSpec::Earliest);
        assert_eq!(beginnings.of("b"), OffsetSpec::Latest);
    }
}
