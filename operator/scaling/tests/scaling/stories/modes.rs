//! Auto, Manual, Advise, paused.

use penstock_scaling::{Kafka, Limit, Mode, Observation, Reason, State, Timestamp, Workers, decide};

use crate::world::{World, policy};

#[test]
fn paused_means_none_whatever_waits() {
    let mut world = World::new(12, 600.0, policy()).with_replicas(6);
    world.rate = 5_000.0;
    world.run_seconds(60);
    world.policy.paused = true;
    world.run_seconds(5);
    assert_eq!((world.replicas, world.last.clone().unwrap().reason), (0, Reason::Paused));
    world.policy.paused = false;
    world.run_seconds(5);
    assert_eq!(world.replicas, 12, "straight back to what the backlog needs: {:?}", world.changes);
}

#[test]
fn by_hand_the_number_is_the_users_up_to_the_partitions() {
    let mut policy = policy();
    policy.mode = Mode::Manual;
    policy.manual_replicas = Some(5);
    let mut world = World::new(12, 600.0, policy);
    world.rate = 50_000.0;
    world.run_seconds(300);
    assert_eq!((world.replicas, world.last.clone().unwrap().reason), (5, Reason::Manual));
    world.policy.manual_replicas = Some(50);
    world.run_seconds(5);
    assert_eq!((world.replicas, world.last.clone().unwrap().limited_by), (12, Some(Limit::PartitionBound)));
    world.policy.manual_replicas = Some(0);
    world.run_seconds(5);
    assert_eq!(world.replicas, 0, "kubectl scale --replicas=0 is meant");
}

#[test]
fn advice_changes_nothing() {
    let mut policy = policy();
    policy.mode = Mode::Advise;
    let mut world = World::new(12, 600.0, policy).with_replicas(2);
    world.rate = 4_000.0;
    world.run_seconds(120);
    assert!(world.changes.is_empty());
    let decision = world.last.unwrap();
    assert_eq!((decision.replicas, decision.advised), (2, Some(12)));
    assert!(decision.explain().starts_with("Advice: From 2 to 12 replicas:"), "{}", decision.explain());
}

#[test]
fn a_new_pipeline_starts_with_its_minimum_even_before_kafka_was_seen() {
    let mut policy = policy();
    policy.min_replicas = 2;
    let since = Timestamp::from_millis(1_000);
    let observation = Observation { workers: Workers::default(), kafka: Kafka::Unknown { since } };
    let decision = decide(&mut State::default(), &policy, &observation, since);
    assert_eq!((decision.replicas, decision.reason), (2, Reason::LagUnknown));
    assert_eq!(decision.wake_at, Some(Timestamp::from_millis(61_000)));
}
