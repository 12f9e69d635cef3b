//! What a worker counts. Names begin with `penstock_worker_` and end in their unit; labels are from bounded sets.

mod engine;

use std::cell::RefCell;

use penstock_engine::seam::{AtOnce, Outcome};
use prometheus::core::{Collector, Desc};
use prometheus::proto::{MetricFamily, MetricType};
use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry, TextEncoder};

pub use self::engine::EngineMetrics;

/// All metrics of one worker, in a registry of their own.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    families: Vec<(Desc, MetricType)>,
    /// What the engine counts.
    pub engine: EngineMetrics,
    /// Records taken from Kafka.
    pub records_received: IntCounter,
    /// Bytes of keys, values and headers taken from Kafka.
    pub bytes_received: IntCounter,
    /// Ended calls by outcome.
    calls: IntCounterVec,
    acknowledged: IntCounter,
    /// Seconds of one call to the processor.
    pub call_seconds: Histogram,
    /// Calls in progress.
    pub calls_in_progress: IntGauge,
    /// Records written by destination and result.
    pub forwards: IntCounterVec,
    /// Records sent whose confirmation is awaited.
    pub forwards_in_progress: IntGauge,
    /// Commits of one partition by result.
    pub commits: IntCounterVec,
    /// Rebalances by kind.
    pub rebalances: IntCounterVec,
    /// Seconds from a revocation to its release: meanwhile the group delivers nothing to this worker.
    pub revoke_seconds: Histogram,
    /// Partitions read.
    pub partitions_assigned: IntGauge,
    /// Errors of the Kafka client by name.
    pub kafka_errors: IntCounterVec,
    /// Clients made again after a fatal error.
    pub clients_rebuilt: IntCounterVec,
    /// Partitions that delivered nothing although records were there, by what was done about it.
    pub stall_recoveries: IntCounterVec,
    /// Turns of the loop.
    pub turns: IntCounter,
    /// The loop slept although there was work, for nobody rang: a lost wake-up. Stays 0.
    pub woken_by_cap_with_work: IntCounter,
    /// Spans by what became of them; none while no collector is named.
    pub spans: IntCounterVec,
    /// 1 while records are handed over: 0 before the processor is ready, and while the circuit is open.
    pub processor_up: IntGauge,
}

impl Metrics {
    /// Metrics in a new registry.
    ///
    /// # Errors
    /// Never, unless two metrics below had one name.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Catalogue::default();
        let calls = counters(&registry, "calls_total", "Ended calls to the processor", &["outcome"])?;
        Ok(Self {
            engine: EngineMetrics::new(&registry)?,
            records_received: counter(&registry, "records_received_total", "Records taken from Kafka")?,
            bytes_received: counter(&registry, "received_bytes_total", "Keys, values and headers taken from Kafka")?,
            acknowledged: calls.with_label_values(&["ack"]),
            calls,
            call_seconds: histogram(&registry, "call_seconds", "One call to the processor, connecting included")?,
            calls_in_progress: gauge(&registry, "calls_in_progress", "Calls to the processor that run")?,
            forwards: counters(
                &registry,
                "forwards_total",
                "Records for the output or dead-letter topic by what became of them",
                &["to", "result"],
            )?,
            forwards_in_progress: gauge(&registry, "forwards_in_progress", "Records sent and not yet confirmed")?,
            commits: counters(&registry, "commits_total", "Offset commits, one for each partition", &["result"])?,
            rebalances: counters(&registry, "rebalances_total", "Changes of the assignment", &["kind"])?,
            revoke_seconds: histogram(&registry, "revoke_stall_seconds", "From a revocation to its release")?,
            partitions_assigned: gauge(&registry, "partitions_assigned", "Partitions that this worker reads")?,
            kafka_errors: counters(&registry, "kafka_errors_total", "Errors of the Kafka client", &["error"])?,
            clients_rebuilt: counters(&registry, "clients_rebuilt_total", "Clients made anew", &["client"])?,
            stall_recoveries: counters(
                &registry,
                "stall_recoveries_total",
                "Partitions that delivered nothing although records were there, by what was done about it",
                &["by"],
            )?,
            turns: counter(&registry, "loop_turns_total", "Turns of the loop")?,
            woken_by_cap_with_work: counter(
                &registry,
                "woken_by_cap_with_work_total",
                "Sleeps whose time was up with work that nobody rang for: lost wake-ups, which must not happen",
            )?,
            spans: counters(&registry, "spans_total", "Spans of calls, for a collector of traces", &["result"])?,
            processor_up: gauge(
                &registry,
                "processor_up",
                "1 while records are handed over: 0 before the processor is ready, and while the circuit is open",
            )?,
            families: registry.families.into_inner(),
            registry: registry.inner,
        })
    }

    /// Counts how a call ended.
    pub fn ended(&self, outcome: &Outcome) {
        let label = match outcome {
            Outcome::Ack | Outcome::AckWith(_) => return self.acknowledged.inc(),
            Outcome::Skip => "skip",
            Outcome::Retry(_) => "retry",
            Outcome::Reject(_) => "reject",
            Outcome::Overload(_) => "overload",
            Outcome::Unavailable(_) => "unavailable",
            Outcome::BatchFailed(_) => "batch_failed",
            Outcome::ConnectionLost(_) => "connection_lost",
            Outcome::Cancelled => "cancelled",
        };
        self.calls.with_label_values(&[label]).inc();
    }

    /// Counts many acknowledgements at once.
    pub fn acknowledged(&self, records: usize) {
        self.acknowledged.inc_by(u64::try_from(records).unwrap_or(u64::MAX));
    }

    /// Counts calls that were over before the engine heard of them.
    pub fn answered_at_once(&self, answers: &AtOnce) {
        self.acknowledged.inc_by(u64::from(answers.records - answers.skipped));
        if answers.skipped > 0 {
            self.calls.with_label_values(&["skip"]).inc_by(answers.skipped.into());
        }
        if let Some(other) = &answers.other {
            self.ended(other);
        }
    }

    /// What all of them are called and mean, those without a series too.
    pub fn families(&self) -> &[(Desc, MetricType)] {
        &self.families
    }

    /// All of them in Prometheus' text format.
    pub fn text(&self) -> String {
        TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap_or_default()
    }
}

/// A registry, and what is in it: of a family that has no series yet the registry itself tells nothing.
#[derive(Default)]
struct Catalogue {
    inner: Registry,
    families: RefCell<Vec<(Desc, MetricType)>>,
}

fn name(suffix: &str) -> String {
    format!("penstock_worker_{suffix}")
}

fn registered<C: Collector + Clone + 'static>(registry: &Catalogue, collector: C) -> Result<C, prometheus::Error> {
    registry.inner.register(Box::new(collector.clone()))?;
    let types = collector.collect();
    let types = types.iter().map(MetricFamily::get_field_type);
    registry.families.borrow_mut().extend(collector.desc().into_iter().cloned().zip(types));
    Ok(collector)
}

fn counter(registry: &Catalogue, suffix: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
    registered(registry, IntCounter::new(name(suffix), help)?)
}

fn counters(
    registry: &Catalogue,
    suffix: &str,
    help: &str,
    labels: &[&str],
) -> Result<IntCounterVec, prometheus::Error> {
    registered(registry, IntCounterVec::new(Opts::new(name(suffix), help), labels)?)
}

fn gauge(registry: &Catalogue, suffix: &str, help: &str) -> Result<IntGauge, prometheus::Error> {
    registered(registry, IntGauge::new(name(suffix), help)?)
}

/// Buckets from 0.1 ms to 52 s, each twice the one before.
fn histogram(registry: &Catalogue, suffix: &str, help: &str) -> Result<Histogram, prometheus::Error> {
    let buckets = prometheus::exponential_buckets(0.0001, 2.0, 20)?;
    registered(registry, Histogram::with_opts(HistogramOpts::new(name(suffix), help).buckets(buckets))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_has_the_prefix_and_is_there_from_the_start() {
        let metrics = Metrics::new().unwrap();
        metrics.ended(&Outcome::Ack);
        metrics.ended(&Outcome::Skip);
        let text = metrics.text();
        assert!(text.contains("penstock_worker_calls_total{outcome=\"ack\"} 1"), "{text}");
        assert!(text.lines().filter(|line| !line.starts_with('#')).all(|line| line.starts_with("penstock_worker_")));
        for at_zero in ["woken_by_cap_with_work_total 0", "records_received_total 0", "calls_in_progress 0"] {
            assert!(text.contains(at_zero), "{at_zero}");
        }
    }
}
