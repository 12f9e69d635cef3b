//! Each folder of tests/golden is a pipeline, the objects it becomes and the status it gets in the situation of that name. After a wanted
//! change, `PENSTOCK_GENERATE=1 cargo test -p penstock-blueprint` writes them anew; the diff is what to review.

use std::path::{Path, PathBuf};

use penstock_blueprint::{Cause, Group, Hindrance, PodTrouble, Reachability, Reason};
use penstock_crds::checkpoint::{ErrorClass, HoldReason, Lost};
use penstock_scaling::{Decision, HotPartition, Limit, Reason as Why, StuckPartition};
use serde::Serialize;

use crate::world::{Outcome, Pods, World, decision, time, trouble};

type Situation = fn(&mut World);

/// What differs from three workers that keep up.
const SITUATIONS: &[(&str, Situation)] = &[
    ("advise", |world| {
        world.decision = Some(Decision { advised: Some(6), ..decision(3, Why::Overloaded) });
    }),
    ("blocked", |world| {
        let blocked = |partition, offset, attempts, class| Hindrance {
            topic: "orders".into(),
            partition,
            cause: Cause::Blocked { offset, attempts, class },
        };
        world.hindrances = vec![blocked(3, 17, 5, ErrorClass::ServerError), blocked(7, 4_711, 1, ErrorClass::Rejected)];
    }),
    ("catching-up", |world| {
        let mut up = decision(8, Why::CatchingUp);
        (up.parts.lag, up.parts.backlog, up.parts.behind_seconds) = (91_404.0, 90_210.0, Some(312.0));
        (up.parts.current, up.parts.ready, up.parts.need) = (3, 3, Some(8));
        (up.limited_by, up.parts.ceiling) = (Some(Limit::MaxReplicas), 8);
        world.decision = Some(up);
        world.pods = Some(Pods { wanted: 8, existing: 8, updated: 8, ready: 3, available: 3, ..Pods::all(8) });
    }),
    ("data-loss", |world| {
        let lost = |partition, wanted, found| held(partition, HoldReason::DataLoss, Some(Lost { wanted, found }));
        world.hindrances = vec![lost(3, 17, 100), lost(4, 900, 500)];
    }),
    ("dead-letter-unwritable", |world| {
        world.hindrances = vec![held(3, HoldReason::ForwardFailed, None)];
    }),
    ("everything", |world| {
        world.decision = Some(decision(3, Why::Manual));
    }),
    ("group-in-use", |world| {
        world.group = Group::InUse { pipeline: "shop/orders-old".into() };
        (world.decision, world.pods) = (Some(decision(0, Why::Steady)), Some(Pods::all(0)));
    }),
    ("hot-partition", |world| {
        let mut hot = decision(3, Why::Steady);
        hot.limited_by = Some(Limit::HotPartition);
        hot.parts.hot = vec![HotPartition { topic: "orders".into(), partition: 4, records_per_second: 900.0 }];
        world.decision = Some(hot);
    }),
    ("idle-at-zero", |world| {
        let mut idle = decision(0, Why::Idle);
        (idle.parts.arrival_rate, idle.parts.lag, idle.parts.demand) = (Some(0.003), 0.0, 0.004);
        (idle.parts.throughput, idle.parts.utilization, idle.parts.behind_seconds) = (None, None, None);
        (idle.parts.desired, idle.parts.need, idle.parts.floor) = (Some(0), Some(0), 0);
        (world.decision, world.pods) = (Some(idle), Some(Pods::all(0)));
    }),
    ("image-missing", |world| {
        world.pods = Some(Pods { ready: 0, available: 0, overdue: true, ..Pods::all(3) });
        world.decision = Some(decision(3, Why::PodsNotStarting));
        world.ill = vec![PodTrouble {
            pod: "orders-worker-5d4f8c7b9-x2x7k".into(),
            container: "processor".into(),
            reason: "ImagePullBackOff".into(),
            message: "Back-off pulling image \"registry.example/orders:typo\"".into(),
        }];
    }),
    ("kafka-down", |world| {
        world.kafka = Reachability::Unreachable {
            trouble: trouble(Reason::KafkaUnreachable, "kafka:9092: Connection refused."),
            since: time("2026-03-01T11:58:00.25Z"),
            last_sample: Some(time("2026-03-01T11:57:55.75Z")),
        };
        world.decision = Some(decision(3, Why::LagUnknown));
    }),
    ("keys-parked", |world| {
        let parked = |partition, keys, full| Hindrance {
            topic: "orders".into(),
            partition,
            cause: Cause::Parked { keys, full },
        };
        world.hindrances = vec![parked(3, 1, false), parked(7, 64, true)];
    }),
    ("minimal", |_| ()),
    ("name-conflict", |world| {
        let message = "Deployment orders-worker exists and is not this pipeline's. Remove it, or rename the pipeline.";
        world.outcome = Outcome::Failed(trouble(Reason::NameConflict, message));
        world.pods = None;
    }),
    ("new", |world| {
        (world.kafka, world.group) = (Reachability::NotAsked, Group::NotAsked);
        (world.source, world.learned, world.decision) = (None, None, None);
        (world.outcome, world.pods) = (Outcome::Untouched, None);
    }),
    ("paused", |world| {
        (world.decision, world.pods) = (Some(decision(0, Why::Paused)), Some(Pods::all(0)));
    }),
    ("processor-unavailable", |world| {
        world.hindrances = (0..12).map(|partition| held(partition, HoldReason::CircuitOpen, None)).collect();
    }),
    ("record-stuck", |world| {
        let mut stuck = decision(3, Why::Steady);
        stuck.limited_by = Some(Limit::StuckPartition);
        stuck.parts.stuck = vec![StuckPartition {
            topic: "orders".into(),
            partition: 3,
            offset: 17,
            seconds: 95,
            attempts: 41,
            error_class: Some("http-500".into()),
        }];
        world.decision = Some(stuck);
    }),
    ("refused", |world| {
        let mut before = World::of(MINIMAL);
        before.now = time("2026-03-01T11:00:00Z");
        (world.previous, world.decision, world.outcome) = (before.status(), None, Outcome::Untouched);
        world.earlier = before.live();
    }),
    ("replicas-ignored", |_| ()),
    ("socket", |_| ()),
    ("too-many-dead-letters", |world| {
        world.hindrances = vec![held(3, HoldReason::TooManyDeadLetters, None)];
    }),
    ("topic-missing", |world| {
        let message = "Topic orders does not exist. Create it, or add topics[].ensure with its partitions.";
        world.obstacles = vec![trouble(Reason::TopicMissing, message)];
        (world.decision, world.pods) = (None, Some(Pods::all(0)));
    }),
    ("waiting-for-group", |world| {
        world.group = Group::Waiting { members: vec!["shop-consumer on 10.1.2.3".into()] };
        (world.decision, world.pods) = (None, Some(Pods::all(0)));
    }),
];

const MINIMAL: &str = include_str!("../golden/minimal/pipeline.yaml");

fn held(partition: i32, reason: HoldReason, lost: Option<Lost>) -> Hindrance {
    let since = time("2026-03-01T11:58:00Z");
    let cause = Cause::Held { reason, class: ErrorClass::Unreachable, since, lost };
    Hindrance { topic: "orders".into(), partition, cause }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

pub(crate) fn worlds() -> impl Iterator<Item = (&'static str, World)> {
    SITUATIONS.iter().map(|(name, situation)| {
        let path = folder().join(name).join("pipeline.yaml");
        let yaml = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut world = World::of(&yaml);
        situation(&mut world);
        (*name, world)
    })
}

fn yaml(value: &impl Serialize) -> String {
    serde_norway::to_string(value).unwrap()
}

fn objects(world: &World) -> Option<String> {
    let objects = world.rendered()?;
    let mut documents = vec![yaml(&objects.config)];
    documents.extend(objects.service_account.as_ref().map(yaml));
    documents.extend([yaml(&objects.deployment), yaml(&objects.disruption_budget)]);
    Some(documents.join("---\n"))
}

/// Compares a file with what it should be, or writes it when asked to.
pub(crate) fn matches(path: &Path, expected: &str) {
    if std::env::var_os("PENSTOCK_GENERATE").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, expected).unwrap();
        return;
    }
    let found = std::fs::read_to_string(path).unwrap_or_default();
    let differs = found.lines().zip(expected.lines()).position(|(found, expected)| found != expected);
    let line = differs.unwrap_or(found.lines().count().min(expected.lines().count()));
    assert!(
        found == expected,
        "{} differs from line {}:\n  file: {:?}\n  code: {:?}\nIf the code is right, run PENSTOCK_GENERATE=1 cargo test --release -p penstock-blueprint and review the diff.",
        path.display(),
        line + 1,
        found.lines().nth(line),
        expected.lines().nth(line),
    );
}

#[test]
fn pipelines_become_these_objects_and_this_status() {
    for (name, world) in worlds() {
        if let Some(objects) = objects(&world) {
            matches(&folder().join(name).join("objects.yaml"), &objects);
        }
        matches(&folder().join(name).join("status.yaml"), &yaml(&world.status()));
    }
}

#[test]
fn every_folder_has_its_situation() {
    let mut folders: Vec<String> =
        std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    folders.sort();
    assert_eq!(folders, SITUATIONS.iter().map(|(name, _)| *name).collect::<Vec<_>>());
}

#[test]
fn the_same_facts_a_second_time_change_nothing() {
    for (name, mut world) in worlds() {
        let once = world.status();
        world.previous = once.clone();
        world.now = time("2026-03-01T13:00:00Z");
        assert_eq!(yaml(&once), yaml(&world.status()), "{name}");
    }
}
