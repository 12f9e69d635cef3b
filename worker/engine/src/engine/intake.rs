//! Records come in: each finds its lane, or is done already.

use core::ops::Range;
use std::sync::Arc;

use super::Engine;
use crate::hash;
use crate::lanes::{Joined, LaneId};
use crate::ledger::State;
use crate::partition::{Partition, Phase, of_offset};
use crate::policy::Ordering;
use crate::seam::{Arena, AtOnce, Effect, Page, PartitionRole, Tp};
use crate::time::Instant;
use crate::timers::Alarm;
use crate::wrong::Wrong;

/// A partition is given credit once one part in so many of its window is free: not for every record.
const CREDIT_SHARE: u64 = 4;
/// One part in so many of a window may be bytes that pages would give back if they were compacted. Pages that are worked off in their
/// order are let go before it comes to that.
const SPARE_SHARE: u64 = 8;

impl Engine {
    pub(super) fn records(
        &mut self,
        tp: Tp,
        seq: u64,
        (arena, range): (&Arena, Range<u32>),
        at_once: AtOnce,
        now: Instant,
        effects: &mut Vec<Effect>,
    ) {
        let ordering = self.policy.ordering;
        let overlap = self.may_overlap();
        let one_null_lane = self.breaks(Wrong::NullKeysShareALane);
        let wrong = [Wrong::AttemptsLostInDelay, Wrong::StartedBeforeDue].map(|rule| self.breaks(rule));
        let Some(partition) = self.partitions.get_mut(tp.index()) else { return };
        if partition.seq != seq || partition.phase != Phase::Flowing {
            self.counters.stray += u64::from(range.end - range.start);
            return;
        }
        let (mut answered, mut done) = (at_once.records, 0);
        for (page, places) in arena.pages(range) {
            let (records, together) = (places.end - places.start, page.weight_of(places.clone()));
            partition.credit = partition.credit.saturating_sub(together);
            let left = places.start + answered.min(records);
            answered -= left - places.start;
            done += partition.pass_over(page, places.start..left);
            if left == places.end {
                continue; // nothing of the page is needed
            }
            let segment = partition.ledger.add_page(Arc::clone(page));
            for index in left..places.end {
                let (offset, leader_epoch, weight) = (page.offset(index), page.leader_epoch(index), page.weight(index));
                if partition.ledger.is_past(offset) {
                    self.counters.received_again += 1;
                    continue;
                }
                self.counters.received += 1;
                let hash = match (ordering, page.key(index)) {
                    (Ordering::Key, Some(key)) => Some(hash::of_bytes(key)),
                    (Ordering::Key, None) if one_null_lane => Some(1),
                    (Ordering::Partition, _) => Some(0),
                    (Ordering::Key, None) | (Ordering::Unordered, _) => None,
                };
                let fact = !partition.facts.is_empty() && partition.take_fact(offset, leader_epoch);
                if partition.ledger.take_carried(offset) || fact {
                    partition.ledger.push_done(offset, leader_epoch);
                    partition.troubles.remove(offset);
                    partition.commits.changed = true;
                    partition.usage.processed += u64::from(fact);
                    self.uncommitted = true;
                    self.counters.done_before += 1;
                    continue;
                }
                if !partition.facts.is_empty() {
                    partition.forget_facts(offset, hash);
                }
                let arrival = Arrival { page, segment, index, weight, hash, overlap, wrong };
                if let Some(due) = partition.enter(&arrival, now) {
                    let (epoch, seq) = (partition.epoch, due.seq);
                    self.timers.set(due.at, Alarm::Retry { tp, epoch, seq });
                }
            }
            partition.ledger.settle_page(segment, records, together);
        }
        self.counters.received_again += u64::from(at_once.records - answered - done);
        self.done_at_once(tp, done, (at_once.skipped, at_once.took), now);
        self.wake(tp);
        if let Some(outcome) = at_once.other {
            self.answered_at_once(tp, outcome, now, effects);
        }
        self.consider_credit(tp);
    }

    pub(super) fn position(&mut self, tp: Tp, seq: u64, offset: i64) {
        match self.owned(tp, seq, Phase::Flowing) {
            Some(partition) => partition.ledger.position(offset),
            None => self.counters.stray += 1,
        }
        self.uncommitted = true;
    }

    /// A partition may have room for more records: that is looked at when the event is through, once.
    pub(super) fn consider_credit(&mut self, tp: Tp) {
        if !core::mem::replace(&mut self.partitions[tp.index()].may_get_credit, true) {
            self.creditors.push(tp);
        }
    }

    /// Tells the shell how many more bytes it may hand over, in steps of at least a quarter of the window.
    pub(super) fn give_credit(&mut self, effects: &mut Vec<Effect>) {
        if self.creditors.is_empty() {
            return;
        }
        let mut creditors = core::mem::take(&mut self.creditors);
        for tp in creditors.drain(..) {
            let partition = &mut self.partitions[tp.index()];
            partition.may_get_credit = false;
            partition.ledger.tidy();
            let used = partition.ledger.held() + partition.credit;
            if partition.phase == Phase::Flowing && used <= self.credit_mark {
                let bytes = self.window - used;
                partition.credit += bytes;
                effects.push(Effect::Credit { tp, bytes });
            }
        }
        self.creditors = creditors; // empty, with the memory it has
    }

    /// The window is shared by the partitions owned.
    pub(super) fn share_window(&mut self) {
        let owned = self.partitions.iter().filter(|partition| partition.phase != Phase::Unowned).count();
        self.window = (self.policy.window_bytes / (owned.max(1) as u64)).max(1);
        self.fuse.owns(owned);
        self.credit_mark = self.window - self.window.div_ceil(CREDIT_SHARE);
        for partition in &mut self.partitions {
            partition.ledger.spare_max = self.window / SPARE_SHARE;
        }
        let flowing = (0..).zip(&self.partitions).filter(|(_, partition)| partition.phase == Phase::Flowing);
        for tp in flowing.map(|(index, _)| Tp(index)).collect::<Vec<_>>() {
            self.consider_credit(tp);
        }
    }
}

/// A record that is still to do.
struct Arrival<'a> {
    page: &'a Page,
    segment: u32,
    index: u32,
    weight: u32,
    hash: Option<u64>,
    /// Whether it may be called while outputs before it are being written.
    overlap: bool,
    /// Whether attempts are forgotten, and due times.
    wrong: [bool; 2],
}

/// A record of a delay topic that has to wait.
struct Due {
    seq: u64,
    at: Instant,
}

impl Partition {
    /// Enters a record that is still to do and queues it if it may run.
    fn enter(&mut self, arrival: &Arrival<'_>, now: Instant) -> Option<Due> {
        let Arrival { page, segment, index, weight, hash, .. } = *arrival;
        let offset = page.offset(index);
        let seq = self.ledger.push(page, segment, index, weight);
        let due = if self.role == PartitionRole::Source { None } else { self.travelled(arrival, seq, now) };
        let troubled = !self.troubles.is_empty() && self.troubles.get(offset).is_some();
        let lane = self.lane_of(hash, offset);
        if let Some(entry) = self.ledger.get_mut(seq) {
            (entry.troubled, entry.lane) = (troubled, lane);
        }
        let joined = if lane == LaneId::NONE { Joined::First } else { self.lanes.join(lane, seq) };
        match joined {
            Joined::Behind(before) => {
                self.ledger.link(before, seq);
                if arrival.overlap && self.lanes.put_out(lane) == Some(before) {
                    self.offer(lane, true);
                }
            }
            Joined::Held => {}
            Joined::First if due.is_some() => self.ledger.set(seq, State::Waiting),
            Joined::First => self.queue(seq),
        }
        due
    }

    /// What a record brings with it from a delay topic, and until when it waits here. It holds its place in the window and
    /// nothing else, and no more is read than the window takes: records of one topic are due in their order.
    fn travelled(&mut self, arrival: &Arrival<'_>, seq: u64, now: Instant) -> Option<Due> {
        let Arrival { page, index, wrong: [forget, hurry], .. } = *arrival;
        let (attempts, failing_for, at) = page.travelled(index);
        if attempts > 0 && !forget {
            self.troubles.travelled(page.offset(index), attempts, failing_for, now);
        }
        (at > now && !hurry).then_some(Due { seq, at })
    }

    fn lane_of(&mut self, hash: Option<u64>, offset: i64) -> LaneId {
        match hash {
            Some(hash) => self.lanes.find_or_make(hash),
            // On its own, unless a call of an earlier assignment still runs it.
            None if self.stale_claims > 0 => self.lanes.find(of_offset(offset)).unwrap_or(LaneId::NONE),
            None => LaneId::NONE,
        }
    }
}
