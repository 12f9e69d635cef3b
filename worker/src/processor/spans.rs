//! A span for each call of an HTTP processor, for an OpenTelemetry collector. Off unless the environment names one.
//!
//! Who decides whether a call is traced is who wrote the record: the sampled flag of its `traceparent`. A call of one record is a child of
//! that trace; a batch is a trace of its own, linked to those of its records. The processor is given the call's span as its parent.
//!
//! No SDK: OTLP over HTTP in JSON is one POST, for which hyper is here already; `opentelemetry-otlp` would bring prost and a second
//! HTTP client.

mod context;
mod exporter;
mod otlp;

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use penstock_engine::seam::{Delivery, Outcome};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use self::context::Context;
pub(super) use self::context::TRACEPARENT;
use self::otlp::{Place, Span};
use crate::contract::request::{Origin, header};
use crate::metrics::Metrics;

pub use self::exporter::{BadCollector, Collector};

/// Spans that wait for the exporter; more are dropped and counted. OpenTelemetry's own default (`OTEL_BSP_MAX_QUEUE_SIZE`).
const QUEUE: usize = 2_048;
/// Links of one span, by OpenTelemetry's default (`OTEL_SPAN_LINK_COUNT_LIMIT`).
const LINKS_MAX: usize = 128;
/// How long the last spans may take to be sent when the worker ends.
const FLUSH: Duration = Duration::from_secs(2);

/// Makes spans and hands them to the exporter.
#[derive(Debug)]
pub struct Spans {
    queue: mpsc::Sender<Span>,
    /// Random keys of the standard library, hashed with a counter: ids.
    ids: RandomState,
    count: AtomicU64,
    metrics: Arc<Metrics>,
}

/// The exporter's task.
#[derive(Debug)]
pub struct Exporting(JoinHandle<()>);

/// A call under way.
#[derive(Debug)]
pub(super) struct Open {
    context: Context,
    parent: Option<[u8; 8]>,
    links: Vec<Context>,
    place: Place,
    began: u64,
}

impl Spans {
    /// Starts to export to `collector`, in the name of a consumer group.
    pub fn start(collector: Collector, group: &str, tasks: &Handle, metrics: &Arc<Metrics>) -> (Arc<Self>, Exporting) {
        let (queue, spans) = mpsc::channel(QUEUE);
        let task = tasks.spawn(exporter::run(collector, group.to_owned(), spans, Arc::clone(metrics)));
        let (ids, count) = (RandomState::new(), AtomicU64::new(0));
        (Arc::new(Self { queue, ids, count, metrics: Arc::clone(metrics) }), Exporting(task))
    }

    /// A call begins; none if nobody asked for its trace.
    pub(super) fn begin(&self, deliveries: &[Delivery], origins: &[Arc<Origin>]) -> Option<Open> {
        let sampled = |delivery: &Delivery| Context::of(header(&delivery.record, TRACEPARENT)?);
        let mut links: Vec<Context> = deliveries.iter().filter_map(sampled).filter(|one| one.sampled).collect();
        let first = *links.first()?;
        links.truncate(LINKS_MAX);
        let span = self.id();
        let (trace, parent) = if deliveries.len() == 1 {
            links.clear();
            (first.trace, Some(first.span))
        } else {
            let (high, low) = (self.id(), self.id());
            (<[u8; 16]>::try_from([high, low].concat()).unwrap_or(first.trace), None)
        };
        let (delivery, origin) = deliveries.first().zip(origins.first())?;
        let place = Place {
            topic: origin.topic.to_string(),
            partition: origin.partition,
            offset: delivery.record.offset(),
            attempt: delivery.attempt,
            records: deliveries.len(),
        };
        Some(Open { context: Context { trace, span, sampled: true }, parent, links, place, began: nanos() })
    }

    /// It has ended, with an outcome for each of its records.
    pub(super) fn end(&self, open: Open, outcomes: &[Outcome]) {
        let Open { context, parent, links, place, began } = open;
        let failures: Vec<&'static str> = outcomes.iter().filter_map(class).collect();
        let span = Span { context, parent, links, place, began, ended: nanos(), failures };
        if self.queue.try_send(span).is_err() {
            self.metrics.spans.with_label_values(&["dropped"]).inc();
        }
    }

    fn id(&self) -> [u8; 8] {
        // Zero would be invalid.
        self.ids.hash_one(self.count.fetch_add(1, Ordering::Relaxed)).max(1).to_be_bytes()
    }
}

impl Open {
    /// What the processor is told.
    pub(super) fn traceparent(&self) -> String {
        self.context.to_string()
    }
}

impl Exporting {
    /// Waits a little while until what is left was sent. Every [`Spans`] must be gone before.
    pub async fn finish(self) {
        let _late = tokio::time::timeout(FLUSH, self.0).await;
    }
}

/// Why a record was not taken.
fn class(outcome: &Outcome) -> Option<&'static str> {
    match outcome {
        Outcome::Ack | Outcome::AckWith(_) | Outcome::Skip => None,
        Outcome::Retry(failure)
        | Outcome::Reject(failure)
        | Outcome::Overload(failure)
        | Outcome::Unavailable(failure)
        | Outcome::BatchFailed(failure)
        | Outcome::ConnectionLost(failure) => Some(failure.class.as_str()),
        Outcome::Cancelled => Some("Cancelled"),
    }
}

fn nanos() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or_default()
}
