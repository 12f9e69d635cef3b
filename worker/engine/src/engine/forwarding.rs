//! Dead letters and outputs: a record is done when the broker has confirmed them, and not before (S4).

use super::Engine;
use crate::backoff;
use crate::calls::Claim;
use crate::forwards::Forwarding;
use crate::lanes::LaneId;
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
        partition.ledger.set(claim.seq, State::Forwarding);
        partition.ledger.touch(claim.offset);
        partition.forwarding += 1;
        // What a lane puts out keeps the order of its records: only its head's is on its way.
        let head = claim.lane == LaneId::NONE || partition.lanes.head(claim.lane) == Some(claim.seq);
        let id = self.forwards.insert(Forwarding { claim, to, record, failures: 0, sent: false, parked: None });
        if head {
            self.send(id, effects);
        }
        if early {
            self.complete(claim.tp, claim.seq);
        }
    }

    /// The record leaves this partition, for the dead letters or a delay topic.
    pub(super) fn forward_failed_record(&mut self, tp: Tp, seq: u64, to: Destination, effects: &mut Vec<Effect>) {
        let partition = &mut self.partitions[tp.index()];
        let (Some(entry), Some(record)) = (partition.ledger.get(seq), partition.ledger.record(seq)) else { return };
        let (offset, lane, log) = (entry.offset, entry.lane, partition.log.generation);
        if matches!(to, Destination::DeadLetter(_))
            && self.policy.parks_keys()
            && let Some((_, key)) = partition.keyed(seq)
        {
            partition.parking.reserve(key, offset);
        }
        let leader_epoch = record.leader_epoch();
        let claim = Claim { tp, seq, lane, offset, leader_epoch, log, stale: false, numbered: false };
        self.forward(claim, to, effects);
    }

    /// Sends what was held back until now.
    pub(super) fn send_released(&mut self, effects: &mut Vec<Effect>) {
        while let Some((tp, seq)) = self.released.pop() {
            if let Some(id) = self.forwards.find(tp, seq) {
                self.send(id, effects);
            }
        }
    }

    /// A forward's back-off has passed.
    pub(super) fn forward_due(&mut self, id: ForwardId, effects: &mut Vec<Effect>) {
        self.send(id, effects);
    }

    pub(super) fn forwarded(&mut self, forwarded: Forwarded, now: Instant, effects: &mut Vec<Effect>) {
        let Forwarded { id, result } = forwarded;
        let sent = self.forwards.get_mut(id).filter(|forwarding| forwarding.sent);
        let Some((claim, parked)) = sent.map(|forwarding| (forwarding.claim, forwarding.parked)) else {
            self.counters.stray += 1;
            return;
        };
        if claim.stale {
            self.forwards.remove(id);
            // A numbered letter is half of a fact: the other half, that its key is parked, went with the assignment.
            let whole = (parked.is_none() && !claim.numbered) || self.breaks(Wrong::LateLetterCounts);
            match result {
                ForwardResult::Confirmed if whole => self.done_late(&claim),
                _ => {}
            }
            return self.let_go(&claim);
        }
        match result {
            ForwardResult::Confirmed => self.confirmed(id),
            ForwardResult::Failed(failure) => self.forward_failed(id, &failure, now),
            ForwardResult::Refused(failure) => self.forward_refused(id, &failure, now, effects),
        }
        self.wake(claim.tp);
    }

    fn send(&mut self, id: ForwardId, effects: &mut Vec<Effect>) {
        let Some(forwarding) = self.forwards.get_mut(id).filter(|forwarding| !forwarding.sent) else { return };
        forwarding.sent = true;
        let (to, claim, record) = (forwarding.to.clone(), forwarding.claim, forwarding.record.clone());
        let parked = self.letter_number(&claim, &to, &record);
        if let Some(forwarding) = self.forwards.get_mut(id) {
            forwarding.parked = parked;
        }
        effects.push(Effect::Forward(Box::new(Forward { id, to, tp: claim.tp, record, parked })));
    }

    fn confirmed(&mut self, id: ForwardId) {
        let Some(forwarding) = self.forwards.remove(id) else { return };
        let (claim, reason) = (forwarding.claim, forwarding.reason_when_failed());
        let Claim { tp, seq, .. } = claim;
        self.partitions[tp.index()].forwarding -= 1;
        self.mend_hold(tp, reason);
        match forwarding.to {
            Destination::Output(_) => {
                self.counters.forwarded_output += 1;
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
        let Some(forwarding) = self.forwards.get_mut(id) else { return };
        forwarding.sent = false;
        forwarding.failures = forwarding.failures.saturating_add(1);
        let (claim, failures, reason) = (forwarding.claim, forwarding.failures, forwarding.reason_when_failed());
        self.note_forward_failure(claim.tp, reason, failure.class, now);
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
        forwarding.sent = false;
        forwarding.failures = forwarding.failures.saturating_add(1);
        let reason = forwarding.reason_when_failed();
        self.counters.forward_failures += 1;
        self.note_forward_failure(claim.tp, reason, failure.class, now);
        self.timers.set(now + self.policy.retry.max_delay, Alarm::Forward(id));
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
