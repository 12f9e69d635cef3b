//! One file descriptor wakes one thread, whoever has work for it: librdkafka's queues, handlers that finished, timers.
//!
//! The order of steps is what makes a lost wake-up impossible. The thread announces its sleep, *then* looks at every source
//! once more, and only then sleeps; a waker makes its work visible, *then* looks whether sleep was announced. With
//! sequentially consistent operations at least one of the two sees the other.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

/// Wakes the thread that owns the [`Sleeper`]. Cheap to clone, callable from any thread.
#[derive(Clone, Debug)]
pub struct Waker(Option<Arc<Shared>>);

/// The sleeping side; the thread that polls the clients owns it.
#[derive(Debug)]
pub struct Sleeper(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    fd: OwnedFd,
    announced: AtomicBool,
}

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
    let shared = Arc::new(Shared { fd, announced: AtomicBool::new(false) });
    Ok((Sleeper(Arc::clone(&shared)), Waker(Some(shared))))
}

impl Waker {
    /// Wakes the thread if it sleeps or is about to; costs one atomic load if not. Make the work visible first.
    pub fn wake(&self) {
        let Some(shared) = &self.0 else { return };
        if shared.announced.load(SeqCst) && shared.announced.swap(false, SeqCst) {
            // Fails only when the counter is at its maximum, and then the thread is awake anyway.
            let _full = rustix::io::write(&shared.fd, &1_u64.to_ne_bytes());
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
        self.0.announced.store(true, SeqCst);
    }

    /// There was work after all.
    pub fn cancel(&self) {
        if !self.0.announced.swap(false, SeqCst) {
            self.drain();
        }
    }

    /// Step two: sleeps until a wake-up or for `timeout`.
    pub fn sleep(&self, timeout: Duration) -> Woken {
        let timeout = Timespec::try_from(timeout).unwrap_or(Timespec { tv_sec: 3600, tv_nsec: 0 });
        let mut fds = [PollFd::new(&self.0.fd, PollFlags::IN)];
        // A signal handler may interrupt the wait: an early return is a wake-up like any other.
        let woken = poll(&mut fds, Some(&timeout)).map_or(Woken::Signal, |ready| match ready {
            0 => Woken::Timeout,
            _ => Woken::Signal,
        });
        self.cancel();
        woken
    }

    fn drain(&self) {
        let mut counter = [0_u8; 8];
        // Nonblocking: the waker that took the announcement may not have written yet. Its write then ends the next sleep
        // early, which costs one turn of the loop.
        let _empty = rustix::io::read(&self.0.fd, &mut counter);
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
    fn a_sleeping_thread_is_woken_from_another() {
        let (sleeper, waker) = pair().unwrap();
        sleeper.announce();
        let other = std::thread::spawn(move || waker.wake());
        assert_eq!(sleeper.sleep(Duration::from_mins(1)), Woken::Signal);
        other.join().unwrap();
    }
}
