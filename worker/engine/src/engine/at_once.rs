//! Records that a processor answers at once are done as they come: nothing has to be kept of them.
//!
//! A record waits in the books (ledger, lane, queue, call) because others may go before it, beside it or wrong. Where nothing of its
//! partition is left to do, and the answer is there before the next record is looked at, none of that can be: the order of a partition is
//! an order of each of its keys, and the frontier is behind the last record. So the shell may call the processor first and tell the engine
//! afterwards. Whatever else there is (a retry, a fence, an open circuit, a place that is taken) has them go the usual way.

use core::time::Duration;

use super::picks::One;
use super::{Engine, Processor};
use crate::calls::Kind;
use crate::policy::Ordering;
use crate::seam::{Effect, Finished, Next, Outcome, Tp};
use crate::solitude::Solitude;
use crate::time::Instant;
use crate::wrong::Wrong;

impl Engine {
    /// Whether the records of a partition that are about to be handed over may be answered first, and from where on. The next event must
    /// be those records, at the same time, with what became of them.
    pub fn at_once(&mut self, tp: Tp, seq: u64, now: Instant) -> Option<Next> {
        self.mind_the_gap(now);
        let open = !self.paused && !self.shutting_down && self.processor == Processor::Ready && !self.probes();
        // An output is written, and a parked key has an order of its own.
        let plain = !self.policy.output && !self.policy.parks_keys();
        if !open || !plain || self.solitude != Solitude::Unwanted || !self.has_slot() {
            return None;
        }
        let silent = self.silent_groups(now);
        let careless = self.breaks(Wrong::AtOnceBesideOthers);
        let partition = self.partitions.get(tp.index()).filter(|partition| partition.seq == seq)?;
        let open = partition.may_start() && !silent[partition.group()] && partition.is_unprejudiced();
        (open && (careless || partition.ledger.first().is_none()))
            .then(|| Next { offset: partition.ledger.next_offset(), owner: partition.owner })
    }

    /// So many records of a partition were done as they came. While the processor had the loop no slot was free, however many are allowed: a
    /// worker is full when such a processor takes all of its time. Where partitions are lanes nothing is said, as records by busy slots are
    /// what the operator takes a lane to be capable of: it learns from workers with a backlog.
    pub(super) fn done_at_once(&mut self, tp: Tp, records: u32, (skipped, took): (u32, Duration), now: Instant) {
        if self.policy.ordering != Ordering::Partition {
            self.partitions[tp.index()].usage.took(took, self.policy.concurrency);
        }
        if records == 0 {
            return;
        }
        let records = u64::from(records);
        self.counters.received += records;
        self.counters.calls += records;
        self.counters.skipped += u64::from(skipped);
        self.counters.acknowledged += records - u64::from(skipped);
        let partition = &mut self.partitions[tp.index()];
        partition.usage.processed += records;
        partition.commits.changed = true;
        self.uncommitted = true;
        self.limiter.accepted();
        self.circuit.answered();
        self.fuse.taken(records, now);
    }

    /// The first record that is left has its answer already: it is called, and has answered.
    pub(super) fn answered_at_once(&mut self, tp: Tp, outcome: Outcome, now: Instant, effects: &mut Vec<Effect>) {
        let Some(seq) = self.partitions[tp.index()].ledger.first() else { return };
        let Some(call) = self.call_one(One { tp, seq, kind: Kind::Fresh }, now, effects) else { return };
        self.finished(Finished { ticket: call.ticket, outcome }, now, effects);
    }
}
