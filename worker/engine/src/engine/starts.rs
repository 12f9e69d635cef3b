//! Slots: who is started next.
//!
//! Ready lanes are served round-robin over partitions. Retries take at most a quarter of the slots while fresh work waits.
//! A suspect runs beside others only with no other suspect, and alone in flight if that did not clear it.

use super::{Engine, Suspect};
use crate::calls::{Claim, Flight, Kind};
use crate::ledger::{Entry, State};
use crate::partition::{Partition, Phase};
use crate::policy::OnExhausted;
use crate::room::Room;
use crate::seam::{Delivery, DeliveryList, Effect, Start, Tp};
use crate::time::Instant;
use crate::wrong::Wrong;

/// Times a suspect may break in company before it runs alone.
const SUSPICION_IN_COMPANY: u32 = 1;

impl Engine {
    /// Starts whatever may start.
    pub(super) fn fill(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        if self.paused || self.shutting_down || self.processor != super::Processor::Ready {
            return;
        }
        while (self.circuit.admits(now) || self.breaks(Wrong::CircuitIgnored))
            && let Some((tp, seq, kind)) = self.pick()
        {
            self.launch(tp, seq, kind, now, effects);
        }
    }

    /// Lets the rota know that a partition may have something to start.
    pub(super) fn wake(&mut self, tp: Tp) {
        let partition = &mut self.partitions[tp.index()];
        if !partition.may_start() {
            return;
        }
        if !partition.fresh.in_rota && !partition.fresh.seqs.is_empty() {
            partition.fresh.in_rota = true;
            self.fresh.push_back(tp);
        }
        if !partition.again.in_rota && !partition.again.seqs.is_empty() {
            partition.again.in_rota = true;
            self.again.push_back(tp);
        }
    }

    /// A record's back-off has passed.
    pub(super) fn retry_due(&mut self, tp: Tp, epoch: u32, seq: u64) {
        let partition = &mut self.partitions[tp.index()];
        if partition.epoch != epoch || partition.phase != Phase::Flowing {
            return;
        }
        let Some(entry) = partition.ledger.get_mut(seq).filter(|entry| entry.state == State::Waiting) else { return };
        entry.state = State::Ready;
        let offset = entry.offset;
        if partition.troubles.get(offset).is_some_and(|trouble| trouble.suspicion > 0) {
            self.suspects.push_back(Suspect { tp, epoch, seq });
        } else {
            partition.again.seqs.push_back(seq);
            self.wake(tp);
        }
    }

    fn pick(&mut self) -> Option<(Tp, u64, Kind)> {
        loop {
            let busy = self.calls.len();
            let forwards = busy + self.forwards.len();
            if busy >= self.limiter.limit()
                || (self.policy.forwards() && forwards >= self.forward_room)
                || self.taken.solo
            {
                return None;
            }
            if !self.suspects.is_empty() && self.taken.suspects == 0 {
                match self.pick_suspect() {
                    Pick::Start(pick) => return Some(pick),
                    Pick::Wait => return None,
                    Pick::Nothing => {}
                }
            }
            let retry_first = !self.again.is_empty() && (self.fresh.is_empty() || self.retries_may_start());
            let (rota, kind) =
                if retry_first { (&mut self.again, Kind::Again) } else { (&mut self.fresh, Kind::Fresh) };
            let tp = rota.pop_front()?;
            let partition = &mut self.partitions[tp.index()];
            let (picked, more) = partition.pick(kind, self.room);
            if more {
                rota.push_back(tp);
            }
            match picked {
                Some(seq) => return Some((tp, seq, kind)),
                None => self.counters.starts_deferred += u64::from(!partition.queue_of(kind).seqs.is_empty()),
            }
        }
    }

    /// Whether a record waits for nothing but a slot.
    pub(super) fn has_ready(&self) -> bool {
        !self.fresh.is_empty() || !self.again.is_empty() || !self.suspects.is_empty()
    }

    fn retries_may_start(&self) -> bool {
        let quarter = self.limiter.limit() / 4;
        if quarter > 0 { self.taken.again + self.taken.suspects < quarter } else { self.taken.fresh_in_a_row >= 3 }
    }

    fn pick_suspect(&mut self) -> Pick {
        let mut index = 0;
        while let Some(suspect) = self.suspects.get(index).copied() {
            let partition = &mut self.partitions[suspect.tp.index()];
            let current = partition.epoch == suspect.epoch && partition.phase == Phase::Flowing;
            let entry = partition.ledger.get(suspect.seq).filter(|entry| current && entry.state == State::Ready);
            let Some(offset) = entry.map(|entry| entry.offset) else {
                self.suspects.remove(index);
                continue;
            };
            let first = partition.ledger.first() == Some(suspect.seq);
            if !partition.may_start() || (!first && !self.room.admits(partition, offset)) {
                index += 1; // the one at the frontier may stand behind it
                continue;
            }
            let suspicion = partition.troubles.get(offset).map_or(0, |trouble| trouble.suspicion);
            if suspicion > SUSPICION_IN_COMPANY && self.calls.len() > 0 {
                return Pick::Wait; // it must be alone: let the others end
            }
            let kind = if suspicion > SUSPICION_IN_COMPANY { Kind::Solo } else { Kind::Suspect };
            self.suspects.remove(index);
            return Pick::Start((suspect.tp, suspect.seq, kind));
        }
        Pick::Nothing
    }

    /// Calls the processor with a record, or finishes it if it failed for good under an earlier owner.
    fn launch(&mut self, tp: Tp, seq: u64, kind: Kind, now: Instant, effects: &mut Vec<Effect>) {
        let partition = &mut self.partitions[tp.index()];
        let Some(entry) = partition.ledger.get(seq).copied() else { return };
        let Some(record) = partition.ledger.record(seq) else { return };
        let (offset, lane) = (entry.offset, entry.lane);
        let trouble = partition.troubles.get(offset).filter(|_| entry.troubled);
        let over = trouble.is_some_and(|trouble| trouble.is_over(&self.policy.retry, now));
        let attempt = trouble.map_or(0, |trouble| trouble.attempts).saturating_add(1);
        if over && self.policy.on_exhausted != OnExhausted::Block {
            self.exhausted(tp, seq, now, effects);
            return;
        }
        let leader_epoch = record.leader_epoch();
        let claim = Claim { tp, seq, lane, offset, leader_epoch, log: partition.log.generation, stale: false };
        partition.ledger.set(seq, State::Running);
        partition.ledger.touch(offset);
        partition.usage.begin(now);
        let owner = partition.owner;
        let deadline = now + self.policy.timeout;
        let ticket = self.calls.start(Flight { claim, kind }, now, deadline);
        self.take_slot(kind);
        self.circuit.started(ticket.call);
        self.counters.calls += 1;
        let delivery = Delivery { ticket, tp, attempt, owner, record };
        effects.push(Effect::Start(Start { call: ticket.call, deadline, deliveries: DeliveryList::One(delivery) }));
    }

    fn take_slot(&mut self, kind: Kind) {
        match kind {
            Kind::Fresh => self.taken.fresh_in_a_row = self.taken.fresh_in_a_row.saturating_add(1),
            Kind::Again => (self.taken.again, self.taken.fresh_in_a_row) = (self.taken.again + 1, 0),
            Kind::Suspect => self.taken.suspects += 1,
            Kind::Solo => (self.taken.suspects, self.taken.solo) = (self.taken.suspects + 1, true),
        }
    }

    /// A call ended.
    pub(super) fn return_slot(&mut self, kind: Kind) {
        match kind {
            Kind::Fresh => {}
            Kind::Again => self.taken.again -= 1,
            Kind::Suspect => self.taken.suspects -= 1,
            Kind::Solo => (self.taken.suspects, self.taken.solo) = (self.taken.suspects - 1, false),
        }
    }
}

enum Pick {
    Start((Tp, u64, Kind)),
    Wait,
    Nothing,
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
            let Some(entry) = self.ledger.get(seq).filter(|entry| entry.state == State::Ready) else {
                self.queue_of(kind).seqs.pop_front(); // started out of turn as the record at the frontier
                continue;
            };
            let offset = entry.offset;
            if self.ledger.first() == Some(seq) || room.admits(self, offset) {
                self.queue_of(kind).seqs.pop_front();
                return Some(seq);
            }
            return self.ledger.first().filter(|first| self.is_ready(*first));
        }
        None
    }

    fn is_ready(&self, seq: u64) -> bool {
        let ready = |entry: &&Entry| entry.state == State::Ready;
        let trouble = self.ledger.get(seq).filter(ready).map(|entry| self.troubles.get(entry.offset));
        // A suspect waits for its own turn, out of this queue.
        trouble.is_some_and(|trouble| trouble.is_none_or(|trouble| trouble.suspicion == 0))
    }

    fn queue_of(&mut self, kind: Kind) -> &mut crate::partition::Queue {
        if kind == Kind::Fresh { &mut self.fresh } else { &mut self.again }
    }
}
