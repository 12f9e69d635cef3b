//! A group member for tests: it does what the worker's thread does, in its simplest form, and keeps what it saw.

#![allow(dead_code, reason = "each test program uses its part")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use penstock_kafka::consumer::{
    CommitOffset, CommitReply, CommittedReply, Consumer, ConsumerEvent, FetchLimit, RebalanceKind, StartAt,
};
use penstock_kafka::memory::{Load, RECORD_BYTES, fetch_buffers};
use penstock_kafka::record::{BorrowedRecord, Timestamp};
use penstock_kafka::settings::{Connection, ConsumerSettings, GroupProtocol};
use penstock_kafka::wake::{Sleeper, pair};
use penstock_kafka::{KafkaError, TopicPartition};
use tokio::runtime::{Builder, Runtime};

/// Longest wait for anything in a test.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// Of this thread, to sleep in.
pub(crate) fn runtime() -> Runtime {
    Builder::new_current_thread().enable_time().build().unwrap()
}

/// A record, copied out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) partition: TopicPartition,
    pub(crate) offset: i64,
    pub(crate) leader_epoch: Option<i32>,
    pub(crate) timestamp: Timestamp,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

impl Seen {
    fn of(partition: &TopicPartition, record: &BorrowedRecord<'_>) -> Self {
        Self {
            partition: partition.clone(),
            offset: record.offset,
            leader_epoch: record.leader_epoch,
            timestamp: record.timestamp,
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            headers: record.headers().map(|(name, value)| (name.to_vec(), value.map(<[u8]>::to_vec))).collect(),
        }
    }
}

/// How an assignment is confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Confirm {
    /// When all offsets are known, with all partitions.
    WhenLoaded,
    /// At once with none, each partition being added when its offset is known.
    AtOnce,
}

/// A member and everything that happened to it.
#[expect(clippy::struct_excessive_bools, reason = "switches of a test, each its own")]
pub(crate) struct Member {
    pub(crate) consumer: Consumer,
    pub(crate) sleeper: Sleeper,
    /// Longest sleep.
    pub(crate) cap: Duration,
    pub(crate) confirm: Confirm,
    /// Offsets of assigned partitions are not asked for while this is set.
    pub(crate) hold_loads: bool,
    closing: bool,
    /// Where to start without a committed offset.
    pub(crate) beginning: i64,
    /// Revocations are kept here, unanswered, while this is set.
    pub(crate) hold_revocations: bool,
    pub(crate) held: Vec<Vec<TopicPartition>>,
    pub(crate) owned: BTreeSet<TopicPartition>,
    pub(crate) records: Vec<Seen>,
    pub(crate) count: usize,
    pub(crate) keep_records: bool,
    pub(crate) limit: FetchLimit,
    /// The most records that one fetch brought.
    pub(crate) largest_fetch: usize,
    pub(crate) rebalances: Vec<(RebalanceKind, usize, bool)>,
    pub(crate) commits: BTreeMap<u64, CommitReply>,
    pub(crate) committed: BTreeMap<u64, CommittedReply>,
    pub(crate) errors: Vec<KafkaError>,
    pub(crate) answers_lost: u32,
    pub(crate) partition_errors: Vec<(TopicPartition, KafkaError)>,
    next_seq: u64,
}

/// Settings of a member of `group`.
pub(crate) fn settings(group: &str, client_id: &str, protocol: GroupProtocol) -> ConsumerSettings {
    ConsumerSettings {
        group_id: group.to_owned(),
        protocol,
        client_id: client_id.to_owned(),
        rack: None,
        read_committed: true,
        max_poll_interval: Duration::from_mins(5),
        session_timeout: Duration::from_secs(10),
        buffers: fetch_buffers(256 << 20, &Load { partitions: 12, brokers: 1, record_bytes: RECORD_BYTES }),
    }
}

/// A connection without credentials.
pub(crate) fn connection(bootstrap: &str) -> Connection {
    Connection::resolve(Some(bootstrap), None, None, &BTreeMap::new()).expect("bootstrap servers alone are enough")
}

impl Member {
    pub(crate) fn join(bootstrap: &str, settings: &ConsumerSettings, topics: &[&str]) -> Self {
        Self::join_by(&connection(bootstrap), settings, topics)
    }

    pub(crate) fn join_by(connection: &Connection, settings: &ConsumerSettings, topics: &[&str]) -> Self {
        let (sleeper, waker) = pair();
        let mut consumer = Consumer::new(&connection.consumer(settings), waker).expect("a consumer");
        consumer.subscribe(topics).expect("a subscription");
        Self {
            consumer,
            sleeper,
            cap: Duration::from_millis(50),
            confirm: Confirm::WhenLoaded,
            hold_loads: false,
            closing: false,
            beginning: 0,
            hold_revocations: false,
            held: Vec::new(),
            owned: BTreeSet::new(),
            records: Vec::new(),
            count: 0,
            keep_records: true,
            limit: FetchLimit { max_records: 1000, max_bytes: 1 << 20 },
            largest_fetch: 0,
            rebalances: Vec::new(),
            commits: BTreeMap::new(),
            committed: BTreeMap::new(),
            errors: Vec::new(),
            answers_lost: 0,
            partition_errors: Vec::new(),
            next_seq: 1,
        }
    }

    /// Turns the loop until `done` or `timeout`; whether it was done.
    pub(crate) fn run(&mut self, timeout: Duration, mut done: impl FnMut(&Self) -> bool) -> bool {
        let deadline = Instant::now() + timeout;
        loop {
            let worked = self.turn();
            if done(self) {
                return true;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            if worked {
                continue;
            }
            let has_work = || self.consumer.any_ready(|_partition| true);
            runtime().block_on(self.sleeper.sleep_unless(has_work, || left.min(self.cap)));
        }
    }

    /// One turn of the loop; whether anything was found.
    pub(crate) fn turn(&mut self) -> bool {
        let mut worked = false;
        while let Some(event) = self.consumer.next_event() {
            self.on(event);
            worked = true;
        }
        for partition in self.owned.clone() {
            if !self.consumer.maybe_ready(&partition) {
                continue;
            }
            let (keep, records) = (self.keep_records, &mut self.records);
            let mut sink = |record: BorrowedRecord<'_>| {
                if keep {
                    records.push(Seen::of(&partition, &record));
                }
            };
            let fetched = self.consumer.fetch(&partition, self.limit, &mut sink);
            self.count += fetched.records;
            self.largest_fetch = self.largest_fetch.max(fetched.records);
            worked |= fetched.records > 0;
            if let Some(error) = fetched.error {
                self.partition_errors.push((partition.clone(), error));
            }
        }
        worked
    }

    fn on(&mut self, event: ConsumerEvent) {
        match event {
            ConsumerEvent::Rebalance(rebalance) => {
                self.rebalances.push((rebalance.kind, rebalance.partitions.len(), rebalance.assignment_lost));
                match rebalance.kind {
                    RebalanceKind::Assign => self.load(&rebalance.partitions),
                    RebalanceKind::Revoke if self.hold_revocations => self.held.push(rebalance.partitions),
                    RebalanceKind::Revoke => self.release(&rebalance.partitions),
                }
            }
            ConsumerEvent::Committed(reply) => drop(self.commits.insert(reply.seq, reply)),
            ConsumerEvent::CommittedOffsets(reply) => {
                if reply.seq >= LOADS {
                    self.loaded(&reply);
                }
                self.committed.insert(reply.seq, reply);
            }
            ConsumerEvent::AnswerLost => self.answers_lost += 1,
            ConsumerEvent::Error(error) => self.errors.push(error),
            ConsumerEvent::PartitionError(partition, error) => self.partition_errors.push((partition, error)),
        }
    }

    fn load(&mut self, partitions: &[TopicPartition]) {
        if self.confirm == Confirm::AtOnce {
            self.consumer.assign(&[]).expect("an empty confirmation");
        }
        if self.hold_loads {
            return;
        }
        let seq = LOADS + self.seq();
        self.consumer.fetch_committed(seq, partitions, PATIENCE).expect("a request for offsets");
    }

    fn loaded(&mut self, reply: &CommittedReply) {
        let parts = match &reply.result {
            Ok(parts) => parts,
            // A consumer that is closing answers what it was still asked with an error.
            Err(_) if self.closing => return,
            Err(error) => panic!("committed offsets: {error}"),
        };
        let starts = parts.iter().map(|(partition, committed)| {
            let committed = committed.as_ref().expect("a committed offset, or none");
            let (offset, leader_epoch) = committed
                .as_ref()
                .map_or((self.beginning, None), |committed| (committed.offset, committed.leader_epoch));
            StartAt { partition: partition.clone(), offset, leader_epoch }
        });
        let starts: Vec<_> = starts.collect();
        match self.confirm {
            Confirm::WhenLoaded => self.consumer.assign(&starts).expect("an assignment"),
            Confirm::AtOnce => {
                for start in &starts {
                    self.consumer.assign(std::slice::from_ref(start)).expect("one more partition");
                }
            }
        }
        self.owned.extend(starts.into_iter().map(|start| start.partition));
    }

    pub(crate) fn release(&mut self, partitions: &[TopicPartition]) {
        for partition in partitions {
            self.owned.remove(partition);
        }
        self.consumer.unassign(partitions).expect("a release");
    }

    pub(crate) fn release_held(&mut self) {
        for partitions in std::mem::take(&mut self.held) {
            self.release(&partitions);
        }
    }

    fn seq(&mut self) -> u64 {
        self.next_seq += 1;
        self.next_seq
    }

    /// Commits and waits for the reply.
    pub(crate) fn commit(&mut self, offsets: &[CommitOffset]) -> CommitReply {
        let seq = self.seq();
        self.consumer.commit(seq, offsets).expect("a commit");
        assert!(self.run(PATIENCE, |member| member.commits.contains_key(&seq)), "no reply to a commit");
        self.commits.remove(&seq).expect("the reply")
    }

    /// Asks for committed offsets and waits for the reply.
    pub(crate) fn fetch_committed(&mut self, partitions: &[TopicPartition]) -> CommittedReply {
        let seq = self.seq();
        self.consumer.fetch_committed(seq, partitions, PATIENCE).expect("a request for offsets");
        assert!(self.run(PATIENCE, |member| member.committed.contains_key(&seq)), "no committed offsets");
        self.committed.remove(&seq).expect("the reply")
    }

    /// Leaves the group; how long that took.
    pub(crate) fn close(mut self) -> Duration {
        let start = Instant::now();
        self.closing = true;
        self.consumer.close().expect("a close");
        assert!(self.run(PATIENCE, |member| member.consumer.is_closed()), "the consumer does not close");
        start.elapsed()
    }
}

/// Sequence numbers of the member's own loads.
const LOADS: u64 = 1 << 32;
