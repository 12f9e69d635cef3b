//! A worker process: an engine, and what its shell keeps in mind.

use std::collections::{BTreeSet, VecDeque};

use penstock_crds::checkpoint::Checkpoint;

use super::config::{Config, PARTITIONS};
use super::fuse::FuseTruth;
use crate::Engine;
use crate::seam::{CallId, CommitId, Destination, Event, ForwardId, LetterNumber, Loaded, Ticket};
use crate::time::Instant;
use crate::wrong::Wrong;

/// What the group has told the worker and the worker has not looked at yet.
#[derive(Clone, Debug)]
pub(super) enum Control {
    Assigned { tp: usize, seq: u64 },
    Revoking { tp: usize, seq: u64, deadline_in: u64 },
    Lost { tp: usize, seq: u64 },
}

#[derive(Debug)]
pub(super) struct Call {
    pub(super) ticket: Ticket,
    pub(super) tp: usize,
    pub(super) index: usize,
    /// When it is to be cancelled as late; never, where the worker slept through half of its time.
    pub(super) deadline: Instant,
    /// The assignment it was started under.
    pub(super) seq: u64,
    /// Nothing else was ever in flight with it.
    pub(super) alone: bool,
    pub(super) cancelled: Option<Cancelled>,
    /// Started while the circuit had to be open.
    pub(super) probe: bool,
    /// Started while the fuse was blown.
    pub(super) fuse_probe: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cancelled {
    Timeout,
    GivingUp,
}

#[derive(Debug)]
pub(super) struct PendingForward {
    pub(super) id: ForwardId,
    pub(super) to: Destination,
    pub(super) tp: usize,
    pub(super) index: usize,
    pub(super) seq: u64,
    pub(super) parked: Option<LetterNumber>,
    /// An output before it in its lane could not be written: it does not count.
    pub(super) recalled: bool,
    /// In a batch of its own.
    pub(super) alone: bool,
}

#[derive(Debug)]
pub(super) struct PendingCommit {
    pub(super) tp: usize,
    pub(super) commit: CommitId,
    pub(super) offset: i64,
    pub(super) leader_epoch: i32,
    pub(super) text: String,
    /// The limit that its worker had been told by then.
    pub(super) told: Option<usize>,
    pub(super) seq: u64,
    pub(super) sent: Instant,
}

/// What the shell knows of a partition.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// The last rebalance that spoke of it.
    pub(super) last_seq: u64,
    /// The assignment, while it lasts.
    pub(super) seq: Option<u64>,
    /// When its calls are cancelled, while it drains.
    pub(super) drain: Option<Instant>,
    /// Next offset to read, once the engine said where.
    pub(super) position: Option<i64>,
    pub(super) position_told: bool,
    pub(super) credit: i64,
    pub(super) received: BTreeSet<usize>,
    /// Answered as done while the partition was held.
    pub(super) answered: BTreeSet<usize>,
    /// Answered with output that is not confirmed yet.
    pub(super) output_pending: BTreeSet<usize>,
    /// Of those, confirmed earlier than one before it in its lane.
    pub(super) written: BTreeSet<usize>,
    /// Answered without output, and one before it in its lane was not done.
    pub(super) in_turn: BTreeSet<usize>,
    pub(super) started: BTreeSet<usize>,
    /// When the oldest commit was sent that none was acknowledged after.
    pub(super) unanswered_since: Option<Instant>,
    /// When the worker woke up after a long sleep, until a commit sent since is acknowledged.
    pub(super) slept_until: Option<Instant>,
    /// What was committed when it was assigned.
    pub(super) found: (i64, Checkpoint),
}

#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is something that may be so, and several may")]
pub(super) struct Worker {
    pub(super) engine: Engine,
    pub(super) held: [Held; PARTITIONS],
    pub(super) calls: Vec<Call>,
    pub(super) forwards: Vec<PendingForward>,
    pub(super) commits: Vec<PendingCommit>,
    pub(super) fetches: Vec<(usize, u64)>,
    pub(super) control: VecDeque<Control>,
    pub(super) loaded: Option<Loaded>,
    pub(super) probes: usize,
    pub(super) paused: bool,
    /// Set by SIGTERM; true once the engine said `Drained`.
    pub(super) leaving: Option<bool>,
    pub(super) forward_room: u32,
    /// Half of that was taken, or nearly, and not all of it has ended since.
    pub(super) crowded: bool,
    /// How long metadata may be, by the last that it was told.
    pub(super) told: Option<usize>,
    pub(super) ready: bool,
    /// The processor is down.
    pub(super) down: bool,
    /// Distinct lanes that met the outage since the last other answer.
    pub(super) outage_lanes: BTreeSet<(usize, Option<u8>, usize)>,
    pub(super) fuse: FuseTruth,
    pub(super) last_turn: Instant,
    /// When the last commit was sent that a group acknowledged: the source's, the delay topics'.
    pub(super) heard: [Instant; 2],
    /// Calls with more than one record.
    pub(super) batched: BTreeSet<CallId>,
}

impl Worker {
    pub(super) fn new(config: &Config, incarnation: u64, wrong: Option<Wrong>) -> Self {
        let mut policy = config.policy.clone();
        policy.incarnation = incarnation;
        let mut engine = Engine::new(policy);
        engine.wrong = wrong;
        Self {
            engine,
            held: Default::default(),
            calls: Vec::new(),
            forwards: Vec::new(),
            commits: Vec::new(),
            fetches: Vec::new(),
            control: VecDeque::new(),
            loaded: None,
            probes: 0,
            paused: false,
            leaving: None,
            forward_room: 0,
            crowded: false,
            told: None,
            ready: false,
            down: false,
            outage_lanes: BTreeSet::new(),
            fuse: FuseTruth::default(),
            last_turn: Instant::ZERO,
            heard: [Instant::ZERO; 2],
            batched: BTreeSet::new(),
        }
    }

    /// Calls, not records.
    pub(super) fn calls_in_progress(&self) -> usize {
        self.calls
            .iter()
            .filter(|call| {
                self.calls
                    .iter()
                    .all(|other| other.ticket.call != call.ticket.call || other.ticket.item >= call.ticket.item)
            })
            .count()
    }

    /// Whether the circuit has to be open.
    pub(super) fn must_probe(&self) -> bool {
        self.outage_lanes.len() >= 3
    }

    /// Whether a reply is owed to the engine, hung calls aside.
    pub(super) fn has_work(&self) -> bool {
        !self.control.is_empty() || !self.fetches.is_empty() || !self.commits.is_empty() || !self.forwards.is_empty()
    }
}

impl Held {
    /// Whether an earlier owner told that the record at this offset is done.
    pub(super) fn is_known(&self, offset: i64) -> bool {
        let (committed, checkpoint) = &self.found;
        offset < *committed || checkpoint.done.iter().any(|run| run.contains(&offset))
    }

    /// Whether a record, which has this offset, is done.
    pub(super) fn is_done(&self, index: usize, offset: i64) -> bool {
        self.is_known(offset) || (self.answered.contains(&index) && !self.output_pending.contains(&index))
    }

    /// A new assignment, or none.
    pub(super) fn begin(&mut self, seq: Option<u64>) {
        *self = Self { last_seq: self.last_seq, seq, ..Self::default() };
    }
}

/// One line of a replayed schedule.
pub(super) fn describe(event: &Event) -> String {
    match event {
        Event::Records { tp, seq, arena, range, at_once } => {
            let offsets: Vec<i64> = range.clone().map(|index| arena.offset(index)).collect();
            format!("Records {} seq {seq} {offsets:?} {at_once:?}", tp.0)
        }
        other => format!("{other:?}"),
    }
}
