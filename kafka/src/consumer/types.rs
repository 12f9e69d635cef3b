//! What a consumer takes and tells: plain data.

use crate::error::{ErrorCode, KafkaError};
use crate::record::TopicPartition;

/// What happened since the thread last looked.
#[derive(Clone, Debug, PartialEq)]
pub enum ConsumerEvent {
    /// Partitions come or go.
    Rebalance(Rebalance),
    /// The answer to [`super::Consumer::commit`].
    Committed(CommitReply),
    /// The answer to [`super::Consumer::fetch_committed`].
    CommittedOffsets(CommittedReply),
    /// The coordinator did not answer a request in time, and perhaps it gave partitions in that answer: with KIP-848 it does not tell
    /// again, and [`crate::admin::AdminClient::describe_consumer_group`] is what knows. Not told with the classic protocol, which
    /// joins again.
    AnswerLost,
    /// Something failed. A fatal error means: drop this consumer and make a new one. Others pass by themselves and are
    /// worth a log line and a counter.
    Error(KafkaError),
    /// One partition failed outside of [`super::Consumer::fetch`].
    PartitionError(TopicPartition, KafkaError),
}

/// Which way partitions go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RebalanceKind {
    /// They are ours once [`super::Consumer::assign`] is called.
    Assign,
    /// They stay ours until [`super::Consumer::unassign`] is called (unless lost).
    Revoke,
}

/// A change of assignment that librdkafka waits to have confirmed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rebalance {
    /// Which way.
    pub kind: RebalanceKind,
    /// The partitions concerned: only the difference, the others stay.
    pub partitions: Vec<TopicPartition>,
    /// The group has already given them away: no commit will be accepted.
    pub assignment_lost: bool,
    /// Counts the rebalances of this consumer from 1.
    pub seq: u64,
}

/// The broker's answer to one commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitReply {
    /// What was given to [`super::Consumer::commit`].
    pub seq: u64,
    /// The request as a whole failed. The partitions then carry the same code.
    pub error: Option<KafkaError>,
    /// Each partition with the offset that was to be committed and how that went.
    pub partitions: Vec<(TopicPartition, i64, Result<(), ErrorCode>)>,
}

/// One partition's committed offset; `Ok(None)` is "nothing committed".
pub type CommittedPart = (TopicPartition, Result<Option<Committed>, ErrorCode>);

/// The broker's answer to one request for committed offsets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedReply {
    /// What was given to [`super::Consumer::fetch_committed`].
    pub seq: u64,
    /// Each partition asked for, or why the whole request failed. A failure is never "nothing committed".
    pub result: Result<Vec<CommittedPart>, KafkaError>,
}

/// A committed offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The next offset to read.
    pub offset: i64,
    /// The leader epoch of the record before it, if its committer said.
    pub leader_epoch: Option<i32>,
    /// The committer's own words, bytes for bytes; empty if none.
    pub metadata: Vec<u8>,
}

/// Where to start reading a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartAt {
    /// The partition.
    pub partition: TopicPartition,
    /// The first offset to read, 0 or above.
    pub offset: i64,
    /// The epoch committed with that offset: lets the client see a truncated log (KIP-320).
    pub leader_epoch: Option<i32>,
}

/// One partition's part of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitOffset {
    /// The partition.
    pub partition: TopicPartition,
    /// The next offset to read.
    pub offset: i64,
    /// The leader epoch of the record before it.
    pub leader_epoch: Option<i32>,
    /// Any bytes, up to the broker's `offset.metadata.max.bytes` (4,096 by default). Keep to UTF-8: other clients read it
    /// as a string.
    pub metadata: Vec<u8>,
}

/// How much one [`super::Consumer::fetch`] may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchLimit {
    /// At most this many records.
    pub max_records: usize,
    /// No further record once this many bytes (keys, values, headers) were taken; one record may go above it, or 16 where records are
    /// suddenly larger than before.
    pub max_bytes: usize,
}

/// What one [`super::Consumer::fetch`] brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fetched {
    /// Records handed to the sink.
    pub records: usize,
    /// Their bytes: keys, values and headers.
    pub bytes: usize,
    /// The queue was empty at the end, so the position can be read: it is behind the last record, control records
    /// (transaction markers) included.
    pub empty: bool,
    /// An error came behind these records. Where the offset is lost ([`ErrorCode::is_offset_lost`]) the partition must be read on elsewhere;
    /// after any other the client gives it up, and reads it again from there after a second.
    pub error: Option<KafkaError>,
}

/// Offsets at both ends of a partition, as last seen in a fetch response; no request is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watermarks {
    /// The first offset still there.
    pub low: i64,
    /// The high watermark: the end of what all in-sync replicas hold. With `read_committed` the end of what can be read may
    /// be below it.
    pub high: i64,
}
