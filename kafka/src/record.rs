//! Records: as librdkafka lends them, and as a batch that owns them.

use std::fmt;
use std::sync::Arc;

use crate::native::headers::Headers;

/// One partition of one topic. Cloning is a counter: clients hand out one `Arc` for each topic name.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The partition, 0 or above.
    pub partition: i32,
}

impl TopicPartition {
    /// `partition` of `topic`.
    pub fn new(topic: impl Into<Arc<str>>, partition: i32) -> Self {
        Self { topic: topic.into(), partition }
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.partition)
    }
}

impl fmt::Debug for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// When a record was made or stored, in milliseconds since the epoch (KIP-32).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timestamp {
    /// The record carries none (message format 0).
    None,
    /// Set by the producer.
    CreateTime(i64),
    /// Set by the broker on append.
    LogAppendTime(i64),
}

impl Timestamp {
    /// Milliseconds since the epoch, whoever set them.
    pub fn millis(self) -> Option<i64> {
        match self {
            Self::None => None,
            Self::CreateTime(millis) | Self::LogAppendTime(millis) => Some(millis),
        }
    }
}

/// A record as long as librdkafka lends it: valid for one call of [`RecordSink::accept`], never kept.
#[derive(Clone, Copy)]
pub struct BorrowedRecord<'a> {
    /// Its offset in the partition.
    pub offset: i64,
    /// The leader epoch of its batch (KIP-320); `None` where the broker does not say.
    pub leader_epoch: Option<i32>,
    /// Its timestamp.
    pub timestamp: Timestamp,
    /// Its key; `None` is a null key, which is not an empty one.
    pub key: Option<&'a [u8]>,
    /// Its value; `None` is a tombstone, which is not an empty value.
    pub value: Option<&'a [u8]>,
    pub(crate) headers: Headers<'a>,
}

impl<'a> BorrowedRecord<'a> {
    /// Name and value of each header, in order, repeated names and null values included. A name ends at its first NUL
    /// byte: librdkafka gives no length for it.
    pub fn headers(&self) -> impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> + Clone + use<'a> {
        self.headers.iter()
    }

    /// Bytes of key, value and headers together.
    pub fn size(&self) -> usize {
        let headers: usize = self.headers.iter().map(|(name, value)| name.len() + value.map_or(0, <[u8]>::len)).sum();
        self.key.map_or(0, <[u8]>::len) + self.value.map_or(0, <[u8]>::len) + headers
    }
}

/// Where fetched records go: the caller's arena. What it wants to keep it copies.
pub trait RecordSink {
    /// Takes one record. Records of one fetch come in offset order.
    fn accept(&mut self, record: BorrowedRecord<'_>);
}

impl<F: FnMut(BorrowedRecord<'_>)> RecordSink for F {
    fn accept(&mut self, record: BorrowedRecord<'_>) {
        self(record);
    }
}

/// Start and length of bytes in the arena; length −1 is null.
#[derive(Clone, Copy, Debug)]
struct Span {
    start: u32,
    len: i32,
}

impl Span {
    fn of(self, bytes: &[u8]) -> Option<&[u8]> {
        let len = usize::try_from(self.len).ok()?;
        bytes.get(self.start as usize..self.start as usize + len)
    }
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    offset: i64,
    timestamp: Timestamp,
    leader_epoch: Option<i32>,
    key: Span,
    value: Span,
    headers_start: u32,
    headers_end: u32,
}

/// A ready-made [`RecordSink`]: three allocations for a whole batch, reused after [`RecordBatch::clear`].
///
/// A batch holds less than 2 GiB; the fetch limits keep it far below that.
#[derive(Clone, Debug, Default)]
pub struct RecordBatch {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    headers: Vec<(Span, Span)>,
}

impl RecordBatch {
    /// Room for `records` records of `bytes` bytes together.
    pub fn with_capacity(records: usize, bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes), entries: Vec::with_capacity(records), headers: Vec::new() }
    }

    /// Forgets the records and keeps the room.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
        self.headers.clear();
    }

    /// How many records.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// No records.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes of all keys, values and headers.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The record at `index`, in order of arrival.
    pub fn get(&self, index: usize) -> Option<Record<'_>> {
        self.entries.get(index).map(|entry| Record { entry, batch: self })
    }

    /// All records, in order of arrival.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Record<'_>> {
        self.entries.iter().map(|entry| Record { entry, batch: self })
    }

    fn push(&mut self, bytes: Option<&[u8]>) -> Span {
        let start = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        let Some(bytes) = bytes else { return Span { start, len: -1 } };
        self.bytes.extend_from_slice(bytes);
        Span { start, len: i32::try_from(bytes.len()).unwrap_or(i32::MAX) }
    }
}

impl RecordSink for RecordBatch {
    fn accept(&mut self, record: BorrowedRecord<'_>) {
        let key = self.push(record.key);
        let value = self.push(record.value);
        let headers_start = self.headers.len();
        for (name, value) in record.headers() {
            let header = (self.push(Some(name)), self.push(value));
            self.headers.push(header);
        }
        self.entries.push(Entry {
            offset: record.offset,
            timestamp: record.timestamp,
            leader_epoch: record.leader_epoch,
            key,
            value,
            headers_start: u32::try_from(headers_start).unwrap_or(u32::MAX),
            headers_end: u32::try_from(self.headers.len()).unwrap_or(u32::MAX),
        });
    }
}

/// A record in a [`RecordBatch`].
#[derive(Clone, Copy)]
pub struct Record<'a> {
    entry: &'a Entry,
    batch: &'a RecordBatch,
}

impl<'a> Record<'a> {
    /// Its offset in the partition.
    pub fn offset(&self) -> i64 {
        self.entry.offset
    }

    /// The leader epoch of its batch (KIP-320); `None` where the broker does not say.
    pub fn leader_epoch(&self) -> Option<i32> {
        self.entry.leader_epoch
    }

    /// Its timestamp.
    pub fn timestamp(&self) -> Timestamp {
        self.entry.timestamp
    }

    /// Its key; `None` is a null key.
    pub fn key(&self) -> Option<&'a [u8]> {
        self.entry.key.of(&self.batch.bytes)
    }

    /// Its value; `None` is a tombstone.
    pub fn value(&self) -> Option<&'a [u8]> {
        self.entry.value.of(&self.batch.bytes)
    }

    /// Name and value of each header, in order.
    pub fn headers(&self) -> impl ExactSizeIterator<Item = (&'a [u8], Option<&'a [u8]>)> + use<'a> {
        let bytes = &self.batch.bytes;
        let range = self.entry.headers_start as usize..self.entry.headers_end as usize;
        let headers = self.batch.headers.get(range).unwrap_or_default();
        headers.iter().map(|(name, value)| (name.of(bytes).unwrap_or_default(), value.of(bytes)))
    }
}
