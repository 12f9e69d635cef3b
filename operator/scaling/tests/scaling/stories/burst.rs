//! A year of flights in three seconds, and other sudden loads.

use std::time::Duration;

use penstock_scaling::{CapacitySource, Limit, Reason};

use crate::world::{World, policy};

const YEAR: f64 = 336_776.0;

/// The demo: one replica at rest, then a year of flights at once.
fn the_demo(catch_up: u64) -> World {
    let mut policy = policy();
    policy.catch_up = Duration::from_secs(catch_up);
    policy.scale_down_window = Duration::from_secs(30);
    policy.max_replicas = Some(12);
    let mut world = World::new(12, 600.0, policy);
    world.run_seconds(60);
    assert!(world.changes.is_empty(), "an idle pipeline rests at its minimum");
    world.burst(YEAR, 3);
    world
}

fn twelve_within_a_minute_and_back(catch_up: u64) {
    let mut world = the_demo(catch_up);
    let decided = world.run_until(60, |world| world.replicas == 12);
    assert!(decided <= 13.0, "the third sample after the burst at the latest, but it took {decided} s");
    let ready = world.run_until(60, |world| world.ready() == 12);
    assert!(decided + ready <= 30.0, "twelve ready replicas, but only after {} s", decided + ready);
    let [(_, 1, 12, Reason::CatchingUp)] = world.changes[..] else { panic!("one jump: {:?}", world.changes) };

    let cleared = world.run_until(300, |world| world.lag() < 1.0);
    assert!(cleared < 60.0, "7,200 a second clear the year in less than a minute, but it took {cleared} s");
    world.run_until(600, |world| world.replicas == 1);
    let numbers: Vec<u32> = world.changes.iter().map(|&(_, _, to, _)| to).collect();
    assert_eq!(numbers, [12, 6, 3, 2, 1], "back by halves: {:?}", world.changes);
    world.run_seconds(600);
    assert_eq!(world.changes.len(), 5, "and then rest: {:?}", world.changes);
}

#[test]
fn a_year_of_flights_in_three_seconds_brings_twelve_replicas_within_a_minute_when_ten_seconds_are_promised() {
    twelve_within_a_minute_and_back(10);
}

#[test]
fn a_year_of_flights_in_three_seconds_brings_twelve_replicas_within_a_minute_when_two_minutes_are_promised() {
    twelve_within_a_minute_and_back(120);
}

#[test]
fn the_decision_says_why_with_its_numbers() {
    let mut world = the_demo(10);
    world.run_until(60, |world| world.replicas == 12);
    let decision = world.last.unwrap();
    let capacity = decision.parts.capacity.unwrap();
    assert_eq!(capacity.source, CapacitySource::Saturated);
    assert!((capacity.records_per_second - 600.0).abs() < 30.0, "{capacity:?}");
    assert_eq!(decision.limited_by, Some(Limit::PartitionBound));
    let said = decision.explain();
    assert!(said.starts_with("From 1 to 12 replicas: The backlog does not clear in the catch-up time"), "{said}");
    assert!(said.contains("one replica does 600/s (measured while full): that takes 12"), "{said}");
}

#[test]
fn a_second_burst_finds_what_the_first_one_taught() {
    let mut world = the_demo(120);
    world.run_seconds(900);
    assert_eq!(world.replicas, 1);
    world.burst(YEAR, 3);
    let decided = world.run_until(60, |world| world.replicas == 12);
    assert!(decided <= 8.0, "two samples are enough once the capacity is known, but it took {decided} s");
}

#[test]
fn what_was_learned_survives_a_restart_of_the_operator() {
    let mut world = the_demo(120);
    world.run_seconds(900);
    let kept = serde_json::to_string(world.state.learned()).unwrap();
    assert!(kept.len() < 200, "it goes to status, so it must be small: {kept}");
    world.state = penstock_scaling::State::restore(serde_json::from_str(&kept).unwrap());
    world.run_seconds(10);
    world.burst(YEAR, 3);
    let decided = world.run_until(60, |world| world.replicas == 12);
    assert!(decided <= 8.0, "it took {decided} s");
}

#[test]
fn records_that_wait_for_their_lane_beside_full_slots_do_not_hide_a_burst() {
    let mut world = World::new(12, 600.0, policy());
    world.crowded_lanes = true;
    world.run_seconds(60);
    world.burst(YEAR, 3);
    let decided = world.run_until(60, |world| world.replicas == 12);
    assert!(decided <= 13.0, "after {decided} s: {:?}", world.changes);
}

#[test]
fn a_slow_rebalance_is_no_reason_for_a_second_jump() {
    let mut policy = policy();
    policy.catch_up = Duration::from_secs(60);
    let mut world = World::new(60, 100.0, policy);
    world.rebalance = Duration::from_secs(18);
    world.rate = 60.0;
    world.run_seconds(300);
    world.rate = 1_900.0;
    world.run_seconds(240);
    assert_eq!(world.changes.len(), 1, "{:?}", world.changes);
}

#[test]
fn a_burst_that_one_replica_clears_in_time_changes_nothing() {
    let mut world = World::new(12, 600.0, policy());
    world.run_seconds(60);
    world.burst(30_000.0, 3);
    world.run_seconds(1_800);
    assert!(world.changes.is_empty(), "50 s of work within a promise of 120 s: {:?}", world.changes);
}

#[test]
fn a_step_of_the_load_is_answered_with_one_jump() {
    let mut world = World::new(60, 100.0, policy());
    world.rate = 40.0;
    world.run_seconds(300);
    assert!(world.changes.is_empty());
    world.rate = 2_000.0;
    world.run_seconds(60);
    let [(at, 1, to, _)] = world.changes[..] else { panic!("{:?}", world.changes) };
    assert!(at <= 320.0 && (20..=60).contains(&to), "at once and far enough: {:?}", world.changes);
    world.run_seconds(3_600);
    assert_eq!(
        world.replicas, 30,
        "2,000 a second at 80 of 100 are 25, and the next number that evens 60 partitions out is 30"
    );
    assert!(world.changes.len() <= 3, "{:?}", world.changes);
}

#[test]
fn thirteen_partitions_know_seven_and_thirteen_and_nothing_between() {
    for (rate, replicas) in [(500.0, 7), (530.0, 13)] {
        let mut world = World::new(13, 100.0, policy());
        world.rate = rate;
        world.run_seconds(3_600);
        assert_eq!(
            world.replicas, replicas,
            "two partitions of {rate}/13 against 80 of a replica: {:?}",
            world.changes
        );
        assert!(world.changes.iter().all(|(_, _, to, _)| [1, 2, 3, 4, 5, 7, 13].contains(to)), "{:?}", world.changes);
        assert!(world.changes.len() <= 2, "{:?}", world.changes);
    }
}
