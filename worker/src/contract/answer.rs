//! A processor's whole answer as the outcome of its record, output included.

use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use jiff::Timestamp;
use penstock_engine::seam::{Delivery, Failure, Outcome, Output, OutputRecord, Record};

use super::encoding::decode_headers;
use super::items::{self, suspect};
use super::output::with_content_type;
use super::request::decoded;
use super::verdict::{Verdict, verdict};
use super::{ANSWER, HEADERS, KEY, NULL, VERDICT};

/// What a processor answered.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// The whole body.
    pub body: &'a [u8],
    /// When it came, for waits that are given as dates.
    pub now: Timestamp,
}

impl Answer<'_> {
    /// What it says of the one record that was sent. Without an output topic a plain body means nothing.
    pub fn single(self, delivery: &Delivery, has_output: bool) -> Outcome {
        let Self { status, headers, body, now } = self;
        match verdict(status, headers, now) {
            Verdict::Ack if status.is_success() && has_items(headers) => {
                let said = items::outcomes(body, std::slice::from_ref(delivery), has_output).pop();
                said.unwrap_or(Outcome::Cancelled) // one delivery, one outcome
            }
            Verdict::Ack if has_output => output(status, headers, body, &delivery.record)
                .map_or(Outcome::Ack, |record| Outcome::AckWith(Box::new(Output { records: vec![record] }))),
            verdict => whole(verdict, 1),
        }
    }

    /// What it says of each record of a batch, in their order: what its items say, or for all the same. A failure of all is
    /// charged to nobody, unless there was but one.
    pub fn batch(self, deliveries: &[Delivery], has_output: bool) -> Vec<Outcome> {
        let verdict = verdict(self.status, self.headers, self.now);
        if matches!(verdict, Verdict::Ack) && !self.headers.contains_key(VERDICT) && !self.body.is_empty() {
            return items::outcomes(self.body, deliveries, has_output);
        }
        let outcome = whole(verdict, deliveries.len());
        deliveries.iter().map(|_| outcome.clone()).collect()
    }
}

/// Whether anything is read in the body of such an answer: a failure says all by its status and headers, and so does a success that has
/// neither output nor items.
pub fn is_read(status: StatusCode, headers: &HeaderMap, of_batch_or_with_output: bool) -> bool {
    status.is_success() && (of_batch_or_with_output || has_items(headers))
}

/// Whether the body is said to speak of records one by one.
fn has_items(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    let essence = content_type.and_then(|value| value.split(|byte| *byte == b';').next()).unwrap_or_default();
    let typed = essence.trim_ascii().eq_ignore_ascii_case(ANSWER.as_bytes());
    typed && !headers.contains_key(VERDICT)
}

/// A verdict on everything that was sent.
fn whole(verdict: Verdict, records: usize) -> Outcome {
    let blame = |failure: Box<Failure>, single: fn(Box<Failure>) -> Outcome| {
        if records == 1 { single(failure) } else { suspect(failure, records) }
    };
    match verdict {
        Verdict::Ack => Outcome::Ack,
        Verdict::Skip => Outcome::Skip,
        Verdict::Retry(failure) => blame(failure, Outcome::Retry),
        Verdict::Reject(failure) => blame(failure, Outcome::Reject),
        Verdict::Overload(failure) => Outcome::Overload(failure),
        Verdict::Unavailable(failure) => Outcome::Unavailable(failure),
    }
}

/// The record that the answer holds: none for 204 and for what is not 2xx, a tombstone where the value is declared null.
fn output(status: StatusCode, headers: &HeaderMap, body: &[u8], record: &Record) -> Option<OutputRecord> {
    let null = |what: &str| {
        headers
            .get_all(NULL)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .any(|list| list.split(',').any(|one| one.trim().eq_ignore_ascii_case(what)))
    };
    let tombstone = null("value");
    if !status.is_success() || (status == StatusCode::NO_CONTENT && !tombstone) {
        return None;
    }
    let key = match headers.get(KEY) {
        _ if null("key") => None,
        Some(key) => Some(decoded(key)),
        None => record.key().map(Box::from),
    };
    let value = (!tombstone).then(|| Box::from(body));
    let kept = headers.get(HEADERS).map(|list| decode_headers(list.as_bytes())).unwrap_or_default();
    let content_type = headers.get(CONTENT_TYPE).filter(|_| !tombstone).map(HeaderValue::as_bytes);
    Some(OutputRecord { key, value, headers: with_content_type(kept, content_type) })
}

#[cfg(test)]
mod tests;
