//! `delivery.batch`.

use std::time::Duration;

use super::check::Check;
use crate::pipeline::Batch;
use crate::spec::{BatchSpec, Ordering};

/// `batch.maxRecords`: at some 600 bytes for each of them a request stays below 16 MiB.
const RECORDS_MAX: u32 = 10_000;
/// `batch.maxBytes`: from a few records to what web frameworks can be told to accept.
const BYTES: (u32, u32) = (1 << 10, 16 << 20);
/// `batch.maxBytes` unless given: what Kafka takes as one batch by default.
const BYTES_DEFAULT: i32 = 1 << 20;
/// `batch.maxWait`: longer would outlast every promise about lag.
const WAIT_MAX: Duration = Duration::from_secs(60);

pub(super) fn batch(spec: &BatchSpec, ordering: Ordering, check: &mut Check) -> Batch {
    let path = |field: &str| format!("spec.delivery.batch.{field}");
    let same_lane = spec.same_lane.unwrap_or(false);
    if same_lane && ordering == Ordering::Unordered {
        check.wrong(
            &path("sameLane"),
            "needs an order to keep; choose delivery.ordering Key or Partition, or remove it",
        );
    }
    let wait = spec.max_wait.map_or(Duration::ZERO, crate::Duration::get);
    let bytes = check.count(&path("maxBytes"), spec.max_bytes.unwrap_or(BYTES_DEFAULT), BYTES.0, BYTES.1);
    Batch {
        max_records: check.count(&path("maxRecords"), spec.max_records, 1, RECORDS_MAX),
        max_bytes: bytes.into(),
        max_wait: check.span(&path("maxWait"), wait, Duration::ZERO, WAIT_MAX),
        same_lane,
    }
}
