//! Records as HTTP requests: one in CloudEvents' binary mode, or in structured mode if its key and headers are too long for a
//! request's head; several in the batched mode.

use std::fmt::Display;
use std::io::Write as _;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Uri};
use jiff::Timestamp;
use penstock_engine::seam::{Delivery, Record};

use super::encoding::{Keep, decode, encode, encode_headers};
use super::event::{self, Template};
use super::{ATTEMPT, BATCH, DEADLINE_MS, EVENT, HEADER_BYTES_MAX, HEADERS, KEY, NULL, OWNER, RECORDS, TRACE};

/// `ce-type` of a record that is not a CloudEvent by itself.
pub const EVENT_TYPE: &str = "dev.penstock.kafka.record";
/// Values from here on are not copied into a request but lent to it.
const SHARED_BYTES_MIN: usize = 16 << 10;
/// So many headers a request has, and as many records' own trace headers as there may be.
const HEADERS_USUAL: usize = 24;
/// What is made for a request's head takes about so much, with a key of usual length.
const HEAD_BYTES_USUAL: usize = 320;
/// Prefix of CloudEvents' attributes in Kafka headers (Kafka protocol binding 1.0, section 3.2.3).
const CE_KAFKA: &[u8] = b"ce_";
pub(super) const OCTET_STREAM: &str = "application/octet-stream";

/// Names as values of their own: to insert one by its text costs an allocation, and a request has twenty.
mod name {
    use hyper::header::HeaderName;

    /// As [`super::TRACE`].
    pub(super) static TRACE: [HeaderName; 3] = [
        HeaderName::from_static(super::TRACE[0]),
        HeaderName::from_static(super::TRACE[1]),
        HeaderName::from_static(super::TRACE[2]),
    ];

    macro_rules! names {
        ($($name:ident = $text:expr;)+) => { $(pub(super) static $name: HeaderName = HeaderName::from_static($text);)+ };
    }

    names! {
        IDEMPOTENCY_KEY = "idempotency-key";
        TOPIC = "penstock-topic";
        PARTITION = "penstock-partition";
        OFFSET = "penstock-offset";
        TIMESTAMP = "penstock-timestamp";
        ATTEMPT = super::ATTEMPT;
        DEADLINE_MS = super::DEADLINE_MS;
        OWNER = super::OWNER;
        KEY = super::KEY;
        NULL = super::NULL;
        HEADERS = super::HEADERS;
        RECORDS = super::RECORDS;
        CE_SPECVERSION = "ce-specversion";
        CE_ID = "ce-id";
        CE_SOURCE = "ce-source";
        CE_TYPE = "ce-type";
        CE_TIME = "ce-time";
        CE_PARTITIONKEY = "ce-partitionkey";
    }
}

/// Where a record comes from, with everything about it that does not change from record to record.
#[derive(Debug)]
pub struct Origin {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
    /// `<cluster>/<topic id>/<partition>/`: with the offset behind it, it names a record for all time.
    pub id_prefix: String,
    cluster_id: String,
    pub(super) event: Template,
    source: String,
    /// What the heads of all its requests say.
    head: HeaderMap,
    /// What they say besides if the record is no CloudEvent by itself.
    event_head: HeaderMap,
}

impl Origin {
    /// The origin of a partition's records.
    pub fn new(topic: Arc<str>, partition: i32, cluster_id: &str, topic_id: &str) -> Self {
        let id_prefix = format!("{cluster_id}/{topic_id}/{partition}/");
        let source = format!("kafka://{cluster_id}/{topic}");
        let event = Template::new(&topic, partition, &source, &id_prefix);
        let (mut head, mut event_head) = (Head::of(&[]), Head::of(&[]));
        head.bytes(&name::TOPIC, topic.as_bytes());
        head.text(&name::PARTITION, partition);
        event_head.attribute(&name::CE_SPECVERSION, b"1.0");
        event_head.attribute(&name::CE_TYPE, EVENT_TYPE.as_bytes());
        event_head.attribute(&name::CE_SOURCE, source.as_bytes());
        let (head, event_head) = (head.finish(), event_head.finish());
        let cluster_id = cluster_id.to_owned();
        Self { topic, partition, id_prefix, cluster_id, event, source, head, event_head }
    }

    /// The origin of the records of the same partition, if their topic has that id: it may have been deleted and made anew.
    #[must_use]
    pub fn in_topic(&self, topic_id: &str) -> Self {
        Self::new(Arc::clone(&self.topic), self.partition, &self.cluster_id, topic_id)
    }

    /// The name of one record for all time: `<cluster>/<topic id>/<partition>/<offset>`.
    pub fn record_id(&self, offset: i64) -> String {
        format!("{}{offset}", self.id_prefix)
    }
}

/// What all requests to one processor have in common.
#[derive(Clone, Debug)]
pub struct Endpoint {
    path: Uri,
    base: HeaderMap,
}

/// A URL that cannot be called.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the processor's URL {0} cannot be called: it must read http://host[:port]/path")]
pub struct BadUrl(String);

impl Endpoint {
    /// The endpoint of a URL, and the `host:port` to connect to.
    ///
    /// # Errors
    /// The URL is not `http://host[:port]/path`.
    pub fn new(url: &str, pipeline: &str) -> Result<(Self, String), BadUrl> {
        let bad = || BadUrl(url.to_owned());
        let uri: Uri = url.parse().map_err(|_| bad())?;
        let authority = uri.authority().filter(|_| uri.scheme_str() == Some("http")).ok_or_else(bad)?;
        let host = match authority.port_u16() {
            Some(port) => format!("{}:{port}", authority.host()),
            None => authority.host().to_owned(),
        };
        let address = if authority.port_u16().is_some() { host.clone() } else { format!("{host}:80") };
        let path = uri.path_and_query().map_or("/", hyper::http::uri::PathAndQuery::as_str);
        let mut base = HeaderMap::new();
        base.insert(HOST, HeaderValue::from_str(&host).map_err(|_| bad())?);
        base.insert("penstock-pipeline", HeaderValue::from_str(pipeline).map_err(|_| bad())?);
        Ok((Self { path: path.parse().map_err(|_| bad())?, base }, address))
    }

    /// The request for one record. `remaining` is the time until the worker gives the call up.
    pub fn request(&self, origin: &Origin, delivery: &Delivery, remaining: Duration) -> Request<Full<Bytes>> {
        let record = &delivery.record;
        let mut head = Head::of(&[&self.base, &origin.head]);
        head.text(&name::IDEMPOTENCY_KEY, format_args!("{}{}", origin.id_prefix, record.offset()));
        head.text(&name::OFFSET, record.offset());
        if let Some(millis) = millis(record) {
            head.text(&name::TIMESTAMP, millis);
        }
        head.text(&name::ATTEMPT, delivery.attempt);
        head.text(&name::DEADLINE_MS, remaining.as_millis());
        head.text(&name::OWNER, delivery.owner);
        let carried = Carried::of(record);
        let body = if carried.fits() {
            carried.into_head(origin, record, &mut head);
            body(record)
        } else {
            head.bytes(&CONTENT_TYPE, EVENT.as_bytes());
            head.text(&name::RECORDS, 1);
            event::single(origin, delivery).into()
        };
        self.post(head.finish(), body)
    }

    /// The request for several records, or for one of a pipeline that has batches. `origins` are those of the records.
    pub fn batch(&self, origins: &[Arc<Origin>], deliveries: &[Delivery], remaining: Duration) -> Request<Full<Bytes>> {
        let mut headers = self.base.clone();
        headers.insert(RECORDS, deliveries.len().into());
        headers.insert(DEADLINE_MS, u64::try_from(remaining.as_millis()).unwrap_or(u64::MAX).into());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(BATCH));
        let records = origins.iter().map(AsRef::as_ref).zip(deliveries);
        self.post(headers, event::batch(records).into())
    }

    fn post(&self, mut headers: HeaderMap, body: Bytes) -> Request<Full<Bytes>> {
        // hyper leaves it out for an empty body, and simple servers then stumble.
        headers.insert(CONTENT_LENGTH, body.len().into());
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.path.clone();
        *request.headers_mut() = headers;
        request
    }
}

/// The value as a body. A large one is not copied: with all calls in progress it would be there twice.
fn body(record: &Record) -> Bytes {
    struct Value(Record);
    impl AsRef<[u8]> for Value {
        fn as_ref(&self) -> &[u8] {
            self.0.value().unwrap_or_default()
        }
    }
    match record.value().unwrap_or_default() {
        small if small.len() < SHARED_BYTES_MIN => Bytes::copy_from_slice(small),
        _ => Bytes::from_owner(Value(record.clone())),
    }
}

/// What of a record is as long as its producer liked.
struct Carried {
    key: Option<Vec<u8>>,
    headers: Vec<u8>,
    null: Option<&'static str>,
}

impl Carried {
    fn of(record: &Record) -> Self {
        let key = record.key().map(|key| {
            let mut text = Vec::with_capacity(key.len());
            encode(key, Keep::Unreserved, &mut text);
            text
        });
        let mut headers = Vec::new();
        encode_headers(record.headers(), &mut headers);
        Self { key, headers, null: null(record) }
    }

    fn fits(&self) -> bool {
        self.headers.len() + self.key.as_ref().map_or(0, Vec::len) <= HEADER_BYTES_MAX
    }

    fn into_head(self, origin: &Origin, record: &Record, head: &mut Head) {
        if is_event(record) {
            put_attributes(origin, record, head);
        } else {
            put_plain_attributes(origin, record, head);
        }
        head.bytes(&CONTENT_TYPE, content_type(record).unwrap_or(OCTET_STREAM).as_bytes());
        if let Some(null) = self.null {
            head.bytes(&name::NULL, null.as_bytes());
        }
        if let Some(key) = &self.key {
            head.bytes(&name::KEY, key);
        }
        if !self.headers.is_empty() {
            head.bytes(&name::HEADERS, &self.headers);
        }
        for name in &name::TRACE {
            if let Some(value) = header(record, name.as_str()) {
                head.bytes(name, value);
            }
        }
    }
}

/// The head of one request. What is made for it stands in one buffer, of which its headers are parts: an allocation for each costs more
/// than to write it.
struct Head {
    map: HeaderMap,
    text: Vec<u8>,
    made: Vec<(HeaderName, Range<usize>)>,
}

impl Head {
    /// One that begins with these.
    fn of(begin: &[&HeaderMap]) -> Self {
        let mut map = HeaderMap::with_capacity(HEADERS_USUAL);
        for from in begin {
            copy(from, &mut map);
        }
        Self { map, text: Vec::with_capacity(HEAD_BYTES_USUAL), made: Vec::with_capacity(HEADERS_USUAL) }
    }

    /// A header whose value `write` appends; one that HTTP refuses is left out (it is in `penstock-headers`).
    fn put(&mut self, name: &HeaderName, write: impl FnOnce(&mut Vec<u8>)) {
        let begin = self.text.len();
        write(&mut self.text);
        self.made.push((name.clone(), begin..self.text.len()));
    }

    fn bytes(&mut self, name: &HeaderName, value: &[u8]) {
        self.put(name, |text| text.extend_from_slice(value));
    }

    fn text(&mut self, name: &HeaderName, value: impl Display) {
        self.put(name, |text| {
            let _never_fails = write!(text, "{value}");
        });
    }

    /// A CloudEvents attribute, encoded as the HTTP binding asks.
    fn attribute(&mut self, name: &HeaderName, value: &[u8]) {
        self.put(name, |text| encode(value, Keep::CloudEvents, text));
    }

    fn finish(self) -> HeaderMap {
        let Self { mut map, text, made } = self;
        let text = Bytes::from(text);
        for (name, range) in made {
            if let Ok(value) = HeaderValue::from_maybe_shared(text.slice(range)) {
                map.insert(name, value);
            }
        }
        map
    }
}

/// [`attributes`] of any record, as headers.
fn put_attributes(origin: &Origin, record: &Record, head: &mut Head) {
    for (name, value) in attributes(origin, record) {
        if let Ok(name) = HeaderName::from_bytes(&[b"ce-", name.as_slice()].concat()) {
            head.attribute(&name, &value);
        }
    }
}

/// The same of a record that is no CloudEvent by itself, as most are: nothing is made that the origin has already.
fn put_plain_attributes(origin: &Origin, record: &Record, head: &mut Head) {
    copy(&origin.event_head, &mut head.map);
    head.put(&name::CE_ID, |text| {
        encode(origin.id_prefix.as_bytes(), Keep::CloudEvents, text);
        let _never_fails = write!(text, "{}", record.offset());
    });
    if let Some(time) = time(record) {
        head.text(&name::CE_TIME, time);
    }
    if let Some(key) = text_key(record) {
        head.attribute(&name::CE_PARTITIONKEY, key);
    }
}

/// The key, if it is text and not empty.
fn text_key(record: &Record) -> Option<&[u8]> {
    record.key().filter(|key| !key.is_empty() && std::str::from_utf8(key).is_ok())
}

/// CloudEvents attributes, raw. A record that is a CloudEvent by itself keeps its own.
pub(super) fn attributes(origin: &Origin, record: &Record) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut attributes: Vec<(Vec<u8>, Vec<u8>)> = Vec::with_capacity(8);
    if is_event(record) {
        for (name, value) in record.headers() {
            if let (Some(name), Some(value)) = (name.strip_prefix(CE_KAFKA), value)
                && std::str::from_utf8(value).is_ok()
            {
                attributes.push((name.to_ascii_lowercase(), value.to_vec()));
            }
        }
    }
    let mut add = |name: &[u8], value: Vec<u8>| {
        if !attributes.iter().any(|(present, _)| present == name) {
            attributes.push((name.to_vec(), value));
        }
    };
    add(b"specversion", b"1.0".to_vec());
    add(b"id", origin.record_id(record.offset()).into_bytes());
    add(b"source", origin.source.clone().into_bytes());
    add(b"type", EVENT_TYPE.into());
    if let Some(time) = time(record) {
        add(b"time", time.to_string().into_bytes());
    }
    if let Some(key) = text_key(record) {
        add(b"partitionkey", key.to_vec());
    }
    attributes
}

/// Whether the record is a CloudEvent by itself (Kafka binding, binary mode).
pub(super) fn is_event(record: &Record) -> bool {
    header(record, "ce_specversion").is_some()
}

/// What of key and value is null, as [`NULL`] has it.
pub(super) fn null(record: &Record) -> Option<&'static str> {
    match (record.key(), record.value()) {
        (None, None) => Some("key,value"),
        (None, Some(_)) => Some("key"),
        (Some(_), None) => Some("value"),
        (Some(_), Some(_)) => None,
    }
}

pub(super) fn time(record: &Record) -> Option<Timestamp> {
    millis(record).and_then(|millis| Timestamp::from_millisecond(millis).ok())
}

fn millis(record: &Record) -> Option<i64> {
    crate::kafka::millis(record.timestamp())
}

pub(super) fn content_type(record: &Record) -> Option<&str> {
    let value = std::str::from_utf8(header(record, "content-type")?).ok()?;
    HeaderValue::from_str(value).is_ok().then_some(value)
}

pub(crate) fn header<'a>(record: &'a Record, name: &str) -> Option<&'a [u8]> {
    record.headers().find(|(own, _)| own.eq_ignore_ascii_case(name.as_bytes())).and_then(|(_, value)| value)
}

fn copy(from: &HeaderMap, into: &mut HeaderMap) {
    for (name, value) in from {
        into.insert(name, value.clone());
    }
}

/// A key override or a list of headers from an answer.
pub(super) fn decoded(value: &HeaderValue) -> Box<[u8]> {
    decode(value.as_bytes()).into_boxed_slice()
}

#[cfg(test)]
mod tests;
