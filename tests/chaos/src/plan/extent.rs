//! How much a round carries, and how many records a call: drawn apart from the rest, so that a seed means what it meant before there
//! were batches, several topics and large rounds, but for these.

use std::fmt;
use std::time::Duration;

use super::{Plan, Theme};
use crate::history::{OnExhausted, Ordering};
use crate::rng::Rng;

/// Records of a large round: from, and to below. More would be gigabytes for the checker, and minutes for a busy machine.
pub(super) const LARGE: (u64, u64) = (150_000, 600_000);
/// The same where each record is a request: half of a machine's cores is the harness's own HTTP server.
const LARGE_SINGLE: (u64, u64) = (60_000, 150_000);
/// Most records of a usual round where a partition has one lane, which is one call at a time.
const OF_ONE_LANE: u64 = 5_000;
/// So many records to a batch, and the harness's server is not what holds a round up.
const MANY: u32 = 50;
/// There are as many troubles in a large round as among so many records of a usual one …
const AS_AMONG: u64 = 15_000;
/// … and as among so many where lanes are few, for each trouble holds its lane.
const AS_AMONG_IN_FEW_LANES: u64 = 1_500;

/// Transactions of a large round at most: each is several requests, one after the other, and tens of milliseconds.
const TRANSACTIONS_MAX: u64 = 150;

/// How many records a round has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Extent {
    /// Some thousands.
    Usual,
    /// Some hundred thousands, most of them a backlog: commits, checkpoints and memory under load.
    Large,
}

/// `delivery.batch`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batches {
    /// `maxRecords`.
    pub max_records: u32,
    /// `maxWait`.
    pub max_wait: Duration,
    /// `sameLane`.
    pub same_lane: bool,
}

impl fmt::Display for Batches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, ", batches of {}{}", self.max_records, if self.same_lane { " with lanes" } else { "" })
    }
}

impl Batches {
    fn drawn(rng: &mut Rng, sizes: &[u32], ordering: Ordering) -> Self {
        Self {
            max_records: rng.pick(sizes),
            max_wait: Duration::from_millis(rng.pick(&[0, 0, 20])),
            same_lane: rng.per_mille(400) && ordering != Ordering::Unordered,
        }
    }
}

impl Plan {
    /// The same round with what this module draws. It is large if that is asked for, and else if it is drawn, where it may be.
    pub(super) fn extended(mut self, rng: &mut Rng, asked: Option<Extent>) -> Self {
        let large = rng.per_mille(500);
        let large = asked.map_or(large, |extent| extent == Extent::Large);
        let sizes: &[u32] = if large { &[MANY, 200, 500] } else { &[1, 2, 7, MANY, 200] };
        let share = if large { 700 } else { 400 };
        // What is answered at once is one record.
        self.batches =
            rng.per_mille(share).then(|| Batches::drawn(rng, sizes, self.ordering)).filter(|_| !self.asked.quick);
        if rng.per_mille(250) {
            let more = rng.within(1, 3);
            self.other_topics = (0..more).map(|_| i32::try_from(rng.within(1, 7)).unwrap_or(1)).collect();
        }
        let size = rng.draw();
        if large && self.may_be_large() {
            self.extent = Extent::Large;
            let (from, to) = if self.batches.is_some() { LARGE } else { LARGE_SINGLE };
            self.records = from + size % (to - from);
            self.backlog_percent = 90;
            let least = self.records / 10 / TRANSACTIONS_MAX;
            self.transactions = self.transactions.map(|(records, aborted)| (records.max(least), aborted));
            self.shapes = self.shapes.small();
            self.mix.one_in = self.records / if self.has_many_lanes() { AS_AMONG } else { AS_AMONG_IN_FEW_LANES };
        } else if self.ordering == Ordering::Key && self.shapes.keys == 1 && !self.has_same_lane() {
            self.records = self.records.min(OF_ONE_LANE);
        }
        self
    }

    fn has_many_lanes(&self) -> bool {
        match self.ordering {
            Ordering::Partition => false,
            Ordering::Key => self.shapes.keys >= 200,
            Ordering::Unordered => true,
        }
    }

    /// Whether so many records are done in a minute or two. One lane carries little, unless several of its records go in one call;
    /// compaction takes most of a backlog away.
    fn may_be_large(&self) -> bool {
        let lanes = self.has_many_lanes() || self.has_same_lane();
        let quick = self.concurrency >= 8 || self.batches.is_some();
        let blocks = self.on_exhausted == OnExhausted::Block;
        lanes && quick && !blocks && !self.compacted && Theme::ALL.contains(&self.theme)
    }
}
