//! A processor that takes its time, changes its mind, and is watched.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use penstock_engine::Instant;
use penstock_engine::seam::{AtOnce, CallId, Delivery, ErrorClass, Failure, Finished, Outcome, Start};

use super::world::{Chance, Truth, is_poison, key_of};
use crate::contract::request::Origin;
use crate::processor::{Calls, Run};

#[derive(Debug)]
struct Running {
    ends: Instant,
    finished: Finished,
    record: (i32, i64),
}

/// An answer to everything.
#[derive(Clone, Copy, Debug)]
pub(super) enum Says {
    Overload,
    Unavailable,
}

#[derive(Debug)]
pub(super) struct ModelProcessor {
    pub(super) now: Instant,
    /// No call ends by itself.
    pub(super) stuck: bool,
    /// What it says, whatever comes.
    pub(super) says: Option<Says>,
    /// It takes no time, and answers records of a fetch at once until it has had enough.
    pub(super) quick: bool,
    /// How many records it has answered at once.
    pub(super) answered_at_once: u64,
    running: BTreeMap<CallId, Running>,
    chance: Chance,
    truth: Rc<RefCell<Truth>>,
}

impl ModelProcessor {
    pub(super) fn new(seed: u64, truth: Rc<RefCell<Truth>>) -> Self {
        let chance = Chance::new(seed ^ 0xCA11);
        Self {
            now: Instant::ZERO,
            stuck: false,
            says: None,
            quick: false,
            answered_at_once: 0,
            running: BTreeMap::new(),
            chance,
            truth,
        }
    }

    fn outcome(&mut self, offset: i64) -> Outcome {
        let overload = || Outcome::Overload(Failure::new(ErrorClass::Overload, "HTTP 503"));
        match self.says {
            Some(Says::Overload) => overload(),
            Some(Says::Unavailable) => {
                Outcome::Unavailable(Failure::new(ErrorClass::Unreachable, "connection refused"))
            }
            None if is_poison(offset) => Outcome::Reject(Failure::new(ErrorClass::Rejected, "HTTP 422")),
            None if self.chance.one_in(40) => overload(),
            None => Outcome::Ack,
        }
    }
}

impl Calls for ModelProcessor {
    fn run_max(&self) -> usize {
        if self.quick { 16 } else { 0 }
    }

    fn at_once(&mut self, run: Run<'_>) -> AtOnce {
        let mut at_once = AtOnce::default();
        for record in run.records() {
            let place = (run.origin.partition, record.offset());
            let busy = self.running.values().any(|running| running.record.0 == place.0);
            assert!(!busy, "S5: {place:?} is called beside others of its partition");
            if self.stuck || self.chance.one_in(20) {
                break;
            }
            match self.outcome(place.1) {
                Outcome::Ack => self.truth.borrow_mut().took(place),
                other => {
                    at_once.other = Some(other);
                    break;
                }
            }
            at_once.records += 1;
            self.answered_at_once += 1;
        }
        at_once
    }

    fn start(&mut self, start: Start, now: Instant, origin: &impl Fn(&Delivery) -> Arc<Origin>) {
        let [delivery] = start.deliveries.as_slice() else { panic!("one record a call") };
        let (partition, offset) = (origin(delivery).partition, delivery.record.offset());
        let same_key = |running: &Running| running.record.0 == partition && key_of(running.record.1) == key_of(offset);
        assert!(!self.running.values().any(same_key), "S5: two calls at once for the key of {partition}/{offset}");
        assert_eq!(delivery.record.key().unwrap(), key_of(offset).to_be_bytes());
        let took = Duration::from_millis(self.chance.below(if self.quick { 1 } else { 12 }));
        let finished = Finished { ticket: delivery.ticket, outcome: self.outcome(offset) };
        let running = Running { ends: now + took, finished, record: (partition, offset) };
        assert!(self.running.insert(start.call, running).is_none(), "the slot was free");
    }

    fn cancel(&mut self, call: CallId) {
        let now = self.now;
        if let Some(running) = self.running.get_mut(&call) {
            running.ends = now;
            running.finished.outcome = Outcome::Cancelled;
        }
    }

    fn take_finished(&mut self, into: &mut Vec<Finished>) {
        let (now, stuck) = (self.now, self.stuck);
        let over = |running: &mut Running| {
            running.ends <= now && (!stuck || matches!(running.finished.outcome, Outcome::Cancelled))
        };
        for (_, running) in self.running.extract_if(.., |_, running| over(running)) {
            if matches!(running.finished.outcome, Outcome::Ack) {
                self.truth.borrow_mut().took(running.record);
            }
            into.push(running.finished);
        }
    }

    fn probe(&mut self) {}

    fn health(&mut self) -> Option<bool> {
        Some(true)
    }

    fn maybe_ready(&self) -> bool {
        let cancelled = |running: &Running| matches!(running.finished.outcome, Outcome::Cancelled);
        self.running.values().any(|running| running.ends <= self.now && (!self.stuck || cancelled(running)))
    }
}
