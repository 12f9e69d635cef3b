//! Ready is never said of what is not so (O6), and no status contradicts itself, whatever the facts.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use penstock_blueprint::{Cause, Change, Group, Hindrance, PodTrouble, Reachability, Reason, changed};
use penstock_crds::Pipeline;
use penstock_crds::checkpoint::{ErrorClass, HoldReason};
use penstock_crds::spec::ScalingMode;
use penstock_crds::status::{ConsumerPipelineStatus, Phase};
use penstock_scaling::{Reason as Why, StuckPartition};
use proptest::prelude::*;

use crate::world::{Outcome, Pods, World, decision, time, trouble};

const PIPELINE: &str = "
apiVersion: penstock.dev/v1alpha1
kind: ConsumerPipeline
metadata: {name: orders, namespace: shop, generation: 4}
spec:
  kafka: {bootstrapServers: 'kafka:9092'}
  source: {topics: [{name: orders}]}
  processor: {type: discard}
";

/// Parsing checks against the whole schema, so it is done once.
static PLAIN: LazyLock<World> = LazyLock::new(|| World::of(PIPELINE));

fn kafkas() -> impl Strategy<Value = Reachability> {
    let down = |reason, since: &str| Reachability::Unreachable {
        trouble: trouble(reason, "Refused."),
        since: time(since),
        last_sample: None,
    };
    prop::sample::select(vec![
        Reachability::NotAsked,
        Reachability::Reachable,
        Reachability::Reachable,
        down(Reason::KafkaUnreachable, "2026-03-01T11:59:55Z"),
        down(Reason::KafkaUnreachable, "2026-03-01T11:59:00Z"),
        down(Reason::AuthenticationFailed, "2026-03-01T11:59:59Z"),
    ])
}

fn groups() -> impl Strategy<Value = Group> {
    prop::sample::select(vec![
        Group::Ours,
        Group::Ours,
        Group::NotAsked,
        Group::Waiting { members: vec!["stranger".into()] },
        Group::InUse { pipeline: "shop/other".into() },
    ])
}

fn pods() -> impl Strategy<Value = Option<Pods>> {
    let odd = (0..4_u32, 0..4_u32, 0..4_u32, 0..4_u32, 0..4_u32, any::<bool>(), any::<bool>());
    let odd = odd.prop_map(|(wanted, existing, updated, ready, available, observed, overdue)| {
        Some(Pods { wanted, existing, updated, ready, available, observed, overdue })
    });
    prop_oneof![Just(None), (0..4_u32).prop_map(|count| Some(Pods::all(count))), odd]
}

fn outcomes() -> impl Strategy<Value = Outcome> {
    let conflict = Outcome::Failed(trouble(Reason::NameConflict, "Somebody else's."));
    prop::sample::select(vec![Outcome::Applied, Outcome::Applied, Outcome::Untouched, conflict])
}

fn ills() -> impl Strategy<Value = Vec<PodTrouble>> {
    let ill = |reason: &str| {
        vec![PodTrouble {
            pod: "orders-worker-1".into(),
            container: "worker".into(),
            reason: reason.into(),
            message: String::new(),
        }]
    };
    prop::sample::select(vec![vec![], ill("ContainerCreating"), ill("CrashLoopBackOff")])
}

fn hindrances() -> impl Strategy<Value = Vec<Hindrance>> {
    let hindrance = |cause| vec![Hindrance { topic: "orders".into(), partition: 0, cause }];
    let held =
        |reason, since| hindrance(Cause::Held { reason, class: ErrorClass::Unknown, since: time(since), lost: None });
    prop::sample::select(vec![
        vec![],
        vec![],
        hindrance(Cause::Parked { keys: 2, full: true }),
        hindrance(Cause::Blocked { offset: 1, attempts: 5, class: ErrorClass::Timeout }),
        held(HoldReason::DataLoss, "2026-03-01T11:59:59Z"),
        held(HoldReason::CircuitOpen, "2026-03-01T11:59:59Z"),
        held(HoldReason::ProcessorNotReady, "2026-03-01T11:59:59Z"),
    ])
}

prop_compose! {
    fn worlds()(
        mode in prop::sample::select(vec![ScalingMode::Auto, ScalingMode::Manual, ScalingMode::Advise]),
        replicas in 0..4_u32,
        paused: bool,
        (kafka, group, pods, outcome, ill) in (kafkas(), groups(), pods(), outcomes(), ills()),
        obstacle: bool,
        hindrance in hindrances(),
        decided in prop::option::of((0..4_u32, prop::sample::select(Why::ALL.to_vec()), any::<bool>())),
    ) -> World {
        let mut world = PLAIN.clone();
        let pipeline = world.pipeline.as_mut().unwrap();
        (pipeline.scaling.mode, pipeline.scaling.replicas, pipeline.paused) = (mode, Some(replicas), paused);
        (world.kafka, world.group, world.pods, world.outcome, world.ill) = (kafka, group, pods, outcome, ill);
        world.obstacles.extend(obstacle.then(|| trouble(Reason::TopicMissing, "Topic orders does not exist.")));
        world.hindrances = hindrance;
        world.decision = decided.map(|(replicas, reason, stuck)| {
            let mut decided = decision(replicas, reason);
            decided.parts.stuck.extend(stuck.then(|| StuckPartition {
                topic: "orders".into(), partition: 0, offset: 1, seconds: 60, attempts: 9, error_class: None,
            }));
            decided
        });
        world
    }
}

fn conditions(status: &ConsumerPipelineStatus) -> BTreeMap<&str, &str> {
    status.conditions.iter().map(|condition| (condition.type_.as_str(), condition.status.as_str())).collect()
}

fn rests(pipeline: &Pipeline) -> bool {
    pipeline.paused || (pipeline.scaling.mode == ScalingMode::Manual && pipeline.scaling.replicas == Some(0))
}

/// What Ready claims, found out from the world itself.
fn as_it_should_be(world: &World) -> bool {
    let pipeline = world.pipeline.as_ref().unwrap();
    let Some(pods) = world.pods else { return false };
    let complete = [pods.existing, pods.updated, pods.ready, pods.available].iter().all(|count| *count == pods.wanted);
    let decided = world.decision.as_ref().map(|decision| decision.replicas);
    let number = match (rests(pipeline), pipeline.scaling.mode) {
        (true, _) => pods.wanted == 0,
        (false, ScalingMode::Advise) => true,
        (false, _) => decided.is_none_or(|decided| decided == pods.wanted),
    };
    matches!(world.outcome, Outcome::Applied) && complete && pods.observed && number
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn ready_is_said_only_of_what_is_so(world in worlds()) {
        let status = world.status();
        let said = conditions(&status);
        let resting = rests(world.pipeline.as_ref().unwrap());
        if said["Ready"] == "True" {
            prop_assert!(as_it_should_be(&world));
            prop_assert_eq!((said["Accepted"], said["Reconciling"], said["Stalled"]), ("True", "False", "False"));
            prop_assert_ne!(said["KafkaReachable"], "False");
            prop_assert!(resting || (said["Delivering"] == "True" && said["Available"] == "True" && world.obstacles.is_empty()));
            prop_assert!(!matches!(status.phase, Some(Phase::Degraded | Phase::Invalid | Phase::Starting)));
        }
    }

    #[test]
    fn a_status_does_not_contradict_itself(world in worlds()) {
        let status = world.status();
        let said = conditions(&status);
        prop_assert_eq!(said.len(), 8);
        prop_assert!(status.conditions.is_sorted_by(|a, b| a.type_ < b.type_));
        prop_assert!(!(said["Reconciling"] == "True" && said["Stalled"] == "True"));
        prop_assert_ne!(said["Ready"], "Unknown");
        for condition in &status.conditions {
            prop_assert_eq!(condition.observed_generation, Some(4));
            prop_assert!(!condition.reason.is_empty());
        }
        prop_assert_eq!(status.observed_generation, Some(4));
        prop_assert!(status.message.is_some_and(|message| !message.is_empty()));
    }

    #[test]
    fn said_again_it_is_the_same(mut world in worlds()) {
        world.previous = world.status();
        prop_assert_eq!(changed(&world.previous, &world.status()), Change::None);
    }
}

#[test]
fn an_idle_pipeline_says_the_same_for_ever() {
    let mut world = World::of(PIPELINE);
    let mut writes = 0;
    for tick in 0..600_i32 {
        let decision = world.decision.as_mut().unwrap();
        let tail = 0.9_f64.powi(tick);
        (decision.parts.arrival_rate, decision.parts.throughput) = (Some(0.04 * tail), Some(0.04 * tail));
        (decision.parts.demand, decision.parts.utilization) = (0.049 * tail, Some(0.001 * tail));
        (decision.parts.lag, decision.parts.behind_seconds) = (0.0, Some(0.4 * tail));
        let status = world.status();
        writes += usize::from(changed(&world.previous, &status) != Change::None);
        world.previous = status;
    }
    assert_eq!(writes, 1);
}

#[test]
fn moving_numbers_are_no_meaning() {
    let mut world = World::of(PIPELINE);
    world.previous = world.status();
    let decision = world.decision.as_mut().unwrap();
    (decision.parts.lag, decision.parts.arrival_rate, decision.parts.utilization) = (412.0, Some(1_390.0), Some(0.7));
    assert_eq!(changed(&world.previous, &world.status()), Change::NumbersOnly);
    world.pods = Some(Pods { ready: 2, available: 2, ..Pods::all(3) });
    assert_eq!(changed(&world.previous, &world.status()), Change::Meaning);
}

#[test]
fn a_restarted_operator_takes_nothing_back_before_it_has_looked() {
    let mut world = World::of(PIPELINE);
    world.previous = world.status();
    (world.kafka, world.group, world.decision, world.learned, world.source) =
        (Reachability::NotAsked, Group::NotAsked, None, None, None);
    assert_eq!(changed(&world.previous, &world.status()), Change::None);
    world.generation = 5;
    assert_eq!(conditions(&world.status())["Ready"], "False", "nothing is known of the new generation");
}

#[test]
fn one_failed_request_is_no_news_and_a_refused_password_is() {
    let mut world = World::of(PIPELINE);
    world.previous = world.status();
    let down = |reason| Reachability::Unreachable {
        trouble: trouble(reason, "Refused."),
        since: time("2026-03-01T11:59:55Z"),
        last_sample: Some(time("2026-03-01T11:59:55Z")),
    };
    world.kafka = down(Reason::KafkaUnreachable);
    assert_eq!(changed(&world.previous, &world.status()), Change::None);
    world.kafka = down(Reason::AuthenticationFailed);
    let status = world.status();
    assert_eq!((conditions(&status)["KafkaReachable"], conditions(&status)["Stalled"]), ("False", "True"));
}

#[test]
fn what_a_worker_says_on_its_way_up_is_no_news_and_later_it_is() {
    let mut world = World::of(PIPELINE);
    world.previous = world.status();
    let asked = |since: &str| Hindrance {
        topic: "orders".into(),
        partition: 0,
        cause: Cause::Held {
            reason: HoldReason::ProcessorNotReady,
            class: ErrorClass::Unreachable,
            since: time(since),
            lost: None,
        },
    };
    world.hindrances = vec![asked("2026-03-01T11:59:55Z")];
    assert_eq!(changed(&world.previous, &world.status()), Change::None);
    world.hindrances = vec![asked("2026-03-01T11:59:50Z")];
    assert_eq!(conditions(&world.status())["Delivering"], "False");
    // Whoever said it is gone, and nobody is left to take it back.
    (world.pods, world.decision) = (Some(Pods::all(0)), Some(decision(0, Why::Idle)));
    assert_eq!(conditions(&world.status())["Delivering"], "True");
}

#[test]
fn a_blocked_record_is_named_until_it_passes() {
    let mut world = World::of(PIPELINE);
    let cause = Cause::Blocked { offset: 17, attempts: 5, class: ErrorClass::ServerError };
    world.hindrances = vec![Hindrance { topic: "orders".into(), partition: 3, cause }];
    let status = world.status();
    let delivering = status.conditions.iter().find(|condition| condition.type_ == "Delivering").unwrap();
    assert_eq!((delivering.status.as_str(), delivering.reason.as_str()), ("False", "Blocked"));
    assert!(delivering.message.contains("orders/3 at offset 17 (5 attempts, ServerError)"), "{}", delivering.message);
    assert_eq!((status.stuck[0].offset, status.stuck[0].attempts), (17, 5));
    (world.previous, world.hindrances) = (status, vec![]);
    assert_eq!((conditions(&world.status())["Delivering"], world.status().stuck.len()), ("True", 0));
}
