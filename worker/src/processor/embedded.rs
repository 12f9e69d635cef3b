//! Handlers that are compiled in, run on tokio but for quick ones.
//!
//! A turn of the loop hands all its calls over at once; a task of the runtime starts them, so that the loop pays for one
//! wake-up and not for one a call.

mod kinds;
mod quick;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use penstock_engine::Instant;
use penstock_engine::seam::{
    AtOnce, CallId, Delivery, DeliveryList, ErrorClass, Failure, Finished, Outcome, Start, Ticket,
};
use penstock_kafka::wake::{Inbox, Waker};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Calls, Run};
use crate::contract::request::Origin;
use crate::handler::{Context, Raw};
use crate::metrics::Metrics;

pub(crate) use self::kinds::{Batches, Blocking, Each, Embedded};
use self::quick::Pace;
pub(crate) use self::quick::Quick;

/// Longest time for a handler to say whether it is ready. Asked again after that.
const READY_MAX: Duration = Duration::from_secs(10);
/// For about so long a quick handler has the loop to itself: other partitions, answers and commits wait.
const RUN_MAX: Duration = Duration::from_millis(1);

/// Asks a handler for a sign of life.
///
/// # Errors
/// What it waits for, or that it does not answer.
pub(crate) async fn ready(handler: &dyn Embedded) -> Result<(), String> {
    match tokio::time::timeout(READY_MAX, handler.ready()).await {
        Ok(ready) => ready.map_err(|failed| failed.reason().to_owned()),
        Err(_) => Err(format!("the handler's ready() gives no answer within {READY_MAX:?}")),
    }
}

/// Calls to a handler that is compiled in.
#[derive(Debug)]
pub struct EmbeddedProcessor {
    handler: Arc<dyn Embedded>,
    /// Calls in progress by slot, to cancel them.
    tokens: Vec<Option<(u32, CancellationToken)>>,
    /// Calls of this turn; of a quick handler, those that are still to be made.
    started: VecDeque<Call>,
    starter: mpsc::UnboundedSender<Vec<Call>>,
    shared: Arc<Shared>,
    tasks: Handle,
    /// Of a quick handler.
    pace: Pace,
}

#[derive(Debug)]
struct Shared {
    finished: Inbox<Finished>,
    health: Inbox<bool>,
    has_output: bool,
    metrics: Arc<Metrics>,
}

/// One call, which is reported when it is answered, and also when it goes without an answer: because its future was dropped,
/// or because the handler panicked.
#[derive(Debug)]
pub(crate) struct Call {
    /// `None` once they were handed to the handler.
    deliveries: Option<(DeliveryList, Vec<Arc<Origin>>)>,
    context: Context,
    unanswered: Unanswered,
}

/// Records of a call without an answer yet.
#[derive(Debug)]
pub(crate) struct Unanswered {
    tickets: Vec<Ticket>,
    began: std::time::Instant,
    shared: Arc<Shared>,
}

impl EmbeddedProcessor {
    /// Calls `handler` on the runtime behind `tasks`.
    pub(crate) fn new(
        handler: Arc<dyn Embedded>,
        has_output: bool,
        (tasks, waker): (Handle, Waker),
        metrics: Arc<Metrics>,
    ) -> Self {
        let (finished, health) = (Inbox::new(waker.clone()), Inbox::new(waker));
        let shared = Arc::new(Shared { finished, health, has_output, metrics });
        let (starter, mut turns) = mpsc::unbounded_channel::<Vec<Call>>();
        let runner = Arc::clone(&handler);
        tasks.spawn(async move {
            while let Some(calls) = turns.recv().await {
                for call in calls {
                    runner.start(call);
                }
            }
        });
        Self { handler, tokens: Vec::new(), started: VecDeque::new(), starter, shared, tasks, pace: Pace::default() }
    }

    /// Makes calls of a quick handler for a while, one at least.
    fn call_quick(&mut self) {
        let (began, mut records) = (std::time::Instant::now(), 0);
        while records == 0 || began.elapsed() < RUN_MAX {
            let Some(call) = self.started.pop_front() else { break };
            if call.context.is_cancelled() {
                continue; // dropped, it reports itself
            }
            records += u32::try_from(call.unanswered.tickets.len()).unwrap_or(u32::MAX);
            self.handler.start(call);
        }
        self.pace.took(records, began.elapsed());
    }

    fn token(&mut self, call: CallId) -> CancellationToken {
        let index = call.slot as usize;
        if self.tokens.len() <= index {
            self.tokens.resize(index + 1, None);
        }
        let token = CancellationToken::new();
        self.tokens[index] = Some((call.serial, token.clone()));
        token
    }
}

impl Calls for EmbeddedProcessor {
    fn run_max(&self) -> usize {
        if self.handler.is_quick() { self.pace.records_within(RUN_MAX) } else { 0 }
    }

    fn at_once(&mut self, run: Run<'_>) -> AtOnce {
        let began = std::time::Instant::now();
        let answers = self.handler.at_once(&run);
        self.pace.took(answers.records + u32::from(answers.other.is_some()), began.elapsed());
        answers
    }

    fn time_taken(&mut self) -> Duration {
        self.pace.time_taken()
    }

    fn start(&mut self, start: Start, now: Instant, origin: &impl Fn(&Delivery) -> Arc<Origin>) {
        let deliveries = start.deliveries.as_slice();
        let began = std::time::Instant::now();
        let context = Context {
            attempt: deliveries.iter().map(|delivery| delivery.attempt).max().unwrap_or(1),
            deadline: began + start.deadline.since(now),
            cancelled: self.token(start.call),
        };
        let tickets: Vec<Ticket> = deliveries.iter().map(|delivery| delivery.ticket).collect();
        let unanswered = Unanswered { tickets, began, shared: Arc::clone(&self.shared) };
        let origins = deliveries.iter().map(origin).collect();
        self.started.push_back(Call { deliveries: Some((start.deliveries, origins)), context, unanswered });
    }

    fn flush(&mut self) {
        if !self.started.is_empty() && !self.handler.is_quick() {
            // The task ends with the runtime only; a call that is dropped reports itself.
            let _unstarted = self.starter.send(std::mem::take(&mut self.started).into());
        }
    }

    fn cancel(&mut self, call: CallId) {
        if let Some(Some((serial, token))) = self.tokens.get(call.slot as usize)
            && *serial == call.serial
        {
            token.cancel();
        }
    }

    fn take_finished(&mut self, into: &mut Vec<Finished>) {
        if self.handler.is_quick() {
            self.call_quick();
        }
        self.shared.finished.take_all(into);
    }

    fn probe(&mut self) {
        let (handler, shared) = (Arc::clone(&self.handler), Arc::clone(&self.shared));
        self.tasks.spawn(async move { shared.health.put([ready(&*handler).await.is_ok()]) });
    }

    fn health(&mut self) -> Option<bool> {
        self.shared.health.take()
    }

    fn maybe_ready(&self) -> bool {
        let quick = self.handler.is_quick() && !self.started.is_empty();
        quick || self.shared.finished.maybe_some() || self.shared.health.maybe_some()
    }
}

impl Call {
    /// The records, once.
    fn take(&mut self) -> Vec<Raw> {
        let Some((deliveries, origins)) = self.deliveries.take() else { return Vec::new() };
        let raw = |(delivery, origin): (&Delivery, Arc<Origin>)| Raw::new(delivery, origin);
        deliveries.as_slice().iter().zip(origins).map(raw).collect()
    }
}

impl Unanswered {
    /// One outcome for each record, in their order.
    fn answer(mut self, outcomes: Vec<Outcome>) {
        debug_assert_eq!(self.tickets.len(), outcomes.len(), "one outcome for each record");
        let tickets = std::mem::take(&mut self.tickets);
        let answered = |(ticket, outcome)| Finished { ticket, outcome };
        self.shared.finished.put(tickets.into_iter().zip(outcomes).map(answered));
        self.shared.metrics.call_seconds.observe(self.began.elapsed().as_secs_f64());
    }

    fn has_output(&self) -> bool {
        self.shared.has_output
    }
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        if self.tickets.is_empty() {
            return;
        }
        let unwinds = std::thread::panicking();
        let several = self.tickets.len() > 1;
        let finished = self.tickets.drain(..).map(|ticket| {
            let outcome = if unwinds { panicked(several) } else { Outcome::Cancelled };
            Finished { ticket, outcome }
        });
        self.shared.finished.put(finished);
    }
}

/// What a panic says of a record, of several in a call.
fn panicked(several: bool) -> Outcome {
    let failure = Failure::new(ErrorClass::ServerError, "the handler panicked");
    if several { Outcome::BatchFailed(failure) } else { Outcome::Retry(failure) }
}

#[cfg(test)]
mod tests;
