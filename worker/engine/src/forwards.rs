//! Records on their way to another topic, or waiting to be written there again.

use std::collections::BTreeMap;

use penstock_crds::checkpoint::HoldReason;

use crate::calls::Claim;
use crate::lanes::LaneId;
use crate::seam::{Destination, ForwardId, LetterNumber, OutputRecord, Record, Tp};

#[derive(Debug)]
pub(crate) struct Forwarding {
    pub(crate) claim: Claim,
    pub(crate) to: Destination,
    pub(crate) record: Record,
    /// Failed writes so far.
    pub(crate) failures: u32,
    pub(crate) stage: Stage,
    /// Its number, where keys are parked.
    pub(crate) parked: Option<LetterNumber>,
    /// A batch that it was in was refused as a whole, so it gets one of its own.
    pub(crate) alone: bool,
}

/// How far a forward is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Waits for its turn in its lane.
    Held,
    /// Waits for its back-off to pass.
    BackingOff,
    /// The producer has it.
    Sent,
    /// The producer has it, and one before it in its lane could not be written: it is to be written again behind that one.
    Recalled,
    /// Confirmed, earlier than one before it in its lane: it is done when that is.
    Written,
}

impl Stage {
    /// Whether a report of it is still to come.
    pub(crate) const fn is_with_producer(self) -> bool {
        matches!(self, Self::Sent | Self::Recalled)
    }
}

impl Forwarding {
    /// One that the producer does not have yet.
    pub(crate) fn new(claim: Claim, to: Destination, record: Record) -> Self {
        Self { claim, to, record, failures: 0, stage: Stage::Held, parked: None, alone: false }
    }

    /// Whether nothing is to be written: its record is done in its turn behind the outputs before it.
    pub(crate) fn is_nothing(&self) -> bool {
        matches!(&self.to, Destination::Output(output) if output.records.is_empty())
    }

    /// What the producer got of it does not count.
    fn recall(&mut self) {
        self.stage = match self.stage {
            Stage::Sent => Stage::Recalled,
            Stage::Written => Stage::Held,
            stage => stage,
        };
    }

    /// Why its partition is held while it cannot be written.
    pub(crate) fn reason_when_failed(&self) -> HoldReason {
        match self.to {
            Destination::Output(_) => HoldReason::OutputFailed,
            Destination::DeadLetter(_) | Destination::Delay { .. } => HoldReason::ForwardFailed,
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Forwards {
    slots: Vec<(u32, Option<Forwarding>)>,
    free: Vec<u32>,
    in_use: u32,
    output_bytes: u64,
    /// Slots by the entry in the present ledger, where it has a lane.
    by_entry: BTreeMap<(Tp, u64), u32>,
}

/// What an answer takes in memory, as far as its records' bytes go.
fn output_bytes(to: &Destination) -> u64 {
    let Destination::Output(output) = to else { return 0 };
    let length = |bytes: &Option<Box<[u8]>>| bytes.as_ref().map_or(0, |bytes| bytes.len());
    let headers =
        |one: &OutputRecord| one.headers.iter().map(|(name, value)| name.len() + length(value)).sum::<usize>();
    let bytes: usize = output.records.iter().map(|one| length(&one.key) + length(&one.value) + headers(one)).sum();
    bytes as u64
}

impl Forwards {
    /// Forwards that wait or are under way: each keeps its place in the producer.
    pub(crate) fn len(&self) -> u32 {
        self.in_use
    }

    /// Bytes of the answers that are not written yet.
    pub(crate) fn output_bytes(&self) -> u64 {
        self.output_bytes
    }

    /// Whether nothing but answers keeps the places, all of them held back for the record before them in their lane. The producer has none
    /// of those, so that there is room for one more; dead letters, which may be refused for long, take what they take.
    pub(crate) fn admits_one_more(&self, room: u32) -> bool {
        let mut under_way =
            self.slots.iter().filter_map(|(_, place)| place.as_ref()).filter(|one| one.stage != Stage::Held);
        let is_answer = |one: &Forwarding| matches!(one.to, Destination::Output(_));
        let letters = under_way.try_fold(0_u32, |letters, one| (!is_answer(one)).then_some(letters + 1));
        letters.is_some_and(|letters| letters < room)
    }

    pub(crate) fn insert(&mut self, forwarding: Forwarding) -> ForwardId {
        self.output_bytes += output_bytes(&forwarding.to);
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push((0, None));
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX) // at most `ForwardRoom`, a u32
        });
        let (serial, place) = &mut self.slots[slot as usize];
        *serial = serial.wrapping_add(1);
        let claim = forwarding.claim;
        if claim.lane != LaneId::NONE {
            self.by_entry.insert((claim.tp, claim.seq), slot);
        }
        *place = Some(forwarding);
        self.in_use += 1;
        ForwardId { slot, serial: *serial }
    }

    /// The forward of an entry of the present ledger that has a lane.
    pub(crate) fn find(&self, tp: Tp, seq: u64) -> Option<ForwardId> {
        let slot = *self.by_entry.get(&(tp, seq))?;
        self.slots.get(slot as usize).map(|(serial, _)| ForwardId { slot, serial: *serial })
    }

    /// One before that of an entry in its lane could not be written: should the producer have it, it does not count.
    pub(crate) fn recall(&mut self, tp: Tp, seq: u64) {
        if let Some(forwarding) = self.find(tp, seq).and_then(|id| self.get_mut(id)) {
            forwarding.recall();
        }
    }

    /// Whether one of a partition failed for that reason and is not confirmed since.
    pub(crate) fn any_failing(&self, tp: Tp, reason: HoldReason) -> bool {
        let failing = |one: &Forwarding| {
            one.claim.tp == tp && one.failures > 0 && one.reason_when_failed() == reason && !one.claim.stale
        };
        self.slots.iter().any(|(_, place)| place.as_ref().is_some_and(failing))
    }

    pub(crate) fn get_mut(&mut self, id: ForwardId) -> Option<&mut Forwarding> {
        let (serial, place) = self.slots.get_mut(id.slot as usize)?;
        if *serial == id.serial { place.as_mut() } else { None }
    }

    pub(crate) fn remove(&mut self, id: ForwardId) -> Option<Forwarding> {
        let (serial, place) = self.slots.get_mut(id.slot as usize)?;
        let forwarding = if *serial == id.serial { place.take() } else { None }?;
        let claim = forwarding.claim;
        if claim.lane != LaneId::NONE && !claim.stale {
            self.by_entry.remove(&(claim.tp, claim.seq));
        }
        self.free.push(id.slot);
        self.in_use -= 1;
        self.output_bytes -= output_bytes(&forwarding.to);
        Some(forwarding)
    }

    /// Drops those of a partition that wait, or were written before their turn; the producer has the others, whose claims are returned.
    pub(crate) fn forsake(&mut self, tp: Tp) -> impl Iterator<Item = &mut Claim> {
        self.by_entry.retain(|(other, _), _| *other != tp);
        for (slot, (_, place)) in (0..).zip(self.slots.iter_mut()) {
            if let Some(waiting) =
                place.take_if(|forwarding| forwarding.claim.tp == tp && !forwarding.stage.is_with_producer())
            {
                self.output_bytes -= output_bytes(&waiting.to);
                self.free.push(slot);
                self.in_use -= 1;
            }
        }
        let sent = self.slots.iter_mut().filter_map(|(_, place)| place.as_mut());
        sent.map(|forwarding| &mut forwarding.claim).filter(move |claim| claim.tp == tp)
    }
}
