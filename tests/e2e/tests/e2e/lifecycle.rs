//! From `kubectl apply` to `kubectl delete`.

use std::collections::BTreeSet;
use std::time::Duration;

use penstock_crds::names::PROCESSOR_CONTAINER;
use penstock_e2e::wait::{until, until_true};
use serde_json::json;

use crate::stage::{START, Stage};

const KINDS: [&str; 5] = ["deployments", "configmaps", "serviceaccounts", "poddisruptionbudgets", "pods"];

#[test]
fn a_pipeline_is_made_scaled_changed_paused_and_leaves_nothing() {
    let stage = Stage::beside_others("lifecycle");
    let output = stage.new_topic("delays", 4);
    let source = stage.topic("flights");
    stage.brokers().delete(&source).unwrap();
    let dead_letters = format!("{}.flights.dlq", stage.namespace);
    stage.brokers().delete(&dead_letters).unwrap();

    let mut manifest = stage.flying("flights", &source, &output);
    manifest["spec"]["source"]["topics"] = json!([{"name": source, "ensure": {"partitions": 4}}]);
    manifest["spec"]["delivery"] = json!({"concurrency": 2, "timeout": "5s"});
    manifest["spec"]["scaling"] = json!({"catchUp": "15s", "scaleDownWindow": "10s"});
    let pipeline = stage.ready(&manifest);
    assert_eq!(pipeline.status().unwrap().ready_replicas(), 1);
    assert!(stage.brokers().has(&dead_letters).unwrap(), "the dead-letter topic is made before it is needed");

    // One worker does 400 a second, 15 s are to be enough for 20,000: it takes all four partitions.
    let flights = stage.flights(20_000);
    let records = flights.iter().map(|flight| (flight.tailnum.as_deref(), serde_json::to_vec(flight).unwrap()));
    stage.brokers().produce(&source, records).unwrap();
    pipeline.until("4 workers", START, |status| status.ready_replicas() == 4).unwrap();
    let group = format!("{}.flights", stage.namespace);
    let done = || Ok((stage.brokers().progress(&group, &source)?.lag() == 0).then_some(()));
    until("all flights done", START, done).unwrap();
    pipeline.until("one worker again", Duration::from_secs(300), |status| status.replicas() == 1).unwrap();

    // What workers read changes: new pods, and Ready only when they are.
    let ready = || pipeline.workers().unwrap().into_iter().filter(|pod| pod.ready);
    let names = || ready().map(|pod| pod.name).collect::<BTreeSet<_>>();
    let before = names();
    let socket = "/run/flights/delays.sock";
    let container = json!({"socket": socket, "env": [{"name": "SOCKET", "value": socket}]});
    pipeline.patch(&json!({"delivery": {"concurrency": 3}, "processor": {"container": container}})).unwrap();
    pipeline
        .until("Ready with the new spec", START, |status| status.is_ready() && status.json()["observedGeneration"] == 2)
        .unwrap();
    assert!(before.is_disjoint(&names()), "pods were kept although what they read has changed");
    // They call the container at its socket now, also when it was started again: the file of the one before lies there.
    let fly = |what: &str| {
        let few = flights[..100].iter();
        let records = few.map(|flight| (flight.tailnum.as_deref(), serde_json::to_vec(flight).unwrap()));
        stage.brokers().produce(&source, records).unwrap();
        until(what, START, done).unwrap();
    };
    fly("flights done over the socket");
    for pod in pipeline.workers().unwrap() {
        stage.cluster().crash(&pod, &BTreeSet::from([PROCESSOR_CONTAINER])).unwrap();
    }
    fly("flights done after a crash of the container");
    pipeline.until("Ready again", START, penstock_e2e::pipeline::Status::is_ready).unwrap();

    // What they do not read: the same pods.
    let before = names();
    pipeline.patch(&json!({"scaling": {"catchUp": "20s"}})).unwrap();
    pipeline
        .until("generation 3 seen", START, |status| status.json()["observedGeneration"] == 3 && status.is_ready())
        .unwrap();
    assert_eq!(before, names(), "a change to scaling restarts no pod");

    let offsets = stage.brokers().progress(&group, &source).unwrap();
    pipeline.patch(&json!({"paused": true})).unwrap();
    pipeline.until("Paused", START, |status| status.phase() == "Paused" && status.replicas() == 0).unwrap();
    until_true("no pod", START, || Ok(pipeline.workers()?.is_empty())).unwrap();
    assert_eq!(stage.brokers().progress(&group, &source).unwrap(), offsets);

    stage.cluster().kubectl(["--namespace", &stage.namespace, "delete", "consumerpipeline", "flights"]).unwrap();
    for kind in KINDS {
        until_true(&format!("no {kind} left"), START, || Ok(stage.objects(kind).is_empty())).unwrap();
    }
    assert!(
        stage.brokers().has(&source).unwrap() && stage.brokers().has(&dead_letters).unwrap(),
        "topics are the user's"
    );
    assert_eq!(stage.brokers().progress(&group, &source).unwrap(), offsets, "so is the group");
}

#[test]
fn kubectl_scale_drives_a_pipeline_in_mode_manual() {
    let stage = Stage::beside_others("manual");
    let topic = stage.new_topic("orders", 4);
    let mut manifest = stage.discarding("orders", &topic);
    manifest["spec"]["scaling"] = json!({"mode": "Manual"});
    manifest["spec"]["replicas"] = json!(1);
    let pipeline = stage.ready(&manifest);
    stage
        .cluster()
        .kubectl(["--namespace", &stage.namespace, "scale", "consumerpipeline/orders", "--replicas=3"])
        .unwrap();
    pipeline.until("3 workers", START, |status| status.ready_replicas() == 3).unwrap();
}
