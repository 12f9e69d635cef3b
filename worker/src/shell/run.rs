//! The loop: turns while there is work, sleeps on one eventfd while there is none.

use std::sync::Arc;
use std::time::Duration;

use penstock_engine::Instant;
use penstock_kafka::wake::{Sleeper, Woken};

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

/// Turns until everything is over. `stop_within` is how long after [`State::stop`] calls may finish.
///
/// # Errors
/// The cluster has refused us for too long.
pub fn run<K: KafkaIo, C: Calls>(
    shell: &mut Shell<K, C>,
    sleeper: &Sleeper,
    clock: Clock,
    stop_within: Duration,
    state: &Arc<State>,
    metrics: &Metrics,
) -> Result<bool, Failure> {
    loop {
        let now = clock.now();
        state.turned();
        if state.is_stopping() {
            shell.drain(now + stop_within, now);
        }
        let worked = shell.turn(now);
        if let Some(in_order) = shell.ended() {
            return Ok(in_order);
        }
        if let Some(failure) = shell.failure(now) {
            return Err(failure);
        }
        if !worked {
            sleep(shell, sleeper, clock, state, metrics);
        }
    }
}

fn sleep<K: KafkaIo, C: Calls>(shell: &Shell<K, C>, sleeper: &Sleeper, clock: Clock, state: &State, metrics: &Metrics) {
    // Whoever made work before the announcement did not wake us: it is asked once more, and then the time.
    let has_work = || shell.has_work() || (state.is_stopping() && !shell.is_draining());
    let mut until_wake = SLEEP_MAX;
    let timeout = || {
        until_wake = shell.next_wake().map_or(SLEEP_MAX, |wake| wake.since(clock.now()));
        until_wake.min(SLEEP_MAX)
    };
    let woken = sleeper.sleep_unless(has_work, timeout);
    if woken == Some(Woken::Timeout) && until_wake > SLEEP_MAX && shell.has_work() {
        metrics.woken_by_cap_with_work.inc();
    }
}
