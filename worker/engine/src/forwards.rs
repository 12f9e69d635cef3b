//! Records on their way to another topic, or waiting to be written there again.

use penstock_crds::checkpoint::HoldReason;

use crate::calls::Claim;
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
        *place = Some(forwarding);
        self.in_use += 1;
        ForwardId { slot, serial: *serial }
    }

    /// The forward of an entry of the present ledger.
    pub(crate) fn find(&self, tp: Tp, seq: u64) -> Option<ForwardId> {
        let mine = |claim: &Claim| claim.tp == tp && claim.seq == seq && !claim.stale;
        let place = (0..).zip(&self.slots).find(|(_, (_, place))| place.as_ref().is_some_and(|one| mine(&one.claim)));
        place.map(|(slot, (serial, _))| ForwardId { slot, serial: *serial })
    }

    /// An output could not be written: those that the producer got behind it in its lane do not count. Returns their claims.
    pub(crate) fn recall(&mut self, failed: &Claim) -> impl Iterator<Item = Claim> {
        let failed = *failed;
        let all = self.slots.iter_mut().filter_map(|(_, place)| place.as_mut());
        all.filter(move |one| failed.is_before(&one.claim)).filter_map(|one| {
            one.stage = match one.stage {
                Stage::Sent => Stage::Recalled,
                Stage::Written => Stage::Held,
                Stage::Held | Stage::BackingOff | Stage::Recalled => return None,
            };
            Some(one.claim)
        })
    }

    /// Whether the producer has one that stands before that in its lane.
    pub(crate) fn is_behind_another(&self, claim: &Claim) -> bool {
        let mut sent =
            self.slots.iter().filter_map(|(_, place)| place.as_ref()).filter(|one| one.stage.is_with_producer());
        sent.any(|one| one.claim.is_before(claim))
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
        self.free.push(id.slot);
        self.in_use -= 1;
        self.output_bytes -= output_bytes(&forwarding.to);
        Some(forwarding)
    }

    /// Drops those of a partition that wait; the producer has the others, whose claims are returned. What was written before its turn will
    /// be written once more, and so does nothing count that stands behind it.
    pub(crate) fn forsake(&mut self, tp: Tp) -> impl Iterator<Item = &mut Claim> {
        let all = self.slots.iter().filter_map(|(_, place)| place.as_ref());
        let written = all.filter(|one| one.claim.tp == tp && one.stage == Stage::Written).map(|one| one.claim);
        for claim in written.collect::<Vec<_>>() {
            self.recall(&claim).for_each(drop);
        }
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
