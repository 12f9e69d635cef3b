//! A handler that answers at once, on a real broker, on the lab that all tests share (`LAB_DIR`): what `kill -9`, hand-overs and failures leave
//! of order and of records.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod stage;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use penstock_chaos::cluster::STAMPED;
use stage::Stage;

const PARTITIONS: i32 = 4;
const RECORDS: i32 = 40_000;
const KEYS: i32 = 61;
/// Calls of the first worker: the next one does not return, and the worker is killed.
const BEFORE_KILL: usize = 8_000;

/// A call that the handler told of.
#[derive(Clone, Debug)]
struct Call {
    place: (i32, i64),
    key: String,
    attempt: u32,
    answer: String,
}

#[test]
fn answers_at_once_are_kept_in_order_through_a_kill_hand_overs_and_failures() {
    let stage = Stage::new("quick", PARTITIONS);
    let (name, letters) = (&stage.name, format!("{}.dlq", stage.name));
    stage.cluster.create(&letters, PARTITIONS, &STAMPED).unwrap();
    let record = |number: i32| (number % PARTITIONS, Some((number % KEYS).to_string()), value(number));
    let quarter = |which: i32| stage.produce((RECORDS / 4 * which..RECORDS / 4 * (which + 1)).map(record));
    quarter(0);
    let retry = "{initialDelay: 10ms, maxDelay: 100ms}";
    let delivery = format!("retry: {retry}, deadLetter: {{maxPercent: 100}}");
    let pipeline = stage.pipeline(0, "", &delivery);
    let processor = "{type: http, http: {url: 'http://127.0.0.1:0/'}}";
    assert!(pipeline.contains(processor));
    let pipeline = pipeline.replace(processor, "{type: embedded}") + "  worker: {image: ours}\n";
    let told = std::env::temp_dir().join(format!("penstock-{name}.calls"));
    let start = |enough: &str| {
        stage.start_program("chaos-quick", &pipeline, &[("TOLD", told.to_str().unwrap()), ("ENOUGH", enough)])
    };
    let first = start(&BEFORE_KILL.to_string());
    stage.wait("calls before the kill", || calls(&told).len() >= BEFORE_KILL);
    drop(first);
    let killed = calls(&told).len();
    let mut second = start("none");
    stage.wait("calls after the kill", || calls(&told).len() > killed);
    let mut third = start("none");
    quarter(1);
    stage.wait("a third worker's partitions", || {
        stage.cluster.group(name).is_some_and(|group| group.members.len() == 2)
    });
    quarter(2);
    assert_eq!(second.stop(), Some(0), "in order, within its time");
    quarter(3);
    stage.wait("all records", || stage.is_done(name, name));
    assert_eq!(third.stop(), Some(0));

    let calls = calls(&told);
    assert_eq!(killed, BEFORE_KILL);
    check_order_and_attempts(&calls, killed);
    let letters = stage.letters();
    let refused: BTreeSet<(i32, i64)> = letters.iter().map(|letter| (letter.tp.partition, letter.offset)).collect();
    let expected = (0..RECORDS).filter(|number| value(*number) == "reject");
    assert_eq!(refused, expected.map(place).collect());
    std::fs::remove_file(&told).unwrap();
    stage.end();
}

/// S1, S5, S6, S7: each record has its last word, a key's come in their order, nobody is charged twice, and what is called again is of the
/// worker that was killed.
fn check_order_and_attempts(calls: &[Call], killed: usize) {
    let mut ended: BTreeMap<(i32, i64), usize> = BTreeMap::new();
    let mut last: BTreeMap<(i32, &str), i64> = BTreeMap::new();
    for (number, call) in calls.iter().enumerate() {
        assert!(call.attempt <= 2, "S6: {call:?}");
        if call.answer == "retry" {
            continue;
        }
        let Some(before) = ended.get(&call.place) else {
            ended.insert(call.place, number);
            let latest = last.entry((call.place.0, &call.key)).or_insert(-1);
            assert!(*latest < call.place.1, "S5: {call:?} after {latest}");
            *latest = call.place.1;
            continue;
        };
        assert!(*before < killed, "S7: {call:?} was done by a worker that ended in order, or that runs");
    }
    assert_eq!(ended.len(), usize::try_from(RECORDS).unwrap(), "S1");
    let retried = (0..RECORDS).filter(|number| value(*number) == "retry").map(place);
    for place in retried {
        let attempts: BTreeSet<u32> =
            calls.iter().filter(|call| call.place == place).map(|call| call.attempt).collect();
        assert_eq!(attempts, [1, 2].into(), "{place:?}");
    }
}

fn value(number: i32) -> String {
    let value = match number {
        number if number % 1009 == 17 => "retry",
        number if number % 2003 == 23 => "reject",
        _ => "take it",
    };
    value.to_owned()
}

/// Where the record of that number is.
fn place(number: i32) -> (i32, i64) {
    (number % PARTITIONS, i64::from(number / PARTITIONS))
}

fn calls(told: &Path) -> Vec<Call> {
    let text = std::fs::read_to_string(told).unwrap_or_default();
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let call = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        let [partition, offset, key, attempt, answer] = words.try_into().unwrap();
        Call {
            place: (partition.parse().unwrap(), offset.parse().unwrap()),
            key: key.to_owned(),
            attempt: attempt.parse().unwrap(),
            answer: answer.to_owned(),
        }
    };
    whole.lines().map(call).collect()
}
