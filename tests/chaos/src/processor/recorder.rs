//! The log of calls, and what runs at the moment.

use std::collections::HashMap;
use std::os::fd::AsFd as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::net::TcpStream;

use super::http::Request;
use crate::history::{Answer, Call, Micros, Ordering};

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

/// A call that has begun.
#[derive(Clone, Copy, Debug)]
pub(super) struct Begun {
    index: usize,
    lane: (i32, u64),
    /// How often this record had trouble before.
    pub(super) troubles: u32,
}

#[derive(Debug)]
struct Running {
    index: usize,
    stream: Arc<TcpStream>,
}

#[derive(Debug, Default)]
struct Inner {
    calls: Vec<Call>,
    running: HashMap<(i32, u64), Vec<Running>>,
    troubles: HashMap<(i32, i64), u32>,
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

    fn lane(&self, request: &Request) -> (i32, u64) {
        let lane = match (self.ordering, request.key) {
            (Ordering::Partition, _) => 0,
            (Ordering::Key, Some(key)) => key,
            (Ordering::Key, None) | (Ordering::Unordered, _) => request.offset.cast_unsigned(),
        };
        (request.partition, lane)
    }

    /// A request was read whole. Calls of the same lane whose worker has hung up ended before this one: the kernel knows that
    /// already, though their tasks may not have been told.
    pub(super) fn begin(&self, worker: u32, request: &Request, stream: &Arc<TcpStream>) -> Begun {
        let lane = self.lane(request);
        let mut guard = self.inner();
        let inner = &mut *guard;
        let running = inner.running.entry(lane).or_default();
        for gone in running.extract_if(.., |one| is_closed(&one.stream)) {
            let call = &mut inner.calls[gone.index];
            (call.end, call.answer) = (now(), Answer::Gone);
        }
        let index = inner.calls.len();
        running.push(Running { index, stream: Arc::clone(stream) });
        inner.calls.push(Call {
            worker,
            partition: request.partition,
            offset: request.offset,
            attempt: request.attempt,
            owner: request.owner,
            start: now(),
            end: Micros::MAX,
            answer: Answer::Gone,
            digest: request.digest,
        });
        let troubles = inner.troubles.get(&(request.partition, request.offset)).copied().unwrap_or_default();
        Begun { index, lane, troubles }
    }

    /// This record has trouble once more.
    pub(super) fn trouble(&self, request: &Request) {
        *self.inner().troubles.entry((request.partition, request.offset)).or_default() += 1;
    }

    /// A call ends. False if its worker was seen to have hung up before: then nothing may be answered.
    pub(super) fn end(&self, begun: Begun, answer: Answer) -> bool {
        let mut guard = self.inner();
        let inner = &mut *guard;
        let Some(running) = inner.running.get_mut(&begun.lane) else { return false };
        let Some(place) = running.iter().position(|one| one.index == begun.index) else { return false };
        let ended = running.swap_remove(place);
        if running.is_empty() {
            inner.running.remove(&begun.lane);
        }
        let broken = matches!(answer, Answer::Broken | Answer::Caught);
        let gone = !broken && is_closed(&ended.stream);
        let call = &mut inner.calls[begun.index];
        (call.end, call.answer) = (now(), if gone { Answer::Gone } else { answer });
        !gone
    }

    pub(super) fn len(&self) -> usize {
        self.inner().calls.len()
    }

    pub(super) fn take(&self) -> Vec<Call> {
        std::mem::take(&mut self.inner().calls)
    }
}
