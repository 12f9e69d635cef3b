//! The topics that arms read, written once and kept: same bytes for everybody.

use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{Offset, TopicPartitionList};

use crate::Failure;

/// Partitions of each topic.
pub(crate) const PARTITIONS: i32 = 8;
/// Distinct keys, spread evenly.
pub(crate) const KEYS: u64 = 1000;
/// Bytes of a value.
const VALUE_BYTES: usize = 100;
const TIMEOUT: Duration = Duration::from_secs(30);

/// A topic with a known number of records.
pub(crate) struct Topic {
    bootstrap: String,
    /// Its name tells its size, so that a topic which is there already need not be written again.
    pub(crate) name: String,
    /// How many records it holds.
    pub(crate) records: u64,
}

impl Topic {
    /// The topic with so many records; written if it is not there.
    pub(crate) fn with(bootstrap: &str, records: u64) -> Result<Self, Failure> {
        let topic = Self { bootstrap: bootstrap.to_owned(), name: format!("bench-{records}"), records };
        if topic.held()? == Some(records) {
            return Ok(topic);
        }
        topic.create()?;
        topic.fill()?;
        match topic.held()? {
            Some(held) if held == records => Ok(topic),
            held => {
                Err(format!("{} holds {held:?} records instead of {records}: delete it and run again", topic.name)
                    .into())
            }
        }
    }

    fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap);
        config
    }

    /// Records that the topic holds; `None` where it does not exist.
    fn held(&self) -> Result<Option<u64>, KafkaError> {
        let consumer: BaseConsumer = self.config().create()?;
        let metadata = consumer.fetch_metadata(Some(&self.name), TIMEOUT)?;
        if metadata.topics().iter().all(|topic| topic.partitions().is_empty()) {
            return Ok(None);
        }
        let mut held = 0;
        for partition in 0..PARTITIONS {
            let (low, high) = consumer.fetch_watermarks(&self.name, partition, TIMEOUT)?;
            held += (high - low).unsigned_abs();
        }
        Ok(Some(held))
    }

    fn create(&self) -> Result<(), Failure> {
        let admin: AdminClient<DefaultClientContext> = self.config().create()?;
        let topic = NewTopic::new(&self.name, PARTITIONS, TopicReplication::Fixed(1));
        let created = futures::executor::block_on(
            admin.create_topics([&topic], &AdminOptions::new().operation_timeout(Some(TIMEOUT))),
        )?;
        match created.into_iter().next() {
            Some(Err((name, code))) if code != RDKafkaErrorCode::TopicAlreadyExists => {
                Err(format!("creating {name}: {code}").into())
            }
            _ => Ok(()),
        }
    }

    fn fill(&self) -> Result<(), Failure> {
        let mut config = self.config();
        config.set("linger.ms", "20").set("batch.size", "1000000").set("queue.buffering.max.messages", "1000000");
        config.set("enable.idempotence", "true");
        let producer: BaseProducer = config.create()?;
        for n in 0..self.records {
            let key = (n % KEYS).to_be_bytes();
            let mut value = [0_u8; VALUE_BYTES];
            value[..8].copy_from_slice(&n.to_be_bytes());
            let mut record = BaseRecord::to(&self.name).key(&key[..]).payload(&value[..]);
            while let Err((error, back)) = producer.send(record) {
                if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                    return Err(error.into());
                }
                producer.poll(Duration::from_millis(10));
                record = back;
            }
        }
        producer.flush(Duration::from_secs(120))?;
        Ok(())
    }

    /// Asks a group's committed offsets again and again.
    pub(crate) fn watch(&self, group: &str) -> Result<Watch, KafkaError> {
        let consumer = self.config().set("group.id", group).create()?;
        let mut partitions = TopicPartitionList::with_capacity(8);
        for partition in 0..PARTITIONS {
            partitions.add_partition(&self.name, partition);
        }
        Ok(Watch { consumer, partitions })
    }
}

/// The yardstick that is the same for every arm: what its group has committed.
pub(crate) struct Watch {
    consumer: BaseConsumer,
    partitions: TopicPartitionList,
}

impl Watch {
    /// Records below the committed offsets, over all partitions. (All topics start at offset 0 and have no holes.)
    pub(crate) fn committed(&self) -> Result<u64, KafkaError> {
        let committed = self.consumer.committed_offsets(self.partitions.clone(), TIMEOUT)?;
        Ok(committed
            .elements()
            .iter()
            .map(|element| match element.offset() {
                Offset::Offset(offset) => offset.unsigned_abs(),
                _ => 0,
            })
            .sum())
    }
}
