//! Partitions that misbehave, pods that do not start, brokers that do not answer.

use penstock_scaling::{Limit, Reason};

use crate::world::{World, policy};

#[test]
fn one_hot_partition_is_named_and_does_not_pull_the_group_to_its_maximum() {
    let mut world = World::new(60, 100.0, policy());
    world.weights = vec![0.5 / 59.0; 60];
    world.weights[17] = 0.5;
    world.rate = 400.0;
    world.run_seconds(1_800);
    assert!(world.replicas <= 6, "200/s for the rest and one replica for partition 17: {:?}", world.changes);
    let decision = world.last.unwrap();
    assert_eq!(decision.limited_by, Some(Limit::HotPartition));
    assert_eq!(decision.parts.hot[0].partition, 17);
}

#[test]
fn a_poisoned_partition_is_named_and_asks_for_no_replicas() {
    let mut world = World::new(12, 600.0, policy());
    world.rate = 300.0;
    world.poisoned = vec![4];
    world.run_seconds(3_600);
    assert_eq!(world.replicas, 1, "{:?}", world.changes);
    assert!(world.changes.is_empty(), "{:?}", world.changes);
    let decision = world.last.unwrap();
    assert_eq!(decision.limited_by, Some(Limit::StuckPartition));
    let [stuck] = &decision.parts.stuck[..] else { panic!("{:?}", decision.parts.stuck) };
    assert_eq!((stuck.partition, stuck.offset, stuck.error_class.as_deref()), (4, 0, Some("http-500")));
    assert!(stuck.seconds > 3_000 && stuck.attempts > 100);
}

#[test]
fn what_piles_up_behind_a_poisoned_record_does_not_keep_a_group_large() {
    let mut world = World::new(12, 600.0, policy()).with_replicas(12);
    world.poisoned = vec![4];
    world.burst(2_000_000.0, 3);
    world.rate = 60.0;
    world.run_seconds(7_200);
    assert_eq!(world.replicas, 1, "166,000 records that nobody can get at: {:?}", world.changes);
}

#[test]
fn a_poisoned_partition_keeps_the_last_replica_although_zero_is_allowed() {
    let mut policy = policy();
    policy.min_replicas = 0;
    let mut world = World::new(12, 600.0, policy).with_replicas(1);
    world.poisoned = vec![4];
    world.rate = 60.0;
    world.run_seconds(60);
    world.rate = 0.0;
    world.run_seconds(3_600);
    assert_eq!(world.replicas, 1, "something is unread: {:?}", world.changes);
}

#[test]
fn when_nothing_gets_done_any_more_the_group_stays_as_it_is() {
    let mut world = World::new(12, 600.0, policy()).with_replicas(6);
    world.rate = 2_000.0;
    world.run_seconds(600);
    world.poisoned = (0..12).collect();
    world.run_seconds(3_600);
    assert_eq!(world.replicas, 6, "{:?}", world.changes);
    assert_eq!(world.last.unwrap().reason, Reason::NoProgress);
}

#[test]
fn a_processor_that_is_away_gets_no_replicas_and_its_backlog_gets_them_when_it_is_back() {
    let mut world = World::new(12, 600.0, policy());
    world.rate = 300.0;
    world.run_seconds(600);
    world.held = true;
    world.run_seconds(1_800);
    assert!(world.changes.is_empty(), "{:?}", world.changes);
    let decision = world.last.clone().unwrap();
    assert_eq!((decision.reason, decision.limited_by), (Reason::NoProgress, Some(Limit::Held)));
    world.held = false;
    world.run_seconds(300);
    assert!(world.changes.iter().any(|(_, _, to, _)| *to > 1), "540,000 records wait: {:?}", world.changes);
}

#[test]
fn an_outage_of_kafka_freezes_the_replicas() {
    let mut world = World::new(12, 600.0, policy()).with_replicas(6);
    world.rate = 2_000.0;
    world.run_seconds(600);
    world.visible = false;
    world.rate = 0.0;
    world.run_seconds(3_600);
    assert!(world.changes.is_empty(), "{:?}", world.changes);
    let decision = world.last.clone().unwrap();
    assert_eq!((decision.reason, decision.limited_by), (Reason::LagUnknown, Some(Limit::LagUnknown)));
    world.visible = true;
    world.run_seconds(290);
    assert!(world.changes.is_empty(), "what was not seen was not low: {:?}", world.changes);
    world.run_seconds(3_600);
    assert_eq!(world.replicas, 1, "{:?}", world.changes);
}

#[test]
fn pods_that_start_are_given_time_and_pods_that_do_not_start_are_not_multiplied() {
    let mut world = World::new(12, 100.0, policy());
    world.rate = 50.0;
    world.run_seconds(300);
    world.pods_broken = true;
    world.rate = 220.0;
    world.run_until(60, |world| !world.changes.is_empty());
    let jumped = world.replicas;
    assert!(jumped > 1);
    assert_eq!(world.changes.len(), 1);
    world.run_seconds(60);
    assert_eq!(world.last.clone().unwrap().reason, Reason::PodsStarting);
    world.run_seconds(1_200);
    let decision = world.last.clone().unwrap();
    assert_eq!((decision.reason, decision.limited_by), (Reason::PodsNotStarting, Some(Limit::PodsNotStarting)));
    assert_eq!(world.replicas, jumped, "the backlog grows and grows, and yet: {:?}", world.changes);
}

#[test]
fn a_downstream_that_asks_for_less_gets_no_more_replicas() {
    let mut world = World::new(12, 600.0, policy()).with_replicas(4);
    world.downstream = 1_000.0;
    world.throttled_to = Some(20);
    world.rate = 1_500.0;
    world.run_seconds(900);
    assert!(world.changes.is_empty(), "{:?}", world.changes);
    let decision = world.last.unwrap();
    assert_eq!((decision.reason, decision.limited_by), (Reason::Downstream, Some(Limit::DownstreamBound)));
}

#[test]
fn lanes_that_bind_are_named_and_get_no_replicas_that_cannot_help() {
    let mut world = World::new(12, 600.0, policy());
    world.lane_rate = 5.0;
    world.rate = 120.0;
    world.run_seconds(1_800);
    assert!(world.changes.is_empty(), "each partition does 5 a second wherever it is: {:?}", world.changes);
    assert_eq!(world.last.unwrap().limited_by, Some(Limit::LaneBound));
}
