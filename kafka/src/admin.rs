//! What the operator asks a cluster and changes in it. Every call is `async`, bounded by its own timeout, answers for each
//! partition or topic on its own where the protocol does, and is never retried behind the caller's back once sent.
//!
//! A client is a handful of librdkafka threads and a few connections; clones share it. One more thread of ours takes the
//! answers and hands them to the waiting tasks, so no call blocks a runtime's worker.

mod error;
mod types;

use std::time::Duration;

pub use error::{AclOperation, AclResource, AdminError, MissingAcl};
pub use types::{
    Cluster, ConfigEntry, ConfigResource, ConsumerGroup, GroupMember, GroupOffsets, GroupState, GroupType, Isolation,
    ListedOffset, NewPartitions, NewTopic, Node, OffsetSpec, OffsetToAlter, Partition, Topic, TopicId,
};

use crate::record::TopicPartition;
use crate::settings::ClientConfig;

/// A connection to one cluster with one identity. Clones share it.
#[derive(Clone, Debug)]
pub struct AdminClient {}

/// Whether a call went through, and with what.
pub type Answer<T> = Result<T, AdminError>;

impl AdminClient {
    /// A client; it connects when first asked something.
    ///
    /// # Errors
    /// The configuration names an unknown property or a value out of range.
    pub fn new(config: &ClientConfig) -> Answer<Self> {
        todo!()
    }

    /// The cluster's id, controller and brokers.
    pub async fn describe_cluster(&self, timeout: Duration) -> Answer<Cluster> {
        todo!()
    }

    /// Topics by name: id and partitions with their leaders. A topic that is not there is a `NotFound` of its own.
    pub async fn describe_topics(&self, topics: &[&str], timeout: Duration) -> Answer<Vec<(String, Answer<Topic>)>> {
        todo!()
    }

    /// Offsets of many partitions in one request to each leader.
    pub async fn list_offsets(
        &self,
        partitions: &[(TopicPartition, OffsetSpec)],
        isolation: Isolation,
        timeout: Duration,
    ) -> Answer<Vec<(TopicPartition, Answer<ListedOffset>)>> {
        todo!()
    }

    /// What a group committed: for these partitions, or for all it has any for.
    pub async fn list_consumer_group_offsets(
        &self,
        group: &str,
        partitions: Option<&[TopicPartition]>,
        require_stable: bool,
        timeout: Duration,
    ) -> Answer<GroupOffsets> {
        todo!()
    }

    /// Sets a group's offsets. The group must be empty or absent.
    pub async fn alter_consumer_group_offsets(
        &self,
        group: &str,
        offsets: &[OffsetToAlter],
        timeout: Duration,
    ) -> Answer<Vec<(TopicPartition, Answer<()>)>> {
        todo!()
    }

    /// State, type and members of a group. A group that does not exist has the state [`GroupState::Dead`].
    pub async fn describe_consumer_group(&self, group: &str, timeout: Duration) -> Answer<ConsumerGroup> {
        todo!()
    }

    /// Creates topics.
    pub async fn create_topics(&self, topics: &[NewTopic], timeout: Duration) -> Answer<Vec<(String, Answer<()>)>> {
        todo!()
    }

    /// Grows topics.
    pub async fn create_partitions(
        &self,
        topics: &[NewPartitions],
        timeout: Duration,
    ) -> Answer<Vec<(String, Answer<()>)>> {
        todo!()
    }

    /// The configuration of topics and brokers.
    pub async fn describe_configs(
        &self,
        resources: &[ConfigResource],
        timeout: Duration,
    ) -> Answer<Vec<(ConfigResource, Answer<Vec<ConfigEntry>>)>> {
        todo!()
    }

    /// Sets single keys of a topic's configuration and leaves the others (KIP-339).
    pub async fn alter_topic_config(&self, topic: &str, set: &[(&str, &str)], timeout: Duration) -> Answer<()> {
        todo!()
    }
}
