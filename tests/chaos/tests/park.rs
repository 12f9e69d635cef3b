//! Parked keys on a real broker, on the lab that all tests share (`LAB_DIR`): what follows a record that failed goes to the dead
//! letters behind it while workers are killed, and all of it comes back in its order.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod stage;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use stage::{Request, Stage, lock};

const PARTITIONS: i32 = 2;
const KEYS: usize = 10;
/// Records of each key.
const EACH: usize = 30;
/// Keys whose first record fails until the processor is mended; one in each partition.
const BAD: [usize; 2] = [3, 6];
const ATTEMPTS: usize = 2;
/// How long a call takes: the first worker is to be killed in the middle.
const CALL: Duration = Duration::from_millis(30);

/// What came of a key: the numbers of its records, and whether they were taken.
type Book = Mutex<BTreeMap<usize, Vec<(usize, bool)>>>;

/// Key and number of the record are its value.
fn answer(request: &Request, book: &Book, mended: bool) -> u16 {
    let (key, number) = request.body().split_once(' ').unwrap();
    let (key, number) = (key.parse().unwrap(), number.parse().unwrap());
    let taken = mended || number > 0 || !BAD.contains(&key);
    lock(book).entry(key).or_default().push((number, taken));
    std::thread::sleep(CALL);
    if taken { 204 } else { 500 }
}

fn partition_of(key: usize) -> i32 {
    i32::try_from(key).unwrap() % PARTITIONS
}

fn record(key: usize, number: usize) -> (i32, Option<String>, String) {
    (partition_of(key), Some(format!("key {key}")), format!("{key} {number}"))
}

/// Where a record lies when records are written number by number, key by key.
fn offset_of(key: usize, number: usize) -> i64 {
    let partitions = usize::try_from(PARTITIONS).unwrap();
    i64::try_from(number * KEYS / partitions + key / partitions).unwrap()
}

/// Each once, in the order of their first time. What a worker that was killed had not committed comes again, in order and no more than
/// once for the kill.
fn in_order<T: PartialOrd + Copy>(all: impl IntoIterator<Item = T>) -> Vec<T> {
    let (mut first, mut last, mut steps_back) = (Vec::new(), None, 0);
    for one in all {
        steps_back += u32::from(last.is_some_and(|last| one <= last));
        last = Some(one);
        if !first.contains(&one) {
            first.push(one);
        }
    }
    assert!(steps_back <= 1, "more than one kill explains");
    first
}

/// The numbers that were taken.
fn taken(calls: &[(usize, bool)]) -> Vec<usize> {
    in_order(calls.iter().filter(|(_, taken)| *taken).map(|(number, _)| *number))
}

#[test]
fn a_key_is_parked_behind_its_failed_record_and_comes_back_in_order() {
    let stage = Stage::new("park", PARTITIONS);
    let name = stage.name.as_str();
    stage.produce((0..EACH).flat_map(|number| (0..KEYS).map(move |key| record(key, number))));
    let (book, mended) = (Arc::new(Book::default()), Arc::new(AtomicBool::new(false)));
    let port = stage.serve({
        let (book, mended) = (Arc::clone(&book), Arc::clone(&mended));
        move |request| answer(request, &book, mended.load(SeqCst))
    });
    let retry = format!("retry: {{maxAttempts: {ATTEMPTS}, initialDelay: 50ms}}");
    let delivery = format!("concurrency: 4, onExhausted: ParkKey, deadLetter: {{maxPercent: 100}}, {retry}");
    let pipeline = stage.pipeline(port, "", &delivery);

    let first = stage.start(&pipeline);
    stage.wait("a third of the records", || lock(&book).values().map(Vec::len).sum::<usize>() >= KEYS * EACH / 3);
    drop(first);
    assert!(!stage.is_done(name, name), "the kill came too late to be one");
    let second = stage.start(&pipeline);
    stage.wait("the end", || stage.is_done(name, name));
    let all: Vec<usize> = (0..EACH).collect();
    for (key, calls) in &*lock(&book) {
        if BAD.contains(key) {
            // What the worker that was killed had not committed it may do again.
            assert!(calls.len() <= 2 * ATTEMPTS && calls.iter().all(|call| *call == (0, false)), "{key}: {calls:?}");
        } else {
            assert_eq!(taken(calls), all, "{key}");
        }
    }
    let letters = stage.letters();
    for key in BAD {
        let of_key = |offset: i64| (0..EACH).any(|number| offset_of(key, number) == offset);
        let here = letters.iter().filter(|letter| letter.tp.partition == partition_of(key) && of_key(letter.offset));
        let offsets = in_order(here.map(|letter| letter.offset));
        assert_eq!(offsets, all.iter().map(|number| offset_of(key, *number)).collect::<Vec<_>>(), "{key}");
    }

    // What comes for a parked key meanwhile stays behind the rest.
    mended.store(true, SeqCst);
    stage.produce(BAD.map(|key| record(key, EACH)));
    stage.wait("the followers", || stage.is_done(name, name));
    lock(&book).clear();
    stage.wait("the letters", || stage.redrive(&pipeline, &["--all"]).starts_with("0 letters sent back"));
    stage.wait("everything that came back", || stage.is_done(name, name));
    let all: Vec<usize> = (0..=EACH).collect();
    let calls: BTreeMap<usize, Vec<usize>> = lock(&book).iter().map(|(key, calls)| (*key, taken(calls))).collect();
    assert_eq!(calls, BAD.into_iter().map(|key| (key, all.clone())).collect());

    // And the keys are as any other.
    lock(&book).clear();
    stage.produce(BAD.map(|key| record(key, EACH + 1)));
    stage.wait("the last ones", || stage.is_done(name, name));
    assert!(BAD.iter().all(|key| lock(&book)[key] == [(EACH + 1, true)]), "{:?}", lock(&book));
    drop(second);
    stage.end();
}
