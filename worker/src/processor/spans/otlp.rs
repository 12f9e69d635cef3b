//! Spans in OTLP's JSON (opentelemetry-proto 1.x, "JSON Protobuf Encoding"): ids in hexadecimal, 64-bit integers as text. Names of
//! attributes are OpenTelemetry's semantic conventions for messaging.

use serde_json::{Value, json};

use super::context::{Context, hex};

/// `SPAN_KIND_CONSUMER`.
const CONSUMER: u8 = 5;
/// `STATUS_CODE_ERROR`.
const ERROR: u8 = 2;

/// A call that has ended.
#[derive(Debug)]
pub(super) struct Span {
    pub(super) context: Context,
    pub(super) parent: Option<[u8; 8]>,
    pub(super) links: Vec<Context>,
    pub(super) place: Place,
    /// Nanoseconds since 1970.
    pub(super) began: u64,
    pub(super) ended: u64,
    /// Why records were not taken, each by its class.
    pub(super) failures: Vec<&'static str>,
}

/// What was called for: of a batch, its first record.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) topic: String,
    pub(super) partition: i32,
    pub(super) offset: i64,
    pub(super) attempt: u32,
    pub(super) records: usize,
}

/// The body of one export.
pub(super) fn body(service: &str, group: &str, spans: &[Span]) -> Vec<u8> {
    let spans: Vec<Value> = spans.iter().map(|one| span(one, group)).collect();
    let scope = json!({"name": "penstock", "version": env!("CARGO_PKG_VERSION")});
    let resource = json!({"attributes": [text("service.name", service)]});
    let export = json!({"resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": scope, "spans": spans}]}]});
    export.to_string().into_bytes()
}

fn span(span: &Span, group: &str) -> Value {
    let Span { context, parent, links, place, began, ended, failures } = span;
    let mut attributes = vec![
        text("messaging.system", "kafka"),
        text("messaging.operation.type", "process"),
        text("messaging.destination.name", &place.topic),
        text("messaging.consumer.group.name", group),
    ];
    if place.records == 1 {
        attributes.push(text("messaging.destination.partition.id", &place.partition.to_string()));
        attributes.push(integer("messaging.kafka.offset", &place.offset));
        attributes.push(integer("penstock.attempt", &place.attempt));
    } else {
        attributes.push(integer("messaging.batch.message_count", &place.records));
        attributes.push(integer("penstock.not_taken", &failures.len()));
    }
    if let Some(class) = failures.first() {
        attributes.push(text("error.type", class));
    }
    let links: Vec<Value> =
        links.iter().map(|link| json!({"traceId": hex(&link.trace), "spanId": hex(&link.span)})).collect();
    json!({
        "traceId": hex(&context.trace),
        "spanId": hex(&context.span),
        "parentSpanId": parent.map(|parent| hex(&parent)).unwrap_or_default(),
        "flags": u8::from(context.sampled),
        "name": format!("process {}", place.topic),
        "kind": CONSUMER,
        "startTimeUnixNano": began.to_string(),
        "endTimeUnixNano": ended.to_string(),
        "attributes": attributes,
        "links": links,
        "status": if failures.is_empty() { json!({}) } else { json!({"code": ERROR}) },
    })
}

fn text(key: &str, value: &str) -> Value {
    json!({"key": key, "value": {"stringValue": value}})
}

fn integer(key: &str, value: &dyn std::fmt::Display) -> Value {
    json!({"key": key, "value": {"intValue": value.to_string()}})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_written_as_the_protocol_says() {
        let context = Context { trace: [0xab; 16], span: [1; 8], sampled: true };
        let place = Place { topic: "orders".to_owned(), partition: 3, offset: 42, attempt: 2, records: 1 };
        let (links, failures) = (vec![context], vec!["ServerError"]);
        let span = Span { context, parent: Some([2; 8]), links, place, began: 5, ended: 7, failures };
        let body: Value = serde_json::from_slice(&body("penstock-worker", "shop.orders", &[span])).unwrap();
        let group = &body["resourceSpans"][0];
        assert_eq!(group["resource"]["attributes"][0], text("service.name", "penstock-worker"));
        let span = &group["scopeSpans"][0]["spans"][0];
        assert_eq!(span["traceId"], "abababababababababababababababab");
        assert_eq!((&span["spanId"], &span["parentSpanId"]), (&json!("0101010101010101"), &json!("0202020202020202")));
        assert_eq!(
            (&span["startTimeUnixNano"], &span["kind"], &span["status"]["code"]),
            (&json!("5"), &json!(5), &json!(2))
        );
        assert_eq!(span["links"][0]["spanId"], "0101010101010101");
        let offset = integer("messaging.kafka.offset", &42);
        assert!(span["attributes"].as_array().unwrap().contains(&offset), "{span}");
    }
}
