//! Commits: one under way per partition, never backwards, each with the checkpoint of exactly its offset.

use core::time::Duration;

use penstock_crds::checkpoint::{self, Checkpoint, Counters, ErrorClass, Gauges, Hold, HoldReason, Place};

use super::{Engine, Processor};
use crate::partition::{Fence, Partition, Phase, UnderWay};
use crate::room::Room;
use crate::seam::{CommitId, CommitResult, Effect, Tp};
use crate::solitude::Solitude;
use crate::time::Instant;
use crate::timers::Alarm;
use crate::wrong::Wrong;

/// Wait after the first commit that failed; doubles up to [`RETRY_MAX`].
const RETRY_INITIAL: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);
/// A commit whose answer never came may be taken after a later one: a broker reads what a closed connection has brought once it gets on,
/// in no order with what came by another. So the later one is repeated once that must be over; Kafka itself gives a commit so long
/// (`offsets.commit.timeout.ms`).
const REPEAT_AFTER: Duration = Duration::from_secs(5);
/// With nothing left to do a round comes after this part of the interval: see [`Engine::round_due`].
const EARLY_SHARE: u32 = 5;

impl Engine {
    /// Commits what has changed since the last round, and a sign of life for what runs long.
    pub(super) fn commit_round(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        if (!self.uncommitted && self.calls.len() == 0) || now < self.round_due() {
            return;
        }
        self.next_round = now + self.policy.commit_interval;
        self.uncommitted = false;
        let mut silent_groups = self.contact.map(|contact| now.since(contact.spoke) >= self.sign_of_life());
        let idle_slots = self.calls.len() < self.limiter.limit();
        for index in 0..self.partitions.len() {
            let partition = &mut self.partitions[index];
            if !matches!(partition.phase, Phase::Flowing | Phase::Stopped) {
                continue;
            }
            if idle_slots && partition.waits_for_lanes() {
                partition.usage.lane_blocked += self.policy.commit_interval;
            }
            let silent = now.since(partition.commits.last_sent) >= self.policy.heartbeat_interval;
            // What waits while others are called must not find us unheard of when it is due: one partition speaks for its group.
            let speaks = partition.ledger.undone() > 0 && core::mem::take(&mut silent_groups[partition.group()]);
            let wanted = partition.wants_commit() || (partition.usage.in_flight > 0 && silent) || speaks;
            if wanted && partition.may_commit(now) {
                self.send_commit(Tp(u32::try_from(index).unwrap_or(u32::MAX)), now, effects); // the index was a Tp
            } else {
                self.uncommitted |= wanted;
            }
        }
    }

    /// When the next round is due. Sooner when everything is done: whoever looks at the lag of a group that has caught up sees none,
    /// and a crash repeats little.
    pub(super) fn round_due(&self) -> Instant {
        let nothing_left = self.calls.len() == 0 && self.partitions.iter().all(|one| one.ledger.undone() == 0);
        let early =
            if nothing_left { self.policy.commit_interval / EARLY_SHARE * (EARLY_SHARE - 1) } else { Duration::ZERO };
        self.next_round - early
    }

    /// Commits the frontier with its checkpoint.
    pub(super) fn send_commit(&mut self, tp: Tp, now: Instant, effects: &mut Vec<Effect>) {
        let concurrency = self.limiter.asked_for();
        let hold = self.hold(now);
        let oldest = self.calls.oldest_of(tp).map_or(Duration::ZERO, |started| now.since(started));
        let newer = self.breaks(Wrong::CheckpointNewerThanOffset);
        let maximum = self.breaks(Wrong::CommitTheMaximum);
        let partition = &mut self.partitions[tp.index()];
        let mut offset = partition.ledger.frontier();
        if offset < partition.commits.acknowledged {
            return; // never backwards, whatever else is wrong
        }
        if maximum {
            offset = partition.ledger.done_above().last().map_or(offset, |run| run.end);
        }
        let leader_epoch = partition.ledger.frontier_epoch();
        let mut checkpoint = partition.checkpoint(self.policy.incarnation, now);
        checkpoint.gauges = Some(Gauges {
            in_flight: partition.usage.in_flight,
            oldest_call_millis: u64::try_from(oldest.as_millis()).unwrap_or(u64::MAX),
            concurrency,
        });
        checkpoint.hold = partition.hold_told(now).or(hold);
        let place = partition.place(offset, leader_epoch);
        let encoded = checkpoint::encode(&checkpoint, &place, self.room.chars());
        if newer {
            offset = offset.min(partition.commits.acknowledged.max(offset - 1));
        }
        self.counters.checkpoints_cut += u64::from(encoded.done_cut);
        self.counters.parked_left_out += encoded.parked_left_out as u64;
        self.counters.attempts_left_out += encoded.failing_left_out as u64;
        self.commit_number += 1;
        let commit = CommitId(self.commit_number);
        let (chars, log) = (encoded.text.len(), partition.log.generation);
        partition.commits.under_way = Some(UnderWay { id: commit, offset, chars, sent: now, log });
        partition.commits.changed = false;
        partition.commits.last_sent = now;
        self.contact[partition.group()].spoke = now;
        let since = *partition.commits.unanswered_since.get_or_insert(now);
        self.fence_at = self.fence_at.min(since + self.policy.half_a_session());
        effects.push(Effect::Commit { tp, commit, offset, leader_epoch, checkpoint: encoded.text });
    }

    pub(super) fn committed(
        &mut self,
        tp: Tp,
        commit: CommitId,
        result: CommitResult,
        now: Instant,
        effects: &mut Vec<Effect>,
    ) {
        let lower = self.breaks(Wrong::LowerCommitAfterHigher);
        let Some(partition) = self.partitions.get_mut(tp.index()) else { return };
        let Some(sent) = partition.commits.under_way.take_if(|sent| sent.id == commit) else {
            self.counters.stray += 1;
            return;
        };
        if sent.log != partition.log.generation {
            return self.send_commit(tp, now, effects); // it was waiting for this reply
        }
        match result {
            CommitResult::Ok => {
                self.counters.commits += 1;
                let before = core::mem::replace(&mut partition.commits.failures, 0);
                if before > 0 && lower {
                    let (offset, leader_epoch) = (partition.commits.acknowledged, -1);
                    let older = partition.checkpoint(0, now);
                    let checkpoint = checkpoint::encode(&older, &partition.place(offset, leader_epoch), 4096).text;
                    effects.push(Effect::Commit { tp, commit: CommitId(0), offset, leader_epoch, checkpoint });
                }
                partition.commits.acknowledged = partition.commits.acknowledged.max(sent.offset);
                partition.commits.unanswered_since = None;
                let heard = &mut self.contact[partition.group()].heard;
                *heard = sent.sent.max(*heard);
                if core::mem::take(&mut partition.commits.given_up) > 0 {
                    self.timers.set(now + REPEAT_AFTER, Alarm::Commit { tp, epoch: partition.epoch });
                }
                partition.commits.owner_known = true;
                // An acknowledgement that lay around for long says nothing about now.
                let stale = now.since(sent.sent) > self.policy.half_a_session();
                if !stale {
                    partition.commits.fence = Fence::Open;
                }
                partition.commits.changed |= partition.commits.fence != Fence::Open;
                self.uncommitted |= partition.wants_commit();
                self.wake(tp);
            }
            CommitResult::MetadataTooLarge if sent.chars > 0 => {
                self.counters.commit_failures += 1;
                self.room = self.room.halved(sent.chars);
                self.send_commit(tp, now, effects);
            }
            CommitResult::Retriable
            | CommitResult::Unknown
            | CommitResult::NotOwner
            | CommitResult::MetadataTooLarge => {
                self.counters.commit_failures += 1;
                partition.commits.failed(now);
                partition.commits.given_up += u32::from(result == CommitResult::Unknown);
                self.uncommitted = true;
            }
        }
    }

    /// The next round commits what was committed, whatever has become of it.
    pub(super) fn commit_again(&mut self, tp: Tp, epoch: u32) {
        let partition = &mut self.partitions[tp.index()];
        if partition.epoch == epoch && partition.phase == Phase::Flowing {
            partition.commits.changed = true;
            self.uncommitted = true;
        }
    }

    /// The next commits tell that something holds the whole worker, or holds it no more.
    pub(super) fn tell_hold(&mut self) {
        for partition in self.partitions.iter_mut().filter(|partition| partition.phase == Phase::Flowing) {
            partition.commits.changed = true;
        }
        self.uncommitted = true;
    }

    /// Why nothing is delivered by the whole worker, if so.
    pub(super) fn hold(&self, now: Instant) -> Option<Hold> {
        if self.processor != Processor::Ready {
            let (reason, class) = (HoldReason::ProcessorNotReady, ErrorClass::Unreachable);
            return Some(Hold { reason, class, seconds: 0, lost: None });
        }
        let circuit = self.circuit.is_open().map(|open| (HoldReason::CircuitOpen, open));
        let fuse = || self.fuse.is_blown().map(|blown| (HoldReason::TooManyDeadLetters, blown));
        let (reason, (class, since)) = circuit.or_else(fuse)?;
        Some(Hold { reason, class, seconds: now.since(since).as_secs(), lost: None })
    }

    /// Self-fencing: whoever was not heard of for half a session may have been replaced, and starts nothing before a
    /// commit that it sends now is acknowledged.
    pub(super) fn mind_the_gap(&mut self, now: Instant) {
        if self.overslept(now) && !self.breaks(Wrong::ChargeForSleep) {
            self.calls.slept();
            self.solitude = Solitude::Unwanted; // nobody waited but the sleeper
        }
        let half = self.policy.half_a_session();
        let asleep = now.since(self.last_turn) > half;
        self.last_turn = now;
        if (now <= self.fence_at && !asleep) || self.breaks(Wrong::FenceIgnored) {
            return;
        }
        self.fence_at = Instant::NEVER;
        for partition in self.partitions.iter_mut().filter(|partition| partition.phase == Phase::Flowing) {
            let commits = &mut partition.commits;
            let overdue = commits.unanswered_since.map_or(Instant::NEVER, |since| since + half);
            if asleep || now > overdue {
                self.counters.fenced += u64::from(commits.fence != Fence::Closed);
                commits.fence = Fence::Closed;
            }
            commits.changed |= commits.fence != Fence::Open;
            self.uncommitted |= commits.fence != Fence::Open;
            if commits.fence != Fence::Closed {
                self.fence_at = self.fence_at.min(overdue);
            }
        }
        if asleep {
            self.next_round = now;
        }
    }

    /// The same for what waits with nothing to commit, a blocked record say: no commit is overdue then, and the group may have given the
    /// partition away all the same. Where none was acknowledged for half a session, one is sent and awaited before anything starts.
    pub(super) fn ask_before_starts(&mut self, now: Instant) {
        let silent = self.silent_groups(now);
        let wrong = self.breaks(Wrong::FenceIgnored) || self.breaks(Wrong::FenceOnlyTheUnanswered);
        if silent == [false; 2] || !self.has_ready() || wrong {
            return;
        }
        for partition in self.partitions.iter_mut().filter(|one| one.may_start() && silent[one.group()]) {
            if partition.ledger.undone() > 0 {
                partition.commits.fence = Fence::Asked;
                partition.commits.changed = true;
                self.uncommitted = true;
                self.next_round = now;
            }
        }
    }

    /// The groups that have acknowledged nothing for half a session: the source's, the delay topics'.
    pub(super) fn silent_groups(&self, now: Instant) -> [bool; 2] {
        let half = self.policy.half_a_session();
        self.contact.map(|contact| now.since(contact.heard) > half)
    }

    /// How often a group hears of us while calls run.
    fn sign_of_life(&self) -> Duration {
        self.policy.heartbeat_interval.min(self.policy.session_timeout / 4)
    }

    /// Whether a worker that was to be woken long ago wakes only now: stopped, say, or starved. A call of that time has had less than half of
    /// its own, if it was sent at all.
    fn overslept(&self, now: Instant) -> bool {
        let half = self.policy.timeout / 2;
        now.since(self.last_turn) > half && self.next_wake().is_some_and(|wake| now.since(wake) > half)
    }

    /// The broker's limit is known.
    pub(super) fn metadata_limit(&mut self, bytes: u32) {
        self.room = Room::of_chars(bytes);
        for index in 0..self.partitions.len() {
            self.wake(Tp(u32::try_from(index).unwrap_or(u32::MAX))); // the index was a Tp
        }
    }
}

impl crate::partition::Commits {
    fn failed(&mut self, now: Instant) {
        let wait = RETRY_INITIAL.saturating_mul(1 << self.failures.min(10)).min(RETRY_MAX);
        self.failures = self.failures.saturating_add(1);
        self.not_before = now + wait;
        self.changed = true;
    }
}

impl Partition {
    /// Records are here, slots would be free, and every lane is taken.
    fn waits_for_lanes(&self) -> bool {
        let queued = self.fresh.seqs.len() + self.again.seqs.len();
        self.may_start() && queued == 0 && self.ledger.undone() > self.usage.in_flight as usize
    }

    fn checkpoint(&mut self, incarnation: u64, now: Instant) -> Checkpoint {
        self.troubles.forget_below(self.ledger.frontier());
        Checkpoint {
            owner: self.owner,
            done: self.ledger.done_above(),
            failing: self.troubles.failing(now),
            counters: Some(Counters {
                incarnation,
                worker_millis: now.as_millis(),
                processed: self.usage.processed,
                busy_millis: self.usage.busy_millis(now),
                lane_blocked_millis: u64::try_from(self.usage.lane_blocked.as_millis()).unwrap_or(u64::MAX),
            }),
            gauges: None,
            hold: None,
            parked: self.parking.told(),
        }
    }

    fn place(&self, offset: i64, leader_epoch: i32) -> Place<'_> {
        let (cluster_id, topic_id) = (&*self.log.cluster_id, self.log.topic_id.0);
        Place { cluster_id, topic_id, partition: self.number, offset, leader_epoch }
    }
}
