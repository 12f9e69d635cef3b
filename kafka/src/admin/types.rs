//! What admin calls take and give: plain data.

use std::collections::BTreeMap;
use std::fmt;

use crate::consumer::Committed;
use crate::record::TopicPartition;

use super::Answer;

/// A cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// Its id: the same on every broker, for as long as the cluster lives.
    pub id: String,
    /// The broker that controls it, if known.
    pub controller: Option<i32>,
    /// Its brokers.
    pub nodes: Vec<Node>,
}

/// A broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its id.
    pub id: i32,
    /// The advertised host.
    pub host: String,
    /// The advertised port.
    pub port: u16,
    /// Its rack, if it has one.
    pub rack: Option<String>,
}

/// A topic's id (KIP-516): a topic that is deleted and made again has another.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicId {
    /// The first eight bytes.
    pub high: i64,
    /// The last eight bytes.
    pub low: i64,
}

/// A topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// Its id; `None` from brokers that give none (before 2.8).
    pub id: Option<TopicId>,
    /// Kafka's own, such as `__consumer_offsets`.
    pub internal: bool,
    /// Its partitions, by number.
    pub partitions: Vec<Partition>,
}

/// A partition of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Its number.
    pub partition: i32,
    /// The broker that leads it; `None` while there is none.
    pub leader: Option<i32>,
    /// The brokers that hold it.
    pub replicas: Vec<i32>,
    /// The brokers that hold all of it.
    pub in_sync: Vec<i32>,
}

/// Which offset of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetSpec {
    /// The first one still there.
    Earliest,
    /// The end: high watermark, or last stable offset with [`Isolation::ReadCommitted`].
    Latest,
    /// The first one whose timestamp (milliseconds since the epoch) is this or later.
    Timestamp(i64),
    /// The one with the highest timestamp (KIP-734).
    MaxTimestamp,
}

/// Whose records count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// All of them, up to the high watermark.
    ReadUncommitted,
    /// Those of finished transactions, up to the last stable offset.
    ReadCommitted,
}

/// An answer to an [`OffsetSpec`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListedOffset {
    /// The offset; `None` when no record is that young.
    pub offset: Option<i64>,
    /// The record's timestamp, where one was asked for.
    pub timestamp: Option<i64>,
    /// The leader epoch, where the broker says.
    pub leader_epoch: Option<i32>,
}

/// What a group committed, partition by partition; `Ok(None)` is "nothing committed".
pub type GroupOffsets = Vec<(TopicPartition, Answer<Option<Committed>>)>;

/// One offset to set for a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetToAlter {
    /// The partition.
    pub partition: TopicPartition,
    /// The next offset to read.
    pub offset: i64,
    /// The leader epoch of the record before it.
    pub leader_epoch: Option<i32>,
    /// The metadata to commit with it.
    pub metadata: Vec<u8>,
}

/// A consumer group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerGroup {
    /// What it is doing.
    pub state: GroupState,
    /// Which protocol it speaks.
    pub kind: GroupType,
    /// The assignor in use, for instance `cooperative-sticky` or `uniform`.
    pub assignor: String,
    /// The broker that coordinates it.
    pub coordinator: Option<i32>,
    /// Who is in it.
    pub members: Vec<GroupMember>,
}

/// What a group is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupState {
    /// The broker did not say, or said something newer than this client.
    Unknown,
    /// Members are joining.
    PreparingRebalance,
    /// Members wait for their assignment (classic), or it is being computed.
    CompletingRebalance,
    /// All members have what they should have.
    Stable,
    /// There is no such group, or it is being removed.
    Dead,
    /// No members; offsets are kept.
    Empty,
}

/// Which protocol a group speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupType {
    /// The broker did not say.
    Unknown,
    /// KIP-848.
    Consumer,
    /// The older one.
    Classic,
}

/// A member of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMember {
    /// The id that the coordinator knows it by.
    pub member_id: String,
    /// The client.id it gave.
    pub client_id: String,
    /// The address it connects from.
    pub host: String,
    /// Its group.instance.id, if it is static.
    pub instance_id: Option<String>,
    /// What it reads.
    pub assignment: Vec<TopicPartition>,
}

/// A topic to create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// How many partitions; `None` for the broker's default.
    pub partitions: Option<u32>,
    /// How many replicas; `None` for the broker's default.
    pub replication_factor: Option<u16>,
    /// Its configuration.
    pub config: BTreeMap<String, String>,
}

/// A topic to grow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewPartitions {
    /// Its name.
    pub topic: String,
    /// How many partitions it shall have in all.
    pub total: u32,
}

/// Whose configuration.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ConfigResource {
    /// A topic's.
    Topic(String),
    /// A broker's.
    Broker(i32),
}

/// One key of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigEntry {
    /// The key.
    pub name: String,
    /// Its value; `None` if the broker keeps it secret.
    pub value: Option<String>,
    /// Nobody set it: it is the default.
    pub is_default: bool,
    /// Set on this resource itself (for a topic: not inherited from the broker).
    pub is_own: bool,
}

impl fmt::Display for TopicId {
    /// Sixteen bytes in URL-safe base64 without padding, as Kafka's tools print them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let mut bytes = [0; 18]; // two more, so that it divides by three
        bytes[..8].copy_from_slice(&self.high.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.low.to_be_bytes());
        let sextets = bytes.chunks_exact(3).flat_map(|three| {
            let word = u32::from(three[0]) << 16 | u32::from(three[1]) << 8 | u32::from(three[2]);
            [word >> 18, word >> 12, word >> 6, word].map(|sextet| char::from(ALPHABET[(sextet & 63) as usize]))
        });
        f.write_str(&sextets.take(22).collect::<String>())
    }
}

impl fmt::Debug for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
