//! To zero and back.

use std::time::Duration;

use penstock_scaling::{GroupState, Kafka, Reason, Timestamp, decide};

use crate::world::{World, policy};

fn sleeper() -> World {
    let mut policy = policy();
    policy.min_replicas = 0;
    policy.idle = Duration::from_secs(120);
    World::new(12, 600.0, policy).with_replicas(1)
}

#[test]
fn an_idle_pipeline_goes_to_zero_and_the_first_record_wakes_it() {
    let mut world = sleeper();
    world.rate = 100.0;
    world.run_seconds(300);
    world.rate = 0.0;
    let slept = world.run_until(600, |world| world.replicas == 0);
    assert!((120.0..150.0).contains(&slept), "after {slept} s");
    world.run_seconds(7_200);
    assert_eq!(world.changes.len(), 1, "and stays there: {:?}", world.changes);
    world.weights = vec![0.0; 12];
    world.weights[3] = 1.0;
    world.burst(1.0, 1);
    let woken = world.run_until(60, |world| world.replicas > 0);
    assert!(woken <= 5.0, "with the next sample, not after {woken} s");
    assert_eq!((world.replicas, world.last.clone().unwrap().reason), (1, Reason::Woken));
    world.run_seconds(600);
    assert_eq!(world.replicas, 0, "and back: {:?}", world.changes);
    assert!(world.lag() < 1.0);
}

#[test]
fn from_zero_the_way_leads_straight_to_what_is_needed() {
    let mut world = sleeper();
    world.burst(200_000.0, 3);
    world.run_seconds(3_600);
    assert_eq!(world.replicas, 0, "learned, worked off, and gone to rest: {:?}", world.changes);
    let before = world.changes.len();
    world.burst(336_776.0, 3);
    world.run_seconds(10);
    let [(_, 0, 12, Reason::Woken)] = world.changes[before..] else { panic!("never one first: {:?}", world.changes) };
}

#[test]
fn calls_in_progress_hold_the_last_replica() {
    let mut world = sleeper();
    world.run_seconds(10);
    let mut observation = world.observation();
    let Kafka::Sampled { partitions, .. } = &mut observation.kafka else { panic!() };
    let checkpoint = partitions[0].checkpoint.as_mut().unwrap();
    checkpoint.in_flight = 1;
    let mut now = world.now();
    for _ in 0..100 {
        now = now + Duration::from_secs(5);
        restamp(&mut observation, now);
        let decision = decide(&mut world.state, &world.policy, &observation, now);
        assert_eq!(decision.replicas, 1);
    }
}

#[test]
fn what_cannot_be_seen_is_not_idle() {
    let mut world = sleeper();
    world.rate = 100.0;
    world.run_seconds(300);
    world.rate = 0.0;
    world.run_seconds(60);
    world.visible = false;
    world.run_seconds(3_600);
    assert_eq!(world.replicas, 1, "{:?}", world.changes);
}

#[test]
fn at_zero_the_age_of_committed_offsets_does_not_matter_but_that_of_log_ends_does() {
    let mut world = sleeper();
    world.run_until(600, |world| world.replicas == 0);
    let mut observation = world.observation();
    observation.workers.replicas = Some(0);
    observation.workers.ready = 0;
    let mut now = world.now();
    for _ in 0..100 {
        now = now + Duration::from_secs(2);
        let Kafka::Sampled { partitions, group } = &mut observation.kafka else { panic!() };
        *group = GroupState::Empty;
        for partition in partitions {
            partition.log_at = now;
        }
        assert_eq!(decide(&mut world.state, &world.policy, &observation, now).reason, Reason::Idle);
    }
    let later = now + Duration::from_secs(61);
    let decision = decide(&mut world.state, &world.policy, &observation, later);
    assert_eq!((decision.replicas, decision.reason), (1, Reason::LagUnknown), "unread records might be there, unseen");
}

fn restamp(observation: &mut penstock_scaling::Observation, now: Timestamp) {
    let Kafka::Sampled { partitions, .. } = &mut observation.kafka else { return };
    for partition in partitions {
        partition.log_at = now;
        partition.committed_at = now;
    }
}
