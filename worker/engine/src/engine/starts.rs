//! Slots: calls are made up and started.

use super::picks::{One, Picked};
use super::{Engine, Member};
use crate::calls::{Claim, Flight, Kind};
use crate::lanes::LaneId;
use crate::ledger::{Entry, State};
use crate::seam::{CallId, Delivery, DeliveryList, Effect, Redriven, Start, Tp};
use crate::solitude::Solitude;
use crate::time::Instant;
use crate::wrong::Wrong;

/// Answers that wait to be written take no more than one part in so many of what the window takes, but for those of calls that run: the
/// producer has a copy of each, and all of it has to fit in what is neither the window's nor librdkafka's.
const OUTPUTS_SHARE: u64 = 2;

/// A call of several records being made up.
struct Draft {
    kind: Kind,
    deliveries: Vec<Delivery>,
    bytes: u64,
}

impl Draft {
    const fn new(kind: Kind) -> Self {
        Self { kind, deliveries: Vec::new(), bytes: 0 }
    }
}

impl Engine {
    /// Starts whatever may start.
    pub(super) fn fill(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        if self.paused || self.shutting_down || self.processor != super::Processor::Ready {
            return;
        }
        if self.probes() {
            self.solitude = Solitude::Unwanted; // nobody waits for a suspect, but all for the processor
        }
        self.ask_before_starts(now);
        while self.may_call(now) && self.has_slot() {
            if self.waits_for_more(now) {
                return;
            }
            let Some(picked) = self.pick(now) else { return };
            self.start(picked, now, effects);
        }
    }

    /// Whether neither circuit nor fuse is in the way, or a probe is due.
    fn may_call(&self, now: Instant) -> bool {
        let circuit = self.circuit.admits(now) || self.breaks(Wrong::CircuitIgnored);
        circuit && self.fuse.admits(now)
    }

    /// Whether another record may be handed over: a place in the producer is reserved before, and answers that cannot be written do not
    /// pile up. Where all that are kept wait for a record before them in their lane, that one may have to be called first: then one call
    /// of one record at a time goes on.
    fn has_place(&self) -> bool {
        let alone = || self.calls.records() == 0 && self.forwards.admits_one_more(self.forward_room);
        !self.policy.forwards() || self.places_are_free(1) || alone()
    }

    /// Whether less than one part in so many is taken of the places in the producer, and of the memory for answers.
    fn places_are_free(&self, share: u32) -> bool {
        let places = self.calls.records() + self.forwards.len();
        let bytes = self.policy.window_bytes / OUTPUTS_SHARE / u64::from(share);
        places < self.forward_room / share && self.forwards.output_bytes() < bytes
    }

    /// Whether a lane may be called on while what it has put out is being written. Half of the places are left to those that have nothing on
    /// its way: an output partition that is away stops whoever writes there, and no other (L4).
    pub(super) fn may_overlap(&self) -> bool {
        self.policy.overlaps_writes() && self.places_are_free(2)
    }

    /// Whether a record would be called while outputs before it are being written, and there are too many by now. In the call that holds
    /// those before it, it may be.
    fn is_one_too_many(&self, tp: Tp, lane: LaneId, seq: u64) -> bool {
        let partition = &self.partitions[tp.index()];
        let overlaps = || !partition.is_first(lane, seq) && !partition.lanes.is_shut(lane);
        self.policy.overlaps_writes() && overlaps() && !self.may_overlap()
    }

    pub(super) fn has_slot(&self) -> bool {
        self.calls.len() < self.limiter.limit() && !self.taken.solo && self.has_place()
    }

    /// A batch waits for more records only while others are in flight, and not for long.
    fn waits_for_more(&mut self, now: Instant) -> bool {
        let batch = &self.policy.batch;
        if batch.max_records <= 1 || batch.max_wait.is_zero() {
            return false;
        }
        let ready: usize = self.fresh.iter().map(|tp| self.partitions[tp.index()].fresh.seqs.len()).sum();
        let full = ready == 0 || ready >= batch.max_records as usize;
        if full || self.calls.len() == 0 {
            self.batch_due = None;
            return false;
        }
        let suspects = !self.suspects.is_empty() || self.solitude.is_the_suspects();
        if !self.again.is_empty() || !self.groups.is_empty() || suspects {
            return false;
        }
        let due = *self.batch_due.get_or_insert(now + batch.max_wait);
        if now >= due {
            self.batch_due = None; // the next one waits for itself
        }
        now < due
    }

    fn start(&mut self, picked: Picked, now: Instant, effects: &mut Vec<Effect>) {
        match picked {
            Picked::One(one) if self.makes_batches(one.kind) => self.start_batch(one, now, effects),
            Picked::One(one) => self.start_one(one, now, effects),
            Picked::Group(members, kind) => self.start_group(members, kind, now, effects),
        }
    }

    /// Whether a call that begins with a record of this kind is filled up with others.
    fn makes_batches(&self, kind: Kind) -> bool {
        self.policy.batch.max_records > 1 && matches!(kind, Kind::Fresh | Kind::Again) && !self.probes()
    }

    /// Starts the usual call, of a record alone.
    fn start_one(&mut self, one: One, now: Instant, effects: &mut Vec<Effect>) {
        let Some(delivery) = self.call_one(one, now, effects) else { return };
        let (call, deadline) = (delivery.ticket.call, now + self.policy.timeout);
        effects.push(Effect::Start(Start { call, deadline, deliveries: DeliveryList::One(delivery) }));
    }

    /// Makes a call of a record alone, if it may be called.
    pub(super) fn call_one(&mut self, one: One, now: Instant, effects: &mut Vec<Effect>) -> Option<Delivery> {
        let attempt = self.admit(one.tp, one.seq, now, effects)?;
        let delivery = self.claim(one, attempt, None, now)?;
        self.started(delivery.ticket.call, one.kind, now);
        Some(delivery)
    }

    fn start_group(&mut self, members: Vec<Member>, kind: Kind, now: Instant, effects: &mut Vec<Effect>) {
        let (mut draft, mut left) = (Draft::new(kind), Vec::new());
        for member in members {
            if self.has_place() && self.has_room(member) {
                self.add(&mut draft, member.tp, member.seq, now, effects);
            } else {
                left.push(member);
            }
        }
        if !left.is_empty() {
            self.return_group(left, kind);
        }
        self.send(draft, now, effects);
    }

    /// Starts a batch: one record per lane, or a lane's next ones too.
    fn start_batch(&mut self, mut one: One, now: Instant, effects: &mut Vec<Effect>) {
        let mut draft = Draft::new(one.kind);
        loop {
            if self.add(&mut draft, one.tp, one.seq, now, effects) {
                self.add_followers(&mut draft, one.tp, one.seq, now, effects);
            }
            if draft.deliveries.is_empty() || self.is_full(&draft) {
                break;
            }
            let Some(next) = self.pick_plain() else { break };
            one = next;
        }
        self.send(draft, now, effects);
    }

    /// Under `sameLane`, the records behind the last one, `seq`, follow it into the batch, as many as the lane's [`batch_limit`] allows.
    ///
    /// [`batch_limit`]: crate::lanes::Lanes::batch_limit
    fn add_followers(&mut self, draft: &mut Draft, tp: Tp, seq: u64, now: Instant, effects: &mut Vec<Effect>) {
        if !self.policy.batch.same_lane {
            return;
        }
        let mut last = seq;
        let partition = &self.partitions[tp.index()];
        let limit = partition.ledger.get(seq).map_or(1, |entry| partition.lanes.batch_limit(entry.lane));
        for _ in 1..limit {
            if self.is_full(draft) {
                return;
            }
            let partition = &mut self.partitions[tp.index()];
            let next = partition.ledger.following(last).filter(|next| partition.may_follow(*next, self.room));
            let Some(next) = next else { return };
            if !self.add(draft, tp, next, now, effects) {
                return;
            }
            last = next;
        }
    }

    /// Whether a batch takes no further record.
    fn is_full(&self, draft: &Draft) -> bool {
        let batch = &self.policy.batch;
        draft.deliveries.len() >= batch.max_records as usize || draft.bytes >= batch.max_bytes || !self.has_place()
    }

    /// Adds a record to a call, if it may be called. Returns whether it did.
    fn add(&mut self, draft: &mut Draft, tp: Tp, seq: u64, now: Instant, effects: &mut Vec<Effect>) -> bool {
        let Some(attempt) = self.admit(tp, seq, now, effects) else { return false };
        let call = draft.deliveries.first().map(|first| first.ticket.call);
        let one = One { tp, seq, kind: draft.kind };
        let Some(delivery) = self.claim(one, attempt, call, now) else { return false };
        draft.bytes += self.partitions[tp.index()].ledger.get(seq).map_or(0, |entry| u64::from(entry.weight));
        draft.deliveries.push(delivery);
        true
    }

    /// Which attempt at a record it would be to call it now. None where it is not called: it failed for good under an earlier owner and is
    /// finished here, goes after its key's dead letters, or stays in its lane for now.
    fn admit(&mut self, tp: Tp, seq: u64, now: Instant, effects: &mut Vec<Effect>) -> Option<u32> {
        let Entry { offset, lane, troubled, .. } = *self.partitions[tp.index()].ledger.get(seq)?;
        if self.is_one_too_many(tp, lane, seq) {
            self.partitions[tp.index()].ledger.set(seq, State::Queued); // until something of its lane is written
            return None;
        }
        if self.diverted(tp, seq, effects) {
            return None;
        }
        let trouble = if troubled { self.partitions[tp.index()].troubles.get(offset) } else { None };
        let Some(trouble) = trouble else { return Some(1) };
        let (spent, attempt) = (trouble.is_spent(&self.policy.retry), trouble.attempts.saturating_add(1));
        if spent && self.fuse.is_blown().is_none() && !self.blocks(tp, seq) {
            self.exhausted(tp, seq, now, effects);
            self.wake(tp);
            return None;
        }
        Some(attempt)
    }

    /// Makes a record part of a call, or of a new one.
    fn claim(&mut self, one: One, attempt: u32, call: Option<CallId>, now: Instant) -> Option<Delivery> {
        let One { tp, seq, kind } = one;
        let (parks_keys, on_our_thread) = (self.policy.parks_keys(), self.policy.on_our_thread);
        let partition = &mut self.partitions[tp.index()];
        let (entry, record) = partition.ledger.start(seq)?;
        let numbered = parks_keys && Redriven::of(&record).is_some();
        let claim = Claim { numbered, ..partition.claim_on(tp, seq, &entry, &record) };
        let owner = partition.owner;
        partition.lanes.begin_call(entry.lane);
        partition.usage.begin(call.is_none() && !on_our_thread, now);
        let flight = Flight { claim, kind };
        let ticket = match call {
            None => self.calls.start(flight, now, now + self.policy.timeout),
            Some(call) => self.calls.add(call, flight),
        };
        Some(Delivery { ticket, tp, attempt, owner, record })
    }

    fn send(&mut self, draft: Draft, now: Instant, effects: &mut Vec<Effect>) {
        let Draft { kind, mut deliveries, .. } = draft;
        let Some(call) = deliveries.first().map(|first| first.ticket.call) else { return };
        self.started(call, kind, now);
        let deliveries = match deliveries.pop() {
            Some(only) if deliveries.is_empty() => DeliveryList::One(only),
            last => {
                deliveries.extend(last);
                DeliveryList::Many(deliveries)
            }
        };
        effects.push(Effect::Start(Start { call, deadline: now + self.policy.timeout, deliveries }));
    }

    /// A call is on its way.
    fn started(&mut self, call: CallId, kind: Kind, now: Instant) {
        self.take_slot(kind, now);
        self.circuit.started(call);
        self.fuse.started(call);
        self.counters.calls += 1;
    }

    fn take_slot(&mut self, kind: Kind, now: Instant) {
        match kind {
            Kind::Fresh => self.taken.fresh_in_a_row = self.taken.fresh_in_a_row.saturating_add(1),
            Kind::Again => (self.taken.again, self.taken.fresh_in_a_row) = (self.taken.again + 1, 0),
            Kind::Suspect => self.taken.suspects += 1,
            Kind::Solo => {
                (self.taken.suspects, self.taken.solo) = (self.taken.suspects + 1, true);
                self.solitude.begin(now);
            }
        }
    }

    /// A call ended.
    pub(super) fn return_slot(&mut self, kind: Kind, now: Instant) {
        match kind {
            Kind::Fresh => {}
            Kind::Again => self.taken.again -= 1,
            Kind::Suspect => self.taken.suspects -= 1,
            Kind::Solo => {
                (self.taken.suspects, self.taken.solo) = (self.taken.suspects - 1, false);
                self.solitude.end(now);
            }
        }
    }
}
