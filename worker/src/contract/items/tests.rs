use super::super::testing::deliveries;
use super::*;

fn said(count: usize, body: &str) -> Vec<Outcome> {
    outcomes(body.as_bytes(), &deliveries(count), true)
}

fn class(outcome: &Outcome) -> Option<ErrorClass> {
    match outcome {
        Outcome::BatchFailed(failure)
        | Outcome::Retry(failure)
        | Outcome::Reject(failure)
        | Outcome::Overload(failure) => Some(failure.class),
        _ => None,
    }
}

#[test]
fn each_item_has_its_own_verdict() {
    let body = r#"{"items": [
        {"item": 4, "verdict": "overload", "retryAfter": 2},
        {"item": 0, "verdict": "ack"},
        {"item": 1, "verdict": "skip"},
        {"item": 2, "verdict": "retry", "reason": "stock\nis locked", "retryAfter": 99999},
        {"item": 3, "verdict": "reject"}
    ]}"#;
    let said = said(5, body);
    assert!(matches!(said[0], Outcome::Ack));
    assert!(matches!(said[1], Outcome::Skip));
    let Outcome::Retry(retry) = &said[2] else { panic!("{said:?}") };
    assert_eq!((&*retry.detail, retry.after), ("stock is locked", Some(WAIT_MAX)));
    let Outcome::Reject(reject) = &said[3] else { panic!("{said:?}") };
    assert_eq!(&*reject.detail, "the answer says reject");
    let Outcome::Overload(overload) = &said[4] else { panic!("{said:?}") };
    assert_eq!(overload.after, Some(Duration::from_secs(2)));
}

#[test]
fn a_record_that_no_item_names_is_a_suspect_unless_others_speaks_for_it() {
    let said_of = |others: &str| said(3, &format!(r#"{{"items": [{{"item": 1, "verdict": "ack"}}]{others}}}"#));
    let missing = said_of("");
    assert!(matches!(missing[1], Outcome::Ack));
    for index in [0, 2] {
        assert!(matches!(missing[index], Outcome::BatchFailed(_)));
        assert_eq!(class(&missing[index]), Some(ErrorClass::Missing));
    }
    assert!(matches!(said_of(r#", "others": "ack""#)[..], [Outcome::Ack, Outcome::Ack, Outcome::Ack]));
    assert!(matches!(said_of(r#", "others": "retry""#)[..], [Outcome::Retry(_), Outcome::Ack, Outcome::Retry(_)]));
    assert!(matches!(said(1, r#"{"items": []}"#)[..], [Outcome::Retry(_)]), "alone, it is its own fault");
}

#[test]
fn an_item_that_cannot_be_read_is_a_suspect_and_no_other() {
    for wrong in [
        r#"{"item": 1, "verdict": "okay"}"#,
        r#"{"item": 1}"#,
        r#"{"item": 1, "verdict": "ack", "outputs": []}"#,
        r#"{"item": 1, "verdict": "ack", "output": [{}]}"#,
        r#"{"item": 1, "verdict": "ack", "output": [{"data_base64": "%"}]}"#,
        r#"{"item": 1, "verdict": "retry", "retryAfter": -1}"#,
    ] {
        let said = said(2, &format!(r#"{{"items": [{wrong}], "others": "ack"}}"#));
        assert!(matches!(said[0], Outcome::Ack), "{wrong}");
        assert!(matches!(said[1], Outcome::BatchFailed(_)), "{wrong}: {:?}", said[1]);
        assert_eq!(class(&said[1]), Some(ErrorClass::BadResponse), "{wrong}");
    }
}

#[test]
fn an_answer_that_counts_differently_is_believed_in_nothing() {
    let ack = |item: u32| format!(r#"{{"item": {item}, "verdict": "ack"}}"#);
    for items in [
        [ack(0), ack(0)].join(","),
        [ack(1), ack(2)].join(","),
        [ack(0), r#"{"verdict": "ack"}"#.to_owned()].join(","),
        [ack(0), "7".to_owned()].join(","),
    ] {
        let said = said(2, &format!(r#"{{"items": [{items}], "others": "ack"}}"#));
        assert!(said.iter().all(|outcome| matches!(outcome, Outcome::BatchFailed(_))), "{items}: {said:?}");
    }
}

#[test]
fn what_is_no_list_of_items_is_no_answer() {
    for body in ["", "OK", "{}", "[]", r#"{"items": [], "others": "okay"}"#, r#"{"items": [], "other": "ack"}"#] {
        let said = said(2, body);
        assert!(said.iter().all(|outcome| class(outcome) == Some(ErrorClass::BadResponse)), "{body}: {said:?}");
    }
}

#[test]
fn an_item_s_output_is_its_record_s() {
    let body = r#"{"items": [{"item": 1, "verdict": "ack", "output": [{"data": "a"}, {"data": "b", "penstockkey": "x"}]}],
        "others": "ack"}"#;
    let said = said(2, body);
    assert!(matches!(said[0], Outcome::Ack));
    let Outcome::AckWith(output) = &said[1] else { panic!("{said:?}") };
    let keys: Vec<_> = output.records.iter().map(|record| record.key.as_deref()).collect();
    assert_eq!(keys, [Some(&b"k1"[..]), Some(b"x")]);
    assert!(matches!(outcomes(body.as_bytes(), &deliveries(2), false)[1], Outcome::Ack), "without an output topic");
}
