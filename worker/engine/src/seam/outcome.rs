//! What became of a call: the total table of worker.md, already told apart by the shell.

use core::time::Duration;

pub use penstock_crds::checkpoint::ErrorClass;

/// Longest [`Failure::detail`] that is kept, bytes. It travels in dead-letter headers and in status.
pub const FAILURE_DETAIL_BYTES_MAX: usize = 512;

/// What the processor said about one record, or what happened instead of an answer.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// Done. HTTP: 2xx without output records.
    Ack,
    /// Done once these records are confirmed on the output topic (S4). The answer is kept and only the forward is
    /// retried; the processor is not called again.
    AckWith(Box<Output>),
    /// Done by the processor's own policy: counted apart from acknowledgements.
    Skip,
    /// A verdict on this record: try again. Charges an attempt. HTTP: 408, 425, 5xx, unknown 4xx of a call that held
    /// this record alone, or an explicit verdict on it.
    Retry(Box<Failure>),
    /// A verdict on this record: it never will succeed. HTTP: 400, 413, 422. Goes the way of `onExhausted` at once.
    Reject(Box<Failure>),
    /// The processor is busy: back off, charge nothing. HTTP: 429, 503.
    Overload(Box<Failure>),
    /// Configuration or outage: charge nothing, stop calling. HTTP: 401, 403, 404, 405, 3xx; TLS, DNS, refused.
    Unavailable(Box<Failure>),
    /// A call with several records failed as a whole, or its answer left this record out: nobody is charged, the batch
    /// is bisected. For a call with this record alone it is the same as [`Outcome::Retry`].
    BatchFailed(Box<Failure>),
    /// The connection broke before an answer. Every record in flight is a suspect; only a break while alone is charged.
    ConnectionLost(Box<Failure>),
    /// The engine asked for it by [`Effect::Cancel`](crate::Effect::Cancel). Whatever the processor did is unknown.
    Cancelled,
}

/// Why a call did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Bounded set, for metrics, status and the checkpoint.
    pub class: ErrorClass,
    /// For humans and dead-letter headers, at most [`FAILURE_DETAIL_BYTES_MAX`] bytes; never record content.
    pub detail: Box<str>,
    /// The processor asked to wait this long (`Retry-After`, or an explicit verdict). Capped by `retry.maxDelay`.
    pub after: Option<Duration>,
}

impl Failure {
    /// A failure with a detail cut to [`FAILURE_DETAIL_BYTES_MAX`] bytes at a character boundary.
    pub fn new(class: ErrorClass, detail: &str) -> Box<Self> {
        let mut end = detail.len().min(FAILURE_DETAIL_BYTES_MAX);
        while !detail.is_char_boundary(end) {
            end -= 1;
        }
        Box::new(Self { class, detail: detail[..end].into(), after: None })
    }

    /// The same failure with the wait that the processor asked for.
    #[must_use]
    pub fn after(mut self: Box<Self>, wait: Duration) -> Box<Self> {
        self.after = Some(wait);
        self
    }
}

/// What a processor answered beside "done": records for the output topic, in order. Never empty as it is answered, or
/// to be written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// Written in this order to one partition of the output topic, or to the partitions their keys give.
    pub records: Vec<OutputRecord>,
}

/// One record for the output topic. Null and empty are different for key and value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutputRecord {
    /// `None` is null.
    pub key: Option<Box<[u8]>>,
    /// `None` is null: a tombstone.
    pub value: Option<Box<[u8]>>,
    /// Names and values in order, duplicates kept.
    pub headers: Vec<OutputHeader>,
}

/// Name and value of a header; `None` is null.
pub type OutputHeader = (Box<[u8]>, Option<Box<[u8]>>);
