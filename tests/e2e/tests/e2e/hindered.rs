//! What keeps records from being delivered is in status within 10 s, and goes from it when it passes.

use std::time::{Duration, Instant};

use penstock_e2e::pipeline::{Pipeline, Status};
use penstock_e2e::service::Service;
use penstock_e2e::topic::header;
use penstock_e2e::wait::until_true;
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use serde_json::{Value, json};

use crate::stage::{START, Stage};

/// From the moment that a record cannot be delivered until status says so.
const TOLD: Duration = Duration::from_secs(10);

/// Dead letters of a worker until its fuse blows, if every record is one: a fifth of them and of the thousand of its head start.
const LETTERS: usize = 250;

/// A Ready pipeline in front of a service that the test commands.
fn serving(stage: &Stage, topic: &str, delivery: Value) -> (Service, Pipeline<'static>) {
    let host = stage.brokers().bootstrap_servers().split(':').next().unwrap().to_owned();
    let service = Service::start(&host).unwrap();
    let mut manifest = stage.discarding("orders", topic);
    manifest["spec"]["processor"] = json!({"type": "http", "http": {"url": service.url()}});
    manifest["spec"]["delivery"] = delivery;
    (service, stage.ready(&manifest))
}

/// Waits for the reason, counted from `since`.
fn told(pipeline: &Pipeline<'_>, reason: &str, since: Instant) -> Status {
    let left = TOLD.saturating_sub(since.elapsed());
    pipeline.until(reason, left, |status| status.condition("Delivering") == ("False", reason)).unwrap()
}

fn delivered(pipeline: &Pipeline<'_>) {
    pipeline
        .until("delivering again", START, |status| {
            status.condition("Delivering").0 == "True" && status.lag() == Some(0) && status.is_ready()
        })
        .unwrap();
}

fn produce(stage: &Stage, topic: &str, keys: &[&str]) {
    stage.brokers().produce(topic, keys.iter().map(|key| (Some(*key), "{}"))).unwrap();
}

/// Offsets that the dead letters of a topic came from.
fn origins(stage: &Stage, dead_letters: &str) -> Vec<String> {
    let mut offsets = Vec::new();
    let note = |message: &BorrowedMessage<'_>| {
        offsets.extend(header(message, "penstock.origin.offset").map(str::to_owned));
        Ok(())
    };
    stage.brokers().read(dead_letters, note).unwrap();
    offsets
}

/// Whether an Event with this reason tells of the pipeline.
fn has_event(stage: &Stage, reason: &str) -> bool {
    let list = stage.cluster().get(&stage.namespace, ["events"]).unwrap();
    list["items"].as_array().unwrap().iter().any(|event| event["reason"] == reason)
}

#[test]
fn a_blocked_record_is_named_within_ten_seconds_and_passes() {
    let stage = Stage::beside_others("blocked");
    let topic = stage.new_topic("orders", 1);
    let delivery = json!({"onExhausted": "Block", "retry": {"maxDelay": "2s"}});
    let (service, pipeline) = serving(&stage, &topic, delivery);
    service.refuse(&["poison"]);
    produce(&stage, &topic, &["a", "poison", "b", "poison", "a"]);
    let since = Instant::now();
    let status = told(&pipeline, "Blocked", since);
    let message = status.message("Delivering");
    assert!(message.contains(&format!("{topic}/0 at offset 1 (1 attempt, Rejected)")), "{message}");
    let stuck = &status.json()["stuck"][0];
    let named = (stuck["topic"].as_str(), stuck["partition"].as_i64(), stuck["offset"].as_i64());
    assert_eq!(named, (Some(topic.as_str()), Some(0), Some(1)), "{stuck}");
    assert_eq!((stuck["attempts"].as_i64(), stuck["errorClass"].as_str()), (Some(1), Some("Rejected")), "{stuck}");
    assert_eq!((service.taken("a"), service.taken("b"), service.taken("poison")), (2, 1, 0), "other keys go on");
    until_true("an Event", START, || Ok(has_event(&stage, "Blocked"))).unwrap();

    service.refuse(&[]);
    delivered(&pipeline);
    assert_eq!(service.taken("poison"), 2);
    until_true("an Event of the end", START, || Ok(has_event(&stage, "Delivering"))).unwrap();
}

#[test]
fn a_service_that_is_away_is_told_and_costs_no_record() {
    let stage = Stage::beside_others("away");
    let topic = stage.new_topic("orders", 1);
    let (service, pipeline) = serving(&stage, &topic, json!({"retry": {"maxAttempts": 1}}));
    let address = service.address;
    drop(service);
    until_true("nobody listens", START, || Ok(std::net::TcpStream::connect(address).is_err())).unwrap();
    produce(&stage, &topic, &["a", "b", "c", "d"]);
    let status = told(&pipeline, "ProcessorUnavailable", Instant::now());
    let message = status.message("Delivering");
    assert!(message.contains("cannot be reached (Unreachable) since ") && message.contains(&topic), "{message}");

    let back = Service::start_at(address).unwrap();
    delivered(&pipeline);
    assert_eq!(["a", "b", "c", "d"].map(|key| back.taken(key)), [1; 4], "none went to the dead letters");
}

#[test]
fn a_dead_letter_that_cannot_be_written_is_told_and_not_lost() {
    let stage = Stage::beside_others("unwritable");
    let topic = stage.new_topic("orders", 1);
    let dead_letters = stage.topic("refused");
    stage.brokers().delete(&dead_letters).unwrap();
    stage.brokers().create(&dead_letters, 1, &[("max.message.bytes", "100")]).unwrap();
    let delivery = json!({"deadLetter": {"topic": dead_letters, "create": false}, "retry": {"maxDelay": "2s"}});
    let (service, pipeline) = serving(&stage, &topic, delivery);
    service.refuse(&["poison"]);
    produce(&stage, &topic, &["a", "poison", "b", "poison"]);
    let status = told(&pipeline, "DeadLetterUnwritable", Instant::now());
    let message = status.message("Delivering");
    assert!(message.contains(&dead_letters) && message.contains(&format!("{topic}/0")), "{message}");
    let group = format!("{}.orders", stage.namespace);
    let committed = stage.brokers().progress(&group, &topic).unwrap().committed;
    assert_eq!(committed, [Some(1)], "the offset waits for the dead letter");
    assert_eq!((service.taken("a"), service.taken("b")), (1, 1), "other keys go on");

    stage.brokers().configure(&dead_letters, &[]).unwrap();
    delivered(&pipeline);
    assert_eq!(origins(&stage, &dead_letters), ["1", "3"]);
}

#[test]
fn a_service_that_refuses_everything_does_not_empty_the_topic_into_the_dead_letters() {
    let stage = Stage::beside_others("fuse");
    let topic = stage.new_topic("orders", 1);
    let dead_letters = stage.topic("refused");
    stage.brokers().delete(&dead_letters).unwrap();
    let delivery = json!({"deadLetter": {"topic": dead_letters, "headers": ["Spring", "Connect"]}});
    let (service, pipeline) = serving(&stage, &topic, delivery);
    let keys: Vec<String> = (0..2_000).map(|key| format!("k{key}")).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    service.refuse(&keys);
    produce(&stage, &topic, &keys);
    let status = told(&pipeline, "TooManyDeadLetters", Instant::now());
    let message = status.message("Delivering");
    assert!(message.contains("More than 20 %") && message.contains("(Rejected) since "), "{message}");
    assert_eq!(origins(&stage, &dead_letters).len(), LETTERS, "one more would have been a fifth");

    service.refuse(&[]);
    delivered(&pipeline);
    assert_eq!(origins(&stage, &dead_letters).len(), LETTERS);
    assert_eq!(
        keys.iter().map(|key| service.taken(key)).sum::<u64>(),
        2_000 - LETTERS as u64,
        "each of the others once"
    );
    let mut foreign = Vec::new();
    let note = |message: &BorrowedMessage<'_>| {
        let headers = message.headers().unwrap();
        let value =
            |name: &str| headers.iter().find(|one| one.key == name).and_then(|one| one.value.map(<[u8]>::to_vec));
        foreign.push((value("kafka_dlt-original-partition"), value("__connect.errors.partition")));
        Ok(())
    };
    stage.brokers().read(&dead_letters, note).unwrap();
    assert!(foreign.iter().all(|one| *one == (Some(vec![0, 0, 0, 0]), Some(b"0".to_vec()))), "{:?}", foreign.first());
}

#[test]
fn what_fails_waits_in_delay_topics_that_the_operator_makes_and_comes_back() {
    let stage = Stage::beside_others("delayed");
    let topic = stage.new_topic("orders", 2);
    let delays = ["1s", "2s"].map(|delay| format!("{}.orders.retry.{delay}", stage.namespace));
    for delay in &delays {
        stage.brokers().delete(delay).unwrap();
    }
    let delivery = json!({"ordering": "Unordered", "retry": {"maxAttempts": 100, "delayTopics": ["1s", "2s"]}});
    let (service, pipeline) = serving(&stage, &topic, delivery);
    assert!(delays.iter().all(|delay| stage.brokers().has(delay).unwrap()), "made before they are needed");
    service.fail(&["a"]);
    produce(&stage, &topic, &["a", "b", "c"]);
    let group = format!("{}.orders", stage.namespace);
    let waits = || Ok(stage.brokers().progress(&format!("{group}.retry"), &delays[1])?.ends.iter().sum::<i64>() > 1);
    until_true("the failing record waits, again and again", START, waits).unwrap();
    until_true("the source is done with it", START, || Ok(stage.brokers().progress(&group, &topic)?.lag() == 0))
        .unwrap();
    assert_eq!(["a", "b", "c"].map(|key| service.taken(key)), [0, 1, 1]);

    service.fail(&[]);
    until_true("it comes back", START, || Ok(service.taken("a") == 1)).unwrap();
    let dead_letters = format!("{group}.dlq");
    assert_eq!(origins(&stage, &dead_letters), [] as [String; 0]);
    delivered(&pipeline);
}
