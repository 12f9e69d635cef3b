//! Which pages a partition's records live in, and what of them is still needed.
//!
//! One record that is still to do, in a lane behind another, say, or with a slow processor, keeps its whole page in memory. So a page
//! counts as a whole, until it is let go or compacted: L5 holds for whatever is needed of it. That alone would fill a window with what
//! is done, and hold up all keys for one (L4). So what is needed of a page, once that is half of it or less, may move to a page of its
//! own. That is done when it gives back something worth the copies, oldest first: most pages are let go before. A copy is paid for by as
//! many bytes that are done, so that a record is copied once or twice in its life, if at all. A page that the processor or the producer
//! has a record of stays as it is: a copy would not free it.
//!
//! Of a window then at least half, but for the share that may wait to be compacted and the pages of records that are out, is records that
//! are needed. What is in memory beyond what is counted:
//! - Allocations are a quarter larger than what is in them, where records are not as large as those before; seldom, up to twice.
//! - A page's own cost (`PAGE_OVERHEAD_BYTES`) is no part of the credit that its records take. Where they come one by one, are next to
//!   nothing, and none gets done, a window is passed by that: up to 2¼ times for empty records, 1¾ for 100 bytes.
//! - Calls and forwards of an assignment that is over hold one page for each of their records, until they end.
//!
//! The window is a quarter of what records may take, and another quarter is there for what calls copy (`worker/src/config.rs`). In the
//! default pod of 256 MiB that is 54 MiB each: a window that is full takes 68, and 64 calls of an earlier assignment 1.5.

use std::sync::Arc;

use crate::chain::{Chain, Linked, Links};
use crate::seam::{PAGE_OVERHEAD_BYTES, Page, Record};

/// The pages, in a slab; entries of the ledger name them by index.
#[derive(Debug, Default)]
pub(crate) struct Segments {
    slots: Vec<Segment>,
    free: Vec<u32>,
    /// Bytes of all pages.
    pinned: u64,
    /// Bytes that the sparse pages would give back.
    spare: u64,
    /// The pages that are worth a copy.
    sparse: Chain,
}

#[derive(Debug)]
struct Segment {
    page: Option<Arc<Page>>,
    /// Records that need it.
    needed: u32,
    /// Those of them that the processor or the producer has.
    out: u32,
    /// Bytes of the page.
    whole: u64,
    /// Bytes of a page that has the needed records alone.
    live: u64,
    /// Sequence numbers of the first and the last record that it was needed for.
    first: u64,
    last: u64,
    /// Whether it is among the sparse pages, and its neighbours there.
    listed: bool,
    links: Links,
}

impl Linked for Segment {
    fn links(&mut self) -> &mut Links {
        &mut self.links
    }
}

/// A page to be compacted: the entries of its records are somewhere from `first` to `last`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sparse {
    pub(crate) segment: u32,
    pub(crate) first: u64,
    pub(crate) last: u64,
}

impl Segments {
    /// Takes a page in, needed by nobody yet. It counts from [`Segments::settle`] on.
    pub(crate) fn insert(&mut self, page: Arc<Page>) -> u32 {
        let segment = Segment {
            page: Some(page),
            needed: 0,
            out: 0,
            whole: 0,
            live: PAGE_OVERHEAD_BYTES,
            first: 0,
            last: 0,
            listed: false,
            links: Links::default(),
        };
        if let Some(index) = self.free.pop() {
            self.slots[index as usize] = segment;
            return index;
        }
        self.slots.push(segment);
        u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX) // one per page of the window
    }

    /// One more record needs it, of so many bytes. Sequence numbers must rise.
    pub(crate) fn need(&mut self, segment: u32, seq: u64, bytes: u32) {
        let slot = &mut self.slots[segment as usize];
        if slot.needed == 0 {
            slot.first = seq;
        }
        slot.last = seq;
        slot.needed += 1;
        slot.live += u64::from(bytes);
    }

    /// No more records will need it. All records on it, needed or not, are so many bytes.
    pub(crate) fn settle(&mut self, segment: u32, bytes: u64) {
        let slot = &mut self.slots[segment as usize];
        if slot.needed == 0 {
            return self.let_go(segment);
        }
        slot.whole = bytes + PAGE_OVERHEAD_BYTES;
        self.pinned += slot.whole;
        self.review(segment);
    }

    /// One record less needs it, of so many bytes, which was out or not.
    pub(crate) fn release(&mut self, segment: u32, bytes: u32, out: bool) {
        let slot = &mut self.slots[segment as usize];
        slot.needed -= 1;
        slot.out -= u32::from(out);
        if slot.needed == 0 {
            return self.let_go(segment);
        }
        slot.live -= u64::from(bytes);
        if slot.listed {
            self.spare += u64::from(bytes);
        } else {
            self.review(segment);
        }
    }

    /// The processor or the producer has one of its records.
    pub(crate) fn lend(&mut self, segment: u32) {
        self.slots[segment as usize].out += 1;
    }

    /// A record that was out is here again.
    pub(crate) fn take_back(&mut self, segment: u32) {
        self.slots[segment as usize].out -= 1;
        self.review(segment);
    }

    /// Bytes of all pages.
    pub(crate) fn pinned(&self) -> u64 {
        self.pinned
    }

    /// Bytes that pages would give back if they were compacted.
    pub(crate) fn spare(&self) -> u64 {
        self.spare
    }

    /// The next page to be compacted, which it must be now.
    pub(crate) fn pop_sparse(&mut self) -> Option<Sparse> {
        while let Some(segment) = self.sparse.oldest() {
            self.unlist(segment);
            let Segment { out, first, last, .. } = self.slots[segment as usize];
            if out == 0 {
                return Some(Sparse { segment, first, last });
            }
            // It is listed again when they are back.
        }
        None
    }

    /// Leaves nothing on a page but these records, those that need it: by their places before, in the order of those after.
    pub(crate) fn compact(&mut self, segment: u32, indexes: &[u32]) {
        let slot = &mut self.slots[segment as usize];
        slot.page = slot.page.as_ref().map(|page| Arc::new(page.only(indexes)));
        self.pinned -= slot.whole - slot.live;
        slot.whole = slot.live;
    }

    /// A record of a segment that is needed.
    pub(crate) fn record(&self, segment: u32, index: u32) -> Option<Record> {
        Record::at(self.slots[segment as usize].page.as_ref()?, index)
    }

    /// Lists a page that a copy would make half as large, or less.
    fn review(&mut self, segment: u32) {
        let slot = &self.slots[segment as usize];
        if !slot.listed && slot.out == 0 && slot.live <= slot.whole / 2 {
            self.list(segment);
        }
    }

    fn let_go(&mut self, segment: u32) {
        if self.slots[segment as usize].listed {
            self.unlist(segment);
        }
        let slot = &mut self.slots[segment as usize];
        slot.page = None;
        self.pinned -= slot.whole;
        self.free.push(segment);
    }

    fn list(&mut self, segment: u32) {
        self.sparse.push(&mut self.slots, segment);
        let slot = &mut self.slots[segment as usize];
        slot.listed = true;
        self.spare += slot.whole - slot.live;
    }

    fn unlist(&mut self, segment: u32) {
        self.sparse.remove(&mut self.slots, segment);
        let slot = &mut self.slots[segment as usize];
        slot.listed = false;
        self.spare -= slot.whole - slot.live;
    }
}

#[cfg(test)]
impl Segments {
    /// The pages that are here.
    pub(crate) fn pages(&self) -> impl Iterator<Item = &Arc<Page>> {
        self.slots.iter().filter_map(|slot| slot.page.as_ref())
    }

    /// What all pages would be if they had nothing on them but what is needed.
    pub(crate) fn live(&self) -> u64 {
        self.slots.iter().filter(|slot| slot.page.is_some()).map(|slot| slot.live).sum()
    }
}
