//! Time, chance, and what must hold.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use penstock_engine::{Engine, Instant, Policy, policy};

use super::super::state::State;
use super::super::{Settings, Shell};
use super::kafka::ModelKafka;
use super::processor::ModelProcessor;
use crate::forward::DeadLetters;
use crate::metrics::Metrics;

pub(super) const PARTITIONS: i32 = 3;
pub(super) const RECORDS: i64 = 150;
pub(super) const KEYS: i64 = 7;
pub(super) const WINDOW_BYTES: u64 = 12 * 1024;
pub(super) const CONCURRENCY: u32 = 8;
const STEP: Duration = Duration::from_millis(1);
/// Longest virtual time until everything is done.
const LIMIT: Duration = Duration::from_secs(600);

/// What may go wrong.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chaos {
    pub(super) rebalances: bool,
    pub(super) failures: bool,
    pub(super) refusals: bool,
}

impl Chaos {
    pub(super) fn none() -> Self {
        Self { rebalances: false, failures: false, refusals: false }
    }

    pub(super) fn all() -> Self {
        Self { rebalances: true, failures: true, refusals: true }
    }
}

/// xorshift64*: the same seed, the same run.
#[derive(Debug)]
pub(super) struct Chance(u64);

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % bound
    }

    pub(super) fn one_in(&mut self, chances: u64) -> bool {
        self.below(chances) == 0
    }
}

/// What really happened, known to both models.
#[derive(Debug, Default)]
pub(super) struct Truth {
    /// Records acknowledged or confirmed as dead letters, as the shell was told.
    pub(super) done: BTreeSet<(i32, i64)>,
    /// Records whose dead letter is confirmed.
    pub(super) dead: BTreeSet<(i32, i64)>,
    /// First success by partition and key, in order.
    pub(super) last: BTreeMap<(i32, i64), i64>,
}

impl Truth {
    /// The processor has taken a record, perhaps once more.
    pub(super) fn took(&mut self, (partition, offset): (i32, i64)) {
        if self.done.insert((partition, offset)) {
            let last = self.last.entry((partition, key_of(offset))).or_insert(-1);
            assert!(*last < offset, "S5: {partition}/{offset} succeeded after {last}");
            *last = offset;
        }
    }
}

pub(super) fn key_of(offset: i64) -> i64 {
    offset % KEYS
}

/// One in 20 is refused for good.
pub(super) fn is_poison(offset: i64) -> bool {
    offset % 20 == 13
}

pub(super) struct World {
    pub(super) shell: Shell<ModelKafka, ModelProcessor>,
    pub(super) now: Instant,
    truth: Rc<RefCell<Truth>>,
    seed: u64,
}

impl World {
    pub(super) fn new(seed: u64, chaos: Chaos) -> Self {
        let truth = Rc::new(RefCell::new(Truth::default()));
        let io = ModelKafka::new(seed, chaos, Rc::clone(&truth));
        let calls = ModelProcessor::new(seed, Rc::clone(&truth));
        let retry = policy::Retry { initial_delay: Duration::from_millis(20), ..policy::Retry::default() };
        let policy = Policy {
            concurrency: CONCURRENCY,
            timeout: Duration::from_secs(5),
            window_bytes: WINDOW_BYTES,
            retry,
            incarnation: seed,
            ..Policy::default()
        };
        let settings = Settings {
            pipeline: "shop/orders".to_owned(),
            drain: Duration::from_secs(2),
            dead_letter: Some(DeadLetters { topic: "dlq".to_owned(), group: "g".to_owned(), headers: Vec::new() }),
            delay_topics: Vec::new(),
            output: None,
            metadata_limit: Some(4096),
            forward_slots: 64,
        };
        let (metrics, state) = (Arc::new(Metrics::new().unwrap()), Arc::new(State::default()));
        let shell = Shell::new((io, calls, Engine::new(policy)), settings, metrics, state, Instant::ZERO);
        Self { shell, now: Instant::ZERO, truth, seed }
    }

    fn step(&mut self) {
        self.now = self.now + STEP;
        self.shell.io.now = self.now;
        self.shell.calls.now = self.now;
        // A turn that found nothing is followed by a look before sleep, which must agree.
        if !self.shell.turn(self.now) {
            assert!(!self.shell.has_work(), "seed {}: it would sleep with work waiting", self.seed);
        }
    }

    pub(super) fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.step();
        }
    }

    pub(super) fn run_until_done(&mut self) {
        let all = usize::try_from(RECORDS * i64::from(PARTITIONS)).unwrap();
        while self.truth.borrow().done.len() < all || !self.shell.io.is_all_committed() {
            assert!(self.now.since(Instant::ZERO) < LIMIT, "seed {}: not done, {:?}", self.seed, self.missing());
            self.step();
        }
        let truth = self.truth.borrow();
        let poison = truth.done.iter().filter(|(_, offset)| is_poison(*offset)).count();
        assert_eq!(truth.dead.len(), poison, "seed {}: exactly the poison is dead-lettered", self.seed);
    }

    fn missing(&self) -> Vec<(i32, i64)> {
        let all = (0..PARTITIONS).flat_map(|partition| (0..RECORDS).map(move |offset| (partition, offset)));
        let truth = self.truth.borrow();
        all.filter(|record| !truth.done.contains(record)).take(10).collect()
    }

    /// Stops as a signal would; how it ended.
    pub(super) fn stop(&mut self) -> Option<bool> {
        self.shell.drain(self.now + Duration::from_secs(2), self.now);
        let end = self.now + Duration::from_secs(20);
        while self.shell.ended().is_none() && self.now < end {
            self.step();
        }
        self.shell.ended()
    }

    /// What was acknowledged without a gap is below the committed offset: nothing of it would be done again.
    pub(super) fn everything_acknowledged_is_committed(&self) {
        let truth = self.truth.borrow();
        for partition in 0..PARTITIONS {
            let frontier = (0..RECORDS).take_while(|offset| truth.done.contains(&(partition, *offset))).count();
            let committed = self.shell.io.committed_offset(partition);
            assert_eq!(committed, i64::try_from(frontier).unwrap(), "partition {partition}");
        }
    }
}
