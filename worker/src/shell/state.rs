//! What the loop lets others see, and what others may ask of it.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

/// A loop that has not turned for so long does not live. A turn takes milliseconds, and sleeps end after 50.
const TURN_MAX: Duration = Duration::from_secs(30);
/// A member of a group that has more members than partitions gets none: it is ready once the group had this long to say so.
const ASSIGNMENT_MAX: Duration = Duration::from_secs(5);

/// Shared between the loop, the HTTP server and the signal handler.
#[derive(Debug)]
pub struct State {
    began: Instant,
    turned_millis: AtomicU64,
    /// Since when the consumer has subscribed, plus one; 0 before.
    subscribed_millis: AtomicU64,
    joined: AtomicBool,
    assigned: AtomicUsize,
    stopping: AtomicBool,
}

impl Default for State {
    fn default() -> Self {
        Self {
            began: Instant::now(),
            turned_millis: AtomicU64::new(0),
            subscribed_millis: AtomicU64::new(0),
            joined: AtomicBool::new(false),
            assigned: AtomicUsize::new(0),
            stopping: AtomicBool::new(false),
        }
    }
}

impl State {
    fn millis(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// The loop turns, or start-up makes progress.
    pub fn turned(&self) {
        self.turned_millis.store(self.millis(), SeqCst);
    }

    /// The processor has answered and the consumer has subscribed.
    pub fn subscribed(&self) {
        self.subscribed_millis.store(self.millis() + 1, SeqCst);
    }

    /// The group has given a first assignment, be it empty.
    pub(super) fn joined(&self) {
        self.joined.store(true, SeqCst);
    }

    pub(super) fn assigned(&self, partitions: usize) {
        self.assigned.store(partitions, SeqCst);
    }

    /// Finish what runs, and leave.
    pub fn stop(&self) {
        self.stopping.store(true, SeqCst);
    }

    /// Whether [`State::stop`] was called.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(SeqCst)
    }

    /// The loop turned recently.
    pub fn is_live(&self) -> bool {
        let since = self.millis().saturating_sub(self.turned_millis.load(SeqCst));
        Duration::from_millis(since) < TURN_MAX
    }

    /// The processor answered, and partitions are assigned or there is none left for this worker. If not, why not.
    ///
    /// # Errors
    /// What is being waited for.
    pub fn ready(&self) -> Result<(), &'static str> {
        if self.is_stopping() {
            return Err("draining");
        }
        let subscribed = match self.subscribed_millis.load(SeqCst) {
            0 => return Err("waiting for the processor or the Kafka cluster; the log says which"),
            millis => millis - 1,
        };
        let waited = Duration::from_millis(self.millis().saturating_sub(subscribed));
        if self.assigned.load(SeqCst) > 0 || self.joined.load(SeqCst) || waited >= ASSIGNMENT_MAX {
            Ok(())
        } else {
            Err("waiting for the group to assign partitions")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_means_subscribed_and_heard_of_the_group() {
        let state = State::default();
        assert!(state.ready().is_err());
        state.subscribed();
        assert_eq!(state.ready(), Err("waiting for the group to assign partitions"));
        state.joined();
        assert_eq!(state.ready(), Ok(()));
        state.stop();
        assert_eq!(state.ready(), Err("draining"));
        assert!(state.is_live(), "a worker that drains still lives");
    }
}
