//! One file descriptor wakes one thread, whoever has work for it: librdkafka's queues, handlers that finished, timers.
//!
//! The order of steps is what makes a lost wake-up impossible. The thread announces its sleep, *then* looks at every source
//! once more, and only then sleeps; a waker makes its work visible, *then* looks whether sleep was announced. With a
//! sequentially consistent fence between the two steps of each, at least one sees the other. `protocol` is these steps, and loom
//! checks them in all interleavings; here are their eventfd and their owners.

#[cfg(test)]
mod checked;
mod protocol;

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

use protocol::{Bed, Bell};
pub use protocol::{Flag, Maybe};

/// Wakes the thread that owns the [`Sleeper`]. Cheap to clone, callable from any thread.
#[derive(Clone, Debug)]
pub struct Waker(Option<Arc<Shared>>);

/// The sleeping side; the thread that polls the clients owns it.
#[derive(Debug)]
pub struct Sleeper(Arc<Shared>);

type Shared = Bed<AtomicBool, EventFd>;

#[derive(Debug)]
struct EventFd(OwnedFd);

/// Why [`Sleeper::sleep`] returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    /// Somebody has work.
    Signal,
    /// The time was up.
    Timeout,
}

/// A pair of which the [`Sleeper`] stays with one thread.
///
/// # Errors
/// The process is out of file descriptors.
pub fn pair() -> io::Result<(Sleeper, Waker)> {
    let fd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
    let shared = Arc::new(Shared::new(EventFd(fd)));
    Ok((Sleeper(Arc::clone(&shared)), Waker(Some(shared))))
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

    /// Sleeps until a wake-up or for `timeout`, unless there is work: `has_work` is asked between announcing the sleep and
    /// sleeping, and is to look at every source. `None` where it found some.
    pub fn sleep_unless(&self, has_work: impl FnOnce() -> bool, timeout: impl FnOnce() -> Duration) -> Option<Woken> {
        self.0.sleep_unless(has_work, timeout)
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

    /// Step two: sleeps until a wake-up or for `timeout`.
    pub fn sleep(&self, timeout: Duration) -> Woken {
        self.0.sleep(timeout)
    }
}

impl Bell for EventFd {
    fn ring(&self) {
        // Fails only when the counter is at its maximum, and then the thread is awake anyway.
        let _full = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
    }

    fn wait(&self, timeout: Duration) -> Woken {
        let timeout = Timespec::try_from(timeout).unwrap_or(Timespec { tv_sec: 3600, tv_nsec: 0 });
        let mut fds = [PollFd::new(&self.0, PollFlags::IN)];
        // A signal handler may interrupt the wait: an early return is a wake-up like any other.
        poll(&mut fds, Some(&timeout)).map_or(Woken::Signal, |ready| match ready {
            0 => Woken::Timeout,
            _ => Woken::Signal,
        })
    }

    fn silence(&self) {
        let mut counter = [0_u8; 8];
        // Nonblocking, so it may be empty.
        let _empty = rustix::io::read(&self.0, &mut counter);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wake_between_announcement_and_sleep_is_not_lost() {
        let (sleeper, waker) = pair().unwrap();
        sleeper.announce();
        waker.wake();
        assert_eq!(sleeper.sleep(Duration::from_mins(1)), Woken::Signal);
        sleeper.announce();
        assert_eq!(sleeper.sleep(Duration::from_millis(1)), Woken::Timeout, "one wake-up ends one sleep");
    }

    #[test]
    fn a_wake_of_a_thread_that_is_awake_costs_no_system_call() {
        let (sleeper, waker) = pair().unwrap();
        waker.wake();
        sleeper.announce();
        assert_eq!(sleeper.sleep(Duration::from_millis(1)), Woken::Timeout, "it looks at its sources after announcing");
    }

    #[test]
    fn a_late_ring_ends_one_sleep_and_no_more() {
        let (sleeper, _waker) = pair().unwrap();
        // Its waker took an announcement that the thread has taken back since.
        sleeper.0.ring_late();
        sleeper.announce();
        assert_eq!(sleeper.sleep(Duration::from_mins(1)), Woken::Signal);
        sleeper.announce();
        assert_eq!(sleeper.sleep(Duration::from_millis(1)), Woken::Timeout, "or the thread would turn for ever");
    }

    #[test]
    fn a_sleeping_thread_is_woken_from_another() {
        let (sleeper, waker) = pair().unwrap();
        sleeper.announce();
        let other = std::thread::spawn(move || waker.wake());
        assert_eq!(sleeper.sleep(Duration::from_mins(1)), Woken::Signal);
        other.join().unwrap();
    }
}
