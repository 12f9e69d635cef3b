use penstock_engine::seam::{ErrorClass, NewRecord};

use super::super::testing::{deliveries, delivery};
use super::*;

/// What the answer says of `count` records; of one as a single record if that is 0.
fn said(count: usize, status: u16, headers: &[(&'static str, &str)], body: &[u8]) -> Vec<Outcome> {
    let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
    let status = StatusCode::from_u16(status).unwrap();
    let answer = Answer { status, headers: &headers, body, now: Timestamp::UNIX_EPOCH };
    match count {
        0 => {
            let new = NewRecord { key: Some(b"k"), value: Some(b"v"), ..NewRecord::default() };
            vec![answer.single(&delivery(new, &[]), true)]
        }
        count => answer.batch(&deliveries(count), true),
    }
}

fn output(outcome: &Outcome) -> &[OutputRecord] {
    match outcome {
        Outcome::AckWith(output) => &output.records,
        Outcome::Ack => &[],
        other => panic!("{other:?}"),
    }
}

fn answered(status: u16, headers: &[(&'static str, &str)], body: &[u8]) -> Option<OutputRecord> {
    output(&said(0, status, headers, body)[0]).first().cloned()
}

/// The outcomes' names, without what they hold.
fn names(outcomes: &[Outcome]) -> Vec<String> {
    outcomes.iter().map(|outcome| format!("{outcome:?}").split('(').next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn the_body_is_the_value_and_the_key_stays() {
    let record = answered(200, &[("content-type", "application/json")], b"{}").unwrap();
    assert_eq!(record.key.as_deref(), Some(&b"k"[..]));
    assert_eq!(record.value.as_deref(), Some(&b"{}"[..]));
    assert_eq!(&*record.headers[0].0, b"content-type");
}

#[test]
fn empty_null_and_nothing_are_three_things() {
    assert_eq!(answered(200, &[], b"").unwrap().value.as_deref(), Some(&b""[..]));
    assert_eq!(answered(204, &[("penstock-null", "value")], b"").unwrap().value, None);
    assert_eq!(answered(204, &[], b""), None);
}

#[test]
fn key_and_headers_can_be_chosen() {
    let record = answered(200, &[("penstock-key", "a%00b"), ("penstock-headers", "x=1&y")], b"v").unwrap();
    assert_eq!(record.key.as_deref(), Some(&b"a\0b"[..]));
    assert_eq!(record.headers.len(), 2);
    assert_eq!(answered(200, &[("penstock-null", "key")], b"v").unwrap().key, None);
}

#[test]
fn an_error_page_with_the_verdict_ack_is_no_output() {
    assert_eq!(answered(500, &[("penstock-verdict", "ack")], b"oops"), None);
}

#[test]
fn a_single_record_may_be_answered_with_several() {
    let typed = [("content-type", "Application/vnd.penstock.answer+json; charset=utf-8")];
    let body = br#"{"items": [{"item": 0, "verdict": "ack", "output": [{"data": 1}, {"penstocknull": "value"}]}]}"#;
    let said = said(0, 200, &typed, body);
    let values: Vec<_> = output(&said[0]).iter().map(|record| record.value.as_deref()).collect();
    assert_eq!(values, [Some(&b"1"[..]), None]);
    // By any other type the same bytes are the value, whatever they look like.
    assert_eq!(answered(200, &[("content-type", "application/json")], body).unwrap().value.as_deref(), Some(&body[..]));
}

#[test]
fn a_single_record_s_items_may_refuse_it() {
    let typed = [("content-type", ANSWER)];
    let word = |word: &str| said(0, 200, &typed, format!(r#"{{"items": [], "others": "{word}"}}"#).as_bytes());
    assert_eq!(names(&word("reject")), ["Reject"]);
    assert_eq!(names(&word("okay")), ["Retry"]);
    let html = said(0, 200, &typed, b"<html>");
    assert!(matches!(&html[0], Outcome::Retry(failure) if failure.class == ErrorClass::BadResponse), "{html:?}");
}

#[test]
fn a_status_speaks_for_the_whole_batch_and_blames_nobody() {
    for (status, of_three, of_one) in [
        (204, "Ack", "Ack"),
        (200, "Ack", "Ack"),
        (301, "Unavailable", "Unavailable"),
        (400, "BatchFailed", "Reject"),
        (404, "Unavailable", "Unavailable"),
        (408, "BatchFailed", "Retry"),
        (413, "BatchFailed", "Reject"),
        (422, "BatchFailed", "Reject"),
        (429, "Overload", "Overload"),
        (500, "BatchFailed", "Retry"),
        (503, "Overload", "Overload"),
    ] {
        assert_eq!(names(&said(3, status, &[], b"")), [of_three; 3], "{status}");
        assert_eq!(names(&said(1, status, &[], b"")), [of_one], "{status}");
    }
}

#[test]
fn a_verdict_in_the_head_speaks_for_the_whole_batch() {
    let body = br#"{"items": [], "others": "ack"}"#;
    for (word, of_two) in [("ack", "Ack"), ("skip", "Skip"), ("retry", "BatchFailed"), ("reject", "BatchFailed")] {
        assert_eq!(names(&said(2, 200, &[("penstock-verdict", word)], body)), [of_two; 2], "{word}");
    }
    assert_eq!(names(&said(2, 200, &[("penstock-verdict", "okay")], b"")), ["BatchFailed"; 2]);
}

#[test]
fn a_batch_is_answered_by_items_whatever_the_type_says() {
    let body = br#"{"items": [{"item": 1, "verdict": "skip"}], "others": "ack"}"#;
    for headers in [&[][..], &[("content-type", "text/html")], &[("content-type", ANSWER)]] {
        assert_eq!(names(&said(3, 200, headers, body)), ["Ack", "Skip", "Ack"]);
    }
    assert_eq!(names(&said(3, 200, &[], b"OK")), ["BatchFailed"; 3], "2xx with a body that says nothing is no answer");
    assert_eq!(names(&said(3, 500, &[], body)), ["BatchFailed"; 3], "the body of an error page is not read");
}

#[test]
fn a_body_is_read_where_it_says_something() {
    let typed =
        |content_type: &'static str| HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(content_type))]);
    let (plain, items) = (typed("text/html"), typed(ANSWER));
    for (status, headers, of_batch_or_with_output, expected) in [
        (StatusCode::OK, &plain, true, true),
        (StatusCode::OK, &plain, false, false),
        (StatusCode::OK, &items, false, true),
        (StatusCode::INTERNAL_SERVER_ERROR, &plain, true, false),
        (StatusCode::INTERNAL_SERVER_ERROR, &items, false, false),
    ] {
        let read = is_read(status, headers, of_batch_or_with_output);
        assert_eq!(read, expected, "{status} {headers:?} {of_batch_or_with_output}");
    }
}
