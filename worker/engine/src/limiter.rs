//! Concurrency in force: less than configured while the processor says that it is overloaded.
//!
//! Additive increase, multiplicative decrease, as in TCP (Jacobson 1988): a fifth less after an overload, at most once in
//! a while, and one more after as many answers as there are slots.

use core::time::Duration;

use crate::time::Instant;

/// Overloads within this time after a decrease belong to the same wave.
const WAVE: Duration = Duration::from_millis(250);

#[derive(Debug)]
pub(crate) struct Limiter {
    configured: u32,
    limit: u32,
    /// Answers since the last increase.
    answers: u32,
    quiet_until: Instant,
}

impl Limiter {
    pub(crate) fn new(configured: u32) -> Self {
        let configured = configured.max(1);
        Self { configured, limit: configured, answers: 0, quiet_until: Instant::ZERO }
    }

    /// Calls that may be in progress.
    pub(crate) fn limit(&self) -> u32 {
        self.limit
    }

    /// The processor said that it is overloaded.
    pub(crate) fn overloaded(&mut self, now: Instant) {
        self.answers = 0;
        if now >= self.quiet_until {
            self.limit = (self.limit - self.limit.div_ceil(5)).max(1);
            self.quiet_until = now + WAVE;
        }
    }

    /// The processor has taken a record.
    pub(crate) fn accepted(&mut self) {
        if self.limit < self.configured {
            self.answers += 1;
            if self.answers >= self.limit {
                (self.limit, self.answers) = (self.limit + 1, 0);
            }
        }
    }
}
