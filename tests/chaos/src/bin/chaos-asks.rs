//! A worker whose handler is compiled in and answers at once, on the thread that reads, and asks the harness's processor what to say: rounds of
//! chaos see its calls as they see those of any worker. `PROCESSOR` is its address.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

use penstock_worker::Program;
use penstock_worker::handler::{Answer, Done, Failed, QuickHandler, Record};

/// No head of an answer is that long.
const HEAD_MAX: usize = 4096;

struct Asks {
    processor: SocketAddr,
    /// A connection that rests.
    resting: Mutex<Option<TcpStream>>,
}

/// What the processor said.
struct Said {
    status: u16,
    verdict: Option<String>,
}

impl QuickHandler for Asks {
    type Value = ();

    fn handle(&self, record: Record<()>) -> Answer {
        let mut resting = self.resting.lock().unwrap_or_else(PoisonError::into_inner);
        let usable = resting.take().filter(is_open);
        let Some(mut stream) = usable.or_else(|| TcpStream::connect(self.processor).ok()) else {
            return Err(Failed::unavailable("the processor cannot be reached"));
        };
        let said = stream.write_all(&request(&record)).and_then(|()| read(&mut stream));
        let said = said.map_err(Failed::retry)?;
        *resting = Some(stream);
        match (said.verdict.as_deref(), said.status) {
            (Some("ack"), _) | (None, 200..=299) => Ok(Done::Ack),
            (Some("skip"), _) => Ok(Done::Skip),
            (Some("reject"), _) | (None, 400 | 413 | 422) => Err(Failed::reject("refused")),
            (_, 429 | 503) => Err(Failed::overload("busy")),
            (_, 404) => Err(Failed::unavailable("not the processor")),
            (_, status) => Err(Failed::retry(status)),
        }
    }
}

/// Nothing is to be read of a connection that rests, not even its end.
fn is_open(stream: &TcpStream) -> bool {
    let peeked = stream.set_nonblocking(true).and_then(|()| stream.peek(&mut [0]));
    let waits = peeked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock);
    waits && stream.set_nonblocking(false).is_ok()
}

/// The record as the processor contract has it.
fn request(record: &Record<()>) -> Vec<u8> {
    let (key, value) = (record.key(), record.bytes());
    let null = [("key", key.is_none()), ("value", value.is_none())].map(|(name, null)| if null { name } else { "" });
    let headers = record.headers().map(|(name, value)| match value {
        Some(value) => encoded(name) + "=" + &encoded(value),
        None => encoded(name),
    });
    let value = value.unwrap_or_default();
    let mut fields = vec![
        "POST / HTTP/1.1\r\nhost: processor".to_owned(),
        format!("penstock-topic: {}", record.topic()),
        format!("penstock-partition: {}", record.partition()),
        format!("penstock-offset: {}", record.offset()),
        format!("penstock-attempt: {}", record.attempt()),
        format!("penstock-owner: {}", record.owner()),
        format!("penstock-headers: {}", headers.collect::<Vec<_>>().join("&")),
        format!("penstock-null: {}", null.join(",")),
        format!("content-length: {}", value.len()),
    ];
    fields.extend(key.map(|key| format!("penstock-key: {}", encoded(key))));
    [fields.join("\r\n").as_bytes(), b"\r\n\r\n", value].concat()
}

/// Percent-encoded, all of it.
fn encoded(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(nibble.into(), 16).unwrap_or_default();
    bytes.iter().flat_map(|byte| ['%', digit(byte >> 4), digit(byte & 15)]).collect()
}

/// An answer, whole: what breaks off within it is none.
fn read(stream: &mut TcpStream) -> io::Result<Said> {
    let garbage = || io::Error::new(io::ErrorKind::InvalidData, "not HTTP");
    let mut bytes = Vec::new();
    let head = loop {
        if let Some(head) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break head + 4;
        }
        if bytes.len() > HEAD_MAX || !more(stream, &mut bytes)? {
            return Err(garbage());
        }
    };
    let text = String::from_utf8(bytes[..head].to_vec()).map_err(|_| garbage())?;
    let field = |name: &str| text.lines().filter_map(|line| line.split_once(": ")).find(|(one, _)| *one == name);
    let status = text.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok()).ok_or_else(garbage)?;
    let length = field("content-length").and_then(|(_, value)| value.parse().ok()).unwrap_or(0);
    while bytes.len() - head < length {
        if !more(stream, &mut bytes)? {
            return Err(garbage());
        }
    }
    Ok(Said { status, verdict: field("penstock-verdict").map(|(_, value)| value.to_owned()) })
}

fn more(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> io::Result<bool> {
    let mut chunk = [0; 1024];
    let read = stream.read(&mut chunk)?;
    bytes.extend_from_slice(&chunk[..read]);
    Ok(read > 0)
}

fn main() -> ExitCode {
    let address = std::env::var("PROCESSOR").ok().and_then(|text| text.parse().ok());
    if let Some(processor) = address {
        return Program::quick(Asks { processor, resting: Mutex::default() }).main();
    }
    let _nobody_reads =
        writeln!(io::stderr(), "PROCESSOR must be the address of the harness's processor: 127.0.0.1:8080");
    ExitCode::FAILURE
}
