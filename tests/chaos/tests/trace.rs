//! Spans of calls, on the lab that all tests share (`LAB_DIR`): one variable of its environment is all that a worker needs.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod stage;

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use stage::{Stage, lock};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

#[test]
fn the_call_of_a_traced_record_is_a_span_at_the_collector_that_the_environment_names() {
    let stage = Stage::new("trace", 1);
    let (told, exports) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Vec::new())));
    let processor = stage.serve({
        let told = Arc::clone(&told);
        move |request| {
            lock(&told).push(request.headers.get("traceparent").cloned());
            204
        }
    });
    let collector = stage.serve({
        let exports = Arc::clone(&exports);
        move |request| {
            lock(&exports).push((request.path.clone(), request.body().to_owned()));
            200
        }
    });
    let (parent, endpoint) = (format!("00-{TRACE}-{PARENT}-01"), format!("http://127.0.0.1:{collector}"));
    stage.produce_with(&[("traceparent", parent.as_str())], [(0, None, "a record".to_owned())]);
    let pipeline = stage.pipeline(processor, "", "ordering: Key");
    let mut worker = stage.start_with(&pipeline, &[("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str())]);
    stage.wait("the export", || !lock(&exports).is_empty());
    assert_eq!(worker.stop(), Some(0));

    let exports = lock(&exports).clone();
    let [(path, body)] = exports.as_slice() else { panic!("{exports:?}") };
    assert_eq!(path, "/v1/traces");
    let export: Value = serde_json::from_str(body).unwrap();
    let spans = &export["resourceSpans"][0]["scopeSpans"][0]["spans"];
    assert_eq!(spans.as_array().map(Vec::len), Some(1), "{body}");
    let span = &spans[0];
    assert_eq!(span["traceId"], TRACE);
    assert_eq!(span["parentSpanId"], PARENT);
    let group = json!({"key": "messaging.consumer.group.name", "value": {"stringValue": stage.name}});
    assert!(span["attributes"].as_array().unwrap().contains(&group), "{body}");
    let id = span["spanId"].as_str().unwrap();
    assert_eq!(*lock(&told), [Some(format!("00-{TRACE}-{id}-01"))], "the processor's spans hang on the call's");
    stage.end();
}
