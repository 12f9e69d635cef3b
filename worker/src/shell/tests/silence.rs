//! A partition that falls silent in earnest: librdkafka itself under the shell, and its own mock cluster.
//!
//! Time is an argument here too, so that half a minute of silence takes no longer than thirty turns. The mock cluster has no controller,
//! which is whom librdkafka asks about topics: where partitions begin is told by the test.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use penstock_crds::spec::{StartFromSpec, StartPosition};
use penstock_engine::seam::{Loaded, TopicId, Tp};
use penstock_engine::{Engine, Event, Instant, Policy};
use penstock_kafka::TopicPartition;
use penstock_kafka::admin::{AdminClient, Isolation};
use penstock_kafka::memory::{Load, RECORD_BYTES, fetch_buffers};
use penstock_kafka::producer::{OutgoingRecord, Producer, ProducerEvent};
use penstock_kafka::settings::{Connection, ConsumerSettings, GroupProtocol};
use penstock_kafka::wake::{Waker, pair};
use tokio::runtime::{Builder, Runtime};

use super::super::run::Clock;
use super::super::state::State;
use super::super::{Settings, Shell};
use super::recoveries;
use crate::kafka::{Beginnings, Directory, KafkaIo, Librdkafka, Settings as KafkaSettings};
use crate::metrics::Metrics;
use crate::processor::Discard;

const TOPIC: &str = "orders";
/// As many as the mock cluster gives a topic that is made by being written.
const PARTITIONS: u32 = 4;
/// Records that are written at a time.
const RECORDS: u64 = 20;
/// Longest wait for anything, in earnest.
const PATIENCE: Duration = Duration::from_secs(30);
const TURN: Duration = Duration::from_millis(1);

/// The shell with a real client.
struct Live {
    shell: Shell<Librdkafka, Discard>,
    clock: Clock,
    /// By how much the shell's time is ahead of the clock.
    ahead: Duration,
    /// The partition that is written.
    written: (Tp, TopicPartition),
    /// The cluster lives as long as this.
    producer: Producer,
    _tasks: Runtime,
}

impl Live {
    /// A worker that has been given all partitions, the first of which has records.
    fn new() -> Self {
        let (_sleeper, waker) = pair();
        let (mut producer, bootstrap) = cluster(waker.clone());
        write(&mut producer);
        let (kafka, directory) = client(&bootstrap);
        let tasks = Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap();
        let clock = Clock::start();
        let io = Librdkafka::join(kafka, directory, clock, (tasks.handle().clone(), waker)).unwrap();
        let settings = Settings {
            pipeline: "shop/orders".to_owned(),
            drain: Duration::from_secs(2),
            dead_letter: None,
            delay_topics: Vec::new(),
            output: None,
            metadata_limit: Some(4096),
            forward_slots: 64,
        };
        let (metrics, state) = (Arc::new(Metrics::new().unwrap()), Arc::new(State::default()));
        let parts = (io, Discard::default(), Engine::new(Policy::default()));
        let mut shell = Shell::new(parts, settings, metrics, state, clock.now());
        let name = TopicPartition::new(TOPIC, 0);
        let written = (shell.partitions.number(&name), name);
        let mut live = Self { shell, clock, ahead: Duration::ZERO, written, producer, _tasks: tasks };
        live.begin();
        live
    }

    /// Waits for the group to give partitions, and says that they begin at their logs' starts.
    fn begin(&mut self) {
        let given = self.turn_until(Duration::ZERO, |live| live.shell.partitions.owned().len() == PARTITIONS as usize);
        assert!(given, "the group gave {:?}", self.shell.partitions.owned());
        let (now, seq) = (self.now(), self.shell.assignments.seq());
        for tp in self.shell.partitions.owned() {
            let (cluster_id, topic_id, metadata) = ("c".into(), TopicId(1), String::new());
            let loaded = Loaded { cluster_id, topic_id, offset: 0, leader_epoch: -1, metadata };
            self.shell.tell(Event::CheckpointLoaded { tp, seq, result: Ok(loaded) }, now);
        }
    }

    fn now(&self) -> Instant {
        self.clock.now() + self.ahead
    }

    /// One turn, before which the shell's time goes on by so much beside what passes anyway.
    fn turn(&mut self, more: Duration) {
        self.ahead += more;
        let now = self.now();
        self.shell.turn(now);
        std::thread::sleep(TURN);
    }

    /// Turns until that is so; false if it never is.
    fn turn_until(&mut self, more: Duration, so: impl Fn(&Self) -> bool) -> bool {
        let deadline = std::time::Instant::now() + PATIENCE;
        while !so(self) {
            if std::time::Instant::now() >= deadline {
                return false;
            }
            self.turn(more);
        }
        true
    }

    /// So many records are done, and committed as such.
    fn is_done(&self, records: u64) -> bool {
        let mut partitions = self.shell.engine.partitions(self.now());
        let committed = partitions.find(|one| one.tp == self.written.0).map(|one| one.committed.cast_unsigned());
        self.shell.engine.counters().acknowledged == records && committed == Some(records)
    }
}

/// What librdkafka logs.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A producer that brings a mock cluster with it, and where that listens, which it says in its log alone.
fn cluster(waker: Waker) -> (Producer, String) {
    let log = Log::default();
    let heard = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || heard.clone()).finish();
    let properties = BTreeMap::from([("test.mock.num.brokers".to_owned(), "1".to_owned())]);
    let connection = Connection::resolve(Some("127.0.0.1:1"), None, None, &properties).unwrap();
    let make = || Producer::new(&connection.producer("mock"), waker).unwrap();
    let producer = tracing::subscriber::with_default(subscriber, make);
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let (_, address) = text.split_once("replaced with ").unwrap();
    (producer, address.split_whitespace().next().unwrap().to_owned())
}

/// Writes records to the first partition.
fn write(producer: &mut Producer) {
    let record = OutgoingRecord {
        topic: TOPIC,
        partition: Some(0),
        key: None,
        value: Some(b"value"),
        headers: &[],
        timestamp: None,
    };
    for token in 0..RECORDS {
        producer.send(&record, token).unwrap();
    }
    let hear = |event: ProducerEvent| assert!(!matches!(event, ProducerEvent::Failed { .. }), "{event:?}");
    assert!(producer.flush(PATIENCE, hear));
}

/// What a worker would be told of the cluster.
fn client(bootstrap: &str) -> (KafkaSettings, Directory) {
    let connection = Connection::resolve(Some(bootstrap), None, None, &BTreeMap::new()).unwrap();
    let load = Load { partitions: PARTITIONS, brokers: 1, record_bytes: RECORD_BYTES };
    let consumer = ConsumerSettings {
        group_id: "g".to_owned(),
        protocol: GroupProtocol::Consumer,
        client_id: "worker".to_owned(),
        rack: None,
        read_committed: true,
        max_poll_interval: Duration::from_mins(5),
        session_timeout: Duration::from_secs(45),
        buffers: fetch_buffers(64 << 20, &load),
    };
    let start_from = StartFromSpec { position: StartPosition::Earliest, timestamp: None };
    let directory = Directory {
        admin: AdminClient::new(&connection.admin("worker")).unwrap(),
        cluster_id: "c".into(),
        group: "g".into(),
        isolation: Isolation::ReadCommitted,
        beginnings: Arc::new(Beginnings { start_from, pinned_topics: BTreeSet::new() }),
    };
    let topics = vec![TOPIC.to_owned()];
    let written = BTreeMap::new();
    (KafkaSettings { connection, consumer, probe_protocol: false, topics, written, delays: None }, directory)
}

#[test]
fn a_partition_that_librdkafka_has_stopped_reading_goes_on_in_the_same_client() {
    let mut live = Live::new();
    assert!(live.turn_until(Duration::ZERO, |live| live.is_done(RECORDS)), "{:?}", live.shell.engine.counters());

    // Behind the shell's back, to which the partition looks as before: it owns it, there is credit, and nothing comes.
    live.shell.io.unassign(std::slice::from_ref(&live.written.1)).unwrap();
    write(&mut live.producer);
    (0..1000).for_each(|_| live.turn(Duration::ZERO)); // a fetch that finds nothing takes half a second
    assert_eq!(live.shell.metrics.records_received.get(), RECORDS, "it is silent");
    assert_eq!(recoveries(&live.shell.metrics), [0, 0, 0], "not at once");

    let cured = |live: &Live| recoveries(&live.shell.metrics) != [0, 0, 0];
    assert!(live.turn_until(Duration::from_secs(1), cured), "nobody noticed");
    assert!(live.turn_until(Duration::ZERO, |live| live.is_done(2 * RECORDS)), "{:?}", live.shell.engine.counters());
    assert_eq!(live.shell.engine.counters().received, 2 * RECORDS, "what came again was passed over");
    assert_eq!(recoveries(&live.shell.metrics), [0, 1, 0]);
    assert_eq!(live.shell.metrics.clients_rebuilt.with_label_values(&["consumer"]).get(), 0);
}
