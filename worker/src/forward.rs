//! What a worker writes: dead letters and outputs, byte for byte. docs/processor-contract.md lists the headers.
//!
//! Own headers stand behind those of the record; where a name repeats (a dead letter that was sent round again), the last
//! one counts, as it does for Kafka's `lastHeader`.

mod foreign;

use penstock_crds::spec::DeadLetterHeaders;
use penstock_engine::seam::{ErrorClass, LetterNumber, OutputRecord, PARKED_HEADER, Record, Undelivered};
use penstock_kafka::producer::OutgoingRecord;

use crate::contract::TRACE;
use crate::contract::request::Origin;
use crate::kafka::millis;

/// Names a forward for all time: readers drop what they have seen. `<cluster>/<topic id>/<partition>/<offset>`, and for outputs
/// `/<number of the record within the answer>`.
pub const ID: &str = "penstock.id";
/// Where a record came from.
pub const ORIGIN_TOPIC: &str = "penstock.origin.topic";
/// Where a record came from.
pub const ORIGIN_PARTITION: &str = "penstock.origin.partition";
/// Where a record came from.
pub const ORIGIN_OFFSET: &str = "penstock.origin.offset";
/// When the record was made, milliseconds since the epoch. A topic with `LogAppendTime` forgets the record's own timestamp.
pub const ORIGIN_TIMESTAMP: &str = "penstock.origin.timestamp";
/// Why: `rejected`, `exhausted`, `output-refused`, or `parked`: not tried, since its key is parked.
pub const REASON: &str = "penstock.reason";
/// Class of the last failure, as metrics and status name it.
pub const ERROR_CLASS: &str = "penstock.error.class";
/// The last failure in words.
pub const ERROR_DETAIL: &str = "penstock.error.detail";
/// Charged attempts.
pub const ATTEMPTS: &str = "penstock.attempts";
/// Milliseconds from the first failure to the last.
pub const FAILING_MS: &str = "penstock.failing.ms";
/// `<namespace>/<name>` of the pipeline.
pub const PIPELINE: &str = "penstock.pipeline";

/// Headers that Penstock adds.
pub type Own = Vec<(&'static str, Vec<u8>)>;

/// Where dead letters go, and what they carry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetters {
    /// The topic.
    pub topic: String,
    /// The consumer group, which Spring names.
    pub group: String,
    /// Headers of other systems.
    pub headers: Vec<DeadLetterHeaders>,
}

impl DeadLetters {
    /// The headers of a dead letter beside the record's own: Penstock's, and on request those of other systems.
    pub fn headers(
        &self,
        origin: &Origin,
        record: &Record,
        cause: &Undelivered,
        parked: Option<LetterNumber>,
        pipeline: &str,
    ) -> Own {
        let mut own = dead_letter_headers(origin, record, cause, pipeline);
        own.extend(parked.map(|number| (PARKED_HEADER, number.to_string().into_bytes())));
        for style in &self.headers {
            own.extend(match style {
                DeadLetterHeaders::Spring => foreign::spring(origin, record, cause, &self.group),
                DeadLetterHeaders::Connect => foreign::connect(origin, record, cause, pipeline),
            });
        }
        own
    }
}

fn dead_letter_headers(origin: &Origin, record: &Record, cause: &Undelivered, pipeline: &str) -> Own {
    let reason = match cause.failure.class {
        ErrorClass::Rejected => "rejected",
        ErrorClass::OutputRefused => "output-refused",
        ErrorClass::Parked => "parked",
        _ => "exhausted",
    };
    let mut own = vec![
        (ID, origin.record_id(record.offset())),
        (ORIGIN_TOPIC, origin.topic.as_ref().to_owned()),
        (ORIGIN_PARTITION, origin.partition.to_string()),
        (ORIGIN_OFFSET, record.offset().to_string()),
    ];
    own.extend(millis(record.timestamp()).map(|millis| (ORIGIN_TIMESTAMP, millis.to_string())));
    own.extend([
        (REASON, reason.to_owned()),
        (ERROR_CLASS, cause.failure.class.as_str().to_owned()),
        (ERROR_DETAIL, cause.failure.detail.to_string()),
        (ATTEMPTS, cause.attempts.to_string()),
        (FAILING_MS, cause.failing_for.as_millis().to_string()),
        (PIPELINE, pipeline.to_owned()),
    ]);
    bytes(own)
}

fn bytes(own: Vec<(&'static str, String)>) -> Own {
    own.into_iter().map(|(name, value)| (name, value.into_bytes())).collect()
}

/// The headers of an output record beside those of the answer.
pub fn output_headers(origin: &Origin, record: &Record, number: usize, pipeline: &str) -> Own {
    bytes(vec![
        (ID, format!("{}/{number}", origin.record_id(record.offset()))),
        (ORIGIN_TOPIC, origin.topic.as_ref().to_owned()),
        (ORIGIN_PARTITION, origin.partition.to_string()),
        (ORIGIN_OFFSET, record.offset().to_string()),
        (PIPELINE, pipeline.to_owned()),
    ])
}

/// The record itself, with more headers, for `partition` of a dead-letter or delay topic. Its own time is in a header: retention goes
/// by the time of the copy, or it would take the dead letter of an old record as soon as it is written. The delay counts from then too.
pub fn copy<T>(
    record: &Record,
    own: &Own,
    (topic, partition): (&str, Option<i32>),
    send: impl FnOnce(&OutgoingRecord<'_>) -> T,
) -> T {
    let headers: Vec<_> = record.headers().chain(own.iter().map(pair)).collect();
    send(&OutgoingRecord {
        topic,
        partition,
        key: record.key(),
        value: record.value(),
        headers: &headers,
        timestamp: None,
    })
}

/// One record of an answer, for the partition that its key gives. It keeps the time of the record that it answers, as
/// stream processors do: a reader that windows by event time sees when things happened. It also keeps its trace context, unless
/// the processor answered one of its own.
pub fn output<T>(
    cause: &Record,
    answer: &OutputRecord,
    own: &Own,
    topic: &str,
    send: impl FnOnce(&OutgoingRecord<'_>) -> T,
) -> T {
    let given = answer.headers.iter().map(|(name, value)| (name.as_ref(), value.as_deref()));
    let of_trace = |name: &[u8]| TRACE.iter().any(|one| name.eq_ignore_ascii_case(one.as_bytes()));
    let traced_anew = answer.headers.iter().any(|(name, _)| of_trace(name));
    let traced = cause.headers().filter(|(name, _)| !traced_anew && of_trace(name));
    let headers: Vec<_> = given.chain(traced).chain(own.iter().map(pair)).collect();
    send(&OutgoingRecord {
        topic,
        partition: None,
        key: answer.key.as_deref(),
        value: answer.value.as_deref(),
        headers: &headers,
        timestamp: millis(cause.timestamp()),
    })
}

fn pair<'a>((name, value): &'a (&'static str, Vec<u8>)) -> (&'a [u8], Option<&'a [u8]>) {
    (name.as_bytes(), Some(value))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use penstock_engine::seam::{ArenaBuilder, Failure, NewRecord, Timestamp};

    use super::*;

    fn record(new: NewRecord<'_>) -> Record {
        let mut arena = ArenaBuilder::default();
        arena.push(new).unwrap();
        arena.header(b"a", None).unwrap();
        arena.header(b"a", Some(b"\xff")).unwrap();
        arena.finish().record(0).unwrap()
    }

    #[test]
    fn a_dead_letter_is_the_record_and_why() {
        let new = NewRecord { offset: 42, timestamp: Timestamp::Create(7), key: Some(b""), ..NewRecord::default() };
        let (record, origin) = (record(new), Origin::new("orders".into(), 3, "c1", "t1"));
        let failure = *Failure::new(ErrorClass::Rejected, "HTTP 422");
        let cause = Undelivered { attempts: 1, failing_for: Duration::from_secs(2), failure };
        let own = dead_letter_headers(&origin, &record, &cause, "shop/orders");
        copy(&record, &own, ("dlq", Some(3)), |sent| {
            assert_eq!((sent.topic, sent.partition, sent.timestamp), ("dlq", Some(3), None));
            assert_eq!((sent.key, sent.value), (Some(&b""[..]), None));
            assert_eq!(&sent.headers[..2], &[(&b"a"[..], None), (&b"a"[..], Some(&b"\xff"[..]))]);
            let text: Vec<_> = sent.headers[2..]
                .iter()
                .map(|(name, value)| {
                    format!("{}={}", String::from_utf8_lossy(name), String::from_utf8_lossy(value.unwrap()))
                })
                .collect();
            let expected = [
                "penstock.id=c1/t1/3/42",
                "penstock.origin.topic=orders",
                "penstock.origin.partition=3",
                "penstock.origin.offset=42",
                "penstock.origin.timestamp=7",
                "penstock.reason=rejected",
                "penstock.error.class=Rejected",
                "penstock.error.detail=HTTP 422",
                "penstock.attempts=1",
                "penstock.failing.ms=2000",
                "penstock.pipeline=shop/orders",
            ];
            assert_eq!(text, expected);
        });
    }

    #[test]
    fn an_output_keeps_the_trace_of_its_cause_unless_it_has_its_own() {
        let mut arena = ArenaBuilder::default();
        arena.push(NewRecord::default()).unwrap();
        for (name, value) in [("traceparent", "00-a-b-01"), ("other", "x"), ("tracestate", "k=v")] {
            arena.header(name.as_bytes(), Some(value.as_bytes())).unwrap();
        }
        let cause = arena.finish().record(0).unwrap();
        let names = |answer: &OutputRecord| {
            let own = vec![(ID, b"id".to_vec())];
            output(&cause, answer, &own, "delays", |sent| {
                sent.headers.iter().map(|(name, _)| String::from_utf8_lossy(name).into_owned()).collect::<Vec<_>>()
            })
        };
        assert_eq!(names(&OutputRecord::default()), ["traceparent", "tracestate", "penstock.id"]);
        let own = OutputRecord { headers: vec![(b"Traceparent"[..].into(), None)], ..OutputRecord::default() };
        assert_eq!(names(&own), ["Traceparent", "penstock.id"]);
    }

    #[test]
    fn an_output_keeps_the_time_of_its_cause() {
        let record = record(NewRecord { offset: 1, timestamp: Timestamp::LogAppend(9), ..NewRecord::default() });
        let answer = OutputRecord { key: None, value: Some(b"v"[..].into()), headers: Vec::new() };
        let own = output_headers(&Origin::new("orders".into(), 3, "c1", "t1"), &record, 0, "shop/orders");
        output(&record, &answer, &own, "delays", |sent| {
            assert_eq!((sent.partition, sent.key, sent.value, sent.timestamp), (None, None, Some(&b"v"[..]), Some(9)));
            assert_eq!(sent.headers[0], (&b"penstock.id"[..], Some(&b"c1/t1/3/1/0"[..])));
        });
    }
}
