use penstock_engine::seam::{NewRecord, OutputRecord, Timestamp};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::output::Event;
use super::super::testing::delivery;
use super::*;

fn origin() -> Origin {
    Origin::new("orders".into(), 3, "c\"1", "t1")
}

fn parsed(delivery: &Delivery) -> Value {
    serde_json::from_slice(&single(&origin(), delivery)).unwrap()
}

#[test]
fn an_event_says_what_a_request_s_head_would() {
    let new = NewRecord {
        offset: 4_200_000_000,
        timestamp: Timestamp::Create(1_356_998_400_000),
        key: Some("Zürich \"7\"".as_bytes()),
        value: Some(b"\xff"),
        ..NewRecord::default()
    };
    let headers: [(&[u8], Option<&[u8]>); 3] =
        [(b"content-type", Some(b"text/plain")), (b"traceparent", Some(b"00-1")), (b"n", None)];
    let expected = json!({
        "specversion": "1.0",
        "id": "c\"1/t1/3/4200000000",
        "source": "kafka://c\"1/orders",
        "type": EVENT_TYPE,
        "time": "2013-01-01T00:00:00Z",
        "partitionkey": "Zürich \"7\"",
        "idempotencykey": "c\"1/t1/3/4200000000",
        "penstocktopic": "orders",
        "penstockpartition": "3",
        "penstockoffset": "4200000000",
        "penstocktimestamp": "1356998400000",
        "penstockattempt": "2",
        "penstockowner": "7",
        "penstockkey": "Z%C3%BCrich%20%227%22",
        "penstockheaders": "content-type=text%2Fplain&traceparent=00-1&n",
        "traceparent": "00-1",
        "datacontenttype": "text/plain",
        "data_base64": "/w==",
    });
    assert_eq!(parsed(&delivery(new, &headers)), expected);
}

#[test]
fn null_and_empty_are_different() {
    let null = parsed(&delivery(NewRecord::default(), &[]));
    assert_eq!(null["penstocknull"], "key,value");
    assert!(null.get("penstockkey").is_none() && null.get("data_base64").is_none());
    let empty = parsed(&delivery(NewRecord { key: Some(b""), value: Some(b""), ..NewRecord::default() }, &[]));
    assert_eq!((&empty["penstockkey"], &empty["data_base64"]), (&json!(""), &json!("")));
    assert!(empty.get("penstocknull").is_none() && empty.get("partitionkey").is_none());
}

#[test]
fn a_record_that_is_an_event_keeps_its_attributes_and_takes_none_of_ours() {
    let own: [(&[u8], Option<&[u8]>); 6] = [
        (b"ce_specversion", Some(b"1.0")),
        (b"ce_id", Some(b"A \"1\"\n")),
        (b"ce_type", Some(b"shop.order")),
        (b"ce_penstockkey", Some(b"forged")),
        (b"ce_data_base64", Some(b"forged")),
        (b"ce_idempotencykey", Some(b"forged")),
    ];
    let delivery = delivery(NewRecord { key: Some(b"k"), value: Some(b"v"), ..NewRecord::default() }, &own);
    let event = parsed(&delivery);
    assert_eq!((&event["id"], &event["type"]), (&json!("A \"1\"\n"), &json!("shop.order")));
    assert_eq!((&event["penstockkey"], &event["data_base64"]), (&json!("k"), &json!("dg==")));
    assert_eq!(event["idempotencykey"], "c\"1/t1/3/0");
    assert!(!String::from_utf8(single(&origin(), &delivery)).unwrap().contains("\"forged\""));
}

#[test]
fn a_batch_is_an_array_in_the_order_of_its_records() {
    let origin = origin();
    let deliveries: Vec<_> = (0..3).map(|offset| delivery(NewRecord { offset, ..NewRecord::default() }, &[])).collect();
    let events: Value = serde_json::from_slice(&batch(deliveries.iter().map(|one| (&origin, one)))).unwrap();
    let offsets: Vec<_> = events.as_array().unwrap().iter().map(|event| &event["penstockoffset"]).collect();
    assert_eq!(offsets, [&json!("0"), &json!("1"), &json!("2")]);
}

proptest! {
    /// Whatever a record holds, an event holds it: read back as an answer's output, it is the record.
    #[test]
    fn every_record_survives_the_way_there_and_back(
        key in option::of(vec(any::<u8>(), 0..40)),
        value in option::of(vec(any::<u8>(), 0..200)),
        headers in vec((vec(any::<u8>(), 0..12), option::of(vec(any::<u8>(), 0..12))), 0..6),
        is_event in any::<bool>(),
    ) {
        let mut headers: Vec<(&[u8], Option<&[u8]>)> =
            headers.iter().map(|(name, value)| (name.as_slice(), value.as_deref())).collect();
        headers.push((b"content-type", Some(b"application/x-thing")));
        if is_event {
            headers.push((b"ce_specversion", Some(b"1.0")));
            headers.push((b"ce_\xff\"", Some(b"\"\\\n")));
        }
        let new = NewRecord { key: key.as_deref(), value: value.as_deref(), ..NewRecord::default() };
        let delivery = delivery(new, &headers);
        let json = single(&origin(), &delivery);
        serde_json::from_slice::<Value>(&json).unwrap();
        let back = serde_json::from_slice::<Event<'_>>(&json).unwrap().into_record(&delivery.record).unwrap();
        let boxed = |bytes: &Option<Vec<u8>>| bytes.as_deref().map(Box::from);
        let headers = headers.iter().map(|(name, value)| (Box::from(*name), value.map(Box::from))).collect();
        prop_assert_eq!(back, OutputRecord { key: boxed(&key), value: boxed(&value), headers });
    }
}
