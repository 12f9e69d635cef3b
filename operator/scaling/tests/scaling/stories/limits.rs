//! Bounds that the user sets.

use penstock_scaling::{Assignor, Limit, Ordering, Reason};

use crate::world::{World, policy};

#[test]
fn the_maximum_holds_and_says_so() {
    let mut policy = policy();
    policy.max_replicas = Some(4);
    let mut world = World::new(12, 600.0, policy);
    world.rate = 5_000.0;
    world.run_seconds(600);
    assert_eq!(world.replicas, 4);
    assert_eq!(world.last.unwrap().limited_by, Some(Limit::MaxReplicas));
}

#[test]
fn a_lower_maximum_is_followed_at_once() {
    let mut world = World::new(12, 600.0, policy()).with_replicas(12);
    world.rate = 5_000.0;
    world.run_seconds(60);
    world.policy.max_replicas = Some(5);
    world.run_seconds(5);
    assert_eq!(
        (world.replicas, world.last.clone().unwrap().reason),
        (4, Reason::Bounds),
        "4 carry as much as 5 of 12 partitions"
    );
}

#[test]
fn a_higher_minimum_is_followed_at_once_and_named_when_it_is_more_than_needed() {
    let mut world = World::new(12, 600.0, policy());
    world.rate = 50.0;
    world.run_seconds(60);
    world.policy.min_replicas = 3;
    world.run_seconds(60);
    assert_eq!((world.replicas, world.last.unwrap().limited_by), (3, Some(Limit::MinReplicas)));
}

#[test]
fn a_rate_limit_is_a_ceiling_for_replicas_too() {
    let mut policy = policy();
    policy.max_records_per_second = Some(1_000.0);
    let mut world = World::new(12, 600.0, policy);
    world.rate = 4_000.0;
    world.run_seconds(1_800);
    assert!(world.replicas <= 3, "1,000 a second take two replicas of 600: {:?}", world.changes);
    assert_eq!(world.last.unwrap().limited_by, Some(Limit::RateLimit));
}

#[test]
fn with_one_lane_a_partition_no_replica_is_added_for_what_lanes_cannot_do() {
    let mut policy = policy();
    policy.ordering = Ordering::Partition;
    // One call takes 64/600 s, so that a lane does 9.4 a second.
    let mut world = World::new(12, 600.0, policy);
    world.lane_rate = 600.0 / 64.0;
    world.rate = 500.0;
    world.run_seconds(1_800);
    assert!(world.changes.is_empty(), "12 lanes fit into the 64 slots of one replica: {:?}", world.changes);
    assert_eq!(world.last.unwrap().limited_by, Some(Limit::LaneBound));
}

#[test]
fn with_one_lane_a_partition_replicas_are_added_until_every_lane_has_its_slot() {
    let mut policy = policy();
    policy.ordering = Ordering::Partition;
    policy.concurrency = 4;
    let mut world = World::new(12, 200.0, policy);
    world.lane_rate = 50.0;
    world.run_seconds(60);
    world.burst(100_000.0, 3);
    world.run_seconds(60);
    assert_eq!(world.replicas, 3, "12 lanes of 4 slots each: {:?}", world.changes);
    assert_eq!(world.changes.len(), 1, "{:?}", world.changes);
}

#[test]
fn the_range_assignor_is_taken_as_it_is() {
    let mut policy = policy();
    policy.assignor = Assignor::Range;
    let mut world = World::new(12, 600.0, policy);
    world.rate = 2_500.0;
    world.run_seconds(900);
    assert_eq!(world.replicas, 6, "{:?}", world.changes);
}
