//! What the operator asks a cluster and changes in it. Every call is `async`, bounded by its own timeout, answers for each
//! partition or topic on its own where the protocol does, and is never retried behind the caller's back once sent.
//!
//! A client is a handful of librdkafka threads and a few connections; clones share it. One more thread of ours takes the
//! answers and hands them to the waiting tasks, so no call blocks a runtime's worker.

mod driver;
mod error;
mod types;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub use error::{AclOperation, AclResource, AdminError, MissingAcl};
pub use types::{
    Cluster, ConfigEntry, ConfigResource, ConsumerGroup, GroupMember, GroupOffsets, GroupState, GroupType, Isolation,
    ListedOffset, NewPartitions, NewTopic, Node, OffsetSpec, OffsetToAlter, Partition, Topic, TopicId,
};

use driver::{Complaint, Driver};
use error::{Subject, sort};

use crate::error::{ErrorCode, KafkaError};
use crate::native::admin::{Call, configs, groups, offsets, topics as native_topics};
use crate::native::client::c_string;
use crate::native::event::Event;
use crate::native::partitions::PartitionList;
use crate::record::TopicPartition;
use crate::settings::{ClientConfig, GroupProtocol};

/// A connection to one cluster with one identity. Clones share it; the last one that goes closes it, without waiting.
#[derive(Clone, Debug)]
pub struct AdminClient {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    config: ClientConfig,
    current: Mutex<Arc<Driver>>,
    trouble: Complaint,
}

/// Whether a call, or one part of its answer, went through, and with what.
pub type Answer<T> = Result<T, AdminError>;

/// The longest timeout that librdkafka takes.
const AS_LONG_AS_IT_TAKES: Duration = Duration::from_hours(1);

/// Offsets that stand for others in a ListOffsets request.
const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;

impl AdminClient {
    /// A client; it connects when first asked something.
    ///
    /// # Errors
    /// The configuration names an unknown property or a value out of range.
    pub fn new(config: &ClientConfig) -> Answer<Self> {
        let trouble = Complaint::default();
        let current = Mutex::new(Arc::new(Driver::new(config, Arc::clone(&trouble))?));
        Ok(Self { shared: Arc::new(Shared { config: config.clone(), current, trouble }) })
    }

    fn driver(&self) -> Arc<Driver> {
        Arc::clone(&self.shared.current.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn ask<T: Send + 'static>(
        &self,
        subject: &Subject,
        timeout: Duration,
        send: impl FnOnce(&Call<'_>) -> Result<(), KafkaError>,
        read: impl FnOnce(&Event<'_>) -> Result<T, KafkaError> + Send + 'static,
    ) -> Answer<T> {
        let driver = self.driver();
        let answer = driver.ask(timeout, send, read).await?;
        answer.map_err(|error| sort(error, subject, driver.trouble().as_ref()))
    }

    /// A call to a group's coordinator. librdkafka must not time it out itself: if the coordinator returns after that, it uses
    /// what it has freed and aborts the process (librdkafka #4605, #3663, open in 2.12.1; a test here shows it). So it is given
    /// as long as it takes, and when *we* have waited enough, the client is replaced and goes with all that it still waits for.
    async fn ask_coordinator<T: Send + 'static>(
        &self,
        subject: &Subject,
        timeout: Duration,
        send: impl FnOnce(&Call<'_>) -> Result<(), KafkaError>,
        read: impl FnOnce(&Event<'_>) -> Result<T, KafkaError> + Send + 'static,
    ) -> Answer<T> {
        let driver = self.driver();
        let Ok(answer) = tokio::time::timeout(timeout, driver.ask(AS_LONG_AS_IT_TAKES, send, read)).await else {
            self.replace(&driver);
            let text = format!("the coordinator of {subject} did not answer within {timeout:?}");
            let error = KafkaError { code: ErrorCode::TIMED_OUT, text, fatal: false };
            return Err(sort(error, subject, driver.trouble().as_ref()));
        };
        answer?.map_err(|error| sort(error, subject, driver.trouble().as_ref()))
    }

    fn replace(&self, stale: &Arc<Driver>) {
        let mut current = self.shared.current.lock().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&current, stale) {
            return;
        }
        match Driver::new(&self.shared.config, Arc::clone(&self.shared.trouble)) {
            Ok(fresh) => *current = Arc::new(fresh),
            // The next timeout tries again; until then the old one serves.
            Err(error) => tracing::warn!(%error, "an admin client that waits in vain could not be replaced"),
        }
    }

    /// The cluster's id, controller and brokers.
    pub async fn describe_cluster(&self, timeout: Duration) -> Answer<Cluster> {
        let subject = Subject::cluster(AclOperation::Describe);
        self.ask(&subject, timeout, native_topics::describe_cluster, native_topics::cluster).await
    }

    /// The protocol in which the cluster's groups should be joined: the newer one where its brokers offer it. Needs no rights.
    /// A cluster whose `group.version` feature is still 0 offers it and refuses it; a consumer is told so when it joins.
    pub async fn group_protocol(&self, timeout: Duration) -> Answer<GroupProtocol> {
        // Any answer will do, a refusal too: the broker that gives it has said before which requests it knows.
        match self.list_consumer_group_offsets("penstock-admin", None, false, timeout).await {
            Ok(_) | Err(AdminError::Authorization(_) | AdminError::NotFound(_) | AdminError::Kafka(_)) => {}
            Err(unanswered) => return Err(unanswered),
        }
        let offered = self.driver().consumer_protocol_offered();
        Ok(if offered { GroupProtocol::Consumer } else { GroupProtocol::Classic })
    }

    /// Topics by name: id and partitions with their leaders. A topic that is not there is a `NotFound` of its own.
    pub async fn describe_topics(&self, topics: &[&str], timeout: Duration) -> Answer<Vec<(String, Answer<Topic>)>> {
        if topics.is_empty() {
            return Ok(Vec::new());
        }
        let subject = Subject::topic(topics[0], AclOperation::Describe);
        let send = |call: &Call<'_>| native_topics::describe_topics(call, topics);
        let parts = self.ask(&subject, timeout, send, native_topics::described).await?;
        Ok(topic_parts(parts, AclOperation::Describe))
    }

    /// Offsets of many partitions in one request to each leader. A leader that is not the one we know, or has begun anew, is an error
    /// of its partition; the next call finds it.
    pub async fn list_offsets(
        &self,
        partitions: &[(TopicPartition, OffsetSpec)],
        isolation: Isolation,
        timeout: Duration,
    ) -> Answer<Vec<(TopicPartition, Answer<ListedOffset>)>> {
        let Some((first, _)) = partitions.first() else { return Ok(Vec::new()) };
        let subject = Subject::topic(&first.topic, AclOperation::Describe);
        let specs = partitions.iter().map(|(partition, spec)| {
            let offset = match spec {
                OffsetSpec::Earliest => EARLIEST,
                OffsetSpec::Latest => LATEST,
                OffsetSpec::MaxTimestamp => MAX_TIMESTAMP,
                OffsetSpec::Timestamp(millis) => *millis,
            };
            (partition, offset, None, &[][..])
        });
        let read_committed = isolation == Isolation::ReadCommitted;
        let send = |call: &Call<'_>| offsets::list_offsets(call, &list(specs)?, read_committed);
        let driver = self.driver();
        let parts = match self.ask(&subject, timeout, send, offsets::listed).await {
            Ok(parts) => parts,
            // librdkafka gives up on all of them when none has a leader, and does not say why none has.
            Err(error) if error.code() == Some(ErrorCode::NO_ENTRY) => {
                return self.why_no_leaders(partitions.iter().map(|(partition, _)| partition), timeout).await;
            }
            Err(error) => return Err(error),
        };
        // The leader has begun anew, as after its restart, and librdkafka 2.12.1 goes on asking by the epoch in its cache.
        if parts.iter().any(|(.., part)| matches!(part, Err(ErrorCode::FENCED_LEADER_EPOCH))) {
            self.replace(&driver);
        }
        Ok(partition_parts(parts, AclOperation::Describe, |listed| ListedOffset {
            offset: listed.offset,
            timestamp: listed.timestamp,
            leader_epoch: listed.leader_epoch,
        }))
    }

    async fn why_no_leaders<T>(
        &self,
        partitions: impl Iterator<Item = &TopicPartition> + Clone,
        timeout: Duration,
    ) -> Answer<Vec<(TopicPartition, Answer<T>)>> {
        let mut names: Vec<&str> = partitions.clone().map(|partition| &*partition.topic).collect();
        names.sort_unstable();
        names.dedup();
        let topics = self.describe_topics(&names, timeout).await?;
        let why = |partition: &TopicPartition| {
            let topic = topics.iter().find(|(name, _)| **name == *partition.topic).map(|(_, topic)| topic);
            match topic {
                Some(Err(error)) => error.clone(),
                Some(Ok(topic)) if topic.partitions.iter().any(|one| one.partition == partition.partition) => {
                    AdminError::Unreachable(format!("{partition} has no leader"))
                }
                _ => AdminError::NotFound(partition.to_string()),
            }
        };
        Ok(partitions.map(|partition| (partition.clone(), Err(why(partition)))).collect())
    }

    /// What a group committed: for these partitions, or for all it has any for. With `require_stable`, offsets that an open
    /// transaction may still change are errors of their partition (KIP-447).
    pub async fn list_consumer_group_offsets(
        &self,
        group: &str,
        partitions: Option<&[TopicPartition]>,
        require_stable: bool,
        timeout: Duration,
    ) -> Answer<GroupOffsets> {
        if partitions.is_some_and(<[_]>::is_empty) {
            return Ok(Vec::new());
        }
        let subject = Subject::group(group, AclOperation::Describe);
        let send = |call: &Call<'_>| {
            let plain = |partition| (partition, i64::from(UNSET), None, &[][..]);
            let partitions = partitions.map(|partitions| list(partitions.iter().map(plain))).transpose()?;
            offsets::fetch_committed(call, group, partitions.as_ref(), require_stable)
        };
        let parts = self.ask_coordinator(&subject, timeout, send, offsets::committed).await?;
        Ok(partition_parts(parts, AclOperation::Describe, |committed| committed))
    }

    /// Sets a group's offsets. The group must be empty or absent.
    pub async fn alter_consumer_group_offsets(
        &self,
        group: &str,
        offsets: &[OffsetToAlter],
        timeout: Duration,
    ) -> Answer<Vec<(TopicPartition, Answer<()>)>> {
        if offsets.is_empty() {
            return Ok(Vec::new());
        }
        let subject = Subject::group(group, AclOperation::Read);
        let send = |call: &Call<'_>| {
            let entries = offsets.iter();
            let entries = entries.map(|one| (&one.partition, one.offset, one.leader_epoch, one.metadata.as_slice()));
            offsets::alter(call, group, &list(entries)?)
        };
        let parts = self.ask_coordinator(&subject, timeout, send, offsets::altered).await?;
        Ok(partition_parts(parts, AclOperation::Read, |()| ()))
    }

    /// State, type and members of a group. A group that does not exist has the state [`GroupState::Dead`].
    pub async fn describe_consumer_group(&self, group: &str, timeout: Duration) -> Answer<ConsumerGroup> {
        let subject = Subject::group(group, AclOperation::Describe);
        self.ask_coordinator(&subject, timeout, |call| groups::describe(call, group), groups::described).await
    }

    /// Creates topics; answers when the controller has them. Brokers may still say `NotFound` for a moment.
    pub async fn create_topics(&self, topics: &[NewTopic], timeout: Duration) -> Answer<Vec<(String, Answer<()>)>> {
        let Some(first) = topics.first() else { return Ok(Vec::new()) };
        let subject = Subject::topic(&first.name, AclOperation::Create);
        let send = |call: &Call<'_>| native_topics::create(call, topics);
        let parts = self.ask(&subject, timeout, send, native_topics::created).await?;
        Ok(topic_parts(parts, AclOperation::Create))
    }

    /// Grows topics; answers when the controller has done so. Brokers may still describe them as before for a moment.
    pub async fn create_partitions(
        &self,
        topics: &[NewPartitions],
        timeout: Duration,
    ) -> Answer<Vec<(String, Answer<()>)>> {
        let Some(first) = topics.first() else { return Ok(Vec::new()) };
        let subject = Subject::topic(&first.topic, AclOperation::Alter);
        let send = |call: &Call<'_>| native_topics::grow(call, topics);
        let parts = self.ask(&subject, timeout, send, native_topics::grown).await?;
        Ok(topic_parts(parts, AclOperation::Alter))
    }

    /// The configuration of topics and brokers.
    pub async fn describe_configs(
        &self,
        resources: &[ConfigResource],
        timeout: Duration,
    ) -> Answer<Vec<(ConfigResource, Answer<Vec<ConfigEntry>>)>> {
        let Some(first) = resources.first() else { return Ok(Vec::new()) };
        let subject = config_subject(first, AclOperation::DescribeConfigs);
        let send = |call: &Call<'_>| configs::describe(call, resources);
        let parts = self.ask(&subject, timeout, send, configs::described).await?;
        let sorted = parts.into_iter().map(|(resource, entries)| {
            let subject = config_subject(&resource, AclOperation::DescribeConfigs);
            (resource, entries.map_err(|error| sort(error, &subject, None)))
        });
        Ok(sorted.collect())
    }

    /// Sets single keys of a topic's configuration and leaves the others (KIP-339).
    pub async fn alter_topic_config(&self, topic: &str, set: &[(&str, &str)], timeout: Duration) -> Answer<()> {
        if set.is_empty() {
            return Ok(());
        }
        let subject = Subject::topic(topic, AclOperation::AlterConfigs);
        let resource = ConfigResource::Topic(topic.to_owned());
        self.ask(&subject, timeout, |call| configs::alter(call, &resource, set), configs::altered).await
    }
}

/// librdkafka's "no offset given".
const UNSET: i32 = rdkafka_sys::bindings::RD_KAFKA_OFFSET_INVALID;

/// A list of partitions with offset, leader epoch and metadata.
fn list<'a>(
    entries: impl Iterator<Item = (&'a TopicPartition, i64, Option<i32>, &'a [u8])>,
) -> Result<PartitionList, KafkaError> {
    let mut list = PartitionList::with_capacity(entries.size_hint().0);
    for (partition, offset, leader_epoch, metadata) in entries {
        list.add_at(&c_string(&partition.topic)?, partition.partition, offset, leader_epoch);
        if !metadata.is_empty() {
            list.set_last_metadata(metadata);
        }
    }
    Ok(list)
}

fn partition_parts<T, U>(
    parts: Vec<offsets::Part<T>>,
    operation: AclOperation,
    convert: impl Fn(T) -> U,
) -> Vec<(TopicPartition, Answer<U>)> {
    let mut names: Vec<Arc<str>> = Vec::new();
    let sorted = parts.into_iter().map(|(topic, partition, part)| {
        // Answers come topic by topic: the name is most often the last one seen.
        let name = if let Some(name) = names.iter().rev().find(|name| ***name == *topic) {
            Arc::clone(name)
        } else {
            let name: Arc<str> = topic.as_str().into();
            names.push(Arc::clone(&name));
            name
        };
        let part = part.map(&convert).map_err(|code| part_error(code, &topic, operation));
        (TopicPartition { topic: name, partition }, part)
    });
    sorted.collect()
}

fn part_error(code: ErrorCode, topic: &str, operation: AclOperation) -> AdminError {
    sort(KafkaError::of(code), &Subject::topic(topic, operation), None)
}

fn topic_parts<T>(parts: Vec<native_topics::TopicPart<T>>, operation: AclOperation) -> Vec<(String, Answer<T>)> {
    let sorted = parts.into_iter().map(|(topic, part)| {
        let part = part.map_err(|error| sort(error, &Subject::topic(&topic, operation), None));
        (topic, part)
    });
    sorted.collect()
}

fn config_subject(resource: &ConfigResource, operation: AclOperation) -> Subject {
    match resource {
        ConfigResource::Topic(name) => Subject::topic(name, operation),
        ConfigResource::Broker(_) => Subject::cluster(operation),
    }
}
