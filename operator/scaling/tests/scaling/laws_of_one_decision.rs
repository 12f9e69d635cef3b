//! Laws of a single decision, whatever was seen before it.

use std::time::Duration;

use penstock_scaling::{
    Assignor, Checkpoint, Decision, GroupState, Kafka, Mode, Observation, Ordering, PartitionSample, Policy, State,
    StuckRecord, Timestamp, Workers, decide,
};
use proptest::prelude::*;

use crate::cases;
use crate::world::policy;

const START: u64 = 1_700_000_000_000;

/// One tick of one partition: how far things move, within and beyond what is sensible.
#[derive(Clone, Debug)]
struct Move {
    arrived: i64,
    done: i64,
    busy: f64,
    lane_blocked: f64,
    in_flight: u32,
    incarnation: u64,
    stuck: bool,
    limit: Option<u32>,
    answered: bool,
}

#[derive(Clone, Debug)]
struct Tick {
    millis: u64,
    moves: Vec<Move>,
    ready: u32,
    replicas: Option<u32>,
    starting: bool,
    group: GroupState,
    known: bool,
}

fn a_move() -> impl Strategy<Value = Move> {
    let amounts =
        (0..20_000_i64, 0..20_000_i64, 0.0..400.0_f64, 0.0..6.0_f64, prop_oneof![3 => Just(0_u32), 1 => 1..64_u32]);
    let facts =
        (1..4_u64, prop::bool::weighted(0.1), prop::option::weighted(0.2, 1..100_u32), prop::bool::weighted(0.9));
    (amounts, facts, prop::bool::weighted(0.3)).prop_map(
        |((arrived, done, busy, lane_blocked, in_flight), facts, quiet)| {
            let (incarnation, stuck, limit, answered) = facts;
            let arrived = if quiet { 0 } else { arrived };
            Move { arrived, done, busy, lane_blocked, in_flight, incarnation, stuck, limit, answered }
        },
    )
}

fn a_tick(partitions: usize) -> impl Strategy<Value = Tick> {
    let group =
        prop_oneof![4 => Just(GroupState::Stable), 1 => Just(GroupState::Rebalancing), 1 => Just(GroupState::Empty)];
    let pods = (0..16_u32, prop::option::weighted(0.95, 0..16_u32), prop::bool::weighted(0.3));
    (1..90_000_u64, prop::collection::vec(a_move(), partitions), pods, group, prop::bool::weighted(0.9)).prop_map(
        |(millis, moves, (ready, replicas, starting), group, known)| Tick {
            millis,
            moves,
            ready,
            replicas,
            starting,
            group,
            known,
        },
    )
}

fn a_policy() -> impl Strategy<Value = Policy> {
    let bounds = (0..8_u32, prop::option::of(1..20_u32), 0.1..0.95_f64, 1..200_u64, 1..400_u64);
    let delivery =
        (1..128_u32, prop::option::weighted(0.2, 1.0..10_000.0_f64), prop::option::weighted(0.2, 1..300_u32));
    let kinds = (
        prop_oneof![Just(Ordering::Key), Just(Ordering::Partition), Just(Ordering::Unordered)],
        prop_oneof![Just(Assignor::Uniform), Just(Assignor::Range)],
        prop_oneof![3 => Just(Mode::Auto), 1 => Just(Mode::Advise)],
    );
    (bounds, delivery, kinds).prop_map(
        |((min, max, target, catch_up, window), (concurrency, records, calls), kinds)| Policy {
            min_replicas: max.map_or(min, |max| min.min(max)),
            max_replicas: max,
            target_utilization: target,
            catch_up: Duration::from_secs(catch_up),
            scale_down_window: Duration::from_secs(window),
            idle: Duration::from_secs(window),
            concurrency,
            max_records_per_second: records,
            max_concurrency: calls,
            ordering: kinds.0,
            assignor: kinds.1,
            mode: kinds.2,
            ..policy()
        },
    )
}

fn a_history() -> impl Strategy<Value = (Policy, usize, Vec<Tick>)> {
    (a_policy(), 1..14_usize).prop_flat_map(|(policy, partitions)| {
        (Just(policy), Just(partitions), prop::collection::vec(a_tick(partitions), 1..24))
    })
}

/// Carries a history out; after each tick the observation that it led to is judged.
fn observations(partitions: usize, ticks: &[Tick]) -> Vec<(Observation, Timestamp)> {
    let mut now = Timestamp::from_millis(START);
    let mut samples: Vec<PartitionSample> = (0..partitions).map(|index| fresh(index, now)).collect();
    let mut looked = now;
    let mut seen = Vec::new();
    for tick in ticks {
        now = now + Duration::from_millis(tick.millis);
        for (sample, step) in samples.iter_mut().zip(&tick.moves) {
            advance(sample, step, now);
        }
        let kafka = if tick.known {
            looked = now;
            Kafka::Sampled { group: tick.group, partitions: samples.clone() }
        } else {
            Kafka::Unknown { since: looked }
        };
        let workers = Workers {
            replicas: tick.replicas,
            ready: tick.ready,
            starting_since: tick.starting.then_some(now),
            waiting_reason: None,
        };
        seen.push((Observation { workers, kafka }, now));
    }
    seen
}

fn fresh(index: usize, now: Timestamp) -> PartitionSample {
    PartitionSample {
        topic: if index.is_multiple_of(3) { "a" } else { "b" }.to_owned(),
        partition: i32::try_from(index).unwrap(),
        log_at: now,
        log_start: 0,
        end: 0,
        stable_end: 0,
        committed_at: now,
        committed: None,
        start_pin: Some(0),
        checkpoint: None,
        density: 1.0,
    }
}

fn advance(sample: &mut PartitionSample, step: &Move, now: Timestamp) {
    if !step.answered {
        return;
    }
    sample.log_at = now;
    sample.committed_at = now;
    sample.end += step.arrived;
    sample.stable_end = sample.end;
    let done = step.done.min(sample.end - sample.position());
    sample.committed = Some(sample.position() + done);
    let before = sample.checkpoint.take().filter(|before| before.incarnation == step.incarnation);
    let counters = before.as_ref().map_or((0, 0.0, 0.0), |c| (c.processed, c.busy_seconds, c.lane_blocked_seconds));
    sample.checkpoint = Some(Checkpoint {
        held: false,
        owner: step.incarnation,
        incarnation: step.incarnation,
        worker_time: now,
        done_above: 0,
        processed: counters.0 + done.unsigned_abs(),
        busy_seconds: counters.1 + step.busy,
        lane_blocked_seconds: counters.2 + step.lane_blocked,
        in_flight: step.in_flight,
        oldest_start: None,
        concurrency_limit: step.limit,
        stuck: step.stuck.then(|| StuckRecord {
            offset: sample.position(),
            attempts: 3,
            error_class: "timeout".to_owned(),
        }),
    });
}

/// What a decision in Auto would be, also with Advise.
fn wanted(decision: &Decision) -> u32 {
    decision.advised.unwrap_or(decision.replicas)
}

fn busy_or_unread(observation: &Observation) -> bool {
    let Kafka::Sampled { partitions, .. } = &observation.kafka else { return false };
    partitions.iter().any(|p| p.unread() > 0 || p.checkpoint.as_ref().is_some_and(|c| c.in_flight > 0))
}

proptest! {
    #![proptest_config(cases(4_000))]

    #[test]
    fn every_decision_keeps_its_bounds((policy, partitions, ticks) in a_history()) {
        let mut state = State::default();
        for (observation, now) in observations(partitions, &ticks) {
            let decision = decide(&mut state, &policy, &observation, now);
            let number = wanted(&decision);
            let max = policy.max_replicas.unwrap_or(u32::MAX);
            prop_assert!(number <= max, "{decision:?}");
            let seen = matches!(observation.kafka, Kafka::Sampled { .. });
            prop_assert!(!seen || number <= u32::try_from(partitions).unwrap(), "{decision:?}");
            // With `range`, not every member that partitions would allow has something to read.
            let useful = decision.parts.steps.last().copied().unwrap_or(0);
            prop_assert!(number >= policy.min_replicas.min(max).min(useful), "{decision:?}");
        }
    }

    #[test]
    fn never_to_zero_while_anything_is_unread_or_in_flight_or_unknown((policy, partitions, ticks) in a_history()) {
        let mut state = State::default();
        for (observation, now) in observations(partitions, &ticks) {
            let decision = decide(&mut state, &policy, &observation, now);
            let unknown = matches!(observation.kafka, Kafka::Unknown { since } if now.since(since) > Duration::from_secs(60));
            let running = observation.workers.replicas.is_some_and(|replicas| replicas > 0);
            let waits = busy_or_unread(&observation) && (running || matches!(&observation.kafka, Kafka::Sampled { partitions, .. }
                if partitions.iter().any(|partition| partition.unread() > 0)));
            prop_assert!(wanted(&decision) > 0 || !(unknown || waits), "{decision:?}");
        }
    }

    #[test]
    fn asking_twice_gives_the_same_answer_and_leaves_the_same_memory((policy, partitions, ticks) in a_history()) {
        let mut state = State::default();
        for (observation, now) in observations(partitions, &ticks) {
            let first = decide(&mut state, &policy, &observation, now);
            let memory = state.clone();
            let second = decide(&mut state, &policy, &observation, now);
            prop_assert_eq!(&first, &second);
            prop_assert_eq!(first.explain(), second.explain());
            prop_assert_eq!(&memory, &state);
        }
    }

    #[test]
    fn what_cannot_be_seen_changes_nothing((policy, partitions, ticks) in a_history(), current in 1..8_u32, seconds in 0..10_000_u64) {
        let mut state = State::default();
        let mut last = Timestamp::from_millis(START);
        for (observation, now) in observations(partitions, &ticks) {
            decide(&mut state, &policy, &observation, now);
            last = now;
        }
        let workers = Workers { replicas: Some(current), ready: current, ..Workers::default() };
        let blind = Observation { workers, kafka: Kafka::Unknown { since: last } };
        let decision = decide(&mut state, &policy, &blind, last + Duration::from_secs(seconds));
        let bounded = current.max(policy.min_replicas).min(policy.max_replicas.unwrap_or(u32::MAX));
        prop_assert_eq!(wanted(&decision), bounded);
    }

    #[test]
    fn memory_survives_being_written_down((policy, partitions, ticks) in a_history()) {
        let mut state = State::default();
        for (observation, now) in observations(partitions, &ticks) {
            decide(&mut state, &policy, &observation, now);
        }
        let text = serde_json::to_string(&state).unwrap();
        let read: State = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(serde_json::to_string(&read).unwrap(), text);
    }

    #[test]
    fn more_load_on_all_partitions_never_means_fewer_replicas((policy, partitions, ticks) in a_history(), more in 1..200_000_i64) {
        let policy = Policy { ordering: Ordering::Unordered, ..policy };
        let mut state = State::default();
        let mut seen = observations(partitions, &ticks);
        let Some((mut last, now)) = seen.pop() else { return Ok(()) };
        for (observation, now) in &seen {
            decide(&mut state, &policy, observation, *now);
        }
        even_out(&mut last);
        let less = decide(&mut state.clone(), &policy, &last, now);
        if let Kafka::Sampled { partitions, .. } = &mut last.kafka {
            for partition in partitions {
                partition.end += more;
                partition.stable_end += more;
            }
        }
        let greater = decide(&mut state, &policy, &last, now);
        // A record more may be what makes a partition stuck instead of empty, and then it asks for nothing.
        prop_assume!(greater.parts.stuck.is_empty());
        let need = |decision: &Decision| decision.parts.need.unwrap_or(u32::MAX);
        prop_assert!(need(&greater) >= need(&less), "{less:?}\n{greater:?}");
    }
}

/// Takes away what makes partitions unlike each other in what replicas can do for them.
fn even_out(observation: &mut Observation) {
    let Kafka::Sampled { partitions, .. } = &mut observation.kafka else { return };
    for checkpoint in partitions.iter_mut().filter_map(|partition| partition.checkpoint.as_mut()) {
        checkpoint.lane_blocked_seconds = 0.0;
        checkpoint.stuck = None;
    }
}
