//! Records as the engine sees them: one shared allocation per poll batch, and indexes into it.

use core::time::Duration;
use std::sync::Arc;

use crate::time::Instant;

/// When a record was made, in milliseconds since the Unix epoch, and who said so. Kept to the byte (S9).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Timestamp {
    /// The broker gave none (message format 0).
    #[default]
    None,
    /// The producer's clock.
    Create(i64),
    /// The broker's clock, on topics with `message.timestamp.type=LogAppendTime`.
    LogAppend(i64),
}

/// The records of one poll batch: all their bytes in one allocation, shared by everyone who still needs one of them.
#[derive(Debug, Default)]
pub struct Arena {
    bytes: Vec<u8>,
    records: Vec<Meta>,
    headers: Vec<(Span, Span)>,
}

/// One record of an [`Arena`]. A clone costs one reference count.
#[derive(Clone, Debug)]
pub struct Record {
    arena: Arc<Arena>,
    index: u32,
}

/// A record about to be copied into an [`ArenaBuilder`].
#[derive(Clone, Copy, Debug, Default)]
pub struct NewRecord<'a> {
    /// Kafka offset, ≥ 0, rising within a partition.
    pub offset: i64,
    /// Leader epoch of the batch that held the record (KIP-320), −1 where the broker gave none.
    pub leader_epoch: i32,
    /// The record's own time.
    pub timestamp: Timestamp,
    /// Key; `None` is null, which is not the same as empty.
    pub key: Option<&'a [u8]>,
    /// Value; `None` is null (a tombstone), which is not the same as empty.
    pub value: Option<&'a [u8]>,
    /// Attempts already charged elsewhere: what the header of a delay topic says; 0 for a source topic.
    pub attempts: u32,
    /// How long ago it failed for the first time, as the headers of a delay topic say; kept to the millisecond, up to 49 days.
    pub failing_for: Duration,
    /// Not before this time: a record of a delay topic that is not due yet. [`Instant::ZERO`] for a source topic.
    pub due: Instant,
}

/// An arena addresses its bytes by 32 bits; a poll batch that would pass 4 GiB must be cut in two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a poll batch holds at most 4 GiB: hand over what is there and begin another arena")]
pub struct ArenaFull;

/// Fills an [`Arena`].
#[derive(Debug, Default)]
pub struct ArenaBuilder {
    arena: Arena,
}

#[derive(Clone, Copy, Debug, Default)]
struct Span {
    start: u32,
    len: u32,
}

#[derive(Clone, Copy, Debug)]
struct Meta {
    offset: i64,
    timestamp: Timestamp,
    due: Instant,
    key: Span,
    value: Span,
    headers_end: u32,
    leader_epoch: i32,
    attempts: u32,
    failing_millis: u32,
}

/// Length of a null key or value, which no real length can reach: [`ArenaFull`] comes first.
const NULL: u32 = u32::MAX;
/// What a record costs beside its payload, bytes: its place in the arena and in the ledger. Counts against credit.
pub const RECORD_OVERHEAD_BYTES: u32 = 128;

impl ArenaBuilder {
    /// Room for about so many records and payload bytes.
    pub fn with_capacity(records: usize, bytes: usize) -> Self {
        let arena =
            Arena { bytes: Vec::with_capacity(bytes), records: Vec::with_capacity(records), headers: Vec::new() };
        Self { arena }
    }

    /// Copies a record in; its headers follow by [`ArenaBuilder::header`].
    pub fn push(&mut self, record: NewRecord<'_>) -> Result<(), ArenaFull> {
        let headers_end = u32::try_from(self.arena.headers.len()).map_err(|_| ArenaFull)?;
        let (key, value) = (self.copy(record.key)?, self.copy(record.value)?);
        self.arena.records.push(Meta {
            offset: record.offset,
            timestamp: record.timestamp,
            due: record.due,
            key,
            value,
            headers_end,
            leader_epoch: record.leader_epoch,
            attempts: record.attempts,
            failing_millis: u32::try_from(record.failing_for.as_millis()).unwrap_or(u32::MAX),
        });
        Ok(())
    }

    /// Adds a header to the record pushed last. Order and duplicates are kept.
    pub fn header(&mut self, name: &[u8], value: Option<&[u8]>) -> Result<(), ArenaFull> {
        let pair = (self.copy(Some(name))?, self.copy(value)?);
        self.arena.headers.push(pair);
        let headers_end = u32::try_from(self.arena.headers.len()).map_err(|_| ArenaFull)?;
        if let Some(last) = self.arena.records.last_mut() {
            last.headers_end = headers_end;
        }
        Ok(())
    }

    /// Records so far.
    pub fn len(&self) -> usize {
        self.arena.records.len()
    }

    /// Whether nothing was pushed yet.
    pub fn is_empty(&self) -> bool {
        self.arena.records.is_empty()
    }

    /// Payload bytes so far.
    pub fn bytes(&self) -> usize {
        self.arena.bytes.len()
    }

    /// The finished arena.
    pub fn finish(self) -> Arc<Arena> {
        Arc::new(self.arena)
    }

    fn copy(&mut self, bytes: Option<&[u8]>) -> Result<Span, ArenaFull> {
        let start = u32::try_from(self.arena.bytes.len()).map_err(|_| ArenaFull)?;
        let Some(bytes) = bytes else { return Ok(Span { start, len: NULL }) };
        let len = u32::try_from(bytes.len()).ok().filter(|len| start.checked_add(*len).is_some_and(|end| end < NULL));
        self.arena.bytes.extend_from_slice(bytes);
        Ok(Span { start, len: len.ok_or(ArenaFull)? })
    }
}

impl Arena {
    /// How many records it holds.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The record at `index`, `None` past the end.
    pub fn record(self: &Arc<Self>, index: usize) -> Option<Record> {
        let number = u32::try_from(index).ok()?;
        self.records.get(index).map(|_| Record { arena: Arc::clone(self), index: number })
    }

    fn slice(&self, span: Span) -> Option<&[u8]> {
        (span.len != NULL).then(|| &self.bytes[span.start as usize..(span.start + span.len) as usize])
    }

    fn header_range(&self, index: usize) -> core::ops::Range<usize> {
        let start = if index == 0 { 0 } else { self.records[index - 1].headers_end };
        // A builder whose header() failed half-way leaves the bounds as they were: never reversed.
        start as usize..self.records[index].headers_end as usize
    }

    pub(crate) fn offset(&self, index: u32) -> i64 {
        self.records[index as usize].offset
    }

    pub(crate) fn leader_epoch(&self, index: u32) -> i32 {
        self.records[index as usize].leader_epoch
    }

    pub(crate) fn key(&self, index: u32) -> Option<&[u8]> {
        self.slice(self.records[index as usize].key)
    }

    /// What the record brings with it from a delay topic: attempts, for how long it has failed, and when it is due.
    pub(crate) fn travelled(&self, index: u32) -> (u32, Duration, Instant) {
        let meta = &self.records[index as usize];
        (meta.attempts, Duration::from_millis(meta.failing_millis.into()), meta.due)
    }

    /// What the record weighs against the partition's credit, bytes.
    pub(crate) fn weight(&self, index: u32) -> u32 {
        let meta = &self.records[index as usize];
        let length = |span: Span| if span.len == NULL { 0 } else { span.len };
        let mut weight = length(meta.key).saturating_add(length(meta.value)).saturating_add(RECORD_OVERHEAD_BYTES);
        for (name, value) in &self.headers[self.header_range(index as usize)] {
            weight = weight.saturating_add(length(*name)).saturating_add(length(*value));
        }
        weight
    }
}

impl Record {
    /// Kafka offset.
    pub fn offset(&self) -> i64 {
        self.arena.offset(self.index)
    }

    /// Leader epoch of the batch that held the record, −1 where the broker gave none.
    pub fn leader_epoch(&self) -> i32 {
        self.arena.leader_epoch(self.index)
    }

    /// The record's own time.
    pub fn timestamp(&self) -> Timestamp {
        self.arena.records[self.index as usize].timestamp
    }

    /// Key; `None` is null.
    pub fn key(&self) -> Option<&[u8]> {
        self.arena.key(self.index)
    }

    /// Value; `None` is null.
    pub fn value(&self) -> Option<&[u8]> {
        self.arena.slice(self.arena.records[self.index as usize].value)
    }

    /// Headers in their order, duplicates included. A name is bytes: Kafka asks for UTF-8 and nobody enforces it.
    pub fn headers(&self) -> Headers<'_> {
        Headers { arena: &self.arena, range: self.arena.header_range(self.index as usize) }
    }

    /// A copy in an arena of its own, so that one record that waits does not pin the batch it came with.
    pub(crate) fn detached(&self) -> Arc<Arena> {
        let meta = &self.arena.records[self.index as usize];
        let mut copy = Arena::default();
        let mut take = |span: Span| {
            let Some(bytes) = self.arena.slice(span) else { return span };
            let start = u32::try_from(copy.bytes.len()).unwrap_or(NULL); // shorter than the arena it comes from
            copy.bytes.extend_from_slice(bytes);
            Span { start, len: span.len }
        };
        let (key, value) = (take(meta.key), take(meta.value));
        let headers: Vec<_> = self.arena.headers[self.arena.header_range(self.index as usize)]
            .iter()
            .map(|(name, value)| (take(*name), take(*value)))
            .collect();
        let headers_end = u32::try_from(headers.len()).unwrap_or(NULL);
        copy.headers = headers;
        copy.records.push(Meta { key, value, headers_end, ..*meta });
        Arc::new(copy)
    }
}

/// Iterator over a record's headers: name and value, `None` for a null value.
#[derive(Clone, Debug)]
pub struct Headers<'a> {
    arena: &'a Arena,
    range: core::ops::Range<usize>,
}

impl<'a> Iterator for Headers<'a> {
    type Item = (&'a [u8], Option<&'a [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        let (name, value) = self.arena.headers[self.range.next()?];
        Some((self.arena.slice(name).unwrap_or_default(), self.arena.slice(value)))
    }
}
