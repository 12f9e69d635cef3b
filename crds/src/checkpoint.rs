//! The checkpoint: what a worker writes into the metadata string of an offset commit, and what the next owner of the
//! partition and the operator read back (design.md §1, "Up").
//!
//! ```text
//! "p1." base64url( seal:8  offset:varint  leader_epoch:varint  owner:varint  { tag:1  length:varint  value }* )
//! ```
//!
//! - **Identity.** The seal is a hash over cluster id, topic id, partition and everything that follows it; offset and
//!   leader epoch stand in the text. A checkpoint that was copied by a mirroring tool, that outlived its topic, or that
//!   was cut short does not open ([`decode`] says which). A worker that trusted it would skip records of another log.
//! - **Tag-length-value.** A reader skips tags that it does not know, so that after a roll-back the older worker still
//!   reads the done-set of the newer one.
//! - **Bounded.** Brokers refuse commits whose metadata is longer than `offset.metadata.max.bytes` (4096 by default).
//!   [`encode`] leaves out the least needed parts first and never goes over the limit.
//! - **Printable ASCII**, since rdkafka and many tools read metadata as text.

mod done;
mod error_class;
mod failing;
mod parked;
mod sections;
#[cfg(test)]
mod tests;
mod wire;

use core::ops::Range;

pub use self::error_class::ErrorClass;
pub use self::failing::Failing;
pub use self::parked::ParkedKey;
pub use self::sections::{Counters, Gauges, Hold, HoldReason, Lost};
pub use self::wire::varint_bytes;

use self::wire::{Reader, put_section, put_varint, section_bytes, unzigzag, zigzag};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// What every checkpoint begins with; the digit is the layout's version.
pub const PREFIX: &str = "p1.";
/// Longer metadata than this is not even looked at: no broker is configured to take it. Characters.
pub const TEXT_CHARS_MAX: usize = 64 * 1024;

const SEAL_BYTES: usize = 8;
const TAG_DONE_RUNS: u8 = 1;
const TAG_DONE_BITMAP: u8 = 2;
const TAG_FAILING: u8 = 3;
const TAG_FAILING_SECONDS: u8 = 4;
const TAG_COUNTERS: u8 = 5;
const TAG_GAUGES: u8 = 6;
const TAG_HOLD: u8 = 7;
const TAG_PARKED: u8 = 9;

/// The place in a log that a checkpoint belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// The cluster's id.
    pub cluster_id: &'a str,
    /// The topic's id (KIP-516), 0 where the cluster gives none.
    pub topic_id: u128,
    /// Partition number.
    pub partition: i32,
    /// The committed offset: the frontier. Everything below it is done.
    pub offset: i64,
    /// The leader epoch committed with it, −1 where none is known.
    pub leader_epoch: i32,
}

/// What one owner of a partition tells the next, and the operator.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which owner wrote it, counting from 1 over the life of the group. A new owner takes the next number.
    pub owner: u64,
    /// Offsets above the frontier that are done: ascending, not empty, never touching. Offsets that hold no record
    /// (compaction, transaction markers) may fall on either side.
    pub done: Vec<Range<i64>>,
    /// Records that failed and are not done, by ascending offset.
    pub failing: Vec<Failing>,
    /// Totals since this owner began.
    pub counters: Option<Counters>,
    /// How it stood when this was written.
    pub gauges: Option<Gauges>,
    /// Why nothing is delivered, if so.
    pub hold: Option<Hold>,
    /// Keys whose records go to the dead letters until those have come back (`onExhausted: ParkKey`).
    pub parked: Vec<ParkedKey>,
}

/// An encoded checkpoint and what had to be left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Encoded {
    /// The metadata string; empty when the limit has no room even for the identity.
    pub text: String,
    /// Whether part of the done-set is missing: those records would be done again after a crash.
    pub done_cut: bool,
    /// Attempts that are not in the text: as many more tries could follow a crash.
    pub failing_left_out: usize,
    /// Parked keys that are not in the text: a crash would let their later records overtake the dead letters.
    pub parked_left_out: usize,
}

/// Why a metadata string was not taken for our checkpoint. None of these is an error of the pipeline.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// Nothing was committed with the offset.
    #[error("no metadata")]
    Empty,
    /// Somebody else's metadata, or a version that this reader does not know.
    #[error("not a checkpoint of Penstock, version 1")]
    Foreign,
    /// Cut short, changed, or written for another cluster, topic id or partition.
    #[error("a checkpoint of another log, or a damaged one")]
    OtherLog,
    /// Written for another offset of this log: the offset was moved and the metadata was kept.
    #[error("a checkpoint for offset {found}, but {committed} is committed")]
    OtherOffset {
        /// Offset that the checkpoint names.
        found: i64,
        /// Offset that is committed.
        committed: i64,
    },
    /// Written under another leader epoch: the log was cut and written anew (KIP-320).
    #[error("a checkpoint for leader epoch {found}, but {committed} is committed")]
    OtherEpoch {
        /// Epoch that the checkpoint names.
        found: i32,
        /// Epoch that is committed.
        committed: i32,
    },
}

/// Bytes that a text of `limit` characters leaves after prefix and base64.
pub const fn body_bytes(limit: usize) -> usize {
    limit.saturating_sub(PREFIX.len()) / 4 * 3 + [0, 0, 1, 2][limit.saturating_sub(PREFIX.len()) % 4]
}

/// The most that [`head_bytes`] says.
pub const HEAD_BYTES_MAX: usize = SEAL_BYTES + 10 + 5 + 10;

/// Bytes of the body that are always there: seal, offset, leader epoch and owner.
pub fn head_bytes(offset: i64, leader_epoch: i32, owner: u64) -> usize {
    SEAL_BYTES + varint_bytes(zigzag(offset)) + varint_bytes(zigzag(i64::from(leader_epoch))) + varint_bytes(owner)
}

/// Writes a checkpoint in at most `limit` characters.
///
/// What does not fit is left out in this order: the ages of failures, records that failed once, gauges, counters, the
/// hold, records that failed more often, the highest part of the done-set, and last parked keys, for without those a key's
/// order breaks, and without the others work is only done again. So a reader may be told less than is true, never more (S8).
pub fn encode(checkpoint: &Checkpoint, place: &Place<'_>, limit: usize) -> Encoded {
    let room = body_bytes(limit);
    let all_failing = checkpoint.failing.len();
    if room < head_bytes(place.offset, place.leader_epoch, checkpoint.owner) {
        let (done_cut, parked_left_out) = (!checkpoint.done.is_empty(), checkpoint.parked.len());
        return Encoded { text: String::new(), done_cut, failing_left_out: all_failing, parked_left_out };
    }
    let mut body = Vec::with_capacity(room);
    body.extend_from_slice(&[0; SEAL_BYTES]);
    put_varint(&mut body, zigzag(place.offset));
    put_varint(&mut body, zigzag(i64::from(place.leader_epoch)));
    put_varint(&mut body, checkpoint.owner);

    let parked_left_out = parked::put(&mut body, &checkpoint.parked, room);
    let done_cut = done::put(&mut body, &checkpoint.done, place.offset, room);
    let chosen = failing::choose(&checkpoint.failing, place.offset, room.saturating_sub(body.len()));
    let optional = sections::encode(checkpoint);
    let failing_size = if chosen.often_bytes == 0 { 0 } else { section_bytes(chosen.often_bytes) };
    let mut spare = room.saturating_sub(body.len() + failing_size);
    for (tag, value) in optional {
        if section_bytes(value.len()) <= spare {
            spare -= section_bytes(value.len());
            put_section(&mut body, tag, &value);
        }
    }
    let failing_left_out = all_failing - failing::put(&mut body, &checkpoint.failing, &chosen, place.offset, room);

    let seal = seal(place, &body[SEAL_BYTES..]);
    body[..SEAL_BYTES].copy_from_slice(&seal.to_le_bytes());
    let mut text = String::with_capacity(limit);
    text.push_str(PREFIX);
    URL_SAFE_NO_PAD.encode_string(&body, &mut text);
    Encoded { text, done_cut, failing_left_out, parked_left_out }
}

/// Reads a metadata string that was fetched together with `place`.
///
/// Never panics, whatever the text. An epoch of −1 on either side is no mismatch: brokers before 2.1 and some clients
/// keep none.
pub fn decode(text: &str, place: &Place<'_>) -> Result<Checkpoint, Rejected> {
    if text.is_empty() {
        return Err(Rejected::Empty);
    }
    let encoded = text.strip_prefix(PREFIX).filter(|_| text.len() <= TEXT_CHARS_MAX).ok_or(Rejected::Foreign)?;
    let body = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| Rejected::Foreign)?;
    let (sealed, rest) = body.split_first_chunk::<SEAL_BYTES>().ok_or(Rejected::OtherLog)?;
    if u64::from_le_bytes(*sealed) != seal(place, rest) {
        return Err(Rejected::OtherLog);
    }
    let mut reader = Reader::new(rest);
    let offset = unzigzag(reader.varint().ok_or(Rejected::OtherLog)?);
    let leader_epoch =
        reader.varint().map(unzigzag).and_then(|epoch| i32::try_from(epoch).ok()).ok_or(Rejected::OtherLog)?;
    if offset != place.offset {
        return Err(Rejected::OtherOffset { found: offset, committed: place.offset });
    }
    if leader_epoch != place.leader_epoch && leader_epoch >= 0 && place.leader_epoch >= 0 {
        return Err(Rejected::OtherEpoch { found: leader_epoch, committed: place.leader_epoch });
    }
    read_body(&mut reader, offset).ok_or(Rejected::OtherLog)
}

fn read_body(reader: &mut Reader<'_>, frontier: i64) -> Option<Checkpoint> {
    let mut checkpoint = Checkpoint { owner: reader.varint()?, ..Checkpoint::default() };
    while !reader.is_empty() {
        let (tag, value) = reader.section()?;
        let mut value = Reader::new(value);
        match tag {
            TAG_DONE_RUNS => checkpoint.done = done::read_runs(&mut value, frontier)?,
            TAG_DONE_BITMAP => checkpoint.done = done::read_bitmap(&mut value, frontier)?,
            TAG_FAILING => checkpoint.failing = failing::read(&mut value, frontier)?,
            TAG_FAILING_SECONDS => failing::read_seconds(&mut value, &mut checkpoint.failing),
            TAG_COUNTERS => checkpoint.counters = Some(Counters::read(&mut value)?),
            TAG_GAUGES => checkpoint.gauges = Some(Gauges::read(&mut value)?),
            TAG_HOLD => checkpoint.hold = Some(Hold::read(&mut value)?),
            TAG_PARKED => checkpoint.parked = parked::read(&mut value)?,
            _ => {} // a newer writer's
        }
    }
    Some(checkpoint)
}

/// FNV-1a, 64 bits (draft-eastlake-fnv): stable over versions and platforms, and nobody gains by forging it.
fn seal(place: &Place<'_>, body: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut add = |bytes: &[u8]| {
        for byte in bytes {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    };
    add(place.cluster_id.as_bytes());
    add(&[0]);
    add(&place.topic_id.to_le_bytes());
    add(&place.partition.to_le_bytes());
    add(body);
    hash
}
