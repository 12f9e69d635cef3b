//! As much of HTTP/1.1 as a worker speaks, and the processor contract as a reader understands it: written from its words, not
//! from the worker's code, so that the two check each other.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::rng::digest;

/// A record as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) partition: i32,
    pub(super) offset: i64,
    pub(super) attempt: u32,
    pub(super) owner: u64,
    /// A digest of the key.
    pub(super) key: Option<u64>,
    /// A digest of key, value and headers.
    pub(super) digest: u64,
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

/// Reads a whole request; none if something that the contract promises is not there.
pub(super) fn parse(head: &[u8], body: &[u8]) -> Option<Request> {
    let text = String::from_utf8_lossy(head);
    let fields: HashMap<String, &str> = text
        .lines()
        .skip(1)
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim()))
        .collect();
    let field = |name: &str| fields.get(name).copied();
    let carried = match field("content-type") {
        Some("application/cloudevents+json") if !fields.contains_key("ce-specversion") => Carried::structured(body)?,
        _ => Carried {
            key: field("penstock-key").map(|key| decoded(key.as_bytes())),
            null: field("penstock-null").unwrap_or_default().to_owned(),
            headers: field("penstock-headers").unwrap_or_default().to_owned(),
            value: body.to_vec(),
        },
    };
    let null = |what: &str| carried.null.split(',').any(|one| one.trim() == what);
    let key = (!null("key")).then(|| carried.key.as_deref().unwrap_or_default());
    let value = (!null("value")).then_some(carried.value.as_slice());
    let headers = headers(&carried.headers);
    Some(Request {
        partition: field("penstock-partition")?.parse().ok()?,
        offset: field("penstock-offset")?.parse().ok()?,
        attempt: field("penstock-attempt")?.parse().ok()?,
        owner: field("penstock-owner")?.parse().ok()?,
        key: key.map(|key| digest([Some(key)])),
        digest: record_digest(key, value, headers.iter().map(|(name, value)| (name.as_slice(), value.as_deref()))),
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

struct Carried {
    key: Option<Vec<u8>>,
    null: String,
    headers: String,
    value: Vec<u8>,
}

impl Carried {
    /// CloudEvents' structured mode, for records whose key and headers are too long for a request's head.
    fn structured(body: &[u8]) -> Option<Self> {
        let event: serde_json::Value = serde_json::from_slice(body).ok()?;
        let text = |name: &str| event.get(name).and_then(serde_json::Value::as_str);
        Some(Self {
            key: text("penstockkey").map(|key| decoded(key.as_bytes())),
            null: text("penstocknull").unwrap_or_default().to_owned(),
            headers: text("penstockheaders").unwrap_or_default().to_owned(),
            value: text("data_base64").map(|data| STANDARD.decode(data)).transpose().ok()?.unwrap_or_default(),
        })
    }
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

    const HEAD: &str = "POST / HTTP/1.1\r\nhost: x\r\npenstock-partition: 3\r\npenstock-offset: 42\r\n\
                        penstock-attempt: 2\r\npenstock-owner: 7\r\ncontent-length: 5\r\n";

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
        let request = parse(head.as_bytes(), b"hello").unwrap();
        assert_eq!((request.partition, request.offset, request.attempt, request.owner), (3, 42, 2, 7));
        let headers: [(&[u8], Option<&[u8]>); 3] = [(b"a", Some(b"1")), (b"a", None), (b"b", Some(b"&"))];
        assert_eq!(request.digest, record_digest(Some(b"a\0b"), Some(b"hello"), headers.into_iter()));
        assert_eq!(request.key, Some(digest([Some(&b"a\0b"[..])])));
    }

    #[test]
    fn null_is_not_empty() {
        let of = |more: &str| parse(format!("{HEAD}{more}\r\n").as_bytes(), b"").unwrap();
        assert_eq!(of("penstock-null: key,value\r\n").digest, record_digest(None, None, [].into_iter()));
        assert_eq!(of("penstock-key: \r\n").digest, record_digest(Some(b""), Some(b""), [].into_iter()));
        assert_eq!(of("penstock-null: key\r\n").key, None);
    }

    #[test]
    fn structured_mode_says_the_same() {
        let head = format!("{HEAD}content-type: application/cloudevents+json\r\n\r\n");
        let body = br#"{"penstockkey":"k","penstockheaders":"a=1","data_base64":"aGVsbG8="}"#;
        let request = parse(head.as_bytes(), body).unwrap();
        let headers: [(&[u8], Option<&[u8]>); 1] = [(b"a", Some(b"1"))];
        assert_eq!(request.digest, record_digest(Some(b"k"), Some(b"hello"), headers.into_iter()));
    }
}
