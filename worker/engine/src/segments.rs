//! Which arenas a partition's records live in. An arena is let go when none of its records is needed any more.

use std::sync::Arc;

use crate::seam::{Arena, Record};

/// The arenas, in a slab; entries of the ledger name them by index.
#[derive(Debug, Default)]
pub(crate) struct Segments {
    slots: Vec<Segment>,
    free: Vec<u32>,
}

#[derive(Debug)]
struct Segment {
    arena: Option<Arc<Arena>>,
    needed: u32,
}

impl Segments {
    /// Takes an arena in, needed by nobody yet.
    pub(crate) fn insert(&mut self, arena: Arc<Arena>) -> u32 {
        let segment = Segment { arena: Some(arena), needed: 0 };
        if let Some(index) = self.free.pop() {
            self.slots[index as usize] = segment;
            return index;
        }
        self.slots.push(segment);
        u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX) // one per held poll batch or waiting record
    }

    /// One more record needs it.
    pub(crate) fn need(&mut self, segment: u32) {
        self.slots[segment as usize].needed += 1;
    }

    /// One record less needs it.
    pub(crate) fn release(&mut self, segment: u32) {
        let slot = &mut self.slots[segment as usize];
        slot.needed -= 1;
        if slot.needed == 0 {
            slot.arena = None;
            self.free.push(segment);
        }
    }

    /// Lets it go if no record turned out to need it.
    pub(crate) fn release_if_unneeded(&mut self, segment: u32) {
        let slot = &mut self.slots[segment as usize];
        if slot.needed == 0 && slot.arena.take().is_some() {
            self.free.push(segment);
        }
    }

    /// A record of a segment that is needed.
    pub(crate) fn record(&self, segment: u32, index: u32) -> Option<Record> {
        self.slots[segment as usize].arena.as_ref()?.record(index as usize)
    }

    /// Whether the segment holds more than one record still needed, so that a waiting one had better move out.
    pub(crate) fn is_shared(&self, segment: u32) -> bool {
        self.slots[segment as usize].arena.as_ref().is_some_and(|arena| arena.len() > 1)
    }
}
