//! How much a status has changed: what must be written at once, and what may wait.

use penstock_crds::ConsumerPipelineStatus;

/// How much a status has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// Not a byte.
    None,
    /// Only numbers that move by themselves: written at most every 10 s.
    NumbersOnly,
    /// Anything else: written at once.
    Meaning,
}

/// Compares the status in the cluster with a new one.
pub fn changed(old: &ConsumerPipelineStatus, new: &ConsumerPipelineStatus) -> Change {
    let _ = (old, new);
    todo!()
}
