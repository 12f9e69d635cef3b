//! Dead letters, outputs and delayed records on their way.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use penstock_engine::seam::{
    Destination, ErrorClass, Failure, Forward, ForwardId, ForwardResult, Forwarded, OutputRecord,
};
use penstock_engine::{Event, Instant};
use penstock_kafka::producer::{Room, SendError};
use penstock_kafka::{ErrorCode, KafkaError, TopicPartition};

use super::Shell;
use crate::delay::{self, FirstRead};
use crate::forward::{self, DeadLetters};
use crate::kafka::KafkaIo;
use crate::processor::Calls;

/// How long a partition that turned out not to exist is done without. It may only have been away: a topic that is made anew, while the
/// brokers tell each other, or one that has grown, until the producer hears of it.
const ABSENT: Duration = Duration::from_secs(60);
/// How long nobody asks again how many partitions a topic has: it may have fewer than the source for good.
const COUNT_AGAIN: Duration = Duration::from_secs(60);

/// How long nobody is told again that batches are too large.
const TELL_AGAIN: Duration = Duration::from_secs(60);

/// Forwards sent and not confirmed.
#[derive(Debug, Default)]
pub(super) struct Forwards {
    sent: HashMap<ForwardId, Pending>,
    /// The producer's queue was full. It cannot be, since the engine reserves room, unless records are very large.
    waiting: VecDeque<Forward>,
    /// Partitions of dead-letter and delay topics that turned out not to exist, and until when that is believed.
    absent: HashMap<(String, i32), Instant>,
    /// When the cluster was last asked for those of a topic because a record found its own missing.
    asked: HashMap<String, Instant>,
    results: Vec<Forwarded>,
    /// When it was last told that batches are too large.
    told_of_batches: Option<Instant>,
    /// The failure that the log has already, by where to: the same again and again is no news.
    told: HashMap<&'static str, ErrorCode>,
}

/// The records of one forward that are not confirmed yet.
#[derive(Debug)]
struct Pending {
    left: usize,
    to: &'static str,
    /// Set when the record was sent to the partition of its origin.
    partition: Option<(String, i32)>,
    failed: Option<KafkaError>,
    /// Each was in a batch of its own.
    alone: bool,
}

impl Forwards {
    /// The partition of the same number as a record's own, where a topic with so many has it.
    fn partition(&self, (topic, count): (&str, Option<i32>), origin: i32, now: Instant) -> Option<i32> {
        let absent = self.absent.get(&(topic.to_owned(), origin)).is_some_and(|until| now < *until);
        (count.is_some_and(|count| origin < count) && !absent).then_some(origin)
    }

    /// A record finds its partition missing: whether to ask how many there are by now.
    fn is_to_be_asked(&mut self, topic: &str, now: Instant) -> bool {
        let due = self.asked.get(topic).is_none_or(|last| now.since(*last) >= COUNT_AGAIN);
        if due {
            self.asked.insert(topic.to_owned(), now);
        }
        due
    }

    pub(super) fn in_progress(&self) -> usize {
        self.sent.len() + self.waiting.len()
    }
}

impl<K: KafkaIo, C: Calls> Shell<K, C> {
    /// Hands a record to the producer, in the order in which the engine gives them: none overtakes one that found the queue full.
    pub(super) fn forward(&mut self, forward: Forward, now: Instant) {
        if !self.forwards.waiting.is_empty() || !self.is_taken(&forward, now) {
            self.forwards.waiting.push_back(forward);
        }
        self.metrics.forwards_in_progress.set(i64::try_from(self.forwards.in_progress()).unwrap_or(i64::MAX));
    }

    /// Tries again what found the queue full.
    pub(super) fn resend(&mut self, now: Instant) {
        while let Some(forward) = self.forwards.waiting.pop_front() {
            if !self.is_taken(&forward, now) {
                return self.forwards.waiting.push_front(forward);
            }
        }
    }

    /// Whether the producer's queue has room for it; it is taken then, or refused for good.
    fn is_taken(&mut self, forward: &Forward, now: Instant) -> bool {
        match self.send(forward, now) {
            Ok(pending) if pending.left == 0 => self.forwarded(forward.id, pending.to, Ok(())),
            Ok(pending) => {
                self.forwards.sent.insert(forward.id, pending);
            }
            Err((_, SendError::Full)) => return false,
            Err((to, SendError::Refused(error))) => self.forwarded(forward.id, to, Err(error)),
        }
        true
    }

    fn send(&mut self, forward: &Forward, now: Instant) -> Result<Pending, (&'static str, SendError)> {
        let (token, alone) = (token(forward.id), forward.alone);
        let FirstRead { origin, record } = &self.partitions.first_read(forward.tp, &forward.record);
        let (settings, io, forwards) = (&self.settings, &mut self.io, &mut self.forwards);
        let mut copied = |io: &mut K, to, topic: &str, own: &forward::Own| {
            let count = io.partitions_of(topic);
            if lacks(count, origin.partition) && forwards.is_to_be_asked(topic, now) {
                io.find_partitions_of(topic);
            }
            let partition = forwards.partition((topic, count), origin.partition, now);
            let mut copy = |partition: Option<i32>| {
                forward::copy(record, own, (topic, partition), |outgoing| io.send(outgoing, alone, token))
            };
            let (partition, sent) = match (partition, copy(partition)) {
                // The producer hears of new partitions for itself, and later. It would say the same until then.
                (Some(number), Err(SendError::Refused(error))) if error.code == ErrorCode::UNKNOWN_PARTITION => {
                    forwards.absent.insert((topic.to_owned(), number), now + ABSENT);
                    (None, copy(None))
                }
                as_it_is => as_it_is,
            };
            let partition = partition.map(|number| (topic.to_owned(), number));
            sent.map(|()| Pending { left: 1, to, partition, failed: None, alone }).map_err(|error| (to, error))
        };
        match &forward.to {
            Destination::Output(answer) if !Room::ALL.holds(size(&answer.records)) => {
                let text = "one answer has more records or bytes than the producer's queue".to_owned();
                let error = KafkaError { code: ErrorCode::RECORD_LIST_TOO_LARGE, text, fatal: false };
                Err(("output", SendError::Refused(error)))
            }
            // As a whole or not at all: the records of the next answer must not get between.
            Destination::Output(answer) if !io.room(alone).holds(size(&answer.records)) => {
                Err(("output", SendError::Full))
            }
            Destination::Output(answer) => {
                let topic = settings.output.as_deref().unwrap_or_default();
                let mut left = 0;
                for (number, one) in answer.records.iter().enumerate() {
                    let own = forward::output_headers(origin, record, number, &settings.pipeline);
                    match forward::output(record, one, &own, topic, |outgoing| io.send(outgoing, alone, token)) {
                        Ok(()) => left += 1,
                        // Some are on their way: their confirmation ends the forward, as failed, and all are sent again.
                        Err(error) if left > 0 => {
                            let failed = match error {
                                SendError::Full => KafkaError::of(ErrorCode::QUEUE_FULL),
                                SendError::Refused(error) => error,
                            };
                            return Ok(Pending { left, to: "output", partition: None, failed: Some(failed), alone });
                        }
                        Err(error) => return Err(("output", error)),
                    }
                }
                Ok(Pending { left, to: "output", partition: None, failed: None, alone })
            }
            Destination::DeadLetter(cause) => {
                let letters = settings.dead_letter.as_ref();
                let topic = letters.map_or("", |letters| letters.topic.as_str());
                let headers =
                    |letters: &DeadLetters| letters.headers(origin, record, cause, forward.parked, &settings.pipeline);
                let own = letters.map(headers).unwrap_or_default();
                copied(io, "dead_letter", topic, &own)
            }
            Destination::Delay { tier, cause } => {
                let topic = settings.delay_topics.get(*tier).map_or("", |one| one.topic.as_str());
                let own = delay::headers(origin, record, cause, &settings.pipeline);
                copied(io, "delay", topic, &own)
            }
        }
    }

    /// Partitions are ours now: the topics that their records may go to may have grown with them. These questions count for no limit:
    /// the operator lets those topics grow a little later than the source, and a record that finds its partition missing must ask soon.
    pub(super) fn look_for_growth(&mut self, partitions: &[TopicPartition]) {
        let Some(highest) = partitions.iter().map(|one| one.partition).max() else { return };
        let letters = self.settings.dead_letter.iter().map(|letters| &letters.topic);
        let delays = self.settings.delay_topics.iter().map(|one| &one.topic);
        for topic in letters.chain(delays) {
            if lacks(self.io.partitions_of(topic), highest) {
                self.io.find_partitions_of(topic);
            }
        }
    }

    /// A record was confirmed, or failed.
    pub(super) fn sent(&mut self, token: u64, result: Result<(), KafkaError>, now: Instant) {
        let id = id(token);
        let Some(pending) = self.forwards.sent.get_mut(&id) else { return };
        pending.left = pending.left.saturating_sub(1);
        // Of an answer's records one may be at fault, and others have failed with it.
        let blame = |error: &KafkaError| error.code.is_of_the_record();
        if let Err(error) = result
            && !pending.failed.as_ref().is_some_and(blame)
        {
            pending.failed = Some(error);
        }
        if pending.left > 0 {
            return;
        }
        let Some(pending) = self.forwards.sent.remove(&id) else { return };
        if let (Some(error), Some(place)) = (&pending.failed, pending.partition)
            && error.code == ErrorCode::UNKNOWN_PARTITION
        {
            self.forwards.absent.insert(place, now + ABSENT);
        }
        match pending.failed {
            Some(error) if error.code.is_too_large() && !pending.alone => {
                self.refused_in_company(id, pending.to, &error, now);
            }
            failed => self.forwarded(id, pending.to, failed.map_or(Ok(()), Err)),
        }
    }

    /// A broker refuses a batch as a whole where that is larger than its topic takes, whichever of its records, or all together, are.
    fn refused_in_company(&mut self, id: ForwardId, to: &'static str, error: &KafkaError, now: Instant) {
        if self.forwards.told_of_batches.is_none_or(|last| now.since(last) >= TELL_AGAIN) {
            self.forwards.told_of_batches = Some(now);
            tracing::warn!(
                to,
                %error,
                "a batch is larger than its topic takes: its records are written one by one. If none of them is too large by itself, a \
                 batch.size below the topic's max.message.bytes spares that (kafka.properties)"
            );
        }
        self.metrics.forwards.with_label_values(&[to, "failed"]).inc();
        self.forwards.results.push(Forwarded { id, result: ForwardResult::RefusedInCompany });
    }

    /// The producer is of no further use. What was on its way may be written or not: nobody will say, so it is sent again.
    pub(super) fn producer_failed(&mut self, error: &KafkaError) {
        tracing::warn!(%error, "the producer is of no further use: making another one");
        self.metrics.clients_rebuilt.with_label_values(&["producer"]).inc();
        self.io.rebuild_producer();
        for (id, pending) in std::mem::take(&mut self.forwards.sent) {
            self.forwarded(id, pending.to, Err(error.clone()));
        }
    }

    fn forwarded(&mut self, id: ForwardId, to: &'static str, result: Result<(), KafkaError>) {
        match &result {
            Ok(()) => {
                self.forwards.told.remove(to);
            }
            Err(error) if self.forwards.told.insert(to, error.code) != Some(error.code) => {
                tracing::warn!(to, %error, "a record could not be written; it is kept and written again");
            }
            Err(_) => {}
        }
        let (label, result) = match result {
            Ok(()) => ("ok", ForwardResult::Confirmed),
            Err(error) if error.code.is_of_the_record() => ("refused", ForwardResult::Refused(failure(to, &error))),
            Err(error) => ("failed", ForwardResult::Failed(failure(to, &error))),
        };
        self.metrics.forwards.with_label_values(&[to, label]).inc();
        self.forwards.results.push(Forwarded { id, result });
    }

    /// Tells the engine what was confirmed since the last time.
    pub(super) fn tell_forwarded(&mut self, now: Instant) -> bool {
        if self.forwards.results.is_empty() {
            return false;
        }
        self.metrics.forwards_in_progress.set(i64::try_from(self.forwards.in_progress()).unwrap_or(i64::MAX));
        let results = std::mem::take(&mut self.forwards.results);
        self.tell(Event::Forwarded(results), now);
        true
    }
}

/// Whether a topic of so many partitions has none of this number; where nobody knows, it may.
fn lacks(count: Option<i32>, partition: i32) -> bool {
    count.is_some_and(|count| partition >= count)
}

/// What an answer takes of the producer's queue: records and bytes.
fn size(records: &[OutputRecord]) -> (usize, usize) {
    let length = |bytes: &Option<Box<[u8]>>| bytes.as_ref().map_or(0, |bytes| bytes.len());
    (records.len(), records.iter().map(|one| length(&one.key) + length(&one.value)).sum())
}

#[expect(clippy::unnecessary_box_returns, reason = "results carry it boxed")]
fn failure(to: &str, error: &KafkaError) -> Box<Failure> {
    let class = if to == "output" && error.code.is_of_the_record() {
        ErrorClass::OutputRefused
    } else {
        ErrorClass::ForwardFailed
    };
    Failure::new(class, &format!("the {} topic: {error}", to.replace('_', "-")))
}

fn token(id: ForwardId) -> u64 {
    u64::from(id.slot) << 32 | u64::from(id.serial)
}

fn id(token: u64) -> ForwardId {
    let half = |bits: u64| u32::try_from(bits & u64::from(u32::MAX)).unwrap_or_default();
    ForwardId { slot: half(token >> 32), serial: half(token) }
}

#[cfg(test)]
mod tests {
    use penstock_kafka::producer::{MAX_BYTES, MAX_RECORDS};

    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_millis(seconds * 1000)
    }

    #[test]
    fn a_partition_that_was_absent_is_tried_again() {
        let mut forwards = Forwards::default();
        assert_eq!(forwards.partition(("dlq", Some(3)), 2, at(0)), Some(2));
        assert_eq!(forwards.partition(("dlq", Some(2)), 2, at(0)), None, "the topic has fewer");
        assert_eq!(forwards.partition(("dlq", None), 2, at(0)), None, "nobody knows");
        forwards.absent.insert(("dlq".to_owned(), 2), at(0) + ABSENT);
        assert_eq!(forwards.partition(("dlq", Some(3)), 2, at(59)), None, "the producer may not have heard of it yet");
        assert_eq!(forwards.partition(("dlq", Some(3)), 1, at(59)), Some(1), "the others are there");
        assert_eq!(forwards.partition(("delays", Some(3)), 2, at(59)), Some(2), "another topic has it");
        assert_eq!(forwards.partition(("dlq", Some(3)), 2, at(60)), Some(2));
    }

    #[test]
    fn a_topic_that_lacks_partitions_is_asked_about_once_a_minute() {
        let mut forwards = Forwards::default();
        assert!(lacks(Some(6), 6) && !lacks(Some(6), 5));
        assert!(!lacks(None, 6), "where nobody knows, nobody asks");
        let asked: Vec<u64> = (0..150).filter(|second| forwards.is_to_be_asked("dlq", at(*second))).collect();
        assert_eq!(asked, [0, 60, 120]);
        assert!(forwards.is_to_be_asked("delays", at(149)), "each topic for itself");
    }

    #[test]
    fn what_the_queue_can_never_take_is_refused() {
        let records = |count: usize, bytes: usize| {
            let value = Some(vec![0; bytes].into_boxed_slice());
            vec![OutputRecord { key: None, value, headers: Vec::new() }; count]
        };
        let may_ever_fit = |count, bytes| Room::ALL.holds(size(&records(count, bytes)));
        assert!(may_ever_fit(MAX_RECORDS, 1) && may_ever_fit(64, MAX_BYTES / 64));
        assert!(!may_ever_fit(MAX_RECORDS + 1, 0) && !may_ever_fit(65, MAX_BYTES / 64));
        assert!(
            [ErrorCode::RECORD_LIST_TOO_LARGE, ErrorCode::INVALID_RECORD].into_iter().all(ErrorCode::is_of_the_record)
        );
    }

    #[test]
    fn a_token_names_its_forward() {
        let forward = ForwardId { slot: 7, serial: u32::MAX };
        assert_eq!(id(token(forward)), forward);
    }
}
