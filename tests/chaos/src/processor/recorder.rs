//! The log of calls, and what runs at the moment.

use std::collections::{BTreeMap, HashMap};
use std::os::fd::AsFd as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::net::TcpStream;

use super::http::Request;
use crate::history::{Answer, Call, Micros, Ordering, Tp};

/// Now.
pub(crate) fn now() -> Micros {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or_default()
}

/// Whether the peer has closed the connection, by the kernel's knowledge at this moment: tokio's own is as old as its last turn.
pub(super) fn is_closed(stream: &TcpStream) -> bool {
    let Ok(socket) = stream.as_fd().try_clone_to_owned() else { return false };
    match std::net::TcpStream::from(socket).peek(&mut [0]) {
        Ok(bytes) => bytes == 0,
        Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
    }
}

/// What must not run twice at once.
type Lane = (Tp, u64);

/// A request that has begun: a call for each of its records.
#[derive(Clone, Debug)]
pub(super) struct Begun {
    /// The first call; the others follow.
    index: usize,
    lanes: Vec<Lane>,
    /// How often each record had trouble before.
    pub(super) troubles: Vec<u32>,
}

#[derive(Debug)]
struct Running {
    index: usize,
    stream: Arc<TcpStream>,
}

#[derive(Debug, Default)]
struct Inner {
    calls: Vec<Call>,
    requests: u64,
    running: HashMap<Lane, Vec<Running>>,
    troubles: HashMap<(Tp, i64), u32>,
    unseen: Unseen,
}

/// What is known of calls that are not in the log.
#[derive(Debug, Default)]
pub(crate) struct Unseen {
    /// When the processor of which worker went down.
    pub(crate) downs: Vec<(u32, Micros)>,
    /// Calls of one record whose worker had hung up before they were read.
    pub(crate) unread: BTreeMap<(Tp, i64), u32>,
    /// When requests were read late.
    pub(crate) late: Vec<(Micros, Micros)>,
}

/// Everything that is known of the calls.
#[derive(Debug)]
pub(super) struct Recorder {
    ordering: Ordering,
    inner: Mutex<Inner>,
}

impl Recorder {
    pub(super) fn new(ordering: Ordering) -> Self {
        Self { ordering, inner: Mutex::default() }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The lane of a record, if it has one with others.
    pub(super) fn shared_lane(&self, record: &Request) -> Option<u64> {
        match (self.ordering, record.key) {
            (Ordering::Partition, _) => Some(0),
            (Ordering::Key, key) => key,
            (Ordering::Unordered, _) => None,
        }
    }

    fn lane(&self, record: &Request) -> Lane {
        (record.tp, self.shared_lane(record).unwrap_or(record.offset.cast_unsigned()))
    }

    /// Whether the worker has hung up on a request that was only now read: then it is as if it had never come. Alone, it was charged.
    pub(super) fn is_too_late(&self, records: &[Request], stream: &TcpStream) -> bool {
        let late = is_closed(stream);
        if let ([record], true) = (records, late) {
            *self.inner().unseen.unread.entry((record.tp, record.offset)).or_default() += 1;
        }
        late
    }

    /// A request was read whole. Calls of the same lanes whose worker has hung up ended before this one: the kernel knows that
    /// already, though their tasks may not have been told.
    pub(super) fn begin(&self, worker: u32, records: &[Request], stream: &Arc<TcpStream>) -> Begun {
        let lanes: Vec<Lane> = records.iter().map(|record| self.lane(record)).collect();
        let company = u32::try_from(records.len()).unwrap_or(u32::MAX);
        let mut guard = self.inner();
        let inner = &mut *guard;
        let (index, request) = (inner.calls.len(), inner.requests);
        inner.requests += 1;
        for lane in &lanes {
            let Some(running) = inner.running.get_mut(lane) else { continue };
            for gone in running.extract_if(.., |one| is_closed(&one.stream)) {
                let call = &mut inner.calls[gone.index];
                (call.end, call.answer) = (now(), Answer::Gone);
            }
        }
        let mut troubles = Vec::with_capacity(records.len());
        let start = now();
        for (item, (record, lane)) in (0..).zip(records.iter().zip(&lanes)) {
            let running = Running { index: inner.calls.len(), stream: Arc::clone(stream) };
            inner.running.entry(*lane).or_default().push(running);
            inner.calls.push(Call {
                worker,
                request,
                item,
                company,
                tp: record.tp,
                offset: record.offset,
                attempt: record.attempt,
                owner: record.owner,
                start,
                end: Micros::MAX,
                answer: Answer::Gone,
                digest: record.digest,
            });
            troubles.push(inner.troubles.get(&(record.tp, record.offset)).copied().unwrap_or_default());
        }
        Begun { index, lanes, troubles }
    }

    /// This record has trouble once more.
    pub(super) fn trouble(&self, record: &Request) {
        *self.inner().troubles.entry((record.tp, record.offset)).or_default() += 1;
    }

    /// A request ends, with an answer for each of its records. False if its worker was seen to have hung up before: then nothing may
    /// be answered.
    pub(super) fn end(&self, begun: &Begun, answers: &[Answer]) -> bool {
        let mut guard = self.inner();
        let inner = &mut *guard;
        let mut ended: Vec<Option<Running>> = Vec::with_capacity(answers.len());
        for (index, lane) in (begun.index..).zip(&begun.lanes) {
            let Some(running) = inner.running.get_mut(lane) else {
                ended.push(None);
                continue;
            };
            let place = running.iter().position(|one| one.index == index);
            ended.push(place.map(|place| running.swap_remove(place)));
            if running.is_empty() {
                inner.running.remove(lane);
            }
        }
        let broken = answers.iter().any(|answer| matches!(answer, Answer::Broken | Answer::Caught));
        // One record of it that was seen to be gone is enough: they share a connection.
        let known = ended.iter().any(Option::is_none);
        let closed = || ended.iter().flatten().next().is_some_and(|one| is_closed(&one.stream));
        let gone = known || (!broken && closed());
        let at = now();
        for (one, answer) in ended.iter().zip(answers) {
            let Some(one) = one else { continue };
            let call = &mut inner.calls[one.index];
            (call.end, call.answer) = (at, if gone { Answer::Gone } else { *answer });
        }
        !gone
    }

    /// A request ends, and all its records alike.
    pub(super) fn end_all(&self, begun: &Begun, answer: Answer) -> bool {
        self.end(begun, &vec![answer; begun.lanes.len()])
    }

    pub(super) fn len(&self) -> usize {
        self.inner().calls.len()
    }

    /// All connections of a worker break.
    pub(super) fn down(&self, worker: u32) {
        self.inner().unseen.downs.push((worker, now()));
    }

    /// Requests were read late since then.
    pub(super) fn late(&self, since: Micros) {
        self.inner().unseen.late.push((since, now()));
    }

    /// Every call, and what is known of others.
    pub(super) fn take(&self) -> (Vec<Call>, Unseen) {
        let mut inner = self.inner();
        (std::mem::take(&mut inner.calls), std::mem::take(&mut inner.unseen))
    }
}
