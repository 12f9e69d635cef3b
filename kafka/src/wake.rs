//! One bell wakes one thread, whoever has work for it: librdkafka's queues, handlers that finished, timers.
//!
//! The order of steps is what makes a lost wake-up impossible. The thread announces its sleep, *then* looks at every source
//! once more, and only then sleeps; a waker makes its work visible, *then* looks whether sleep was announced. With a
//! sequentially consistent fence between the two steps of each, at least one sees the other. `protocol` is these steps, and loom
//! checks them in all interleavings; here are their bell and its owners.

#[cfg(test)]
mod checked;
mod protocol;

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::task::{Context, Wake};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use protocol::{Bed, Bell};
pub use protocol::{Flag, Maybe};

/// Wakes the thread that owns the [`Sleeper`]. Cheap to clone, callable from any thread.
#[derive(Clone, Debug)]
pub struct Waker(Option<Arc<Shared>>);

/// The sleeping side; the thread that polls the clients owns it.
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
}

/// A pair of which the [`Sleeper`] stays with one thread.
pub fn pair() -> (Sleeper, Waker) {
    let shared = Arc::new(Shared::new(Notify::new()));
    (Sleeper(Arc::clone(&shared)), Waker(Some(shared)))
}

impl Waker {
    /// Wakes the thread if it sleeps or is about to; costs a fence and an atomic load if not. Make the work visible first.
    pub fn wake(&self) {
        if let Some(shared) = &self.0 {
            shared.wake();
        }
    }

    /// A waker without a thread, for queues whose reader waits in librdkafka itself.
    pub(crate) fn of_nobody() -> Self {
        Self(None)
    }
}

impl Sleeper {
    /// Another handle that wakes this sleeper.
    pub fn waker(&self) -> Waker {
        Waker(Some(Arc::clone(&self.0)))
    }

    /// Step one of two: from here on every [`Waker::wake`] counts. Look at every source of work after this call, and
    /// [`cancel`](Self::cancel) instead of sleeping if there is some.
    pub fn announce(&self) {
        self.0.announce();
    }

    /// There was work after all.
    pub fn cancel(&self) {
        self.0.cancel();
    }

    /// Step two, in a runtime: resolves at a wake-up since the announcement. It may also resolve for a late one of an earlier
    /// announcement, once. Whoever stops waiting for it is to [`cancel`](Self::cancel).
    pub async fn woken(&self) {
        self.0.bell().notified().await;
    }

    /// Step two, of a thread without a runtime: sleeps until a wake-up or for `timeout`.
    pub fn sleep(&self, timeout: Duration) -> Woken {
        let until = Instant::now() + timeout;
        let waker = Arc::new(Unpark(thread::current())).into();
        let mut woken = pin!(self.woken());
        let how = loop {
            if woken.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
                break Woken::Signal;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break Woken::Timeout;
            }
            thread::park_timeout(left);
        };
        self.cancel();
        how
    }
}

/// Wakes a thread that is parked.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

impl Bell for Notify {
    fn ring(&self) {
        self.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wake_between_announcement_and_sleep_is_not_lost() {
        let (sleeper, waker) = pair();
        sleeper.announce();
        waker.wake();
        assert_eq!(sleeper.sleep(Duration::from_mins(1)), Woken::Signal);
        sleeper.announce();
        assert_eq!(sleeper.sleep(Duration::from_millis(1)), Woken::Timeout, "one wake-up ends one sleep");
    }

    #[test]
    fn a_thread_that_is_awake_is_not_rung_for() {
        let (sleeper, waker) = pair();
        waker.wake();
        sleeper.announce();
        assert_eq!(sleeper.sleep(Duration::from_millis(1)), Woken::Timeout, "it looks at its sources after announcing");
    }

    #[test]
    fn a_late_ring_ends_one_sleep_and_no_more() {
        let (sleeper, _waker) = pair();
        // Its waker took an announcement that the thread has taken back since.
        sleeper.0.bell().ring();
        sleeper.announce();
        assert_eq!(sleeper.sleep(Duration::from_mins(1)), Woken::Signal);
        sleeper.announce();
        assert_eq!(sleeper.sleep(Duration::from_millis(1)), Woken::Timeout, "or the thread would turn for ever");
    }

    #[test]
    fn a_sleeping_thread_is_woken_from_another() {
        let (sleeper, waker) = pair();
        sleeper.announce();
        let other = std::thread::spawn(move || waker.wake());
        assert_eq!(sleeper.sleep(Duration::from_mins(1)), Woken::Signal);
        other.join().unwrap();
    }
}
