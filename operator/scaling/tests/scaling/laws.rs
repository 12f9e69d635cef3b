//! Laws of the loop: a world of any size, left alone with its load.

use std::time::Duration;

use penstock_scaling::{Learned, State};
use proptest::prelude::*;

use crate::cases;
use crate::world::{World, policy};

const REPLICA: f64 = 600.0;

/// The least number of replicas that keeps the fullest one at or below a utilisation; none at all can when it is more than partitions.
fn least(partitions: usize, rate: f64, utilization: f64) -> usize {
    let a_partition = rate / partitions as f64;
    let carries = |replicas: &usize| partitions.div_ceil(*replicas) as f64 * a_partition <= utilization * REPLICA;
    (1..=partitions).find(carries).unwrap_or(partitions)
}

/// A steady load that keeps a distance from the edges between two numbers, where a thousandth decides.
fn a_steady_load() -> impl Strategy<Value = (usize, f64)> {
    let sizes = 1..40_usize;
    sizes
        .prop_flat_map(|partitions| (Just(partitions), 0.02..0.75 * partitions as f64))
        .prop_map(|(partitions, replicas)| (partitions, replicas * REPLICA))
        .prop_filter("too near to an edge", |&(partitions, rate)| {
            least(partitions, rate * 0.96, 0.8) == least(partitions, rate * 1.04, 0.8)
        })
}

fn world(partitions: usize, rate: f64, replicas: u32) -> World {
    let mut policy = policy();
    policy.scale_down_window = Duration::from_secs(60);
    let mut world = World::new(partitions, REPLICA, policy).with_replicas(replicas);
    world.rate = rate;
    world
}

proptest! {
    #![proptest_config(cases(96))]

    #[test]
    fn from_too_many_replicas_a_steady_load_reaches_the_least_that_hold_the_target((partitions, rate) in a_steady_load()) {
        let mut world = world(partitions, rate, u32::try_from(partitions).unwrap());
        world.run_seconds(1_800);
        prop_assert_eq!(world.replicas as usize, least(partitions, rate, 0.8), "{:?}", world.changes);
        let settled = world.changes.len();
        world.run_seconds(1_800);
        prop_assert_eq!(world.changes.len(), settled, "and stays: {:?}", world.changes);
    }

    #[test]
    fn from_one_replica_a_steady_load_is_carried_soon_and_ends_where_it_must((partitions, rate) in a_steady_load()) {
        let mut world = world(partitions, rate, 1);
        world.run_seconds(3_600);
        let (fewest, most) = (least(partitions, rate, 0.9), least(partitions, rate, 0.8));
        prop_assert!((fewest..=most).contains(&(world.replicas as usize)), "{} of {fewest}..={most}: {:?}", world.replicas, world.changes);
        let settled = world.changes.len();
        world.run_seconds(3_600);
        prop_assert_eq!(world.changes.len(), settled, "and stays: {:?}", world.changes);
        prop_assert!(world.lag() <= 20.0 * rate.max(1.0), "{}", world.lag());
    }

    #[test]
    fn noise_of_a_fifth_does_not_make_a_group_flap((partitions, rate) in a_steady_load(), seed in 0_u64..1_000) {
        let mut world = world(partitions, rate, 1);
        world.policy.scale_down_window = Duration::from_secs(300);
        world.run_seconds(1_800);
        let settled = world.changes.len();
        let mut noise = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        for _ in 0..360 {
            noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let share = (noise >> 40) as f64 / (1_u64 << 24) as f64;
            world.rate = rate * (0.8 + 0.4 * share);
            world.run_seconds(10);
        }
        let changes = &world.changes[settled..];
        prop_assert!(changes.len() <= 2, "an hour of noise: {changes:?}");
    }

    #[test]
    fn a_cautious_estimate_alone_adds_nothing((partitions, rate) in a_steady_load(), estimate in 0.001..1.0_f64) {
        let replicas = u32::try_from(least(partitions, rate, 0.8)).unwrap();
        let mut world = world(partitions, rate, replicas);
        world.state = State::restore(Learned {
            template_hash: "v1".to_owned(),
            records_per_second: Some(REPLICA * estimate),
            saturated: true,
            start_seconds: None,
        });
        world.run_seconds(900);
        prop_assert!(world.changes.is_empty(), "{:?}", world.changes);
    }

    #[test]
    fn ten_times_the_load_on_ten_times_the_replica_is_the_same((partitions, rate) in a_steady_load(), burst in 0.0..500.0_f64) {
        let run = |factor: u32| {
            let times = f64::from(factor);
            let mut world = world(partitions, rate * times, 1);
            world.replica_rate *= times;
            world.policy.concurrency *= factor;
            world.run_seconds(600);
            world.burst(burst * REPLICA * times, 3);
            world.run_seconds(1_200);
            (world.replicas, world.changes.len())
        };
        prop_assert_eq!(run(10), run(100));
    }

    #[test]
    fn a_burst_of_any_size_is_worked_off_in_about_the_time_that_was_promised_where_partitions_allow_it(
        partitions in 2..40_usize,
        seconds_of_work in 10.0..20_000.0_f64,
    ) {
        let mut world = world(partitions, 1.0, 1);
        world.run_seconds(120);
        world.burst(seconds_of_work * REPLICA, 3);
        let took = world.run_until(36_000, |world| world.lag() < 50.0);
        let possible = seconds_of_work / partitions as f64;
        prop_assert!(took <= 40.0 + 1.6 * possible.max(120.0), "{took} s, {possible} s at best: {:?}", world.changes);
    }
}
