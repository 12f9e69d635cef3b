//! What a call knows of itself.

use std::future::Future;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

/// What a call knows of itself.
#[derive(Clone, Debug)]
pub struct Context {
    pub(crate) attempt: u32,
    pub(crate) deadline: Instant,
    pub(crate) cancelled: CancellationToken,
}

impl Context {
    /// 1 for the first call; the highest of its records in a batch.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// When the call is given up: `delivery.timeout` after it began.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Time until the deadline, zero past it.
    pub fn remaining(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// The call was given up: whatever it answers now, the record will be handled again.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.is_cancelled()
    }

    /// Resolves when the call is given up: for what a handler has started elsewhere and that outlives its own future.
    pub fn cancelled(&self) -> impl Future<Output = ()> + Send + 'static {
        self.cancelled.clone().cancelled_owned()
    }
}
