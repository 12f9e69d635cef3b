//! Lanes: what may not run at the same time stands in one queue.
//!
//! A lane is found by a 64-bit hash. It holds the records of a key as a linked list through the ledger's entries. A lane
//! outlives the assignment: a call of an earlier assignment that still runs *holds* it, so that the same key is not
//! called twice at once after a revoke-and-return (S5).

use core::hash::BuildHasherDefault;
use std::collections::HashMap;

use crate::hash::Identity;

/// Index of a lane in its partition's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LaneId(u32);

impl LaneId {
    /// Of a record that runs on its own.
    pub(crate) const NONE: Self = Self(u32::MAX);
}

/// No entry: the end of a lane's list.
const NO_SEQ: u64 = u64::MAX;

/// Idle lanes that are kept to spare the map an insertion and a removal per record.
const IDLE_MAX: usize = 4096;

#[derive(Debug, Default)]
pub(crate) struct Lanes {
    by_hash: HashMap<u64, u32, BuildHasherDefault<Identity>>,
    table: Vec<Lane>,
    free: Vec<u32>,
    /// Lanes whose list is empty; counted roughly, put right by each sweep.
    idle: usize,
}

#[derive(Clone, Copy, Debug)]
struct Lane {
    hash: u64,
    /// First entry that is not done. [`NO_SEQ`] for an idle lane.
    head: u64,
    tail: u64,
    /// Calls and forwards of earlier assignments that have not ended.
    holds: u32,
    /// Its records that are in a call of the present assignment.
    running: u32,
    /// Records taken since the last one that was not, and one: what a call may hold of the lane where it may hold several.
    batch_limit: u32,
    /// The last entry whose output the producer got behind those of all before it, or that needs none there. [`NO_SEQ`] for none.
    put_out: u64,
}

/// What joining a lane means for the entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Joined {
    /// It is the first: it may run.
    First,
    /// It is the first, but an earlier assignment's call still holds the lane.
    Held,
    /// It stands behind this entry, whose `next` it must become.
    Behind(u64),
}

impl Lanes {
    /// The lane of a hash, if there is one: for records that have a lane only by exception.
    pub(crate) fn find(&self, hash: u64) -> Option<LaneId> {
        self.by_hash.get(&hash).map(|index| LaneId(*index))
    }

    /// The lane of a hash, made if missing.
    pub(crate) fn find_or_make(&mut self, hash: u64) -> LaneId {
        if let Some(index) = self.by_hash.get(&hash) {
            return LaneId(*index);
        }
        if self.idle > IDLE_MAX {
            self.sweep();
        }
        let lane =
            Lane { hash, head: NO_SEQ, tail: NO_SEQ, holds: 0, running: 0, batch_limit: u32::MAX, put_out: NO_SEQ };
        let index = self.free.pop().unwrap_or_else(|| {
            self.table.push(lane);
            u32::try_from(self.table.len() - 1).unwrap_or(u32::MAX) // one lane per held record: the window is far smaller
        });
        self.table[index as usize] = lane;
        self.by_hash.insert(hash, index);
        self.idle += 1;
        LaneId(index)
    }

    /// Appends an entry.
    pub(crate) fn join(&mut self, id: LaneId, seq: u64) -> Joined {
        let lane = &mut self.table[id.0 as usize];
        let behind = core::mem::replace(&mut lane.tail, seq);
        if lane.head != NO_SEQ {
            return Joined::Behind(behind);
        }
        lane.head = seq;
        self.idle = self.idle.saturating_sub(1);
        if lane.holds > 0 { Joined::Held } else { Joined::First }
    }

    /// First entry of the lane that is not done.
    pub(crate) fn head(&self, id: LaneId) -> Option<u64> {
        Some(self.table[id.0 as usize].head).filter(|seq| *seq != NO_SEQ)
    }

    /// The head is done and `next` follows it. Returns the entry that may run now.
    pub(crate) fn advance(&mut self, id: LaneId, next: Option<u64>) -> Option<u64> {
        let lane = &mut self.table[id.0 as usize];
        lane.head = next.unwrap_or(NO_SEQ);
        if next.is_none() {
            lane.tail = NO_SEQ;
            self.idle += 1;
        }
        next.filter(|_| lane.holds == 0)
    }

    /// A call of an earlier assignment keeps the lane shut.
    pub(crate) fn hold(&mut self, hash: u64) -> LaneId {
        let id = self.find_or_make(hash);
        self.table[id.0 as usize].holds += 1;
        id
    }

    /// One such call ended. Returns the entry that may run now.
    pub(crate) fn let_go(&mut self, id: LaneId) -> Option<u64> {
        let lane = &mut self.table[id.0 as usize];
        lane.holds -= 1;
        (lane.holds == 0 && lane.head != NO_SEQ).then_some(lane.head)
    }

    /// One of its records is in a call.
    pub(crate) fn begin_call(&mut self, id: LaneId) {
        if let Some(lane) = self.table.get_mut(id.0 as usize) {
            lane.running += 1;
        }
    }

    /// The call of one of its records ended.
    pub(crate) fn end_call(&mut self, id: LaneId) {
        if let Some(lane) = self.table.get_mut(id.0 as usize) {
            lane.running -= 1;
        }
    }

    /// Whether no further call may hold its records now: one has not ended, be it of an earlier assignment (S5).
    pub(crate) fn is_shut(&self, id: LaneId) -> bool {
        self.table.get(id.0 as usize).is_some_and(|lane| lane.holds > 0 || lane.running > 0)
    }

    /// How many of its records one call may hold, where it may hold several. What stands behind a failure is sent in vain, so after one
    /// it is a single record, and twice as many with each call that is taken as a whole. Outages and overload count as failures here.
    pub(crate) fn batch_limit(&self, id: LaneId) -> usize {
        self.table.get(id.0 as usize).map_or(1, |lane| lane.batch_limit as usize)
    }

    /// A call has taken a record of the lane, or has not.
    pub(crate) fn adjust_batch_limit(&mut self, id: LaneId, taken: bool) {
        if let Some(lane) = self.table.get_mut(id.0 as usize) {
            lane.batch_limit = if taken { lane.batch_limit.saturating_add(1) } else { 1 };
        }
    }

    /// The last entry whose output the producer got behind those of all before it: it takes the next one's too.
    pub(crate) fn put_out(&self, id: LaneId) -> Option<u64> {
        self.table.get(id.0 as usize).map(|lane| lane.put_out).filter(|seq| *seq != NO_SEQ)
    }

    /// The producer has an entry's output now; or none, where one could not be written, and nothing may go ahead of it any more.
    pub(crate) fn set_put_out(&mut self, id: LaneId, seq: Option<u64>) {
        if let Some(lane) = self.table.get_mut(id.0 as usize) {
            lane.put_out = seq.unwrap_or(NO_SEQ);
        }
    }

    /// The hash that finds it.
    pub(crate) fn hash(&self, id: LaneId) -> u64 {
        self.table[id.0 as usize].hash
    }

    fn sweep(&mut self) {
        let (table, free) = (&self.table, &mut self.free);
        self.by_hash.retain(|_, index| {
            let lane = &table[*index as usize];
            let keep = lane.head != NO_SEQ || lane.holds > 0;
            if !keep {
                free.push(*index);
            }
            keep
        });
        self.idle = 0;
    }
}
