//! The processor contract against real little servers: what arrives there, and what their answers mean.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod client;

use std::io::{Read as _, Write as _};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::Router;
use axum::body::Bytes;
use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use penstock_engine::seam::Outcome::{
    Ack, AckWith, BatchFailed, Cancelled, ConnectionLost, Overload, Reject, Retry, Skip,
};
use penstock_engine::seam::{ErrorClass, NewRecord, Outcome};
use penstock_worker::processor::{Address, Calls as _, Form};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::runtime::Runtime;

use crate::client::{Client, Headers, runtime};

fn serve(runtime: &Runtime, router: Router) -> String {
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        format!("http://{address}")
    })
}

/// A server of raw bytes: `answer` is called with the number of the connection for each request on it; `None` hangs up.
fn serve_raw(runtime: &Runtime, answer: fn(usize, usize) -> Option<&'static [u8]>) -> String {
    async fn connection(mut stream: TcpStream, number: usize, answer: fn(usize, usize) -> Option<&'static [u8]>) {
        let mut buffer = vec![0; 64 * 1024];
        for request in 0.. {
            if stream.read(&mut buffer).await.unwrap_or(0) == 0 {
                return;
            }
            match answer(number, request) {
                Some(bytes) => stream.write_all(bytes).await.unwrap(),
                None => return,
            }
        }
    }
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            for number in 0.. {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(connection(stream, number, answer));
            }
        });
        format!("http://{address}/")
    })
}

fn class(outcome: &Outcome) -> ErrorClass {
    match outcome {
        Outcome::Retry(failure)
        | Outcome::Reject(failure)
        | Outcome::Overload(failure)
        | Outcome::Unavailable(failure)
        | Outcome::ConnectionLost(failure) => failure.class,
        other => panic!("{other:?} is no failure"),
    }
}

#[test]
fn every_status_means_what_the_table_says() {
    let runtime = runtime();
    let answer = |Path(status): Path<u16>| async move { StatusCode::from_u16(status).unwrap() };
    let url = serve(&runtime, Router::new().route("/{status}", post(answer)));
    for (status, expected) in [
        (200, "AckWith"),
        (202, "AckWith"),
        (204, "Ack"),
        (301, "Unavailable"),
        (400, "Reject"),
        (401, "Unavailable"),
        (403, "Unavailable"),
        (404, "Unavailable"),
        (405, "Unavailable"),
        (408, "Retry"),
        (409, "Retry"),
        (413, "Reject"),
        (418, "Retry"),
        (422, "Reject"),
        (425, "Retry"),
        (429, "Overload"),
        (500, "Retry"),
        (502, "Retry"),
        (503, "Overload"),
        (504, "Retry"),
    ] {
        let outcome = Client::of(&format!("{url}/{status}")).value(b"v");
        assert!(format!("{outcome:?}").starts_with(expected), "{status}: {outcome:?}");
    }
}

#[test]
fn a_record_arrives_whole_and_its_answer_comes_back() {
    let runtime = runtime();
    let echo = |headers: HeaderMap, body: Bytes| async move {
        assert_eq!(headers["penstock-key"], "%FF");
        assert_eq!(headers["idempotency-key"], "c/t/0/7");
        assert_eq!(headers["content-length"], body.len().to_string());
        ([("penstock-key", "new%20key"), ("penstock-headers", "a=1&b")], body)
    };
    let url = serve(&runtime, Router::new().route("/", post(echo)));
    let value: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    let new = NewRecord { offset: 7, key: Some(b"\xff"), value: Some(&value), ..NewRecord::default() };
    let Outcome::AckWith(output) = Client::of(&url).call(new, &[]) else { panic!() };
    let record = &output.records[0];
    assert_eq!(record.key.as_deref(), Some(&b"new key"[..]));
    assert_eq!(record.value.as_deref(), Some(&value[..]));
    assert_eq!(record.headers[0], (b"a"[..].into(), Some(b"1"[..].into())));
    assert_eq!(record.headers[1], (b"b"[..].into(), None));
}

#[test]
fn a_socket_takes_calls_as_a_port_does() {
    let runtime = runtime();
    let path = std::env::temp_dir().join(format!("penstock-contract-{}.sock", std::process::id()));
    let echo = |headers: HeaderMap, body: Bytes| async move {
        assert_eq!(headers["host"], "localhost");
        body
    };
    let listener = runtime.block_on(async { UnixListener::bind(&path).unwrap() });
    let router = Router::new().route("/", post(echo));
    let server = runtime.spawn(async { axum::serve(listener, router).await });
    let address = Address::Unix(path.clone());
    let mut client = Client::at(&address, Form::Single);
    for _ in 0..2 {
        let Outcome::AckWith(output) = client.value(b"v") else { panic!() };
        assert_eq!(output.records[0].value.as_deref(), Some(&b"v"[..]));
    }
    drop(client);
    server.abort();
    std::fs::remove_file(&path).unwrap();
    let outcome = Client::at(&address, Form::Single).value(b"v");
    assert_eq!(class(&outcome), ErrorClass::Unreachable, "{outcome:?}");
}

#[test]
fn calls_share_a_fixed_set_of_connections() {
    let runtime = runtime();
    let seen = |axum::extract::ConnectInfo(peer): axum::extract::ConnectInfo<std::net::SocketAddr>| async move {
        peer.port().to_string()
    };
    let url = runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/", post(seen)).into_make_service_with_connect_info::<std::net::SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        format!("http://{address}/")
    });
    let mut client = Client::of(&url);
    let mut ports = std::collections::BTreeSet::new();
    for _ in 0..50 {
        for slot in 0..4 {
            client.start(slot, NewRecord { value: Some(b"v"), ..NewRecord::default() }, &[]);
        }
        for finished in client.finished(4) {
            let Outcome::AckWith(output) = finished.outcome else { panic!("{:?}", finished.outcome) };
            ports.insert(output.records[0].value.clone());
        }
    }
    assert_eq!(ports.len(), 4, "one connection for each slot, for all 200 calls");
}

#[test]
fn a_refused_connection_is_an_outage() {
    let runtime = runtime();
    let url = runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        format!("http://{}/", listener.local_addr().unwrap())
    });
    let outcome = Client::of(&url).value(b"v");
    assert!(matches!(outcome, Outcome::Unavailable(_)), "{outcome:?}");
    assert_eq!(class(&outcome), ErrorClass::Unreachable);
}

#[test]
fn a_connection_that_breaks_makes_a_suspect() {
    let runtime = runtime();
    let url = serve_raw(&runtime, |_, _| None);
    let outcome = Client::of(&url).value(b"v");
    assert!(matches!(outcome, Outcome::ConnectionLost(_)), "{outcome:?}");
}

#[test]
fn an_answer_that_breaks_off_is_no_answer() {
    let runtime = runtime();
    let url = serve_raw(&runtime, |_, request| {
        (request == 0).then_some(&b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf"[..])
    });
    let mut client = Client::of(&url);
    let call = client.start(0, NewRecord { value: Some(b"v"), ..NewRecord::default() }, &[]);
    // The server now waits for more from us, as we do from it: only the deadline ends that.
    client.calls.cancel(call);
    assert!(matches!(client.finished(1)[0].outcome, Outcome::Cancelled));
}

#[test]
fn garbage_is_a_bad_response() {
    let runtime = runtime();
    let url = serve_raw(&runtime, |_, _| Some(b"220 smtp ready\r\n\r\n"));
    let outcome = Client::of(&url).value(b"v");
    assert!(matches!(outcome, Outcome::Retry(_)), "{outcome:?}");
    assert_eq!(class(&outcome), ErrorClass::BadResponse);
}

#[test]
fn a_server_that_closes_after_each_answer_is_connected_to_again() {
    let runtime = runtime();
    let url = serve_raw(&runtime, |_, request| {
        (request == 0).then_some(&b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n"[..])
    });
    let mut client = Client::of(&url);
    for _ in 0..20 {
        let outcome = client.value(b"v");
        assert!(matches!(outcome, Outcome::Ack), "{outcome:?}");
    }
}

/// The server closes an idle connection in the very turn in which the loop begins a call: the request is given to the connection and not
/// taken up. It must not wait for an answer that never comes.
#[test]
fn a_request_that_a_closing_connection_did_not_take_up_is_sent_on_another() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (go_on, told) = mpsc::channel::<()>();
    let (closed, is_closed) = mpsc::channel::<()>();
    std::thread::spawn(move || {
        while told.recv().is_ok() {
            let (mut stream, _) = listener.accept().unwrap();
            assert!(stream.read(&mut [0; 4096]).unwrap() > 0);
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
            told.recv().unwrap();
            drop(stream);
            closed.send(()).unwrap();
        }
    });
    let bell = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = Client::of(&format!("http://{address}/"));
    go_on.send(()).unwrap();
    assert!(matches!(client.value(b"v"), Ack));
    for number in 0..5 {
        go_on.send(()).unwrap();
        is_closed.recv().unwrap();
        go_on.send(()).unwrap();
        let mut rope = std::net::TcpStream::connect(bell.local_addr().unwrap()).unwrap();
        let (readable, _) = bell.accept().unwrap();
        readable.set_nonblocking(true).unwrap();
        rope.write_all(b"!").unwrap();
        client.start_when_readable(readable, 0, NewRecord { key: Some(b"k"), ..NewRecord::default() });
        let (begin, mut finished) = (Instant::now(), Vec::new());
        while finished.is_empty() {
            assert!(begin.elapsed() < Duration::from_secs(10), "call {number} waits for ever");
            client.sleep_for(Duration::from_millis(100));
            client.calls.take_finished(&mut finished);
        }
        assert!(matches!(finished[0].outcome, Ack), "{finished:?}");
    }
}

#[test]
fn a_cancelled_call_is_reported_once_and_its_slot_is_free() {
    let runtime = runtime();
    let answer = |body: Bytes| async move {
        if body == "slow" {
            std::future::pending::<()>().await;
        }
        StatusCode::NO_CONTENT
    };
    let url = serve(&runtime, Router::new().route("/", post(answer)));
    let mut client = Client::of(&url);
    let call = client.start(0, NewRecord { value: Some(b"slow"), ..NewRecord::default() }, &[]);
    client.calls.cancel(call);
    client.calls.cancel(call);
    let finished = client.finished(1);
    assert_eq!(finished[0].ticket.call, call);
    assert!(matches!(finished[0].outcome, Outcome::Cancelled));
    // The cancellation is the old call's: the next one on the slot is not touched by it.
    let outcome = client.value(b"quick");
    assert!(matches!(outcome, Outcome::Ack), "{outcome:?}");
}

#[test]
fn a_verdict_and_its_wait_come_through() {
    let runtime = runtime();
    let answer = || async move {
        let headers = [("penstock-verdict", "retry"), ("retry-after", "3"), ("penstock-reason", "stock is locked")];
        (StatusCode::OK, headers, "ignored").into_response() as Response
    };
    let url = serve(&runtime, Router::new().route("/", post(answer)));
    let Outcome::Retry(failure) = Client::of(&url).value(b"v") else { panic!() };
    assert_eq!(failure.after, Some(Duration::from_secs(3)));
    assert_eq!(&*failure.detail, "HTTP 200: stock is locked");
}

/// Three small records.
fn three() -> [(NewRecord<'static>, Headers<'static>); 3] {
    [1, 2, 3].map(|offset| (NewRecord { offset, key: Some(b"k"), value: Some(b"v"), ..NewRecord::default() }, &[][..]))
}

#[test]
fn a_batch_is_one_request_and_each_record_has_its_own_answer() {
    let runtime = runtime();
    let answer = |headers: HeaderMap, Json(events): Json<Vec<Value>>| async move {
        assert_eq!(headers["content-type"], "application/cloudevents-batch+json");
        assert_eq!(headers["penstock-records"], events.len().to_string());
        let words = ["ack", "skip", "retry", "reject", "overload"];
        let item = |(place, event): (usize, &Value)| match event["penstocknull"].as_str() {
            Some("value") => None, // left out
            _ if place == 5 => Some(json!({"item": place, "verdict": "ack", "output": [event, {"data": place}]})),
            _ => Some(json!({"item": place, "verdict": words[place]})),
        };
        Json(json!({"items": events.iter().enumerate().filter_map(item).collect::<Vec<_>>()}))
    };
    let url = serve(&runtime, Router::new().route("/", post(answer)));
    let with = |value: Option<&'static [u8]>| NewRecord { key: Some(b"\xff"), value, ..NewRecord::default() };
    let mut records: Vec<(NewRecord<'_>, Headers<'_>)> = vec![(with(Some(b"v")), &[]); 5];
    let headers: Headers<'_> = &[(b"content-type", Some(b"a/b")), (b"\xfe", None)];
    records.extend([(with(Some(b"\0")), headers), (with(None), &[])]);
    let outcomes = Client::batching(&url).batch(&records);
    let [Ack, Skip, Retry(_), Reject(_), Overload(_), AckWith(output), BatchFailed(missing)] = &outcomes[..] else {
        panic!("{outcomes:?}")
    };
    assert_eq!(missing.class, ErrorClass::Missing);
    let [echoed, number] = &output.records[..] else { panic!("{output:?}") };
    assert_eq!((echoed.key.as_deref(), echoed.value.as_deref()), (Some(&b"\xff"[..]), Some(&b"\0"[..])));
    assert_eq!(echoed.headers[0], (b"content-type"[..].into(), Some(b"a/b"[..].into())));
    assert_eq!(echoed.headers[1], (b"\xfe"[..].into(), None));
    assert_eq!((number.key.as_deref(), number.value.as_deref()), (Some(&b"\xff"[..]), Some(&b"5"[..])));
}

#[test]
fn a_pipeline_with_batches_sends_one_record_as_a_batch_too() {
    let runtime = runtime();
    let answer = |Json(events): Json<Vec<Value>>| async move {
        assert_eq!(events.len(), 1);
        StatusCode::UNPROCESSABLE_ENTITY
    };
    let url = serve(&runtime, Router::new().route("/", post(answer)));
    let outcome = Client::batching(&url).value(b"v");
    assert!(matches!(outcome, Reject(_)), "alone, the record bears the verdict: {outcome:?}");
}

#[test]
fn a_failure_of_the_whole_batch_blames_nobody() {
    let runtime = runtime();
    let answer = |Path(status): Path<u16>| async move { StatusCode::from_u16(status).unwrap() };
    let url = serve(&runtime, Router::new().route("/{status}", post(answer)));
    for status in [400, 408, 413, 422, 500] {
        let outcomes = Client::batching(&format!("{url}/{status}")).batch(&three());
        assert!(outcomes.iter().all(|outcome| matches!(outcome, BatchFailed(_))), "{status}: {outcomes:?}");
    }
    for (status, expected) in [(200, "Ack"), (204, "Ack"), (404, "Unavailable"), (429, "Overload"), (503, "Overload")] {
        let outcomes = Client::batching(&format!("{url}/{status}")).batch(&three());
        assert!(outcomes.iter().all(|one| format!("{one:?}").starts_with(expected)), "{status}: {outcomes:?}");
    }
}

#[test]
fn a_broken_or_cancelled_batch_says_so_of_each_record() {
    let runtime = runtime();
    let url = serve_raw(&runtime, |_, _| None);
    let outcomes = Client::batching(&url).batch(&three());
    assert!(outcomes.iter().all(|outcome| matches!(outcome, ConnectionLost(_))), "{outcomes:?}");

    let url = serve_raw(&runtime, |_, _| Some(b"220 smtp ready\r\n\r\n"));
    let outcomes = Client::batching(&url).batch(&three());
    assert!(outcomes.iter().all(|outcome| matches!(outcome, BatchFailed(_))), "{outcomes:?}");

    // Half an answer, and then silence: only the deadline ends that.
    let url = serve_raw(&runtime, |_, request| {
        (request == 0).then_some(&b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{\"items\": ["[..])
    });
    let mut client = Client::batching(&url);
    let call = client.start_all(0, &three());
    client.calls.cancel(call);
    assert!(client.finished(3).iter().all(|finished| matches!(finished.outcome, Cancelled)));
}

#[test]
fn a_single_record_may_be_answered_by_several() {
    let runtime = runtime();
    let answer = || async {
        let body = json!({"items": [{"item": 0, "verdict": "ack", "output": [
            {"data": {"line": 1}, "datacontenttype": "application/json"},
            {"data_base64": "/w==", "penstocknull": "key", "penstockheaders": "a=1&a"},
            {"penstocknull": "value", "penstockkey": "gone"},
        ]}]});
        ([("content-type", "application/vnd.penstock.answer+json")], body.to_string())
    };
    let url = serve(&runtime, Router::new().route("/", post(answer)));
    let AckWith(output) = Client::of(&url).value(b"v") else { panic!() };
    let seen: Vec<_> = output.records.iter().map(|one| (one.key.as_deref(), one.value.as_deref())).collect();
    assert_eq!(seen, [(Some(&b"k"[..]), Some(&b"{\"line\":1}"[..])), (None, Some(b"\xff")), (Some(b"gone"), None)]);
    assert_eq!(output.records[1].headers.len(), 2);
}

#[test]
fn a_probe_is_a_connection() {
    let runtime = runtime();
    let url = serve(&runtime, Router::new());
    let mut client = Client::of(&url);
    client.calls.probe();
    while !client.calls.maybe_ready() {
        client.sleep();
    }
    client.calls.take_finished(&mut Vec::new());
    assert_eq!(client.calls.health(), Some(true));
    assert_eq!(client.calls.health(), None, "told once");
}
