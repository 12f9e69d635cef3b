//! The worker's producer: dead letters, outputs and delay records. Idempotent, `acks=all`, and like the consumer owned by
//! one thread: nothing waits, delivery reports are events.

use std::time::Duration;

use crate::error::KafkaError;
use crate::settings::ClientConfig;
use crate::wake::Waker;

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
    /// Bytes of key, value and headers.
    pub bytes: usize,
}

/// An idempotent producer.
#[derive(Debug)]
pub struct Producer {}

impl Producer {
    /// A producer that wakes `waker`'s thread when it has something.
    ///
    /// # Errors
    /// The configuration names an unknown property or a value out of range.
    pub fn new(config: &ClientConfig, waker: Waker) -> Result<Self, KafkaError> {
        todo!()
    }

    /// Queues a record; its delivery report carries `token`. The record is copied.
    pub fn send(&mut self, record: &OutgoingRecord<'_>, token: u64) -> Result<(), SendError> {
        todo!()
    }

    /// The next event, if there is one.
    pub fn next_event(&mut self) -> Option<ProducerEvent> {
        todo!()
    }

    /// Something may be there: look before you sleep.
    pub fn maybe_ready(&self) -> bool {
        todo!()
    }

    /// Records sent whose report was not yet taken.
    pub fn in_flight(&self) -> usize {
        todo!()
    }

    /// What the queue still takes. Reports must be taken to make room.
    pub fn room(&self) -> Room {
        todo!()
    }

    /// Waits, at most `timeout`, until nothing is in flight; each event goes to `on_event`. True if nothing is left.
    pub fn flush(&mut self, timeout: Duration, on_event: impl FnMut(ProducerEvent)) -> bool {
        todo!()
    }
}
