//! What Kafka does to offsets: transactions, retention, commits without checkpoints; and workers that come and go.

use std::time::Duration;

use penstock_scaling::{CapacitySource, Kafka, Reason, decide};

use crate::world::{World, policy};

#[test]
fn transactions_of_a_minute_are_no_backlog() {
    let mut policy = policy();
    policy.catch_up = Duration::from_secs(30);
    let mut world = World::new(12, 600.0, policy).with_replicas(6);
    world.transaction_seconds = 60;
    world.rate = 2_000.0;
    world.run_seconds(7_200);
    assert!(
        world.changes.is_empty(),
        "120,000 records a minute at once, and the last of them 33 s later: {:?}",
        world.changes
    );
}

#[test]
fn what_retention_deleted_is_not_lag() {
    let mut world = World::new(12, 600.0, policy());
    world.run_seconds(60);
    let mut observation = world.observation();
    let mut now = world.now();
    let Kafka::Sampled { partitions, .. } = &mut observation.kafka else { panic!() };
    for partition in partitions.iter_mut() {
        (partition.committed, partition.log_start, partition.end, partition.stable_end) =
            (None, 5_000_000, 5_000_000, 5_000_000);
        partition.start_pin = Some(17);
    }
    for _ in 0..20 {
        now = now + Duration::from_secs(5);
        let decision = decide(&mut world.state, &world.policy, &observation, now);
        assert_eq!((decision.replicas, decision.parts.lag), (1, 0.0));
    }
}

#[test]
fn without_checkpoints_the_rate_under_backlog_is_the_capacity() {
    let mut world = World::new(12, 600.0, policy());
    world.checkpoints = false;
    world.run_seconds(60);
    world.burst(336_776.0, 3);
    let decided = world.run_until(60, |world| world.replicas == 12);
    assert!(decided <= 25.0, "after {decided} s: {:?}", world.changes);
    let capacity = world.last.clone().unwrap().parts.capacity.unwrap();
    assert_eq!(capacity.source, CapacitySource::Saturated);
    assert!((300.0..=660.0).contains(&capacity.records_per_second), "{capacity:?}");
    world.run_seconds(3_600);
    assert_eq!(world.replicas, 1, "{:?}", world.changes);
}

#[test]
fn a_worker_that_has_not_committed_yet_is_no_slow_worker() {
    let mut world = World::new(12, 600.0, policy());
    world.run_seconds(60);
    (world.poisoned, world.checkpoints) = ((0..12).collect(), false);
    world.burst(336_776.0, 3);
    world.run_seconds(20);
    (world.poisoned, world.checkpoints) = (Vec::new(), true);
    world.run_until(60, |world| world.replicas == 12);
    let capacity = world.last.clone().unwrap().parts.capacity.unwrap();
    assert!(capacity.records_per_second > 550.0, "{capacity:?}");
}

#[test]
fn a_worker_killed_in_the_middle_of_a_burst_changes_nothing_but_the_worker() {
    let mut world = World::new(12, 600.0, policy());
    world.run_seconds(60);
    world.burst(336_776.0, 3);
    world.run_until(120, |world| world.ready() == 12);
    world.run_seconds(10);
    world.kill(5);
    world.run_until(300, |world| world.lag() < 1.0);
    let [(_, 1, 12, Reason::CatchingUp)] = world.changes[..] else { panic!("{:?}", world.changes) };
}

#[test]
fn a_bottleneck_that_replicas_share_is_no_reason_to_stay_large() {
    let mut policy = policy();
    policy.catch_up = Duration::from_secs(10);
    policy.scale_down_window = Duration::from_secs(30);
    let mut world = World::new(12, 600.0, policy);
    world.downstream = 2_000.0;
    world.run_seconds(60);
    world.burst(336_776.0, 3);
    assert!(world.run_until(60, |world| world.replicas == 12) <= 15.0);
    world.run_until(600, |world| world.lag() < 1.0);
    world.run_seconds(600);
    assert_eq!(world.replicas, 1, "{:?}", world.changes);
    assert_eq!(world.changes.len(), 5, "{:?}", world.changes);
}

#[test]
fn a_new_template_starts_from_what_the_old_one_did() {
    let mut world = World::new(12, 600.0, policy());
    world.burst(336_776.0, 3);
    world.run_seconds(3_600);
    assert_eq!(world.replicas, 1);
    world.policy.template_hash = "v2".to_owned();
    world.run_seconds(60);
    let capacity = world.last.clone().unwrap().parts.capacity.unwrap();
    assert_eq!(capacity.source, CapacitySource::Inherited);
    world.burst(336_776.0, 3);
    assert!(world.run_until(60, |world| world.replicas == 12) <= 8.0, "{:?}", world.changes);
    world.run_seconds(60);
    assert_eq!(world.state.learned().template_hash, "v2");
}
