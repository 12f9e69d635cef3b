//! A worker keeps to its memory (L5), whatever the records are like. The kernel is the judge: it ends a container that takes more
//! than its limit.

use std::time::Duration;

use penstock_e2e::service::Service;
use penstock_e2e::wait::until_true;
use serde_json::{Value, json};

use crate::stage::{START, Stage};

/// As `max.message.bytes` of the topic allows.
const LARGE_BYTES: usize = 10_000_000;
const LARGE: usize = 12;
/// A fetch is bounded by its bytes on the wire, so it could bring any number of these: one for each partition here.
const BOMBS: usize = 4;
const KEYS: usize = 10_000;
const HOT: usize = 20_000;
/// MiB with one record each of a key that waits: more than the worker has, should that record keep all that came with it.
const STRETCHES: usize = 160;
/// Records of other keys in each.
const STRETCH: usize = 127;
const STRETCH_RECORD_BYTES: usize = 8192;
/// A few hundred MB over HTTP on two cores, and whatever other tests do meanwhile.
const WORK: Duration = Duration::from_secs(240);

/// Bytes that no compression makes smaller: a generator of Marsaglia's (xorshift64).
fn noise(seed: u64, bytes: usize) -> Vec<u8> {
    let mut state = seed;
    let words = (0..bytes / 8).flat_map(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.collect()
}

/// Times that containers of the pipeline's pods were started again, and why they ended.
fn restarts(stage: &Stage) -> Vec<String> {
    let pods = stage.cluster().get(&stage.namespace, ["pods"]).unwrap();
    let containers =
        pods["items"].as_array().unwrap().iter().filter_map(|pod| pod["status"]["containerStatuses"].as_array());
    let again = containers.flatten().filter(|container| container["restartCount"].as_u64() != Some(0));
    again.map(|container| container["lastState"].to_string()).collect()
}

/// A pipeline of one worker that has so much memory, and minutes for a call.
fn one_worker(stage: &Stage, topic: &str, service: &Service, memory: &str) -> Value {
    let mut manifest = stage.discarding("orders", topic);
    manifest["spec"]["processor"] = json!({"type": "http", "http": {"url": service.url()}});
    manifest["spec"]["delivery"] = json!({"timeout": "5m"});
    manifest["spec"]["scaling"] = json!({"maxReplicas": 1});
    manifest["spec"]["worker"] = json!({
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": memory}},
        "terminationGracePeriodSeconds": 330,
    });
    manifest
}

#[test]
fn large_records_many_keys_a_hot_key_and_a_call_of_minutes_fit_in_a_worker() {
    let stage = Stage::beside_others("memory");
    let topic = stage.topic("orders");
    stage.brokers().delete(&topic).unwrap();
    stage.brokers().create(&topic, 4, &[("max.message.bytes", "12000000")]).unwrap();
    let host = stage.brokers().bootstrap_servers().split(':').next().unwrap().to_owned();
    let service = Service::start(&host).unwrap();
    service.hold(&["slow"]);
    // The limit that a worker has by default.
    let manifest = one_worker(&stage, &topic, &service, "256Mi");

    // Some of the large ones are sent as they are, others as next to nothing that unpacks to as much.
    let zeros = vec![0; LARGE_BYTES];
    let slow = [("slow".to_owned(), b"0".to_vec())];
    let noisy = (1..=LARGE).map(|n| (format!("noisy-{n}"), noise(n as u64, LARGE_BYTES)));
    let bombs = (1..=BOMBS).map(|n| (format!("bomb-{n}"), zeros.clone()));
    let many = (0..KEYS).map(|n| (format!("key-{n}"), vec![b'x'; 100]));
    let same = (0..HOT).map(|_| ("hot".to_owned(), vec![b'x'; 100]));
    let records = slow.into_iter().chain(noisy).chain(bombs).chain(many).chain(same);
    stage.brokers().produce(&topic, records.map(|(key, value)| (Some(key), value))).unwrap();

    let pipeline = stage.applied(&manifest);
    let others = (LARGE + BOMBS + KEYS + HOT) as u64;
    until_true("all but the call of minutes", WORK, || Ok(service.taken_in_all() >= others)).unwrap();
    assert_eq!(service.taken("slow"), 0);
    assert_eq!(restarts(&stage), [] as [String; 0], "a container was ended while one call took its time");
    service.hold(&[]);
    pipeline.until("all done", START, |status| status.lag() == Some(0) && status.is_ready()).unwrap();
    assert_eq!((service.taken("slow"), service.taken_in_all()), (1, others + 1), "every record once");
    assert_eq!(restarts(&stage), [] as [String; 0], "a container was ended");
}

#[test]
fn a_key_that_waits_keeps_no_more_than_its_own_records() {
    let stage = Stage::beside_others("pinned");
    let topic = stage.topic("orders");
    stage.brokers().delete(&topic).unwrap();
    stage.brokers().create(&topic, 1, &[]).unwrap();
    let host = stage.brokers().bootstrap_servers().split(':').next().unwrap().to_owned();
    let service = Service::start(&host).unwrap();
    service.hold(&["slow"]);
    let manifest = one_worker(&stage, &topic, &service, "128Mi");
    let records = (0..STRETCHES).flat_map(|stretch| {
        // What packs well would come all at once.
        let values = noise(stretch as u64 + 1, STRETCH * STRETCH_RECORD_BYTES);
        let named = |(n, value): (usize, &[u8])| (format!("key-{stretch}-{n}"), value.to_vec());
        let others: Vec<_> = values.chunks(STRETCH_RECORD_BYTES).enumerate().map(named).collect();
        std::iter::once(("slow".to_owned(), b"0".to_vec())).chain(others)
    });
    stage.brokers().produce(&topic, records.map(|(key, value)| (Some(key), value))).unwrap();

    let pipeline = stage.applied(&manifest);
    let others = (STRETCHES * STRETCH) as u64;
    until_true("all but the key that waits", WORK, || Ok(service.taken_in_all() >= others)).unwrap();
    assert_eq!(service.taken("slow"), 0);
    assert_eq!(restarts(&stage), [] as [String; 0], "a container was ended while a key waited");
    service.hold(&[]);
    pipeline.until("all done", START, |status| status.lag() == Some(0) && status.is_ready()).unwrap();
    let slow = STRETCHES as u64;
    assert_eq!((service.taken("slow"), service.taken_in_all()), (slow, others + slow), "every record once");
    assert_eq!(restarts(&stage), [] as [String; 0], "a container was ended");
}
