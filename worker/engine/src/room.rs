//! Whether the checkpoint has room for what a start could add to it.
//!
//! A commit must never be refused for its size, nor leave out what is done. So a record is started only if the checkpoint
//! would still fit should everything in flight end as badly as it can: each as a run of its own, or as a failing record.
//! The record at the frontier is always started: when it is done, the set can only shrink.

use penstock_crds::checkpoint::{HEAD_BYTES_MAX, body_bytes, head_bytes, varint_bytes};

use crate::parking::{KEYS_MAX, Parking};
use crate::partition::Partition;

/// Tags and lengths of the done and failing sections.
const SECTIONS_BYTES: usize = 6;

/// The characters a checkpoint may have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    chars: usize,
    bytes: usize,
}

impl Room {
    pub(crate) fn of_chars(chars: u32) -> Self {
        let chars = chars as usize;
        Self { chars, bytes: body_bytes(chars) }
    }

    pub(crate) fn chars(self) -> usize {
        self.chars
    }

    /// After a refused commit of `chars` characters.
    pub(crate) fn halved(self, chars: usize) -> Self {
        let chars = self.chars.min(chars) / 2;
        Self { chars, bytes: body_bytes(chars) }
    }

    /// Whether the record at `offset`, above the frontier, may be started beside what is in flight.
    pub(crate) fn admits(self, partition: &mut Partition, offset: i64) -> bool {
        self.fits(partition, offset, 0)
    }

    /// Whether one more key may be parked. Parked keys get half of the checkpoint at most: they may stay for days, and records go on.
    pub(crate) fn admits_key(self, partition: &mut Partition, generation: i64) -> bool {
        let more = Parking::bytes_of(generation);
        let few = partition.parking.len() < KEYS_MAX && partition.parking.bytes() + more <= self.bytes / 2;
        few && self.fits(partition, generation, more)
    }

    fn fits(self, partition: &mut Partition, offset: i64, more: usize) -> bool {
        let in_doubt = partition.usage.in_flight as usize + partition.forwarding as usize + 1;
        let pieces = partition.ledger.runs() + in_doubt;
        let often = partition.troubles.often();
        let span = partition.ledger.span_with(offset);
        let number = varint_bytes(span);
        // An entry of the failing section: distance, and attempts with class in up to three bytes.
        let failing = number + 3;
        let as_runs = pieces * (2 * number).max(failing) + often * failing;
        let parked = partition.parking.bytes() + more;
        // Nearly always there is room for a head at its longest.
        if parked + HEAD_BYTES_MAX + SECTIONS_BYTES + as_runs <= self.bytes {
            return true;
        }
        let frontier_epoch = partition.ledger.frontier_epoch();
        let head = parked + head_bytes(partition.ledger.frontier(), frontier_epoch, partition.owner) + SECTIONS_BYTES;
        let bitmap = usize::try_from(span.div_ceil(8)).unwrap_or(usize::MAX);
        let as_bitmap = bitmap.saturating_add((often + in_doubt) * failing);
        head + as_runs.min(as_bitmap) <= self.bytes
    }
}
