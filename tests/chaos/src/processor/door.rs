//! One worker's processor: a port, and what happens on its connections.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::batch::{self, Decision, End, Item};
use super::http::{Request, Sent};
use super::recorder::{Begun, is_closed};
use super::reply::{Reply, Then};
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
        self.shared.recorder.down(self.worker);
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
            let Some(sent) = http::parse(&buffer[..head], &buffer[head..all], &self.shared.topics) else {
                // A contract that is not kept shows as a worker that gets nowhere; 400 would settle the record.
                let _ = write(&stream, b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n").await;
                return;
            };
            buffer.drain(..all);
            if self.shared.recorder.is_too_late(sent.records(), &stream) {
                return;
            }
            let begun = self.shared.recorder.begin(self.worker, sent.records(), &stream);
            let reply = tokio::select! {
                biased;
                reply = self.reply(&sent, &begun, &stream) => reply,
                _ = down.wait_for(|reasons| *reasons > 0) => {
                    self.shared.recorder.end_all(&begun, Answer::Caught);
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

    /// Decides about a request and waits as long as that takes; none when the worker has hung up.
    async fn reply(self: &Arc<Self>, sent: &Sent, begun: &Begun, stream: &Arc<TcpStream>) -> Option<Reply> {
        let outage = *self.shared.outage.borrow();
        let of_all = |answer, reply: Reply| self.shared.recorder.end_all(begun, answer).then_some(reply);
        match (outage, sent) {
            (Some(Outage::Busy), _) => of_all(Answer::Overload, Reply::busy()),
            (Some(Outage::NotFound), _) => of_all(Answer::Unavailable, Reply::status(404, "", "")),
            (_, Sent::One(record)) => self.of_record(record, begun, stream).await,
            (_, Sent::Batch(records)) => self.of_batch(records, begun, stream).await,
        }
    }

    async fn of_record(self: &Arc<Self>, record: &Request, begun: &Begun, stream: &Arc<TcpStream>) -> Option<Reply> {
        let troubles = begun.troubles.first().copied().unwrap_or_default();
        let (answer, reply) = match self.shared.mix.of(record.tp, record.offset) {
            Behaviour::Slow(wait) => {
                self.waits(wait, begun, stream).await?;
                self.acknowledged(record)
            }
            Behaviour::Ack => self.acknowledged(record),
            Behaviour::AckByVerdict => (Answer::Skip, Reply::status(500, "penstock-verdict: ack\r\n", "oops")),
            Behaviour::Skip => (Answer::Skip, Reply::status(200, "penstock-verdict: skip\r\n", "")),
            Behaviour::Reject(code) => Reply::refusal(code),
            Behaviour::Passing { times, .. } if troubles >= times => self.acknowledged(record),
            Behaviour::Passing { trouble, .. } | Behaviour::Lasting(trouble) => {
                self.shared.recorder.trouble(record);
                self.trouble(trouble, begun, stream).await?
            }
        };
        self.shared.recorder.end_all(begun, answer).then_some(reply)
    }

    fn acknowledged(&self, record: &Request) -> (Answer, Reply) {
        let body = if self.shared.output { format!("{:016x}", output_body(record.digest)) } else { String::new() };
        (Answer::Ack, Reply::status(200, "", &body))
    }

    async fn trouble(
        self: &Arc<Self>,
        trouble: Trouble,
        begun: &Begun,
        stream: &Arc<TcpStream>,
    ) -> Option<(Answer, Reply)> {
        Some(match trouble {
            Trouble::Status(code) => (Answer::Failed, Reply::status(code, "", "failed")),
            Trouble::Refusal(code) => Reply::refusal(code),
            Trouble::Busy => (Answer::Overload, Reply::busy()),
            Trouble::Garbage => (Answer::Garbage, Reply::garbage()),
            Trouble::Break => (Answer::Broken, Reply::broken()),
            Trouble::BreakWithin => (Answer::Broken, Reply::broken_within()),
            Trouble::Hang => return self.hangs(begun, stream).await,
            Trouble::Crash => {
                self.shared.recorder.end_all(begun, Answer::Broken);
                Arc::clone(self).crash();
                return None;
            }
        })
    }

    async fn of_batch(self: &Arc<Self>, records: &[Request], begun: &Begun, stream: &Arc<TcpStream>) -> Option<Reply> {
        let shared = &self.shared;
        let item = |(record, troubles): (_, &u32)| Item {
            record,
            behaviour: shared.mix.of(record.tp, record.offset),
            troubles: *troubles,
            lane: if shared.same_lane { shared.recorder.shared_lane(record) } else { None },
        };
        let items: Vec<Item<'_>> = records.iter().zip(&begun.troubles).map(item).collect();
        let Decision { wait, answers, spent, end } = batch::decide(shared.mix.seed, &items, shared.output);
        self.waits(wait, begun, stream).await?;
        spent.iter().filter_map(|place| records.get(*place)).for_each(|record| shared.recorder.trouble(record));
        match end {
            End::Says(reply) => shared.recorder.end(begun, &answers).then_some(reply),
            End::Hangs => self.hangs(begun, stream).await,
            End::Crashes => {
                shared.recorder.end(begun, &answers);
                Arc::clone(self).crash();
                None
            }
        }
    }

    /// None when the worker has hung up meanwhile.
    async fn waits(&self, wait: Duration, begun: &Begun, stream: &TcpStream) -> Option<()> {
        if wait.is_zero() || stays(stream, wait).await {
            return Some(());
        }
        self.shared.recorder.end_all(begun, Answer::Gone);
        None
    }

    /// Until the worker has hung up.
    async fn hangs<T>(&self, begun: &Begun, stream: &TcpStream) -> Option<T> {
        while stays(stream, Duration::from_secs(60)).await {}
        self.shared.recorder.end_all(begun, Answer::Gone);
        None
    }
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
