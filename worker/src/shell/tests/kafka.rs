//! A cluster that answers late, refuses, takes partitions away, and reads every commit.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use penstock_engine::Instant;
use penstock_engine::seam::{ArenaBuilder, Loaded, NewRecord, TopicId};
use penstock_kafka::consumer::{CommitOffset, CommitReply, FetchLimit, Fetched, Rebalance, RebalanceKind, StartAt};
use penstock_kafka::producer::{OutgoingRecord, Room, SendError};
use penstock_kafka::{ErrorCode, KafkaError, TopicPartition};

use super::world::{Chance, Chaos, PARTITIONS, RECORDS, Truth, key_of};
use crate::kafka::{KafkaEvent, KafkaIo};

const TOPIC: &str = "orders";
const ALL: [i32; PARTITIONS as usize] = [0, 1, 2];
const VALUE: &[u8] = &[7; 40];

#[derive(Debug)]
pub(super) struct ModelKafka {
    pub(super) now: Instant,
    chance: Chance,
    chaos: Chaos,
    truth: Rc<RefCell<Truth>>,
    /// What happens when, not necessarily in the order of the questions.
    events: VecDeque<(Instant, KafkaEvent)>,
    /// Partitions of ours by the group's opinion.
    owned: BTreeSet<i32>,
    /// Position of those that are read.
    reading: BTreeMap<i32, i64>,
    /// A rebalance waits for this answer.
    unanswered: Option<RebalanceKind>,
    committed: BTreeMap<i32, (i64, String)>,
    counts: BTreeMap<&'static str, u32>,
    next_trouble: Instant,
    closing: bool,
    /// librdkafka gave up; the shell will hear of it.
    failed: bool,
    /// Partitions whose position is not in the log.
    pub(super) lost: BTreeSet<i32>,
    /// The producer's queue takes nothing.
    pub(super) full: bool,
    /// The most records that brokers take together.
    pub(super) batch_max: usize,
    /// Partitions that deliver nothing, and what ends that.
    pub(super) silent: BTreeMap<i32, Silence>,
    /// Partitions that are ours, of which the shell was not told.
    mislaid: BTreeSet<i32>,
    /// End of what can be read: below [`RECORDS`] while a transaction is open.
    pub(super) readable: i64,
    /// Partitions of the dead-letter topic.
    pub(super) letters: Letters,
    /// The same, as the worker was told last.
    told: i32,
}

/// How many partitions the dead-letter topic has, in the eyes of different people.
#[derive(Clone, Copy, Debug)]
pub(super) struct Letters {
    /// When the worker began.
    pub(super) began: i32,
    /// By now.
    pub(super) now: i32,
    /// As far as the producer has heard.
    pub(super) heard: i32,
}

/// Why a partition delivers nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Silence {
    /// A signal was lost.
    Signal,
    /// Its queue is forwarded to nobody.
    Queue,
    /// The whole client is ill.
    Client,
}

fn name(partition: i32) -> TopicPartition {
    TopicPartition::new(TOPIC, partition)
}

impl ModelKafka {
    pub(super) fn new(seed: u64, chaos: Chaos, truth: Rc<RefCell<Truth>>) -> Self {
        let mut kafka = Self {
            now: Instant::ZERO,
            chance: Chance::new(seed),
            chaos,
            truth,
            events: VecDeque::new(),
            owned: BTreeSet::new(),
            reading: BTreeMap::new(),
            unanswered: None,
            committed: BTreeMap::new(),
            counts: BTreeMap::new(),
            next_trouble: Instant::from_millis(50),
            closing: false,
            failed: false,
            lost: BTreeSet::new(),
            full: false,
            batch_max: usize::MAX,
            silent: BTreeMap::new(),
            mislaid: BTreeSet::new(),
            readable: RECORDS,
            letters: Letters { began: PARTITIONS, now: PARTITIONS, heard: PARTITIONS },
            told: 0,
        };
        kafka.give(&ALL);
        kafka
    }

    pub(super) fn count(&self, what: &str) -> u32 {
        self.counts.get(what).copied().unwrap_or_default()
    }

    pub(super) fn assigned(&self) -> Vec<i32> {
        self.reading.keys().copied().collect()
    }

    pub(super) fn committed_offset(&self, partition: i32) -> i64 {
        self.committed.get(&partition).map_or(0, |(offset, _)| *offset)
    }

    pub(super) fn is_all_committed(&self) -> bool {
        (0..PARTITIONS).all(|partition| self.committed_offset(partition) == RECORDS)
    }

    pub(super) fn revoke_all(&mut self) {
        let partitions: Vec<i32> = self.owned.iter().copied().collect();
        self.take(&partitions, false);
    }

    pub(super) fn revoke(&mut self, partition: i32) {
        self.take(&[partition], false);
    }

    /// The group gives a partition, in an answer that gets lost.
    pub(super) fn mislay(&mut self, partition: i32) {
        self.mislaid.insert(partition);
        self.later(KafkaEvent::AnswerLost);
    }

    /// An answer gets lost in which there was nothing.
    pub(super) fn lose_an_answer(&mut self) {
        self.later(KafkaEvent::AnswerLost);
    }

    pub(super) fn lose_all(&mut self) {
        self.take(&ALL, true);
    }

    /// librdkafka gives up.
    pub(super) fn fail(&mut self) {
        self.events.retain(|(_, event)| matches!(event, KafkaEvent::Sent { .. }));
        self.owned.clear();
        self.reading.clear();
        self.unanswered = None;
        self.failed = true;
        let error = KafkaError { fatal: true, ..KafkaError::of(ErrorCode::FATAL) };
        self.later(KafkaEvent::ConsumerFailed(error));
    }

    /// The producer has a fatal error, if anything is on its way: nothing more is told of that.
    pub(super) fn fail_producer(&mut self) -> bool {
        let before = self.events.len();
        self.events.retain(|(_, event)| !matches!(event, KafkaEvent::Sent { .. }));
        let unheard = self.events.len() < before;
        if unheard {
            self.later(KafkaEvent::ProducerFailed(KafkaError { fatal: true, ..KafkaError::of(ErrorCode::FATAL) }));
        }
        unheard
    }

    fn later(&mut self, event: KafkaEvent) {
        let due = self.now + Duration::from_millis(self.chance.below(15));
        self.events.push_back((due, event));
    }

    fn give(&mut self, partitions: &[i32]) {
        self.unanswered = Some(RebalanceKind::Assign);
        self.owned.extend(partitions);
        self.rebalance(RebalanceKind::Assign, partitions, false);
    }

    fn take(&mut self, partitions: &[i32], lost: bool) {
        self.unanswered = Some(RebalanceKind::Revoke);
        self.rebalance(RebalanceKind::Revoke, partitions, lost);
    }

    fn rebalance(&mut self, kind: RebalanceKind, partitions: &[i32], assignment_lost: bool) {
        let partitions = partitions.iter().map(|partition| name(*partition)).collect();
        self.later(KafkaEvent::Rebalance(Rebalance { kind, partitions, assignment_lost, seq: 0 }));
    }

    /// Lets something happen now and then, one thing at a time.
    fn trouble(&mut self) {
        if !self.chaos.rebalances
            || self.closing
            || self.failed
            || self.unanswered.is_some()
            || self.now < self.next_trouble
        {
            return;
        }
        self.next_trouble = self.now + Duration::from_millis(20 + self.chance.below(400));
        let missing: Vec<i32> = (0..PARTITIONS).filter(|partition| !self.owned.contains(partition)).collect();
        match self.chance.below(8) {
            _ if !missing.is_empty() => self.give(&missing),
            0 if self.chaos.failures => self.fail(),
            1 => self.take(&ALL, true),
            2..=4 => {
                let some: Vec<i32> = ALL.into_iter().filter(|_| self.chance.one_in(2)).collect();
                self.take(&some, false);
            }
            _ => {}
        }
    }

    fn check(&self, offset: &CommitOffset) {
        let (partition, truth) = (offset.partition.partition, self.truth.borrow());
        let undone = (0..offset.offset).find(|one| !truth.done.contains(&(partition, *one)));
        assert_eq!(undone, None, "S2: {partition} committed at {} before that was done", offset.offset);
        let before = self.committed_offset(partition);
        assert!(!self.reading.contains_key(&partition) || offset.offset >= before, "S3: {partition} goes back");
    }
}

impl KafkaIo for ModelKafka {
    fn next_event(&mut self) -> Option<KafkaEvent> {
        self.trouble();
        let index = self.events.iter().position(|(due, _)| *due <= self.now)?;
        let (_, event) = self.events.remove(index)?;
        if let KafkaEvent::Rebalance(Rebalance { kind, partitions, .. }) = &event
            && (*kind == RebalanceKind::Assign || partitions.is_empty())
        {
            self.unanswered = None;
        }
        if let KafkaEvent::Partitions { result: Ok(count), .. } = &event {
            self.told = *count;
        }
        Some(event)
    }

    fn maybe_ready(&self) -> bool {
        self.events.iter().any(|(due, _)| *due <= self.now)
    }

    fn has_records(&self, partition: &TopicPartition) -> bool {
        // As in librdkafka, nothing is delivered while a rebalance waits for its answer.
        let lost = self.lost.contains(&partition.partition);
        let readable = |position: &i64| lost || *position < self.readable;
        self.unanswered.is_none()
            && !self.silent.contains_key(&partition.partition)
            && self.reading.get(&partition.partition).is_some_and(readable)
    }

    fn fetch(&mut self, partition: &TopicPartition, limit: FetchLimit, into: &mut ArenaBuilder) -> Fetched {
        let mut fetched = Fetched { empty: true, ..Fetched::default() };
        if self.silent.get(&partition.partition).is_some_and(|silence| *silence != Silence::Signal) {
            return fetched;
        }
        self.silent.remove(&partition.partition);
        if self.lost.contains(&partition.partition) {
            let error = Some(KafkaError::of(ErrorCode::AUTO_OFFSET_RESET));
            return Fetched { empty: false, error, ..fetched };
        }
        let Some(position) = self.reading.get_mut(&partition.partition) else { return fetched };
        while *position < self.readable {
            if fetched.records >= limit.max_records || fetched.bytes >= limit.max_bytes {
                fetched.empty = false;
                break;
            }
            let key = key_of(*position).to_be_bytes();
            let new = NewRecord {
                offset: *position,
                leader_epoch: 0,
                key: Some(&key),
                value: Some(VALUE),
                ..NewRecord::default()
            };
            into.push(new).unwrap();
            fetched.records += 1;
            fetched.bytes += key.len() + VALUE.len();
            *position += 1;
        }
        fetched
    }

    fn position(&self, partition: &TopicPartition) -> Option<i64> {
        self.reading.get(&partition.partition).copied()
    }

    fn high_watermark(&self, _: &TopicPartition) -> Option<i64> {
        Some(RECORDS)
    }

    fn assign(&mut self, partitions: &[StartAt]) -> Result<(), KafkaError> {
        if self.failed {
            return Err(KafkaError { fatal: true, ..KafkaError::of(ErrorCode::FATAL) });
        }
        for start in partitions {
            let number = start.partition.partition;
            assert!(self.owned.contains(&number), "{number} is read though the group did not give it");
            self.reading.insert(number, start.offset);
        }
        Ok(())
    }

    fn unassign(&mut self, partitions: &[TopicPartition]) -> Result<(), KafkaError> {
        for partition in partitions {
            self.reading.remove(&partition.partition);
            self.owned.remove(&partition.partition);
        }
        self.unanswered = None;
        Ok(())
    }

    fn seek(&mut self, to: &StartAt) -> Result<(), KafkaError> {
        assert_ne!(self.unanswered, Some(RebalanceKind::Revoke), "a seek would answer it");
        *self.counts.entry("seek").or_default() += 1;
        self.reading.insert(to.partition.partition, to.offset);
        self.silent.retain(|partition, silence| *partition != to.partition.partition || *silence == Silence::Client);
        Ok(())
    }

    fn commit(&mut self, seq: u64, offsets: &[CommitOffset]) -> Result<(), KafkaError> {
        let mut partitions = Vec::new();
        let refused = self.chaos.refusals && self.chance.one_in(10);
        for offset in offsets {
            self.check(offset);
            let result = if refused { Err(ErrorCode::NOT_COORDINATOR) } else { Ok(()) };
            if !refused {
                let metadata = String::from_utf8(offset.metadata.clone()).unwrap();
                self.committed.insert(offset.partition.partition, (offset.offset, metadata));
            }
            partitions.push((offset.partition.clone(), offset.offset, result));
        }
        self.later(KafkaEvent::Committed(CommitReply { seq, error: None, partitions }));
        Ok(())
    }

    fn load(&mut self, partitions: Vec<TopicPartition>, seq: u64) {
        for partition in partitions {
            let result = if self.chaos.refusals && self.chance.one_in(10) {
                Err("the coordinator is moving".to_owned())
            } else {
                let (offset, metadata) = self.committed.get(&partition.partition).cloned().unwrap_or_default();
                let (cluster_id, topic_id) = ("c".into(), TopicId(1));
                Ok(Loaded { cluster_id, topic_id, offset, leader_epoch: 0, metadata })
            };
            self.later(KafkaEvent::Loaded { partition, seq, result });
        }
    }

    fn find_ends(&mut self, partition: &TopicPartition, seq: u64) {
        let asked = self.counts.entry("ends").or_default();
        *asked += 1;
        let result = if *asked <= 2 { Err("no leader".to_owned()) } else { Ok((0, RECORDS, TopicId(1))) };
        self.later(KafkaEvent::Ends { partition: partition.clone(), seq, result });
    }

    fn find_readable_end(&mut self, partition: &TopicPartition, seq: u64) {
        *self.counts.entry("asked").or_default() += 1;
        self.later(KafkaEvent::ReadableEnd { partition: partition.clone(), seq, result: Ok(self.readable) });
    }

    fn find_given(&mut self, seq: u64) {
        let asked = self.counts.entry("given").or_default();
        *asked += 1;
        let given = || self.owned.union(&self.mislaid).map(|partition| name(*partition)).collect();
        let result = if *asked == 1 { Err("the coordinator is moving".to_owned()) } else { Ok(given()) };
        self.later(KafkaEvent::Given { seq, result });
    }

    fn send(&mut self, record: &OutgoingRecord<'_>, alone: bool, token: u64) -> Result<(), SendError> {
        assert_eq!((record.topic, record.value), ("dlq", Some(VALUE)));
        if self.full {
            return Err(SendError::Full);
        }
        if record.partition.is_some_and(|partition| partition >= self.letters.heard) {
            *self.counts.entry("unheard").or_default() += 1;
            return Err(SendError::Refused(KafkaError::of(ErrorCode::UNKNOWN_PARTITION)));
        }
        *self.counts.entry("alone").or_default() += u32::from(alone);
        let too_large = self.batch_max == 1 && !alone;
        if too_large || self.chaos.refusals && self.chance.one_in(10) {
            let code = if too_large { ErrorCode::MESSAGE_TOO_LARGE } else { ErrorCode::TIMED_OUT };
            let error = KafkaError::of(code);
            self.later(KafkaEvent::Sent { token, result: Err(error) });
            return Ok(());
        }
        let header = |name: &str| {
            let (_, value) = record.headers.iter().find(|(own, _)| *own == name.as_bytes()).unwrap();
            String::from_utf8(value.unwrap().to_vec()).unwrap()
        };
        let origin =
            (header("penstock.origin.partition").parse().unwrap(), header("penstock.origin.offset").parse().unwrap());
        if let Some(partition) = record.partition {
            assert_eq!(partition, origin.0, "the same partition, or the key's");
        } else {
            assert!(origin.0 >= self.letters.began, "same partition where it exists");
            *self.counts.entry("by key").or_default() += 1;
        }
        // In the log from now on, whoever learns of it when: the commit may follow the confirmation at once.
        let mut truth = self.truth.borrow_mut();
        truth.done.insert(origin);
        truth.dead.insert(origin);
        drop(truth);
        self.later(KafkaEvent::Sent { token, result: Ok(()) });
        Ok(())
    }

    fn room(&self, _alone: bool) -> Room {
        Room::ALL
    }

    fn partitions_of(&self, topic: &str) -> Option<i32> {
        (topic == "dlq").then_some(self.letters.began.max(self.told))
    }

    fn find_partitions_of(&mut self, topic: &str) {
        assert_eq!(topic, "dlq");
        let asked = self.counts.entry("counted").or_default();
        *asked += 1;
        let result = if *asked <= 2 { Err("no broker is up".to_owned()) } else { Ok(self.letters.now) };
        self.later(KafkaEvent::Partitions { topic: topic.to_owned(), result });
    }

    fn rebuild_consumer(&mut self) -> Result<(), KafkaError> {
        *self.counts.entry("rebuild").or_default() += 1;
        self.failed = false;
        self.silent.clear();
        self.mislaid.clear();
        self.events.retain(|(_, event)| matches!(event, KafkaEvent::Sent { .. }));
        self.give(&ALL);
        Ok(())
    }

    fn rebuild_producer(&mut self) {
        *self.counts.entry("rebuild producer").or_default() += 1;
        self.events.retain(|(_, event)| !matches!(event, KafkaEvent::Sent { .. }));
    }

    fn close(&mut self) -> Result<(), KafkaError> {
        self.closing = true;
        if self.unanswered.is_none() && !self.owned.is_empty() {
            self.revoke_all();
        }
        Ok(())
    }

    fn is_closed(&self) -> bool {
        self.closing && self.reading.is_empty() && self.unanswered.is_none()
    }
}
