//! The worker's consumer: one thread owns it, no call waits, and everything that happens comes as an event.
//!
//! The thread's loop:
//!
//! 1. [`Consumer::next_event`] until it returns `None`;
//! 2. for each partition with credit that [`Consumer::maybe_ready`]: [`Consumer::fetch`];
//! 3. when nothing was found: [`crate::wake::Sleeper::sleep_unless`], which looks at all of it once more.
//!
//! A rebalance is nothing but an event: librdkafka waits for [`Consumer::assign`] or [`Consumer::unassign`], and until then
//! holds the partitions. While any is pending it delivers no records of *any* partition, so drains are short.
//!
//! Shutting down is the same loop: [`Consumer::close`], then events (the last revocation among them) until
//! [`Consumer::is_closed`]. Dropping a consumer never waits: what is left is freed on a thread of its own, and a consumer
//! that was not closed leaves its group only when the session ends.

mod committed;
mod failed;
mod hear;
mod leave;
mod split;
mod types;

use std::collections::{HashMap, HashSet, VecDeque};
use std::ffi::CString;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka_sys::bindings as sys;

use crate::error::{ErrorCode, KafkaError};
use crate::native::client::{Client, Kind, c_string};
use crate::native::partitions::PartitionList;
use crate::native::queue::Queue;
use crate::place::Place;
use crate::record::{RecordSink, TopicPartition};
use crate::settings::ClientConfig;
use crate::wake::Waker;

use committed::{Answer, Questions};
use hear::{Heard, hear};
use split::{Left, Reading, Split};
pub use types::{
    CommitOffset, CommitReply, Committed, CommittedPart, CommittedReply, ConsumerEvent, FetchLimit, Fetched, Rebalance,
    RebalanceKind, StartAt, Watermarks,
};

/// Events that librdkafka is to queue for us instead of calling back.
const EVENTS: i32 = sys::RD_KAFKA_EVENT_REBALANCE
    | sys::RD_KAFKA_EVENT_OFFSET_COMMIT
    | sys::RD_KAFKA_EVENT_ERROR
    | sys::RD_KAFKA_EVENT_FETCH;

/// How often the consumer's queue is polled although nothing was signalled. Polling is what tells librdkafka that we live.
const POLL_AT_LEAST_EVERY: Duration = Duration::from_secs(1);

/// `RD_KAFKA_PARTITION_UA`, a macro that the bindings lack.
const ANY_PARTITION: i32 = -1;

/// A member of a consumer group, or a reader of partitions assigned by hand.
#[derive(Debug)]
pub struct Consumer {
    partitions: HashMap<TopicPartition, Split>,
    topics: HashSet<Arc<str>>,
    /// Partitions of topics that were re-created, to be told.
    recreated: VecDeque<TopicPartition>,
    /// Partitions that met an error, to be given up and taken again.
    failed: Vec<TopicPartition>,
    rebalances: u64,
    /// Whether the group's protocol is the classic one.
    classic: bool,
    /// Asked back, and not given yet.
    revoking: HashSet<TopicPartition>,
    /// By which generation, until the next thing is told; not with KIP-848.
    asked_in: Option<i32>,
    closing: bool,
    /// To be closed when the group has been told.
    leaving: Option<leave::Leaving>,
    last_poll: Instant,
    questions: Questions,
    events: Queue,
    replies: Queue,
    waker: Waker,
    client: Arc<Client>,
}

impl Consumer {
    /// A consumer that wakes `waker`'s thread when it has something.
    ///
    /// # Errors
    /// The configuration names an unknown property or a value out of range.
    pub fn new(config: &ClientConfig, waker: Waker) -> Result<Self, KafkaError> {
        let client = Client::new(Kind::Consumer, config.iter(), EVENTS, waker.clone())?;
        Ok(Self {
            partitions: HashMap::new(),
            topics: HashSet::new(),
            recreated: VecDeque::new(),
            failed: Vec::new(),
            rebalances: 0,
            classic: config.get("group.protocol") != Some("consumer"),
            revoking: HashSet::new(),
            asked_in: None,
            closing: false,
            leaving: None,
            last_poll: Instant::now(),
            questions: Questions::new(waker.clone()),
            events: Queue::consumer(&client, waker.clone())?,
            replies: Queue::new(&client, waker.clone()),
            waker,
            client,
        })
    }

    /// Joins the group for these topics; returns at once.
    pub fn subscribe(&mut self, topics: &[&str]) -> Result<(), KafkaError> {
        let mut list = PartitionList::with_capacity(topics.len());
        for topic in topics {
            list.add(&c_string(topic)?, ANY_PARTITION);
        }
        self.client.subscribe(&list)
    }

    /// The next event, if there is one. Call it at least every few seconds, also while nothing is signalled: it is what keeps
    /// `max.poll.interval.ms` from expiring.
    pub fn next_event(&mut self) -> Option<ConsumerEvent> {
        self.client.look_after_brokers();
        if let Some(Answer { seq, result }) = self.questions.next() {
            return Some(ConsumerEvent::CommittedOffsets(CommittedReply { seq, result }));
        }
        if self.client.overheard().take_protocol_missing() {
            let text =
                "the brokers do not offer group.protocol=consumer (KIP-848): use the classic protocol".to_owned();
            let error = KafkaError { code: ErrorCode::UNSUPPORTED_FEATURE, text, fatal: true };
            return Some(ConsumerEvent::Error(error));
        }
        if self.client.overheard().take_answer_lost() && !self.classic {
            return Some(ConsumerEvent::AnswerLost);
        }
        if self.leaving.is_some()
            && let Err(error) = self.close_when_left()
        {
            return Some(ConsumerEvent::Error(error));
        }
        self.look_for_recreated_topics();
        if let Some(partition) = self.recreated.pop_front() {
            return Some(ConsumerEvent::PartitionError(partition, KafkaError::of(ErrorCode::UNKNOWN_TOPIC_ID)));
        }
        loop {
            let event = match self.poll_events() {
                Some(event) => Some(event),
                None => self.poll_replies(),
            };
            match event {
                Some(Heard::Event(event)) => return Some(event),
                Some(Heard::Nothing) => {}
                None => {
                    let error = self.look_after_failed(Instant::now()).err()?;
                    return Some(ConsumerEvent::Error(KafkaError { fatal: true, ..error }));
                }
            }
        }
    }

    fn look_for_recreated_topics(&mut self) {
        for topic in self.client.overheard().take_recreated() {
            for (partition, split) in &mut self.partitions {
                if split.reading != Reading::No && !split.recreated && *partition.topic == *topic {
                    split.recreated = true;
                    self.recreated.push_back(partition.clone());
                }
            }
        }
    }

    fn poll_events(&mut self) -> Option<Heard> {
        let now = Instant::now();
        if !self.events.maybe() && now.duration_since(self.last_poll) < POLL_AT_LEAST_EVERY && !self.closing {
            return None;
        }
        self.last_poll = now;
        let event = self.events.poll()?;
        let heard = hear(&event, &self.client, &mut self.topics, &mut self.rebalances);
        drop(event);
        Some(self.check_order(heard))
    }

    fn poll_replies(&mut self) -> Option<Heard> {
        if !self.replies.maybe() {
            return None;
        }
        let event = self.replies.poll()?;
        let heard = hear(&event, &self.client, &mut self.topics, &mut self.rebalances);
        drop(event);
        Some(self.check_order(heard))
    }

    /// With the classic protocol librdkafka joins again whenever the metadata of its topics changes, also before a revocation was answered
    /// (`rd_kafka_cgrp_metadata_update_check` in rdkafka_cgrp.c, 2.12.1). The group then gives to others what was asked back, and the
    /// client keeps the assignment that was to follow (`rkcg_rebalance_incr_assignment`): it believes for ever that a rebalance is under
    /// way, and takes part in no other. So whoever is told something else before a revocation was answered, or by another generation
    /// before it was followed by its assignment, must begin anew.
    fn check_order(&mut self, heard: Heard) -> Heard {
        let Heard::Event(ConsumerEvent::Rebalance(rebalance)) = heard else { return heard };
        let asked_in = self.asked_in.take().filter(|_| rebalance.kind == RebalanceKind::Assign);
        let joined_again = asked_in.is_some() && asked_in != self.client.generation();
        if (joined_again || !self.revoking.is_empty()) && !self.closing {
            let text = "the group went on although a revocation was not answered: its partitions are lost".to_owned();
            let error = KafkaError { code: ErrorCode::STATE, text, fatal: true };
            // Whoever waits for an answer cannot leave.
            return Heard::Event(ConsumerEvent::Error(self.agree(&rebalance).err().unwrap_or(error)));
        }
        if rebalance.kind == RebalanceKind::Revoke {
            self.revoking.extend(rebalance.partitions.iter().cloned());
            if self.classic && !rebalance.assignment_lost {
                self.asked_in = self.client.generation();
            }
        }
        Heard::Event(ConsumerEvent::Rebalance(rebalance))
    }

    /// Confirms an assignment (or adds partitions by hand): reading starts at these offsets. An empty list confirms an
    /// assignment and lets the kept partitions go on; its partitions can be added by later calls, one by one.
    pub fn assign(&mut self, partitions: &[StartAt]) -> Result<(), KafkaError> {
        let mut list = PartitionList::with_capacity(partitions.len());
        for start in partitions {
            let topic = c_string(&start.partition.topic)?;
            self.split(start, topic.clone())?;
            list.add_at(&topic, start.partition.partition, start.offset, start.leader_epoch);
        }
        self.client.incremental_assign(&list)?;
        for start in partitions {
            if let Some(split) = self.partitions.get_mut(&start.partition) {
                split.reading = Reading::Yes;
            }
        }
        Ok(())
    }

    /// Gives the partition a queue of its own, anew at each assignment: librdkafka may have replaced the one we knew.
    fn split(&mut self, start: &StartAt, topic: CString) -> Result<(), KafkaError> {
        let partition = &start.partition;
        // The old handle first: dropping it takes the signal off a queue that the new one may share.
        let reading = self.partitions.remove(partition).map_or(Reading::No, |old| old.reading);
        let Some(queue) = Queue::partition(&self.client, &topic, partition.partition, self.waker.clone()) else {
            return Err(KafkaError::of(ErrorCode::UNKNOWN_PARTITION));
        };
        let split = Split {
            queue,
            topic,
            reading,
            recreated: false,
            left: Left::default(),
            place: Place::at(start.offset, start.leader_epoch),
        };
        self.partitions.insert(partition.clone(), split);
        Ok(())
    }

    /// Confirms a revocation, or gives up partitions: records still buffered are gone with it. Partitions that are not
    /// assigned (any more) are passed over, so this can be said twice.
    pub fn unassign(&mut self, partitions: &[TopicPartition]) -> Result<(), KafkaError> {
        let mut list = PartitionList::with_capacity(partitions.len());
        for partition in partitions {
            self.revoking.remove(partition);
            let Some(split) = self.partitions.get_mut(partition) else { continue };
            if std::mem::replace(&mut split.reading, Reading::No).is_assigned() {
                list.add(&split.topic, partition.partition);
            }
        }
        self.client.incremental_unassign(&list)
    }

    /// Its id in the group; `None` while it is no member.
    pub fn member_id(&self) -> Option<String> {
        self.client.member_id()
    }

    /// The group gave the whole assignment away without asking. Ask again just before a release.
    pub fn assignment_lost(&self) -> bool {
        self.client.assignment_lost()
    }

    /// Reads an assigned partition from another offset on; what is buffered is dropped. This is how a partition goes on after
    /// its offset was lost ([`ErrorCode::is_offset_lost`]): librdkafka has stopped it then and ignores seeks of its own, so this
    /// gives the partition up and takes it again.
    pub fn seek(&mut self, at: &StartAt) -> Result<(), KafkaError> {
        let left = self.partitions.get(&at.partition);
        let left = left.and_then(|split| self.client.position(&split.topic, at.partition.partition));
        self.unassign(std::slice::from_ref(&at.partition))?;
        self.assign(std::slice::from_ref(at))?;
        if let Some(split) = self.partitions.get_mut(&at.partition) {
            split.left = Left(left);
        }
        Ok(())
    }

    /// Sends one OffsetCommit; the answer is [`ConsumerEvent::Committed`] with the same `seq`. There is no check that the
    /// offset does not go back: that is the caller's.
    pub fn commit(&mut self, seq: u64, offsets: &[CommitOffset]) -> Result<(), KafkaError> {
        let mut list = PartitionList::with_capacity(offsets.len());
        for commit in offsets {
            let topic = c_string(&commit.partition.topic)?;
            list.add_at(&topic, commit.partition.partition, commit.offset, commit.leader_epoch);
            if !commit.metadata.is_empty() {
                list.set_last_metadata(&commit.metadata);
            }
        }
        self.client.commit(&list, &self.replies, seq)
    }

    /// Asks for what the group committed, stable offsets only (KIP-447); the answer is [`ConsumerEvent::CommittedOffsets`]
    /// with the same `seq`, at the latest after `timeout`.
    pub fn fetch_committed(
        &mut self,
        seq: u64,
        partitions: &[TopicPartition],
        timeout: Duration,
    ) -> Result<(), KafkaError> {
        self.questions.ask(&self.client, seq, partitions, timeout)
    }

    /// The partition's queue may hold something: it was signalled since it was last found empty.
    pub fn maybe_ready(&self, partition: &TopicPartition) -> bool {
        self.partitions.get(partition).is_some_and(Split::maybe_ready)
    }

    /// There may be something to take: look before you sleep. `with_credit` says whether a partition's records are wanted
    /// now; the others are left out.
    pub fn any_ready(&self, with_credit: impl Fn(&TopicPartition) -> bool) -> bool {
        self.questions.some()
            || self.client.overheard().protocol_missing()
            || self.client.overheard().any_recreated()
            || self.client.overheard().any_answer_lost()
            || !self.recreated.is_empty()
            || self.events.maybe()
            || self.replies.maybe()
            || self.partitions.iter().any(|(partition, split)| split.maybe_ready() && with_credit(partition))
    }

    /// Hands buffered records of one partition to `sink`, without waiting and without asking the broker. What `sink` got counts only as
    /// far as [`Fetched::records`] says: nothing, where the topic was found to be re-created.
    pub fn fetch(&mut self, partition: &TopicPartition, limit: FetchLimit, sink: &mut impl RecordSink) -> Fetched {
        let Some(split) = self.partitions.get_mut(partition).filter(|split| split.reading != Reading::No) else {
            return Fetched { empty: true, ..Fetched::default() };
        };
        if split.reading != Reading::Yes {
            return Fetched::default();
        }
        let mut taken = split.queue.take((limit.max_records, limit.max_bytes), &mut split.place, sink);
        if let Some(error) = taken.error.take() {
            taken.error = self.met(partition, error, taken.error_at);
        } else if taken.empty
            && let Some(position) =
                split.left.after(taken.records).behind(self.client.position(&split.topic, partition.partition))
        {
            split.place.reached(position);
        }
        // Afterwards: a record of the new topic is never here before the word that the topic is new.
        self.look_for_recreated_topics();
        if let Some(split) = self.partitions.get_mut(partition) {
            if split.recreated {
                return Fetched::default();
            }
            split.left = split.left.after(taken.records);
        }
        Fetched { records: taken.records, bytes: taken.bytes, empty: taken.empty, error: taken.error }
    }

    /// The offset behind the last record handed over, control records included when the queue was empty then, or where reading began; `None`
    /// for a partition that was never assigned.
    pub fn position(&self, partition: &TopicPartition) -> Option<i64> {
        Some(self.partitions.get(partition)?.place.next)
    }

    /// The partition's ends as last seen; `None` before the first fetch response.
    pub fn watermarks(&self, partition: &TopicPartition) -> Option<Watermarks> {
        let split = self.partitions.get(partition)?;
        let (low, high) = self.client.cached_watermarks(&split.topic, partition.partition)?;
        Some(Watermarks { low, high })
    }

    /// The fatal error raised in this consumer, if one was: it must be dropped and another made.
    pub fn fatal_error(&self) -> Option<KafkaError> {
        self.client.fatal_error()
    }
}

/// Waits until every client that was dropped (of any kind, in the whole process) is freed; false if that takes longer than
/// `timeout`. Worth a second before a process exits, so that no thread of librdkafka is in the middle of something.
pub fn wait_freed(timeout: Duration) -> bool {
    crate::native::client::wait_freed(timeout)
}
