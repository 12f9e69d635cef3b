//! The shell between a model of Kafka and a model of a processor. The engine has its own, far larger simulation; here the
//! wiring is on trial: that effects are carried out once and in order, and every answer finds its question.

mod kafka;
mod processor;
mod world;

use std::time::Duration;

use self::world::{Chaos, World};

#[test]
fn quiet_days_end_in_order() {
    let mut world = World::new(1, Chaos::none());
    world.run_until_done();
    assert_eq!(world.stop(), Some(true));
    assert_eq!(world.shell.io.count("rebuild"), 0);
}

#[test]
fn every_record_is_done_once_per_success_whatever_happens() {
    for seed in 0..1000 {
        let mut world = World::new(seed, Chaos::all());
        world.run_until_done();
        assert!(world.stop().is_some(), "seed {seed}");
    }
}

#[test]
fn revoked_partitions_are_released_after_their_calls_and_commits() {
    let mut world = World::new(7, Chaos::none());
    world.run_for(Duration::from_millis(100));
    assert!(world.shell.calls_in_progress > 0, "the test needs calls in progress");
    world.shell.io.revoke_all();
    world.run_for(Duration::from_secs(3));
    assert!(world.shell.io.assigned().is_empty());
    world.everything_acknowledged_is_committed();
}

#[test]
fn a_failed_consumer_is_made_anew_and_goes_on() {
    let mut world = World::new(3, Chaos::none());
    world.run_for(Duration::from_millis(200));
    world.shell.io.fail();
    world.run_until_done();
    assert_eq!(world.shell.io.count("rebuild"), 1);
    assert_eq!(world.stop(), Some(true));
}

#[test]
fn stopping_waits_for_calls_and_leaves_what_it_did_not_start() {
    let mut world = World::new(11, Chaos::none());
    world.run_for(Duration::from_millis(100));
    assert!(world.shell.calls_in_progress > 0, "the test needs calls in progress");
    assert_eq!(world.stop(), Some(true));
    assert_eq!(world.shell.calls_in_progress, 0);
    world.everything_acknowledged_is_committed();
}

#[test]
fn calls_that_outlast_the_drain_cut_it_short_or_are_cancelled() {
    let mut world = World::new(5, Chaos::none());
    world.shell.calls.stuck = true;
    world.run_for(Duration::from_millis(200));
    let ended = world.stop();
    assert!(ended.is_some(), "it ends by its deadline all the same");
    world.everything_acknowledged_is_committed();
}

#[test]
fn what_is_held_stays_within_the_window() {
    let mut world = World::new(2, Chaos::none());
    world.shell.calls.stuck = true;
    world.run_for(Duration::from_secs(2));
    let held: u64 = world.shell.engine.partitions(world.now).map(|partition| partition.held_bytes).sum();
    // The first fetch does not know yet how large records are and may overdraw by as much as it was given.
    assert!(held > world::WINDOW_BYTES / 2 && held <= 2 * world::WINDOW_BYTES, "{held} bytes are held");
    world.shell.calls.stuck = false;
    world.run_until_done();
}
