//! One bell wakes one loop, whoever has work for it: librdkafka's queues, handlers that finished, timers.
//!
//! The order of steps is what makes a lost wake-up impossible. The loop announces its sleep, *then* looks at every source
//! once more, and only then sleeps; a waker makes its work visible, *then* looks whether sleep was announced. With a
//! sequentially consistent fence between the two steps of each, at least one sees the other. `protocol` is these steps, and loom
//! checks them in all interleavings; here are their bell and its owners.

#[cfg(test)]
mod checked;
mod protocol;

use std::collections::VecDeque;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

pub(crate) use protocol::Maybe;
use protocol::{Bed, Bell};

/// Wakes the loop that owns the [`Sleeper`]. Cheap to clone, callable from any thread.
#[derive(Clone, Debug)]
pub struct Waker(Option<Arc<Shared>>);

/// The sleeping side; the loop that polls the clients owns it.
#[derive(Debug)]
pub struct Sleeper(Arc<Shared>);

/// A task that waits for the bell in a runtime of its own thread is woken by others there without a system call.
type Shared = Bed<AtomicBool, Notify>;

/// Why a sleep ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    /// Somebody has work.
    Signal,
    /// The time was up.
    Timeout,
    /// The time was up, there was work, and nobody rang for it: a wake-up was lost.
    Unrung,
}

/// How often and for how long a ring is waited for whose work is visible: it is a few instructions away, in which the machine may run
/// another thread. More than once, for a process that is stopped meanwhile has slept through one of them at most.
const RINGS: u32 = 5;
const RING_WITHIN: Duration = Duration::from_millis(10);

/// A pair of which the [`Sleeper`] stays with one loop.
pub fn pair() -> (Sleeper, Waker) {
    let shared = Arc::new(Shared::new(Notify::new()));
    (Sleeper(Arc::clone(&shared)), Waker(Some(shared)))
}

impl Waker {
    /// Wakes the loop if it sleeps or is about to; costs a fence and an atomic load if not. Make the work visible first.
    pub fn wake(&self) {
        if let Some(shared) = &self.0 {
            shared.wake();
        }
    }

    /// A waker without a loop, for queues whose reader waits in librdkafka itself.
    pub(crate) fn of_nobody() -> Self {
        Self(None)
    }
}

impl Sleeper {
    /// Another handle that wakes this sleeper.
    pub fn waker(&self) -> Waker {
        Waker(Some(Arc::clone(&self.0)))
    }

    /// Sleeps until a wake-up or for `timeout`, unless there is work: `has_work` is asked between announcing the sleep and
    /// sleeping, and is to look at every source. `None` where it found some. A wake-up may be a late one, for an earlier sleep.
    ///
    /// Work that comes as the time is up was not slept through: its ring is on its way, and is waited for.
    pub async fn sleep_unless(&self, has_work: impl Fn() -> bool, timeout: impl FnOnce() -> Duration) -> Option<Woken> {
        let rung = async |bell: &Notify, within| tokio::time::timeout(within, bell.notified()).await.is_ok();
        let sleep = async |bell: &Notify| {
            if rung(bell, timeout()).await {
                return Woken::Signal;
            }
            if !has_work() {
                return Woken::Timeout;
            }
            for _ in 0..RINGS {
                if rung(bell, RING_WITHIN).await {
                    return Woken::Signal;
                }
            }
            Woken::Unrung
        };
        self.0.sleep_unless(&has_work, sleep).await
    }
}

impl Bell for Notify {
    fn ring(&self) {
        self.notify_one();
    }
}

/// What other threads and tasks leave for the loop.
#[derive(Debug)]
pub struct Inbox<T> {
    left: Mutex<VecDeque<T>>,
    some: Maybe,
    waker: Waker,
}

impl<T> Inbox<T> {
    /// An empty one of the loop that `waker` wakes.
    pub fn new(waker: Waker) -> Self {
        Self { left: Mutex::default(), some: Maybe::new(false), waker }
    }

    /// Leaves something, and wakes the loop if it sleeps.
    pub fn put(&self, more: impl IntoIterator<Item = T>) {
        self.lock().extend(more);
        self.some.raise();
        self.waker.wake();
    }

    /// Takes all there is. Only the loop may take.
    pub fn take_all(&self, into: &mut impl Extend<T>) {
        if self.some.is_raised() {
            self.some.look(|| (into.extend(self.lock().drain(..)), false));
        }
    }

    /// Takes what has been there for longest. Only the loop may take.
    pub fn take(&self) -> Option<T> {
        let first = || {
            let mut left = self.lock();
            (left.pop_front(), !left.is_empty())
        };
        if self.some.is_raised() { self.some.look(first) } else { None }
    }

    /// Whether a look may find something.
    pub fn maybe_some(&self) -> bool {
        self.some.is_raised()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<T>> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn sleep(sleeper: &Sleeper, timeout: Duration) -> Woken {
        sleeper.sleep_unless(|| false, || timeout).await.unwrap()
    }

    #[tokio::test]
    async fn a_wake_between_announcement_and_sleep_is_not_lost() {
        let (sleeper, waker) = pair();
        let look = || {
            waker.wake();
            false
        };
        assert_eq!(sleeper.sleep_unless(look, || Duration::from_mins(1)).await, Some(Woken::Signal));
        assert_eq!(sleep(&sleeper, Duration::from_millis(1)).await, Woken::Timeout, "one wake-up ends one sleep");
    }

    #[tokio::test]
    async fn a_loop_that_is_awake_is_not_rung_for() {
        let (sleeper, waker) = pair();
        waker.wake();
        assert_eq!(sleeper.sleep_unless(|| true, || Duration::ZERO).await, None);
        waker.wake();
        assert_eq!(
            sleep(&sleeper, Duration::from_millis(1)).await,
            Woken::Timeout,
            "it looks at its sources after announcing"
        );
    }

    #[tokio::test]
    async fn a_late_ring_ends_one_sleep_and_no_more() {
        let (sleeper, _waker) = pair();
        // Its waker took an announcement that the loop has taken back since.
        sleeper.0.bell().ring();
        assert_eq!(sleep(&sleeper, Duration::from_mins(1)).await, Woken::Signal);
        assert_eq!(sleep(&sleeper, Duration::from_millis(1)).await, Woken::Timeout, "or the loop would turn for ever");
    }

    #[tokio::test]
    async fn a_sleeping_loop_is_woken_from_another_thread() {
        let (sleeper, waker) = pair();
        let look = || {
            let waker = waker.clone();
            std::thread::spawn(move || waker.wake());
            false
        };
        assert_eq!(sleeper.sleep_unless(look, || Duration::from_mins(1)).await, Some(Woken::Signal));
    }

    #[tokio::test]
    async fn work_that_comes_as_the_time_is_up_is_rung_for_or_its_ring_was_lost() {
        let (sleeper, waker) = pair();
        let asked = std::cell::Cell::new(0);
        let comes_late = || {
            asked.set(asked.get() + 1);
            asked.get() > 1
        };
        let and_rings = || comes_late().then(|| waker.wake()).is_some();
        assert_eq!(sleeper.sleep_unless(and_rings, || Duration::ZERO).await, Some(Woken::Signal));
        asked.set(0);
        assert_eq!(sleeper.sleep_unless(comes_late, || Duration::ZERO).await, Some(Woken::Unrung));
    }

    #[test]
    fn what_is_left_is_taken_in_order_one_by_one_or_all_at_once() {
        let inbox = Inbox::new(Waker::of_nobody());
        assert!(!inbox.maybe_some());
        inbox.put([1, 2, 3]);
        assert_eq!(inbox.take(), Some(1));
        assert!(inbox.maybe_some());
        let mut rest = Vec::new();
        inbox.take_all(&mut rest);
        assert_eq!(rest, [2, 3]);
        assert!(!inbox.maybe_some());
        assert_eq!(inbox.take(), None);
    }
}
