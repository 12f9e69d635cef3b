//! The worker's producer: dead letters, outputs and delay records. Idempotent, `acks=all`, and like the consumer owned by
//! one thread: nothing waits, delivery reports are events.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka_sys::bindings as sys;

use crate::error::{ErrorCode, KafkaError};
use crate::native::client::{Client, Kind};
use crate::native::event::Event;
use crate::native::produce::{self, Report};
use crate::native::queue::Queue;
use crate::settings::ClientConfig;
use crate::wake::Waker;

/// Records that the queue takes at most.
pub const MAX_RECORDS: usize = 20_000;

/// Bytes that the queue takes at most: 64 MiB.
pub const MAX_BYTES: usize = 64 * 1024 * 1024;

/// A record to be written. Null and empty are different for key, value and header values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutgoingRecord<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The partition, or `None` for the key's (murmur2, as the Java client does).
    pub partition: Option<i32>,
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The value; `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    /// Headers in order. Names must not contain NUL: librdkafka keeps them as C strings.
    pub headers: &'a [(&'a [u8], Option<&'a [u8]>)],
    /// Milliseconds since the epoch, or `None` for now.
    pub timestamp: Option<i64>,
}

/// What happened since the thread last looked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProducerEvent {
    /// The record is in the log, confirmed by all in-sync replicas.
    Delivered {
        /// What was given to [`Producer::send`].
        token: u64,
        /// Where.
        partition: i32,
        /// At which offset.
        offset: i64,
    },
    /// The record is not in the log, or nobody knows (a timeout).
    Failed {
        /// What was given to [`Producer::send`].
        token: u64,
        /// Why.
        error: KafkaError,
    },
    /// The client has trouble; if fatal, every record in flight comes back as failed, and the producer must be rebuilt.
    Error(KafkaError),
}

/// Why a record was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The queue is full: take events, then send again.
    #[error("the producer's queue is full: wait for delivery reports, then send again")]
    Full,
    /// The record or the producer is at fault; sending it again as it is will not help.
    #[error(transparent)]
    Refused(#[from] KafkaError),
}

/// What the queue still takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Records.
    pub records: usize,
    /// Bytes of keys and values.
    pub bytes: usize,
}

impl Room {
    /// That of an empty queue.
    pub const ALL: Self = Self { records: MAX_RECORDS, bytes: MAX_BYTES };

    /// Whether so many records with so many bytes find room.
    pub const fn holds(self, (records, bytes): (usize, usize)) -> bool {
        records <= self.records && bytes <= self.bytes
    }
}

/// How often a flush looks up.
const FLUSH_TURN: Duration = Duration::from_secs(1);

const EVENTS: i32 = sys::RD_KAFKA_EVENT_DR | sys::RD_KAFKA_EVENT_ERROR;

/// An idempotent producer.
#[derive(Debug)]
pub struct Producer {
    /// Reports of an event that was taken but not yet handed on.
    reports: VecDeque<ProducerEvent>,
    in_flight: usize,
    bytes: usize,
    events: Queue,
    client: Arc<Client>,
}

impl Producer {
    /// A producer that wakes `waker`'s thread when it has something.
    ///
    /// # Errors
    /// The configuration names an unknown property or a value out of range.
    pub fn new(config: &ClientConfig, waker: Waker) -> Result<Self, KafkaError> {
        let client = Client::new(Kind::Producer, config.iter(), EVENTS, waker.clone())?;
        let events = Queue::main(&client, waker);
        Ok(Self { reports: VecDeque::new(), in_flight: 0, bytes: 0, events, client })
    }

    /// Queues a record; its delivery report carries `token`. The record is copied.
    pub fn send(&mut self, record: &OutgoingRecord<'_>, token: u64) -> Result<(), SendError> {
        let bytes = size(record);
        if self.in_flight >= MAX_RECORDS || (self.in_flight > 0 && self.bytes + bytes > MAX_BYTES) {
            return Err(SendError::Full);
        }
        match self.client.produce(record, token) {
            Ok(()) => {}
            Err(error) if error.code == ErrorCode::QUEUE_FULL => return Err(SendError::Full),
            Err(error) => return Err(SendError::Refused(error)),
        }
        self.in_flight += 1;
        self.bytes += bytes;
        Ok(())
    }

    /// The next event, if there is one. Call it at least every few seconds: it is what helps a producer that has lost all its brokers.
    pub fn next_event(&mut self) -> Option<ProducerEvent> {
        self.client.look_after_brokers();
        while self.reports.is_empty() && self.events.maybe() {
            let heard = self.events.poll().map(|event| hear(&event))?;
            self.take_in(heard);
        }
        self.hand_on()
    }

    /// Something may be there: look before you sleep.
    pub fn maybe_ready(&self) -> bool {
        !self.reports.is_empty() || self.events.maybe()
    }

    /// Records sent whose report was not yet taken.
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// What the queue still takes. Reports must be taken to make room.
    pub fn room(&self) -> Room {
        Room { records: MAX_RECORDS - self.in_flight, bytes: MAX_BYTES.saturating_sub(self.bytes) }
    }

    /// The fatal error raised in this producer, if one was: it must be dropped and another made. What was in flight may or
    /// may not be in the log.
    pub fn fatal_error(&self) -> Option<KafkaError> {
        self.client.fatal_error()
    }

    /// Waits, at most `timeout`, until nothing is in flight; each event goes to `on_event`. True if nothing is left.
    pub fn flush(&mut self, timeout: Duration, mut on_event: impl FnMut(ProducerEvent)) -> bool {
        let deadline = Instant::now() + timeout;
        loop {
            while let Some(event) = self.hand_on() {
                on_event(event);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if self.in_flight == 0 || left.is_zero() {
                return self.in_flight == 0;
            }
            self.client.look_after_brokers();
            if let Some(heard) = self.events.wait(left.min(FLUSH_TURN)).map(|event| hear(&event)) {
                self.take_in(heard);
            }
        }
    }

    /// Gives up on everything in flight: each comes back as failed, though some may be in the log.
    pub fn purge(&mut self) {
        produce::purge(&self.client);
    }

    fn take_in(&mut self, heard: Heard) {
        match heard {
            Heard::Reports(reports) => {
                for Report { token, partition, offset, bytes, error } in reports {
                    self.bytes = self.bytes.saturating_sub(bytes);
                    self.reports.push_back(match error {
                        None if offset < 0 => ProducerEvent::Failed { token, error: inferred() },
                        None => ProducerEvent::Delivered { token, partition, offset },
                        Some(error) => ProducerEvent::Failed { token, error },
                    });
                }
            }
            Heard::Error(error) => self.reports.push_back(ProducerEvent::Error(error)),
            Heard::Nothing => {}
        }
    }

    fn hand_on(&mut self) -> Option<ProducerEvent> {
        let event = self.reports.pop_front()?;
        if !matches!(event, ProducerEvent::Error(_)) {
            self.in_flight = self.in_flight.saturating_sub(1);
        }
        Some(event)
    }
}

enum Heard {
    Reports(Vec<Report>),
    Error(KafkaError),
    Nothing,
}

fn hear(event: &Event<'_>) -> Heard {
    match event.kind() {
        sys::RD_KAFKA_EVENT_DR => Heard::Reports(produce::reports(event)),
        sys::RD_KAFKA_EVENT_ERROR => event.error().map_or(Heard::Nothing, Heard::Error),
        _ => Heard::Nothing,
    }
}

/// The bytes by which room is counted: those that a delivery report tells again. Headers are left out for that reason.
fn size(record: &OutgoingRecord<'_>) -> usize {
    record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len)
}

/// librdkafka takes a batch for written when one behind it is (`rd_kafka_dr_implicit_ack` in rdkafka_broker.c, 2.12.1), though the broker
/// refused it or never answered. That is false where the topic is made anew between the two: no log that begins with the second one
/// misses the first. Such a record has no offset. It is sent again, and may then be there twice.
fn inferred() -> KafkaError {
    let text = "written by inference alone: the broker did not say so".to_owned();
    KafkaError { code: ErrorCode::TIMED_OUT, text, fatal: false }
}
