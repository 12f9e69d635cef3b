//! The topics that arms read, written once and kept: same bytes for everybody.

use std::time::{Duration, Instant};

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
const FLUSH: Duration = Duration::from_secs(120);

/// Times that the year of flights is written.
const YEARS: u64 = 30;

/// A topic with a known number of records.
pub(crate) struct Topic {
    bootstrap: String,
    /// Its name tells its size, so that a topic which is there already need not be written again.
    pub(crate) name: String,
    /// How many records it holds.
    pub(crate) records: u64,
}

impl Topic {
    /// The topic with so many records of 100 bytes; written if it is not there.
    pub(crate) fn with(bootstrap: &str, records: u64) -> Result<Self, Failure> {
        let topic = Self { bootstrap: bootstrap.to_owned(), name: format!("bench-{records}"), records };
        topic.written(|topic, producer| (0..records).try_for_each(|n| topic.write(producer, n)))
    }

    /// The year of flights, thirty times: ten million records of some 300 bytes, keyed by aircraft.
    pub(crate) fn flights(bootstrap: &str) -> Result<Self, Failure> {
        let text = penstock_e2e::dataset::text()?;
        let flights = penstock_e2e::dataset::flights(&text)?;
        let records = flights.len() as u64 * YEARS;
        let topic = Self { bootstrap: bootstrap.to_owned(), name: "bench-flights".to_owned(), records };
        topic.written(|topic, producer| {
            (0..YEARS).flat_map(|_| &flights).try_for_each(|flight| {
                let value = serde_json::to_vec(flight)?;
                topic.send(producer, flight.tailnum.as_deref().map(str::as_bytes), &value)
            })
        })
    }

    /// A topic that is made anew and holds nothing yet.
    pub(crate) fn empty(bootstrap: &str, name: String, partitions: i32) -> Result<Self, Failure> {
        let topic = Self { bootstrap: bootstrap.to_owned(), name, records: 0 };
        topic.create(partitions)?;
        Ok(topic)
    }

    /// Writes records `range` of the plain kind, at most so many a second.
    pub(crate) fn write_paced(&self, records: u64, rate: u64) -> Result<(), Failure> {
        let producer = self.producer()?;
        let began = Instant::now();
        for n in 0..records {
            let due = Duration::from_micros(n * 1_000_000 / rate);
            if n % 64 == 0 {
                while began.elapsed() < due {
                    producer.poll(Duration::from_millis(1));
                }
            }
            self.write(&producer, n)?;
        }
        producer.flush(FLUSH)?;
        Ok(())
    }

    fn written(self, write: impl Fn(&Self, &BaseProducer) -> Result<(), Failure>) -> Result<Self, Failure> {
        let records = self.records;
        if self.held()? == Some(records) {
            return Ok(self);
        }
        self.create(PARTITIONS)?;
        let producer = self.producer()?;
        write(&self, &producer)?;
        producer.flush(FLUSH)?;
        match self.held()? {
            Some(held) if held == records => Ok(self),
            held => {
                Err(format!("{} holds {held:?} records instead of {records}: delete it and run again", self.name)
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

    fn create(&self, partitions: i32) -> Result<(), Failure> {
        let admin: AdminClient<DefaultClientContext> = self.config().create()?;
        let topic = NewTopic::new(&self.name, partitions, TopicReplication::Fixed(1));
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

    fn producer(&self) -> Result<BaseProducer, KafkaError> {
        let mut config = self.config();
        config.set("linger.ms", "5").set("batch.size", "1000000").set("queue.buffering.max.messages", "1000000");
        config.set("enable.idempotence", "true").create()
    }

    /// Writes the n-th record of the plain kind.
    fn write(&self, producer: &BaseProducer, n: u64) -> Result<(), Failure> {
        let mut value = [0_u8; VALUE_BYTES];
        value[..8].copy_from_slice(&n.to_be_bytes());
        self.send(producer, Some(&(n % KEYS).to_be_bytes()), &value)
    }

    fn send(&self, producer: &BaseProducer, key: Option<&[u8]>, value: &[u8]) -> Result<(), Failure> {
        let mut record = BaseRecord::<[u8], [u8]>::to(&self.name).payload(value);
        record.key = key;
        while let Err((error, back)) = producer.send(record) {
            if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                return Err(error.into());
            }
            producer.poll(Duration::from_millis(10));
            record = back;
        }
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
    ///
    /// A broker that has just started looks for its coordinator first: until then nothing is known to be committed.
    pub(crate) fn committed(&self) -> Result<u64, KafkaError> {
        let committed = match self.consumer.committed_offsets(self.partitions.clone(), TIMEOUT) {
            Err(error) if error.rdkafka_error_code().is_some_and(is_moving) => return Ok(0),
            answer => answer?,
        };
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

fn is_moving(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode::{CoordinatorLoadInProgress, CoordinatorNotAvailable, NotCoordinator};
    matches!(code, CoordinatorLoadInProgress | CoordinatorNotAvailable | NotCoordinator)
}
