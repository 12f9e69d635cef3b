//! Spans of calls against a little collector: what it gets, what the processor is told, and that neither being off nor a collector that
//! is away touches a call.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[allow(dead_code, reason = "each test program uses its part")]
mod client;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::http::HeaderMap;
use axum::routing::post;
use penstock_engine::seam::{NewRecord, Outcome};
use penstock_worker::metrics::Metrics;
use penstock_worker::processor::{Collector, Exporting, Spans};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use crate::client::{Client, Headers, runtime};

const SAMPLED: &[u8] = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const UNSAMPLED: &[u8] = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";

/// A processor that acknowledges and notes each `traceparent`, and a collector.
struct Around {
    url: String,
    told: Arc<Mutex<Vec<String>>>,
    exports: Arc<Mutex<Vec<Value>>>,
}

impl Around {
    fn new(runtime: &Runtime) -> Self {
        let (told, exports) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Vec::new())));
        let (noted, got) = (Arc::clone(&told), Arc::clone(&exports));
        let process = move |headers: HeaderMap| async move {
            let parent = headers.get("traceparent").map(|value| value.to_str().unwrap().to_owned());
            noted.lock().unwrap().push(parent.unwrap_or_default());
        };
        let collect = move |body: String| async move { got.lock().unwrap().push(serde_json::from_str(&body).unwrap()) };
        let router = Router::new().route("/", post(process)).route("/v1/traces", post(collect));
        let url = runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
            format!("http://{address}")
        });
        Self { url, told, exports }
    }

    fn told(&self) -> Vec<String> {
        self.told.lock().unwrap().clone()
    }

    /// The spans that came, when all have.
    fn spans(&self) -> Vec<Value> {
        let exports = self.exports.lock().unwrap();
        exports
            .iter()
            .flat_map(|export| export["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap().clone())
            .collect()
    }
}

fn spans(runtime: &Runtime, endpoint: &str, metrics: &Arc<Metrics>) -> (Arc<Spans>, Exporting) {
    let named = |name: &str| (name == "OTEL_EXPORTER_OTLP_ENDPOINT").then(|| endpoint.to_owned());
    Spans::start(Collector::from_env(named).unwrap().unwrap(), "shop.orders", runtime.handle(), metrics)
}

fn with(parent: &[u8]) -> [(&'static [u8], Option<&[u8]>); 1] {
    [(b"traceparent", Some(parent))]
}

fn record() -> NewRecord<'static> {
    NewRecord { key: Some(b"k"), value: Some(b"v"), ..NewRecord::default() }
}

#[test]
fn a_sampled_record_s_call_is_a_span_of_its_trace_and_the_processor_s_parent() {
    let (runtime, metrics) = (runtime(), Arc::new(Metrics::new().unwrap()));
    let around = Around::new(&runtime);
    let (spans, exporting) = spans(&runtime, &around.url, &metrics);
    let mut client = Client::of(&around.url).traced(spans);
    for headers in [&with(SAMPLED)[..], &with(UNSAMPLED), &[]] {
        assert!(matches!(client.call(record(), headers), Outcome::Ack | Outcome::AckWith(_)));
    }
    drop(client);
    runtime.block_on(exporting.finish());
    let told = around.told();
    assert_eq!(told[1..], [String::from_utf8(UNSAMPLED.to_vec()).unwrap(), String::new()], "as they came");
    let [span] = &around.spans()[..] else { panic!("{:?}", around.spans()) };
    let (trace, id) = (span["traceId"].as_str().unwrap(), span["spanId"].as_str().unwrap());
    assert_eq!(told[0], format!("00-{trace}-{id}-01"));
    assert_eq!(trace, "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(span["parentSpanId"], "b7ad6b7169203331");
    assert_eq!((&span["name"], &span["status"]), (&"process orders".into(), &serde_json::json!({})));
    assert!(metrics.text().contains("penstock_worker_spans_total{result=\"exported\"} 1"));
}

#[test]
fn a_batch_is_a_trace_of_its_own_with_links() {
    let (runtime, metrics) = (runtime(), Arc::new(Metrics::new().unwrap()));
    let around = Around::new(&runtime);
    let (spans, exporting) = spans(&runtime, &around.url, &metrics);
    let mut client = Client::batching(&around.url).traced(spans);
    let (sampled, unsampled) = (with(SAMPLED), with(UNSAMPLED));
    let records: [(NewRecord<'_>, Headers<'_>); 3] = [(record(), &sampled), (record(), &unsampled), (record(), &[])];
    assert_eq!(client.batch(&records).len(), 3);
    drop(client);
    runtime.block_on(exporting.finish());
    let [span] = &around.spans()[..] else { panic!("{:?}", around.spans()) };
    let trace = span["traceId"].as_str().unwrap();
    assert!(around.told()[0].contains(trace) && trace != "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(span["parentSpanId"], "");
    let links = span["links"].as_array().unwrap();
    assert_eq!((links.len(), &links[0]["spanId"]), (1, &"b7ad6b7169203331".into()));
}

#[test]
fn a_collector_that_is_away_costs_spans_and_nothing_else() {
    let (runtime, metrics) = (runtime(), Arc::new(Metrics::new().unwrap()));
    let around = Around::new(&runtime);
    let (spans, exporting) = spans(&runtime, "http://127.0.0.1:1", &metrics);
    let mut client = Client::of(&around.url).traced(spans);
    let begin = std::time::Instant::now();
    for _ in 0..10 {
        assert!(matches!(client.call(record(), &with(SAMPLED)), Outcome::Ack | Outcome::AckWith(_)));
    }
    assert!(begin.elapsed() < Duration::from_secs(5), "calls do not wait for it");
    drop(client);
    runtime.block_on(exporting.finish());
    assert!(metrics.text().contains("penstock_worker_spans_total{result=\"dropped\"} 10"), "{}", metrics.text());
}
