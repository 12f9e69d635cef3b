//! How many records a second go through `on()` when the processor answers at once, as `processor: discard` does.
//!
//! One core, no I/O: poll batches in, starts out, answers back in the same turn. `cargo bench -p penstock-engine`.
//!
//! Beside the wall clock it reads the time this thread really had a core (`/proc/thread-self/schedstat`), which other
//! work on the machine does not change much; where that file is missing, both columns show the wall clock.

#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::sync::Arc;
use std::time::Instant as Clock;

use penstock_engine::policy::Ordering;
use penstock_engine::seam::{
    Arena, ArenaBuilder, Assignment, AtOnce, CommitResult, Finished, Loaded, NewRecord, Outcome, PartitionRole,
    TopicId, Tp,
};
use penstock_engine::{Effect, Engine, Event, Instant, Policy};

const PARTITIONS: u32 = 8;
const KEYS: u64 = 1000;
const RECORDS: u64 = 8_000_000;
const BATCH: u64 = 256;
const VALUE_BYTES: usize = 100;

/// The shell around the engine: answers every start, commit and fetch before the next poll.
struct Shell {
    engine: Engine,
    effects: Vec<Effect>,
    finished: Vec<Finished>,
    started: Clock,
    done: u64,
}

impl Shell {
    fn now(&self) -> Instant {
        Instant::from_nanos(u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    fn on(&mut self, event: Event) {
        let now = self.now();
        self.engine.on(event, now, &mut self.effects);
        while !self.effects.is_empty() {
            let mut replies = Vec::new();
            for effect in self.effects.drain(..) {
                match effect {
                    Effect::Start(start) => {
                        for delivery in start.deliveries.as_slice() {
                            self.finished.push(Finished { ticket: delivery.ticket, outcome: Outcome::Ack });
                        }
                    }
                    Effect::Commit { tp, commit, .. } => {
                        replies.push(Event::Committed { tp, commit, result: CommitResult::Ok });
                    }
                    Effect::FetchCheckpoint { tp, seq } => {
                        replies.push(Event::CheckpointLoaded { tp, seq, result: Ok(nothing_committed()) });
                    }
                    Effect::Probe => replies.push(Event::ProcessorHealth { ready: true }),
                    _ => {}
                }
            }
            for reply in replies {
                self.engine.on(reply, now, &mut self.effects);
            }
            if !self.finished.is_empty() {
                self.done += self.finished.len() as u64;
                let finished = std::mem::take(&mut self.finished);
                self.engine.on(Event::Finished(finished), now, &mut self.effects);
            }
        }
    }
}

fn nothing_committed() -> Loaded {
    Loaded { cluster_id: "bench".into(), topic_id: TopicId(1), offset: 0, leader_epoch: -1, metadata: String::new() }
}

fn batch(first: u64, value: &[u8]) -> Arc<Arena> {
    let mut arena = ArenaBuilder::with_capacity(256, 256 * (VALUE_BYTES + 8));
    for offset in first..first + BATCH {
        let key = (offset.wrapping_mul(0x9e37_79b9_7f4a_7c15) % KEYS).to_le_bytes();
        let offset = i64::try_from(offset).unwrap_or(i64::MAX);
        let record = NewRecord { offset, key: Some(&key), value: Some(value), ..NewRecord::default() };
        if arena.push(record).is_err() {
            break;
        }
    }
    arena.finish()
}

/// Seconds that this thread has spent on a core.
fn on_core(since: Clock) -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = stat.split_whitespace().next().and_then(|nanos| nanos.parse::<f64>().ok());
    nanos.map_or_else(|| since.elapsed().as_secs_f64(), |nanos| nanos / 1e9)
}

/// Records per second of wall clock and of core time.
fn run(ordering: Ordering, concurrency: u32) -> (f64, f64) {
    let engine = Engine::new(Policy { ordering, concurrency, ..Policy::default() });
    let started = Clock::now();
    let mut shell = Shell { engine, effects: Vec::new(), finished: Vec::new(), started, done: 0 };
    shell.on(Event::ForwardRoom { slots: 100_000 });
    let assignment = |number: u32| Assignment {
        tp: Tp(number),
        topic: "orders".into(),
        partition: number.cast_signed(),
        role: PartitionRole::Source,
    };
    shell.on(Event::Assigned { partitions: (0..PARTITIONS).map(assignment).collect(), seq: 1 });
    let value = vec![7; VALUE_BYTES];
    let begun = Clock::now();
    let core = on_core(begun);
    for first in (0..RECORDS / u64::from(PARTITIONS)).step_by(256) {
        for number in 0..PARTITIONS {
            let arena = batch(first, &value);
            let range = 0..u32::try_from(arena.len()).unwrap_or(0);
            shell.on(Event::Records { tp: Tp(number), seq: 1, arena, range, at_once: AtOnce::default() });
        }
    }
    let (wall, core) = (begun.elapsed().as_secs_f64(), on_core(begun) - core);
    assert!(shell.done >= RECORDS, "{} of {RECORDS} records were done", shell.done);
    (shell.done as f64 / wall, shell.done as f64 / core)
}

fn main() {
    println!("ordering    in flight   records/s (wall)   records/s (core)   copying into arenas included");
    for (ordering, concurrency) in
        [(Ordering::Key, 64), (Ordering::Key, 1024), (Ordering::Partition, 64), (Ordering::Unordered, 64)]
    {
        let mut best = (0.0_f64, 0.0_f64);
        for _ in 0..3 {
            let (wall, core) = run(ordering, concurrency);
            best = (best.0.max(wall), best.1.max(core));
        }
        println!("{:<12}{concurrency:>8}{:>19.0}{:>19.0}", format!("{ordering:?}"), best.0, best.1);
    }
}
