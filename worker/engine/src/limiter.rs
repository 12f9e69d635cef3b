//! Concurrency in force: less than configured while the processor says that it is overloaded, or where calls only wait for
//! each other.
//!
//! *What it says*: additive increase, multiplicative decrease, as in TCP (Jacobson 1988): a fifth less after an overload, at
//! most once in a while, and one more after as many answers as there are slots. *What it shows*: [`trials`].

mod trials;

use core::time::Duration;

use crate::time::Instant;
use trials::Trials;
pub(crate) use trials::WHOLE;

/// Overloads within this time after a decrease belong to the same wave.
const WAVE: Duration = Duration::from_millis(250);

/// One slot in so many goes with an overload.
const OVERLOAD_SHARE: u32 = 5;

#[derive(Debug)]
pub(crate) struct Limiter {
    configured: u32,
    limit: u32,
    /// Answers since the last increase.
    answers: u32,
    quiet_until: Instant,
    trials: Trials,
}

impl Limiter {
    pub(crate) fn new(configured: u32) -> Self {
        let configured = configured.max(1);
        Self { configured, limit: configured, answers: 0, quiet_until: Instant::ZERO, trials: Trials::new(configured) }
    }

    /// Calls that may be in progress.
    pub(crate) fn limit(&self) -> u32 {
        self.limit.min(self.trials.limit())
    }

    /// The same, as far as the processor has asked for less.
    pub(crate) fn asked_for(&self) -> u32 {
        self.limit
    }

    /// To be told of each turn before anything else: `in_flight` calls have been in progress since the last one, of `calls`
    /// that were ever started. True when the limit has changed.
    pub(crate) fn turn(&mut self, in_flight: u32, calls: u64, now: Instant) -> bool {
        self.trials.turn(in_flight, calls, now)
    }

    /// The processor has judged a record, and did not take it.
    pub(crate) fn answered(&mut self) {
        self.trials.answered();
    }

    /// The weight of a busy slot, see [`Trials::slot_weight`].
    pub(crate) fn slot_weight(&self) -> u64 {
        self.trials.slot_weight()
    }

    /// The processor said that it is overloaded.
    pub(crate) fn overloaded(&mut self, now: Instant) {
        self.answers = 0;
        self.trials.interrupt(now);
        if now >= self.quiet_until {
            self.limit = (self.limit - self.limit.div_ceil(OVERLOAD_SHARE)).max(1);
            self.quiet_until = now + WAVE;
        }
    }

    /// The processor has taken a record.
    pub(crate) fn accepted(&mut self) {
        self.trials.answered();
        if self.limit < self.configured {
            self.answers += 1;
            if self.answers >= self.limit {
                (self.limit, self.answers) = (self.limit + 1, 0);
            }
        }
    }
}

#[cfg(test)]
mod tests;
