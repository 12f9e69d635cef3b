//! [`KafkaIo`] over librdkafka.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use penstock_engine::seam::ArenaBuilder;
use penstock_kafka::consumer::{CommitOffset, Consumer, ConsumerEvent, FetchLimit, Fetched, RebalanceKind, StartAt};
use penstock_kafka::producer::{OutgoingRecord, Producer, ProducerEvent, Room, SendError};
use penstock_kafka::record::BorrowedRecord;
use penstock_kafka::settings::{ClientConfig, Connection, ConsumerSettings, GroupProtocol};
use penstock_kafka::wake::{Inbox, Waker};
use penstock_kafka::{KafkaError, TopicPartition};
use tokio::runtime::Handle;

use super::{Directory, KafkaEvent, KafkaIo};
use crate::shell::run::Clock;

/// What a worker's clients are to be.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the cluster is.
    pub connection: Connection,
    /// The consumer. Its protocol is the first to try.
    pub consumer: ConsumerSettings,
    /// Nobody has settled the protocol: fall back to the classic one if the cluster does not know the other.
    pub probe_protocol: bool,
    /// What to read.
    pub topics: Vec<String>,
    /// Topics that are written to, with the partitions that they have as far as is known.
    pub written: BTreeMap<String, i32>,
    /// Delay topics, if there are any.
    pub delays: Option<Delays>,
}

/// The consumer of the delay topics.
#[derive(Clone, Debug)]
pub struct Delays {
    /// Where the cluster is, tuned for this consumer.
    pub connection: Connection,
    /// A group of its own, else as the consumer of the source.
    pub consumer: ConsumerSettings,
    /// How long records wait, by topic.
    pub topics: BTreeMap<String, Duration>,
}

/// A consumer, one for delay topics where there are any, producers, made when first needed, and the tasks that ask the admin
/// client.
#[derive(Debug)]
pub struct Librdkafka {
    settings: Settings,
    directory: Directory,
    consumer: Consumer,
    delayed: Option<(Consumer, Directory)>,
    clock: Clock,
    producer: Option<Producer>,
    /// One that writes each record in a batch of its own.
    lone: Option<Producer>,
    answers: Arc<Inbox<KafkaEvent>>,
    tasks: Handle,
    waker: Waker,
}

impl Librdkafka {
    /// Joins the group, and that of the delay topics. `clock` is the engine's.
    ///
    /// # Errors
    /// The configuration is refused.
    pub fn join(
        settings: Settings,
        directory: Directory,
        clock: Clock,
        (tasks, waker): (Handle, Waker),
    ) -> Result<Self, KafkaError> {
        let (consumer, delayed) = Self::consumers(&settings, &directory, &waker)?;
        let answers = Arc::new(Inbox::new(waker.clone()));
        Ok(Self { settings, directory, consumer, delayed, clock, producer: None, lone: None, answers, tasks, waker })
    }

    fn consumers(
        settings: &Settings,
        directory: &Directory,
        waker: &Waker,
    ) -> Result<(Consumer, Option<(Consumer, Directory)>), KafkaError> {
        let topics = settings.topics.iter().map(String::as_str);
        let consumer = Self::consumer(&settings.connection, &settings.consumer, topics, waker)?;
        let delayed = settings.delays.as_ref().map(|delays| {
            let topics = delays.topics.keys().map(String::as_str);
            let consumer = Self::consumer(&delays.connection, &delays.consumer, topics, waker)?;
            Ok((consumer, directory.of_delays(&delays.consumer.group_id, delays.topics.keys().cloned())))
        });
        Ok((consumer, delayed.transpose()?))
    }

    fn consumer<'a>(
        connection: &Connection,
        settings: &ConsumerSettings,
        topics: impl Iterator<Item = &'a str>,
        waker: &Waker,
    ) -> Result<Consumer, KafkaError> {
        let config: ClientConfig = connection.consumer(settings);
        let mut consumer = Consumer::new(&config, waker.clone())?;
        consumer.subscribe(&topics.collect::<Vec<_>>())?;
        Ok(consumer)
    }

    /// How long records of a topic wait; `None` for a source.
    fn delay(&self, topic: &str) -> Option<Duration> {
        self.settings.delays.as_ref()?.topics.get(topic).copied()
    }

    /// The consumer of a partition.
    fn of(&self, partition: &TopicPartition) -> &Consumer {
        let delayed = self.delayed.as_ref().filter(|_| self.delay(&partition.topic).is_some());
        delayed.map_or(&self.consumer, |(consumer, _)| consumer)
    }

    fn of_mut(&mut self, partition: &TopicPartition) -> &mut Consumer {
        let is_delayed = self.delay(&partition.topic).is_some();
        match &mut self.delayed {
            Some((consumer, _)) if is_delayed => consumer,
            _ => &mut self.consumer,
        }
    }

    /// Does something with the partitions of each consumer that has some.
    fn for_each<T: Clone>(
        &mut self,
        all: &[T],
        name: impl Fn(&T) -> &TopicPartition,
        act: impl Fn(&mut Consumer, &[T]) -> Result<(), KafkaError>,
    ) -> Result<(), KafkaError> {
        let (delayed, source): (Vec<T>, Vec<T>) =
            all.iter().cloned().partition(|one| self.delay(&name(one).topic).is_some());
        for group in [source, delayed] {
            if let Some(first) = group.first() {
                act(self.of_mut(name(first)), &group)?;
            }
        }
        Ok(())
    }

    fn consumer_event(&mut self) -> Option<KafkaEvent> {
        let event = next_event(&mut self.consumer);
        let event = event.or_else(|| next_event(&mut self.delayed.as_mut()?.0))?;
        Some(match event {
            Ok(event) => event,
            Err(error) => self.consumer_error(error),
        })
    }

    fn consumer_error(&mut self, error: KafkaError) -> KafkaEvent {
        let consumer = &mut self.settings.consumer;
        let unsupported = error.code.is_group_protocol_unsupported() && consumer.protocol == GroupProtocol::Consumer;
        if self.settings.probe_protocol && unsupported {
            tracing::info!(
                "the cluster does not know the consumer group protocol of KIP-848: joining with the classic one"
            );
            consumer.protocol = GroupProtocol::Classic;
            if let Some(delays) = &mut self.settings.delays {
                delays.consumer.protocol = GroupProtocol::Classic;
            }
            return KafkaEvent::ConsumerFailed(error);
        }
        if error.fatal { KafkaEvent::ConsumerFailed(error) } else { KafkaEvent::Trouble(error) }
    }

    /// The next answer to a question of ours.
    fn answered(&mut self) -> Option<KafkaEvent> {
        let event = self.answers.take()?;
        if let KafkaEvent::Partitions { topic, result: Ok(count) } = &event {
            grow(&mut self.settings.written, topic, *count);
        }
        Some(event)
    }

    /// Asks the cluster, without waiting for what it says.
    fn answer(&self, event: impl Future<Output = KafkaEvent> + Send + 'static) {
        let answers = Arc::clone(&self.answers);
        self.tasks.spawn(async move { answers.put([event.await]) });
    }

    fn producer_event(&mut self) -> Option<KafkaEvent> {
        let event = [&mut self.producer, &mut self.lone].into_iter().flatten().find_map(Producer::next_event)?;
        Some(match event {
            ProducerEvent::Delivered { token, .. } => KafkaEvent::Sent { token, result: Ok(()) },
            ProducerEvent::Failed { token, error } => KafkaEvent::Sent { token, result: Err(error) },
            ProducerEvent::Error(error) if error.fatal => KafkaEvent::ProducerFailed(error),
            ProducerEvent::Error(error) => KafkaEvent::Trouble(error),
        })
    }
}

/// The next event of a consumer, or the error that it has met. Assignments are answered here, empty.
fn next_event(consumer: &mut Consumer) -> Option<Result<KafkaEvent, KafkaError>> {
    loop {
        return Some(Ok(match consumer.next_event()? {
            ConsumerEvent::Rebalance(rebalance) => {
                let answered = match rebalance.kind {
                    RebalanceKind::Assign => consumer.assign(&[]),
                    RebalanceKind::Revoke if rebalance.partitions.is_empty() => consumer.unassign(&[]),
                    RebalanceKind::Revoke => Ok(()),
                };
                answered.map_or_else(KafkaEvent::ConsumerFailed, |()| KafkaEvent::Rebalance(rebalance))
            }
            ConsumerEvent::Committed(reply) => KafkaEvent::Committed(reply),
            ConsumerEvent::CommittedOffsets(_) => continue,
            ConsumerEvent::AnswerLost => KafkaEvent::AnswerLost,
            ConsumerEvent::Error(error) => return Some(Err(error)),
            ConsumerEvent::PartitionError(partition, error) => KafkaEvent::PartitionFailed(partition, error),
        }));
    }
}

/// Takes note of how many partitions a topic has. What one lacks that was made anew with fewer is found absent one by one.
fn grow(written: &mut BTreeMap<String, i32>, topic: &str, count: i32) {
    let known = written.get(topic).copied();
    if known.is_none_or(|known| count > known) {
        tracing::info!(topic, partitions = count, "the topic has grown");
        written.insert(topic.to_owned(), count);
    }
}

/// Milliseconds since the epoch.
fn wall_millis() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

impl KafkaIo for Librdkafka {
    fn next_event(&mut self) -> Option<KafkaEvent> {
        self.answered().or_else(|| self.consumer_event()).or_else(|| self.producer_event())
    }

    fn maybe_ready(&self) -> bool {
        self.answers.maybe_some()
            || self.consumer.any_ready(|_| false)
            || self.delayed.as_ref().is_some_and(|(consumer, _)| consumer.any_ready(|_| false))
            || [&self.producer, &self.lone].into_iter().flatten().any(Producer::maybe_ready)
    }

    fn has_records(&self, partition: &TopicPartition) -> bool {
        self.of(partition).maybe_ready(partition)
    }

    fn fetch(&mut self, partition: &TopicPartition, limit: FetchLimit, into: &mut ArenaBuilder) -> Fetched {
        let Some(delay) = self.delay(&partition.topic) else {
            let mut sink = |record: BorrowedRecord<'_>| super::copy(&record, into);
            return self.consumer.fetch(partition, limit, &mut sink);
        };
        let now = (self.clock.now(), wall_millis());
        let mut sink = |record: BorrowedRecord<'_>| super::copy_delayed(&record, delay, now, into);
        self.of_mut(partition).fetch(partition, limit, &mut sink)
    }

    fn position(&self, partition: &TopicPartition) -> Option<i64> {
        self.of(partition).position(partition)
    }

    fn high_watermark(&self, partition: &TopicPartition) -> Option<i64> {
        self.of(partition).watermarks(partition).map(|watermarks| watermarks.high)
    }

    fn assign(&mut self, partitions: &[StartAt]) -> Result<(), KafkaError> {
        self.for_each(partitions, |start| &start.partition, Consumer::assign)
    }

    fn unassign(&mut self, partitions: &[TopicPartition]) -> Result<(), KafkaError> {
        self.for_each(partitions, |name| name, Consumer::unassign)
    }

    fn seek(&mut self, to: &StartAt) -> Result<(), KafkaError> {
        self.of_mut(&to.partition).seek(to)
    }

    fn commit(&mut self, seq: u64, offsets: &[CommitOffset]) -> Result<(), KafkaError> {
        let Some(first) = offsets.first() else { return Ok(()) };
        self.of_mut(&first.partition).commit(seq, offsets)
    }

    fn load(&mut self, partitions: Vec<TopicPartition>, seq: u64) {
        let (delayed, source): (Vec<_>, Vec<_>) =
            partitions.into_iter().partition(|one| self.delay(&one.topic).is_some());
        let of_delays = self.delayed.as_ref().map(|(_, directory)| directory);
        for (directory, partitions) in [(Some(&self.directory), source), (of_delays, delayed)] {
            let Some(directory) = directory.filter(|_| !partitions.is_empty()).cloned() else { continue };
            let answers = Arc::clone(&self.answers);
            self.tasks.spawn(async move {
                let loaded = directory.load(partitions).await;
                let loaded = loaded.into_iter();
                answers.put(loaded.map(|(partition, result)| KafkaEvent::Loaded { partition, seq, result }));
            });
        }
    }

    fn find_ends(&mut self, partition: &TopicPartition, seq: u64) {
        let (directory, partition) = (self.directory.clone(), partition.clone());
        self.answer(async move {
            let result = directory.ends(&partition).await;
            KafkaEvent::Ends { partition, seq, result }
        });
    }

    fn find_readable_end(&mut self, partition: &TopicPartition, seq: u64) {
        let (directory, partition) = (self.directory.clone(), partition.clone());
        self.answer(async move {
            let result = directory.readable_end(&partition).await;
            KafkaEvent::ReadableEnd { partition, seq, result }
        });
    }

    fn find_given(&mut self, seq: u64) {
        let delayed = self.delayed.as_ref().map(|(consumer, directory)| (directory, consumer));
        let members = [(&self.directory, &self.consumer)].into_iter().chain(delayed);
        let members: Vec<_> =
            members.filter_map(|(directory, consumer)| Some((directory.clone(), consumer.member_id()?))).collect();
        self.answer(async move {
            let mut result = Ok(Vec::new());
            for (directory, member) in members {
                let given = directory.given(&member).await;
                result = result.and_then(|all| Ok([all, given?].concat()));
            }
            KafkaEvent::Given { seq, result }
        });
    }

    fn send(&mut self, record: &OutgoingRecord<'_>, alone: bool, token: u64) -> Result<(), SendError> {
        let place = if alone { &mut self.lone } else { &mut self.producer };
        let producer = if let Some(producer) = place {
            producer
        } else {
            let (connection, client_id) = (&self.settings.connection, &self.settings.consumer.client_id);
            let config =
                if alone { connection.producer_of_single_records(client_id) } else { connection.producer(client_id) };
            place.insert(Producer::new(&config, self.waker.clone())?)
        };
        producer.send(record, token)
    }

    fn room(&self, alone: bool) -> Room {
        let producer = if alone { &self.lone } else { &self.producer };
        producer.as_ref().map_or(Room::ALL, Producer::room)
    }

    fn partitions_of(&self, topic: &str) -> Option<i32> {
        self.settings.written.get(topic).copied()
    }

    fn find_partitions_of(&mut self, topic: &str) {
        let (directory, topic) = (self.directory.clone(), topic.to_owned());
        self.answer(async move {
            let result = directory.partitions_of(&topic).await;
            KafkaEvent::Partitions { topic, result }
        });
    }

    fn rebuild_consumer(&mut self) -> Result<(), KafkaError> {
        let (consumer, delayed) = Self::consumers(&self.settings, &self.directory, &self.waker)?;
        std::mem::replace(&mut self.consumer, consumer).retire();
        if let Some((delayed, _)) = std::mem::replace(&mut self.delayed, delayed) {
            delayed.retire();
        }
        Ok(())
    }

    fn rebuild_producer(&mut self) {
        (self.producer, self.lone) = (None, None);
    }

    fn close(&mut self) -> Result<(), KafkaError> {
        let delayed = self.delayed.as_mut().map_or(Ok(()), |(consumer, _)| consumer.close());
        self.consumer.close().and(delayed)
    }

    fn is_closed(&self) -> bool {
        self.consumer.is_closed() && self.delayed.as_ref().is_none_or(|(consumer, _)| consumer.is_closed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_counts_as_large_as_it_was_ever_seen() {
        let mut written = BTreeMap::from([("dlq".to_owned(), 6)]);
        let mut seen = |topic, count| {
            grow(&mut written, topic, count);
            (written.get("dlq").copied(), written.get("delays").copied())
        };
        assert_eq!(seen("dlq", 9), (Some(9), None));
        assert_eq!(seen("dlq", 6), (Some(9), None), "made anew");
        assert_eq!(seen("delays", 3), (Some(9), Some(3)));
    }
}
