//! What restarts pods, and what must not.

use penstock_blueprint::{GroupProtocol, Release, Settled, render, template_hash, worker_file};
use penstock_crds::names::{
    ANNOTATION_CONFIG_HASH, ANNOTATION_GROUP_PROTOCOL, ANNOTATION_PINNED_TOPICS, PIPELINE_FILE,
};
use penstock_crds::schema::parse;
use penstock_crds::{Pipeline, resolve};
use proptest::prelude::*;

use crate::golden::worlds;
use crate::world::{release, settled};

fn pipeline(head: &str, spec: &str) -> Pipeline {
    let text = format!(
        "apiVersion: penstock.dev/v1alpha1
kind: ConsumerPipeline
metadata: {{name: orders, namespace: shop, uid: 0b9f{head}}}
spec:
  kafka: {{bootstrapServers: 'kafka:9092'}}
  processor: {{type: container, container: {{image: 'orders:1'}}}}
{spec}"
    );
    resolve(&parse(&text).unwrap()).unwrap()
}

const SOURCE: &str = "  source: {topics: [{name: orders}]}\n";

prop_compose! {
    /// Any spec of scaling that `resolve()` takes, with what else only the operator acts on.
    fn operators_own()(
        mode in prop::sample::select(vec!["Auto", "Manual", "Advise"]),
        (min, more) in (0..1000_u32, 0..1000_u32),
        (lag, catch_up, window) in (1..86_400_u32, 1..86_400_u32, 10..86_400_u32),
        target in 10..95_u32,
        replicas in 0..1000_u32,
        paused: bool,
        partitions in 1..10_000_u32,
        growth: bool,
        generation in 1..1_000_000_u32,
    ) -> (String, String) {
        let max = (min + more).clamp(1, 1000);
        let spec = format!(
            "  source: {{topics: [{{name: orders, ensure: {{partitions: {partitions}, allowGrowth: {growth}}}}}]}}
  scaling:
    mode: {mode}
    minReplicas: {min}
    maxReplicas: {max}
    lag: {lag}s
    catchUp: {catch_up}s
    targetUtilization: 0.{target}
    scaleDownWindow: {window}s
    idle: {window}s
  replicas: {replicas}
  paused: {paused}
"
        );
        (format!(", generation: {generation}"), spec)
    }
}

proptest! {
    // Each case checks two resources against the whole schema.
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_only_the_operator_acts_on_restarts_no_pod(
        (head, spec) in operators_own(),
        replicas in prop::option::of(0..1000_u32),
        version in "[0-9]{1,3}\\.[0-9]{1,3}\\.[0-9]{1,3}",
    ) {
        let (plain, scaled) = (pipeline("", SOURCE), pipeline(&head, &spec));
        let before = render(&plain, &settled(&plain, Some(1)), &release());
        let after = render(&scaled, &settled(&scaled, replicas), &Release { version, ..release() });
        let template = |objects: &penstock_blueprint::ObjectSet<_>| objects.deployment.spec.clone().unwrap().template;
        prop_assert_eq!(template(&before), template(&after));
        prop_assert_eq!(&before.config, &after.config);
        prop_assert_eq!(
            template_hash(&plain, &settled(&plain, Some(1)), &release()),
            template_hash(&scaled, &settled(&scaled, replicas), &release())
        );
    }
}

#[test]
fn what_workers_read_restarts_them() {
    let hash = |pipeline: &Pipeline, settled: &Settled| template_hash(pipeline, settled, &release());
    let plain = pipeline("", SOURCE);
    let before = hash(&plain, &settled(&plain, None));
    for more in ["  delivery: {concurrency: 65}\n", "  output: {topic: done}\n", "  delivery: {timeout: 31s}\n"] {
        let edited = pipeline("", &format!("{SOURCE}{more}"));
        assert_ne!(before, hash(&edited, &settled(&edited, None)), "{more}");
    }
    let classic = Settled { group_protocol: GroupProtocol::Classic, ..settled(&plain, None) };
    let unpinned = Settled { pinned_topics: vec![], ..settled(&plain, None) };
    assert_ne!(before, hash(&plain, &classic));
    assert_ne!(before, hash(&plain, &unpinned));
}

/// A default that is written out and one that is left out are the same to a worker.
#[test]
fn the_road_to_a_spec_does_not_matter() {
    let (short, long) =
        (pipeline("", SOURCE), pipeline("", &format!("{SOURCE}  delivery: {{concurrency: 64, timeout: 30000ms}}\n")));
    let pinned = |names: &[&str]| Settled {
        pinned_topics: names.iter().map(|name| (*name).to_owned()).collect(),
        ..settled(&short, None)
    };
    assert_eq!(worker_file(&short, &pinned(&["orders"])), worker_file(&long, &pinned(&["orders", "gone", "orders"])),);
}

#[test]
fn workers_read_what_the_operator_resolved() {
    for (name, world) in worlds() {
        let Ok(pipeline) = &world.pipeline else { continue };
        let file = worker_file(pipeline, &settled(pipeline, None));
        let resource = parse(&file).unwrap();
        let read = resolve(&resource).unwrap();
        assert_eq!(
            (&read.kafka, &read.delivery, &read.output),
            (&pipeline.kafka, &pipeline.delivery, &pipeline.output),
            "{name}"
        );
        assert_eq!(
            (read.identity.uid.as_str(), &read.source.group_id),
            (pipeline.identity.uid.as_str(), &pipeline.source.group_id)
        );
        assert_eq!(read.topic_names().collect::<Vec<_>>(), pipeline.topic_names().collect::<Vec<_>>());
        assert_eq!(read.source.start_from, pipeline.source.start_from);
        assert_eq!(
            (read.source.isolation, read.source.on_offset_loss),
            (pipeline.source.isolation, pipeline.source.on_offset_loss)
        );
        assert_eq!(read.processor_url(), pipeline.processor_url());
        let workers = |socket: &str| format!("/run/penstock/{}", socket.rsplit_once('/').unwrap().1);
        assert_eq!(read.processor_socket().map(str::to_owned), pipeline.processor_socket().map(workers));
        assert_eq!(
            worker_file(&read, &settled(&read, None)),
            file,
            "{name}: a file read and written again is the same"
        );
        let annotations = resource.metadata.annotations.unwrap();
        assert_eq!(annotations[ANNOTATION_GROUP_PROTOCOL], "consumer");
        assert_eq!(annotations[ANNOTATION_PINNED_TOPICS], pipeline.topic_names().collect::<Vec<_>>().join(","));
    }
}

#[test]
fn the_hash_on_the_pod_speaks_of_the_file_in_the_config_map() {
    let (one, other) = (pipeline("", SOURCE), pipeline("", &format!("{SOURCE}  output: {{topic: done}}\n")));
    let seen = [&one, &other, &one].map(|pipeline| {
        let objects = render(pipeline, &settled(pipeline, None), &release());
        let template = objects.deployment.spec.unwrap().template;
        let hash = template.metadata.unwrap().annotations.unwrap()[ANNOTATION_CONFIG_HASH].clone();
        (objects.config.data.unwrap()[PIPELINE_FILE].clone(), hash)
    });
    assert_eq!(seen[0], seen[2]);
    assert_ne!(seen[0].0, seen[1].0);
    assert_ne!(seen[0].1, seen[1].1);
}
