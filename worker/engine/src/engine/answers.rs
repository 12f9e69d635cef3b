//! What an answer means for its record: done, charged, put off, or somebody else's business.

use core::time::Duration;
use std::sync::Arc;

use super::{Engine, Group, Member};
use crate::backoff;
use crate::calls::{CancelCause, Claim, Ended, Flight, Kind};
use crate::circuit::PROBE_MAX;
use crate::hash;
use crate::lanes::LaneId;
use crate::ledger::State;
use crate::partition::{Fact, Partition, Phase, of_offset};
use crate::policy::OnExhausted;
use crate::seam::{CallId, Destination, Effect, ErrorClass, Failure, Finished, Outcome, Tp};
use crate::time::Instant;
use crate::timers::Alarm;
use crate::troubles::Trouble;
use crate::wrong::Wrong;

/// Times that a record may be told "busy" in a row, while others are taken, before that is charged: minutes of back-off.
const OVERLOADS_UNCHARGED: u32 = 16;

impl Engine {
    pub(super) fn finished(&mut self, finished: Finished, now: Instant, effects: &mut Vec<Effect>) {
        let call = finished.ticket.call;
        let Some(ended) = self.calls.finish(finished.ticket) else {
            self.counters.stray += 1;
            return;
        };
        if ended.last {
            self.return_slot(ended.flight.kind, now);
        }
        if ended.cancelled.is_some() && self.breaks(Wrong::LeakSlotOnCancel) {
            self.calls.leak();
        }
        let claim = ended.flight.claim;
        let outcome = outcome_of(finished.outcome, &ended);
        let stopped = self.stops(call, &ended, &outcome);
        self.fuse.hears(call);
        if claim.stale {
            self.circuit.unanswered(call, now);
            self.late(claim, if stopped { Outcome::Cancelled } else { outcome }, effects);
        } else {
            let partition = &mut self.partitions[claim.tp.index()];
            partition.usage.end(ended.first && !self.policy.on_our_thread, now);
            partition.lanes.end_call(claim.lane);
            self.learn(call, &claim, &outcome, ended.cancelled, now);
            if self.policy.batch.same_lane && !stopped {
                self.partitions[claim.tp.index()].lanes.adjust_batch_limit(claim.lane, is_taken(&outcome));
            }
            if stopped {
                self.partitions[claim.tp.index()].ledger.set(claim.seq, State::Queued);
                self.consider_credit(claim.tp);
            } else {
                self.judge(call, &ended, outcome, now, effects);
            }
            self.offer(claim.tp, claim.lane);
        }
        if ended.last {
            self.fuse.ended(call, now);
            self.stopped_lanes.retain(|(other, ..)| *other != call);
            self.split(call, now);
        }
    }

    /// What an answer means for its record.
    fn judge(&mut self, call: CallId, ended: &Ended, outcome: Outcome, now: Instant, effects: &mut Vec<Effect>) {
        let Ended { flight: Flight { claim, kind }, single, .. } = *ended;
        let Claim { tp, seq, .. } = claim;
        if is_taken(&outcome) {
            self.taken(now);
        }
        match outcome {
            Outcome::Ack => {
                self.counters.acknowledged += 1;
                self.succeeded_in_turn(claim, effects);
            }
            Outcome::Skip => {
                self.counters.skipped += 1;
                self.succeeded_in_turn(claim, effects);
            }
            Outcome::AckWith(output) => self.forward(claim, Destination::Output(Arc::new(*output)), effects),
            Outcome::Retry(failure) => self.charge(tp, seq, failure, false, now, effects),
            Outcome::Reject(failure) => self.charge(tp, seq, failure, true, now, effects),
            Outcome::Overload(failure) => {
                self.counters.overloads += 1;
                self.overloaded(call, ended, failure, now, effects);
            }
            Outcome::Unavailable(failure) => {
                self.counters.outages += 1;
                if self.breaks(Wrong::OutageCharges) {
                    return self.charge(tp, seq, failure, false, now, effects);
                }
                self.put_off(tp, seq, Some(&failure), PROBE_MAX, now);
            }
            Outcome::BatchFailed(failure) if single || self.breaks(Wrong::ChargeTheBatch) => {
                self.charge(tp, seq, failure, false, now, effects);
            }
            Outcome::ConnectionLost(failure) if kind == Kind::Solo || self.breaks(Wrong::ChargeTheNeighbours) => {
                self.charge(tp, seq, failure, false, now, effects);
            }
            Outcome::BatchFailed(_) => self.suspect(call, &claim, false, Duration::ZERO, now),
            Outcome::ConnectionLost(_) => self.suspect(call, &claim, true, Duration::ZERO, now),
            Outcome::Cancelled => self.put_off(tp, seq, None, PROBE_MAX, now),
        }
    }

    /// The record is done once the outputs before it in its lane are written: it puts out nothing, in its turn. What has to be called again
    /// after a crash is then a key's last records, and none of them without those behind it.
    fn succeeded_in_turn(&mut self, claim: Claim, effects: &mut Vec<Effect>) {
        let first = self.partitions[claim.tp.index()].is_first(claim.lane, claim.seq);
        if first || !self.policy.output || self.breaks(Wrong::DoneOutOfTurn) {
            return self.succeeded(claim.tp, claim.seq);
        }
        self.forward(claim, Destination::Output(Arc::default()), effects);
    }

    /// Under `batch.sameLane`, whether the lane has stopped before this record: then its answer is not believed. Notes that
    /// the lane stops here if the record was not taken.
    fn stops(&mut self, call: CallId, ended: &Ended, outcome: &Outcome) -> bool {
        let claim = &ended.flight.claim;
        if ended.single || !self.policy.batch.same_lane || claim.lane == LaneId::NONE {
            return false;
        }
        let lane = (call, claim.tp, self.partitions[claim.tp.index()].lane_hash(claim));
        let stopped = self.stopped_lanes.contains(&lane);
        if !stopped && !is_taken(outcome) {
            self.stopped_lanes.push(lane);
        }
        stopped && !self.breaks(Wrong::BelieveAnswersAfterAFailure)
    }

    /// The record is done.
    pub(super) fn complete(&mut self, tp: Tp, seq: u64) {
        let partition = &mut self.partitions[tp.index()];
        let held_back = partition.complete(seq);
        self.uncommitted = true;
        if partition.credit + partition.ledger.held() <= self.credit_mark {
            self.consider_credit(tp);
        }
        self.released.extend(held_back.map(|seq| (tp, seq)));
    }

    /// Charges an attempt and decides what follows.
    pub(super) fn charge(
        &mut self,
        tp: Tp,
        seq: u64,
        failure: Box<Failure>,
        for_good: bool,
        now: Instant,
        effects: &mut Vec<Effect>,
    ) {
        let partition = &mut self.partitions[tp.index()];
        let Some(entry) = partition.ledger.get_mut(seq) else { return };
        entry.troubled = true;
        let (offset, lane) = (entry.offset, entry.lane);
        let (after, class) = (failure.after, failure.class);
        let blocks = self.blocks(tp, seq);
        if !blocks && self.spares(tp, seq, &failure, for_good, now) {
            return self.put_off(tp, seq, Some(&failure), PROBE_MAX, now);
        }
        let partition = &mut self.partitions[tp.index()];
        let known = partition.troubles.get(offset).filter(|_| blocks);
        let mut over = known.is_some_and(|trouble| trouble.is_over(&self.policy.retry, now));
        if !over {
            let trouble = partition.troubles.charge(offset, failure, now);
            trouble.exhausted |= for_good;
            over = trouble.is_over(&self.policy.retry, now);
            self.counters.attempts_charged += 1;
            partition.commits.changed = true;
            self.uncommitted = true;
            if over && !blocks {
                return self.exhausted(tp, seq, now, effects);
            }
            if !over && let Some(tier) = self.policy.retry.tier(trouble.attempts) {
                let cause = Arc::new(trouble.undelivered(now));
                return self.forward_failed_record(tp, seq, Destination::Delay { tier, cause }, effects);
            }
        }
        if over {
            self.tell_no_room_for_keys(tp, class, now);
        }
        self.wait_in_place(tp, seq, after, now);
        if self.breaks(Wrong::RetryOvertakesItsKey) && lane != crate::lanes::LaneId::NONE {
            let partition = &mut self.partitions[tp.index()];
            if let Some(next) = partition.ledger.following(seq) {
                partition.queue(next);
            }
        }
    }

    /// Lets a record that was charged wait for its next call.
    pub(super) fn wait_in_place(&mut self, tp: Tp, seq: u64, after: Option<Duration>, now: Instant) {
        let partition = &mut self.partitions[tp.index()];
        let Some(offset) = partition.ledger.get(seq).map(|entry| entry.offset) else { return };
        let trouble = partition.troubles.entry(offset, now);
        let (failures, left) = (trouble.attempts, trouble.time_left(&self.policy.retry, now));
        let over = trouble.is_over(&self.policy.retry, now);
        let wait = self.back_off(tp, offset, failures, after);
        // The last call comes when the age is reached, not a pause later.
        let wait = if over { wait.max(self.policy.retry.max_delay) } else { wait.min(left) };
        self.wait_for(tp, seq, wait, now);
    }

    /// Whether the fuse keeps a record from the dead letters that this failure would send there. Then it is not charged.
    fn spares(&mut self, tp: Tp, seq: u64, failure: &Failure, for_good: bool, now: Instant) -> bool {
        let partition = &self.partitions[tp.index()];
        let Some(offset) = partition.ledger.get(seq).map(|entry| entry.offset) else { return false };
        if !self.policy.dead_letters() || self.breaks(Wrong::FuseIgnored) {
            return false;
        }
        let before = self.fuse.is_blown().is_some();
        let spared = if for_good || partition.troubles.is_last(offset, &self.policy.retry, now) {
            let record = partition.ledger.record(seq);
            let key = record.as_ref().and_then(|record| record.key()).map_or_else(|| of_offset(offset), hash::of_bytes);
            !self.fuse.admits_dead_letter(hash::with(key, u64::from(tp.0)), failure.class, now)
        } else {
            self.fuse.failed();
            false
        };
        self.counters.dead_letters_spared += u64::from(spared);
        self.tell_fuse(before);
        spared
    }

    /// The fuse has seen a record taken.
    fn taken(&mut self, now: Instant) {
        let before = self.fuse.is_blown().is_some();
        self.fuse.taken(1, now);
        self.tell_fuse(before);
    }

    fn tell_fuse(&mut self, before: bool) {
        if self.fuse.is_blown().is_some() != before {
            self.tell_hold();
        }
    }

    /// Tries the record again later, after `wait_max` at most, and charges nothing.
    pub(super) fn put_off(&mut self, tp: Tp, seq: u64, failure: Option<&Failure>, wait_max: Duration, now: Instant) {
        let partition = &mut self.partitions[tp.index()];
        let Some(entry) = partition.ledger.get_mut(seq) else { return };
        entry.troubled = true;
        let offset = entry.offset;
        let outage = |partition: &Partition| partition.troubles.get(offset).and_then(Trouble::outage);
        let before = outage(partition);
        let patience = partition.troubles.put_off(offset, failure, now);
        if outage(partition) != before {
            partition.commits.changed = true; // a partition of one lane never trips the circuit: its checkpoint tells
            self.uncommitted = true;
        }
        let wait = self.back_off(tp, offset, patience, failure.and_then(|failure| failure.after));
        self.wait_for(tp, seq, wait.min(wait_max), now);
    }

    /// Busy costs no attempt, unless the processor says so to this record alone, again and again, while it takes others:
    /// else one record could be put off for ever. A call that hears it as often is parted, for it may be about one of its records, and
    /// they stay parted: together again, nobody would ever be alone.
    fn overloaded(
        &mut self,
        call: CallId,
        ended: &Ended,
        failure: Box<Failure>,
        now: Instant,
        effects: &mut Vec<Effect>,
    ) {
        let Ended { flight: Flight { claim, .. }, single, .. } = *ended;
        let Claim { tp, seq, offset, .. } = claim;
        let trouble = self.partitions[tp.index()].troubles.entry(offset, now);
        let others = core::mem::replace(&mut trouble.others, self.counters.acknowledged) < self.counters.acknowledged;
        let parted = trouble.overloads > OVERLOADS_UNCHARGED;
        // Outages and cancelled calls waited too, but none of them said that this record was one too many.
        let overloads = trouble.overloads.saturating_add(1);
        let enough = overloads > OVERLOADS_UNCHARGED;
        if others && enough && single {
            return self.charge(tp, seq, failure, false, now, effects);
        }
        if others && enough || parted {
            trouble.overloads = overloads;
            let patience = trouble.patience;
            let wait = self.back_off(tp, offset, patience, failure.after);
            return self.suspect(call, &claim, false, wait, now);
        }
        self.put_off(tp, seq, Some(&failure), self.policy.retry.max_delay, now);
        // Where no others are taken it is the processor that is busy, however often it says so.
        let trouble = self.partitions[tp.index()].troubles.entry(offset, now);
        trouble.overloads = overloads.min(OVERLOADS_UNCHARGED);
    }

    /// What an answer says about the processor, whatever it says about the record.
    fn learn(&mut self, call: CallId, claim: &Claim, outcome: &Outcome, cancelled: Option<CancelCause>, now: Instant) {
        let was_open = self.circuit.is_open().is_some();
        match outcome {
            Outcome::Unavailable(failure) => {
                let partition = &self.partitions[claim.tp.index()];
                let lane = hash::with(partition.lane_hash(claim), u64::from(claim.tp.0));
                self.circuit.outage(call, lane, failure.class, now);
            }
            Outcome::ConnectionLost(_) => self.circuit.broke(call, now),
            Outcome::Cancelled => self.circuit.unanswered(call, now),
            Outcome::Retry(_) | Outcome::BatchFailed(_) if cancelled.is_some() => self.circuit.unanswered(call, now),
            Outcome::Overload(_) => {
                self.limiter.overloaded(now);
                self.circuit.answered();
            }
            Outcome::Ack | Outcome::AckWith(_) | Outcome::Skip => {
                self.limiter.accepted();
                self.circuit.answered();
            }
            Outcome::Retry(_) | Outcome::Reject(_) | Outcome::BatchFailed(_) => {
                self.limiter.answered();
                self.circuit.answered();
            }
        }
        if self.circuit.is_open().is_some() != was_open {
            self.tell_hold();
        }
    }

    /// Exponential, or what the processor asked for if that is longer, within `retry.maxDelay`.
    fn back_off(&self, tp: Tp, offset: i64, failures: u32, after: Option<Duration>) -> Duration {
        let retry = &self.policy.retry;
        let asked = after.unwrap_or_default().min(retry.max_delay);
        backoff::delay(retry, failures, self.partitions[tp.index()].jitter(offset)).max(asked)
    }

    /// Lets a record wait. It holds its lane and nothing else: its page may be compacted from now on, which makes room, and no record that is
    /// done says so.
    fn wait_for(&mut self, tp: Tp, seq: u64, wait: Duration, now: Instant) {
        let partition = &mut self.partitions[tp.index()];
        partition.ledger.set(seq, State::Waiting);
        let epoch = partition.epoch;
        self.consider_credit(tp);
        self.timers.set(now + wait, Alarm::Retry { tp, epoch, seq });
    }

    /// Whoever was in the call, or in flight, may have done it: nobody is charged before it failed alone.
    fn suspect(&mut self, call: CallId, claim: &Claim, broken: bool, wait_min: Duration, now: Instant) {
        self.counters.suspects += 1;
        let Claim { tp, seq, offset, .. } = *claim;
        let partition = &mut self.partitions[tp.index()];
        if let Some(entry) = partition.ledger.get_mut(seq) {
            entry.troubled = true;
        }
        partition.ledger.set(seq, State::Waiting);
        self.consider_credit(tp);
        let partition = &mut self.partitions[tp.index()];
        let trouble = partition.troubles.entry(offset, now);
        trouble.suspicion = if broken { trouble.suspicion.saturating_add(1) } else { 0 };
        self.failed_together.push((call, Member { tp, epoch: partition.epoch, seq }, wait_min));
    }

    /// A call has ended: those of its records that failed together are tried again in halves, the last one alone.
    fn split(&mut self, call: CallId, now: Instant) {
        if self.failed_together.is_empty() {
            return;
        }
        let of_call = |(other, ..): &mut (CallId, Member, Duration)| *other == call;
        let failed = self.failed_together.extract_if(.., of_call).map(|(_, member, wait_min)| (member, wait_min));
        let failed: Vec<(Member, Duration)> = failed.collect();
        let half = failed.len().div_ceil(2).max(1);
        for half in failed.chunks(half) {
            let Some((leader, wait_min)) = half.first() else { continue };
            let partition = &self.partitions[leader.tp.index()];
            let Some(offset) = partition.ledger.get(leader.seq).map(|entry| entry.offset) else { continue };
            let broken = partition.troubles.get(offset).is_some_and(|trouble| trouble.suspicion > 0);
            let suspicion = partition.troubles.get(offset).map_or(1, |trouble| trouble.suspicion.max(1));
            let wait = self.back_off(leader.tp, offset, suspicion, None).min(PROBE_MAX).max(*wait_min);
            let members = half.iter().map(|(member, _)| *member).collect();
            self.group_waits(Group { members, broken }, now + wait);
        }
    }

    /// The record failed for good.
    pub(super) fn exhausted(&mut self, tp: Tp, seq: u64, now: Instant, effects: &mut Vec<Effect>) {
        let partition = &mut self.partitions[tp.index()];
        let Some(entry) = partition.ledger.get(seq) else { return };
        if self.policy.on_exhausted == OnExhausted::Discard {
            let lane = entry.lane;
            self.counters.discarded += 1;
            self.complete(tp, seq);
            return self.offer(tp, lane);
        }
        let Some(trouble) = partition.troubles.get(entry.offset) else { return };
        let letter = Destination::DeadLetter(Arc::new(trouble.undelivered(now)));
        self.forward_failed_record(tp, seq, letter, effects);
    }

    /// An answer for an assignment that is over. An acknowledgement is a fact about a record of a log; a failure is not.
    fn late(&mut self, claim: Claim, outcome: Outcome, effects: &mut Vec<Effect>) {
        let ours = self.partitions[claim.tp.index()].phase != Phase::Unowned;
        match outcome {
            // Its number is not taken off the count here: it is called again.
            Outcome::Ack | Outcome::AckWith(_) | Outcome::Skip if claim.numbered => {
                self.counters.late_answers_dropped += 1;
            }
            Outcome::Ack if self.breaks(Wrong::SkipTheEpochCheck) => self.complete(claim.tp, claim.seq),
            Outcome::Ack | Outcome::Skip if ours => self.done_late(&claim),
            Outcome::AckWith(output) if ours => self.output_late(&claim, Arc::new(*output), effects),
            _ => self.counters.late_answers_dropped += 1,
        }
        self.let_go(&claim);
    }

    /// A record was done by a call or a forward of an earlier assignment. It counts as the first that is left in its lane only: should one
    /// before it be called again, so must it be.
    pub(super) fn done_late(&mut self, claim: &Claim) {
        let partition = &mut self.partitions[claim.tp.index()];
        let (offset, leader_epoch, log) = (claim.offset, claim.leader_epoch, claim.log);
        let here = log == partition.log.generation && !partition.ledger.is_past(offset);
        let counts = partition.is_first_left(claim);
        if counts && (partition.phase == Phase::Loading || here) {
            let lane = partition.lane_hash(claim);
            partition.facts.push(Fact { offset, lane, leader_epoch, log });
        } else if let Some(seq) = partition.same_record(claim).filter(|_| counts) {
            self.complete(claim.tp, seq);
        } else {
            self.counters.late_answers_dropped += 1;
            return;
        }
        self.counters.late_acknowledgements += 1;
    }

    /// The same for an answer with output, which needs the record to be here; if it is not, it will be called again.
    fn output_late(&mut self, claim: &Claim, output: Arc<crate::seam::Output>, effects: &mut Vec<Effect>) {
        let partition = &mut self.partitions[claim.tp.index()];
        let present = partition.phase != Phase::Loading && partition.ledger.is_past(claim.offset);
        let Some(seq) = partition.same_record(claim).filter(|_| present && partition.is_first_left(claim)) else {
            self.counters.late_answers_dropped += 1;
            return;
        };
        let lane = partition.ledger.get(seq).map_or(claim.lane, |entry| entry.lane);
        self.counters.late_acknowledgements += 1;
        self.forward(Claim { seq, lane, stale: false, ..*claim }, Destination::Output(output), effects);
    }

    /// A claim of an earlier assignment ended: its lane may open.
    pub(super) fn let_go(&mut self, claim: &Claim) {
        let partition = &mut self.partitions[claim.tp.index()];
        partition.stale_claims -= 1;
        let held_back = partition.lanes.let_go(claim.lane).and_then(|head| partition.open_lane(head));
        self.released.extend(held_back.map(|seq| (claim.tp, seq)));
        self.offer(claim.tp, claim.lane);
    }
}

/// Whether the processor has done what there is to do.
fn is_taken(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Ack | Outcome::AckWith(_) | Outcome::Skip)
}

/// An engine-made cancellation decides what the answer means, unless the record was done after all.
fn outcome_of(outcome: Outcome, ended: &Ended) -> Outcome {
    match (ended.cancelled, outcome) {
        (None, outcome) | (_, outcome @ (Outcome::Ack | Outcome::AckWith(_) | Outcome::Skip | Outcome::Reject(_))) => {
            outcome
        }
        (Some(CancelCause::Timeout), _) if !ended.single => {
            Outcome::BatchFailed(Failure::new(ErrorClass::Timeout, "no answer before delivery.timeout"))
        }
        (Some(CancelCause::Timeout), _) => {
            Outcome::Retry(Failure::new(ErrorClass::Timeout, "no answer before delivery.timeout"))
        }
        (Some(CancelCause::GivingUp), _) => Outcome::Cancelled,
    }
}
