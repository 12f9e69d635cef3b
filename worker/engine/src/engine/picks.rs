//! Who is started next.
//!
//! Ready lanes are served round-robin over partitions. Retries take at most a quarter of the slots while fresh work waits.
//! What was in flight when a connection broke runs beside others only with no other such suspect, and alone in flight if that did not
//! clear it: it takes turns with the others for that. What was in a batch that failed runs in halves of it, down to a call of its own.
//! While the circuit is open or the fuse blown, fresh records go first, and where there are none the other kinds take turns.

use super::{Engine, Group, Member};
use crate::calls::Kind;
use crate::lanes::LaneId;
use crate::ledger::{Entry, State};
use crate::partition::{Partition, Phase, Queue};
use crate::room::Room;
use crate::seam::Tp;
use crate::solitude::Solitude;
use crate::time::Instant;
use crate::timers::Alarm;

/// Times a suspect may break in company before it runs alone.
const SUSPICION_IN_COMPANY: u32 = 1;

/// Kinds of records that are probes where there are no fresh ones: retries, batches that failed, suspects, and those that have to be alone.
const PROBE_KINDS: u8 = 4;

/// While fresh work waits, retries take one slot, or where there are fewer slots one turn, in so many.
const RETRIES_SHARE: u32 = 4;

/// What the next call is made of.
pub(super) enum Picked {
    One(One),
    Group(Vec<Member>, Kind),
}

/// A record that may be called.
#[derive(Clone, Copy)]
pub(super) struct One {
    pub(super) tp: Tp,
    pub(super) seq: u64,
    pub(super) kind: Kind,
}

/// What suspects have to say to a free slot.
enum Alone {
    Start(Member),
    /// It is their turn, and others are in flight: let them end.
    Wait,
    /// It is not their turn, or none is there.
    Pass,
}

impl Member {
    fn as_one(self, kind: Kind) -> Picked {
        Picked::One(One { tp: self.tp, seq: self.seq, kind })
    }
}

impl Engine {
    /// Lets the rota know that a partition may have something to start.
    pub(super) fn wake(&mut self, tp: Tp) {
        let partition = &mut self.partitions[tp.index()];
        let (fresh, again) = (partition.fresh.is_untold(), partition.again.is_untold());
        let suspects = !partition.suspects.is_empty();
        if !(fresh || again || suspects) || !partition.may_start() {
            return;
        }
        if suspects {
            return self.wake_suspects(tp);
        }
        if fresh {
            partition.fresh.in_rota = true;
            self.fresh.push_back(tp);
        }
        if again {
            partition.again.in_rota = true;
            self.again.push_back(tp);
        }
    }

    fn wake_suspects(&mut self, tp: Tp) {
        let partition = &mut self.partitions[tp.index()];
        let epoch = partition.epoch;
        for seq in core::mem::take(&mut partition.suspects) {
            self.queue_suspects(Group { members: vec![Member { tp, epoch, seq }], broken: true });
        }
        self.wake(tp);
    }

    /// Queues the records of a lane that may be called now.
    pub(super) fn offer(&mut self, tp: Tp, lane: LaneId) {
        let overlap = self.may_overlap();
        self.partitions[tp.index()].offer(lane, overlap);
        self.wake(tp);
    }

    /// A record's back-off has passed.
    pub(super) fn retry_due(&mut self, member: Member) {
        let Member { tp, seq, .. } = member;
        let Some(suspected) = self.make_ready(member, false) else { return };
        if suspected {
            self.queue_suspects(Group { members: vec![member], broken: true });
        } else {
            self.partitions[tp.index()].again.seqs.push_back(seq);
            self.wake(tp);
        }
    }

    /// A group's back-off has passed.
    pub(super) fn group_due(&mut self, id: u64) {
        let Some(mut group) = self.waiting.remove(&id) else { return };
        group.members.retain(|member| self.make_ready(*member, true).is_some());
        match (group.members.is_empty(), group.broken) {
            (true, _) => {}
            (false, true) => self.queue_suspects(group),
            (false, false) => self.groups.push_back(group),
        }
    }

    /// Lets a group wait.
    pub(super) fn group_waits(&mut self, group: Group, until: Instant) {
        self.group_number += 1;
        self.waiting.insert(self.group_number, group);
        self.timers.set(until, Alarm::Group(self.group_number));
    }

    /// Members that found no room in their call run after it.
    pub(super) fn return_group(&mut self, members: Vec<Member>, kind: Kind) {
        match kind {
            Kind::Suspect => self.queue_suspects(Group { members, broken: true }),
            _ => self.groups.push_back(Group { members, broken: false }),
        }
    }

    /// Whether a record waits for nothing but a slot.
    pub(super) fn has_ready(&self) -> bool {
        let plain = !self.fresh.is_empty() || !self.again.is_empty();
        plain || !self.groups.is_empty() || !self.suspects.is_empty() || !self.loners.is_empty()
    }

    /// Queues what was in flight when a connection broke.
    fn queue_suspects(&mut self, group: Group) {
        match group.members.as_slice() {
            [member] if self.suspicion(*member) > SUSPICION_IN_COMPANY => self.loners.push_back(*member),
            _ => self.suspects.push_back(group),
        }
    }

    fn suspicion(&self, member: Member) -> u32 {
        let partition = &self.partitions[member.tp.index()];
        let trouble = partition.ledger.get(member.seq).and_then(|entry| partition.troubles.get(entry.offset));
        trouble.map_or(0, |trouble| trouble.suspicion)
    }

    pub(super) fn pick(&mut self, now: Instant) -> Option<Picked> {
        if self.probes() {
            return self.pick_probe();
        }
        if self.all_are_plain() {
            return self.pick_plain().map(Picked::One);
        }
        match self.pick_loner(now) {
            Alone::Start(loner) => return Some(loner.as_one(Kind::Solo)),
            Alone::Wait => return None,
            Alone::Pass => {}
        }
        let picked = self.pick_other();
        let idle = picked.is_none() && self.calls.len() == 0;
        // What is being written may have another record behind it.
        let forfeit = self.solitude.is_forfeited(idle && self.forwards.len() == 0, now);
        // Or no turn is on, for the first of them found out just now that it has to be alone.
        if idle
            && (forfeit || self.solitude == Solitude::Unwanted)
            && let Alone::Start(loner) = self.pick_loner(now)
        {
            return Some(loner.as_one(Kind::Solo));
        }
        picked
    }

    /// Whether nothing waits that has to be alone, or in certain company, nor has had to just now: a short cut, past questions that all
    /// have one answer then.
    fn all_are_plain(&self) -> bool {
        let none = self.loners.is_empty() && self.suspects.is_empty() && self.groups.is_empty();
        none && self.solitude == Solitude::Unwanted
    }

    /// Whether the circuit is open or the fuse blown, so that what is started is a probe.
    pub(super) fn probes(&self) -> bool {
        self.circuit.is_open().is_some() || self.fuse.is_blown().is_some()
    }

    /// A probe asks about the processor; a record that broke a connection, or that the fuse has spared, would tell about itself. Where
    /// there are only such, each kind is asked in turn, or one record could be the only probe for ever.
    fn pick_probe(&mut self) -> Option<Picked> {
        let mut probe = self.next_of(Kind::Fresh).map(Picked::One);
        for _ in 0..PROBE_KINDS {
            if probe.is_some() {
                break;
            }
            self.probe_kind = (self.probe_kind + 1) % PROBE_KINDS;
            probe = match self.probe_kind {
                0 => self.next_of(Kind::Again).map(Picked::One),
                1 => self.pick_group(),
                2 if self.taken.suspects == 0 => self.pick_suspects(),
                3 if self.calls.len() == 0 => {
                    let loner = self.first_loner().and_then(|index| self.loners.remove(index));
                    loner.map(|loner| loner.as_one(Kind::Solo))
                }
                _ => None,
            };
        }
        probe
    }

    /// Whoever need not be alone.
    fn pick_other(&mut self) -> Option<Picked> {
        if self.taken.suspects == 0
            && let Some(suspects) = self.pick_suspects()
        {
            return Some(suspects);
        }
        let retries_first = self.fresh.is_empty() || self.retries_may_start();
        let group = if retries_first { self.pick_group() } else { None };
        group.or_else(|| self.pick_plain().map(Picked::One)).or_else(|| self.pick_group())
    }

    /// A retry or a fresh record.
    pub(super) fn pick_plain(&mut self) -> Option<One> {
        let retries_first = !self.again.is_empty() && self.retries_may_start();
        let (first, second) = if retries_first { (Kind::Again, Kind::Fresh) } else { (Kind::Fresh, Kind::Again) };
        self.next_of(first).or_else(|| self.next_of(second))
    }

    /// The next of the partitions' fresh records, or of their retries, that may start.
    fn next_of(&mut self, kind: Kind) -> Option<One> {
        loop {
            let rota = if kind == Kind::Fresh { &mut self.fresh } else { &mut self.again };
            let tp = rota.pop_front()?;
            let partition = &mut self.partitions[tp.index()];
            let (picked, more) = partition.pick(kind, self.room);
            if more {
                rota.push_back(tp);
            }
            match picked {
                Some(seq) => return Some(One { tp, seq, kind }),
                None => self.counters.starts_deferred += u64::from(!partition.queue_of(kind).seqs.is_empty()),
            }
        }
    }

    fn retries_may_start(&self) -> bool {
        let share = self.limiter.limit() / RETRIES_SHARE;
        let fresh_before = self.taken.fresh_in_a_row;
        if share > 0 { self.taken.again + self.taken.suspects < share } else { fresh_before >= RETRIES_SHARE - 1 }
    }

    /// The next of those that have to be alone.
    fn pick_loner(&mut self, now: Instant) -> Alone {
        if self.solitude.is_the_others(now) {
            return Alone::Pass;
        }
        let Some(index) = self.first_loner() else {
            if self.loners.is_empty() || self.solitude.is_the_suspects() {
                self.solitude.unwanted(now);
            }
            return Alone::Pass;
        };
        let idle = self.calls.len() == 0;
        match (self.solitude.holds(idle, now), idle) {
            (false, _) => Alone::Pass,
            (true, false) => Alone::Wait,
            (true, true) => self.loners.remove(index).map_or(Alone::Pass, Alone::Start),
        }
    }

    /// The first of those that have to be alone and may start: the one at the frontier may stand behind others.
    fn first_loner(&mut self) -> Option<usize> {
        let mut index = 0;
        while let Some(member) = self.loners.get(index).copied() {
            if !self.is_apart(member) {
                self.loners.remove(index);
            } else if self.may_start(member) && self.has_room(member) {
                return Some(index);
            } else {
                index += 1;
            }
        }
        None
    }

    /// The first of those that may run beside others.
    fn pick_suspects(&mut self) -> Option<Picked> {
        let mut index = 0;
        while index < self.suspects.len() {
            let Some(members) = self.startable(self.suspects[index].members.clone()) else {
                index += 1;
                continue;
            };
            self.suspects.remove(index);
            match members.as_slice() {
                [] => {}
                // The others of its group are done.
                [member] if self.suspicion(*member) > SUSPICION_IN_COMPANY => self.loners.push_back(*member),
                [member] => return Some(member.as_one(Kind::Suspect)),
                _ => return Some(Picked::Group(members, Kind::Suspect)),
            }
        }
        None
    }

    fn pick_group(&mut self) -> Option<Picked> {
        let mut index = 0;
        while index < self.groups.len() {
            let Some(members) = self.startable(self.groups[index].members.clone()) else {
                index += 1;
                continue;
            };
            self.groups.remove(index);
            if !members.is_empty() {
                return Some(Picked::Group(members, Kind::Again));
            }
        }
        None
    }

    /// Those of a group that are still to be run. `None` if it has to wait: its partition may not start, or the checkpoint has no room.
    fn startable(&mut self, mut group: Vec<Member>) -> Option<Vec<Member>> {
        group.retain(|member| self.is_apart(*member));
        if !group.iter().all(|member| self.may_start(*member)) {
            return None;
        }
        if !group.is_empty() {
            // The record at a frontier leads its group: there is always room for it.
            let leader = group.iter().position(|member| self.has_room(*member))?;
            group.swap(0, leader);
        }
        Some(group)
    }

    /// Whether a record of one of the engine's queues is still to be run.
    fn is_apart(&self, member: Member) -> bool {
        let partition = &self.partitions[member.tp.index()];
        let apart = partition.ledger.get(member.seq).is_some_and(|entry| entry.state == State::Apart);
        partition.epoch == member.epoch && partition.phase == Phase::Flowing && apart
    }

    fn may_start(&self, member: Member) -> bool {
        self.partitions[member.tp.index()].may_start()
    }

    /// Whether the checkpoint has room for what a start of the record could add.
    pub(super) fn has_room(&mut self, member: Member) -> bool {
        let partition = &mut self.partitions[member.tp.index()];
        let first = partition.ledger.first() == Some(member.seq);
        let Some(offset) = partition.ledger.get(member.seq).map(|entry| entry.offset) else { return false };
        first || self.room.admits(partition, offset)
    }

    /// Marks a waiting record, of a group or by itself, as ready. Returns whether it is under suspicion; `None` if it is gone, or it is not its
    /// turn in its lane: another one runs, or an output before it could not be written, or was refused, and that record has to be called
    /// again before this one.
    fn make_ready(&mut self, member: Member, grouped: bool) -> Option<bool> {
        let overlap = self.may_overlap();
        let partition = &mut self.partitions[member.tp.index()];
        if partition.epoch != member.epoch || partition.phase != Phase::Flowing {
            return None;
        }
        let entry = partition.ledger.get(member.seq).filter(|entry| entry.state == State::Waiting)?;
        let (offset, lane) = (entry.offset, entry.lane);
        if !partition.may_be_called(lane, member.seq, overlap) {
            partition.ledger.set(member.seq, State::Queued); // until its turn comes
            return None;
        }
        let suspected = partition.troubles.get(offset).is_some_and(|trouble| trouble.suspicion > 0);
        partition.ledger.set(member.seq, if grouped || suspected { State::Apart } else { State::Ready });
        Some(suspected)
    }
}

impl Partition {
    /// The next entry of a queue that may start, and whether the queue has more.
    fn pick(&mut self, kind: Kind, room: Room) -> (Option<u64>, bool) {
        let startable = self.may_start();
        let picked = if startable { self.pop(kind, room) } else { None };
        let queue = self.queue_of(kind);
        let more = picked.is_some() && !queue.seqs.is_empty();
        queue.in_rota = more;
        (picked, more)
    }

    fn pop(&mut self, kind: Kind, room: Room) -> Option<u64> {
        while let Some(seq) = self.queue_of(kind).seqs.front().copied() {
            let Some(offset) = self.ready(seq, kind) else {
                self.queue_of(kind).seqs.pop_front(); // started out of turn as the record at the frontier, or held back
                continue;
            };
            if self.ledger.first() == Some(seq) || room.admits(self, offset) {
                self.queue_of(kind).seqs.pop_front();
                return Some(seq);
            }
            // In its place the record at the frontier, for which there always is room.
            return self.ledger.first().filter(|first| self.ready(*first, kind).is_some());
        }
        None
    }

    /// Whether a record may be in the same batch as the one before it in its lane.
    pub(super) fn may_follow(&mut self, seq: u64, room: Room) -> bool {
        let plain = |entry: &&Entry| entry.state == State::Queued && !entry.troubled;
        let Some(offset) = self.ledger.get(seq).filter(plain).map(|entry| entry.offset) else { return false };
        // Of a parked key only the letter that is due may run, and which one that is shows when the one before it is done.
        let parked = self.keyed(seq).is_some_and(|(_, key, _)| self.parking.has(key));
        !parked && room.admits(self, offset)
    }

    /// The offset of a record that may be started by this right. A retry is never a fresh one, whatever place it may still have among those:
    /// it would be the probe each time, where fresh ones go first.
    fn ready(&self, seq: u64, kind: Kind) -> Option<i64> {
        let ready = |entry: &&Entry| entry.state == State::Ready && (kind == Kind::Again || !entry.troubled);
        self.ledger.get(seq).filter(ready).map(|entry| entry.offset)
    }

    fn queue_of(&mut self, kind: Kind) -> &mut Queue {
        if kind == Kind::Fresh { &mut self.fresh } else { &mut self.again }
    }
}
