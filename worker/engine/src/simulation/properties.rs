//! A hundred thousand schedules of a right engine.

use super::coverage::{Coverage, Reached};
use super::truth::Violation;
use super::world::World;
use crate::wrong::Wrong;

/// Schedules of an ordinary test run.
const SCHEDULES: u64 = 100_000;

/// Runs one schedule.
pub(super) fn run(seed: u64, wrong: Option<Wrong>, tell: bool) -> (Result<(), Violation>, Coverage) {
    let mut world = World::new(seed, wrong, tell);
    let result = world.run();
    if tell {
        world.workers.iter().for_each(|worker| eprintln!("{:#?}", worker.engine));
    }
    let deferred = world.workers.iter().any(|worker| worker.engine.counters().starts_deferred > 0);
    if deferred {
        world.coverage.reach(Reached::StartDeferred);
    }
    let fenced = world.workers.iter().any(|worker| worker.engine.counters().fenced > 0);
    if fenced {
        world.coverage.reach(Reached::Fenced);
    }
    let ended = world.workers.iter().any(|worker| worker.engine.counters().parkings_ended > 0);
    if ended {
        world.coverage.reach(Reached::ParkingEnded);
    }
    let again = world.workers.iter().any(|worker| worker.engine.counters().redriven_again > 0);
    if again {
        world.coverage.reach(Reached::RedrivenAgain);
    }
    let lowered = world.workers.iter().any(|worker| worker.engine.view().concurrency < world.config.policy.concurrency);
    if lowered {
        world.coverage.reach(Reached::LimitLowered);
    }
    (result, world.coverage)
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().expect("a number"))
}

#[test]
fn the_invariants_hold_in_every_schedule() {
    if let Some(seed) = variable("PENSTOCK_SEED") {
        let (result, _) = run(seed, None, true);
        assert!(result.is_ok(), "seed {seed}: {result:?}");
        return;
    }
    let mut total = Coverage::new();
    for seed in 0..variable("PENSTOCK_SCHEDULES").unwrap_or(SCHEDULES) {
        let (result, coverage) = run(seed, None, false);
        if let Err(Violation { rule, detail }) = result {
            panic!("{rule}: {detail}\nreplay with PENSTOCK_SEED={seed}");
        }
        total.add(&coverage);
    }
    println!("{:?}", total.counts());
    let unreached = total.counts().iter().position(|count| *count == 0);
    assert_eq!(unreached, None, "a state that no schedule reached, by its place in `Reached`: {:?}", total.counts());
}
