//! Every interleaving of the loop's thread with those that wake it, as loom enumerates them: a wake-up that is lost leaves the
//! loop asleep for ever, which loom reports as a deadlock. The bell of these tests knows no timeout.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc; // loom's own checks nothing here, and cannot be dropped after a deadlock
use std::task::{Context, Waker};

use loom::model::Builder;
use loom::sync::atomic::AtomicBool;
use loom::sync::{Mutex, Notify};
use loom::thread;

use super::protocol::{Bed, Bell, Flag, Maybe};

/// Keeps one ring, as tokio's `Notify` does.
struct Permit {
    rung: AtomicBool,
    notify: Notify,
}

impl Bell for Permit {
    fn ring(&self) {
        Flag::store(&self.rung, true);
        self.notify.notify();
    }
}

impl Permit {
    fn wait(&self) {
        while !Flag::take(&self.rung) {
            self.notify.wait();
        }
    }
}

/// Steps in a wrong order, each of which loom must find.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wrong {
    Nothing,
    /// The loop looks at its sources and announces its sleep only then.
    LookBeforeAnnouncing,
    /// A waker looks for a sleeper before it has made its work visible.
    WakeBeforePutting,
    /// The loop lowers a flag after it has found the queue empty.
    LowerAfterTheLook,
    /// The flag stays down after a look that was ended by its limit.
    ForgetTheRest,
}

/// A queue as librdkafka has them: it signals, under its lock, when it was empty before.
struct Queue {
    records: Mutex<VecDeque<u32>>,
    maybe: Maybe<AtomicBool>,
}

struct World {
    bed: Bed<AtomicBool, Permit>,
    queue: Queue,
    /// As the inbox of calls: flagged after the lock is given back.
    inbox: Queue,
    wrong: Wrong,
}

impl Queue {
    fn new() -> Self {
        Self { records: Mutex::new(VecDeque::new()), maybe: Maybe::new(false) }
    }

    /// At most `limit`, as `native::queue` takes records.
    fn take(&self, limit: usize, wrong: Wrong) -> Vec<u32> {
        let mut taken = Vec::new();
        let mut look = || {
            while taken.len() < limit {
                match self.records.lock().unwrap().pop_front() {
                    Some(record) => taken.push(record),
                    None => return ((), false),
                }
            }
            ((), wrong != Wrong::ForgetTheRest)
        };
        if wrong == Wrong::LowerAfterTheLook {
            let ((), more) = look();
            self.maybe.look(|| ((), more));
        } else {
            self.maybe.look(look);
        }
        taken
    }
}

impl World {
    fn enqueue(&self, record: u32) {
        if self.wrong == Wrong::WakeBeforePutting {
            self.bed.wake();
        }
        let mut records = self.queue.records.lock().unwrap();
        records.push_back(record);
        if records.len() == 1 {
            self.queue.maybe.raise();
            if self.wrong != Wrong::WakeBeforePutting {
                self.bed.wake();
            }
        }
    }

    fn finish(&self, call: u32) {
        self.inbox.records.lock().unwrap().push_back(call);
        self.inbox.maybe.raise();
        self.bed.wake();
    }

    /// Turns until so much has come.
    fn run(&self, records: usize, calls: usize, credit: usize) {
        let (mut received, mut finished) = (0, 0);
        // Some turns are without credit: the queue is passed over, and looked at again when credit is back.
        let mut has_credit = true;
        while received < records || finished < calls {
            let mut worked = !has_credit;
            if self.inbox.maybe.is_raised() {
                finished += self.inbox.take(usize::MAX, Wrong::Nothing).len();
                worked = true;
            }
            if has_credit && self.queue.maybe.is_raised() {
                let taken = self.queue.take(credit, self.wrong).len();
                received += taken;
                has_credit = taken < credit;
                worked = true;
            } else {
                has_credit = true;
            }
            if worked {
                continue;
            }
            let has_work = || self.queue.maybe.is_raised() || self.inbox.maybe.is_raised();
            if self.wrong == Wrong::LookBeforeAnnouncing {
                if !has_work() {
                    self.sleep(|| false);
                }
            } else {
                self.sleep(has_work);
            }
        }
    }

    /// The very steps of the loop. Its bell is waited for within one poll.
    fn sleep(&self, has_work: impl FnOnce() -> bool) {
        let slept = pin!(self.bed.sleep_unless(has_work, async |bell| bell.wait()));
        assert!(slept.poll(&mut Context::from_waker(Waker::noop())).is_ready());
    }
}

/// Checks all interleavings with up to three preemptions; more find nothing more in the wrong ones, and take minutes.
fn check(wrong: Wrong, records: usize, calls: usize) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(move || {
        let bell = Permit { rung: AtomicBool::new(false), notify: Notify::new() };
        let world = Arc::new(World { bed: Bed::new(bell), queue: Queue::new(), inbox: Queue::new(), wrong });
        let broker = (records > 0).then(|| {
            let world = Arc::clone(&world);
            thread::spawn(move || (0..records).for_each(|record| world.enqueue(u32::try_from(record).unwrap())))
        });
        let processor = (calls > 0).then(|| {
            let world = Arc::clone(&world);
            thread::spawn(move || (0..calls).for_each(|call| world.finish(u32::try_from(call).unwrap())))
        });
        world.run(records, calls, 1);
        for thread in broker.into_iter().chain(processor) {
            thread.join().unwrap();
        }
    });
}

#[test]
fn no_record_and_no_answer_is_left_lying_while_the_loop_sleeps() {
    check(Wrong::Nothing, 2, 0);
    check(Wrong::Nothing, 0, 2);
    check(Wrong::Nothing, 1, 1);
}

#[test]
#[should_panic(expected = "deadlock")]
fn a_look_before_the_announcement_is_found() {
    check(Wrong::LookBeforeAnnouncing, 1, 0);
}

#[test]
#[should_panic(expected = "deadlock")]
fn a_waker_that_looks_before_its_work_is_visible_is_found() {
    check(Wrong::WakeBeforePutting, 1, 0);
}

#[test]
#[should_panic(expected = "deadlock")]
fn a_flag_that_is_lowered_after_the_look_is_found() {
    check(Wrong::LowerAfterTheLook, 2, 0);
}

#[test]
#[should_panic(expected = "deadlock")]
fn a_queue_that_is_forgotten_for_want_of_credit_is_found() {
    check(Wrong::ForgetTheRest, 2, 0);
}
