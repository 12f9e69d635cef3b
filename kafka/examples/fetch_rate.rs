//! How fast records leave librdkafka: `Consumer::fetch` into an arena beside a bare `rd_kafka_consumer_poll` loop.
//! `cargo run --release -p penstock-kafka --example fetch_rate -- HOST:PORT [RECORDS] [BYTES]`; it makes a topic of its own.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a measurement"
)]

use std::collections::BTreeMap;
use std::ffi::CString;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use penstock_kafka::TopicPartition;
use penstock_kafka::admin::{AdminClient, NewTopic};
use penstock_kafka::consumer::{Consumer, FetchLimit, StartAt};
use penstock_kafka::memory::{Load, RECORD_BYTES, fetch_buffers};
use penstock_kafka::producer::{OutgoingRecord, Producer, SendError};
use penstock_kafka::record::{BorrowedRecord, RecordBatch, RecordSink};
use penstock_kafka::settings::{Connection, ConsumerSettings, GroupProtocol};
use penstock_kafka::wake::pair;

const PARTITIONS: i32 = 6;
const PATIENCE: Duration = Duration::from_mins(1);

fn main() {
    let mut arguments = std::env::args().skip(1);
    let bootstrap = arguments.next().expect("HOST:PORT");
    let records: usize = arguments.next().map_or(2_000_000, |count| count.parse().unwrap());
    let bytes: usize = arguments.next().map_or(100, |size| size.parse().unwrap());
    let connection = Connection::resolve(Some(&bootstrap), None, None, &BTreeMap::new()).unwrap();
    let topic = format!("rate-{}", SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis());
    fill(&connection, &topic, records, bytes);
    for round in 1..=3 {
        bare(&bootstrap, &topic, records, round);
        let mut batch = RecordBatch::with_capacity(1024, 1 << 20);
        split(&connection, &topic, records, round, "fetch into an arena", &mut batch, RecordBatch::clear);
        split(&connection, &topic, records, round, "fetch, bytes not copied", &mut Untouched, |_| ());
    }
}

struct Untouched;

impl RecordSink for Untouched {
    fn accept(&mut self, _record: BorrowedRecord<'_>) {}
}

fn fill(connection: &Connection, topic: &str, records: usize, bytes: usize) {
    let admin = AdminClient::new(&connection.admin("rate")).unwrap();
    let new = NewTopic {
        name: topic.to_owned(),
        partitions: PARTITIONS.try_into().ok(),
        replication_factor: Some(1),
        config: BTreeMap::new(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let created = runtime.block_on(admin.create_topics(&[new], PATIENCE)).unwrap();
    assert_eq!(created[0].1, Ok(()));
    let (sleeper, waker) = pair();
    let mut producer = Producer::new(&connection.producer("rate"), waker).unwrap();
    let value = vec![7; bytes];
    for number in 0..records {
        let partition = i32::try_from(number % 6).ok();
        let record =
            OutgoingRecord { topic, partition, key: Some(b"key"), value: Some(&value), headers: &[], timestamp: None };
        while let Err(error) = producer.send(&record, number as u64) {
            assert_eq!(error, SendError::Full);
            runtime.block_on(sleeper.sleep_unless(|| producer.maybe_ready(), || Duration::from_millis(50)));
            while producer.next_event().is_some() {}
        }
    }
    assert!(producer.flush(PATIENCE, |_| ()));
}

fn settings() -> ConsumerSettings {
    ConsumerSettings {
        group_id: "rate".to_owned(),
        protocol: GroupProtocol::Consumer,
        client_id: "rate".to_owned(),
        rack: None,
        read_committed: true,
        max_poll_interval: Duration::from_mins(5),
        session_timeout: Duration::from_secs(45),
        buffers: fetch_buffers(256 << 20, &Load { partitions: 6, brokers: 1, record_bytes: RECORD_BYTES }),
    }
}

fn report(what: &str, round: u32, records: usize, since: Instant, cpu: Duration) {
    let cpu = cpu_time().saturating_sub(cpu);
    let seconds = since.elapsed().as_secs_f64();
    println!(
        "{round} {what:<28} {:>9.0} records/s   {:.2} µs of CPU a record (all threads)",
        records as f64 / seconds,
        cpu.as_secs_f64() * 1e6 / records as f64
    );
}

fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap())
}

fn split<S: RecordSink>(
    connection: &Connection,
    topic: &str,
    records: usize,
    round: u32,
    what: &str,
    sink: &mut S,
    clear: impl Fn(&mut S),
) {
    let (sleeper, waker) = pair();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let mut consumer = Consumer::new(&connection.consumer(&settings()), waker).unwrap();
    let partitions: Vec<_> = (0..PARTITIONS).map(|number| TopicPartition::new(topic, number)).collect();
    let starts: Vec<_> = partitions
        .iter()
        .map(|partition| StartAt { partition: partition.clone(), offset: 0, leader_epoch: None })
        .collect();
    consumer.assign(&starts).unwrap();
    let limit = FetchLimit { max_records: 1024, max_bytes: 1 << 20 };
    let (mut seen, mut start, mut cpu) = (0, Instant::now(), cpu_time());
    while seen < records {
        let mut found = 0;
        for partition in &partitions {
            if consumer.maybe_ready(partition) {
                clear(sink);
                found += consumer.fetch(partition, limit, sink).records;
            }
        }
        if seen == 0 && found > 0 {
            (start, cpu) = (Instant::now(), cpu_time());
        }
        seen += found;
        while consumer.next_event().is_some() {}
        if found == 0 {
            runtime.block_on(sleeper.sleep_unless(|| consumer.any_ready(|_| true), || Duration::from_millis(50)));
        }
    }
    report(what, round, records, start, cpu);
}

#[expect(unsafe_code, reason = "the yardstick is librdkafka's own loop")]
fn bare(bootstrap: &str, topic: &str, records: usize, round: u32) {
    use rdkafka_sys::bindings as sys;
    let buffers = fetch_buffers(256 << 20, &Load { partitions: 1, brokers: 1, record_bytes: RECORD_BYTES });
    let properties = [
        ("bootstrap.servers", bootstrap.to_owned()),
        ("group.id", "rate-bare".to_owned()),
        ("enable.auto.commit", "false".to_owned()),
        ("fetch.queue.backoff.ms", "20".to_owned()),
        ("check.crcs", "true".to_owned()),
        ("queued.min.messages", "60000".to_owned()),
        ("queued.max.messages.kbytes", (buffers.queued_bytes_per_partition / 1024).to_string()),
    ];
    let topic = CString::new(topic).unwrap();
    // SAFETY: as librdkafka's examples do it; every pointer is used before it is destroyed.
    unsafe {
        let conf = sys::rd_kafka_conf_new();
        for (name, value) in properties {
            let (name, value) = (CString::new(name).unwrap(), CString::new(value).unwrap());
            sys::rd_kafka_conf_set(conf, name.as_ptr(), value.as_ptr(), std::ptr::null_mut(), 0);
        }
        let client = sys::rd_kafka_new(sys::rd_kafka_type_t::RD_KAFKA_CONSUMER, conf, std::ptr::null_mut(), 0);
        sys::rd_kafka_poll_set_consumer(client);
        let list = sys::rd_kafka_topic_partition_list_new(PARTITIONS);
        for partition in 0..PARTITIONS {
            (*sys::rd_kafka_topic_partition_list_add(list, topic.as_ptr(), partition)).offset = 0;
        }
        sys::rd_kafka_assign(client, list);
        sys::rd_kafka_topic_partition_list_destroy(list);
        let (mut seen, mut start, mut cpu) = (0, Instant::now(), cpu_time());
        while seen < records {
            let message = sys::rd_kafka_consumer_poll(client, 100);
            if message.is_null() {
                continue;
            }
            assert!((*message).err == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR);
            if seen == 0 {
                (start, cpu) = (Instant::now(), cpu_time());
            }
            seen += 1;
            sys::rd_kafka_message_destroy(message);
        }
        report("bare rd_kafka_consumer_poll", round, records, start, cpu);
        sys::rd_kafka_destroy(client);
    }
}
