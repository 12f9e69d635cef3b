//! The processor contract over HTTP: how a record becomes a request, and a response an outcome. docs/processor-contract.md is
//! this module in words; the two change together.
//!
//! Pure: bytes in, bytes out. Connections are [`crate::processor`]'s.

pub mod answer;
pub mod encoding;
pub mod event;
pub mod items;
pub mod output;
pub mod request;
pub mod retry_after;
#[cfg(test)]
mod testing;
pub mod verdict;

/// Request and response: what is null and not merely empty: `key`, `value`, or both separated by a comma.
pub const NULL: &str = "penstock-null";
/// Request and response: the record's key, percent-encoded.
pub const KEY: &str = "penstock-key";
/// Request and response: the record's headers, `name=value` joined by `&`, both percent-encoded; a null value has no `=`.
pub const HEADERS: &str = "penstock-headers";
/// Response: says outright what became of the record, whatever the status.
pub const VERDICT: &str = "penstock-verdict";
/// Request: how often this record has been tried, this time included.
pub const ATTEMPT: &str = "penstock-attempt";
/// Request: milliseconds until the worker gives the call up.
pub const DEADLINE_MS: &str = "penstock-deadline-ms";
/// Request: rises with each owner of the partition: with the offset it tells a newer owner's call from an older one's.
pub const OWNER: &str = "penstock-owner";

/// Trace context (W3C, and baggage): goes from a record to the processor, and to the records that answer it.
pub const TRACE: [&str; 3] = ["traceparent", "tracestate", "baggage"];

/// Request: how many records the body holds. There exactly when records travel in the body as events: a record's value may
/// itself be one.
pub const RECORDS: &str = "penstock-records";

/// Content type of a request whose body is one record.
pub const EVENT: &str = "application/cloudevents+json";
/// Content type of a request whose body is a batch of records.
pub const BATCH: &str = "application/cloudevents-batch+json";
/// Content type of an answer that says more than status and headers can. A batch is answered so whatever the type says.
pub const ANSWER: &str = "application/vnd.penstock.answer+json";

/// Bytes of `penstock-key` and `penstock-headers` beyond which a record travels in the body (CloudEvents' structured mode): many
/// servers refuse requests whose headers exceed 8 KiB.
pub const HEADER_BYTES_MAX: usize = 6 * 1024;
/// Longest answer that is read. Brokers take 1 MiB by default.
pub const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;
