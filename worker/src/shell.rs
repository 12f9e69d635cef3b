//! The shell around the engine: what one thread owns. It feeds events to [`Engine::on`] and carries out the effects.
//!
//! Generic over [`KafkaIo`] and [`Calls`], and time is an argument: tests drive it with models of both. [`run`] is the loop
//! with a real clock and a real sleep.

mod assignments;
mod commits;
mod effects;
mod events;
mod forwards;
mod mislaid;
mod partitions;
mod refusals;
pub mod run;
mod stalls;
pub mod state;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use penstock_engine::seam::{Arena, ArenaBuilder, AtOnce, Finished, Tp};
use penstock_engine::{Effect, Engine, Event, Instant};
use penstock_kafka::ErrorCode;
use penstock_kafka::consumer::FetchLimit;

use self::assignments::Assignments;
use self::commits::Commits;
use self::forwards::Forwards;
use self::mislaid::Mislaid;
use self::partitions::{Partition, Partitions};
use self::refusals::Refusals;
use self::state::State;
use crate::delay::DelayTopic;
use crate::failure::Failure;
use crate::forward::DeadLetters;
use crate::kafka::KafkaIo;
use crate::metrics::Metrics;
use crate::processor::{Calls, Run};

/// The most that is taken from one partition before the others have their turn.
const FETCH: FetchLimit = FetchLimit { max_records: 1024, max_bytes: 1 << 20 };
/// The same while calls are in progress, and how many partitions have their turn then: a call that ends waits for no more than
/// this, some 500 µs.
const FETCH_BETWEEN_CALLS: FetchLimit = FetchLimit { max_records: 128, max_bytes: 1 << 20 };
const PARTITIONS_BETWEEN_CALLS: u32 = 4;
/// How often the engine's totals become metrics.
const PUBLISH_EVERY: Duration = Duration::from_secs(1);
/// How long leaving the group may take.
const LEAVE: Duration = Duration::from_secs(5);

/// What the shell must know of the pipeline.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `<namespace>/<name>`, for headers.
    pub pipeline: String,
    /// `delivery.drain`.
    pub drain: Duration,
    /// Where dead letters go.
    pub dead_letter: Option<DeadLetters>,
    /// Where failed records wait, by tier; empty for none.
    pub delay_topics: Vec<DelayTopic>,
    /// Where answers go.
    pub output: Option<String>,
    /// `offset.metadata.max.bytes` of the brokers, where they tell.
    pub metadata_limit: Option<u32>,
    /// Most records sent and not confirmed.
    pub forward_slots: u32,
}

/// How far the shell is with its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Running,
    /// Finishing what runs.
    Draining,
    /// Leaving the group, at the latest by then.
    Leaving(Instant),
    /// Nothing left to do.
    Left,
}

/// The engine, what it acts through, and the books in between.
#[derive(Debug)]
pub struct Shell<K, C> {
    io: K,
    calls: C,
    engine: Engine,
    settings: Settings,
    partitions: Partitions,
    assignments: Assignments,
    mislaid: Mislaid,
    commits: Commits,
    forwards: Forwards,
    effects: Vec<Effect>,
    phase: Phase,
    calls_in_progress: i64,
    /// The partition that was looked at last.
    last_fetch: usize,
    /// Something was given up for want of time.
    cut_short: bool,
    /// What the cluster refuses us.
    refusals: Refusals,
    /// When each kind of trouble was last logged.
    logged: HashMap<ErrorCode, Instant>,
    publish_at: Instant,
    watch_at: Instant,
    metrics: Arc<Metrics>,
    state: Arc<State>,
}

impl<K: KafkaIo, C: Calls> Shell<K, C> {
    /// A shell whose consumer has joined, and whose processor has answered its first probe.
    pub fn new(
        (io, calls, engine): (K, C, Engine),
        settings: Settings,
        metrics: Arc<Metrics>,
        state: Arc<State>,
        now: Instant,
    ) -> Self {
        let mut shell = Self {
            io,
            calls,
            engine,
            partitions: Partitions::default(),
            assignments: Assignments::default(),
            mislaid: Mislaid::default(),
            commits: Commits::default(),
            forwards: Forwards::default(),
            effects: Vec::new(),
            phase: Phase::Running,
            calls_in_progress: 0,
            last_fetch: 0,
            cut_short: false,
            refusals: Refusals::default(),
            logged: HashMap::new(),
            publish_at: now,
            watch_at: now,
            settings,
            metrics,
            state,
        };
        shell.tell(Event::ForwardRoom { slots: shell.settings.forward_slots }, now);
        if let Some(bytes) = shell.settings.metadata_limit {
            shell.tell(Event::MetadataLimit { bytes }, now);
        }
        shell.tell(Event::ProcessorHealth { ready: true }, now);
        shell
    }

    /// Does everything there is to do; false when there was nothing.
    pub fn turn(&mut self, now: Instant) -> bool {
        self.metrics.turns.inc();
        let mut worked = self.take_kafka_events(now);
        worked |= self.take_finished(now);
        worked |= self.take_records(now);
        if self.engine.next_wake().is_some_and(|wake| wake <= now) {
            self.tell(Event::Tick, now);
            worked = true;
        }
        worked |= self.rebuild_if_due(now);
        self.begin_reading(now);
        self.resend(now);
        while self.tell_forwarded(now) {
            worked = true;
        }
        worked |= self.watch(now);
        self.finish_leaving(now);
        self.publish(now);
        worked
    }

    fn publish(&mut self, now: Instant) {
        if self.phase != Phase::Left && now < self.publish_at {
            return;
        }
        self.publish_at = now + PUBLISH_EVERY;
        let partitions = self.engine.partitions(now).map(|view| (&self.partitions.get(view.tp).name, view));
        let view = self.engine.view();
        self.metrics.processor_up.set(i64::from(view.circuit_open.is_none()));
        self.metrics.engine.publish(self.engine.counters(), &view, partitions);
    }

    /// Whether a turn would find something: to be asked between announcing a sleep and sleeping.
    pub fn has_work(&self) -> bool {
        let readable = |partition: &Partition| partition.may_be_read() && self.io.has_records(&partition.name);
        self.io.maybe_ready() || self.calls.maybe_ready() || self.partitions.reading().any(readable)
    }

    /// When the next turn is due, whatever happens.
    pub fn next_wake(&self) -> Option<Instant> {
        let leaving = if let Phase::Leaving(deadline) = self.phase { Some(deadline) } else { None };
        [self.engine.next_wake(), self.assignments.rebuild_at(), leaving].into_iter().flatten().min()
    }

    /// Finish what runs until `deadline`, then leave.
    pub fn drain(&mut self, deadline: Instant, now: Instant) {
        if self.phase == Phase::Running {
            self.phase = Phase::Draining;
            self.tell(Event::Drain { deadline }, now);
        }
    }

    /// Whether [`Shell::drain`] was called.
    pub fn is_draining(&self) -> bool {
        self.phase != Phase::Running
    }

    /// Everything is over: whether it ended in order, without giving anything up.
    pub fn ended(&self) -> Option<bool> {
        (self.phase == Phase::Left).then_some(!self.cut_short)
    }

    /// A refusal by the cluster that has lasted too long to be a passing one.
    pub fn failure(&self, now: Instant) -> Option<Failure> {
        self.refusals.lasting(now).map(Failure::from_kafka)
    }

    /// Tells the engine, and does what it says.
    fn tell(&mut self, event: Event, now: Instant) {
        self.engine.on(event, now, &mut self.effects);
        let mut effects = std::mem::take(&mut self.effects);
        for effect in effects.drain(..) {
            self.carry_out(effect, now);
        }
        self.effects = effects;
        self.flush(now);
    }

    fn take_finished(&mut self, now: Instant) -> bool {
        let (mut worked, mut taken) = (false, 0);
        // Calls that end at once end within the effects of the ones before them. More of them than a fetch brings, so that a backlog of
        // such calls gets shorter, and not all of it, for others wait.
        let most = match self.calls.run_max() {
            0 => usize::MAX,
            run => 2 * run.min(FETCH.max_records),
        };
        while taken < most && self.calls.maybe_ready() {
            let mut finished: Vec<Finished> = Vec::new();
            self.calls.take_finished(&mut finished);
            taken += finished.len();
            worked = true;
            if !finished.is_empty() {
                self.count_finished(&finished);
                self.tell(Event::Finished(finished), now);
            }
            if let Some(ready) = self.calls.health() {
                self.tell(Event::ProcessorHealth { ready }, now);
            }
        }
        worked
    }

    fn count_finished(&mut self, finished: &[Finished]) {
        let first = |one: &&Finished| one.ticket.item == 0;
        self.calls_in_progress -= i64::try_from(finished.iter().filter(first).count()).unwrap_or(0);
        self.metrics.calls_in_progress.set(self.calls_in_progress);
        let mut acknowledged = 0;
        for one in finished {
            if matches!(one.outcome, penstock_engine::seam::Outcome::Ack) {
                acknowledged += 1;
            } else {
                self.metrics.ended(&one.outcome);
            }
        }
        self.metrics.acknowledged(acknowledged);
    }

    fn take_records(&mut self, now: Instant) -> bool {
        let count = self.partitions.len();
        let mut fetched = 0;
        for _ in 0..count {
            self.last_fetch = (self.last_fetch + 1) % count;
            fetched += u32::from(self.fetch(self.last_fetch, false, now));
            let slow = (1..FETCH.max_records).contains(&self.calls.run_max()); // to each its run
            if (self.calls_in_progress > 0 || slow) && fetched >= PARTITIONS_BETWEEN_CALLS {
                break;
            }
        }
        fetched > 0
    }

    /// Takes what one partition has, within its credit, if it was signalled or is to be looked at without that.
    fn fetch(&mut self, index: usize, unsignalled: bool, now: Instant) -> bool {
        let Some(partition) = self.partitions.reading_at(index) else { return false };
        if !partition.may_be_read() {
            return false; // of one that failed nothing comes, and where it stands says nothing
        }
        let most = match (self.calls_in_progress > 0, self.calls.run_max()) {
            (true, 0) => FETCH_BETWEEN_CALLS,
            (false, 0) => FETCH,
            (_, run) => FetchLimit { max_records: FETCH.max_records.min(run), ..FETCH },
        };
        let Some(limit) = partition.fetch_limit(most) else { return false };
        if !unsignalled && !self.io.has_records(&partition.name) {
            return false;
        }
        let (records, bytes) = partition.arena_hint;
        let mut arena = ArenaBuilder::with_capacity(records, bytes);
        let fetched = self.io.fetch(&partition.name, limit, &mut arena);
        let (tp, seq, name) = (partition.tp, partition.seq, partition.name.clone());
        // Nothing is handed over of a topic that turned out to be made anew, whatever was read of it.
        partition.took(&fetched, if fetched.records > 0 { arena.weight() } else { 0 });
        if fetched.records > 0 {
            self.metrics.records_received.inc_by(fetched.records as u64);
            self.metrics.bytes_received.inc_by(fetched.bytes as u64);
            let arena = arena.finish();
            let at_once = self.answer_at_once(tp, seq, &arena, now);
            let range = 0..u32::try_from(arena.len()).unwrap_or(u32::MAX);
            self.tell(Event::Records { tp, seq, arena, range, at_once }, now);
            self.take_finished(now);
        }
        if fetched.empty
            && let Some(offset) = self.io.position(&name)
            && self.partitions.moved(tp, offset)
        {
            self.tell(Event::Position { tp, seq, offset }, now);
        }
        if let Some(error) = fetched.error {
            self.partition_failed(tp, &error, now);
        }
        true
    }

    /// Has the first records of a fetch answered before the engine hears of them, where processor and engine allow it.
    fn answer_at_once(&mut self, tp: Tp, seq: u64, arena: &Arena, now: Instant) -> AtOnce {
        if self.calls.run_max() == 0 {
            return AtOnce::default();
        }
        let Some(next) = self.engine.at_once(tp, seq, now) else {
            return AtOnce { took: self.calls.time_taken(), ..AtOnce::default() };
        };
        let known = arena.records().take_while(|record| record.offset() < next.offset).count();
        let mut at_once =
            self.calls.at_once(Run { arena, known, owner: next.owner, origin: self.partitions.origin(tp) });
        self.metrics.answered_at_once(&at_once);
        at_once.took = self.calls.time_taken();
        at_once.records += u32::try_from(known).unwrap_or(u32::MAX); // a poll batch is some thousand records at most
        at_once
    }
}
