//! What the operator counts and measures, in a registry of its own. Series of a pipeline go with the pipeline.

use std::sync::Arc;
use std::time::Duration;

use prometheus::core::{Collector, Desc};
use prometheus::proto::{MetricFamily, MetricType};
use prometheus::{Encoder as _, Gauge, GaugeVec, Histogram, HistogramOpts, IntCounterVec, Opts, Registry, TextEncoder};

/// The metrics. Clones share them.
#[derive(Clone)]
pub struct Metrics {
    inner: Arc<Inner>,
}

struct Inner {
    registry: Registry,
    reconcile_seconds: Histogram,
    reconciles: IntCounterVec,
    writes: IntCounterVec,
    events: IntCounterVec,
    leader: Gauge,
    pipelines: Gauge,
    lag: GaugeVec,
    partitions: GaugeVec,
    replicas: GaugeVec,
    ready: GaugeVec,
    desired: GaugeVec,
    sample_age: GaugeVec,
}

/// Numbers of one pipeline. `None` removes the series: an unknown lag is not 0.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PipelineNumbers {
    /// Records that are not done.
    pub lag: Option<f64>,
    /// Partitions of all source topics.
    pub partitions: Option<f64>,
    /// Replicas of the Deployment.
    pub replicas: Option<f64>,
    /// Pods that are ready.
    pub ready: Option<f64>,
    /// Replicas decided on; with mode Advise those it would choose.
    pub desired: Option<f64>,
    /// Seconds since the oldest value of the newest sample was true.
    pub sample_age_seconds: Option<f64>,
}

const PIPELINE: [&str; 2] = ["namespace", "pipeline"];

impl Metrics {
    /// Registers everything.
    ///
    /// # Errors
    /// Never, as long as names differ; a unit test holds that.
    pub fn new() -> Result<Self, prometheus::Error> {
        let buckets = vec![0.0005, 0.002, 0.01, 0.05, 0.25, 1.0, 5.0, 30.0];
        let duration = "Time of one reconcile, in seconds.";
        let inner = Inner {
            reconcile_seconds: Histogram::with_opts(
                HistogramOpts::new("penstock_operator_reconcile_duration_seconds", duration).buckets(buckets),
            )?,
            reconciles: counter(
                "reconciles_total",
                "Reconciles by outcome: ok, or the reason of the failure.",
                &["outcome"],
            )?,
            writes: counter(
                "api_writes_total",
                "Requests that write to the API server, by kind, verb and result.",
                &["kind", "verb", "result"],
            )?,
            events: counter("events_total", "Events published, by reason.", &["reason"])?,
            leader: Gauge::new("penstock_operator_leader", "1 while this process holds the lease.")?,
            pipelines: Gauge::new("penstock_operator_pipelines", "Pipelines this process looks after.")?,
            lag: gauge("lag_records", "Records that are not done. Absent while unknown.")?,
            partitions: gauge("partitions", "Partitions of all source topics.")?,
            replicas: gauge("replicas", "Replicas of the Deployment.")?,
            ready: gauge("ready_replicas", "Pods that are ready.")?,
            desired: gauge("desired_replicas", "Replicas decided on; with mode Advise those that Auto would choose.")?,
            sample_age: gauge("sample_age_seconds", "Age of the oldest value of the newest Kafka sample.")?,
            registry: Registry::new(),
        };
        inner.register()?;
        Ok(Self { inner: Arc::new(inner) })
    }

    /// A write to the API server was tried.
    pub fn wrote(&self, kind: &str, verb: &str, ok: bool) {
        self.inner.writes.with_label_values(&[kind, verb, if ok { "ok" } else { "error" }]).inc();
    }

    /// A reconcile ended.
    pub fn reconciled(&self, outcome: &str, took: Duration) {
        self.inner.reconcile_seconds.observe(took.as_secs_f64());
        self.inner.reconciles.with_label_values(&[outcome]).inc();
    }

    /// An Event was published.
    pub fn told(&self, reason: &str) {
        self.inner.events.with_label_values(&[reason]).inc();
    }

    /// This process leads, or does not.
    pub fn leads(&self, leads: bool) {
        self.inner.leader.set(if leads { 1.0 } else { 0.0 });
    }

    /// How many pipelines there are.
    pub fn looks_after(&self, pipelines: usize) {
        self.inner.pipelines.set(pipelines as f64);
    }

    /// Sets the numbers of one pipeline.
    pub fn pipeline(&self, namespace: &str, name: &str, numbers: &PipelineNumbers) {
        for (gauge, value) in self.inner.of(numbers) {
            match value {
                Some(value) => gauge.with_label_values(&[namespace, name]).set(value),
                None => forget(gauge, namespace, name),
            }
        }
    }

    /// Removes the series of a pipeline that is gone.
    pub fn forget(&self, namespace: &str, name: &str) {
        for (gauge, _) in self.inner.of(&PipelineNumbers::default()) {
            forget(gauge, namespace, name);
        }
    }

    /// What all of them are called and mean, those without a series too.
    pub fn families(&self) -> Vec<(Desc, MetricType)> {
        let mut families = Vec::new();
        for collector in self.inner.collectors() {
            let types = collector.collect();
            let types = types.iter().map(MetricFamily::get_field_type);
            families.extend(collector.desc().into_iter().cloned().zip(types));
        }
        families
    }

    /// All metrics in Prometheus' text format.
    ///
    /// # Errors
    /// Never for the metrics registered here.
    pub fn text(&self) -> Result<Vec<u8>, prometheus::Error> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.inner.registry.gather(), &mut text)?;
        Ok(text)
    }
}

impl Inner {
    fn register(&self) -> Result<(), prometheus::Error> {
        for collector in self.collectors() {
            self.registry.register(collector)?;
        }
        Ok(())
    }

    fn collectors(&self) -> Vec<Box<dyn Collector>> {
        let mut all: Vec<Box<dyn Collector>> = vec![Box::new(self.reconcile_seconds.clone())];
        for counter in [&self.reconciles, &self.writes, &self.events] {
            all.push(Box::new(counter.clone()));
        }
        for gauge in [&self.leader, &self.pipelines] {
            all.push(Box::new(gauge.clone()));
        }
        for (gauge, _) in self.of(&PipelineNumbers::default()) {
            all.push(Box::new(gauge.clone()));
        }
        all
    }

    fn of(&self, numbers: &PipelineNumbers) -> [(&GaugeVec, Option<f64>); 6] {
        let PipelineNumbers { lag, partitions, replicas, ready, desired, sample_age_seconds } = *numbers;
        [
            (&self.lag, lag),
            (&self.partitions, partitions),
            (&self.replicas, replicas),
            (&self.ready, ready),
            (&self.desired, desired),
            (&self.sample_age, sample_age_seconds),
        ]
    }
}

fn counter(name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec, prometheus::Error> {
    IntCounterVec::new(Opts::new(format!("penstock_operator_{name}"), help), labels)
}

fn gauge(name: &str, help: &str) -> Result<GaugeVec, prometheus::Error> {
    GaugeVec::new(Opts::new(format!("penstock_pipeline_{name}"), help), &PIPELINE)
}

/// A series that was never set is not there to be removed.
fn forget(gauge: &GaugeVec, namespace: &str, name: &str) {
    let _ = gauge.remove_label_values(&[namespace, name]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_come_and_go_with_the_pipeline() {
        let metrics = Metrics::new().unwrap();
        let text = |metrics: &Metrics| String::from_utf8(metrics.text().unwrap()).unwrap();
        let numbers = PipelineNumbers { lag: Some(3.0), replicas: Some(2.0), ..PipelineNumbers::default() };
        metrics.pipeline("shop", "orders", &numbers);
        assert!(text(&metrics).contains(r#"penstock_pipeline_lag_records{namespace="shop",pipeline="orders"} 3"#));
        metrics.pipeline("shop", "orders", &PipelineNumbers { lag: None, ..numbers });
        assert!(!text(&metrics).contains("penstock_pipeline_lag_records{"));
        metrics.forget("shop", "orders");
        assert!(!text(&metrics).contains("orders"));
    }
}
