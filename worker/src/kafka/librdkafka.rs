//! [`KafkaIo`] over librdkafka.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use penstock_engine::seam::ArenaBuilder;
use penstock_kafka::consumer::{CommitOffset, Consumer, ConsumerEvent, FetchLimit, Fetched, StartAt};
use penstock_kafka::producer::{OutgoingRecord, Producer, ProducerEvent, SendError};
use penstock_kafka::settings::{ClientConfig, Connection, ConsumerSettings, GroupProtocol};
use penstock_kafka::wake::Waker;
use penstock_kafka::{KafkaError, TopicPartition};
use tokio::runtime::Handle;

use super::{Directory, KafkaEvent, KafkaIo};

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
    /// Topics that are written to, with their partitions.
    pub written: BTreeMap<String, i32>,
}

/// One consumer, one producer, made when first needed, and the tasks that ask the admin client.
#[derive(Debug)]
pub struct Librdkafka {
    settings: Settings,
    directory: Directory,
    consumer: Consumer,
    producer: Option<Producer>,
    answers: Arc<Answers>,
    tasks: Handle,
    waker: Waker,
}

/// Where tasks leave what they learned.
#[derive(Debug, Default)]
struct Answers {
    queue: Mutex<VecDeque<KafkaEvent>>,
    some: AtomicBool,
}

impl Answers {
    fn put(&self, events: impl IntoIterator<Item = KafkaEvent>) {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).extend(events);
        self.some.store(true, Ordering::SeqCst);
    }

    fn take(&self) -> Option<KafkaEvent> {
        if !self.some.load(Ordering::SeqCst) {
            return None;
        }
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let event = queue.pop_front();
        self.some.store(!queue.is_empty(), Ordering::SeqCst);
        event
    }
}

impl Librdkafka {
    /// Joins the group.
    ///
    /// # Errors
    /// The configuration is refused.
    pub fn join(settings: Settings, directory: Directory, tasks: Handle, waker: Waker) -> Result<Self, KafkaError> {
        let consumer = Self::consumer(&settings, &waker)?;
        Ok(Self { settings, directory, consumer, producer: None, answers: Arc::default(), tasks, waker })
    }

    fn consumer(settings: &Settings, waker: &Waker) -> Result<Consumer, KafkaError> {
        let config: ClientConfig = settings.connection.consumer(&settings.consumer);
        let mut consumer = Consumer::new(&config, waker.clone())?;
        let topics: Vec<&str> = settings.topics.iter().map(String::as_str).collect();
        consumer.subscribe(&topics)?;
        Ok(consumer)
    }

    fn consumer_event(&mut self) -> Option<KafkaEvent> {
        loop {
            return Some(match self.consumer.next_event()? {
                ConsumerEvent::Rebalance(rebalance) => KafkaEvent::Rebalance(rebalance),
                ConsumerEvent::Committed(reply) => KafkaEvent::Committed(reply),
                ConsumerEvent::CommittedOffsets(_) => continue,
                ConsumerEvent::Error(error) => self.consumer_error(error),
                ConsumerEvent::PartitionError(partition, error) => KafkaEvent::PartitionFailed(partition, error),
            });
        }
    }

    fn consumer_error(&mut self, error: KafkaError) -> KafkaEvent {
        let consumer = &mut self.settings.consumer;
        let unsupported = error.code.is_group_protocol_unsupported() && consumer.protocol == GroupProtocol::Consumer;
        if self.settings.probe_protocol && unsupported {
            tracing::info!(
                "the cluster does not know the consumer group protocol of KIP-848: joining with the classic one"
            );
            consumer.protocol = GroupProtocol::Classic;
            return KafkaEvent::ConsumerFailed(error);
        }
        if error.fatal { KafkaEvent::ConsumerFailed(error) } else { KafkaEvent::Trouble(error) }
    }

    fn producer_event(&mut self) -> Option<KafkaEvent> {
        let event = self.producer.as_mut()?.next_event()?;
        Some(match event {
            ProducerEvent::Delivered { token, .. } => KafkaEvent::Sent { token, result: Ok(()) },
            ProducerEvent::Failed { token, error } => KafkaEvent::Sent { token, result: Err(error) },
            ProducerEvent::Error(error) if error.fatal => KafkaEvent::ProducerFailed(error),
            ProducerEvent::Error(error) => KafkaEvent::Trouble(error),
        })
    }
}

impl KafkaIo for Librdkafka {
    fn next_event(&mut self) -> Option<KafkaEvent> {
        self.answers.take().or_else(|| self.consumer_event()).or_else(|| self.producer_event())
    }

    fn maybe_ready(&self) -> bool {
        self.answers.some.load(Ordering::SeqCst)
            || self.consumer.any_ready(|_| false)
            || self.producer.as_ref().is_some_and(Producer::maybe_ready)
    }

    fn has_records(&self, partition: &TopicPartition) -> bool {
        self.consumer.maybe_ready(partition)
    }

    fn fetch(&mut self, partition: &TopicPartition, limit: FetchLimit, into: &mut ArenaBuilder) -> Fetched {
        let mut sink = |record: penstock_kafka::record::BorrowedRecord<'_>| super::copy(&record, into);
        self.consumer.fetch(partition, limit, &mut sink)
    }

    fn position(&self, partition: &TopicPartition) -> Option<i64> {
        self.consumer.position(partition)
    }

    fn assign(&mut self, partitions: &[StartAt]) -> Result<(), KafkaError> {
        self.consumer.assign(partitions)
    }

    fn unassign(&mut self, partitions: &[TopicPartition]) -> Result<(), KafkaError> {
        self.consumer.unassign(partitions)
    }

    fn seek(&mut self, to: &StartAt) -> Result<(), KafkaError> {
        self.consumer.seek(to)
    }

    fn commit(&mut self, seq: u64, offsets: &[CommitOffset]) -> Result<(), KafkaError> {
        self.consumer.commit(seq, offsets)
    }

    fn load(&mut self, partitions: Vec<TopicPartition>, seq: u64) {
        let (directory, answers, waker) = (self.directory.clone(), Arc::clone(&self.answers), self.waker.clone());
        self.tasks.spawn(async move {
            let loaded = directory.load(partitions).await;
            answers.put(loaded.into_iter().map(|(partition, result)| KafkaEvent::Loaded { partition, seq, result }));
            waker.wake();
        });
    }

    fn find_ends(&mut self, partition: &TopicPartition, seq: u64) {
        let (directory, answers, waker) = (self.directory.clone(), Arc::clone(&self.answers), self.waker.clone());
        let partition = partition.clone();
        self.tasks.spawn(async move {
            let result = directory.ends(&partition).await;
            answers.put([KafkaEvent::Ends { partition, seq, result }]);
            waker.wake();
        });
    }

    fn send(&mut self, record: &OutgoingRecord<'_>, token: u64) -> Result<(), SendError> {
        let producer = if let Some(producer) = &mut self.producer {
            producer
        } else {
            let config = self.settings.connection.producer(&self.settings.consumer.client_id);
            self.producer.insert(Producer::new(&config, self.waker.clone())?)
        };
        producer.send(record, token)
    }

    fn partitions_of(&self, topic: &str) -> Option<i32> {
        self.settings.written.get(topic).copied()
    }

    fn rebuild_consumer(&mut self) -> Result<(), KafkaError> {
        self.consumer = Self::consumer(&self.settings, &self.waker)?;
        Ok(())
    }

    fn rebuild_producer(&mut self) {
        self.producer = None;
    }

    fn close(&mut self) -> Result<(), KafkaError> {
        self.consumer.close()
    }

    fn is_closed(&self) -> bool {
        self.consumer.is_closed()
    }
}
