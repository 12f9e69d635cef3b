//! The loop: turns while there is work, sleeps until one bell rings while there is none.

use std::sync::Arc;
use std::time::Duration;

use penstock_engine::Instant;
use penstock_kafka::wake::{Sleeper, Woken};
use tokio::task::yield_now;

use super::Shell;
use super::state::State;
use crate::failure::Failure;
use crate::kafka::KafkaIo;
use crate::metrics::Metrics;
use crate::processor::Calls;

/// Longest sleep. Wake-ups make it unnecessary; a counter that must stay 0 says whether they do.
const SLEEP_MAX: Duration = Duration::from_millis(50);

/// The engine's clock: time since the worker began.
#[derive(Clone, Copy, Debug)]
pub struct Clock(std::time::Instant);

impl Clock {
    /// A clock that begins now.
    pub fn start() -> Self {
        Self(std::time::Instant::now())
    }

    /// The present.
    pub fn now(self) -> Instant {
        Instant::from_nanos(u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }
}

/// What the loop is told from outside, and how it is watched.
#[derive(Debug)]
pub struct Surroundings {
    /// What it sleeps on.
    pub sleeper: Sleeper,
    /// The engine's time.
    pub clock: Clock,
    /// How long after [`State::stop`] calls may finish.
    pub stop_within: Duration,
    /// What others may ask of it.
    pub state: Arc<State>,
    /// Its figures.
    pub metrics: Arc<Metrics>,
}

/// Turns until everything is over; true if nothing was given up for want of time. Tasks that share its thread get on after each
/// turn.
///
/// # Errors
/// The cluster has refused us for too long.
pub async fn run<K: KafkaIo, C: Calls>(mut shell: Shell<K, C>, around: Surroundings) -> Result<bool, Failure> {
    let Surroundings { sleeper, clock, stop_within, state, metrics } = &around;
    loop {
        let now = clock.now();
        state.turned();
        if state.is_stopping() {
            shell.drain(now + *stop_within, now);
        }
        let worked = shell.turn(now);
        if let Some(in_order) = shell.ended() {
            return Ok(in_order);
        }
        if let Some(failure) = shell.failure(now) {
            return Err(failure);
        }
        if worked {
            yield_now().await;
            continue;
        }
        let timeout = || shell.next_wake().map_or(SLEEP_MAX, |wake| wake.since(clock.now()).min(SLEEP_MAX));
        let has_work = || shell.has_work() || (state.is_stopping() && !shell.is_draining());
        match sleeper.sleep_unless(has_work, timeout).await {
            None => yield_now().await,
            Some(Woken::Unrung) => metrics.woken_by_cap_with_work.inc(),
            Some(Woken::Signal | Woken::Timeout) => {}
        }
    }
}
