//! Delay topics on a real broker, on the lab that all tests share (`LAB_DIR`): records that fail wait in two topics, workers are
//! killed meanwhile, and each record comes back as itself.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod stage;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use stage::{Request, Stage, lock};

const PARTITIONS: i32 = 2;
const RECORDS: usize = 300;
/// Every so many-th record always fails.
const POISON: usize = 25;
const ATTEMPTS: u32 = 4;
/// The shorter of the two delays.
const DELAY: Duration = Duration::from_secs(1);
/// What the processor saw of one record.
#[derive(Debug, Default)]
struct Seen {
    /// `penstock-attempt` of each call, and when it came.
    calls: Vec<(u32, Instant)>,
    taken: u32,
    topic: String,
    leaked: bool,
}

/// By idempotency key.
type Book = Arc<Mutex<BTreeMap<String, Seen>>>;

/// Fails each record's first two calls, and poison always.
fn answer(request: &Request, book: &Book) -> u16 {
    let headers = &request.headers;
    let mut book = lock(book);
    let seen = book.entry(headers["idempotency-key"].clone()).or_default();
    seen.calls.push((headers["penstock-attempt"].parse().unwrap(), Instant::now()));
    seen.topic.clone_from(&headers["penstock-topic"]);
    seen.leaked |= headers.values().any(|value| value.contains("penstock.origin") || value.contains("penstock.id"));
    let fails = request.body.starts_with(b"poison") || seen.calls.len() < 3;
    seen.taken += u32::from(!fails);
    if fails { 500 } else { 200 }
}

fn records() -> impl Iterator<Item = (i32, Option<String>, String)> {
    (0..RECORDS).map(|number| {
        let kind = if number % POISON == 0 { "poison" } else { "good" };
        (i32::try_from(number).unwrap() % PARTITIONS, None, format!("{kind} {number}"))
    })
}

#[test]
fn records_wait_in_delay_topics_and_come_back_as_themselves() {
    let stage = Stage::new("delay", PARTITIONS);
    let name = stage.name.as_str();
    stage.produce(records());
    let book = Book::default();
    let port = stage.serve({
        let book = Arc::clone(&book);
        move |request| answer(request, &book)
    });
    let retry = format!("{{maxAttempts: {ATTEMPTS}, delayTopics: [{}s, 2s]}}", DELAY.as_secs());
    let delivery = format!("ordering: Unordered, concurrency: 16, retry: {retry}, deadLetter: {{maxPercent: 100}}");
    let pipeline = stage.pipeline(port, "", &delivery);

    let first = stage.start(&pipeline);
    stage.wait("a third of the calls", || {
        lock(&book).values().filter(|seen| seen.calls.len() >= 2).count() >= RECORDS / 3
    });
    drop(first);
    let second = stage.start(&pipeline);
    let topics = [format!("{name}.retry.1s"), format!("{name}.retry.2s")];
    let retry = format!("{name}.retry");
    stage.wait("the end", || {
        let ended = |seen: &Seen| seen.taken > 0 || seen.calls.iter().any(|(attempt, _)| *attempt == ATTEMPTS);
        lock(&book).values().filter(|seen| ended(seen)).count() == RECORDS
            && stage.is_done(name, name)
            && topics.iter().all(|topic| stage.is_done(&retry, topic))
    });
    drop(second);

    let letters = stage.letters().into_iter().map(|letter| (letter.tp.partition, letter.offset, letter.landed));
    let mut letters: Vec<_> = letters.collect();
    letters.sort_unstable();
    letters.dedup();
    let poison = (0..RECORDS).step_by(POISON).map(|number| {
        let (number, partitions) = (i64::try_from(number).unwrap(), i64::from(PARTITIONS));
        let partition = i32::try_from(number % partitions).unwrap();
        (partition, number / partitions, partition)
    });
    let mut poison: Vec<_> = poison.collect();
    poison.sort_unstable();
    assert_eq!(letters, poison, "dead letters name the source's partition and offset, and lie in that partition");
    judge(&lock(&book), name);
    stage.end();
}

/// Every record was called under its own name, with attempts that rise, and not before its time.
fn judge(book: &BTreeMap<String, Seen>, name: &str) {
    assert_eq!(book.len(), RECORDS, "no record has two names");
    for (id, seen) in book {
        assert!(seen.topic == name && !seen.leaked, "{id}: {seen:?}");
        let highest = seen.calls.iter().map(|(attempt, _)| *attempt).max();
        assert!(highest <= Some(ATTEMPTS), "{id}: {seen:?}");
        let first_of = |wanted| seen.calls.iter().find(|(attempt, _)| *attempt == wanted).map(|(_, at)| *at);
        for attempt in 1..highest.unwrap_or_default() {
            // An attempt that a kill wiped out is made again under its number; each number was reached by waiting.
            let (Some(before), Some(next)) = (first_of(attempt), first_of(attempt + 1)) else {
                panic!("{id}: {seen:?}");
            };
            assert!(next.duration_since(before) >= DELAY * 9 / 10, "{id} came too soon: {seen:?}");
        }
    }
}
