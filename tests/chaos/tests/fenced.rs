//! The only broker is fenced for half of the time, on a lab of its own: it answers then that there are topics and no brokers, and
//! librdkafka forgets the last broker it knew. Whoever does not remind it stands still for ever.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod stage;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use penstock_chaos::cluster::Cluster;
use stage::{Stage, lock};

/// Three fences long, at one call at a time.
const RECORDS: usize = 800;
const CALL: Duration = Duration::from_millis(25);
/// Each of these is a dead letter, after an attempt that waited in a delay topic.
const POISON: usize = 40;

/// A session that ends before the next heartbeat is sent: 3 s among the brokers, 3 s fenced.
const FENCED: &str = "broker.session.timeout.ms=3000\nbroker.heartbeat.interval.ms=6000\n";
/// One that does not.
const CALM: &str = "broker.session.timeout.ms=9000\nbroker.heartbeat.interval.ms=500\n";

/// How often each record was called.
type Calls = Arc<Mutex<BTreeMap<usize, u32>>>;

/// Consumer, consumer of the delay topic, and producer: all must come through.
#[test]
fn a_worker_goes_on_although_its_only_broker_is_fenced_again_and_again() {
    let stage = Stage::of(Cluster::up(1).unwrap(), "fenced", 1);
    let calls = Calls::default();
    let port = stage.serve({
        let calls = Arc::clone(&calls);
        move |request| {
            std::thread::sleep(CALL);
            let number = request.body().parse().unwrap();
            *lock(&calls).entry(number).or_default() += 1;
            if number % POISON == 0 { 500 } else { 204 }
        }
    });
    stage.produce((0..RECORDS).map(|number| (0, None, number.to_string())));
    stage.cluster.restart_with(1, FENCED).unwrap();
    for protocol in ["classic", "consumer"] {
        work_off(&stage, port, protocol);
        let calls = std::mem::take(&mut *lock(&calls));
        assert_eq!(calls.len(), RECORDS, "{protocol}: every record was called");
        assert!(calls.iter().all(|(number, calls)| number % POISON != 0 || *calls >= 2), "{protocol}: {calls:?}");
    }
    assert!(stage.log().contains("the bootstrap servers are tried again"), "no worker was ever without a broker");
    stage.cluster.restart_with(1, CALM).unwrap();
    let mut letters: BTreeMap<i64, usize> = BTreeMap::new();
    stage.letters().iter().for_each(|letter| *letters.entry(letter.offset).or_default() += 1);
    assert!(letters.len() == RECORDS / POISON && letters.values().all(|times| *times >= 2), "{letters:?}");
    stage.end().down().unwrap();
}

/// A worker in a group of its own does all there is.
fn work_off(stage: &Stage, port: u16, protocol: &str) {
    let retry = "{maxAttempts: 2, delayTopics: [1s]}";
    let letters = format!("{{topic: {}.dlq, maxPercent: 100}}", stage.name);
    let delivery = format!("ordering: Unordered, concurrency: 1, retry: {retry}, deadLetter: {letters}");
    let pipeline = stage.pipeline(port, &format!("-{protocol}"), &delivery);
    let pipeline = pipeline.replace("group-protocol: classic", &format!("group-protocol: {protocol}"));
    let mut worker = stage.start(&pipeline);
    let group = format!("{}-{protocol}", stage.name);
    let done = |group: &str, topic: &str| stage.try_is_done(group, topic).unwrap_or(false);
    let delayed = format!("{group}.retry");
    stage.wait("the end", || done(&group, &stage.name) && done(&delayed, &format!("{delayed}.1s")));
    assert_eq!(worker.stop(), Some(0));
}
