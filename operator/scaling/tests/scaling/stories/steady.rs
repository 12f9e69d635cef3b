//! Load that stays: nothing to do, and nothing is done.

use crate::world::{World, policy};

#[test]
fn two_hours_of_a_steady_2500_a_second_see_at_most_two_changes_and_no_lag() {
    let mut world = World::new(60, 100.0, policy());
    world.rate = 2_500.0;
    world.run_seconds(900);
    assert!(world.changes.len() <= 3, "{:?}", world.changes);
    let settled = world.changes.len();
    world.run_seconds(7_200);
    assert!(world.changes.len() - settled <= 1, "{:?}", world.changes);
    assert_eq!(world.replicas, 60, "2,500 at 80 of 100 are 31.25, above the step of 30: {:?}", world.changes);
    assert!(world.lag() < 2_500.0 * 2.0, "{}", world.lag());
}

#[test]
fn a_group_of_the_right_size_is_left_alone() {
    let mut world = World::new(12, 600.0, policy()).with_replicas(6);
    world.rate = 2_500.0;
    world.run_seconds(7_200);
    assert!(world.changes.is_empty(), "2,500 at 80% of 600 are 5.2: {:?}", world.changes);
}

#[test]
fn a_group_that_is_too_large_finds_its_way_down_at_most_by_halves() {
    let mut world = World::new(12, 600.0, policy()).with_replicas(12);
    world.rate = 700.0;
    world.run_seconds(3_600);
    let numbers: Vec<u32> = world.changes.iter().map(|&(_, _, to, _)| to).collect();
    assert_eq!(numbers, [6, 3, 2], "{:?}", world.changes);
    let gaps: Vec<f64> = world.changes.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
    assert!(gaps.iter().all(|&gap| gap >= 300.0), "once a window: {gaps:?}");
}

#[test]
fn waves_within_a_window_cost_one_rise_and_no_fall() {
    let mut world = World::new(12, 600.0, policy()).with_replicas(2);
    for _ in 0..20 {
        world.rate = 2_000.0;
        world.run_seconds(120);
        world.rate = 300.0;
        world.run_seconds(120);
    }
    assert!(world.changes.len() <= 2, "{:?}", world.changes);
}

#[test]
fn where_something_else_than_slots_binds_a_step_too_far_is_taken_once_and_remembered() {
    // 64 slots would do 6,400 a second, but the replica's own processor stops at 600.
    let mut world = World::new(12, 6_400.0, policy()).with_replicas(12);
    world.replica_bound = 600.0;
    world.rate = 2_500.0;
    world.run_seconds(3_600);
    let settled = world.changes.len();
    assert!(settled <= 4, "down, down, up at most: {:?}", world.changes);
    assert_eq!(world.replicas, 6, "{:?}", world.changes);
    assert!(world.lag() < 30_000.0);
}

#[test]
fn a_capacity_that_halves_is_answered() {
    let mut world = World::new(12, 600.0, policy()).with_replicas(4);
    world.rate = 1_500.0;
    world.run_seconds(900);
    assert_eq!(world.replicas, 4, "{:?}", world.changes);
    world.replica_rate = 300.0;
    world.run_seconds(300);
    assert!(world.replicas >= 6, "1,500 at 300 each: {:?}", world.changes);
    world.run_seconds(1_800);
    assert!(world.lag() < 10_000.0, "{}", world.lag());
    assert!(world.changes.len() <= 3, "{:?}", world.changes);
}
