//! The parts for the operator: counters, gauges, and why nothing is delivered.

use super::wire::{Reader, put_varint, unzigzag, zigzag};
use super::{Checkpoint, ErrorClass, TAG_COUNTERS, TAG_GAUGES, TAG_HOLD};

/// Totals of one owner of the partition. They start at 0 with the owner: a reader takes differences between two
/// checkpoints of the same owner and incarnation only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Names the worker process.
    pub incarnation: u64,
    /// The worker's own clock when this was written, milliseconds since its process started.
    pub worker_millis: u64,
    /// Records done.
    pub processed: u64,
    /// Slot-milliseconds spent in calls, those still running included. Slots that the worker leaves empty because more calls would
    /// only wait for each other count as busy with those that work.
    pub busy_millis: u64,
    /// Milliseconds during which records waited for their lane while slots were free.
    pub lane_blocked_millis: u64,
}

/// How a partition stood when the checkpoint was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gauges {
    /// Calls in progress.
    pub in_flight: u32,
    /// For how long the oldest of them has been running, milliseconds.
    pub oldest_call_millis: u64,
    /// The concurrency of the whole worker, as far as the processor has asked for less by saying that it is overloaded: then
    /// more workers would not help. What the worker leaves out by itself is not in here but in `busy_millis`.
    pub concurrency: u32,
}

/// Why a partition gets nothing, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// The reason.
    pub reason: HoldReason,
    /// The class of the failure behind it.
    pub class: ErrorClass,
    /// For how many seconds.
    pub seconds: u64,
    /// With [`HoldReason::DataLoss`], what is missing.
    pub lost: Option<Lost>,
}

/// Where reading should have gone on, and what the log had instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// The first offset that was not read yet.
    pub wanted: i64,
    /// Above `wanted`: where the log begins, what lies between is gone. Below: where it ends, it was cut short.
    pub found: i64,
}

impl Lost {
    /// As whoever goes on at that offset has to tell it: what was received above it by somebody else is gone with them.
    #[must_use]
    pub fn as_of(self, offset: i64) -> Self {
        if self.found > self.wanted { Self { wanted: self.wanted.min(offset), ..self } } else { self }
    }
}

/// Why a partition gets nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HoldReason {
    /// A reason of a newer worker.
    #[default]
    Unknown,
    /// The processor has not answered its first probe.
    ProcessorNotReady,
    /// The circuit is open: the processor, or what it depends on, is down.
    CircuitOpen,
    /// The fuse: too large a part of the keys was dead-lettered within a minute.
    TooManyDeadLetters,
    /// Unread records are gone and `source.onOffsetLoss` is `Stop`.
    DataLoss,
    /// The dead-letter or delay topic cannot be written.
    ForwardFailed,
    /// No commit was acknowledged for half a session: another member may own the partition.
    Fenced,
    /// The output topic cannot be written.
    OutputFailed,
    /// A record failed for good, and no more keys can be parked: it blocks its lane.
    ParkedKeysFull,
}

impl HoldReason {
    const ALL: [Self; 9] = [
        Self::Unknown,
        Self::ProcessorNotReady,
        Self::CircuitOpen,
        Self::TooManyDeadLetters,
        Self::DataLoss,
        Self::ForwardFailed,
        Self::Fenced,
        Self::OutputFailed,
        Self::ParkedKeysFull,
    ];

    /// The name that status shows.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "Unknown",
            Self::ProcessorNotReady => "ProcessorNotReady",
            Self::CircuitOpen => "CircuitOpen",
            Self::TooManyDeadLetters => "TooManyDeadLetters",
            Self::DataLoss => "DataLoss",
            Self::ForwardFailed => "ForwardFailed",
            Self::Fenced => "Fenced",
            Self::OutputFailed => "OutputFailed",
            Self::ParkedKeysFull => "ParkedKeysFull",
        }
    }
}

/// The optional sections that are there, the most needed first.
pub(super) fn encode(checkpoint: &Checkpoint) -> impl Iterator<Item = (u8, Vec<u8>)> {
    let hold = checkpoint.hold.map(|hold| (TAG_HOLD, hold.value()));
    let counters = checkpoint.counters.map(|counters| (TAG_COUNTERS, counters.value()));
    let gauges = checkpoint.gauges.map(|gauges| (TAG_GAUGES, gauges.value()));
    hold.into_iter().chain(counters).chain(gauges)
}

impl Counters {
    fn value(&self) -> Vec<u8> {
        let mut value = self.incarnation.to_le_bytes().to_vec();
        for number in [self.worker_millis, self.processed, self.busy_millis, self.lane_blocked_millis] {
            put_varint(&mut value, number);
        }
        value
    }

    pub(super) fn read(value: &mut Reader<'_>) -> Option<Self> {
        Some(Self {
            incarnation: u64::from_le_bytes(value.take()?),
            worker_millis: value.varint()?,
            processed: value.varint()?,
            busy_millis: value.varint()?,
            lane_blocked_millis: value.varint()?,
        })
    }
}

impl Gauges {
    fn value(&self) -> Vec<u8> {
        let mut value = Vec::new();
        for number in [u64::from(self.in_flight), self.oldest_call_millis, u64::from(self.concurrency)] {
            put_varint(&mut value, number);
        }
        value
    }

    pub(super) fn read(value: &mut Reader<'_>) -> Option<Self> {
        Some(Self {
            in_flight: u32::try_from(value.varint()?).ok()?,
            oldest_call_millis: value.varint()?,
            concurrency: u32::try_from(value.varint()?).ok()?,
        })
    }
}

impl Hold {
    fn value(&self) -> Vec<u8> {
        let mut value = vec![self.reason as u8, self.class.code()];
        put_varint(&mut value, self.seconds);
        if let Some(Lost { wanted, found }) = self.lost {
            put_varint(&mut value, zigzag(wanted));
            put_varint(&mut value, zigzag(found));
        }
        value
    }

    pub(super) fn read(value: &mut Reader<'_>) -> Option<Self> {
        let reason = HoldReason::ALL.get(usize::from(value.byte()?)).copied().unwrap_or_default();
        let (class, seconds) = (ErrorClass::of(value.byte()?), value.varint()?);
        let lost = if value.is_empty() {
            None // not a loss, or told by an older writer
        } else {
            Some(Lost { wanted: unzigzag(value.varint()?), found: unzigzag(value.varint()?) })
        };
        Some(Self { reason, class, seconds, lost })
    }
}
