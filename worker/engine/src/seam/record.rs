//! Records as the engine sees them: poll batches, and places in them.

use core::ops::Range;
use core::time::Duration;
use std::sync::Arc;

use super::page::Page;
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

/// The records of one poll batch, on pages that are shared by everyone who still needs one of their records.
#[derive(Debug, Default)]
pub struct Arena {
    /// Each with the place of its first record in the batch.
    pages: Vec<(u32, Arc<Page>)>,
    len: usize,
}

/// One record of an [`Arena`]. A clone costs one reference count; it keeps some neighbours of the record in memory, and not its batch.
#[derive(Clone, Debug)]
pub struct Record {
    page: Arc<Page>,
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

/// The bytes of records are addressed by 32 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a record and its headers hold less than 4 GiB")]
pub struct ArenaFull;

/// Fills an [`Arena`].
#[derive(Debug, Default)]
pub struct ArenaBuilder {
    /// The pages that are full.
    arena: Arena,
    /// Their bytes, and what they weigh.
    bytes: usize,
    weight: u64,
    page: Page,
    /// Records that are expected from this page on, and their bytes.
    expected: (usize, usize),
}

/// What a record costs beside its payload, bytes: its place on a page and in the ledger. Counts against credit.
pub const RECORD_OVERHEAD_BYTES: u32 = 128;
/// What a header costs beside its name and value, bytes: where they are. Counts against credit too.
pub const HEADER_OVERHEAD_BYTES: u32 = 16;

impl ArenaBuilder {
    /// Room for about so many records and payload bytes.
    pub fn with_capacity(records: usize, bytes: usize) -> Self {
        Self { expected: (records, bytes), ..Self::default() }
    }

    /// Copies a record in; its headers follow by [`ArenaBuilder::header`].
    pub fn push(&mut self, record: NewRecord<'_>) -> Result<(), ArenaFull> {
        let payload = record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len);
        if !self.page.takes(payload) {
            self.turn();
        }
        if self.page.is_empty() {
            self.page = Page::with_room(self.expected, payload);
        }
        self.page.push(record)
    }

    /// Adds a header to the record pushed last. Order and duplicates are kept.
    pub fn header(&mut self, name: &[u8], value: Option<&[u8]>) -> Result<(), ArenaFull> {
        self.page.add_header(name, value)
    }

    /// Records so far.
    pub fn len(&self) -> usize {
        self.arena.len + self.page.len()
    }

    /// Whether nothing was pushed yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Payload bytes so far.
    pub fn bytes(&self) -> usize {
        self.bytes + self.page.bytes()
    }

    /// What all records so far weigh against credit: their bytes, [`RECORD_OVERHEAD_BYTES`] for each, and
    /// [`HEADER_OVERHEAD_BYTES`] for each header.
    pub fn weight(&self) -> u64 {
        self.weight + self.page.weight_of_all()
    }

    /// The finished arena.
    pub fn finish(mut self) -> Arc<Arena> {
        if !self.page.is_empty() {
            self.turn();
        }
        Arc::new(self.arena)
    }

    /// The page is full, or the last. What follows is expected to be like what it holds.
    fn turn(&mut self) {
        let mut page = core::mem::take(&mut self.page);
        page.close();
        let (records, bytes) = (page.len(), page.bytes());
        let left = self.expected.0.saturating_sub(records);
        let expected = if left == 0 { records } else { left };
        self.expected = (expected, bytes.div_ceil(records.max(1)).saturating_mul(expected));
        self.bytes += bytes;
        self.weight += page.weight_of_all();
        let first = u32::try_from(self.arena.len).unwrap_or(u32::MAX); // a poll batch is some thousand records at most
        self.arena.len += records;
        self.arena.pages.push((first, Arc::new(page)));
    }
}

impl Arena {
    /// How many records it holds.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The record at `index`, `None` past the end.
    pub fn record(&self, index: usize) -> Option<Record> {
        let (page, index) = self.place(u32::try_from(index).ok()?)?;
        Record::at(page, index)
    }

    /// Its records, in their order.
    pub fn records(&self) -> impl Iterator<Item = Record> {
        let on_page = |page: &Arc<Page>| 0..u32::try_from(page.len()).unwrap_or(u32::MAX); // far fewer
        self.pages.iter().flat_map(move |(_, page)| on_page(page).map(|index| Record { page: Arc::clone(page), index }))
    }

    /// The pages that records of a range are on, each with the places of those on it.
    pub(crate) fn pages(&self, range: Range<u32>) -> impl Iterator<Item = (&Arc<Page>, Range<u32>)> {
        self.pages.iter().filter_map(move |(first, page)| {
            let len = u32::try_from(page.len()).unwrap_or(u32::MAX); // far fewer
            let start = range.start.saturating_sub(*first);
            let end = range.end.saturating_sub(*first).min(len);
            (start < end).then_some((page, start..end))
        })
    }

    #[cfg(test)]
    pub(crate) fn offset(&self, index: u32) -> i64 {
        self.place(index).map_or(-1, |(page, index)| page.offset(index))
    }

    fn place(&self, index: u32) -> Option<(&Arc<Page>, u32)> {
        let behind = self.pages.partition_point(|(first, _)| *first <= index);
        let (first, page) = self.pages.get(behind.checked_sub(1)?)?;
        Some((page, index - first))
    }
}

impl Record {
    /// The record at a place of a page.
    pub(crate) fn at(page: &Arc<Page>, index: u32) -> Option<Self> {
        page.has(index).then(|| Self { page: Arc::clone(page), index })
    }

    /// Kafka offset.
    pub fn offset(&self) -> i64 {
        self.page.offset(self.index)
    }

    /// Leader epoch of the batch that held the record, −1 where the broker gave none.
    pub fn leader_epoch(&self) -> i32 {
        self.page.leader_epoch(self.index)
    }

    /// The record's own time.
    pub fn timestamp(&self) -> Timestamp {
        self.page.timestamp(self.index)
    }

    /// Key; `None` is null.
    pub fn key(&self) -> Option<&[u8]> {
        self.page.key(self.index)
    }

    /// Value; `None` is null.
    pub fn value(&self) -> Option<&[u8]> {
        self.page.value(self.index)
    }

    /// Headers in their order, duplicates included. A name is bytes: Kafka asks for UTF-8 and nobody enforces it.
    pub fn headers(&self) -> Headers<'_> {
        Headers { page: &self.page, range: self.page.header_range(self.index) }
    }
}

/// Iterator over a record's headers: name and value, `None` for a null value.
#[derive(Clone, Debug)]
pub struct Headers<'a> {
    page: &'a Page,
    range: Range<usize>,
}

impl<'a> Iterator for Headers<'a> {
    type Item = (&'a [u8], Option<&'a [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        let number = self.range.next()?;
        Some(self.page.header(number))
    }
}
