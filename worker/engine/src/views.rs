//! How things stand, for metrics and probes. Reading them changes nothing.

use core::time::Duration;

use penstock_crds::checkpoint::{ErrorClass, HoldReason};

use crate::partition::{Fence, Partition, Phase};
use crate::seam::Tp;
use crate::time::Instant;

/// How a worker stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineView {
    /// Calls in progress, cancelled ones that have not ended included.
    pub in_flight: u32,
    /// Calls that may be in progress at once now.
    pub concurrency: u32,
    /// What the processor's outage looks like, while the circuit is open.
    pub circuit_open: Option<ErrorClass>,
    /// What the failures look like, while too many records would be dead-lettered.
    pub fuse_blown: Option<ErrorClass>,
    /// Records at the producer, or waiting to be written again.
    pub forwarding: u32,
    /// Records that run alone because a connection broke while they were in flight.
    pub suspects: usize,
    /// Characters that a checkpoint may have now: less than configured after a refused commit.
    pub checkpoint_chars: usize,
}

/// How a partition that is ours stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionView {
    /// Which.
    pub tp: Tp,
    /// Next offset to commit.
    pub frontier: i64,
    /// Offset that the coordinator has acknowledged.
    pub committed: i64,
    /// Records received and not done.
    pub undone: usize,
    /// Bytes of records held.
    pub held_bytes: u64,
    /// Calls in progress.
    pub in_flight: u32,
    /// Records with charged attempts that are not done.
    pub failing: usize,
    /// Keys whose records go to the dead letters until those have come back.
    pub parked_keys: usize,
    /// For how long the record at the frontier has been failing.
    pub blocked_for: Option<Duration>,
    /// Why nothing is delivered, if so.
    pub hold: Option<HoldReason>,
    /// Whether no record of it is started because no commit was acknowledged for half a session.
    pub fenced: bool,
    /// Whether it is being given back.
    pub draining: bool,
}

impl Partition {
    pub(crate) fn view(&self, tp: Tp, now: Instant) -> Option<PartitionView> {
        let frontier = self.ledger.frontier();
        let open = !matches!(self.phase, Phase::Unowned | Phase::Loading);
        let blocked = self.troubles.get(frontier).filter(|trouble| trouble.attempts > 0);
        open.then(|| PartitionView {
            tp,
            frontier,
            committed: self.commits.acknowledged,
            undone: self.ledger.undone(),
            held_bytes: self.ledger.held(),
            in_flight: self.usage.in_flight,
            failing: self.troubles.charged(),
            parked_keys: self.parking.len(),
            blocked_for: blocked.map(|trouble| trouble.age(now)),
            hold: self.hold.map(|held| held.reason),
            fenced: self.commits.fence != Fence::Open,
            draining: self.phase == Phase::Draining,
        })
    }
}
