//! A processor over HTTP/1.1: a fixed set of tasks, one for each call that may be in progress, each with its own connection.
//!
//! They live on the loop's own thread. An exchange costs 15 µs, most of them in the kernel; handing calls to other threads and
//! answers back made it 24 (`make bench`), and a worker that needs more than one core wants batches or company.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{HeaderMap, HeaderValue};
use hyper::{Request, StatusCode};
use jiff::Timestamp;
use penstock_engine::Instant;
use penstock_engine::seam::{CallId, Delivery, DeliveryList, ErrorClass, Failure, Finished, Outcome, Start};
use penstock_kafka::wake::{Inbox, Waker};
use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc};

use super::Calls;
use super::address::Address;
use super::connection::{self, Broken, Connection};
use super::spans::{Open, Spans, TRACEPARENT};
use crate::contract::answer::{self, Answer};
use crate::contract::items::suspect;
use crate::contract::request::{Endpoint, Origin};
use crate::metrics::Metrics;

/// Longest wait for a connection; half of `delivery.timeout` where that is shorter, so that a processor that cannot be reached is no call
/// that took too long, which would be charged.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// What requests hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// One record.
    Single,
    /// A batch, also of one record.
    Batch,
}

/// Calls to an HTTP server.
#[derive(Debug)]
pub struct HttpProcessor {
    slots: Vec<Slot>,
    shared: Arc<Shared>,
    tasks: Handle,
}

/// One place for a call: at most one call at a time, for as long as the worker runs.
#[derive(Debug)]
struct Slot {
    jobs: mpsc::Sender<Job>,
    cancel: Arc<Cancel>,
}

#[derive(Debug)]
struct Job {
    call: CallId,
    deadline: std::time::Instant,
    deliveries: DeliveryList,
    origins: Vec<Arc<Origin>>,
}

/// Serial of the call to give up, plus one; 0 for none.
#[derive(Debug, Default)]
struct Cancel {
    serial: AtomicU64,
    notify: Notify,
}

#[derive(Debug)]
struct Shared {
    endpoint: Endpoint,
    address: Address,
    timeout: Duration,
    form: Form,
    has_output: bool,
    finished: Inbox<Finished>,
    health: Inbox<bool>,
    metrics: Arc<Metrics>,
    spans: Option<Arc<Spans>>,
}

impl HttpProcessor {
    /// Calls `endpoint` at `address`; nothing is connected yet. `tasks` is the runtime of the loop's thread.
    pub fn new(
        (endpoint, address): (Endpoint, Address),
        timeout: Duration,
        (form, has_output): (Form, bool),
        (tasks, waker): (Handle, Waker),
        metrics: Arc<Metrics>,
    ) -> Self {
        let shared = Shared {
            endpoint,
            address,
            timeout,
            form,
            has_output,
            finished: Inbox::new(waker.clone()),
            health: Inbox::new(waker),
            metrics,
            spans: None,
        };
        Self { slots: Vec::new(), shared: Arc::new(shared), tasks }
    }

    /// The same, with a span for each call whose trace is sampled. To be said before the first call.
    #[must_use]
    pub fn traced(mut self, spans: Arc<Spans>) -> Self {
        if let Some(shared) = Arc::get_mut(&mut self.shared) {
            shared.spans = Some(spans);
        }
        self
    }

    fn slot(&mut self, number: u32) -> &Slot {
        let index = number as usize;
        while self.slots.len() <= index {
            let (jobs, queue) = mpsc::channel(1);
            let cancel = Arc::new(Cancel::default());
            self.tasks.spawn(serve(queue, Arc::clone(&cancel), Arc::clone(&self.shared)));
            self.slots.push(Slot { jobs, cancel });
        }
        &self.slots[index]
    }
}

impl Calls for HttpProcessor {
    fn start(&mut self, start: Start, now: Instant, origin: &impl Fn(&Delivery) -> Arc<Origin>) {
        let origins = start.deliveries.as_slice().iter().map(origin).collect();
        let deadline = std::time::Instant::now() + start.deadline.since(now);
        let job = Job { call: start.call, deadline, deliveries: start.deliveries, origins };
        // A slot has one call at a time, so its queue of one has room; its task ends only with the slot.
        if let Err(error) = self.slot(start.call.slot).jobs.try_send(job) {
            let (mpsc::error::TrySendError::Full(job) | mpsc::error::TrySendError::Closed(job)) = error;
            let lost = |delivery: &Delivery| Finished { ticket: delivery.ticket, outcome: Outcome::Cancelled };
            self.shared.finished.put(job.deliveries.as_slice().iter().map(lost));
        }
    }

    fn cancel(&mut self, call: CallId) {
        if let Some(slot) = self.slots.get(call.slot as usize) {
            slot.cancel.serial.store(u64::from(call.serial) + 1, Ordering::SeqCst);
            slot.cancel.notify.notify_one();
        }
    }

    fn take_finished(&mut self, into: &mut Vec<Finished>) {
        self.shared.finished.take_all(into);
    }

    fn probe(&mut self) {
        let shared = Arc::clone(&self.shared);
        self.tasks.spawn(async move {
            shared.health.put([shared.address.answers(CONNECT_MAX).await.is_ok()]);
        });
    }

    fn health(&mut self) -> Option<bool> {
        self.shared.health.take()
    }

    fn maybe_ready(&self) -> bool {
        self.shared.finished.maybe_some() || self.shared.health.maybe_some()
    }
}

impl Cancel {
    async fn requested(&self, call: CallId) {
        while self.serial.load(Ordering::SeqCst) != u64::from(call.serial) + 1 {
            self.notify.notified().await;
        }
    }
}

impl Shared {
    /// One call, from request to outcomes: one for each record, in their order.
    async fn call(&self, kept: &mut Option<Connection>, job: &Job, span: Option<&Open>) -> Vec<Outcome> {
        let deliveries = job.deliveries.as_slice();
        match self.exchange(kept, job, span).await {
            Ok(connection::Answer { status, headers, body }) => {
                let answer = Answer { status, headers: &headers, body: &body, now: Timestamp::now() };
                match (self.form, deliveries) {
                    (Form::Single, [delivery]) => vec![answer.single(delivery, self.has_output)],
                    _ => answer.batch(deliveries, self.has_output),
                }
            }
            Err(outcome) => vec![outcome; deliveries.len()],
        }
    }

    /// Sends the request and reads the answer; or says what its absence means for each record.
    async fn exchange(
        &self,
        kept: &mut Option<Connection>,
        job: &Job,
        span: Option<&Open>,
    ) -> Result<connection::Answer, Outcome> {
        let mut resent = false;
        loop {
            let connection = match kept {
                Some(connection) if connection.is_open() => connection,
                _ => match Connection::open(&self.address, (self.timeout / 2).min(CONNECT_MAX)).await {
                    Ok(connection) => kept.insert(connection),
                    Err(detail) => return Err(Outcome::Unavailable(Failure::new(ErrorClass::Unreachable, &detail))),
                },
            };
            let keeps = |status: StatusCode, headers: &HeaderMap| {
                answer::is_read(status, headers, self.form == Form::Batch || self.has_output)
            };
            let broken = match connection.exchange(self.request(job, span), keeps).await {
                Ok(answer) => return Ok(answer),
                Err(broken) => broken,
            };
            *kept = None;
            let lost = |detail: &str| Err(Outcome::ConnectionLost(Failure::new(ErrorClass::ConnectionLost, detail)));
            match broken {
                Broken::BeforeAnswer if !resent => resent = true,
                Broken::BeforeAnswer => return lost("the processor closes connections without an answer"),
                Broken::Lost(detail) => return lost(&detail),
                Broken::Garbage(detail) => {
                    let failure = Failure::new(ErrorClass::BadResponse, &detail);
                    return Err(suspect(failure, job.deliveries.as_slice().len()));
                }
            }
        }
    }

    fn request(&self, job: &Job, span: Option<&Open>) -> Request<Full<Bytes>> {
        let remaining = job.deadline.saturating_duration_since(std::time::Instant::now());
        let mut request = match (self.form, job.deliveries.as_slice(), job.origins.as_slice()) {
            (Form::Single, [delivery], [origin]) => self.endpoint.request(origin, delivery, remaining),
            (_, deliveries, origins) => self.endpoint.batch(origins, deliveries, remaining),
        };
        if let Some(parent) = span.and_then(|span| HeaderValue::from_str(&span.traceparent()).ok()) {
            request.headers_mut().insert(TRACEPARENT, parent);
        }
        request
    }
}

/// A slot's task: waits for a call, makes it, reports it.
async fn serve(mut jobs: mpsc::Receiver<Job>, cancel: Arc<Cancel>, shared: Arc<Shared>) {
    let mut connection: Option<Connection> = None;
    loop {
        let job = match &mut connection {
            None => jobs.recv().await,
            Some(open) => tokio::select! {
                biased;
                job = jobs.recv() => job,
                () = open.closed() => {
                    connection = None;
                    continue;
                }
            },
        };
        let Some(job) = job else { return };
        let began = std::time::Instant::now();
        let span = shared.spans.as_ref().and_then(|spans| spans.begin(job.deliveries.as_slice(), &job.origins));
        let outcomes = tokio::select! {
            biased;
            outcomes = shared.call(&mut connection, &job, span.as_ref()) => outcomes,
            () = cancel.requested(job.call) => {
                connection = None; // whatever still comes on it belongs to the call that was given up
                vec![Outcome::Cancelled; job.deliveries.as_slice().len()]
            }
        };
        if let Some((spans, span)) = shared.spans.as_ref().zip(span) {
            spans.end(span, &outcomes);
        }
        shared.metrics.call_seconds.observe(began.elapsed().as_secs_f64());
        let tickets = job.deliveries.as_slice().iter().map(|delivery| delivery.ticket);
        shared.finished.put(tickets.zip(outcomes).map(|(ticket, outcome)| Finished { ticket, outcome }));
    }
}
