//! The order of steps, apart from what they are made of: the machine's atomics and a bell, or those of a model checker
//! that tries every interleaving (`checked`).

use std::sync::atomic::{AtomicBool, Ordering, fence};

/// A boolean that threads share.
pub(crate) trait Flag {
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

/// [`Flag`] for the machine's atomics, or for loom's: what loom checks has the orderings of what runs.
macro_rules! flag {
    ($atomic:ty, $fence:path) => {
        impl Flag for $atomic {
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
                $fence(Ordering::SeqCst);
            }
        }
    };
}

flag!(AtomicBool, fence);
#[cfg(test)]
flag!(loom::sync::atomic::AtomicBool, loom::sync::atomic::fence);

/// What a thread waits for. It keeps one ring: one before the wait ends that wait at once.
pub(super) trait Bell {
    fn ring(&self);
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

    #[cfg(test)]
    pub(super) fn bell(&self) -> &B {
        &self.bell
    }

    pub(super) fn wake(&self) {
        F::fence();
        if self.announced.load() && self.announced.take() {
            self.bell.ring();
        }
    }

    pub(super) async fn sleep_unless<T>(
        &self,
        has_work: impl FnOnce() -> bool,
        sleep: impl AsyncFnOnce(&B) -> T,
    ) -> Option<T> {
        self.announced.store(true);
        F::fence();
        let how = if has_work() { None } else { Some(sleep(&self.bell).await) };
        // A waker that has taken the announcement before may not have rung yet: that will end the next wait early, once.
        self.announced.take();
        how
    }
}

/// A source of work may hold something: raised by whoever puts something in, lowered only by a look that finds nothing. So a
/// source that nobody looks at for a while, for want of credit, is still known to be filled afterwards, though librdkafka
/// signals a queue only when it was empty before.
#[derive(Debug)]
pub(crate) struct Maybe<F = AtomicBool>(F);

impl<F: Flag> Maybe<F> {
    /// Raised or not.
    pub(crate) fn new(raised: bool) -> Self {
        Self(F::new(raised))
    }

    /// Something was put in. Wake the reader after this.
    pub(crate) fn raise(&self) {
        self.0.store(true);
    }

    /// A look may find something.
    pub(crate) fn is_raised(&self) -> bool {
        self.0.load()
    }

    /// Looks: `look` says beside its result whether there may be more. Lowered before the look and raised again after it, so that
    /// whoever puts something in meanwhile is not overheard. One thread only may look.
    pub(crate) fn look<T>(&self, look: impl FnOnce() -> (T, bool)) -> T {
        self.0.store(false);
        let (found, more) = look();
        if more {
            self.0.store(true);
        }
        found
    }
}
