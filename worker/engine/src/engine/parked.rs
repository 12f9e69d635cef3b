//! Records of parked keys: they go after their key's dead letters, unless it is their turn.

use core::time::Duration;
use std::sync::Arc;

use penstock_crds::checkpoint::{ErrorClass, HoldReason};

use super::Engine;
use crate::calls::Claim;
use crate::lanes::LaneId;
use crate::ledger::Entry;
use crate::parking::Turn;
use crate::partition::{Held, Partition};
use crate::policy::OnExhausted;
use crate::seam::{Destination, Effect, Failure, LetterNumber, Record, Redriven, Tp, Undelivered};
use crate::time::Instant;
use crate::wrong::Wrong;

impl Engine {
    /// Sends a record of a parked key after its dead letters, or passes over one that need not be called. Returns whether it did.
    pub(super) fn diverted(&mut self, tp: Tp, seq: u64, effects: &mut Vec<Effect>) -> bool {
        if !self.policy.parks_keys() {
            return false;
        }
        let overtakes = self.breaks(Wrong::FollowerOvertakesParkedKey);
        let partition = &self.partitions[tp.index()];
        let Some((entry, key, record)) = partition.keyed(seq) else { return false };
        match partition.parking.turn(key, Redriven::of(&record)) {
            Turn::Free | Turn::Due => return false,
            Turn::After(_) if overtakes => return false,
            Turn::After(letter) => {
                self.counters.parked_after += 1;
                let claim = partition.claim_on(tp, seq, &entry, &record);
                self.forward(claim, Destination::DeadLetter(Arc::new(not_tried(letter))), effects);
            }
            Turn::Known => {
                self.counters.redriven_again += 1;
                self.complete(tp, seq);
            }
            Turn::Dropped => {
                self.counters.discarded += 1;
                self.succeeded(tp, seq);
            }
        }
        self.wake(tp);
        true
    }

    /// The record is done, and by its own merit: if it came back from the dead letters, the next one is due.
    pub(super) fn succeeded(&mut self, tp: Tp, seq: u64) {
        let at_once = self.breaks(Wrong::ParkingEndsAtFirstLetter);
        let partition = &mut self.partitions[tp.index()];
        if partition.parking.len() > 0
            && let Some((_, key, record)) = partition.keyed(seq)
        {
            if partition.parking.acknowledged(key, Redriven::of(&record)) {
                self.counters.parkings_ended += 1;
                partition.mend_room_for_keys();
            } else if at_once && Redriven::of(&record).is_some() {
                partition.parking.forget(key);
            }
        }
        self.complete(tp, seq);
    }

    /// Whether a record that failed for good is kept and tried again: as the pipeline wants it, or because no more keys can be parked.
    pub(super) fn blocks(&mut self, tp: Tp, seq: u64) -> bool {
        match self.policy.on_exhausted {
            OnExhausted::Block => true,
            OnExhausted::DeadLetter | OnExhausted::Discard => false,
            OnExhausted::ParkKey => {
                let partition = &mut self.partitions[tp.index()];
                let Some((entry, key, _)) = partition.keyed(seq) else { return false };
                !partition.parking.has(key) && !self.room.admits_key(partition, entry.offset)
            }
        }
    }

    /// A record blocks its lane for want of a place among the parked keys: that is to be known.
    pub(super) fn tell_no_room_for_keys(&mut self, tp: Tp, class: ErrorClass, now: Instant) {
        if self.policy.parks_keys() {
            let (reason, since) = (HoldReason::ParkedKeysFull, now);
            self.partitions[tp.index()].hold.get_or_insert(Held { reason, class, since, lost: None });
        }
    }

    /// The number of a dead letter that is about to be written, where keys are parked.
    pub(super) fn letter_number(&self, claim: &Claim, to: &Destination, record: &Record) -> Option<LetterNumber> {
        let is_letter = matches!(to, Destination::DeadLetter(_)) && self.policy.parks_keys();
        if !is_letter || claim.lane == LaneId::NONE || record.key().is_none() {
            return None;
        }
        let partition = &self.partitions[claim.tp.index()];
        Some(partition.parking.number(partition.lanes.hash(claim.lane), claim.offset, Redriven::of(record)))
    }

    /// A numbered letter is on its topic.
    pub(super) fn lettered(&mut self, claim: &Claim, letter: LetterNumber) {
        let partition = &mut self.partitions[claim.tp.index()];
        let key = partition.lanes.hash(claim.lane);
        partition.parking.lettered(key, letter);
    }
}

impl Partition {
    /// The entry, the hash of its key, and the record. None for a null key, even if its record has a lane, as it has while a call of an earlier
    /// assignment still runs it.
    pub(super) fn keyed(&self, seq: u64) -> Option<(Entry, u64, Record)> {
        let entry = self.ledger.get(seq).filter(|entry| entry.lane != LaneId::NONE).copied()?;
        let record = self.ledger.record(seq).filter(|record| record.key().is_some())?;
        Some((entry, self.lanes.hash(entry.lane), record))
    }

    /// What a call or a forward of this assignment holds of a record.
    pub(super) fn claim_on(&self, tp: Tp, seq: u64, entry: &Entry, record: &Record) -> Claim {
        let (offset, lane, log) = (entry.offset, entry.lane, self.log.generation);
        Claim { tp, seq, lane, offset, leader_epoch: record.leader_epoch(), log, stale: false, numbered: false }
    }

    /// A place among the parked keys is free, or may be: whoever still finds none says so again.
    pub(crate) fn mend_room_for_keys(&mut self) {
        self.hold = self.hold.filter(|held| held.reason != HoldReason::ParkedKeysFull);
    }
}

/// Why a record is a dead letter that nobody tried.
fn not_tried(letter: LetterNumber) -> Undelivered {
    let detail = format!("not tried: its key is parked behind offset {}", letter.generation);
    Undelivered { attempts: 0, failing_for: Duration::ZERO, failure: *Failure::new(ErrorClass::Parked, &detail) }
}
