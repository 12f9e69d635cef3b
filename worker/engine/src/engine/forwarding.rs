//! Dead letters and outputs: a record is done when the broker has confirmed them, and not before (S4).
//!
//! What a lane puts out keeps the order of its records (S5). The producer keeps the order in which it gets records (it is idempotent), so
//! outputs follow each other without waiting, and so do, where that is right ([`overlaps_writes`]), the calls that they answer. All else waits
//! until those before it in its lane are done, and so does what has to be written in a batch of its own, by another producer. They are done
//! in their order too.
//! Where one could not be written after all, those behind it are *recalled*: written or not, they are written again behind it, so that the
//! last copies of all stand in order.
//!
//! [`overlaps_writes`]: crate::policy::Policy::overlaps_writes

use super::Engine;
use crate::backoff;
use crate::calls::Claim;
use crate::forwards::{Forwarding, Stage};
use crate::ledger::State;
use crate::partition::Held;
use crate::seam::{Destination, Effect, ErrorClass, Failure, Forward, ForwardId, ForwardResult, Forwarded, Tp};
use crate::time::Instant;
use crate::timers::Alarm;
use crate::wrong::Wrong;
use penstock_crds::checkpoint::HoldReason;

impl Engine {
    /// Hands a record to the producer. Its place there was reserved before its call.
    pub(super) fn forward(&mut self, claim: Claim, to: Destination, effects: &mut Vec<Effect>) {
        let early = match to {
            Destination::Output(_) => false,
            Destination::DeadLetter(_) => self.breaks(Wrong::CommitBeforeDeadLetter),
            Destination::Delay { .. } => self.breaks(Wrong::CommitBeforeDelayed),
        };
        let partition = &mut self.partitions[claim.tp.index()];
        let Some(record) = partition.ledger.record(claim.seq) else { return };
        partition.ledger.set(claim.seq, State::Unsent);
        partition.ledger.touch(claim.offset);
        partition.forwarding += 1;
        let id = self.forwards.insert(Forwarding::new(claim, to, record));
        self.send_in_turn(id, effects);
        if early {
            self.complete(claim.tp, claim.seq);
        }
    }

    /// The record leaves this partition, for the dead letters or a delay topic.
    pub(super) fn forward_failed_record(&mut self, tp: Tp, seq: u64, to: Destination, effects: &mut Vec<Effect>) {
        let partition = &mut self.partitions[tp.index()];
        let Some(entry) = partition.ledger.get(seq).copied() else { return };
        let Some(record) = partition.ledger.record(seq) else { return };
        if matches!(to, Destination::DeadLetter(_))
            && self.policy.parks_keys()
            && let Some((_, key, _)) = partition.keyed(seq)
        {
            partition.parking.reserve(key, entry.offset);
        }
        let claim = partition.claim_on(tp, seq, &entry, &record);
        self.forward(claim, to, effects);
    }

    /// Sends what was held back until now, and ends what was written before its turn.
    pub(super) fn send_released(&mut self, effects: &mut Vec<Effect>) {
        while let Some((tp, seq)) = self.released.pop() {
            let Some(id) = self.forwards.find(tp, seq) else { continue };
            let Some(Forwarding { stage, claim, .. }) = self.forwards.get_mut(id) else { continue };
            let (stage, lane) = (*stage, claim.lane);
            match stage {
                Stage::Written => self.confirmed(id),
                _ => self.send_in_turn(id, effects),
            }
            self.offer(tp, lane);
        }
    }

    /// A forward's back-off has passed.
    pub(super) fn forward_due(&mut self, id: ForwardId, effects: &mut Vec<Effect>) {
        if let Some(forwarding) = self.forwards.get_mut(id).filter(|forwarding| forwarding.stage == Stage::BackingOff) {
            forwarding.stage = Stage::Held;
            self.send_in_turn(id, effects);
        }
    }

    pub(super) fn forwarded(&mut self, forwarded: Forwarded, now: Instant, effects: &mut Vec<Effect>) {
        let Forwarded { id, result } = forwarded;
        let Some(sent) = self.forwards.get_mut(id).filter(|forwarding| forwarding.stage.is_with_producer()) else {
            self.counters.stray += 1;
            return;
        };
        let (claim, parked, recalled) = (sent.claim, sent.parked, sent.stage == Stage::Recalled);
        sent.stage = Stage::Held;
        if claim.stale {
            self.forwards.remove(id);
            // A numbered letter is half of a fact: the other half, that its key is parked, went with the assignment.
            let whole = (parked.is_none() && !claim.numbered && !recalled) || self.breaks(Wrong::LateLetterCounts);
            if whole && matches!(result, ForwardResult::Confirmed) {
                self.done_late(&claim);
            }
            return self.let_go(&claim);
        }
        match result {
            ForwardResult::Confirmed if recalled => self.send_in_turn(id, effects),
            ForwardResult::Confirmed => self.written(id),
            ForwardResult::RefusedInCompany => {
                sent.alone = true;
                self.partitions[claim.tp.index()].ledger.set(claim.seq, State::Unsent);
                self.recall_behind(&claim);
                self.send_in_turn(id, effects);
            }
            ForwardResult::Failed(failure) => self.forward_failed(id, &failure, now),
            ForwardResult::Refused(failure) => self.forward_refused(id, &failure, now, effects),
        }
        self.offer(claim.tp, claim.lane);
    }

    /// Hands a forward to the producer if it is its turn in its lane, and the outputs that follow it there.
    fn send_in_turn(&mut self, id: ForwardId, effects: &mut Vec<Effect>) {
        let mut next = Some(id);
        while let Some(id) = next {
            let held = self.forwards.get_mut(id).filter(|one| matches!(one.stage, Stage::Held | Stage::BackingOff));
            let Some(forwarding) = held else { return };
            let (to, claim, record) = (forwarding.to.clone(), forwarding.claim, forwarding.record.clone());
            let (alone, nothing) = (forwarding.alone, forwarding.is_nothing());
            let Claim { tp, seq, lane, .. } = claim;
            let partition = &mut self.partitions[tp.index()];
            let follows = matches!(to, Destination::Output(_)) && !alone;
            let turn = if follows { partition.is_next_to_put_out(lane, seq) } else { partition.is_first(lane, seq) };
            if !turn {
                return;
            }
            partition.ledger.set(seq, State::Forwarding);
            let unsent = follows.then(|| partition.put_out(lane, seq)).flatten();
            if nothing {
                self.written(id);
            } else {
                let parked = self.letter_number(&claim, &to, &record);
                if let Some(forwarding) = self.forwards.get_mut(id) {
                    (forwarding.stage, forwarding.parked) = (Stage::Sent, parked);
                }
                effects.push(Effect::Forward(Box::new(Forward { id, to, tp, record, parked, alone })));
            }
            if follows {
                self.offer(tp, lane);
            }
            next = unsent.and_then(|seq| self.forwards.find(tp, seq));
        }
    }

    /// A forward could not be written. Of what the producer got behind it in its lane nothing counts.
    fn recall_behind(&mut self, claim: &Claim) {
        if !self.policy.puts_out_in_rows() || self.breaks(Wrong::OutputOvertakes) {
            return;
        }
        let partition = &mut self.partitions[claim.tp.index()];
        partition.hold_back(claim.lane, claim.seq);
        // Behind what the producer does not have it has nothing.
        for seq in partition.forwarded_behind(claim.seq).collect::<Vec<_>>() {
            partition.ledger.set(seq, State::Unsent);
            self.forwards.recall(claim.tp, seq);
        }
    }

    /// The broker has it. An output is done when all before it in its lane are: should one of them fail, this one has to follow it.
    fn written(&mut self, id: ForwardId) {
        let Some(forwarding) = self.forwards.get_mut(id) else { return };
        let Claim { tp, seq, lane, .. } = forwarding.claim;
        let partition = &mut self.partitions[tp.index()];
        if matches!(forwarding.to, Destination::Output(_)) && !partition.is_first(lane, seq) {
            forwarding.stage = Stage::Written;
            return partition.ledger.set(seq, State::Written);
        }
        self.confirmed(id);
    }

    fn confirmed(&mut self, id: ForwardId) {
        let Some(forwarding) = self.forwards.remove(id) else { return };
        let (claim, reason) = (forwarding.claim, forwarding.reason_when_failed());
        let (Claim { tp, seq, .. }, nothing) = (claim, forwarding.is_nothing());
        self.partitions[tp.index()].forwarding -= 1;
        self.mend_hold(tp, reason);
        match forwarding.to {
            Destination::Output(_) => {
                self.counters.forwarded_output += u64::from(!nothing);
                return self.succeeded(tp, seq);
            }
            Destination::DeadLetter(_) => self.counters.dead_lettered += 1,
            Destination::Delay { .. } => self.counters.delayed += 1,
        }
        if let Some(letter) = forwarding.parked {
            self.lettered(&claim, letter);
        }
        self.complete(tp, seq);
    }

    fn forward_failed(&mut self, id: ForwardId, failure: &Failure, now: Instant) {
        self.counters.forward_failures += 1;
        if self.breaks(Wrong::OutputByRunningAgain) {
            let Some(Forwarding { claim, .. }) = self.forwards.remove(id) else { return };
            self.partitions[claim.tp.index()].forwarding -= 1;
            return self.put_off(claim.tp, claim.seq, None, self.policy.retry.max_delay, now);
        }
        let Some((claim, failures)) = self.put_back(id, failure, now) else { return };
        let jitter = self.partitions[claim.tp.index()].jitter(claim.offset);
        self.timers.set(now + backoff::delay(&self.policy.retry, failures, jitter), Alarm::Forward(id));
    }

    /// An output that can never be written is the record's fault; one that a delay topic does not take waits in the worker; a dead
    /// letter that cannot be written blocks: there is nowhere else.
    fn forward_refused(&mut self, id: ForwardId, failure: &Failure, now: Instant, effects: &mut Vec<Effect>) {
        let Some(forwarding) = self.forwards.get_mut(id) else { return };
        let claim = forwarding.claim;
        if let Destination::Output(_) = forwarding.to {
            self.forwards.remove(id);
            self.partitions[claim.tp.index()].forwarding -= 1;
            self.mend_hold(claim.tp, HoldReason::OutputFailed);
            self.recall_behind(&claim);
            let failure = Failure::new(ErrorClass::OutputRefused, &failure.detail);
            return self.charge(claim.tp, claim.seq, failure, true, now, effects);
        }
        if let Destination::Delay { .. } = forwarding.to {
            self.forwards.remove(id);
            self.partitions[claim.tp.index()].forwarding -= 1;
            self.mend_hold(claim.tp, HoldReason::ForwardFailed);
            self.counters.forward_failures += 1;
            return self.wait_in_place(claim.tp, claim.seq, None, now);
        }
        self.counters.forward_failures += 1;
        self.put_back(id, failure, now);
        self.timers.set(now + self.policy.retry.max_delay, Alarm::Forward(id));
    }

    /// The producer gave a forward back: it waits here until it is written again. Returns how often it failed.
    fn put_back(&mut self, id: ForwardId, failure: &Failure, now: Instant) -> Option<(Claim, u32)> {
        let forwarding = self.forwards.get_mut(id)?;
        forwarding.stage = Stage::BackingOff;
        forwarding.failures = forwarding.failures.saturating_add(1);
        let (claim, failures, reason) = (forwarding.claim, forwarding.failures, forwarding.reason_when_failed());
        self.partitions[claim.tp.index()].ledger.set(claim.seq, State::Unsent);
        self.recall_behind(&claim);
        self.note_forward_failure(claim.tp, reason, failure.class, now);
        Some((claim, failures))
    }

    /// A forward has ended. That one could be written says nothing about another, which is too large, say.
    fn mend_hold(&mut self, tp: Tp, reason: HoldReason) {
        let partition = &mut self.partitions[tp.index()];
        if partition.hold.is_some_and(|held| held.reason == reason) && !self.forwards.any_failing(tp, reason) {
            partition.hold = None;
        }
    }

    fn note_forward_failure(&mut self, tp: Tp, reason: HoldReason, class: ErrorClass, now: Instant) {
        let partition = &mut self.partitions[tp.index()];
        partition.hold.get_or_insert(Held { reason, class, since: now, lost: None });
        partition.commits.changed = true;
        self.uncommitted = true;
    }
}
