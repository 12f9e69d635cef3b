//! A pipeline where nothing happens costs no write (O1), as the API server's own audit log counts them.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use penstock_e2e::cluster::RELEASE;
use penstock_e2e::wait::{throughout, until_true};
use serde_json::{Value, json};

use crate::stage::{START, Stage};

/// `make soak` looks for 5 minutes.
const QUIET: Duration = Duration::from_secs(30);

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
    // What the record moved decays to 0 within minutes: means of rates, and what is made of them.
    let settled = |status: &penstock_e2e::pipeline::Status| {
        let decision = &status.json()["decision"];
        ["arrivalRate", "demand", "throughput", "utilization"]
            .iter()
            .all(|term| decision[term].as_f64().is_none_or(|number| number == 0.0))
    };
    pipeline.until("at rest", Duration::from_secs(420), settled).unwrap();
    until_true("what other tests left is gone", START, || {
        let list = stage.cluster().get(&stage.namespace, ["consumerpipelines", "--all-namespaces"])?;
        Ok(list["items"].as_array().is_some_and(|all| all.len() == 1))
    })
    .unwrap();

    let before = writes(&stage);
    assert!(!before.is_empty(), "the audit log knows nothing of the operator, so it could prove nothing");
    throughout(quiet(), || Ok(())).unwrap();
    assert_eq!(writes(&stage)[before.len()..], [] as [String; 0], "writes while nothing happened");

    // Metadata that means nothing, and a new operator that has never seen the pipeline: both reconcile it.
    stage
        .cluster()
        .patch(&stage.namespace, "consumerpipeline/orders", &json!({"metadata": {"annotations": {"a": "b"}}}))
        .unwrap();
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
    assert_eq!(writes(&stage)[before.len()..], [] as [String; 0], "writes for an unchanged pipeline");
}
