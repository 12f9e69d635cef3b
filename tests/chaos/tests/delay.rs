//! Delay topics on a real broker, on the lab that all tests share (`LAB_DIR`): records that fail wait in two topics, workers are
//! killed meanwhile, and each record comes back as itself.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use penstock_chaos::cluster::{Cluster, Topic};
use penstock_chaos::fleet::{Names, worker_program};
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

const PARTITIONS: i32 = 2;
const RECORDS: usize = 300;
/// Every so many-th record always fails.
const POISON: usize = 25;
const ATTEMPTS: u32 = 4;
/// The shorter of the two delays.
const DELAY: Duration = Duration::from_secs(1);
/// Longest wait for everything to be done on a busy machine.
const LIMIT: Duration = Duration::from_secs(120);

/// What the processor saw of one record.
#[derive(Debug, Default)]
struct Seen {
    /// `penstock-attempt` of each call, and when it came.
    calls: Vec<(u32, Instant)>,
    taken: u32,
    topic: String,
    leaked: bool,
}

/// By idempotency key.
type Book = Arc<Mutex<BTreeMap<String, Seen>>>;

fn lock(book: &Book) -> MutexGuard<'_, BTreeMap<String, Seen>> {
    book.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Fails each record's first two calls, and poison always.
fn serve(book: &Book) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (port, book) = (listener.local_addr().unwrap().port(), Arc::clone(book));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, book) = (stream.unwrap(), Arc::clone(&book));
            std::thread::spawn(move || while answer(&stream, &book).is_some() {});
        }
    });
    port
}

/// One request; `None` when the connection has ended.
fn answer(mut stream: &TcpStream, book: &Book) -> Option<()> {
    let mut reader = BufReader::with_capacity(1, stream); // takes nothing of the next request
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        match line.trim().split_once(':') {
            Some((name, value)) => headers.insert(name.to_lowercase(), value.trim().to_owned()),
            None if line.trim().is_empty() => break,
            None => None,
        };
    }
    let mut body = vec![0; headers.get("content-length")?.parse().ok()?];
    reader.read_exact(&mut body).ok()?;
    let mut book = lock(book);
    let seen = book.entry(headers["idempotency-key"].clone()).or_default();
    seen.calls.push((headers["penstock-attempt"].parse().ok()?, Instant::now()));
    seen.topic.clone_from(&headers["penstock-topic"]);
    seen.leaked |= headers.values().any(|value| value.contains("penstock.origin") || value.contains("penstock.id"));
    let fails = body.starts_with(b"poison") || seen.calls.len() < 3;
    seen.taken += u32::from(!fails);
    drop(book);
    let status = if fails { "500 Internal Server Error" } else { "200 OK" };
    stream.write_all(format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").as_bytes()).ok()
}

/// Kills its worker when it goes.
struct Worker(Child);

impl Worker {
    fn start(folder: &Path, number: u32, pipeline: &str) -> Self {
        let file = folder.join(format!("{number}.yaml"));
        std::fs::write(&file, pipeline).unwrap();
        let log = std::fs::File::create(folder.join(format!("{number}.log"))).unwrap();
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(worker_program().unwrap()).arg("run").arg(&file);
        command.args(["--http", "127.0.0.1:0"]).arg("--termination-log").arg(folder.join(format!("{number}.end")));
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        Self(command.spawn().unwrap())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}

fn pipeline(bootstrap: &str, name: &str, port: u16) -> String {
    format!(
        "apiVersion: penstock.dev/v1alpha1
kind: ConsumerPipeline
metadata: {{name: delay, namespace: chaos, annotations: {{penstock.dev/group-protocol: classic}}}}
spec:
  kafka:
    bootstrapServers: '{bootstrap}'
    properties: {{session.timeout.ms: '6000', heartbeat.interval.ms: '1000'}}
  source: {{topics: [{{name: {name}}}], groupId: {name}}}
  processor: {{type: http, http: {{url: 'http://127.0.0.1:{port}/'}}}}
  delivery:
    ordering: Unordered
    concurrency: 16
    retry: {{maxAttempts: {ATTEMPTS}, delayTopics: [{}s, 2s]}}
    deadLetter: {{maxPercent: 100}}
",
        DELAY.as_secs()
    )
}

fn produce(bootstrap: &str, topic: &str) {
    let producer: BaseProducer = ClientConfig::new().set("bootstrap.servers", bootstrap).create().unwrap();
    for number in 0..RECORDS {
        let kind = if number % POISON == 0 { "poison" } else { "good" };
        let (value, partition) = (format!("{kind} {number}"), i32::try_from(number).unwrap() % PARTITIONS);
        let record: BaseRecord<'_, (), String> = BaseRecord::to(topic).payload(&value).partition(partition);
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(Duration::from_secs(30)).unwrap();
}

/// Everything that was written to a topic is done by its group.
fn is_done(cluster: &Cluster, group: &str, topic: &str) -> bool {
    let ends = cluster.ends(topic, PARTITIONS).unwrap();
    cluster.committed(group, topic, PARTITIONS).is_some_and(|committed| committed == ends)
}

fn wait(what: &str, logs: &Path, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + LIMIT;
    while !done() {
        assert!(Instant::now() < end, "{what}: not within {LIMIT:?}; logs are in {}", logs.display());
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn records_wait_in_delay_topics_and_come_back_as_themselves() {
    let cluster = Cluster::shared().unwrap();
    let name = format!("delay-{}", std::process::id());
    let logs: PathBuf = std::env::temp_dir().join(format!("penstock-{name}"));
    std::fs::create_dir_all(&logs).unwrap();
    cluster.create(&name, PARTITIONS, &[]).unwrap();
    produce(&cluster.bootstrap, &name);
    let book = Book::default();
    let pipeline = pipeline(&cluster.bootstrap, &name, serve(&book));

    let first = Worker::start(&logs, 1, &pipeline);
    wait("a third of the calls", &logs, || {
        lock(&book).values().filter(|seen| seen.calls.len() >= 2).count() >= RECORDS / 3
    });
    drop(first);
    let second = Worker::start(&logs, 2, &pipeline);
    let topics = [format!("{name}.retry.1s"), format!("{name}.retry.2s")];
    let retry = format!("{name}.retry");
    wait("the end", &logs, || {
        let ended = |seen: &Seen| seen.taken > 0 || seen.calls.iter().any(|(attempt, _)| *attempt == ATTEMPTS);
        lock(&book).values().filter(|seen| ended(seen)).count() == RECORDS
            && is_done(&cluster, &name, &name)
            && topics.iter().all(|topic| is_done(&cluster, &retry, topic))
    });
    drop(second);

    let names = Names {
        sources: vec![name.clone()],
        letters: format!("{name}.dlq"),
        output: String::new(),
        group: name.clone(),
    };
    let letters = Topic { name: &names.letters, partitions: PARTITIONS, committed: true };
    let mut letters: Vec<_> = cluster
        .read_forwarded(letters, &names, false)
        .unwrap()
        .into_iter()
        .map(|letter| (letter.tp.partition, letter.offset, letter.landed))
        .collect();
    letters.sort_unstable();
    letters.dedup();
    let poison = (0..RECORDS).step_by(POISON).map(|number| {
        let (number, partitions) = (i64::try_from(number).unwrap(), i64::from(PARTITIONS));
        let partition = i32::try_from(number % partitions).unwrap();
        (partition, number / partitions, partition)
    });
    let mut poison: Vec<_> = poison.collect();
    poison.sort_unstable();
    assert_eq!(letters, poison, "dead letters name the source's partition and offset, and lie in that partition");
    judge(&lock(&book), &name);
    std::fs::remove_dir_all(logs).unwrap();
}

/// Every record was called under its own name, with attempts that rise, and not before its time.
fn judge(book: &BTreeMap<String, Seen>, name: &str) {
    assert_eq!(book.len(), RECORDS, "no record has two names");
    for (id, seen) in book {
        assert!(seen.topic == name && !seen.leaked, "{id}: {seen:?}");
        let highest = seen.calls.iter().map(|(attempt, _)| *attempt).max();
        assert!(highest <= Some(ATTEMPTS), "{id}: {seen:?}");
        let first_of = |wanted| seen.calls.iter().find(|(attempt, _)| *attempt == wanted).map(|(_, at)| *at);
        for attempt in 1..highest.unwrap_or_default() {
            // An attempt that a kill wiped out is made again under its number; each number was reached by waiting.
            let (Some(before), Some(next)) = (first_of(attempt), first_of(attempt + 1)) else {
                panic!("{id}: {seen:?}");
            };
            assert!(next.duration_since(before) >= DELAY * 9 / 10, "{id} came too soon: {seen:?}");
        }
    }
}
