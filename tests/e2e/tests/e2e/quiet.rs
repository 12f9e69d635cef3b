//! A pipeline where nothing happens costs no write (O1), as the API server's own audit log counts them.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use penstock_e2e::cluster::RELEASE;
use penstock_e2e::wait::{throughout, until_true};
use serde_json::{Value, json};

use crate::stage::{START, Stage};

/// `make soak` looks for 5 minutes.
const QUIET: Duration = Duration::from_secs(30);

/// Longer than numbers wait to be told (10 s), twice over.
const REST: Duration = Duration::from_secs(25);

fn quiet() -> Duration {
    let minutes = std::env::var("PENSTOCK_QUIET_MINUTES").ok().and_then(|minutes| minutes.parse().ok());
    minutes.map_or(QUIET, Duration::from_mins)
}

/// Writes of the operator so far, but for its lease, which tells that it lives: verb and path.
fn writes(stage: &Stage) -> Vec<String> {
    let (namespace, release) = RELEASE;
    let operator = format!("system:serviceaccount:{namespace}:{release}");
    let log = fs::read_to_string(stage.cluster().lab().dir().log("audit.jsonl")).unwrap();
    // The last line may be half written.
    let entries = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let own = entries.filter(|entry| entry["user"]["username"] == operator.as_str());
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    own.filter(|entry| entry["objectRef"]["resource"] != "leases")
        .map(|entry| format!("{} {}", text(&entry["verb"]), text(&entry["requestURI"])))
        .collect()
}

#[test]
fn an_idle_pipeline_costs_no_write_and_a_second_reconcile_sends_no_patch() {
    let stage = Stage::alone("quiet");
    let topic = stage.new_topic("orders", 3);
    let pipeline = stage.ready(&stage.discarding("orders", &topic));
    stage.brokers().produce(&topic, (0..1).map(|n| (None::<&str>, format!("{n}")))).unwrap();
    pipeline.until("all read", START, |status| status.lag() == Some(0) && status.is_ready()).unwrap();
    // What the record moved (means of rates, and what is made of them) is told once and once more when it is over.
    let mut seen = (Value::Null, Instant::now());
    until_true("at rest", Duration::from_secs(420), || {
        let version =
            stage.cluster().get(&stage.namespace, ["consumerpipeline/orders"])?["metadata"]["resourceVersion"].take();
        if version != seen.0 {
            seen = (version, Instant::now());
        }
        Ok(seen.1.elapsed() >= REST)
    })
    .unwrap();
    until_true("what other tests left is gone", START, || {
        let list = stage.cluster().get(&stage.namespace, ["consumerpipelines", "--all-namespaces"])?;
        Ok(list["items"].as_array().is_some_and(|all| all.len() == 1))
    })
    .unwrap();

    let before = writes(&stage);
    assert!(!before.is_empty(), "the audit log knows nothing of the operator, so it could prove nothing");
    throughout(quiet(), || Ok(())).unwrap();
    assert_eq!(writes(&stage)[before.len()..], [] as [String; 0], "writes while nothing happened");

    // Metadata that means nothing is a reconcile all the same.
    stage
        .cluster()
        .patch(&stage.namespace, "consumerpipeline/orders", &json!({"metadata": {"annotations": {"a": "b"}}}))
        .unwrap();
    throughout(quiet(), || Ok(())).unwrap();
    assert_eq!(writes(&stage)[before.len()..], [] as [String; 0], "writes for an unchanged pipeline");

    // So is the first look of an operator that has never seen the pipeline. It may say in status what it learns anew; objects stay.
    let (namespace, _) = RELEASE;
    let operators = || stage.cluster().pods(namespace, "app.kubernetes.io/component=operator");
    let before_crash = operators().unwrap();
    for pod in &before_crash {
        stage.cluster().crash(pod, &BTreeSet::from(["operator"])).unwrap();
    }
    until_true("the operator is back", START, || {
        Ok(operators()?.iter().all(|pod| pod.ready && !before_crash.contains(pod)))
    })
    .unwrap();
    throughout(quiet(), || Ok(())).unwrap();
    let objects: Vec<_> =
        writes(&stage).split_off(before.len()).into_iter().filter(|write| !write.contains("/status")).collect();
    assert_eq!(objects, [] as [String; 0], "writes of objects for an unchanged pipeline");
}
