//! Records that are answered before the engine is told of them.

use core::time::Duration;

use super::Outcome;

/// From where on records of a partition may be answered before the engine is told of them: [`crate::Engine::at_once`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Next {
    /// The first offset that has not come yet. Records below it were done, or are under way.
    pub offset: i64,
    /// As in [`Delivery`](super::Delivery).
    pub owner: u64,
}

/// How records went that were answered before the engine is told of them, one after the other in their order.
#[derive(Clone, Debug, Default)]
pub struct AtOnce {
    /// So many of the first were acknowledged or skipped, those below [`Next::offset`] included, which nobody was asked about.
    pub records: u32,
    /// So many of them were skipped.
    pub skipped: u32,
    /// For how long the processor has had the loop since it was last said, for these records or for others that went the usual way.
    pub took: Duration,
    /// The answer for the one behind them, where that is another. Those behind it were not called.
    pub other: Option<Outcome>,
}
