//! Worker processes beside a processor of the test's own, on the lab that all tests share (`LAB_DIR`).

#![allow(dead_code, reason = "each test program uses its part")]

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use penstock_chaos::cluster::{Cluster, Topic};
use penstock_chaos::error::Result;
use penstock_chaos::fleet::{Names, worker_program};
use penstock_chaos::history::{Commit, Forwarded};
use rdkafka::ClientConfig;
use rdkafka::message::Header;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rustix::process::{Pid, Signal, kill_process};

/// Longest wait for anything on a busy machine.
const LIMIT: Duration = Duration::from_secs(120);

/// What a test and its processor share.
pub(crate) fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a processor is asked, or a collector is told.
pub(crate) struct Request {
    pub(crate) path: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn body(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// A source topic with the story's name, and what belongs to it.
pub(crate) struct Stage {
    pub(crate) cluster: Cluster,
    pub(crate) name: String,
    pub(crate) partitions: i32,
    logs: PathBuf,
    started: Cell<u32>,
}

/// Kills its worker when it goes.
pub(crate) struct Worker(Child);

impl Worker {
    /// Tells it to stop, and waits for its end; its exit code.
    pub(crate) fn stop(&mut self) -> Option<i32> {
        kill_process(Pid::from_child(&self.0), Signal::TERM).unwrap();
        self.0.wait().unwrap().code()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}

impl Stage {
    pub(crate) fn new(story: &str, partitions: i32) -> Self {
        Self::of(Cluster::shared().unwrap(), story, partitions)
    }

    /// The same on a cluster of the test's own.
    pub(crate) fn of(cluster: Cluster, story: &str, partitions: i32) -> Self {
        let name = format!("{story}-{}", std::process::id());
        let logs = std::env::temp_dir().join(format!("penstock-{name}"));
        std::fs::create_dir_all(&logs).unwrap();
        cluster.create(&name, partitions, &[]).unwrap();
        Self { cluster, name, partitions, logs, started: Cell::new(0) }
    }

    /// A processor in the lab's network that answers each request with that status; its port.
    #[expect(clippy::unused_self, reason = "whoever has a stage is in that network")]
    pub(crate) fn serve(&self, answer: impl Fn(&Request) -> u16 + Send + Sync + 'static) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (port, answer) = (listener.local_addr().unwrap().port(), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, answer) = (stream.unwrap(), Arc::clone(&answer));
                std::thread::spawn(move || while exchange(&stream, &*answer).is_some() {});
            }
        });
        port
    }

    /// A pipeline from the topic to that port.
    pub(crate) fn pipeline(&self, port: u16, source: &str, delivery: &str) -> String {
        let (bootstrap, name) = (&self.cluster.bootstrap, &self.name);
        format!(
            "apiVersion: penstock.dev/v1alpha1
kind: ConsumerPipeline
metadata: {{name: story, namespace: chaos, annotations: {{penstock.dev/group-protocol: classic}}}}
spec:
  kafka:
    bootstrapServers: '{bootstrap}'
    properties: {{session.timeout.ms: '6000', heartbeat.interval.ms: '1000'}}
  source: {{topics: [{{name: {name}}}], groupId: {name}{source}}}
  processor: {{type: http, http: {{url: 'http://127.0.0.1:{port}/'}}}}
  delivery: {{{delivery}}}
"
        )
    }

    pub(crate) fn start(&self, pipeline: &str) -> Worker {
        self.start_with(pipeline, &[])
    }

    /// The same, with these variables in its environment.
    pub(crate) fn start_with(&self, pipeline: &str, environment: &[(&str, &str)]) -> Worker {
        self.start_program("penstock-worker", pipeline, environment)
    }

    /// The same of another program, built beside the worker: one with a handler of its own.
    pub(crate) fn start_program(&self, program: &str, pipeline: &str, environment: &[(&str, &str)]) -> Worker {
        let program = worker_program().unwrap().with_file_name(program);
        self.started.set(self.started.get() + 1);
        let number = self.started.get();
        let log = std::fs::File::create(self.logs.join(format!("{number}.log"))).unwrap();
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(program).arg("run").arg(self.file(pipeline));
        command.args(["--http", "127.0.0.1:0"]).arg("--termination-log").arg(self.logs.join(format!("{number}.end")));
        command.envs(environment.iter().copied());
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        Worker(command.spawn().unwrap())
    }

    /// Runs `penstock-worker redrive`; its last line.
    pub(crate) fn redrive(&self, pipeline: &str, arguments: &[&str]) -> String {
        self.redrive_told(pipeline, arguments).pop().unwrap()
    }

    /// The same; all that it says.
    pub(crate) fn redrive_told(&self, pipeline: &str, arguments: &[&str]) -> Vec<String> {
        let output = self.run_redrive(pipeline, arguments);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
    }

    /// The same, where it fails: its last line, and what it says of that.
    pub(crate) fn redrive_refused(&self, pipeline: &str, arguments: &[&str]) -> (String, String) {
        let output = self.run_redrive(pipeline, arguments);
        assert!(!output.status.success(), "{output:?}");
        let said = String::from_utf8(output.stdout).unwrap();
        (said.lines().last().unwrap().to_owned(), String::from_utf8(output.stderr).unwrap())
    }

    fn run_redrive(&self, pipeline: &str, arguments: &[&str]) -> Output {
        let mut command = Command::new(worker_program().unwrap());
        command.arg("redrive").arg(self.file(pipeline)).args(arguments).output().unwrap()
    }

    fn file(&self, pipeline: &str) -> PathBuf {
        let file = self.logs.join("pipeline.yaml");
        std::fs::write(&file, pipeline).unwrap();
        file
    }

    /// Writes records: partition, key and value.
    pub(crate) fn produce(&self, records: impl IntoIterator<Item = (i32, Option<String>, String)>) {
        self.produce_with(&[], records);
    }

    /// The same, each with these headers.
    pub(crate) fn produce_with(
        &self,
        headers: &[(&str, &str)],
        records: impl IntoIterator<Item = (i32, Option<String>, String)>,
    ) {
        let bootstrap = &self.cluster.bootstrap;
        let producer: BaseProducer = ClientConfig::new().set("bootstrap.servers", bootstrap).create().unwrap();
        for (partition, key, value) in records {
            let mut record: BaseRecord<'_, String, String> = BaseRecord::to(&self.name).payload(&value);
            record.key = key.as_ref();
            for &(key, value) in headers {
                let others = record.headers.take().unwrap_or_default();
                record.headers = Some(others.insert(Header { key, value: Some(value) }));
            }
            producer.send(record.partition(partition)).map_err(|(error, _)| error).unwrap();
        }
        producer.flush(Duration::from_secs(30)).unwrap();
    }

    /// Waits for something; where the logs are is said if it does not come.
    pub(crate) fn wait(&self, what: &str, mut done: impl FnMut() -> bool) {
        let end = Instant::now() + LIMIT;
        while !done() {
            assert!(Instant::now() < end, "{what}: not within {LIMIT:?}; logs are in {}", self.logs.display());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Everything that was written to a topic is done by its group.
    pub(crate) fn is_done(&self, group: &str, topic: &str) -> bool {
        self.try_is_done(group, topic).unwrap()
    }

    /// The same, of a broker that may be away.
    pub(crate) fn try_is_done(&self, group: &str, topic: &str) -> Result<bool> {
        let ends = self.cluster.ends(topic, self.partitions)?;
        Ok(self.cluster.committed(group, topic, self.partitions).is_some_and(|committed| committed == ends))
    }

    fn names(&self) -> Names {
        let (sources, letters) = (vec![self.name.clone()], format!("{}.dlq", self.name));
        Names { sources, letters, output: String::new(), group: self.name.clone() }
    }

    /// The dead letters, partition by partition in their order.
    pub(crate) fn letters(&self) -> Vec<Forwarded> {
        let names = self.names();
        let topic = Topic { name: &names.letters, partitions: self.partitions, committed: true };
        self.cluster.read_forwarded(topic, &names, false).unwrap()
    }

    /// Every commit of the group.
    pub(crate) fn commits(&self) -> Vec<Commit> {
        self.cluster.read_commits(&self.names(), &[]).unwrap()
    }

    /// What its workers logged.
    pub(crate) fn log(&self) -> String {
        let of = |number| std::fs::read_to_string(self.logs.join(format!("{number}.log"))).unwrap();
        (1..=self.started.get()).map(of).collect()
    }

    /// It went well: nobody needs the logs.
    pub(crate) fn end(self) -> Cluster {
        std::fs::remove_dir_all(&self.logs).unwrap();
        self.cluster
    }
}

/// One request and its answer; `None` when the connection has ended.
fn exchange(mut stream: &TcpStream, answer: impl Fn(&Request) -> u16) -> Option<()> {
    let mut reader = BufReader::with_capacity(1, stream); // takes nothing of the next request
    let mut next_line = || {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        Some(line.trim().to_owned())
    };
    let path = next_line()?.split(' ').nth(1)?.to_owned();
    let mut headers = BTreeMap::new();
    loop {
        let line = next_line()?;
        match line.split_once(':') {
            Some((name, value)) => headers.insert(name.to_lowercase(), value.trim().to_owned()),
            None if line.is_empty() => break,
            None => None,
        };
    }
    let mut body = vec![0; headers.get("content-length")?.parse().ok()?];
    reader.read_exact(&mut body).ok()?;
    let status = answer(&Request { path, headers, body });
    stream.write_all(format!("HTTP/1.1 {status} .\r\ncontent-length: 0\r\n\r\n").as_bytes()).ok()
}
