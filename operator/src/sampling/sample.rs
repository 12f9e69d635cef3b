//! What is known of one pipeline's side of Kafka: every value with the time at which it was true.

use std::collections::BTreeMap;

use penstock_crds::checkpoint::{self, Checkpoint, Place};
use penstock_kafka::TopicPartition;
use penstock_kafka::admin::{AdminError, ConsumerGroup, GroupOffsets, GroupState, Topic, TopicId};
use penstock_kafka::consumer::Committed;
use penstock_scaling::Timestamp;

use super::book::Subscription;
use super::density::Density;
use super::tick::{Answers, Asked};

/// Everything known. Values outlive failed answers; `troubles` says what failed last.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    /// When it was first asked for.
    pub since: Timestamp,
    /// When anything was answered last.
    pub answered_at: Option<Timestamp>,
    /// The cluster's id.
    pub cluster_id: Option<String>,
    /// Source topics, the dead-letter topic and the output topic by name.
    pub topics: BTreeMap<String, TopicFact>,
    /// Partitions of source topics.
    pub partitions: BTreeMap<TopicPartition, PartitionFact>,
    /// The consumer group.
    pub group: Option<GroupFact>,
    /// What failed when it was asked last, by question.
    pub troubles: BTreeMap<Asked, Trouble>,
}

/// A topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopicFact {
    /// It exists.
    Present {
        /// Its id; another one after it was deleted and made again.
        id: Option<TopicId>,
        /// How many partitions it has.
        partitions: u32,
    },
    /// It does not exist, or this credential may not see it (Kafka gives the same answer to both).
    Missing,
}

/// A partition.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PartitionFact {
    /// Log start offset.
    pub log_start: Option<i64>,
    /// High watermark.
    pub end: Option<i64>,
    /// Last stable offset; the high watermark where uncommitted records are read.
    pub stable_end: Option<i64>,
    /// When `end` and `stable_end` were true.
    pub log_at: Timestamp,
    /// The group's committed offset: `None` unknown, `Some(None)` nothing committed.
    pub committed: Option<Option<i64>>,
    /// What the worker wrote with it, if it can be read and speaks of this offset of this log.
    pub checkpoint: Option<Checkpoint>,
    /// Since when the checkpoint says that nothing is delivered, or not all: as it was first seen, so that it stands still.
    pub held_since: Option<Timestamp>,
    /// When `committed` and `checkpoint` were true.
    pub committed_at: Timestamp,
    /// Records per offset.
    pub density: Density,
}

/// The consumer group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupFact {
    /// What it is doing.
    pub state: GroupState,
    /// `client.id` of each member.
    pub members: Vec<String>,
    /// When that was true.
    pub at: Timestamp,
}

/// What failed, and since when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Sorted by what to do about it.
    pub kind: TroubleKind,
    /// In words: what is wrong and what to do. Never holds a secret.
    pub text: String,
    /// When it failed first without a success since.
    pub since: Timestamp,
}

/// A failure, sorted by what to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TroubleKind {
    /// The credentials or the TLS handshake were refused.
    Authentication,
    /// A right is missing; the text names the ACL.
    Authorization,
    /// No broker can be reached, or none answers in time.
    Unreachable,
    /// The broker's answer is no.
    Refused,
}

impl Trouble {
    /// A failure as it is kept.
    pub fn of(error: &AdminError, since: Timestamp) -> Self {
        let kind = match error {
            AdminError::Authentication(_) => TroubleKind::Authentication,
            AdminError::Authorization(_) => TroubleKind::Authorization,
            AdminError::Unreachable(_) | AdminError::Timeout(_) | AdminError::Closed => TroubleKind::Unreachable,
            AdminError::NotFound(_) | AdminError::Kafka(_) => TroubleKind::Refused,
        };
        Self { kind, text: plain(&error.to_string()), since }
    }
}

/// Without librdkafka's remark on how long a connection took to fail and how often: it changes with every try, and helps nobody.
fn plain(text: &str) -> String {
    let Some((before, rest)) = text.split_once(" (after ") else { return text.to_owned() };
    // The remark has brackets of its own ("error(s)") and is the last that is said of a connection.
    let after = rest.rsplit_once(')').map_or("", |(_, after)| after);
    format!("{before}{after}")
}

impl Sample {
    /// A sample of a pipeline that is followed since then, without any answer yet.
    pub fn empty(since: Timestamp) -> Self {
        Self { since, ..Self::default() }
    }

    /// The failure that matters most: by kind, then the oldest.
    pub fn trouble(&self) -> Option<&Trouble> {
        self.troubles.values().min_by_key(|trouble| (trouble.kind, trouble.since))
    }

    /// Partitions of a topic, if it is known to exist.
    pub fn partition_count(&self, topic: &str) -> Option<u32> {
        match self.topics.get(topic)? {
            TopicFact::Present { partitions, .. } => Some(*partitions),
            TopicFact::Missing => None,
        }
    }

    /// The group has no members: offsets may be altered. `None` while that is unknown.
    pub fn group_is_empty(&self) -> Option<bool> {
        self.group.as_ref().map(|group| matches!(group.state, GroupState::Empty | GroupState::Dead))
    }

    /// Members of the group whose `client.id` does not begin with `ours`.
    pub fn strangers<'a>(&'a self, ours: &'a str) -> impl Iterator<Item = &'a str> {
        let members = self.group.iter().flat_map(|group| &group.members);
        members.map(String::as_str).filter(move |client_id| !client_id.starts_with(ours))
    }

    /// This sample after a tick's answers.
    pub(super) fn after(&self, subscription: &Subscription, answers: &Answers) -> Self {
        let mut next = self.clone();
        if let Some(answer) = &answers.cluster
            && let Some(cluster) = next.settle(Asked::Cluster, answer, answers.began, answers.at)
        {
            next.cluster_id = Some(cluster.id.clone());
        }
        next.note_topics(subscription, answers);
        next.note_log(subscription.read_committed, answers);
        next.note_group(&subscription.uid, answers);
        next
    }

    /// Keeps book of a question that was answered or failed.
    fn settle<'a, T>(
        &mut self,
        asked: Asked,
        answer: &'a Result<T, AdminError>,
        began: Timestamp,
        at: Timestamp,
    ) -> Option<&'a T> {
        match answer {
            Ok(value) => {
                self.troubles.remove(&asked);
                self.answered_at = Some(at);
                Some(value)
            }
            Err(error) => {
                self.fail(asked, error, began);
                None
            }
        }
    }

    /// Of failures in a row of one kind the first is kept: words that change a little with each try would be news every time.
    fn fail(&mut self, asked: Asked, error: &AdminError, began: Timestamp) {
        let since = self.troubles.get(&asked).map_or(began, |trouble| trouble.since);
        let trouble = Trouble::of(error, since);
        if self.troubles.get(&asked).is_none_or(|known| known.kind != trouble.kind) {
            self.troubles.insert(asked, trouble);
        }
    }

    fn note_topics(&mut self, subscription: &Subscription, answers: &Answers) {
        let Some(answer) = &answers.topics else { return };
        let Some(topics) = self.settle(Asked::Topics, answer, answers.began, answers.at) else { return };
        for (name, answer) in topics.iter().filter(|(name, _)| subscription.names(name)) {
            match answer {
                Ok(topic) => self.note_topic(name, topic, subscription.sources.contains(name)),
                Err(AdminError::NotFound(_)) => {
                    self.topics.insert(name.clone(), TopicFact::Missing);
                    self.partitions.retain(|partition, _| *partition.topic != **name);
                }
                Err(error) => self.fail(Asked::Topics, error, answers.began),
            }
        }
    }

    fn note_topic(&mut self, name: &str, topic: &Topic, source: bool) {
        let partitions = u32::try_from(topic.partitions.len()).unwrap_or(u32::MAX);
        let fact = TopicFact::Present { id: topic.id, partitions };
        let made_again = matches!(
            (self.topics.get(name), &fact),
            (Some(TopicFact::Present { id: Some(old), .. }), TopicFact::Present { id: Some(new), .. }) if old != new
        );
        if made_again {
            self.partitions.retain(|partition, _| *partition.topic != *name);
        }
        if source {
            for partition in &topic.partitions {
                self.partitions.entry(TopicPartition::new(name, partition.partition)).or_default();
            }
        }
        self.topics.insert(name.to_owned(), fact);
    }

    fn note_log(&mut self, read_committed: bool, answers: &Answers) {
        for (asked, answer) in [
            (Asked::LogStart, &answers.log_starts),
            (Asked::LogEnd, &answers.log_ends),
            (Asked::StableEnd, &answers.stable_ends),
        ] {
            let Some(answer) = answer else { continue };
            let Some(offsets) = self.settle(asked, answer, answers.began, answers.at) else { continue };
            let mut failure = None;
            for (partition, fact) in &mut self.partitions {
                match offsets.get(partition) {
                    Some(Ok(offset)) => fact.note(asked, *offset, answers.at, read_committed),
                    Some(Err(error)) => failure = Some(error.clone()),
                    None => {}
                }
            }
            if let Some(error) = failure {
                self.fail(asked, &error, answers.began);
            }
        }
    }

    fn note_group(&mut self, uid: &str, answers: &Answers) {
        if let Some((answer, at)) = answers.groups.get(uid)
            && let Some(group) = self.settle(Asked::Group, answer, answers.began, *at)
        {
            self.group = Some(GroupFact::of(group, *at));
        }
        if let Some((answer, at)) = answers.offsets.get(uid)
            && let Some(offsets) = self.settle(Asked::Offsets, answer, answers.began, *at)
        {
            self.note_offsets(offsets, *at);
        }
    }

    fn note_offsets(&mut self, offsets: &GroupOffsets, at: Timestamp) {
        let mut failure = None;
        let by_partition: BTreeMap<_, _> = offsets.iter().map(|(partition, answer)| (partition, answer)).collect();
        for (partition, fact) in &mut self.partitions {
            // Partitions that a complete answer does not name have nothing committed.
            let answer = by_partition.get(partition).map_or(&Ok(None), |answer| *answer);
            match answer {
                Ok(committed) => {
                    let checkpoint = committed.as_ref().and_then(|committed| {
                        read(
                            committed,
                            self.cluster_id.as_deref()?,
                            self.topics.get(&*partition.topic),
                            partition.partition,
                        )
                    });
                    fact.held_since = fact.held_since(checkpoint.as_ref(), at);
                    fact.checkpoint = checkpoint;
                    fact.committed = Some(committed.as_ref().map(|committed| committed.offset));
                    if let (Some(Some(offset)), Some(checkpoint)) = (fact.committed, &fact.checkpoint) {
                        fact.density = fact.density.after(offset, checkpoint);
                    }
                    fact.committed_at = at;
                }
                Err(error) => failure = Some(error.clone()),
            }
        }
        if let Some(error) = failure {
            self.fail(Asked::Offsets, &error, at);
        }
    }
}

/// What the worker wrote beside its commit. Foreign or broken metadata is ignored, never fatal: the offset alone still says what is
/// unread.
fn read(committed: &Committed, cluster_id: &str, topic: Option<&TopicFact>, partition: i32) -> Option<Checkpoint> {
    let topic_id = match topic {
        Some(TopicFact::Present { id: Some(id), .. }) => {
            u128::from(id.high.cast_unsigned()) << 64 | u128::from(id.low.cast_unsigned())
        }
        Some(TopicFact::Present { id: None, .. } | TopicFact::Missing) | None => 0,
    };
    let leader_epoch = committed.leader_epoch.unwrap_or(-1);
    let place = Place { cluster_id, topic_id, partition, offset: committed.offset, leader_epoch };
    checkpoint::decode(std::str::from_utf8(&committed.metadata).ok()?, &place).ok()
}

impl GroupFact {
    fn of(group: &ConsumerGroup, at: Timestamp) -> Self {
        let members: Vec<String> = group.members.iter().map(|member| member.client_id.clone()).collect();
        let state = match group.state {
            // KIP-848's Assigning and Reconciling, which librdkafka has no words for.
            GroupState::Unknown if !members.is_empty() => GroupState::CompletingRebalance,
            known => known,
        };
        Self { state, members, at }
    }
}

impl PartitionFact {
    /// The same hold goes on, or begins: as long ago as its worker says.
    fn held_since(&self, next: Option<&Checkpoint>, at: Timestamp) -> Option<Timestamp> {
        let hold = next?.hold?;
        let before = self.checkpoint.as_ref().and_then(|checkpoint| checkpoint.hold);
        let begun = at.as_millis().saturating_sub(hold.seconds.saturating_mul(1000));
        let same = before.is_some_and(|before| before.reason == hold.reason);
        self.held_since.filter(|_| same).or(Some(Timestamp::from_millis(begun)))
    }

    fn note(&mut self, asked: Asked, offset: i64, at: Timestamp, read_committed: bool) {
        match asked {
            Asked::LogStart => self.log_start = Some(offset),
            Asked::StableEnd => (self.stable_end, self.log_at) = (Some(offset), at),
            Asked::LogEnd => {
                self.end = Some(offset);
                if !read_committed {
                    (self.stable_end, self.log_at) = (Some(offset), at);
                }
            }
            Asked::Cluster | Asked::Topics | Asked::Group | Asked::Offsets => {}
        }
    }
}

#[cfg(test)]
mod tests;
