//! The ledger of a partition: which of the received records are done, and so which offset may be committed.
//!
//! Only offsets that were received have an entry, in the order of receipt, so that holes (compaction, transaction
//! markers, aborted records) close by themselves: the *frontier* is the offset of the first entry that is not done.
//! Entries are named by sequence numbers, which rise by one and outlast the ring.

use core::ops::Range;
use std::collections::VecDeque;
use std::sync::Arc;

use crate::lanes::LaneId;
use crate::seam::{Page, Record};
use crate::segments::{Segments, Sparse};

/// What an entry costs, bytes, be it done or not: a part of what its record weighs, the rest of which is its page's.
const ENTRY_BYTES: u32 = 32;
/// A ring with room for no more entries than this is left as it is.
const RING_KEPT: usize = 8192;

/// Where a record stands on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Behind another of its lane, or first in one that a call still holds.
    Queued,
    /// May run: in the partition's queue of fresh records, or in that of retries.
    Ready,
    /// May run, but not in any company: a suspect, or of a batch that failed, in one of the engine's queues or on its way there.
    Apart,
    /// With the processor.
    Running,
    /// For its back-off to pass.
    Waiting,
    /// To be written: once it is its turn in its lane, or again when its back-off has passed.
    Unsent,
    /// With the producer.
    Forwarding,
    /// Confirmed by the broker, earlier than one before it in its lane; or there is nothing to write of it.
    Written,
    /// Acknowledged, skipped, discarded, or confirmed on another topic.
    Done,
}

impl State {
    /// Whether the processor or the producer has the record, and so its page.
    const fn is_out(self) -> bool {
        matches!(self, Self::Running | Self::Unsent | Self::Forwarding | Self::Written)
    }
}

/// One received record. Kept small: there is one per record of the window.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) offset: i64,
    pub(crate) lane: LaneId,
    /// How much further on the next entry of its lane is; 0 for none.
    next: u32,
    segment: u32,
    index: u32,
    pub(crate) weight: u32,
    pub(crate) state: State,
    /// Whether the partition's table of troubles knows more about it.
    pub(crate) troubled: bool,
}

#[derive(Debug)]
pub(crate) struct Ledger {
    /// Entries from the first that is not done.
    ring: VecDeque<Entry>,
    /// Sequence number of the first entry.
    base: u64,
    /// Lowest offset that has neither come nor been passed over.
    next_offset: i64,
    /// Entries that are not done.
    undone: usize,
    /// Maximal sequences of done entries in the ring.
    runs: usize,
    /// Highest offset that was ever started, or done by an earlier owner.
    touched: i64,
    /// Done by an earlier owner and not received yet.
    carried: VecDeque<Range<i64>>,
    /// From which offset on which leader epoch was seen.
    epochs: VecDeque<(i64, i32)>,
    segments: Segments,
    /// Bytes that may wait to be given back by pages of which little is needed.
    pub(crate) spare_max: u64,
}

impl Ledger {
    /// A ledger that begins at a committed offset, with what earlier owners did above it.
    pub(crate) fn new(offset: i64, leader_epoch: i32, done: Vec<Range<i64>>) -> Self {
        Self {
            ring: VecDeque::new(),
            base: 0,
            undone: 0,
            next_offset: offset,
            runs: 0,
            touched: done.last().map_or(offset, |run| run.end),
            carried: done.into(),
            epochs: VecDeque::from([(i64::MIN, leader_epoch)]),
            segments: Segments::default(),
            spare_max: 0,
        }
    }

    /// Takes a page in; [`Ledger::settle_page`] must follow its records.
    pub(crate) fn add_page(&mut self, page: Arc<Page>) -> u32 {
        self.segments.insert(page)
    }

    /// No more records of this page will come. So many have come, those included that were done before or had come before, which weigh
    /// so much together: if one of them is needed, all are in memory.
    pub(crate) fn settle_page(&mut self, segment: u32, records: u32, weight: u64) {
        let entries = u64::from(records) * u64::from(ENTRY_BYTES);
        self.segments.settle(segment, weight.saturating_sub(entries));
    }

    /// Whether an offset has come or been passed over before.
    pub(crate) fn is_past(&self, offset: i64) -> bool {
        offset < self.next_offset
    }

    /// Lowest offset that has neither come nor been passed over.
    pub(crate) fn next_offset(&self) -> i64 {
        self.next_offset
    }

    /// Whether an earlier owner did the record. Offsets must be asked in rising order.
    pub(crate) fn take_carried(&mut self, offset: i64) -> bool {
        while self.carried.front().is_some_and(|run| run.end <= offset) {
            self.carried.pop_front();
        }
        self.carried.front().is_some_and(|run| run.contains(&offset))
    }

    /// Enters a received record that is still to do. Returns its sequence number.
    pub(crate) fn push(&mut self, page: &Page, segment: u32, index: u32, weight: u32) -> u64 {
        let offset = page.offset(index);
        self.pass(offset, page.leader_epoch(index));
        self.undone += 1;
        let seq = self.base + self.ring.len() as u64;
        self.segments.need(segment, seq, on_page(weight));
        let (lane, state) = (LaneId::NONE, State::Queued);
        self.enter(Entry { offset, lane, next: 0, segment, index, weight, state, troubled: false });
        seq
    }

    /// Whether an earlier owner did records that have not come yet.
    pub(crate) fn has_carried(&self) -> bool {
        !self.carried.is_empty()
    }

    /// Enters a received record that is done already.
    pub(crate) fn push_done(&mut self, offset: i64, leader_epoch: i32) {
        self.pass(offset, leader_epoch);
        let Some(last) = self.ring.back() else { return };
        if last.state != State::Done {
            self.runs += 1;
        }
        self.touched = self.touched.max(offset);
        self.enter(Entry {
            offset,
            lane: LaneId::NONE,
            next: 0,
            segment: 0,
            index: 0,
            weight: ENTRY_BYTES,
            state: State::Done,
            troubled: false,
        });
    }

    /// The consumer will not hand over anything below `offset` any more.
    pub(crate) fn position(&mut self, offset: i64) {
        self.next_offset = self.next_offset.max(offset);
    }

    /// The record is done. Returns whether the frontier moved.
    pub(crate) fn done(&mut self, seq: u64) -> bool {
        let index = self.index(seq);
        let right = self.ring.get(index + 1).is_some_and(|entry| entry.state == State::Done);
        let entry = &mut self.ring[index];
        let out = core::mem::replace(&mut entry.state, State::Done).is_out();
        self.undone -= 1;
        self.segments.release(entry.segment, on_page(entry.weight), out);
        if index > 0 {
            let left = self.ring[index - 1].state == State::Done;
            self.runs = self.runs + 1 - usize::from(left) - usize::from(right);
        } else {
            self.runs -= usize::from(right);
            self.advance();
        }
        self.tidy();
        index == 0
    }

    /// Gives back what pages of which little is needed hold beyond that, where it has become worth it.
    #[inline]
    pub(crate) fn tidy(&mut self) {
        if self.segments.spare() > self.spare_max {
            self.compact_sparse();
        }
    }

    fn compact_sparse(&mut self) {
        while self.segments.spare() > self.spare_max {
            let Some(sparse) = self.segments.pop_sparse() else { return };
            self.compact(sparse);
        }
    }

    /// Lets the frontier pass what is done.
    fn advance(&mut self) {
        while self.ring.front().is_some_and(|entry| entry.state == State::Done) {
            self.ring.pop_front();
            self.base += 1;
        }
        // What a blocked record had the ring grow to would come on top of the window for good.
        if self.ring.capacity() > RING_KEPT && self.ring.len() < self.ring.capacity() / 4 {
            self.ring.shrink_to((self.ring.len() * 2).max(RING_KEPT / 8));
        }
    }

    fn compact(&mut self, sparse: Sparse) {
        let Sparse { segment, first, last } = sparse;
        let (start, end) = (self.index(first.max(self.base)), self.index(last));
        let mut indexes = Vec::new();
        for entry in self.ring.range_mut(start..=end) {
            if entry.segment == segment && entry.state != State::Done {
                let place = u32::try_from(indexes.len()).unwrap_or(u32::MAX); // no more than were on the page
                indexes.push(core::mem::replace(&mut entry.index, place));
            }
        }
        self.segments.compact(segment, &indexes);
    }

    /// Appends an entry. The ring grows by a quarter at a time: doubled, it could take twice what is counted for it.
    fn enter(&mut self, entry: Entry) {
        if self.ring.len() == self.ring.capacity() {
            self.ring.reserve_exact((self.ring.len() / 4).max(16));
        }
        self.ring.push_back(entry);
    }

    /// Lowest offset that is not done: what may be committed.
    pub(crate) fn frontier(&self) -> i64 {
        if let Some(entry) = self.ring.front() {
            return entry.offset;
        }
        let passed = |offset: i64, run: &Range<i64>| if run.start <= offset { offset.max(run.end) } else { offset };
        self.carried.iter().fold(self.next_offset, passed)
    }

    /// Leader epoch of the record before the frontier (KIP-320: what is committed beside the offset).
    pub(crate) fn frontier_epoch(&mut self) -> i32 {
        let frontier = self.frontier();
        while self.epochs.get(1).is_some_and(|(from, _)| *from < frontier) {
            self.epochs.pop_front();
        }
        self.epochs.front().map_or(-1, |(_, epoch)| *epoch)
    }

    /// Offsets above the frontier that are done, ascending. Holes join the run before them.
    pub(crate) fn done_above(&self) -> Vec<Range<i64>> {
        let mut done: Vec<Range<i64>> = Vec::with_capacity(self.runs + self.carried.len());
        let mut extends = false;
        for entry in self.ring.iter().take(if self.runs == 0 { 0 } else { usize::MAX }) {
            let is_done = entry.state == State::Done;
            match done.last_mut() {
                Some(last) if is_done && extends => last.end = entry.offset + 1,
                _ if is_done => done.push(entry.offset..entry.offset + 1),
                _ => {}
            }
            extends = is_done;
        }
        let frontier = self.frontier();
        for run in &self.carried {
            let start = run.start.max(self.next_offset).max(frontier + 1);
            match done.last_mut() {
                Some(last) if last.end >= start => last.end = last.end.max(run.end),
                _ if start < run.end => done.push(start..run.end),
                _ => {}
            }
        }
        done
    }

    /// How many runs [`Ledger::done_above`] would have at most.
    pub(crate) fn runs(&self) -> usize {
        self.runs + self.carried.len()
    }

    /// Distance from the frontier to the highest offset that is, or will be by starting `offset`, in the done-set.
    pub(crate) fn span_with(&self, offset: i64) -> u64 {
        self.touched.max(offset).saturating_sub(self.frontier()).max(0).cast_unsigned()
    }

    /// Hands a record that is not done to the processor.
    pub(crate) fn start(&mut self, seq: u64) -> Option<(Entry, Record)> {
        let index = self.index(seq);
        let entry = self.ring.get_mut(index).filter(|entry| entry.state != State::Done)?;
        let record = self.segments.record(entry.segment, entry.index)?;
        if !core::mem::replace(&mut entry.state, State::Running).is_out() {
            self.segments.lend(entry.segment);
        }
        let entry = *entry;
        self.touch(entry.offset);
        Some((entry, record))
    }

    /// The record was handed to the processor or the producer.
    pub(crate) fn touch(&mut self, offset: i64) {
        self.touched = self.touched.max(offset);
    }

    /// The entry of a sequence number, unless it is gone.
    pub(crate) fn get(&self, seq: u64) -> Option<&Entry> {
        self.ring.get(self.index(seq))
    }

    /// The entry of a sequence number, unless it is gone.
    pub(crate) fn get_mut(&mut self, seq: u64) -> Option<&mut Entry> {
        let index = self.index(seq);
        self.ring.get_mut(index)
    }

    /// Moves an entry that is not done on its way. There is no other to the processor and to the producer.
    pub(crate) fn set(&mut self, seq: u64, state: State) {
        let index = self.index(seq);
        let Some(entry) = self.ring.get_mut(index).filter(|entry| entry.state != State::Done) else { return };
        match (core::mem::replace(&mut entry.state, state).is_out(), state.is_out()) {
            (false, true) => self.segments.lend(entry.segment),
            (true, false) => self.segments.take_back(entry.segment),
            _ => {}
        }
    }

    /// The sequence number of the entry at the frontier.
    pub(crate) fn first(&self) -> Option<u64> {
        (!self.ring.is_empty()).then_some(self.base)
    }

    /// The sequence number of the record with this offset, if it was received and is not below the frontier.
    pub(crate) fn find(&self, offset: i64) -> Option<u64> {
        let index = self.ring.binary_search_by_key(&offset, |entry| entry.offset).ok()?;
        Some(self.base + index as u64)
    }

    /// Leader epoch that the received record at this offset came with.
    pub(crate) fn epoch_at(&self, offset: i64) -> i32 {
        self.epochs.iter().rev().find(|(from, _)| *from <= offset).map_or(-1, |(_, epoch)| *epoch)
    }

    /// The record of an entry that is not done.
    pub(crate) fn record(&self, seq: u64) -> Option<Record> {
        let entry = self.get(seq)?;
        self.segments.record(entry.segment, entry.index)
    }

    /// Bytes held: of all entries, and of all pages, whatever of them is needed.
    pub(crate) fn held(&self) -> u64 {
        self.ring.len() as u64 * u64::from(ENTRY_BYTES) + self.segments.pinned()
    }

    /// Records that are not done.
    pub(crate) fn undone(&self) -> usize {
        self.undone
    }

    fn pass(&mut self, offset: i64, leader_epoch: i32) {
        self.next_offset = offset + 1;
        if self.epochs.back().is_none_or(|(_, epoch)| *epoch != leader_epoch) {
            self.epochs.push_back((offset, leader_epoch));
        }
    }

    /// Puts an entry behind another in their lane.
    pub(crate) fn link(&mut self, before: u64, seq: u64) {
        if let Some(entry) = self.get_mut(before) {
            #[expect(clippy::cast_possible_truncation, reason = "both are in the ring, which is far shorter than 2^32")]
            let distance = (seq - before) as u32;
            entry.next = distance;
        }
    }

    /// The next entry of the lane that is not done.
    pub(crate) fn following(&self, seq: u64) -> Option<u64> {
        let (mut seq, mut next) = (seq, self.get(seq)?.next);
        while next > 0 {
            seq += u64::from(next);
            let entry = self.get(seq)?;
            if entry.state != State::Done {
                return Some(seq);
            }
            next = entry.next;
        }
        None
    }

    fn index(&self, seq: u64) -> usize {
        usize::try_from(seq.wrapping_sub(self.base)).unwrap_or(usize::MAX)
    }
}

/// What of a record's weight is its page's.
const fn on_page(weight: u32) -> u32 {
    weight.saturating_sub(ENTRY_BYTES)
}

#[cfg(test)]
mod tests;
