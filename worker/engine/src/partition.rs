//! Everything the engine keeps of one partition.

use core::ops::Range;
use std::collections::VecDeque;
use std::sync::Arc;

use penstock_crds::checkpoint::{ErrorClass, Hold, HoldReason, Lost};

use crate::backoff::Jitter;
use crate::calls::Claim;
use crate::hash;
use crate::lanes::{LaneId, Lanes};
use crate::ledger::{Ledger, State};
use crate::parking::Parking;
use crate::seam::{Assignment, CommitId, Page, PartitionRole, TopicId};
use crate::time::Instant;
use crate::troubles::Troubles;
use crate::usage::Usage;

/// Where a partition stands in an assignment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Not ours.
    Unowned,
    /// Ours; its checkpoint is being read.
    Loading,
    /// Ours; records flow.
    Flowing,
    /// Ours, but its offset is gone and a human must decide.
    Stopped,
    /// Wanted back: no new starts.
    Draining,
}

/// A partition. It stays in the engine's table for good: lanes, and what earlier calls hold of them, outlive assignments.
#[derive(Debug)]
pub(crate) struct Partition {
    pub(crate) topic: Arc<str>,
    pub(crate) number: i32,
    pub(crate) role: PartitionRole,
    pub(crate) phase: Phase,
    /// The shell's number of the assignment.
    pub(crate) seq: u64,
    /// Counts the ledgers of this partition, so that alarms of an older one ring unheard.
    pub(crate) epoch: u32,
    pub(crate) log: Log,
    pub(crate) ledger: Ledger,
    pub(crate) lanes: Lanes,
    pub(crate) fresh: Queue,
    pub(crate) again: Queue,
    /// Entries that may start and broke a connection before: they are for the engine's queues.
    pub(crate) suspects: Vec<u64>,
    pub(crate) troubles: Troubles,
    pub(crate) parking: Parking,
    /// Done by calls of earlier assignments, not received yet.
    pub(crate) facts: Vec<Fact>,
    /// Claims of earlier assignments that have not ended.
    pub(crate) stale_claims: u32,
    pub(crate) commits: Commits,
    pub(crate) owner: u64,
    /// Bytes the shell may still hand over.
    pub(crate) credit: u64,
    /// Whether the engine will look at whether it gets more.
    pub(crate) may_get_credit: bool,
    pub(crate) usage: Usage,
    /// Claims of this assignment at the producer.
    pub(crate) forwarding: u32,
    pub(crate) hold: Option<Held>,
}

/// Why nothing of the partition is delivered, or not all.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    pub(crate) reason: HoldReason,
    pub(crate) class: ErrorClass,
    pub(crate) since: Instant,
    pub(crate) lost: Option<Lost>,
}

/// Whose log the ledger speaks of.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log {
    pub(crate) cluster_id: Arc<str>,
    pub(crate) topic_id: TopicId,
    /// Rises whenever offsets begin to mean other records.
    pub(crate) generation: u32,
}

/// Entries that may start, and whether the engine's rota knows.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    pub(crate) seqs: VecDeque<u64>,
    pub(crate) in_rota: bool,
}

/// A record that was done under an earlier assignment of this process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fact {
    pub(crate) offset: i64,
    /// The hash of its lane.
    pub(crate) lane: u64,
    pub(crate) leader_epoch: i32,
    pub(crate) log: u32,
}

/// How far this partition is committed.
#[derive(Debug)]
pub(crate) struct Commits {
    /// The coordinator has our owner number: starts are allowed.
    pub(crate) owner_known: bool,
    /// Highest offset acknowledged, or found at the start.
    pub(crate) acknowledged: i64,
    /// The commit under way. Never more than one: replies may be late, commits may not overtake each other.
    pub(crate) under_way: Option<UnderWay>,
    /// Something beside the frontier has changed since the last commit.
    pub(crate) changed: bool,
    pub(crate) last_sent: Instant,
    pub(crate) not_before: Instant,
    pub(crate) failures: u32,
    /// When the oldest commit was sent that no later one was acknowledged after.
    pub(crate) unanswered_since: Option<Instant>,
    /// Commits before the last one whose answer never came: the coordinator may take them yet.
    pub(crate) given_up: u32,
    pub(crate) fence: Fence,
}

/// Whether nothing may start, for another member may own the partition by now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fence {
    /// It is ours.
    Open,
    /// We had nothing to commit for long, and have asked.
    Asked,
    /// Commits go unanswered, or we slept.
    Closed,
}

#[derive(Clone, Debug)]
pub(crate) struct UnderWay {
    pub(crate) id: CommitId,
    pub(crate) offset: i64,
    pub(crate) chars: usize,
    pub(crate) sent: Instant,
    /// The log that it speaks of.
    pub(crate) log: u32,
}

impl Queue {
    /// Whether there is something to start that the rota does not know of.
    pub(crate) fn is_untold(&self) -> bool {
        !self.in_rota && !self.seqs.is_empty()
    }
}

impl Partition {
    /// A place in the table for a partition that is not ours.
    pub(crate) fn unowned() -> Self {
        Self {
            topic: "".into(),
            number: 0,
            role: PartitionRole::Source,
            phase: Phase::Unowned,
            seq: 0,
            epoch: 0,
            log: Log::default(),
            ledger: Ledger::new(0, -1, Vec::new()),
            lanes: Lanes::default(),
            fresh: Queue::default(),
            again: Queue::default(),
            suspects: Vec::new(),
            troubles: Troubles::default(),
            parking: Parking::default(),
            facts: Vec::new(),
            stale_claims: 0,
            commits: Commits::new(0),
            owner: 0,
            credit: 0,
            may_get_credit: false,
            usage: Usage::default(),
            forwarding: 0,
            hold: None,
        }
    }

    /// Takes the name of an assignment.
    pub(crate) fn assign(&mut self, assignment: Assignment, seq: u64) {
        (self.topic, self.number, self.role) = (assignment.topic, assignment.partition, assignment.role);
        (self.phase, self.seq) = (Phase::Loading, seq);
        self.facts.clear();
    }

    /// Begins a ledger at an offset; queues, commits and usage begin anew with it.
    pub(crate) fn open(&mut self, mut ledger: Ledger, troubles: Troubles) {
        ledger.spare_max = self.ledger.spare_max;
        self.commits = Commits::new(ledger.frontier());
        (self.ledger, self.troubles) = (ledger, troubles);
        self.parking = Parking::default();
        self.usage = self.usage.anew();
        self.fresh.seqs.clear();
        self.again.seqs.clear();
        self.suspects.clear();
        self.hold = None;
    }

    /// Whether records of it may be started.
    pub(crate) fn may_start(&self) -> bool {
        self.phase == Phase::Flowing && self.commits.owner_known && self.commits.fence == Fence::Open
    }

    /// Whether nothing is known of records that have not come yet, nor of when they are due, and no call of an earlier assignment has a lane.
    pub(crate) fn is_unprejudiced(&self) -> bool {
        let known = !self.facts.is_empty() || !self.troubles.is_empty() || self.ledger.has_carried();
        !known && self.stale_claims == 0 && self.role == PartitionRole::Source
    }

    /// Passes over records of a page that are done, or have come before. Returns how many have not.
    pub(crate) fn pass_over(&mut self, page: &Page, places: Range<u32>) -> u32 {
        let mut new = 0;
        for index in places {
            let offset = page.offset(index);
            if !self.ledger.is_past(offset) {
                self.ledger.push_done(offset, page.leader_epoch(index));
                new += 1;
            }
        }
        new
    }

    /// Which consumer group gave it: 0 for the source's, 1 for the delay topics'.
    pub(crate) fn group(&self) -> usize {
        usize::from(self.role != PartitionRole::Source)
    }

    /// Whether claims of this assignment are still out.
    pub(crate) fn is_quiet(&self) -> bool {
        self.usage.in_flight == 0 && self.forwarding == 0
    }

    /// Whether there is anything to commit.
    pub(crate) fn wants_commit(&self) -> bool {
        self.commits.changed || self.ledger.frontier() > self.commits.acknowledged
    }

    /// Whether a commit may be sent: the ledger is known and the last one answered.
    pub(crate) fn may_commit(&self, now: Instant) -> bool {
        let open = matches!(self.phase, Phase::Flowing | Phase::Stopped | Phase::Draining);
        open && self.commits.under_way.is_none() && now >= self.commits.not_before
    }

    /// What the jitter of this record's waits depends on.
    pub(crate) fn jitter(&self, offset: i64) -> Jitter {
        let place = hash::with(hash::of_bytes(self.topic.as_bytes()), u64::from(self.number.cast_unsigned()));
        Jitter { place, offset }
    }

    /// Lets an entry that may run now queue for a slot.
    pub(crate) fn queue(&mut self, seq: u64) {
        let Some(entry) = self.ledger.get_mut(seq) else { return };
        let trouble = if entry.troubled { self.troubles.get(entry.offset) } else { None };
        let suspected = trouble.is_some_and(|trouble| trouble.suspicion > 0);
        entry.state = if suspected { State::Apart } else { State::Ready };
        match (suspected, entry.troubled) {
            (true, _) => self.suspects.push(seq),
            (false, true) => self.again.seqs.push_back(seq),
            (false, false) => self.fresh.seqs.push_back(seq),
        }
    }

    /// Queues the record of a lane that may be called: its first, or, where calls may overlap writes, the one behind outputs that the producer has.
    pub(crate) fn offer(&mut self, lane: LaneId, overlap: bool) {
        if lane == LaneId::NONE || self.lanes.is_shut(lane) {
            return;
        }
        if let Some(head) = self.lanes.head(lane) {
            self.offer_entry(head);
        }
        if overlap && let Some(next) = self.lanes.put_out(lane).and_then(|last| self.ledger.following(last)) {
            self.offer_entry(next);
        }
    }

    fn offer_entry(&mut self, seq: u64) {
        if self.ledger.get(seq).is_some_and(|entry| entry.state == State::Queued) {
            self.queue(seq);
        }
    }

    /// Whether an entry of a lane may be called: it is its turn, and nothing of the lane runs.
    pub(crate) fn may_be_called(&self, lane: LaneId, seq: u64, overlap: bool) -> bool {
        let turn = if overlap { self.is_next_to_put_out(lane, seq) } else { self.is_first(lane, seq) };
        turn && !self.lanes.is_shut(lane)
    }

    /// Marks an entry done and opens its lane to the next, which is returned if it is a forward that waited for that.
    pub(crate) fn complete(&mut self, seq: u64) -> Option<u64> {
        let entry = self.ledger.get(seq).filter(|entry| entry.state != State::Done)?;
        let (lane, offset, troubled) = (entry.lane, entry.offset, entry.troubled);
        let next = (lane != LaneId::NONE && self.lanes.head(lane) == Some(seq)).then(|| self.ledger.following(seq));
        // What is behind one that was discarded behind outputs is behind those outputs.
        if next.is_none() && lane != LaneId::NONE && self.is_next_to_put_out(lane, seq) {
            self.lanes.set_put_out(lane, Some(seq));
        }
        self.ledger.done(seq);
        if troubled {
            self.troubles.remove(offset);
            self.mend_room_for_keys();
        }
        self.usage.processed += 1;
        self.commits.changed = true;
        let free = self.lanes.advance(lane, next?)?;
        self.open_lane(free)
    }

    /// A lane's head may go on: into the queue, or, where what a key puts out had to keep its order, to the producer, or to be done.
    pub(crate) fn open_lane(&mut self, head: u64) -> Option<u64> {
        let entry = self.ledger.get(head)?;
        match entry.state {
            State::Queued if !self.lanes.is_shut(entry.lane) => self.queue(head),
            State::Unsent | State::Written => return Some(head),
            _ => {}
        }
        None
    }

    /// Whether nothing stands before an entry in its lane but outputs that the producer has. It keeps the order in which it gets them, so
    /// that nobody need wait until they are confirmed.
    pub(crate) fn is_next_to_put_out(&self, lane: LaneId, seq: u64) -> bool {
        self.is_first(lane, seq) || self.lanes.put_out(lane).and_then(|last| self.ledger.following(last)) == Some(seq)
    }

    /// The producer has an entry's output. Returns the next one of its lane if that is to be written too.
    pub(crate) fn put_out(&mut self, lane: LaneId, seq: u64) -> Option<u64> {
        self.lanes.set_put_out(lane, Some(seq));
        let unsent = |next: &u64| self.ledger.get(*next).is_some_and(|entry| entry.state == State::Unsent);
        self.ledger.following(seq).filter(unsent)
    }

    /// An entry's output could not be written: nothing of its lane goes ahead of it any more, nor a call that has not begun.
    pub(crate) fn hold_back(&mut self, lane: LaneId, seq: u64) {
        let Some(last) = self.lanes.put_out(lane).filter(|last| *last >= seq) else { return };
        self.lanes.set_put_out(lane, None);
        let ready =
            |next: &u64| self.ledger.get(*next).is_some_and(|entry| matches!(entry.state, State::Ready | State::Apart));
        if let Some(next) = self.ledger.following(last).filter(ready).filter(|next| !self.is_first(lane, *next)) {
            self.ledger.set(next, State::Queued); // its place in a queue says nothing any more
        }
    }

    /// Entries behind one in its lane that the producer has or had, up to the first that it does not have.
    pub(crate) fn forwarded_behind(&self, seq: u64) -> impl Iterator<Item = u64> {
        let written = |seq: &u64| {
            self.ledger.get(*seq).is_some_and(|entry| matches!(entry.state, State::Forwarding | State::Written))
        };
        core::iter::successors(self.ledger.following(seq), |seq| self.ledger.following(*seq)).take_while(written)
    }

    /// Whether nothing stands before an entry in its lane.
    pub(crate) fn is_first(&self, lane: LaneId, seq: u64) -> bool {
        lane == LaneId::NONE || self.lanes.head(lane) == Some(seq)
    }

    /// The entry of the record that the claim is on, if it still has to be done.
    pub(crate) fn same_record(&self, claim: &Claim) -> Option<u64> {
        let seq = self.ledger.find(claim.offset)?;
        let same = claim.log == self.log.generation && claim.leader_epoch == self.ledger.epoch_at(claim.offset);
        let idle = |state| matches!(state, State::Queued | State::Ready | State::Apart | State::Waiting);
        (same && idle(self.ledger.get(seq)?.state)).then_some(seq)
    }

    /// Ends an assignment. Call with every claim on this partition afterwards: [`Partition::hold_lane`].
    pub(crate) fn close(&mut self) -> Lanes {
        self.epoch += 1;
        self.phase = Phase::Unowned;
        self.open(Ledger::new(0, -1, Vec::new()), Troubles::default());
        self.facts.clear();
        (self.stale_claims, self.forwarding, self.credit) = (0, 0, 0);
        core::mem::take(&mut self.lanes)
    }

    /// Shuts the lane of a claim of the assignment that ends here, in the new table of lanes.
    pub(crate) fn hold_lane(&mut self, claim: &mut Claim, old: &Lanes) {
        claim.lane = self.lanes.hold(lane_hash(claim, old));
        claim.stale = true;
        self.stale_claims += 1;
    }

    /// A number for the lane of a claim; a record without a lane is one of its own.
    pub(crate) fn lane_hash(&self, claim: &Claim) -> u64 {
        lane_hash(claim, &self.lanes)
    }

    /// Whether a call of an earlier assignment did this record; told once.
    pub(crate) fn take_fact(&mut self, offset: i64, leader_epoch: i32) -> bool {
        let log = self.log.generation;
        let same = |fact: &Fact| fact.offset == offset && fact.leader_epoch == leader_epoch && fact.log == log;
        let known = self.facts.iter().any(same);
        if known {
            self.facts.retain(|fact| fact.offset > offset);
        }
        known
    }

    /// The record at this offset has to be done again: so have those behind it in its lane. What is said of those before it says nothing any
    /// more: they would have come.
    pub(crate) fn forget_facts(&mut self, offset: i64, hash: Option<u64>) {
        self.facts.retain(|fact| fact.offset > offset && Some(fact.lane) != hash);
    }

    /// Whether nothing before the record of a claim of an earlier assignment is left to do in its lane.
    pub(crate) fn is_first_left(&self, claim: &Claim) -> bool {
        let first = self.lanes.head(claim.lane).and_then(|head| self.ledger.get(head));
        first.is_none_or(|entry| entry.offset >= claim.offset)
    }

    /// The hold as the checkpoint tells it.
    pub(crate) fn hold_told(&self, now: Instant) -> Option<Hold> {
        let told = |held: Held| {
            let Held { reason, class, since, lost } = held;
            Hold { reason, class, seconds: now.since(since).as_secs(), lost }
        };
        self.hold.map(told).or_else(|| self.held_by_an_outage(now))
    }

    /// Where a partition is one lane, or nearly, an outage does not trip the circuit: its first record tells.
    fn held_by_an_outage(&self, now: Instant) -> Option<Hold> {
        let trouble = self.troubles.get(self.ledger.frontier())?;
        let class = trouble.outage()?;
        Some(Hold { reason: HoldReason::CircuitOpen, class, seconds: trouble.age(now).as_secs(), lost: None })
    }
}

impl Commits {
    fn new(offset: i64) -> Self {
        Self {
            owner_known: false,
            acknowledged: offset,
            under_way: None,
            changed: true,
            last_sent: Instant::ZERO,
            not_before: Instant::ZERO,
            failures: 0,
            unanswered_since: None,
            given_up: 0,
            fence: Fence::Open,
        }
    }
}

fn lane_hash(claim: &Claim, lanes: &Lanes) -> u64 {
    if claim.lane == LaneId::NONE { of_offset(claim.offset) } else { lanes.hash(claim.lane) }
}

/// The lane by which a stale claim on a record without a lane is found again.
pub(crate) fn of_offset(offset: i64) -> u64 {
    hash::with(0x6f66_6673_6574, offset.cast_unsigned())
}
