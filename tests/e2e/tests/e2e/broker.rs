//! Kafka goes away and comes back.

use std::time::Duration;

use penstock_e2e::failure::{Failure, Result};
use penstock_e2e::wait::throughout;

use crate::crash::{Burst, assert_kept};
use crate::stage::{START, Stage};

/// How long Kafka is away.
const OUTAGE: Duration = Duration::from_secs(30);

#[test]
fn without_kafka_replicas_hold_and_the_condition_says_so() {
    let stage = Stage::alone("broker-stopped");
    let burst = Burst::begin(&stage, 2, 40_000);
    burst.await_midway();
    let broker = stage.cluster().lab().broker(1);
    broker.kill().unwrap();
    let mut said = false;
    let watched = throughout(OUTAGE, || {
        said |= burst.pipeline.status()?.condition("KafkaReachable").0 == "False";
        held(&stage)
    });
    broker.start(START).unwrap();
    watched.unwrap();
    assert!(said, "{}", burst.pipeline.status().unwrap().in_words());
    burst
        .pipeline
        .until("KafkaReachable again", START, |status| status.condition("KafkaReachable").0 == "True")
        .unwrap();
    assert_kept(&burst.finish());
}

/// Nobody has changed the number of workers.
fn held(stage: &Stage) -> Result<()> {
    let deployment = stage.cluster().get(&stage.namespace, ["deployment", "flights-worker"])?;
    match deployment["spec"]["replicas"].as_i64() {
        Some(2) => Ok(()),
        other => Err(Failure::new(format!("replicas became {other:?} while nothing was known"))),
    }
}
