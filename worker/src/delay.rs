//! Records on their way through a delay topic: what they carry, and how they become again what they were.
//!
//! A record is written there byte for byte, with a fixed block of headers behind its own ([`headers`]). Whoever takes it out again
//! shows it to the processor, to the dead letters and to the next delay topic as it was first read ([`FirstRead::of`]): the same
//! topic, partition, offset and timestamp, hence the same idempotency key, and without the block.

use std::sync::Arc;
use std::time::Duration;

use penstock_engine::seam::{ArenaBuilder, NewRecord, Record, Timestamp, Undelivered};

use crate::contract::request::Origin;
use crate::forward::{
    ATTEMPTS, ERROR_CLASS, ERROR_DETAIL, FAILING_MS, ID, ORIGIN_OFFSET, ORIGIN_PARTITION, ORIGIN_TIMESTAMP,
    ORIGIN_TOPIC, Own, PIPELINE,
};
use crate::kafka::millis;

/// Who set the record's timestamp, in Kafka's words.
pub const ORIGIN_TIMESTAMP_TYPE: &str = "penstock.origin.timestamp.type";
/// The block's headers, in their order. A record of the user's may carry the same names: only the last ones are Penstock's.
pub const BLOCK: [&str; 11] = [
    ID,
    ORIGIN_TOPIC,
    ORIGIN_PARTITION,
    ORIGIN_OFFSET,
    ORIGIN_TIMESTAMP,
    ORIGIN_TIMESTAMP_TYPE,
    ERROR_CLASS,
    ERROR_DETAIL,
    ATTEMPTS,
    FAILING_MS,
    PIPELINE,
];

/// A topic of `retry.delayTopics`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DelayTopic {
    /// Its name.
    pub topic: String,
    /// How long a record waits there, counted from its append time.
    pub delay: Duration,
}

/// The block for a record as it was first read.
pub fn headers(origin: &Origin, record: &Record, cause: &Undelivered, pipeline: &str) -> Own {
    let values: [String; BLOCK.len()] = [
        origin.record_id(record.offset()),
        origin.topic.as_ref().to_owned(),
        origin.partition.to_string(),
        record.offset().to_string(),
        millis(record.timestamp()).map_or_else(String::new, |millis| millis.to_string()),
        timestamp_type(record.timestamp()).to_owned(),
        cause.failure.class.as_str().to_owned(),
        cause.failure.detail.to_string(),
        cause.attempts.to_string(),
        cause.failing_for.as_millis().to_string(),
        pipeline.to_owned(),
    ];
    BLOCK.into_iter().zip(values.map(String::into_bytes)).collect()
}

/// Who set a timestamp, as Kafka names it.
pub(crate) fn timestamp_type(timestamp: Timestamp) -> &'static str {
    match timestamp {
        Timestamp::None => "NoTimestampType",
        Timestamp::Create(_) => "CreateTime",
        Timestamp::LogAppend(_) => "LogAppendTime",
    }
}

/// Where in a record's headers the block begins, and its values; `None` for a record that Penstock did not write there.
fn block<'a>(headers: impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)>) -> Option<(usize, [&'a str; BLOCK.len()])> {
    let all: Vec<_> = headers.collect();
    let begin = all.len().checked_sub(BLOCK.len())?;
    let mut values = [""; BLOCK.len()];
    for ((value, name), (found, text)) in values.iter_mut().zip(BLOCK).zip(&all[begin..]) {
        *value = std::str::from_utf8(text.filter(|_| *found == name.as_bytes())?).ok()?;
    }
    Some((begin, values))
}

/// What the engine has to know of a record from a delay topic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Travelled {
    /// Charged attempts.
    pub attempts: u32,
    /// For how long it had been failing when it was written to the topic.
    pub failing_for: Duration,
}

impl Travelled {
    /// From a record's headers. A record that somebody else wrote there begins with nothing.
    pub fn of<'a>(headers: impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)>) -> Self {
        let read = || {
            let (_, [.., attempts, failing, _]) = block(headers)?;
            Some(Self { attempts: attempts.parse().ok()?, failing_for: Duration::from_millis(failing.parse().ok()?) })
        };
        read().unwrap_or_default()
    }
}

/// For how long a record has been in its topic that was appended at `appended`, both in milliseconds since the epoch. A record whose
/// time is unknown, or ahead of ours, has just come: it waits for the whole delay, and never longer.
pub fn waited(appended: Option<i64>, now: i64) -> Duration {
    let waited = appended.map_or(0, |appended| now.saturating_sub(appended));
    Duration::from_millis(u64::try_from(waited).unwrap_or(0))
}

/// A record as it was first read from its source.
#[derive(Clone, Debug)]
pub struct FirstRead {
    /// Its partition.
    pub origin: Arc<Origin>,
    /// With the source's offset and timestamp, and no headers but its own.
    pub record: Record,
}

impl FirstRead {
    /// Of a record from a delay topic; `None` if Penstock did not write it there: then it is what it is.
    pub fn of(record: &Record) -> Option<Self> {
        let (own, [id, topic, partition, offset, time, time_type, ..]) = block(record.headers())?;
        let (cluster_id, rest) = id.split_once('/')?;
        let (topic_id, _) = rest.split_once('/')?;
        let timestamp = match (time_type, time.parse()) {
            ("CreateTime", Ok(millis)) => Timestamp::Create(millis),
            ("LogAppendTime", Ok(millis)) => Timestamp::LogAppend(millis),
            _ => Timestamp::None,
        };
        let mut arena = ArenaBuilder::default();
        arena
            .push(NewRecord {
                offset: offset.parse().ok()?,
                leader_epoch: -1,
                timestamp,
                key: record.key(),
                value: record.value(),
                ..NewRecord::default()
            })
            .ok()?;
        for (name, value) in record.headers().take(own) {
            arena.header(name, value).ok()?;
        }
        let origin = Origin::new(topic.into(), partition.parse().ok()?, cluster_id, topic_id);
        Some(Self { origin: Arc::new(origin), record: arena.finish().record(0)? })
    }
}

#[cfg(test)]
mod tests {
    use penstock_engine::seam::{ErrorClass, Failure};

    use super::*;

    /// A record as the delay topic has it.
    fn delayed(record: &Record, origin: &Origin, attempts: u32) -> Record {
        let failure = *Failure::new(ErrorClass::ServerError, "HTTP 500");
        let cause = Undelivered { attempts, failing_for: Duration::from_millis(1500), failure };
        let block = headers(origin, record, &cause, "shop/orders");
        let mut arena = ArenaBuilder::default();
        let (key, value) = (record.key(), record.value());
        arena
            .push(NewRecord { offset: 9, timestamp: Timestamp::LogAppend(77), key, value, ..NewRecord::default() })
            .unwrap();
        for (name, value) in record.headers() {
            arena.header(name, value).unwrap();
        }
        for (name, value) in &block {
            arena.header(name.as_bytes(), Some(value)).unwrap();
        }
        arena.finish().record(0).unwrap()
    }

    fn first(timestamp: Timestamp) -> Record {
        let mut arena = ArenaBuilder::default();
        let (key, value) = (Some(&b"\xff"[..]), None);
        arena.push(NewRecord { offset: 42, timestamp, key, value, ..NewRecord::default() }).unwrap();
        // The user's own, with names as Penstock's: a dead letter that was sent round again.
        arena.header(b"penstock.attempts", Some(b"5")).unwrap();
        arena.header(b"a", None).unwrap();
        arena.header(b"a", Some(b"\xff")).unwrap();
        arena.finish().record(0).unwrap()
    }

    #[test]
    fn a_record_comes_out_as_it_went_in_however_often() {
        for timestamp in [Timestamp::Create(7), Timestamp::LogAppend(7), Timestamp::None] {
            let origin = Origin::new("orders".into(), 3, "c1", "t1");
            let first = first(timestamp);
            let once = FirstRead::of(&delayed(&first, &origin, 1)).unwrap();
            let twice = delayed(&once.record, &once.origin, 2);
            let (headers, travelled) = (twice.headers().count(), Travelled::of(twice.headers()));
            assert_eq!((headers, travelled.attempts), (3 + BLOCK.len(), 2), "the block is replaced, not added to");
            assert_eq!(travelled.failing_for, Duration::from_millis(1500));
            let FirstRead { origin, record } = FirstRead::of(&twice).unwrap();
            assert_eq!(origin.record_id(record.offset()), "c1/t1/3/42");
            assert_eq!((&*origin.topic, origin.partition), ("orders", 3));
            assert_eq!((record.timestamp(), record.key(), record.value()), (timestamp, first.key(), first.value()));
            assert!(record.headers().eq(first.headers()));
        }
    }

    #[test]
    fn what_somebody_else_wrote_there_is_what_it_is() {
        let record = first(Timestamp::None);
        assert!(FirstRead::of(&record).is_none());
        assert_eq!(Travelled::of(record.headers()), Travelled::default());
    }

    #[test]
    fn a_wait_counts_from_append_and_clocks_that_differ_do_not_lengthen_it() {
        assert_eq!(waited(Some(1_000), 31_000), Duration::from_secs(30));
        assert_eq!(waited(Some(90_000), 1_000), Duration::ZERO, "the broker's clock is ahead");
        assert_eq!(waited(None, 1_000), Duration::ZERO);
    }
}
