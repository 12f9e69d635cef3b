//! The example processors of docs/examples keep the contract: each is started as its first line says and asked the same.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod client;

use std::net::Ipv4Addr;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering::SeqCst};
use std::time::{Duration, Instant};

use penstock_engine::seam::{NewRecord, Outcome, OutputRecord};
use penstock_worker::processor::{Address, Form};
use serde_json::{Value, json};
use tokio::net::TcpSocket;
use tokio::runtime::Runtime;

use crate::client::{Client, Headers, runtime};

/// Compiling the Go example takes some seconds the first time.
const START_MAX: Duration = Duration::from_secs(120);

/// A port below those that the kernel gives to connections: one that connects to itself would look like a server. Nor is it listened
/// on to see whether it is free: a process that another test is starting has a copy of that socket until it becomes its program, and
/// would look like a server too, which breaks the first call.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = u16::try_from(std::process::id() % 1000).unwrap() * 10;
    let free = |port: &u16| TcpSocket::new_v4().unwrap().bind((Ipv4Addr::LOCALHOST, *port).into()).is_ok();
    std::iter::repeat_with(|| 20_000 + (first + NEXT.fetch_add(1, SeqCst)) % 10_000).find(free).unwrap()
}

/// A server in a process of its own; gone when this goes.
struct Server {
    address: Address,
    process: Child,
    runtime: Runtime,
    client: Client,
    batching: Client,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        if let Address::Unix(path) = &self.address {
            std::fs::remove_file(path).unwrap();
        }
    }
}

impl Server {
    /// At a port.
    fn start(program: &str, arguments: &[&str]) -> Self {
        let port = free_port();
        Self::start_at(Address::Tcp(format!("127.0.0.1:{port}")), program, arguments, &port.to_string())
    }

    /// At a Unix socket, where one that ended before has left its file.
    fn start_at_socket(program: &str, arguments: &[&str]) -> Self {
        let path = std::env::temp_dir()
            .join(format!("penstock-example-{}-{program}.sock", std::process::id()).replace('/', "-"));
        drop(UnixListener::bind(&path).unwrap());
        Self::start_at(Address::Unix(path.clone()), program, arguments, path.to_str().unwrap())
    }

    fn start_at(address: Address, program: &str, arguments: &[&str], place: &str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/examples/processors");
        let mut command = Command::new(program);
        command.args(arguments).arg(place).current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null());
        let mut process = command.spawn().unwrap_or_else(|error| panic!("{program} is needed for this test: {error}"));
        let runtime = runtime();
        let began = Instant::now();
        while runtime.block_on(address.answers(Duration::from_secs(1))).is_err() {
            assert!(process.try_wait().unwrap().is_none(), "{program} ended");
            assert!(began.elapsed() < START_MAX, "{program} does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        let (client, batching) = (Client::at(&address, Form::Single), Client::at(&address, Form::Batch));
        Self { address, process, runtime, client, batching }
    }

    fn order(&mut self, key: Option<&[u8]>, headers: Headers<'_>) -> OutputRecord {
        let new = NewRecord { key, value: Some(br#"{"amount": "12.50"}"#), ..NewRecord::default() };
        match self.client.call(new, headers) {
            Outcome::AckWith(output) => output.records.into_iter().next().unwrap(),
            other => panic!("{other:?}"),
        }
    }

    /// What they promise of batches: the same, record by record, and nothing behind a failure of its key.
    fn takes_batches(&mut self) {
        let order = Some(&br#"{"amount": "12.50"}"#[..]);
        let headers: Headers<'_> = &[(b"a", Some(b"1")), (b"a", Some(b"")), (b"\xfe", None)];
        let records = [
            (keyed(b"\xff\0 +%", order), headers),
            (keyed(b"gone", None), &[]),
            (keyed(b"bad", Some(b"{}")), &[]),
            (keyed(b"bad", order), &[]),
            (NewRecord { value: order, ..NewRecord::default() }, &[]),
            (NewRecord { value: Some(b"{}"), ..NewRecord::default() }, &[]),
            (NewRecord { value: order, ..NewRecord::default() }, &[]),
        ];
        let outcomes = self.batching.batch(&records);
        let [first, Outcome::Ack, Outcome::Reject(bad), behind, null, Outcome::Reject(_), last] = &outcomes[..] else {
            panic!("{outcomes:?}")
        };
        let output = |outcome: &Outcome| match outcome {
            Outcome::AckWith(output) => (output.records[0].key.clone(), value(&output.records[0])),
            other => panic!("{other:?}"),
        };
        let expected = json!({"cents": 1250, "key": "ff00202b25", "headers": [["61", "31"], ["61", ""], ["fe", null]]});
        assert_eq!(output(first), (Some(b"\xff\0 +%"[..].into()), expected));
        assert_eq!(&*bad.detail, "not an order with an amount");
        assert!(matches!(behind, Outcome::BatchFailed(_)), "left out, it waits for its turn: {behind:?}");
        for unordered in [null, last] {
            assert_eq!(output(unordered), (None, json!({"cents": 1250, "key": null, "headers": []})));
        }
    }

    /// Everything that the examples promise.
    fn keeps_the_contract(mut self) {
        let record = self.order(Some(b"\xff\0 +%"), &[(b"a", Some(b"1")), (b"a", Some(b"")), (b"\xfe", None)]);
        assert_eq!(record.key.as_deref(), Some(&b"\xff\0 +%"[..]), "the key stays");
        let expected = json!({"cents": 1250, "key": "ff00202b25", "headers": [["61", "31"], ["61", ""], ["fe", null]]});
        assert_eq!(value(&record), expected);

        assert_eq!(value(&self.order(None, &[])), json!({"cents": 1250, "key": null, "headers": []}));
        assert_eq!(value(&self.order(Some(b""), &[])), json!({"cents": 1250, "key": "", "headers": []}));

        let long = vec![b'x'; 20_000];
        let record = self.order(Some(b"k"), &[(b"long", Some(&long)), (b"n", None)]);
        assert_eq!(value(&record)["key"], "6b");
        assert_eq!(value(&record)["headers"], json!([["6c6f6e67", "78".repeat(20_000)], ["6e", null]]));

        let tombstone = self.client.call(NewRecord { key: Some(b"k"), ..NewRecord::default() }, &[]);
        assert!(matches!(tombstone, Outcome::Ack), "{tombstone:?}");
        for refused in [&b""[..], b"\xff", b"{}", b"{\"amount\": \"much\"}"] {
            let Outcome::Reject(failure) = self.client.value(refused) else { panic!("{refused:?}") };
            assert_eq!(&*failure.detail, "HTTP 422: not an order with an amount");
        }
        self.takes_batches();
        assert!(self.process.try_wait().unwrap().is_none(), "it still runs");
        drop(self.runtime.enter());
    }
}

/// A record with a value and a key.
fn keyed(key: &'static [u8], value: Option<&'static [u8]>) -> NewRecord<'static> {
    NewRecord { key: Some(key), value, ..NewRecord::default() }
}

fn value(record: &OutputRecord) -> Value {
    serde_json::from_slice(record.value.as_deref().unwrap()).unwrap()
}

#[test]
fn python() {
    Server::start("python3", &["python/processor.py"]).keeps_the_contract();
}

#[test]
fn node() {
    Server::start("node", &["node/processor.js"]).keeps_the_contract();
    Server::start_at_socket("node", &["node/processor.js"]).keeps_the_contract();
}

#[test]
fn go() {
    let built = std::env::temp_dir().join(format!("penstock-example-{}", std::process::id()));
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/examples/processors/go");
    let path = built.to_str().unwrap();
    let compiled = Command::new("go").args(["build", "-o", path, "processor.go"]).current_dir(folder).status().unwrap();
    assert!(compiled.success());
    Server::start(path, &[]).keeps_the_contract();
    Server::start_at_socket(path, &[]).keeps_the_contract();
    std::fs::remove_file(built).unwrap();
}
