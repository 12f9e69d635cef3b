//! What the engine tells the shell.

use core::time::Duration;
use std::sync::Arc;

use super::{Failure, LetterNumber, Output, Record, Tp};
use crate::time::Instant;

/// Everything a worker can be told to do.
#[derive(Debug)]
pub enum Effect {
    /// Read the committed offset, leader epoch and metadata, and the topic's identity.
    FetchCheckpoint {
        /// Which partition.
        tp: Tp,
        /// Hand it back in the reply.
        seq: u64,
    },
    /// Consume from exactly here. Also sent for a partition that is already assigned, when its position must change.
    Assign {
        /// Which partition.
        tp: Tp,
        /// The assignment; records and positions read from here on carry it.
        seq: u64,
        /// First offset to read.
        offset: i64,
        /// Leader epoch to validate against (KIP-320), −1 for none.
        leader_epoch: i32,
    },
    /// Call the processor.
    Start(Start),
    /// Give up a call and report its tickets as [`Outcome::Cancelled`](super::Outcome::Cancelled), or as what they were if that came first.
    Cancel {
        /// As [`Start`] named it.
        call: CallId,
    },
    /// Write to a topic and report when the broker has confirmed it. Boxed: rare where there is no output topic.
    Forward(Box<Forward>),
    /// Commit. All commits of one `on()` may travel in one request; pairing them with forwards in one transaction needs
    /// no other seam.
    Commit {
        /// Which partition.
        tp: Tp,
        /// Hand it back in the reply.
        commit: CommitId,
        /// Next offset to read.
        offset: i64,
        /// Leader epoch of the record before it, −1 for none.
        leader_epoch: i32,
        /// The encoded checkpoint: printable ASCII, or empty where the broker's limit leaves no room.
        checkpoint: String,
    },
    /// The consumer may hand over this many more bytes of records. Adds up; it may be overdrawn by one record.
    Credit {
        /// Which partition.
        tp: Tp,
        /// As [`ArenaBuilder::weight`](super::ArenaBuilder::weight) has it: bytes of key, value and headers, and something for each
        /// record and each header.
        bytes: u64,
    },
    /// Ask the processor for a sign of life without a record, then send `ProcessorHealth`.
    Probe,
    /// Nothing of these partitions runs or waits here any more: unassign them. Ignore it if `seq` is superseded.
    Released {
        /// Which partitions.
        tps: Vec<Tp>,
        /// The `seq` of the `Revoking` or `Lost` that it answers.
        seq: u64,
    },
    /// Everything is finished and committed, or the deadline has come: leave the group and exit.
    Drained,
}

/// One call in progress: a slot, at most the configured concurrency, and a serial that tells its tenants apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId {
    /// Below the concurrency: the shell may keep a fixed array of connections.
    pub slot: u32,
    /// Differs between calls that use the same slot.
    pub serial: u32,
}

/// One record of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket {
    /// Its call.
    pub call: CallId,
    /// Its place in the call, from 0.
    pub item: u32,
}

/// One forward in progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ForwardId {
    /// A slot of the engine's table.
    pub slot: u32,
    /// Differs between forwards that use the same slot.
    pub serial: u32,
}

/// One commit in progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommitId(pub u64);

/// One call to the processor.
#[derive(Debug)]
pub struct Start {
    /// Its number.
    pub call: CallId,
    /// When the engine will cancel it. For the processor's own information; the engine keeps the time.
    pub deadline: Instant,
    /// Its records. Order matters only under `batch.sameLane`.
    pub deliveries: DeliveryList,
}

/// The records of a call: nearly always one, which then costs no allocation.
#[derive(Debug)]
pub enum DeliveryList {
    /// A call with one record.
    One(Delivery),
    /// A batch, two or more.
    Many(Vec<Delivery>),
}

impl DeliveryList {
    /// The records as a slice.
    pub fn as_slice(&self) -> &[Delivery] {
        match self {
            Self::One(delivery) => core::slice::from_ref(delivery),
            Self::Many(deliveries) => deliveries,
        }
    }

    /// The same, for a shell that shows the processor a record otherwise than it was read.
    pub fn as_mut_slice(&mut self) -> &mut [Delivery] {
        match self {
            Self::One(delivery) => core::slice::from_mut(delivery),
            Self::Many(deliveries) => deliveries,
        }
    }
}

/// One record to process.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Names it in [`Finished`](super::Finished).
    pub ticket: Ticket,
    /// Where it comes from.
    pub tp: Tp,
    /// 1 for the first time; charged failures before this call plus 1.
    pub attempt: u32,
    /// Owner number of the partition: with the offset it tells a newer owner's call from an older one's.
    pub owner: u64,
    /// The record.
    pub record: Record,
}

/// One write to a topic that must be confirmed before its record counts as done (S4).
#[derive(Debug)]
pub struct Forward {
    /// Names it in [`Forwarded`](super::Forwarded).
    pub id: ForwardId,
    /// Where to.
    pub to: Destination,
    /// Where the record comes from.
    pub tp: Tp,
    /// The record: the body of a dead letter, the cause of an output.
    pub record: Record,
    /// With a dead letter under `onExhausted: ParkKey`, its number, unless the record has no key.
    pub parked: Option<LetterNumber>,
    /// In a batch of its own. Nothing that has to be written before or behind it is on its way.
    pub alone: bool,
}

/// Where a forward goes.
#[derive(Clone, Debug)]
pub enum Destination {
    /// The output topic, with what the processor answered.
    Output(Arc<Output>),
    /// The dead-letter topic, with why.
    DeadLetter(Arc<Undelivered>),
    /// `retry.delayTopics[tier]`, with how often it was tried.
    Delay {
        /// Index into the list.
        tier: usize,
        /// Why and how often.
        cause: Arc<Undelivered>,
    },
}

/// Why a record was not delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undelivered {
    /// Charged attempts, over all owners.
    pub attempts: u32,
    /// How long ago it failed for the first time, over all owners.
    pub failing_for: Duration,
    /// The last failure.
    pub failure: Failure,
}
