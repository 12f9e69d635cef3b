//! The engine's door: one event in, effects out.

mod answers;
mod assignments;
mod at_once;
mod commits;
mod drains;
mod forwarding;
mod intake;
mod parked;
mod picks;
mod starts;

use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};

use crate::calls::Calls;
use crate::circuit::Circuit;
use crate::counters::Counters;
use crate::forwards::Forwards;
use crate::fuse::Fuse;
use crate::limiter::Limiter;
use crate::partition::{Partition, Phase};
use crate::policy::Policy;
use crate::room::Room;
use crate::seam::{CallId, Effect, Event, Tp};
use crate::solitude::Solitude;
use crate::time::Instant;
use crate::timers::{Alarm, Timers};
use crate::views::{EngineView, PartitionView};
use crate::wrong::Wrong;
use drains::Drain;

/// A worker's whole delivery state.
#[derive(Debug)]
pub struct Engine {
    policy: Policy,
    /// By the shell's number.
    partitions: Vec<Partition>,
    calls: Calls,
    forwards: Forwards,
    timers: Timers,
    counters: Counters,
    /// Partitions with fresh records that may start, each once, in turn.
    fresh: VecDeque<Tp>,
    /// Partitions with due retries, each once, in turn.
    again: VecDeque<Tp>,
    /// In flight when a connection broke: to run beside others, one such call at a time.
    suspects: VecDeque<Group>,
    /// In flight when a connection broke, and again in that company: to run with nothing else in flight.
    loners: VecDeque<Member>,
    /// In a batch that failed as a whole.
    groups: VecDeque<Group>,
    /// Groups whose back-off runs, by number.
    waiting: BTreeMap<u64, Group>,
    group_number: u64,
    /// Records of calls that have not ended yet, of which some failed together, and how long they wait at least.
    failed_together: Vec<(CallId, Member, Duration)>,
    /// Lanes of calls that have not ended yet, of which a record was not taken.
    stopped_lanes: Vec<(CallId, Tp, u64)>,
    /// Forwards that were held back, or written, before all before them in their lane were done.
    released: Vec<(Tp, u64)>,
    /// Until when a batch waits for more records.
    batch_due: Option<Instant>,
    /// Slots by the right they were taken.
    taken: Taken,
    solitude: Solitude,
    /// The kind of record that was the last probe, see `picks`.
    probe_kind: u8,
    circuit: Circuit,
    fuse: Fuse,
    limiter: Limiter,
    /// Places in the producer.
    forward_room: u32,
    drains: Vec<Drain>,
    /// Set by [`Event::Drain`], never taken back.
    shutting_down: bool,
    processor: Processor,
    paused: bool,
    room: Room,
    /// Something waits for the next round of commits.
    uncommitted: bool,
    next_round: Instant,
    /// When some partition will have waited too long for an acknowledged commit.
    fence_at: Instant,
    /// With the source's group, and the delay topics'.
    contact: [Contact; 2],
    last_turn: Instant,
    commit_number: u64,
    /// Partitions whose credit may be due.
    creditors: Vec<Tp>,
    /// Bytes a partition may hold.
    window: u64,
    /// Bytes held and granted, below which a partition gets more.
    credit_mark: u64,
    #[cfg(test)]
    pub(crate) wrong: Option<Wrong>,
}

/// Between us and a consumer group.
#[derive(Clone, Copy, Debug)]
struct Contact {
    /// When we sent it the last commit.
    spoke: Instant,
    /// When we sent it the last one of those that it acknowledged: we were a member then.
    heard: Instant,
}

/// Records that are tried again together, or alone.
#[derive(Debug)]
struct Group {
    members: Vec<Member>,
    /// A connection broke: whoever is in flight beside them may be the culprit.
    broken: bool,
}

/// A record of a group.
#[derive(Clone, Copy, Debug)]
struct Member {
    tp: Tp,
    epoch: u32,
    seq: u64,
}

/// Slots that are not taken by fresh records.
#[derive(Clone, Copy, Debug, Default)]
struct Taken {
    again: u32,
    suspects: u32,
    solo: bool,
    /// Fresh starts since the last retry: the quarter of the slots, where that is less than one.
    fresh_in_a_row: u32,
}

/// What is known of the processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Processor {
    /// Nobody asked yet.
    Unknown,
    /// A probe is out, or its back-off runs.
    Asked,
    /// It answers.
    Ready,
}

impl Engine {
    /// An engine that owns nothing yet.
    pub fn new(policy: Policy) -> Self {
        let room = Room::of_chars(policy.checkpoint_bytes);
        let limiter = Limiter::new(policy.concurrency);
        let fuse = Fuse::new(policy.fuse.filter(|_| policy.dead_letters()));
        let delayed = if policy.retry.delay_tiers > 0 { Instant::ZERO } else { Instant::NEVER }; // nobody listens for what is not there
        Self {
            policy,
            partitions: Vec::new(),
            calls: Calls::new(),
            forwards: Forwards::default(),
            timers: Timers::default(),
            counters: Counters::default(),
            fresh: VecDeque::new(),
            again: VecDeque::new(),
            suspects: VecDeque::new(),
            loners: VecDeque::new(),
            groups: VecDeque::new(),
            waiting: BTreeMap::new(),
            group_number: 0,
            failed_together: Vec::new(),
            stopped_lanes: Vec::new(),
            released: Vec::new(),
            batch_due: None,
            taken: Taken::default(),
            solitude: Solitude::default(),
            probe_kind: 0,
            circuit: Circuit::default(),
            fuse,
            limiter,
            forward_room: 0,
            drains: Vec::new(),
            shutting_down: false,
            processor: Processor::Unknown,
            paused: false,
            room,
            uncommitted: false,
            next_round: Instant::ZERO,
            fence_at: Instant::NEVER,
            contact: [Instant::ZERO, delayed].map(|since| Contact { spoke: since, heard: since }),
            last_turn: Instant::ZERO,
            commit_number: 0,
            creditors: Vec::new(),
            window: 0,
            credit_mark: 0,
            #[cfg(test)]
            wrong: None,
        }
    }

    /// Takes note of what happened and appends what to do about it. `now` never goes back.
    pub fn on(&mut self, event: Event, now: Instant, effects: &mut Vec<Effect>) {
        self.mind_the_gap(now);
        if self.limiter.turn(self.calls.len(), self.counters.calls, now) {
            self.weigh_slots(now);
        }
        self.ring(now, effects);
        match event {
            Event::Assigned { partitions, seq } => {
                self.assigned(partitions, seq, effects);
                self.weigh_slots(now);
            }
            Event::CheckpointLoaded { tp, seq, result } => self.checkpoint_loaded(tp, seq, result, now, effects),
            Event::Records { tp, seq, arena, range, at_once } => {
                self.records(tp, seq, (&arena, range), at_once, now, effects);
            }
            Event::Position { tp, seq, offset } => self.position(tp, seq, offset),
            Event::OffsetLost { tp, seq, start, end, topic_id } => {
                self.offset_lost(tp, seq, start..end, topic_id, now, effects);
            }
            Event::Finished(finished) => {
                for one in finished {
                    self.finished(one, now, effects);
                }
            }
            Event::Forwarded(forwarded) => {
                for one in forwarded {
                    self.forwarded(one, now, effects);
                }
            }
            Event::ForwardRoom { slots } => self.forward_room = slots,
            Event::Committed { tp, commit, result } => self.committed(tp, commit, result, now, effects),
            Event::Revoking { tps, seq, deadline } => self.revoking(tps, seq, deadline),
            Event::Lost { tps, seq } => self.lost(tps, seq, effects),
            Event::ProcessorHealth { ready } => self.processor_health(ready, now),
            Event::MetadataLimit { bytes } => self.metadata_limit(bytes),
            Event::Tick => {}
            Event::Pause => self.paused = true,
            Event::Resume => self.paused = false,
            Event::Drain { deadline } => self.drain(deadline),
        }
        self.send_released(effects);
        self.advance_drains(now, effects);
        self.fill(now, effects);
        self.commit_round(now, effects);
        self.give_credit(effects);
    }

    /// When to call again with [`Event::Tick`] at the latest; `None` while only events matter.
    pub fn next_wake(&self) -> Option<Instant> {
        let commits = (self.uncommitted || self.calls.len() > 0).then(|| self.round_due());
        let drains = self.drains.iter().map(|drain| self.next_of_drain(drain)).min();
        // A probe that is due and was not started waits for something else.
        let probes = [self.circuit.next_probe(), self.fuse.next_probe()].into_iter().flatten();
        let probe = probes.filter(|at| *at > self.last_turn && self.has_ready()).min();
        let turn = [self.batch_due, self.solitude.next_wake()].into_iter().flatten();
        let turn = turn.filter(|at| *at > self.last_turn).min();
        [self.timers.next(), self.calls.deadline(), commits, drains, probe, turn].into_iter().flatten().min()
    }

    /// Totals since the engine began.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// How the worker stands.
    pub fn view(&self) -> EngineView {
        EngineView {
            in_flight: self.calls.len(),
            concurrency: self.limiter.limit(),
            circuit_open: self.circuit.is_open().map(|(class, _)| class),
            fuse_blown: self.fuse.is_blown().map(|(class, _)| class),
            forwarding: self.forwards.len(),
            suspects: self.suspects.iter().chain(&self.groups).map(|group| group.members.len()).sum::<usize>()
                + self.loners.len()
                + self.taken.suspects as usize,
            checkpoint_chars: self.room.chars(),
        }
    }

    /// How the partitions stand whose checkpoint is known.
    pub fn partitions(&self, now: Instant) -> impl Iterator<Item = PartitionView> {
        (0..).zip(&self.partitions).filter_map(move |(index, partition)| partition.view(Tp(index), now))
    }

    fn weigh_slots(&mut self, now: Instant) {
        let weight = self.limiter.slot_weight();
        for partition in &mut self.partitions {
            partition.usage.weigh(weight, now);
        }
    }

    /// Does what has become due.
    fn ring(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        while let Some(call) = self.calls.expire(now) {
            self.counters.timeouts += 1;
            effects.push(Effect::Cancel { call });
        }
        while let Some(alarm) = self.timers.pop_due(now) {
            match alarm {
                Alarm::Retry { tp, epoch, seq } => self.retry_due(Member { tp, epoch, seq }),
                Alarm::Group(id) => self.group_due(id),
                Alarm::Forward(id) => self.forward_due(id, effects),
                Alarm::Fetch { tp, epoch } => self.fetch_again(tp, epoch, effects),
                Alarm::Commit { tp, epoch } => self.commit_again(tp, epoch),
                Alarm::Probe => self.probe(effects),
            }
        }
    }

    /// The partition, if it has the phase and belongs to that assignment.
    fn owned(&mut self, tp: Tp, seq: u64, phase: Phase) -> Option<&mut Partition> {
        self.partitions.get_mut(tp.index()).filter(|partition| partition.seq == seq && partition.phase == phase)
    }

    /// Whether suspects that have to be alone hold others back.
    #[cfg(test)]
    pub(crate) fn is_the_suspects_turn(&self) -> bool {
        self.solitude.is_the_suspects() || self.taken.solo
    }

    /// Places in the producer that forwards take, those that wait to be repeated too.
    #[cfg(test)]
    pub(crate) fn forwards_out(&self) -> usize {
        self.forwards.len() as usize
    }

    /// Whether records of the partition may be started.
    #[cfg(test)]
    pub(crate) fn is_flowing(&self, tp: Tp) -> bool {
        self.partitions.get(tp.index()).is_some_and(Partition::may_start)
    }

    /// Whether this engine breaks the rule. Only a test's can.
    #[cfg(test)]
    fn breaks(&self, rule: Wrong) -> bool {
        self.wrong == Some(rule)
    }

    #[cfg(not(test))]
    #[expect(clippy::unused_self, reason = "the same call as in tests")]
    const fn breaks(&self, _: Wrong) -> bool {
        false
    }
}
