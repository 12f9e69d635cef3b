//! Headers of dead letters as other systems write them, byte for byte, so that tools made for those read ours: Spring Kafka's
//! `DeadLetterPublishingRecoverer` and Kafka Connect's `DeadLetterQueueReporter`.
//!
//! Where those name a Java class, there is `dev.penstock.` and the error class; a stack trace has its first line and no frames.

use penstock_engine::seam::{Record, Undelivered};

use super::Own;
use crate::contract::request::Origin;
use crate::delay::timestamp_type;
use crate::kafka::millis;

/// What Connect calls handing a record to a sink.
const STAGE: &str = "TASK_PUT";
/// Pipelines have no tasks; readers expect a number.
const TASK: &str = "0";
/// Who failed to put the record, as Connect names a class.
const EXECUTING_CLASS: &str = "dev.penstock.Worker";

/// Spring Kafka's: text as UTF-8, numbers as big-endian integers, 4 bytes for the partition and 8 for offset and timestamp.
pub(super) fn spring(origin: &Origin, record: &Record, cause: &Undelivered, group: &str) -> Own {
    let timestamp_type = timestamp_type(record.timestamp());
    vec![
        ("kafka_dlt-original-topic", origin.topic.as_bytes().to_vec()),
        ("kafka_dlt-original-partition", origin.partition.to_be_bytes().to_vec()),
        ("kafka_dlt-original-offset", record.offset().to_be_bytes().to_vec()),
        ("kafka_dlt-original-timestamp", millis(record.timestamp()).unwrap_or(-1).to_be_bytes().to_vec()),
        ("kafka_dlt-original-timestamp-type", timestamp_type.as_bytes().to_vec()),
        ("kafka_dlt-original-consumer-group", group.as_bytes().to_vec()),
        ("kafka_dlt-exception-fqcn", class(cause).into_bytes()),
        ("kafka_dlt-exception-message", cause.failure.detail.as_bytes().to_vec()),
        ("kafka_dlt-exception-stacktrace", trace(cause).into_bytes()),
    ]
}

/// Kafka Connect's: everything as text. The connector is the pipeline.
pub(super) fn connect(origin: &Origin, record: &Record, cause: &Undelivered, pipeline: &str) -> Own {
    super::bytes(vec![
        ("__connect.errors.topic", origin.topic.to_string()),
        ("__connect.errors.partition", origin.partition.to_string()),
        ("__connect.errors.offset", record.offset().to_string()),
        ("__connect.errors.connector.name", pipeline.to_owned()),
        ("__connect.errors.task.id", TASK.to_owned()),
        ("__connect.errors.stage", STAGE.to_owned()),
        ("__connect.errors.class.name", EXECUTING_CLASS.to_owned()),
        ("__connect.errors.exception.class.name", class(cause)),
        ("__connect.errors.exception.message", cause.failure.detail.to_string()),
        ("__connect.errors.exception.stacktrace", trace(cause)),
    ])
}

fn class(cause: &Undelivered) -> String {
    format!("dev.penstock.{}", cause.failure.class)
}

/// The first line of a Java stack trace.
fn trace(cause: &Undelivered) -> String {
    format!("{}: {}\n", class(cause), cause.failure.detail)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use penstock_engine::seam::{ArenaBuilder, ErrorClass, Failure, NewRecord, Timestamp};

    use super::*;

    fn record(timestamp: Timestamp) -> Record {
        let mut arena = ArenaBuilder::default();
        arena.push(NewRecord { offset: 258, timestamp, ..NewRecord::default() }).unwrap();
        arena.finish().record(0).unwrap()
    }

    fn cause() -> Undelivered {
        let failure = *Failure::new(ErrorClass::Rejected, "HTTP 422");
        Undelivered { attempts: 1, failing_for: Duration::from_secs(2), failure }
    }

    fn origin() -> Origin {
        Origin::new("orders".into(), 3, "c1", "t1")
    }

    #[test]
    fn spring_reads_its_own_headers() {
        let expected: [(&str, &[u8]); 9] = [
            ("kafka_dlt-original-topic", b"orders"),
            ("kafka_dlt-original-partition", &[0, 0, 0, 3]),
            ("kafka_dlt-original-offset", &[0, 0, 0, 0, 0, 0, 1, 2]),
            ("kafka_dlt-original-timestamp", &[0, 0, 0, 0, 0, 0, 0, 7]),
            ("kafka_dlt-original-timestamp-type", b"CreateTime"),
            ("kafka_dlt-original-consumer-group", b"shop.orders"),
            ("kafka_dlt-exception-fqcn", b"dev.penstock.Rejected"),
            ("kafka_dlt-exception-message", b"HTTP 422"),
            ("kafka_dlt-exception-stacktrace", b"dev.penstock.Rejected: HTTP 422\n"),
        ];
        let seen = spring(&origin(), &record(Timestamp::Create(7)), &cause(), "shop.orders");
        assert_eq!(seen.iter().map(|(name, value)| (*name, value.as_slice())).collect::<Vec<_>>(), expected);
        let none = spring(&origin(), &record(Timestamp::None), &cause(), "g");
        assert_eq!((&none[3].1, none[4].1.as_slice()), (&vec![0xff; 8], &b"NoTimestampType"[..]));
        assert_eq!(spring(&origin(), &record(Timestamp::LogAppend(7)), &cause(), "g")[4].1, b"LogAppendTime");
    }

    #[test]
    fn connect_reads_its_own_headers() {
        let seen = connect(&origin(), &record(Timestamp::Create(7)), &cause(), "shop/orders");
        let text: Vec<_> =
            seen.iter().map(|(name, value)| format!("{name}={}", String::from_utf8_lossy(value))).collect();
        let expected = [
            "__connect.errors.topic=orders",
            "__connect.errors.partition=3",
            "__connect.errors.offset=258",
            "__connect.errors.connector.name=shop/orders",
            "__connect.errors.task.id=0",
            "__connect.errors.stage=TASK_PUT",
            "__connect.errors.class.name=dev.penstock.Worker",
            "__connect.errors.exception.class.name=dev.penstock.Rejected",
            "__connect.errors.exception.message=HTTP 422",
            "__connect.errors.exception.stacktrace=dev.penstock.Rejected: HTTP 422\n",
        ];
        assert_eq!(text, expected);
    }
}
