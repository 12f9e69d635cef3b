//! A record as a CloudEvent in JSON (CloudEvents' JSON format 1.0): the form in which records travel in a body, alone where
//! key and headers are too long for a request's head, in an array as a batch.
//!
//! What the head of a single record's request says by `penstock-…` headers, the event says by attributes of the same names
//! without hyphens, with the same text.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use penstock_engine::seam::{Delivery, Record};

use super::TRACE;
use super::encoding::{Keep, encode, encode_headers};
use super::request::{EVENT_TYPE, OCTET_STREAM, Origin, attributes, content_type, header, is_event, null, time};

/// About what an event takes beside its key, value and headers, bytes.
const EVENT_BYTES: usize = 512;

/// What of an event is the same for all records of a partition, as JSON.
#[derive(Debug)]
pub(super) struct Template {
    /// What stands before the offset in the record's name for all time, escaped.
    id_prefix: Vec<u8>,
    /// Where it comes from and of what type it is, unless it is an event by itself.
    kind: Vec<u8>,
    place: Vec<u8>,
}

impl Template {
    pub(super) fn new(topic: &str, partition: i32, source: &str, id_prefix: &str) -> Self {
        let mut template = Self { id_prefix: Vec::new(), kind: Vec::new(), place: Vec::new() };
        escaped(&mut template.id_prefix, id_prefix);
        member(&mut template.kind, "source", source);
        member(&mut template.kind, "type", EVENT_TYPE);
        member(&mut template.place, "penstocktopic", topic);
        number(&mut template.place, "penstockpartition", partition);
        template
    }
}

/// The JSON array of events that is a batch.
pub fn batch<'a>(records: impl Iterator<Item = (&'a Origin, &'a Delivery)> + Clone) -> Vec<u8> {
    let bytes = |(_, delivery): (_, &Delivery)| length(&delivery.record);
    let mut json = Vec::with_capacity(2 + records.clone().map(bytes).sum::<usize>());
    for (index, (origin, delivery)) in records.enumerate() {
        json.push(if index == 0 { b'[' } else { b',' });
        write(origin, delivery, &mut json);
    }
    json.push(b']');
    json
}

/// One record as an event.
pub fn single(origin: &Origin, delivery: &Delivery) -> Vec<u8> {
    let mut json = Vec::with_capacity(length(&delivery.record));
    write(origin, delivery, &mut json);
    json
}

/// About how long the event will be.
fn length(record: &Record) -> usize {
    let optional = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
    let headers: usize = record.headers().map(|(name, value)| name.len() + optional(value) + 2).sum();
    EVENT_BYTES + optional(record.key()) * 2 + headers + optional(record.value()) * 4 / 3
}

fn write(origin: &Origin, delivery: &Delivery, json: &mut Vec<u8>) {
    let record = &delivery.record;
    json.push(b'{');
    if is_event(record) {
        for (name, value) in attributes(origin, record).iter().filter(|(name, _)| is_free(name)) {
            json.push(b'"');
            escaped(json, &String::from_utf8_lossy(name));
            json.extend_from_slice(b"\":\"");
            escaped(json, &String::from_utf8_lossy(value));
            json.extend_from_slice(b"\",");
        }
        json.pop();
    } else {
        json.extend_from_slice(b"\"specversion\":\"1.0\",\"id\":\"");
        id(origin, record, json);
        json.push(b'"');
        json.extend_from_slice(&origin.event.kind);
        if let Some(time) = time(record) {
            number(json, "time", time);
        }
        if let Some(key) = record.key().filter(|key| !key.is_empty()).and_then(|key| std::str::from_utf8(key).ok()) {
            member(json, "partitionkey", key);
        }
    }
    quoted(json, "idempotencykey", |json| id(origin, record, json));
    json.extend_from_slice(&origin.event.place);
    number(json, "penstockoffset", record.offset());
    if let Some(millis) = crate::kafka::millis(record.timestamp()) {
        number(json, "penstocktimestamp", millis);
    }
    number(json, "penstockattempt", delivery.attempt);
    number(json, "penstockowner", delivery.owner);
    payload(record, json);
    json.push(b'}');
}

/// What is as long as its producer liked.
fn payload(record: &Record, json: &mut Vec<u8>) {
    if let Some(key) = record.key() {
        quoted(json, "penstockkey", |json| encode(key, Keep::Unreserved, json));
    }
    if record.headers().next().is_some() {
        quoted(json, "penstockheaders", |json| encode_headers(record.headers(), json));
        for name in TRACE {
            if let Some(value) = header(record, name).and_then(|value| std::str::from_utf8(value).ok()) {
                member(json, name, value);
            }
        }
    }
    if let Some(null) = null(record) {
        member(json, "penstocknull", null);
    }
    member(json, "datacontenttype", content_type(record).unwrap_or(OCTET_STREAM));
    if let Some(value) = record.value() {
        quoted(json, "data_base64", |json| {
            let start = json.len();
            json.resize(start + value.len().div_ceil(3) * 4, b'=');
            let _fits = BASE64.encode_slice(value, &mut json[start..]);
        });
    }
}

/// Whether an attribute of the record's own may stand in the event: the envelope's are not its to say.
fn is_free(name: &[u8]) -> bool {
    let taken = [&b"data"[..], b"data_base64", b"datacontenttype", b"idempotencykey"];
    !name.starts_with(b"penstock") && !taken.contains(&name) && !TRACE.iter().any(|trace| trace.as_bytes() == name)
}

fn id(origin: &Origin, record: &Record, json: &mut Vec<u8>) {
    json.extend_from_slice(&origin.event.id_prefix);
    let _never_fails = write!(json, "{}", record.offset());
}

/// A member whose text the function writes, escaped where it must be.
fn quoted(json: &mut Vec<u8>, name: &str, value: impl FnOnce(&mut Vec<u8>)) {
    json.extend_from_slice(b",\"");
    json.extend_from_slice(name.as_bytes());
    json.extend_from_slice(b"\":\"");
    value(json);
    json.push(b'"');
}

fn member(json: &mut Vec<u8>, name: &str, value: &str) {
    quoted(json, name, |json| escaped(json, value));
}

/// A number as text: CloudEvents' integers end at 31 bits.
fn number(json: &mut Vec<u8>, name: &str, value: impl std::fmt::Display) {
    quoted(json, name, |json| {
        let _never_fails = write!(json, "{value}");
    });
}

/// Text as it stands in a JSON string (RFC 8259, section 7).
fn escaped(json: &mut Vec<u8>, text: &str) {
    for &byte in text.as_bytes() {
        match byte {
            b'"' | b'\\' => json.extend_from_slice(&[b'\\', byte]),
            0..0x20 => {
                let _never_fails = write!(json, "\\u{byte:04x}");
            }
            _ => json.push(byte),
        }
    }
}

#[cfg(test)]
mod tests;
