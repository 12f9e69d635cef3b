//! The order of steps, apart from what they are made of: the machine's atomics and an eventfd, or those of a model checker
//! that tries every interleaving (`checked`).

use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::time::Duration;

use super::Woken;

/// A boolean that threads share.
pub trait Flag {
    /// One that nobody shares yet.
    fn new(value: bool) -> Self;
    /// With acquire ordering.
    fn load(&self) -> bool;
    /// With release ordering.
    fn store(&self, value: bool);
    /// Turns true into false, with both orderings; false where it was false already, and then nothing is written.
    fn take(&self) -> bool;
    /// Of two threads that each write something, pass this and then read what the other wrote, at least one sees it. No ordering of
    /// the accesses by themselves gives that in loom, nor on paper without all of them being sequentially consistent.
    fn fence();
}

impl Flag for AtomicBool {
    fn new(value: bool) -> Self {
        Self::new(value)
    }

    fn load(&self) -> bool {
        self.load(Ordering::Acquire)
    }

    fn store(&self, value: bool) {
        self.store(value, Ordering::Release);
    }

    fn take(&self) -> bool {
        self.compare_exchange(true, false, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    fn fence() {
        fence(Ordering::SeqCst);
    }
}

/// What a thread sleeps on. It counts rings: one before the sleep ends that sleep at once.
pub(super) trait Bell {
    fn ring(&self);
    /// Until it has been rung, or for so long; the count stays.
    fn wait(&self, timeout: Duration) -> Woken;
    /// Sets the count to nought.
    fn silence(&self);
}

/// Sleeper and wakers have this in common.
#[derive(Debug)]
pub(super) struct Bed<F, B> {
    announced: F,
    bell: B,
}

impl<F: Flag, B: Bell> Bed<F, B> {
    pub(super) fn new(bell: B) -> Self {
        Self { announced: F::new(false), bell }
    }

    pub(super) fn wake(&self) {
        F::fence();
        if self.announced.load() && self.announced.take() {
            self.bell.ring();
        }
    }

    #[cfg(test)]
    pub(super) fn ring_late(&self) {
        self.bell.ring();
    }

    pub(super) fn announce(&self) {
        self.announced.store(true);
        F::fence();
    }

    pub(super) fn cancel(&self) {
        if !self.announced.take() {
            // The waker that took the announcement may not have rung yet: that will end the next sleep early.
            self.bell.silence();
        }
    }

    pub(super) fn sleep(&self, timeout: Duration) -> Woken {
        let woken = self.bell.wait(timeout);
        self.cancel();
        if woken == Woken::Signal {
            // Also where it was a late one for an earlier announcement: it would end every further sleep at once.
            self.bell.silence();
        }
        woken
    }

    pub(super) fn sleep_unless(
        &self,
        has_work: impl FnOnce() -> bool,
        timeout: impl FnOnce() -> Duration,
    ) -> Option<Woken> {
        self.announce();
        if has_work() {
            self.cancel();
            return None;
        }
        Some(self.sleep(timeout()))
    }
}

/// A source of work may hold something: raised by whoever puts something in, lowered only by a look that finds nothing. So a
/// source that nobody looks at for a while, for want of credit, is still known to be filled afterwards, though librdkafka
/// signals a queue only when it was empty before.
#[derive(Debug)]
pub struct Maybe<F = AtomicBool>(F);

impl<F: Flag> Maybe<F> {
    /// Raised or not.
    pub fn new(raised: bool) -> Self {
        Self(F::new(raised))
    }

    /// Something was put in. Wake the reader after this.
    pub fn raise(&self) {
        self.0.store(true);
    }

    /// A look may find something.
    pub fn is_raised(&self) -> bool {
        self.0.load()
    }

    /// Looks: `look` says beside its result whether there may be more. Lowered before the look and raised again after it, so that
    /// whoever puts something in meanwhile is not overheard. One thread only may look.
    pub fn look<T>(&self, look: impl FnOnce() -> (T, bool)) -> T {
        self.0.store(false);
        let (found, more) = look();
        if more {
            self.0.store(true);
        }
        found
    }
}
