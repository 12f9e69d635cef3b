//! Filling the source topics: every record to a partition that the plan names, in the plan's order.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer};

use crate::cluster::SEGMENT;
use crate::error::{During as _, Error, Result};
use crate::history::Tp;
use crate::plan::{Fault, Plan, Shape};
use crate::rng::{digest, hashed};

/// How long brokers may be away.
const PATIENCE: Duration = Duration::from_secs(60);
/// A full queue, an unknown partition, a pace to keep: looked at again after this.
const PAUSE: Duration = Duration::from_millis(10);
/// New partitions are used this long after they were added: producers have to learn of them.
const LEARNED: Duration = Duration::from_secs(2);

/// Counts what the brokers refused.
#[derive(Clone, Debug, Default)]
struct Refused(Arc<AtomicU64>);

impl ClientContext for Refused {}

impl ProducerContext for Refused {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if result.is_err() {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Writes a plan's records.
pub struct Producer<'a> {
    plan: &'a Plan,
    topics: &'a [String],
    config: ClientConfig,
    /// For records outside of transactions.
    without: ThreadedProducer<Refused>,
}

impl<'a> Producer<'a> {
    /// A producer for the topics.
    ///
    /// # Errors
    /// Kafka's.
    pub fn new(plan: &'a Plan, bootstrap: &str, topics: &'a [String]) -> Result<Self> {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", bootstrap)
            .set("enable.idempotence", "true")
            .set("linger.ms", "5")
            .set("topic.metadata.refresh.interval.ms", "500");
        let without = config.create_with_context(Refused::default()).during("making a producer")?;
        Ok(Self { plan, topics, config, without })
    }

    /// One for transactions. What an earlier one left open is aborted.
    fn transactional(&self) -> Result<ThreadedProducer<Refused>> {
        let mut config = self.config.clone();
        config.set("transactional.id", self.topics.concat());
        let producer: ThreadedProducer<Refused> =
            config.create_with_context(Refused::default()).during("making a transactional producer")?;
        producer.init_transactions(PATIENCE).during("beginning to write in transactions")?;
        Ok(producer)
    }

    fn backlog(&self) -> u64 {
        self.plan.records * self.plan.backlog_percent / 100
    }

    /// Writes what is there before the first worker.
    ///
    /// # Errors
    /// Kafka's.
    pub fn write_backlog(&self) -> Result<()> {
        let (half, end) = (self.backlog() / 2, self.backlog());
        (0..half).try_for_each(|number| self.send(&self.without, number, Duration::ZERO))?;
        finish(&self.without)?;
        if self.plan.compacted {
            std::thread::sleep(SEGMENT); // what follows opens another segment, and this one can be compacted
        }
        (half..end).try_for_each(|number| self.send(&self.without, number, Duration::ZERO))?;
        finish(&self.without)
    }

    /// Writes the rest at the plan's pace.
    ///
    /// # Errors
    /// Kafka's.
    pub fn write_rest(&self) -> Result<()> {
        let mut transactional = match self.plan.transactions {
            Some((records, aborted)) => Some((self.transactional()?, records, aborted)),
            None => None,
        };
        let started = Instant::now();
        let (mut number, end) = (self.backlog(), self.plan.records);
        while number < end {
            if started.elapsed() < self.due(number) {
                std::thread::sleep(PAUSE);
                continue;
            }
            if let Some((producer, records, aborted)) = &mut transactional {
                let last = (number + *records).min(end);
                if !self.transaction(producer, number..last, *aborted)? {
                    *producer = self.transactional()?;
                }
                number = last;
            } else {
                self.send(&self.without, number, self.due(number))?;
                number += 1;
            }
        }
        finish(&self.without)
    }

    /// When a record is to be written, from the round's beginning.
    fn due(&self, number: u64) -> Duration {
        let rest = (self.plan.records - self.backlog()).max(1);
        self.plan.production.mul_f64(number.saturating_sub(self.backlog()) as f64 / rest as f64)
    }

    fn place(&self, shape: &Shape, number: u64, due: Duration) -> Tp {
        let counts: Vec<i32> = self.plan.topics().collect();
        let topic = match counts.len() as u64 {
            0 | 1 => 0,
            count => usize::try_from(hashed(&[self.plan.seed, number, 0x0074_6f70_6963]) % count).unwrap_or_default(),
        };
        let grown = self.plan.faults.iter().find_map(|timed| match timed.fault {
            Fault::Grow { to } if topic == 0 && due > timed.at + LEARNED => Some(to),
            _ => None,
        });
        let count = grown.or_else(|| counts.get(topic).copied()).unwrap_or(1);
        let place = shape.key.as_ref().map_or(number, |key| digest([Some(key.as_slice())]));
        let partition = place % u64::from(count.unsigned_abs()).max(1);
        Tp { topic, partition: i32::try_from(partition).unwrap_or_default() }
    }

    fn send(&self, producer: &ThreadedProducer<Refused>, number: u64, due: Duration) -> Result<()> {
        let shape = self.plan.shapes.record(number);
        let place = self.place(&shape, number, due);
        let topic = self.topics.get(place.topic).map(String::as_str).unwrap_or_default();
        let mut headers = OwnedHeaders::new();
        for (key, value) in &shape.headers {
            headers = headers.insert(Header { key, value: value.as_deref() });
        }
        let mut record = BaseRecord::<[u8], [u8]>::to(topic).partition(place.partition);
        (record.key, record.payload) = (shape.key.as_deref(), shape.value.as_deref());
        if !shape.headers.is_empty() {
            record = record.headers(headers);
        }
        let end = Instant::now() + PATIENCE;
        while let Err((error, back)) = producer.send(record) {
            let passing = [RDKafkaErrorCode::QueueFull, RDKafkaErrorCode::UnknownPartition];
            if !error.rdkafka_error_code().is_some_and(|code| passing.contains(&code)) || Instant::now() > end {
                return Err(error).during("producing");
            }
            std::thread::sleep(PAUSE);
            record = back;
        }
        Ok(())
    }

    /// Some transactions are aborted on purpose; one that breaks is aborted too, and its records are nobody's. Whether the producer is of
    /// further use: it is not if it cannot send or abort, as when the broker aborted already and the answer was lost.
    fn transaction(
        &self,
        producer: &ThreadedProducer<Refused>,
        numbers: std::ops::Range<u64>,
        aborted: u64,
    ) -> Result<bool> {
        let drawn = crate::rng::hashed(&[self.plan.seed, numbers.start, 0x7478]) % 1000;
        producer.begin_transaction().during("beginning a transaction")?;
        for number in numbers {
            if self.send(producer, number, self.due(number)).is_err() {
                return Ok(false);
            }
        }
        let committed = if drawn < aborted { false } else { insist(|| producer.commit_transaction(PATIENCE)).is_ok() };
        Ok(committed || insist(|| producer.abort_transaction(PATIENCE)).is_ok())
    }
}

fn finish(producer: &ThreadedProducer<Refused>) -> Result<()> {
    producer.flush(PATIENCE * 2).during("flushing")?;
    match producer.context().0.load(Ordering::Relaxed) {
        0 => Ok(()),
        refused => Err(Error::Evidence(format!("{refused} records were refused by the brokers"))),
    }
}

/// Tries again what may be tried again.
fn insist(mut attempt: impl FnMut() -> Result<(), KafkaError>) -> Result<(), KafkaError> {
    let end = Instant::now() + PATIENCE;
    loop {
        match attempt() {
            Err(KafkaError::Transaction(error)) if error.is_retriable() && Instant::now() < end => {
                std::thread::sleep(PAUSE);
            }
            other => return other,
        }
    }
}
