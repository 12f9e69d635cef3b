//! The worker's consumer: one thread owns it, no call waits, and everything that happens comes as an event.
//!
//! The thread's loop:
//!
//! 1. [`Consumer::next_event`] until it returns `None`;
//! 2. for each partition with credit that [`Consumer::maybe_ready`]: [`Consumer::fetch`];
//! 3. when nothing was found: [`crate::wake::Sleeper::announce`], look at all of it once more, then sleep.
//!
//! A rebalance is nothing but an event: librdkafka waits for [`Consumer::assign`] or [`Consumer::unassign`], and until then
//! holds the partitions. While any is pending it delivers no records of *any* partition, so drains are short.
//!
//! Shutting down is the same loop: [`Consumer::close`], then events (the last revocation among them) until
//! [`Consumer::is_closed`]. Dropping a consumer never waits: what is left is freed on a thread of its own, and a consumer
//! that was not closed leaves its group only when the session ends.

use std::time::Duration;

use crate::error::{ErrorCode, KafkaError};
use crate::record::{RecordSink, TopicPartition};
use crate::settings::ClientConfig;
use crate::wake::Waker;

/// What happened since the thread last looked.
#[derive(Clone, Debug, PartialEq)]
pub enum ConsumerEvent {
    /// Partitions come or go.
    Rebalance(Rebalance),
    /// The answer to [`Consumer::commit`].
    Committed(CommitReply),
    /// The answer to [`Consumer::fetch_committed`].
    CommittedOffsets(CommittedReply),
    /// Something failed. A fatal error means: drop this consumer and make a new one. Others pass by themselves and are
    /// worth a log line and a counter.
    Error(KafkaError),
    /// One partition failed outside of [`Consumer::fetch`].
    PartitionError(TopicPartition, KafkaError),
}

/// Which way partitions go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RebalanceKind {
    /// They are ours once [`Consumer::assign`] is called.
    Assign,
    /// They stay ours until [`Consumer::unassign`] is called (unless lost).
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
    /// What was given to [`Consumer::commit`].
    pub seq: u64,
    /// The request as a whole failed. The partitions then carry the same code.
    pub error: Option<KafkaError>,
    /// Each partition with the offset that was to be committed and how that went.
    pub partitions: Vec<(TopicPartition, i64, Result<(), ErrorCode>)>,
}

/// The broker's answer to one request for committed offsets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedReply {
    /// What was given to [`Consumer::fetch_committed`].
    pub seq: u64,
    /// Each partition asked for, or why the whole request failed. A failure is never "nothing committed".
    pub result: Result<Vec<(TopicPartition, Result<Option<Committed>, ErrorCode>)>, KafkaError>,
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

/// How much one [`Consumer::fetch`] may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchLimit {
    /// At most this many records.
    pub max_records: usize,
    /// No further record once this many bytes (keys, values, headers) were taken; one record may go above it.
    pub max_bytes: usize,
}

/// What one [`Consumer::fetch`] brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fetched {
    /// Records handed to the sink.
    pub records: usize,
    /// Their bytes: keys, values and headers.
    pub bytes: usize,
    /// The queue was empty at the end, so the position can be read: it is behind the last record, control records
    /// (transaction markers) included.
    pub empty: bool,
    /// The partition cannot be read further, see [`ErrorCode::is_offset_lost`]. Records fetched before it were handed over.
    pub error: Option<KafkaError>,
}

/// Offsets at both ends of a partition, as last seen in a fetch response; no request is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watermarks {
    /// The first offset still there.
    pub low: i64,
    /// The end of what this client may read: the high watermark, or the last stable offset with `read_committed`.
    pub high: i64,
}

/// A member of a consumer group, or a reader of partitions assigned by hand.
#[derive(Debug)]
pub struct Consumer {}

impl Consumer {
    /// A consumer that wakes `waker`'s thread when it has something.
    ///
    /// # Errors
    /// The configuration names an unknown property or a value out of range.
    pub fn new(config: &ClientConfig, waker: Waker) -> Result<Self, KafkaError> {
        todo!()
    }

    /// Joins the group for these topics; returns at once.
    pub fn subscribe(&mut self, topics: &[&str]) -> Result<(), KafkaError> {
        todo!()
    }

    /// The next event, if there is one. Also keeps `max.poll.interval.ms` from expiring.
    pub fn next_event(&mut self) -> Option<ConsumerEvent> {
        todo!()
    }

    /// Confirms an assignment (or adds partitions by hand): reading starts at these offsets.
    pub fn assign(&mut self, partitions: &[StartAt]) -> Result<(), KafkaError> {
        todo!()
    }

    /// Confirms a revocation, or gives up partitions: records still buffered are gone with it.
    pub fn unassign(&mut self, partitions: &[TopicPartition]) -> Result<(), KafkaError> {
        todo!()
    }

    /// The group gave the whole assignment away without asking. Ask again just before a release.
    pub fn assignment_lost(&self) -> bool {
        todo!()
    }

    /// Reads an assigned partition from another offset on. What is buffered is dropped.
    pub fn seek(&mut self, to: &StartAt) -> Result<(), KafkaError> {
        todo!()
    }

    /// Sends one OffsetCommit; the answer is [`ConsumerEvent::Committed`] with the same `seq`. There is no check that the
    /// offset does not go back: that is the caller's.
    pub fn commit(&mut self, seq: u64, offsets: &[CommitOffset]) -> Result<(), KafkaError> {
        todo!()
    }

    /// Asks for what the group committed, stable offsets only (KIP-447); the answer is [`ConsumerEvent::CommittedOffsets`]
    /// with the same `seq`, at the latest after `timeout`.
    pub fn fetch_committed(
        &mut self,
        seq: u64,
        partitions: &[TopicPartition],
        timeout: Duration,
    ) -> Result<(), KafkaError> {
        todo!()
    }

    /// The partition's queue may hold something: it was signalled since it was last found empty.
    pub fn maybe_ready(&self, partition: &TopicPartition) -> bool {
        todo!()
    }

    /// Any queue may hold something: look before you sleep. `without` names partitions that have no credit.
    pub fn any_ready(&self, with_credit: impl Fn(&TopicPartition) -> bool) -> bool {
        todo!()
    }

    /// Hands buffered records of one partition to `sink`, without waiting and without asking the broker.
    pub fn fetch(&mut self, partition: &TopicPartition, limit: FetchLimit, sink: &mut impl RecordSink) -> Fetched {
        todo!()
    }

    /// The offset behind the last record handed over, control records included; `None` before the first.
    pub fn position(&self, partition: &TopicPartition) -> Option<i64> {
        todo!()
    }

    /// The partition's ends as last seen; `None` before the first fetch response.
    pub fn watermarks(&self, partition: &TopicPartition) -> Option<Watermarks> {
        todo!()
    }

    /// Starts leaving the group. Go on taking events (the last revocation is one) until [`Consumer::is_closed`].
    pub fn close(&mut self) -> Result<(), KafkaError> {
        todo!()
    }

    /// The group was left, the consumer can be dropped.
    pub fn is_closed(&self) -> bool {
        todo!()
    }
}
