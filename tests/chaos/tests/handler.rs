//! The worked example of a handler that is compiled into the worker (docs/examples/handler), on the lab that all tests share (`LAB_DIR`): with the
//! pipeline file beside it, record by record and in batches.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod stage;

use std::time::Duration;

use penstock_chaos::cluster::STAMPED;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::Message as _;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use stage::Stage;

const PIPELINE: &str = include_str!("../../../docs/examples/handler/pipeline.yaml");
const PARTITIONS: i32 = 2;
const FLIGHTS: i32 = 40;
/// Each so-many-eth flight was cancelled.
const CANCELLED: i32 = 8;
const IN_BATCHES: &str = "  delivery: {batch: {maxRecords: 10}}\n";

#[test]
fn the_example_answers_record_by_record() {
    run("handler-each", "", &[], &[]).end();
}

#[test]
fn the_example_answers_in_batches() {
    run("handler-batches", IN_BATCHES, &[("IN_BATCHES", "1")], &[]).end();
}

/// A broker refuses a batch as a whole: each of these records is small enough, and together they are not.
#[test]
fn what_a_topic_takes_only_one_by_one_is_written_one_by_one() {
    let stage = run("handler-alone", IN_BATCHES, &[("IN_BATCHES", "1")], &[("max.message.bytes", "900")]);
    assert!(stage.log().contains("a batch is larger than its topic takes"), "no batch was ever refused");
    stage.end();
}

/// Runs the example over the flights; `topics` is how the topics are made that it writes to.
fn run(story: &str, delivery: &str, environment: &[(&str, &str)], topics: &[(&str, &str)]) -> Stage {
    let stage = Stage::new(story, PARTITIONS);
    let (name, bootstrap) = (&stage.name, &stage.cluster.bootstrap);
    let (letters, outputs) = (format!("{name}.dlq"), format!("{name}.delays"));
    for topic in [&letters, &outputs] {
        stage.cluster.create(topic, PARTITIONS, &[&STAMPED[..], topics].concat()).unwrap();
    }
    stage.produce((0..FLIGHTS).map(|number| (number % PARTITIONS, None, flight(number))));
    let mut pipeline = format!("{PIPELINE}{delivery}");
    for (example, ours) in [
        ("'localhost:9092'", format!("'{bootstrap}'")),
        ("[{name: flights}]", format!("[{{name: {name}}}], groupId: {name}")),
        ("{topic: delays}", format!("{{topic: {outputs}}}")),
    ] {
        assert!(pipeline.contains(example), "the example has no {example}");
        pipeline = pipeline.replace(example, &ours);
    }
    let mut worker = stage.start_program("arrival-delays", &pipeline, environment);
    stage.wait("all flights", || stage.is_done(name, name));
    assert_eq!(worker.stop(), Some(0));

    let arrived = |number: &i32| number % CANCELLED != 0;
    let mut expected: Vec<String> = (0..FLIGHTS).filter(arrived).map(delay).collect();
    let mut written = values(bootstrap, &outputs, expected.len());
    expected.sort();
    written.sort();
    assert_eq!(written, expected);
    let letters = stage.letters();
    assert!(letters.iter().all(|letter| letter.class == "Rejected"), "{letters:?}");
    let mut refused: Vec<(i32, i64)> = letters.iter().map(|letter| (letter.tp.partition, letter.offset)).collect();
    refused.sort_unstable();
    let cancelled = (0..FLIGHTS).filter(|number| !arrived(number));
    let mut expected: Vec<_> = cancelled.map(|number| (number % PARTITIONS, i64::from(number / PARTITIONS))).collect();
    expected.sort_unstable();
    assert_eq!(refused, expected);
    stage
}

fn flight(number: i32) -> String {
    let delay = if number % CANCELLED == 0 { "null".to_owned() } else { format!("{number}.5") };
    format!(r#"{{"carrier": "UA", "flight": {number}, "arr_delay": {delay}, "origin": "EWR"}}"#)
}

fn delay(number: i32) -> String {
    format!(r#"{{"flight":"UA{number}","minutes":{number}.5}}"#)
}

/// That many values of a topic.
fn values(bootstrap: &str, topic: &str, count: usize) -> Vec<String> {
    let mut config = ClientConfig::new();
    let client: BaseConsumer = config.set("bootstrap.servers", bootstrap).set("group.id", "reader").create().unwrap();
    let mut assignment = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        assignment.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
    }
    client.assign(&assignment).unwrap();
    let mut values = Vec::new();
    while values.len() < count {
        let message = client.poll(Duration::from_secs(30)).unwrap().unwrap();
        values.push(String::from_utf8(message.payload().unwrap().to_vec()).unwrap());
    }
    values
}
