//! Where calls that run elsewhere leave what became of them, for the loop to take.

use std::sync::{Mutex, PoisonError};

use penstock_engine::seam::Finished;
use penstock_kafka::wake::{Maybe, Waker};

/// Answers and signs of life on their way to the loop.
#[derive(Debug)]
pub(super) struct Inbox {
    finished: Mutex<Vec<Finished>>,
    health: Mutex<Option<bool>>,
    some: Maybe,
    waker: Waker,
}

impl Inbox {
    pub(super) fn new(waker: Waker) -> Self {
        Self { finished: Mutex::default(), health: Mutex::default(), some: Maybe::new(false), waker }
    }

    /// Reports calls; wakes the loop if it sleeps.
    pub(super) fn finish(&self, finished: impl IntoIterator<Item = Finished>) {
        self.finished.lock().unwrap_or_else(PoisonError::into_inner).extend(finished);
        self.signal();
    }

    /// Answers a probe.
    pub(super) fn tell_health(&self, ready: bool) {
        *self.health.lock().unwrap_or_else(PoisonError::into_inner) = Some(ready);
        self.signal();
    }

    fn signal(&self) {
        self.some.raise();
        self.waker.wake();
    }

    pub(super) fn take_finished(&self, into: &mut Vec<Finished>) {
        if self.some.is_raised() {
            self.some.look(|| {
                into.append(&mut self.finished.lock().unwrap_or_else(PoisonError::into_inner));
                ((), false)
            });
        }
    }

    pub(super) fn health(&self) -> Option<bool> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(super) fn maybe_ready(&self) -> bool {
        self.some.is_raised()
    }
}
