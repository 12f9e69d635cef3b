//! What the shell needs of Kafka, as a trait: librdkafka in earnest, a model of it in tests.
//!
//! No method waits. Whatever takes time comes back as a [`KafkaEvent`].

mod identity;
mod librdkafka;

use std::time::Duration;

use penstock_engine::Instant;
use penstock_engine::seam::{ArenaBuilder, Loaded, NewRecord, Timestamp, TopicId};
use penstock_kafka::consumer::{CommitOffset, CommitReply, FetchLimit, Fetched, Rebalance, StartAt};
use penstock_kafka::producer::{OutgoingRecord, Room, SendError};
use penstock_kafka::record::BorrowedRecord;
use penstock_kafka::{KafkaError, TopicPartition};

use crate::delay::{self, Travelled};

pub use identity::{Beginnings, Directory};
pub(crate) use identity::{topic_id, topic_id_text};
pub use librdkafka::{Delays, Librdkafka, Settings};

/// What happened on Kafka's side.
#[derive(Debug)]
pub enum KafkaEvent {
    /// Partitions come or go. An assignment is answered already, empty: while librdkafka waits for an answer it delivers nothing of
    /// *any* partition. Each is taken by [`KafkaIo::assign`] when it is known where it begins. A revocation of some partitions is
    /// answered by [`KafkaIo::unassign`], of none already.
    Rebalance(Rebalance),
    /// The answer to [`KafkaIo::commit`].
    Committed(CommitReply),
    /// The answer to [`KafkaIo::load`] for one partition.
    Loaded {
        /// Which.
        partition: TopicPartition,
        /// As it was given.
        seq: u64,
        /// What is committed, or why nobody knows.
        result: Result<Loaded, String>,
    },
    /// The answer to [`KafkaIo::find_ends`].
    Ends {
        /// Which partition.
        partition: TopicPartition,
        /// As it was given.
        seq: u64,
        /// First offset, one past the last, and whose log it is; or why nobody knows.
        result: Result<(i64, i64, TopicId), String>,
    },
    /// The answer to [`KafkaIo::find_readable_end`].
    ReadableEnd {
        /// Which partition.
        partition: TopicPartition,
        /// As it was given.
        seq: u64,
        /// One past the last offset that can be read, or why nobody knows.
        result: Result<i64, String>,
    },
    /// The coordinator did not answer in time; partitions that it gave in that answer are told of no more.
    AnswerLost,
    /// The answer to [`KafkaIo::find_given`].
    Given {
        /// As it was given.
        seq: u64,
        /// Partitions that are this worker's in the eyes of its groups, or why nobody knows.
        result: Result<Vec<TopicPartition>, String>,
    },
    /// The answer to [`KafkaIo::find_partitions_of`]; [`KafkaIo::partitions_of`] goes by it from now on.
    Partitions {
        /// Which topic.
        topic: String,
        /// How many partitions it has, or why nobody knows.
        result: Result<i32, String>,
    },
    /// A record that was sent is in the log, or is not.
    Sent {
        /// As it was given.
        token: u64,
        /// How it went.
        result: Result<(), KafkaError>,
    },
    /// One partition cannot be read.
    PartitionFailed(TopicPartition, KafkaError),
    /// Something that passes by itself: worth a log line and a counter.
    Trouble(KafkaError),
    /// The consumer is of no further use: [`KafkaIo::rebuild_consumer`]. Its partitions are lost.
    ConsumerFailed(KafkaError),
    /// The producer is of no further use: [`KafkaIo::rebuild_producer`]. What was in flight has been reported.
    ProducerFailed(KafkaError),
}

/// A consumer in a group, a producer, and the questions about a topic's identity. Delay topics have a consumer and a group of
/// their own behind the same methods: whose a partition is follows from its topic, and the two share one fate.
pub trait KafkaIo {
    /// The next event, if there is one.
    fn next_event(&mut self) -> Option<KafkaEvent>;

    /// Something may be there beside records: look before you sleep.
    fn maybe_ready(&self) -> bool;

    /// The partition's queue may hold records.
    fn has_records(&self, partition: &TopicPartition) -> bool;

    /// Copies buffered records of one partition into the arena.
    fn fetch(&mut self, partition: &TopicPartition, limit: FetchLimit, into: &mut ArenaBuilder) -> Fetched;

    /// The offset behind the last record handed over, control records included, or where reading began.
    fn position(&self, partition: &TopicPartition) -> Option<i64>;

    /// The partition's high watermark as last fetched; no request is made.
    fn high_watermark(&self, partition: &TopicPartition) -> Option<i64>;

    /// Reading of assigned partitions starts at these offsets.
    ///
    /// # Errors
    /// The client refused; it must be rebuilt.
    fn assign(&mut self, partitions: &[StartAt]) -> Result<(), KafkaError>;

    /// Confirms a revocation.
    ///
    /// # Errors
    /// The client refused; it must be rebuilt.
    fn unassign(&mut self, partitions: &[TopicPartition]) -> Result<(), KafkaError>;

    /// Reads an assigned partition from another offset on.
    ///
    /// # Errors
    /// The client refused; it must be rebuilt.
    fn seek(&mut self, to: &StartAt) -> Result<(), KafkaError>;

    /// Sends one OffsetCommit for partitions of one group, answered by [`KafkaEvent::Committed`].
    ///
    /// # Errors
    /// Nothing was sent.
    fn commit(&mut self, seq: u64, offsets: &[CommitOffset]) -> Result<(), KafkaError>;

    /// Asks for committed offset and identity, answered by one [`KafkaEvent::Loaded`] for each.
    fn load(&mut self, partitions: Vec<TopicPartition>, seq: u64);

    /// Asks where a log begins and ends, answered by [`KafkaEvent::Ends`].
    fn find_ends(&mut self, partition: &TopicPartition, seq: u64);

    /// Asks the broker up to where a log can be read, open transactions apart, answered by [`KafkaEvent::ReadableEnd`].
    fn find_readable_end(&mut self, partition: &TopicPartition, seq: u64);

    /// Asks the coordinators which partitions the groups have given to this worker, answered by [`KafkaEvent::Given`].
    fn find_given(&mut self, seq: u64);

    /// Queues a record, answered by [`KafkaEvent::Sent`]. Records are written in the order in which they come, but for those that are to
    /// be `alone`, each in a batch of its own: they keep an order among themselves.
    ///
    /// # Errors
    /// Nothing was sent.
    fn send(&mut self, record: &OutgoingRecord<'_>, alone: bool, token: u64) -> Result<(), SendError>;

    /// What the queue of records to be written still takes, or that of those to be written alone.
    fn room(&self, alone: bool) -> Room;

    /// How many partitions a topic that is written to has, as far as is known; `None` where nobody knows.
    fn partitions_of(&self, topic: &str) -> Option<i32>;

    /// Asks how many partitions a topic has by now, answered by [`KafkaEvent::Partitions`].
    fn find_partitions_of(&mut self, topic: &str);

    /// Makes other consumers and joins the groups again.
    ///
    /// # Errors
    /// The configuration is refused.
    fn rebuild_consumer(&mut self) -> Result<(), KafkaError>;

    /// Makes other producers.
    fn rebuild_producer(&mut self);

    /// Starts leaving the group: go on taking events until [`KafkaIo::is_closed`].
    ///
    /// # Errors
    /// The client refused; the group will notice by its session timeout.
    fn close(&mut self) -> Result<(), KafkaError>;

    /// The group was left.
    fn is_closed(&self) -> bool;
}

/// Milliseconds since the epoch, whoever set them.
pub fn millis(timestamp: Timestamp) -> Option<i64> {
    match timestamp {
        Timestamp::None => None,
        Timestamp::Create(millis) | Timestamp::LogAppend(millis) => Some(millis),
    }
}

/// Copies what librdkafka lends. A record of 4 GiB would be refused: brokers have none.
fn copy(record: &BorrowedRecord<'_>, into: &mut ArenaBuilder) {
    copy_as(record, NewRecord::default(), into);
}

/// The same for a record of a delay topic: with attempts and due time. `now` is the engine's clock and the wall's, the latter in
/// milliseconds since the epoch.
fn copy_delayed(record: &BorrowedRecord<'_>, delay: Duration, now: (Instant, i64), into: &mut ArenaBuilder) {
    let waited = delay::waited(millis(timestamp(record)), now.1);
    let Travelled { attempts, failing_for } = Travelled::of(record.headers());
    let (failing_for, due) = (failing_for.saturating_add(waited), now.0 + delay.saturating_sub(waited));
    copy_as(record, NewRecord { attempts, failing_for, due, ..NewRecord::default() }, into);
}

fn copy_as(record: &BorrowedRecord<'_>, how: NewRecord<'_>, into: &mut ArenaBuilder) {
    let new = NewRecord {
        offset: record.offset,
        leader_epoch: record.leader_epoch.unwrap_or(-1),
        timestamp: timestamp(record),
        key: record.key,
        value: record.value,
        ..how
    };
    let copied = into.push(new).and_then(|()| record.headers().try_for_each(|(name, value)| into.header(name, value)));
    debug_assert!(copied.is_ok(), "no record has 4 GiB");
}

fn timestamp(record: &BorrowedRecord<'_>) -> Timestamp {
    use penstock_kafka::record::Timestamp as Lent;
    match record.timestamp {
        Lent::None => Timestamp::None,
        Lent::CreateTime(millis) => Timestamp::Create(millis),
        Lent::LogAppendTime(millis) => Timestamp::LogAppend(millis),
    }
}
