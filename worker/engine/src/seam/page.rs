//! Pages: where the bytes of records are. A poll batch is cut into pages, so that whoever holds on to one of its records holds on to
//! a page, and not to the batch.

use core::ops::Range;
use core::time::Duration;

use super::record::{ArenaFull, HEADER_OVERHEAD_BYTES, NewRecord, RECORD_OVERHEAD_BYTES, Timestamp};
use crate::time::Instant;

/// A page takes no further record that would make it larger than this, bytes of keys and values; a larger record has one of its own.
/// As long as a call or a forward lasts it holds the page of its record, and the window pays for the whole page: at most 24 KiB beside
/// the record, 1.5 MiB for 64 slow calls. With the batch as one page it was up to a MiB for each. Smaller pages would cost more
/// allocations and save little: a call has buffers of that size.
const PAGE_BYTES: usize = 16 << 10;
/// The same by number: small records cost more beside their payload than for it.
const PAGE_RECORDS: usize = 64;
/// What a page costs beside its records, bytes: its own books and its place among the ledger's segments.
pub(crate) const PAGE_OVERHEAD_BYTES: u64 = 160;

/// Some neighbours of a poll batch: all their bytes in one allocation.
#[derive(Debug, Default)]
pub(crate) struct Page {
    bytes: Vec<u8>,
    records: Vec<Meta>,
    headers: Vec<(Span, Span)>,
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

/// Makes room a quarter at a time. Doubled, a page could take twice what is counted for it.
fn make_room<T>(list: &mut Vec<T>, more: usize) {
    if list.capacity() - list.len() < more {
        list.reserve_exact(more.max(list.len() / 4));
    }
}

/// Gives room back that was made for more than came.
fn fit<T>(list: &mut Vec<T>) {
    if list.capacity() / 2 > list.len() {
        list.shrink_to_fit();
    }
}

impl Page {
    /// A page for the first of so many records with so many bytes together, and at least for a record of `payload` bytes.
    pub(super) fn with_room((records, bytes): (usize, usize), payload: usize) -> Self {
        let each = bytes.div_ceil(records.max(1)).max(1);
        let records = records.min(PAGE_BYTES / each).clamp(1, PAGE_RECORDS);
        let room = (records * each).min(PAGE_BYTES);
        let room = (room + room / 4).min(PAGE_BYTES).max(payload);
        Self { bytes: Vec::with_capacity(room), records: Vec::with_capacity(records), headers: Vec::new() }
    }

    /// Whether a record of so many bytes has its place here.
    pub(super) fn takes(&self, payload: usize) -> bool {
        self.is_empty() || (self.len() < PAGE_RECORDS && self.bytes.len() + payload <= PAGE_BYTES)
    }

    /// Copies a record in; its headers follow by [`Page::add_header`].
    pub(super) fn push(&mut self, record: NewRecord<'_>) -> Result<(), ArenaFull> {
        let headers_end = u32::try_from(self.headers.len()).map_err(|_| ArenaFull)?;
        let (key, value) = (self.copy(record.key)?, self.copy(record.value)?);
        make_room(&mut self.records, 1);
        self.records.push(Meta {
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

    /// Adds a header to the record pushed last.
    pub(super) fn add_header(&mut self, name: &[u8], value: Option<&[u8]>) -> Result<(), ArenaFull> {
        let pair = (self.copy(Some(name))?, self.copy(value)?);
        make_room(&mut self.headers, 1);
        self.headers.push(pair);
        let headers_end = u32::try_from(self.headers.len()).map_err(|_| ArenaFull)?;
        if let Some(last) = self.records.last_mut() {
            last.headers_end = headers_end;
        }
        Ok(())
    }

    /// No more will come.
    pub(super) fn close(&mut self) {
        fit(&mut self.bytes);
        fit(&mut self.records);
        fit(&mut self.headers);
    }

    /// How many records it holds.
    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Bytes of all keys, values and headers.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// What all of its records weigh together.
    pub(super) fn weight_of_all(&self) -> u64 {
        let (records, headers) = (self.records.len() as u64, self.headers.len() as u64);
        let overhead = records * u64::from(RECORD_OVERHEAD_BYTES) + headers * u64::from(HEADER_OVERHEAD_BYTES);
        self.bytes.len() as u64 + overhead
    }

    /// What a record weighs against the partition's credit, bytes.
    pub(crate) fn weight(&self, index: u32) -> u32 {
        let headers = u32::try_from(self.header_range(index).len()).unwrap_or(u32::MAX);
        let overhead = headers.saturating_mul(HEADER_OVERHEAD_BYTES).saturating_add(RECORD_OVERHEAD_BYTES);
        self.payload(index).saturating_add(overhead)
    }

    /// What some of its records weigh together.
    pub(crate) fn weight_of(&self, places: Range<u32>) -> u64 {
        if places.len() == self.len() {
            self.weight_of_all()
        } else {
            places.map(|one| u64::from(self.weight(one))).sum()
        }
    }

    /// A page of some of its records alone, in the order in which they are named.
    pub(crate) fn only(&self, indexes: &[u32]) -> Self {
        let payload = indexes.iter().map(|index| self.payload(*index) as usize).sum();
        let headers = indexes.iter().map(|index| self.header_range(*index).len()).sum();
        let mut copy = Self {
            bytes: Vec::with_capacity(payload),
            records: Vec::with_capacity(indexes.len()),
            headers: Vec::with_capacity(headers),
        };
        for index in indexes {
            let meta = &self.records[*index as usize];
            let (key, value) = (copy.take(self, meta.key), copy.take(self, meta.value));
            for (name, value) in &self.headers[self.header_range(*index)] {
                let pair = (copy.take(self, *name), copy.take(self, *value));
                copy.headers.push(pair);
            }
            let headers_end = u32::try_from(copy.headers.len()).unwrap_or(NULL); // no more than here
            copy.records.push(Meta { key, value, headers_end, ..*meta });
        }
        copy
    }

    pub(super) fn has(&self, index: u32) -> bool {
        (index as usize) < self.records.len()
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

    pub(super) fn value(&self, index: u32) -> Option<&[u8]> {
        self.slice(self.records[index as usize].value)
    }

    pub(super) fn timestamp(&self, index: u32) -> Timestamp {
        self.records[index as usize].timestamp
    }

    /// What a record brings with it from a delay topic: attempts, for how long it has failed, and when it is due.
    pub(crate) fn travelled(&self, index: u32) -> (u32, Duration, Instant) {
        let meta = &self.records[index as usize];
        (meta.attempts, Duration::from_millis(meta.failing_millis.into()), meta.due)
    }

    /// The numbers of a record's headers.
    pub(super) fn header_range(&self, index: u32) -> Range<usize> {
        let index = index as usize;
        let start = if index == 0 { 0 } else { self.records[index - 1].headers_end };
        // A builder whose header() failed half-way leaves the bounds as they were: never reversed.
        start as usize..self.records[index].headers_end as usize
    }

    /// A header by its number.
    pub(super) fn header(&self, number: usize) -> (&[u8], Option<&[u8]>) {
        let (name, value) = self.headers[number];
        (self.slice(name).unwrap_or_default(), self.slice(value))
    }

    /// What it takes in memory, room that is not used included.
    #[cfg(test)]
    pub(crate) fn footprint(&self) -> u64 {
        let books = size_of::<Self>() + 2 * size_of::<usize>();
        let metas = self.records.capacity() * size_of::<Meta>();
        let headers = self.headers.capacity() * size_of::<(Span, Span)>();
        (books + self.bytes.capacity() + metas + headers) as u64
    }

    /// Bytes of key, value and headers of a record.
    fn payload(&self, index: u32) -> u32 {
        let length = |span: Span| if span.len == NULL { 0 } else { span.len };
        let meta = &self.records[index as usize];
        let headers = &self.headers[self.header_range(index)];
        headers.iter().fold(length(meta.key).saturating_add(length(meta.value)), |bytes, (name, value)| {
            bytes.saturating_add(length(*name)).saturating_add(length(*value))
        })
    }

    fn slice(&self, span: Span) -> Option<&[u8]> {
        (span.len != NULL).then(|| &self.bytes[span.start as usize..(span.start + span.len) as usize])
    }

    fn copy(&mut self, bytes: Option<&[u8]>) -> Result<Span, ArenaFull> {
        let start = u32::try_from(self.bytes.len()).map_err(|_| ArenaFull)?;
        let Some(bytes) = bytes else { return Ok(Span { start, len: NULL }) };
        let fits = |len: &u32| start.checked_add(*len).is_some_and(|end| end < NULL);
        let len = u32::try_from(bytes.len()).ok().filter(fits).ok_or(ArenaFull)?;
        make_room(&mut self.bytes, bytes.len());
        self.bytes.extend_from_slice(bytes);
        Ok(Span { start, len })
    }

    /// Copies bytes of another page, which are no more than it can take.
    fn take(&mut self, from: &Self, span: Span) -> Span {
        let Some(bytes) = from.slice(span) else { return span };
        let start = u32::try_from(self.bytes.len()).unwrap_or(NULL); // shorter than the page they come from
        self.bytes.extend_from_slice(bytes);
        Span { start, len: span.len }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Weak};

    use super::*;
    use crate::seam::{Arena, ArenaBuilder, Record};

    /// Some records, by the bytes of their values.
    fn batch(values: &[usize]) -> ArenaBuilder {
        let mut batch = ArenaBuilder::default();
        for (offset, bytes) in (0..).zip(values) {
            let value = vec![7; *bytes];
            batch.push(NewRecord { offset, value: Some(&value), ..NewRecord::default() }).unwrap();
        }
        batch
    }

    fn offsets(arena: &Arena, range: Range<u32>) -> Vec<i64> {
        let mut offsets = Vec::new();
        for (page, places) in arena.pages(range) {
            offsets.extend(places.map(|index| page.offset(index)));
        }
        offsets
    }

    #[test]
    fn a_record_keeps_a_page_and_not_its_batch() {
        let arena = batch(&[8 << 10; 128]).finish();
        let pages: Vec<_> = arena.pages(0..128).map(|(page, _)| Arc::downgrade(page)).collect();
        let record = arena.record(77).unwrap();
        drop(arena);
        let kept: u64 = pages.iter().filter_map(Weak::upgrade).map(|page| page.footprint()).sum();
        assert_eq!(record.offset(), 77);
        assert!(kept < 24 << 10, "{kept} bytes");
    }

    #[test]
    fn a_batch_is_the_same_on_many_pages() {
        let values: Vec<usize> = (0..500).map(|number| if number % 50 == 7 { 40_000 } else { number }).collect();
        let builder = batch(&values);
        let (len, bytes, weight) = (builder.len(), builder.bytes(), builder.weight());
        let arena = builder.finish();
        assert_eq!((len, arena.len(), bytes), (500, 500, values.iter().sum::<usize>()));
        let mut sum = 0;
        for (page, places) in arena.pages(0..500) {
            assert!(page.len() == 1 || (page.len() <= PAGE_RECORDS && page.bytes() <= PAGE_BYTES));
            sum += places.map(|index| u64::from(page.weight(index))).sum::<u64>();
        }
        assert_eq!(weight, sum, "the shell reckons as the engine does");
        for (index, bytes) in values.iter().enumerate() {
            let record = arena.record(index).unwrap();
            assert_eq!(record.offset(), i64::try_from(index).unwrap());
            assert_eq!(record.value().map(<[u8]>::len), Some(*bytes));
        }
        assert!(arena.record(500).is_none());
        for range in [0..500, 3..4, 60..300, 499..500, 490..600, 500..600] {
            let expected: Vec<i64> = (i64::from(range.start)..i64::from(range.end.min(500))).collect();
            assert_eq!(offsets(&arena, range), expected);
        }
    }

    /// They took 17 times what was counted for them.
    #[test]
    fn headers_weigh_what_they_take() {
        let mut builder = batch(&[0]);
        for _ in 0..10_000 {
            builder.header(b"", None).unwrap();
        }
        let arena = builder.finish();
        let page = arena.pages(0..1).next().unwrap().0;
        let counted = u64::from(page.weight(0)) + PAGE_OVERHEAD_BYTES;
        assert!(page.footprint() <= counted + counted / 4, "{} for {counted}", page.footprint());
    }

    #[test]
    fn a_copy_of_some_records_has_all_of_them() {
        let mut builder = ArenaBuilder::default();
        let (timestamp, failing_for) = (Timestamp::LogAppend(5), Duration::from_millis(9));
        for number in 0..4 {
            let (name, offset) = (number.to_string(), i64::try_from(number).unwrap());
            let (key, value) = (Some(name.as_bytes()), Some(&b"value"[..number]));
            let new = NewRecord { offset, leader_epoch: 3, attempts: 2, ..NewRecord::default() };
            let new = NewRecord { timestamp, failing_for, ..new };
            let new = if number == 1 { new } else { NewRecord { key, value, ..new } };
            builder.push(new).unwrap();
            for _ in 0..number {
                builder.header(name.as_bytes(), Some(b"")).unwrap();
                builder.header(b"null", None).unwrap();
            }
        }
        let arena = builder.finish();
        let page = arena.pages(0..4).next().unwrap().0;
        let copy = Arc::new(page.only(&[1, 3]));
        assert_eq!(copy.len(), 2);
        for (index, place) in [(1, 0), (3, 1)] {
            let (one, other) = (Record::at(page, index).unwrap(), Record::at(&copy, place).unwrap());
            assert_eq!((one.offset(), one.leader_epoch()), (other.offset(), other.leader_epoch()));
            assert_eq!((one.key(), one.value(), one.timestamp()), (other.key(), other.value(), other.timestamp()));
            assert!(one.headers().eq(other.headers()));
            assert_eq!(page.travelled(index), copy.travelled(place));
            assert_eq!(page.weight(index), copy.weight(place));
        }
        assert!(Record::at(&copy, 2).is_none());
    }
}
