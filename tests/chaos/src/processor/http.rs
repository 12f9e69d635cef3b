//! As much of HTTP/1.1 as a worker speaks, and the processor contract as a reader understands it: written from its words, not
//! from the worker's code, so that the two check each other.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::history::Tp;
use crate::rng::digest;

/// A record as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) tp: Tp,
    pub(super) offset: i64,
    pub(super) attempt: u32,
    pub(super) owner: u64,
    /// A digest of the key.
    pub(super) key: Option<u64>,
    /// A digest of key, value and headers.
    pub(super) digest: u64,
}

/// What one request holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    One(Request),
    /// A batch, also of one record.
    Batch(Vec<Request>),
}

impl Sent {
    pub(super) fn records(&self) -> &[Request] {
        match self {
            Self::One(record) => std::slice::from_ref(record),
            Self::Batch(records) => records,
        }
    }
}

/// The length of the first request in the buffer, if it is there whole: of its head and of all.
pub(super) fn whole(buffer: &[u8]) -> Option<(usize, usize)> {
    let head = buffer.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&buffer[..head]);
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    let all = head + length.unwrap_or_default();
    (buffer.len() >= all).then_some((head, all))
}

/// Reads a whole request; none if something that the contract promises is not there. A topic is known by its place in `topics`.
pub(super) fn parse(head: &[u8], body: &[u8], topics: &[String]) -> Option<Sent> {
    let text = String::from_utf8_lossy(head);
    let fields: HashMap<String, &str> = text
        .lines()
        .skip(1)
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim()))
        .collect();
    let field = |name: &str| fields.get(name).copied();
    match (field("penstock-records"), field("content-type")) {
        (None, _) => {
            let named = |name: &str| field(&format!("penstock-{name}")).map(str::to_owned);
            record(&named, Some(body.to_vec()), topics).map(Sent::One)
        }
        (Some("1"), Some("application/cloudevents+json")) => {
            // What is short is in the head all the same.
            let event: Value = serde_json::from_slice(body).ok()?;
            let agrees = |name: &str| field(&format!("penstock-{name}")) == text_of(&event, name);
            let same = ["topic", "partition", "offset", "attempt", "owner"].into_iter().all(agrees);
            same.then(|| of_event(&event, topics)).flatten().map(Sent::One)
        }
        (Some(count), Some("application/cloudevents-batch+json")) => {
            let events: Vec<Value> = serde_json::from_slice(body).ok()?;
            let records = events.iter().map(|event| of_event(event, topics)).collect::<Option<Vec<_>>>()?;
            (count.parse() == Ok(records.len()) && !records.is_empty()).then_some(Sent::Batch(records))
        }
        _ => None,
    }
}

/// An attribute of an event, by the name that a header of the head has behind its first hyphen.
fn text_of<'a>(event: &'a Value, name: &str) -> Option<&'a str> {
    event.get(format!("penstock{name}")).and_then(Value::as_str)
}

fn of_event(event: &Value, topics: &[String]) -> Option<Request> {
    let value = event.get("data_base64").and_then(Value::as_str).map(|data| STANDARD.decode(data)).transpose().ok()?;
    record(&|name| text_of(event, name).map(str::to_owned), value, topics)
}

/// A record of which `field` knows what the contract calls `penstock-…`. None of value is null, and must be said to be.
fn record(field: &dyn Fn(&str) -> Option<String>, value: Option<Vec<u8>>, topics: &[String]) -> Option<Request> {
    let null = field("null").unwrap_or_default();
    let null = |what: &str| null.split(',').any(|one| one.trim() == what);
    let key = field("key").map(|key| decoded(key.as_bytes()));
    if null("key") == key.is_some() || (value.is_none() && !null("value")) {
        return None;
    }
    let value = value.filter(|_| !null("value"));
    let headers = headers(&field("headers").unwrap_or_default());
    let headers = headers.iter().map(|(name, value)| (name.as_slice(), value.as_deref()));
    let topic = field("topic")?;
    Some(Request {
        tp: Tp { topic: topics.iter().position(|one| *one == topic)?, partition: field("partition")?.parse().ok()? },
        offset: field("offset")?.parse().ok()?,
        attempt: field("attempt")?.parse().ok()?,
        owner: field("owner")?.parse().ok()?,
        key: key.as_deref().map(|key| digest([Some(key)])),
        digest: record_digest(key.as_deref(), value.as_deref(), headers),
    })
}

/// A digest of all that a record carries.
pub(crate) fn record_digest<'a>(
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
    headers: impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)>,
) -> u64 {
    digest([key, value].into_iter().chain(headers.flat_map(|(name, value)| [Some(name), value])))
}

fn headers(list: &str) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
    let pairs = list.split('&').filter(|_| !list.is_empty());
    let split = |pair: &str| match pair.split_once('=') {
        Some((name, value)) => (decoded(name.as_bytes()), Some(decoded(value.as_bytes()))),
        None => (decoded(pair.as_bytes()), None),
    };
    pairs.map(split).collect()
}

/// Percent-decoding. The worker encodes every `%`, so each begins an escape.
fn decoded(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, tail)) = rest.split_first() {
        let escape = tail.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        if let Some(byte) = escape.and_then(|two| u8::from_str_radix(two, 16).ok()).filter(|_| *first == b'%') {
            bytes.push(byte);
            rest = &tail[2..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "POST / HTTP/1.1\r\nhost: x\r\npenstock-topic: b\r\npenstock-partition: 3\r\npenstock-offset: 42\r\n\
                        penstock-attempt: 2\r\npenstock-owner: 7\r\ncontent-length: 5\r\n";

    fn parsed(head: &str, body: &[u8]) -> Option<Sent> {
        parse(head.as_bytes(), body, &["a".to_owned(), "b".to_owned()])
    }

    fn one(head: &str, body: &[u8]) -> Request {
        match parsed(head, body) {
            Some(Sent::One(record)) => record,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_request_is_read_when_it_is_whole() {
        let text = format!("{HEAD}\r\nhello");
        assert_eq!(whole(text.as_bytes()), Some((text.len() - 5, text.len())));
        assert_eq!(whole(&text.as_bytes()[..text.len() - 1]), None);
        assert_eq!(whole(b"POST / HTTP/1.1\r\n"), None);
    }

    #[test]
    fn key_value_and_headers_are_the_records() {
        let head = format!("{HEAD}penstock-key: a%00b\r\npenstock-headers: a=1&a&b=%26\r\n\r\n");
        let request = one(&head, b"hello");
        let tp = Tp { topic: 1, partition: 3 };
        assert_eq!((request.tp, request.offset, request.attempt, request.owner), (tp, 42, 2, 7));
        let headers: [(&[u8], Option<&[u8]>); 3] = [(b"a", Some(b"1")), (b"a", None), (b"b", Some(b"&"))];
        assert_eq!(request.digest, record_digest(Some(b"a\0b"), Some(b"hello"), headers.into_iter()));
        assert_eq!(request.key, Some(digest([Some(&b"a\0b"[..])])));
    }

    #[test]
    fn null_is_not_empty_and_is_said() {
        let of = |more: &str| one(&format!("{HEAD}{more}\r\n"), b"");
        assert_eq!(of("penstock-null: key,value\r\n").digest, record_digest(None, None, [].into_iter()));
        assert_eq!(of("penstock-key: \r\n").digest, record_digest(Some(b""), Some(b""), [].into_iter()));
        assert_eq!(of("penstock-null: key\r\n").key, None);
        assert_eq!(parsed(&format!("{HEAD}\r\n"), b""), None, "no key, and not null");
    }

    const EVENT: &str = r#""penstocktopic":"b","penstockpartition":"3","penstockoffset":"42","penstockattempt":"2",
        "penstockowner":"7","penstockkey":"k","penstockheaders":"a=1""#;

    #[test]
    fn a_record_in_the_body_says_what_the_head_says() {
        let head = format!("{HEAD}penstock-records: 1\r\ncontent-type: application/cloudevents+json\r\n\r\n");
        let request = one(&head, format!("{{{EVENT},\"data_base64\":\"aGVsbG8=\"}}").as_bytes());
        let headers: [(&[u8], Option<&[u8]>); 1] = [(b"a", Some(b"1"))];
        assert_eq!(request.digest, record_digest(Some(b"k"), Some(b"hello"), headers.into_iter()));
        let another = EVENT.replace("\"42\"", "\"43\"");
        assert_eq!(parsed(&head, format!("{{{another},\"data_base64\":\"\"}}").as_bytes()), None);
    }

    #[test]
    fn a_batch_has_as_many_records_as_it_says() {
        let head = |count| {
            format!(
                "POST / HTTP/1.1\r\npenstock-records: {count}\r\ncontent-type: application/cloudevents-batch+json\r\n\r\n"
            )
        };
        let (full, null) =
            (format!("{{{EVENT},\"data_base64\":\"aGVsbG8=\"}}"), format!("{{{EVENT},\"penstocknull\":\"value\"}}"));
        let body = format!("[{full},{null}]");
        let Some(Sent::Batch(records)) = parsed(&head(2), body.as_bytes()) else { panic!("no batch") };
        assert_eq!(records.len(), 2);
        assert_ne!(records[0].digest, records[1].digest);
        assert_eq!(parsed(&head(3), body.as_bytes()), None);
        assert_eq!(parsed(&head(1), format!("[{{{EVENT}}}]").as_bytes()), None, "no value, and not null");
    }
}
