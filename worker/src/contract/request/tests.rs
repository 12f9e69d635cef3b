use http_body_util::BodyExt as _;
use penstock_engine::seam::{NewRecord, Timestamp as RecordTime};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::testing::{deliveries, delivery};
use super::*;

fn request(delivery: &Delivery) -> Request<Full<Bytes>> {
    let (endpoint, address) = Endpoint::new("http://orders.shop.svc/process?x=1", "shop/orders").unwrap();
    assert_eq!(address, "orders.shop.svc:80");
    let origin = Origin::new("orders".into(), 3, "c1", "t1");
    endpoint.request(&origin, delivery, Duration::from_millis(1500))
}

fn body(request: Request<Full<Bytes>>) -> Bytes {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(request.into_body().collect()).unwrap().to_bytes()
}

#[test]
fn a_record_is_a_cloud_event() {
    let new = NewRecord {
        offset: 42,
        timestamp: RecordTime::Create(1_356_998_400_000),
        key: Some("Zürich".as_bytes()),
        value: Some(b"{}"),
        ..NewRecord::default()
    };
    let request =
        request(&delivery(new, &[(b"content-type", Some(b"application/json")), (b"traceparent", Some(b"00-1"))]));
    assert_eq!((request.method().as_str(), request.uri().to_string().as_str()), ("POST", "/process?x=1"));
    let expected = [
        ("host", "orders.shop.svc"),
        ("content-length", "2"),
        ("content-type", "application/json"),
        ("ce-specversion", "1.0"),
        ("ce-id", "c1/t1/3/42"),
        ("ce-source", "kafka://c1/orders"),
        ("ce-type", EVENT_TYPE),
        ("ce-time", "2013-01-01T00:00:00Z"),
        ("ce-partitionkey", "Z%C3%BCrich"),
        ("idempotency-key", "c1/t1/3/42"),
        ("penstock-pipeline", "shop/orders"),
        ("penstock-topic", "orders"),
        ("penstock-partition", "3"),
        ("penstock-offset", "42"),
        ("penstock-timestamp", "1356998400000"),
        ("penstock-key", "Z%C3%BCrich"),
        ("penstock-headers", "content-type=application%2Fjson&traceparent=00-1"),
        ("penstock-attempt", "2"),
        ("penstock-owner", "7"),
        ("penstock-deadline-ms", "1500"),
        ("traceparent", "00-1"),
    ];
    for (name, value) in expected {
        assert_eq!(request.headers().get(name).map(|value| value.to_str().unwrap()), Some(value), "{name}");
    }
    assert_eq!(request.headers().len(), expected.len());
    assert_eq!(body(request), "{}");
}

#[test]
fn null_and_empty_are_different() {
    let null = request(&delivery(NewRecord::default(), &[]));
    assert_eq!(null.headers()[NULL], "key,value");
    assert!(!null.headers().contains_key(KEY));
    assert_eq!(null.headers()["content-length"], "0", "always there");
    let empty = request(&delivery(NewRecord { key: Some(b""), value: Some(b""), ..NewRecord::default() }, &[]));
    assert_eq!(empty.headers()[KEY], "");
    assert!(!empty.headers().contains_key(NULL) && !empty.headers().contains_key("ce-partitionkey"));
}

#[test]
fn binary_keys_and_headers_are_carried() {
    let new = NewRecord { key: Some(b"\xff\0"), value: Some(b"v"), ..NewRecord::default() };
    let request = request(&delivery(new, &[(b"\xfe", Some(b"\0"))]));
    assert_eq!(request.headers()[KEY], "%FF%00");
    assert_eq!(request.headers()[HEADERS], "%FE=%00");
    assert!(!request.headers().contains_key("ce-partitionkey"), "not text, so not an attribute");
}

#[test]
fn a_record_that_is_a_cloud_event_keeps_its_own_attributes() {
    let own: [(&[u8], Option<&[u8]>); 3] =
        [(b"ce_specversion", Some(b"1.0")), (b"ce_id", Some(b"A 1")), (b"ce_type", Some(b"shop.order"))];
    let request = request(&delivery(NewRecord { value: Some(b"v"), ..NewRecord::default() }, &own));
    assert_eq!(request.headers()["ce-id"], "A%201");
    assert_eq!(request.headers()["ce-type"], "shop.order");
    assert_eq!(request.headers()["ce-source"], "kafka://c1/orders");
    assert_eq!(request.headers()["idempotency-key"], "c1/t1/3/0");
}

#[test]
fn long_headers_travel_in_the_body() {
    let long = vec![b'x'; HEADER_BYTES_MAX];
    let new = NewRecord { key: Some(b"k"), value: Some(b"\xff"), ..NewRecord::default() };
    let request = request(&delivery(new, &[(b"h", Some(&long))]));
    assert_eq!(request.headers()[CONTENT_TYPE], "application/cloudevents+json");
    assert_eq!(request.headers()["penstock-attempt"], "2");
    assert_eq!(request.headers()["penstock-records"], "1");
    let event: Value = serde_json::from_slice(&body(request)).unwrap();
    assert_eq!(event["specversion"], "1.0");
    assert_eq!(event["id"], "c1/t1/3/0");
    assert_eq!(event["penstockkey"], "k");
    assert_eq!(event["data_base64"], "/w==");
    assert_eq!(event["penstockheaders"].as_str().unwrap().len(), HEADER_BYTES_MAX + 2);
}

#[test]
fn a_batch_travels_in_the_body() {
    let (endpoint, _) = Endpoint::new("http://orders.shop.svc/process", "shop/orders").unwrap();
    let origin = Arc::new(Origin::new("orders".into(), 3, "c1", "t1"));
    let request = endpoint.batch(&[Arc::clone(&origin), origin], &deliveries(2), Duration::from_millis(1500));
    let head = [
        ("host", "orders.shop.svc"),
        ("content-type", "application/cloudevents-batch+json"),
        ("penstock-pipeline", "shop/orders"),
        ("penstock-records", "2"),
        ("penstock-deadline-ms", "1500"),
    ];
    for (name, value) in head {
        assert_eq!(request.headers()[name], value, "{name}");
    }
    assert_eq!(request.headers().len(), head.len() + 1, "and the length of the body");
    let length = request.headers()["content-length"].to_str().unwrap().parse::<usize>().unwrap();
    let body = body(request);
    assert_eq!(body.len(), length);
    let events: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((&events[0]["penstockkey"], &events[1]["penstockkey"]), (&json!("k0"), &json!("k1")));
}

#[test]
fn only_http_urls_can_be_called() {
    for url in ["https://x/", "ftp://x", "/x", "x"] {
        assert!(Endpoint::new(url, "a/b").is_err(), "{url}");
    }
}

proptest! {
    #[test]
    fn the_short_way_says_what_the_long_way_does(
        offset in 0_i64.., key: Option<Vec<u8>>, text in "\\PC*", millis in proptest::option::of(0_i64..4_102_444_800_000),
    ) {
        let timestamp = millis.map_or(RecordTime::None, RecordTime::Create);
        for key in [key.as_deref(), Some(text.as_bytes())] {
            let delivery = delivery(NewRecord { offset, timestamp, key, ..NewRecord::default() }, &[]);
            let origin = Origin::new("orders".into(), 3, "c1 \u{e9}", "t1");
            let (mut long, mut short) = (Head::of(&[]), Head::of(&[]));
            put_attributes(&origin, &delivery.record, &mut long);
            put_plain_attributes(&origin, &delivery.record, &mut short);
            prop_assert_eq!(long.finish(), short.finish());
        }
    }
}
