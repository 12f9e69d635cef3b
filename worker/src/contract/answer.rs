//! A processor's whole answer as the outcome of its record, output included.

use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, HeaderMap};
use jiff::Timestamp;
use penstock_engine::seam::{Outcome, Output, OutputRecord, Record};

use super::encoding::decode_headers;
use super::request::decoded;
use super::verdict::{Verdict, verdict};
use super::{HEADERS, KEY, NULL};

/// Turns status, headers and body into an outcome. Without an output topic the body means nothing.
pub fn outcome(
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    record: &Record,
    has_output: bool,
    now: Timestamp,
) -> Outcome {
    match verdict(status, headers, now) {
        Verdict::Ack if has_output => output(status, headers, body, record)
            .map_or(Outcome::Ack, |record| Outcome::AckWith(Box::new(Output { records: vec![record] }))),
        Verdict::Ack => Outcome::Ack,
        Verdict::Skip => Outcome::Skip,
        Verdict::Retry(failure) => Outcome::Retry(failure),
        Verdict::Reject(failure) => Outcome::Reject(failure),
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
    let mut kept = headers.get(HEADERS).map(|list| decode_headers(list.as_bytes())).unwrap_or_default();
    let named = kept.iter().any(|(name, _)| name.eq_ignore_ascii_case(b"content-type"));
    if let Some(content_type) = headers.get(CONTENT_TYPE).filter(|_| !tombstone && !named) {
        kept.push((Box::from(&b"content-type"[..]), Some(Box::from(content_type.as_bytes()))));
    }
    Some(OutputRecord { key, value, headers: kept })
}

#[cfg(test)]
mod tests {
    use penstock_engine::seam::{ArenaBuilder, NewRecord};

    use super::*;

    fn answered(status: u16, headers: &[(&'static str, &str)], body: &[u8]) -> Option<OutputRecord> {
        let mut arena = ArenaBuilder::default();
        arena.push(NewRecord { key: Some(b"k"), value: Some(b"v"), ..NewRecord::default() }).unwrap();
        let record = arena.finish().record(0).unwrap();
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        let status = StatusCode::from_u16(status).unwrap();
        match outcome(status, &headers, body, &record, true, Timestamp::UNIX_EPOCH) {
            Outcome::AckWith(output) => output.records.into_iter().next(),
            Outcome::Ack => None,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_body_is_the_value_and_the_key_stays() {
        let record = answered(200, &[("content-type", "application/json")], b"{}").unwrap();
        assert_eq!(record.key.as_deref(), Some(&b"k"[..]));
        assert_eq!(record.value.as_deref(), Some(&b"{}"[..]));
        assert_eq!(&*record.headers[0].0, b"content-type");
    }

    #[test]
    fn empty_null_and_nothing_are_three_things() {
        assert_eq!(answered(200, &[], b"").unwrap().value.as_deref(), Some(&b""[..]));
        assert_eq!(answered(204, &[("penstock-null", "value")], b"").unwrap().value, None);
        assert_eq!(answered(204, &[], b""), None);
    }

    #[test]
    fn key_and_headers_can_be_chosen() {
        let record = answered(200, &[("penstock-key", "a%00b"), ("penstock-headers", "x=1&y")], b"v").unwrap();
        assert_eq!(record.key.as_deref(), Some(&b"a\0b"[..]));
        assert_eq!(record.headers.len(), 2);
        assert_eq!(answered(200, &[("penstock-null", "key")], b"v").unwrap().key, None);
    }

    #[test]
    fn an_error_page_with_the_verdict_ack_is_no_output() {
        assert_eq!(answered(500, &[("penstock-verdict", "ack")], b"oops"), None);
    }
}
