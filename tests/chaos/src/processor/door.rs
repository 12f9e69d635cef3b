//! One worker's processor: a port, and what happens on its connections.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::recorder::{Begun, is_closed};
use super::{Shared, http};
use crate::behaviour::{Behaviour, Trouble};
use crate::check::output_body;
use crate::history::Answer;
use crate::plan::Outage;

/// How long a crashed processor takes to come back.
const RESTART: Duration = Duration::from_millis(150);
/// Between attempts to have the same port again.
const REBIND: Duration = Duration::from_millis(5);
/// No record is that large; a worker that sends more is broken.
const REQUEST_BYTES_MAX: usize = 64 << 20;

/// A worker's port.
#[derive(Debug)]
pub(super) struct Door {
    worker: u32,
    address: SocketAddr,
    /// How many reasons there are to be down.
    down: watch::Sender<u32>,
    shared: Arc<Shared>,
}

/// What is written, and whether the connection goes on.
struct Reply {
    bytes: Vec<u8>,
    then: Then,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    GoOn,
    Close,
    Reset,
}

impl Door {
    pub(super) async fn open(worker: u32, shared: Arc<Shared>) -> std::io::Result<Arc<Self>> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let door = Arc::new(Self { worker, address, down: watch::Sender::new(0), shared });
        tokio::spawn(Arc::clone(&door).listen(listener));
        Ok(door)
    }

    pub(super) fn port(&self) -> u16 {
        self.address.port()
    }

    /// Drops all connections and takes none.
    pub(super) fn close(&self) {
        self.down.send_modify(|reasons| *reasons += 1);
    }

    /// One reason less to be down.
    pub(super) fn reopen(&self) {
        self.down.send_modify(|reasons| *reasons = reasons.saturating_sub(1));
    }

    fn crash(self: Arc<Self>) {
        self.close();
        tokio::spawn(async move {
            tokio::time::sleep(RESTART).await;
            self.reopen();
        });
    }

    async fn listen(self: Arc<Self>, first: TcpListener) {
        let mut down = self.down.subscribe();
        let mut listener = Some(first);
        loop {
            if *down.borrow_and_update() > 0 {
                listener = None;
                if down.changed().await.is_err() {
                    return;
                }
                continue;
            }
            let Some(open) = &listener else {
                match TcpListener::bind(self.address).await {
                    Ok(bound) => listener = Some(bound),
                    Err(_) => tokio::time::sleep(REBIND).await,
                }
                continue;
            };
            tokio::select! {
                accepted = open.accept() => {
                    if let Ok((stream, _)) = accepted {
                        tokio::spawn(Arc::clone(&self).serve(Arc::new(stream)));
                    }
                }
                changed = down.changed() => {
                    if changed.is_err() {
                        return;
                    }
                }
            }
        }
    }

    async fn serve(self: Arc<Self>, stream: Arc<TcpStream>) {
        let mut down = self.down.subscribe();
        let mut buffer = Vec::new();
        let _ = stream.set_nodelay(true);
        loop {
            let read = tokio::select! {
                read = read(&stream, &mut buffer) => read,
                _ = down.wait_for(|reasons| *reasons > 0) => return,
            };
            let Some((head, all)) = read else { return };
            let Some(request) = http::parse(&buffer[..head], &buffer[head..all]) else {
                // A contract that is not kept shows as a worker that gets nowhere; 400 would settle the record.
                let _ = write(&stream, b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n").await;
                return;
            };
            buffer.drain(..all);
            let begun = self.shared.recorder.begin(self.worker, &request, &stream);
            let reply = tokio::select! {
                biased;
                reply = self.reply(&request, begun, &stream) => reply,
                _ = down.wait_for(|reasons| *reasons > 0) => {
                    self.shared.recorder.end(begun, Answer::Caught);
                    return;
                }
            };
            let Some(reply) = reply else { return };
            if write(&stream, &reply.bytes).await.is_err() {
                return;
            }
            match reply.then {
                Then::GoOn => {}
                Then::Close => return,
                Then::Reset => {
                    let _ = stream.set_zero_linger();
                    return;
                }
            }
        }
    }

    /// Decides about a call and waits as long as that takes; none when the worker has hung up.
    async fn reply(self: &Arc<Self>, request: &http::Request, begun: Begun, stream: &Arc<TcpStream>) -> Option<Reply> {
        let outage = *self.shared.outage.borrow();
        let behaviour = self.shared.mix.of(request.partition, request.offset);
        let (answer, reply) = match (outage, behaviour) {
            (Some(Outage::Busy), _) => (Answer::Overload, status(503, "retry-after: 0\r\n", "")),
            (Some(Outage::NotFound), _) => (Answer::Unavailable, status(404, "", "")),
            (_, Behaviour::Slow(wait)) => {
                if !stays(stream, wait).await {
                    self.shared.recorder.end(begun, Answer::Gone);
                    return None;
                }
                self.acknowledged(request)
            }
            (_, Behaviour::Ack) => self.acknowledged(request),
            (_, Behaviour::AckByVerdict) => (Answer::Skip, status(500, "penstock-verdict: ack\r\n", "oops")),
            (_, Behaviour::Skip) => (Answer::Skip, status(200, "penstock-verdict: skip\r\n", "")),
            (_, Behaviour::Reject(code)) => refusal(code),
            (_, Behaviour::Passing { times, .. }) if begun.troubles >= times => self.acknowledged(request),
            (_, Behaviour::Passing { trouble, .. } | Behaviour::Lasting(trouble)) => {
                self.shared.recorder.trouble(request);
                self.trouble(trouble, begun, stream).await?
            }
        };
        self.shared.recorder.end(begun, answer).then_some(reply)
    }

    fn acknowledged(&self, request: &http::Request) -> (Answer, Reply) {
        let body = if self.shared.output { format!("{:016x}", output_body(request.digest)) } else { String::new() };
        (Answer::Ack, status(200, "", &body))
    }

    async fn trouble(
        self: &Arc<Self>,
        trouble: Trouble,
        begun: Begun,
        stream: &Arc<TcpStream>,
    ) -> Option<(Answer, Reply)> {
        let close = |bytes: &[u8], then| Reply { bytes: bytes.to_vec(), then };
        Some(match trouble {
            Trouble::Status(code) => (Answer::Failed, status(code, "", "failed")),
            Trouble::Refusal(code) => refusal(code),
            Trouble::Busy => (Answer::Overload, status(503, "retry-after: 0\r\n", "")),
            Trouble::Garbage => (Answer::Garbage, close(b"\0\xffthis is no HTTP\r\n\r\n", Then::Close)),
            Trouble::Break => (Answer::Broken, close(b"", Then::Reset)),
            Trouble::BreakWithin => {
                (Answer::Broken, close(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf", Then::Close))
            }
            Trouble::Hang => {
                while stays(stream, Duration::from_secs(60)).await {}
                self.shared.recorder.end(begun, Answer::Gone);
                return None;
            }
            Trouble::Crash => {
                self.shared.recorder.end(begun, Answer::Broken);
                Arc::clone(self).crash();
                return None;
            }
        })
    }
}

fn refusal(code: u16) -> (Answer, Reply) {
    let reply = match code {
        200 => status(200, "penstock-verdict: reject\r\n", ""),
        code => status(code, "penstock-reason: no%20such thing\r\n", "no"),
    };
    (Answer::Reject, reply)
}

fn status(code: u16, headers: &str, body: &str) -> Reply {
    let text = format!("HTTP/1.1 {code} Whatever\r\n{headers}content-length: {}\r\n\r\n{body}", body.len());
    Reply { bytes: text.into_bytes(), then: Then::GoOn }
}

/// Waits, and says whether the worker has stayed on the line.
async fn stays(stream: &TcpStream, wait: Duration) -> bool {
    let hung_up = async {
        while stream.readable().await.is_ok() && !is_closed(stream) {
            tokio::time::sleep(REBIND).await; // bytes that nobody asked for
        }
    };
    tokio::time::timeout(wait, hung_up).await.is_err()
}

/// Reads until a whole request is in the buffer: the length of its head and of all. None at the end of the connection.
async fn read(stream: &TcpStream, buffer: &mut Vec<u8>) -> Option<(usize, usize)> {
    let mut chunk = [0; 16 << 10];
    loop {
        if let Some(whole) = http::whole(buffer) {
            return Some(whole);
        }
        stream.readable().await.ok()?;
        match stream.try_read(&mut chunk) {
            Ok(0) => return None,
            Ok(bytes) => buffer.extend_from_slice(&chunk[..bytes]),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return None,
        }
        if buffer.len() > REQUEST_BYTES_MAX {
            return None;
        }
    }
}

async fn write(stream: &TcpStream, mut bytes: &[u8]) -> std::io::Result<()> {
    while !bytes.is_empty() {
        stream.writable().await?;
        match stream.try_write(bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
