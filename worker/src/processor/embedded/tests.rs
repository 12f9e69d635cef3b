//! Handlers of each kind, as the loop has them.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::time::Duration;

use penstock_engine::seam::{ArenaBuilder, NewRecord, Tp};
use penstock_kafka::wake::{Sleeper, pair};
use tokio::runtime::Runtime;

use super::*;
use crate::handler::{
    Answer, BatchHandler, BlockingHandler, Done, Failed, Handler, Json, Output, QuickHandler, Record,
};

/// What the loop has of a handler, and the loop's sleep.
struct Loop {
    calls: EmbeddedProcessor,
    sleeper: Sleeper,
    runtime: Runtime,
}

fn with(handler: impl Embedded) -> Loop {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (sleeper, waker) = pair();
    let metrics = Arc::new(Metrics::new().unwrap());
    let calls = EmbeddedProcessor::new(Arc::new(handler), true, (runtime.handle().clone(), waker), metrics);
    Loop { calls, sleeper, runtime }
}

fn each(handler: impl Handler) -> Loop {
    with(Each(Arc::new(handler)))
}

const CALL: CallId = CallId { slot: 3, serial: 7 };

impl Loop {
    fn start(&mut self, values: &[Option<&str>]) {
        let mut arena = ArenaBuilder::default();
        for (offset, value) in (40_i64..).zip(values) {
            let value = value.map(str::as_bytes);
            arena.push(NewRecord { offset, key: Some(b"key"), value, ..NewRecord::default() }).unwrap();
        }
        let arena = arena.finish();
        let deliveries: Vec<Delivery> = (0_u32..)
            .zip(values)
            .map(|(item, _)| Delivery {
                ticket: Ticket { call: CALL, item },
                tp: Tp(0),
                attempt: 2,
                owner: 5,
                record: arena.record(item as usize).unwrap(),
            })
            .collect();
        let origin = Arc::new(Origin::new("orders".into(), 6, "cluster", "topic-id"));
        let deadline = Instant::ZERO + Duration::from_secs(30);
        let deliveries = match <[Delivery; 1]>::try_from(deliveries) {
            Ok([delivery]) => DeliveryList::One(delivery),
            Err(deliveries) => DeliveryList::Many(deliveries),
        };
        let start = Start { call: CALL, deadline, deliveries };
        self.calls.start(start, Instant::ZERO, &|_| Arc::clone(&origin));
        self.calls.flush();
    }

    /// Sleeps as the loop does until all of the call's records are reported.
    fn finished(&mut self, count: usize) -> Vec<Outcome> {
        let began = std::time::Instant::now();
        let mut finished: Vec<Finished> = Vec::new();
        while finished.len() < count {
            let (calls, sleeper) = (&self.calls, &self.sleeper);
            self.runtime.block_on(sleeper.sleep_unless(|| calls.maybe_ready(), || Duration::from_secs(1)));
            self.calls.take_finished(&mut finished);
            assert!(began.elapsed() < Duration::from_secs(30), "no answer: {finished:?}");
        }
        finished.sort_by_key(|finished| finished.ticket);
        finished.into_iter().map(|finished| finished.outcome).collect()
    }

    fn outcome(&mut self, value: Option<&str>) -> Outcome {
        self.start(&[value]);
        self.finished(1).remove(0)
    }
}

/// Does what the value says.
struct Obedient;

impl Handler for Obedient {
    type Value = String;

    async fn handle(&self, record: Record<String>, context: Context) -> Answer {
        assert_eq!((record.topic(), record.partition(), record.offset()), ("orders", 6, 40));
        assert_eq!((record.key(), record.id().as_str()), (Some(&b"key"[..]), "cluster/topic-id/6/40"));
        assert_eq!((record.attempt(), record.owner(), context.attempt()), (2, 5, 2));
        assert!(context.remaining() > Duration::from_secs(20));
        match record.value.as_str() {
            "ack" => Ok(Done::Ack),
            "skip" => Ok(Done::Skip),
            "output" => Ok(Done::Output(vec![
                Output::value("kept"),
                Output::value("").key(Some("other")).header("h", "v"),
                Output::tombstone().key(None::<&str>),
            ])),
            "nothing" => Ok(Done::Output(vec![])),
            "retry" => Err(Failed::retry("later").after(Duration::from_secs(9))),
            "reject" => Err(Failed::reject("never")),
            "overload" => Err(Failed::overload("slowly")),
            "unavailable" => Err(Failed::unavailable("no database")),
            "panic" => panic!("as told"),
            other => {
                let number: u32 = other.parse()?;
                Ok(if number == 0 { Done::Skip } else { Done::Ack })
            }
        }
    }
}

#[test]
fn every_answer_has_its_outcome() {
    let mut calls = each(Obedient);
    assert!(matches!(calls.outcome(Some("ack")), Outcome::Ack));
    assert!(matches!(calls.outcome(Some("skip")), Outcome::Skip));
    assert!(matches!(calls.outcome(Some("nothing")), Outcome::Ack));
    let Outcome::Retry(failure) = calls.outcome(Some("retry")) else { panic!("no retry") };
    assert_eq!((&*failure.detail, failure.after), ("later", Some(Duration::from_secs(9))));
    assert!(matches!(calls.outcome(Some("reject")), Outcome::Reject(_)));
    assert!(matches!(calls.outcome(Some("overload")), Outcome::Overload(_)));
    assert!(matches!(calls.outcome(Some("unavailable")), Outcome::Unavailable(_)));
    let Outcome::Retry(failure) = calls.outcome(Some("not a number")) else { panic!("an error by `?` is a retry") };
    assert_eq!(&*failure.detail, "invalid digit found in string");
}

#[test]
fn outputs_keep_the_key_or_have_their_own() {
    let Outcome::AckWith(output) = each(Obedient).outcome(Some("output")) else { panic!("no output") };
    let keys: Vec<Option<&[u8]>> = output.records.iter().map(|record| record.key.as_deref()).collect();
    assert_eq!(keys, [Some(&b"key"[..]), Some(b"other"), None]);
    let values: Vec<Option<&[u8]>> = output.records.iter().map(|record| record.value.as_deref()).collect();
    assert_eq!(values, [Some(&b"kept"[..]), Some(b""), None]);
    assert_eq!(output.records[1].headers.len(), 1);
}

#[test]
fn a_panic_is_a_failed_attempt_and_the_next_call_goes_on() {
    let mut calls = each(Obedient);
    let Outcome::Retry(failure) = calls.outcome(Some("panic")) else { panic!("no retry") };
    assert_eq!((failure.class, &*failure.detail), (ErrorClass::ServerError, "the handler panicked"));
    assert!(matches!(calls.outcome(Some("ack")), Outcome::Ack));
}

#[test]
fn what_cannot_be_decoded_is_rejected() {
    struct Numbers;
    impl Handler for Numbers {
        type Value = Json<BTreeSet<u32>>;
        async fn handle(&self, record: Record<Self::Value>, _: Context) -> Answer {
            assert_eq!(record.value.0.len(), 2);
            Ok(Done::Ack)
        }
    }
    let mut calls = each(Numbers);
    assert!(matches!(calls.outcome(Some("[1, 2]")), Outcome::Ack));
    for (value, reason) in [
        (Some("[1, \"secret\"]"), "the value cannot be decoded: its JSON has another shape, at line 1 column 12"),
        (Some("["), "the value cannot be decoded: it is not JSON, at line 1 column 1"),
        (None, "the value cannot be decoded: it is null; take an Option to be given tombstones"),
    ] {
        let Outcome::Reject(failure) = calls.outcome(value) else { panic!("no reject") };
        assert_eq!(&*failure.detail, reason);
    }
}

#[test]
fn a_cancelled_future_is_dropped_and_reported() {
    struct Endless(Arc<AtomicBool>);
    struct Running(Arc<AtomicBool>);
    impl Drop for Running {
        fn drop(&mut self) {
            self.0.store(false, SeqCst);
        }
    }
    impl Handler for Endless {
        type Value = ();
        async fn handle(&self, _: Record<()>, _: Context) -> Answer {
            let _running = Running(Arc::clone(&self.0));
            self.0.store(true, SeqCst);
            std::future::pending::<Answer>().await
        }
    }
    let running = Arc::new(AtomicBool::new(false));
    let mut calls = each(Endless(Arc::clone(&running)));
    calls.start(&[None]);
    while !running.load(SeqCst) {
        std::thread::yield_now();
    }
    calls.calls.cancel(CallId { serial: CALL.serial - 1, ..CALL }); // an earlier tenant of the slot: nobody
    calls.calls.cancel(CALL);
    assert!(matches!(calls.finished(1)[0], Outcome::Cancelled));
    assert!(!running.load(SeqCst), "reported only when nothing of it runs any more");
}

#[test]
fn a_blocking_handler_holds_its_call_until_it_returns() {
    struct Stubborn(Arc<AtomicBool>);
    impl BlockingHandler for Stubborn {
        type Value = ();
        fn handle(&self, _: Record<()>, context: Context) -> Answer {
            while !context.is_cancelled() {
                std::thread::yield_now();
            }
            self.0.store(true, SeqCst);
            Ok(Done::Ack)
        }
    }
    let returned = Arc::new(AtomicBool::new(false));
    let mut calls = with(Blocking(Arc::new(Stubborn(Arc::clone(&returned)))));
    calls.start(&[None]);
    assert!(!calls.calls.maybe_ready(), "it waits for the cancellation");
    calls.calls.cancel(CALL);
    assert!(matches!(calls.finished(1)[0], Outcome::Ack), "what it did counts");
    assert!(returned.load(SeqCst));
}

/// Takes numbers, and so long for each.
struct Numbers {
    seen: AtomicU32,
    takes: Duration,
}

impl QuickHandler for Numbers {
    type Value = Json<i32>;

    fn handle(&self, record: Record<Json<i32>>) -> Answer {
        assert_eq!((record.owner(), record.topic()), (5, "orders"));
        self.seen.fetch_add(1, SeqCst);
        let began = std::time::Instant::now();
        while began.elapsed() < self.takes {
            std::thread::yield_now();
        }
        match record.value.0 {
            0 => Ok(Done::Skip),
            1.. => Ok(Done::Ack),
            -1 => Err(Failed::retry("negative")),
            _ => panic!("as told"),
        }
    }
}

fn numbers(takes: Duration) -> (Loop, Arc<Numbers>) {
    let numbers = Arc::new(Numbers { seen: AtomicU32::new(0), takes });
    (with(Quick(Arc::clone(&numbers))), numbers)
}

impl Loop {
    /// What becomes of a fetch of which the first record has come before.
    fn at_once(&mut self, values: &[&str]) -> AtOnce {
        let mut arena = ArenaBuilder::default();
        for (offset, value) in (40_i64..).zip(values) {
            arena.push(NewRecord { offset, value: Some(value.as_bytes()), ..NewRecord::default() }).unwrap();
        }
        let origin = Arc::new(Origin::new("orders".into(), 6, "cluster", "topic-id"));
        self.calls.at_once(Run { arena: &arena.finish(), known: 1, owner: 5, origin })
    }
}

#[test]
fn a_quick_handler_answers_at_once_up_to_a_record_that_fails() {
    let told = |values: &[&str]| {
        let (mut calls, numbers) = numbers(Duration::ZERO);
        let AtOnce { records, skipped, other, .. } = calls.at_once(values);
        (records, skipped, words(other.as_slice()), numbers.seen.load(SeqCst))
    };
    assert_eq!(told(&["9", "1", "0", "2"]), (3, 1, vec![], 3));
    assert_eq!(told(&["9", "1", "-1", "2"]), (1, 0, vec!["retry"], 2));
    assert_eq!(told(&["9", "1", "2", "-2", "3"]), (2, 0, vec!["retry"], 3), "a panic");
    assert_eq!(told(&["9", "1", "x", "2"]), (1, 0, vec!["reject"], 1), "it cannot be decoded");
}

#[test]
fn a_quick_handler_that_is_called_like_any_other_answers_before_the_loop_goes_on() {
    let (mut calls, numbers) = numbers(Duration::ZERO);
    calls.start(&[Some("1")]);
    assert!(calls.calls.maybe_ready());
    assert_eq!(words(&calls.finished(1)), ["ack"]);
    assert_eq!(numbers.seen.load(SeqCst), 1);
    calls.start(&[Some("-2")]);
    assert_eq!(words(&calls.finished(1)), ["retry"], "a panic");
}

#[test]
fn a_quick_handler_is_not_called_once_that_is_given_up() {
    let (mut calls, numbers) = numbers(Duration::ZERO);
    calls.start(&[Some("1")]);
    calls.calls.cancel(CALL);
    assert!(matches!(calls.finished(1)[0], Outcome::Cancelled) && numbers.seen.load(SeqCst) == 0);
}

#[test]
fn a_quick_handler_has_the_loop_for_a_while_and_then_others_have_it() {
    let (mut calls, numbers) = numbers(RUN_MAX);
    for _ in 0..3 {
        calls.start(&[Some("1")]);
    }
    let mut finished = Vec::new();
    for so_far in 1..=3 {
        assert!(calls.calls.maybe_ready());
        calls.calls.take_finished(&mut finished);
        let seen = usize::try_from(numbers.seen.load(SeqCst)).unwrap();
        assert_eq!((finished.len(), seen), (so_far, so_far));
    }
    assert!(!calls.calls.maybe_ready());
}

#[test]
fn a_quick_handler_that_is_slow_is_given_less_at_once() {
    let (mut calls, _) = numbers(Duration::from_millis(3));
    let first = calls.calls.run_max();
    assert!(first > 1 && with(Batches(Arc::new(Batch))).calls.run_max() == 0);
    assert_eq!(calls.at_once(&["9", "1"]).records, 1);
    assert_eq!(calls.calls.run_max(), 1);
    assert!(calls.calls.time_taken() >= Duration::from_millis(3) && calls.calls.time_taken().is_zero());
    calls.start(&[Some("1")]);
    assert_eq!(words(&calls.finished(1)), ["ack"]);
    assert!(calls.calls.time_taken() >= Duration::from_millis(3), "also of calls like any other");
}

struct Batch;

impl BatchHandler for Batch {
    type Value = Json<i32>;

    async fn handle(&self, records: Vec<Record<Json<i32>>>, _: Context) -> Result<Vec<Answer>, Failed> {
        let answer = |Json(number): Json<i32>| match number {
            0 => Ok(Done::Skip),
            1.. => Ok(Done::Ack),
            _ => Err(Failed::reject("negative")),
        };
        match records.iter().map(|record| record.value.0).max() {
            Some(100) => Err(Failed::retry("all of it")),
            Some(200) => Err(Failed::overload("all of it")),
            Some(300) => panic!("as told"),
            Some(400) => Ok(vec![Ok(Done::Ack)]),
            _ => Ok(records.into_iter().map(|record| answer(record.value)).collect()),
        }
    }
}

fn words(outcomes: &[Outcome]) -> Vec<&'static str> {
    let word = |outcome: &Outcome| match outcome {
        Outcome::Ack => "ack",
        Outcome::Skip => "skip",
        Outcome::Reject(_) => "reject",
        Outcome::Retry(_) => "retry",
        Outcome::Overload(_) => "overload",
        Outcome::BatchFailed(_) => "suspect",
        _ => "other",
    };
    outcomes.iter().map(word).collect()
}

#[test]
fn a_batch_is_answered_record_by_record() {
    let mut calls = with(Batches(Arc::new(Batch)));
    let mut of = |values: &[Option<&str>]| {
        calls.start(values);
        words(&calls.finished(values.len()))
    };
    assert_eq!(of(&[Some("1"), Some("x"), Some("0"), Some("-1")]), ["ack", "reject", "skip", "reject"]);
    assert_eq!(of(&[Some("1"), Some("100")]), ["suspect", "suspect"]);
    assert_eq!(of(&[Some("100")]), ["retry"], "alone it is charged");
    assert_eq!(of(&[Some("1"), Some("200")]), ["overload", "overload"]);
    assert_eq!(of(&[Some("1"), Some("300")]), ["suspect", "suspect"]);
    assert_eq!(of(&[Some("1"), Some("400"), Some("2")]), ["ack", "suspect", "suspect"], "no answer for two");
    assert_eq!(of(&[None, Some("x")]), ["reject", "reject"], "nothing is left to hand over");
}

#[test]
fn a_probe_asks_the_handler() {
    struct Twice(AtomicU32);
    impl Handler for Twice {
        type Value = ();
        async fn handle(&self, _: Record<()>, _: Context) -> Answer {
            Ok(Done::Ack)
        }
        async fn ready(&self) -> Result<(), Failed> {
            if self.0.fetch_add(1, SeqCst) == 0 { Err(Failed::unavailable("no database")) } else { Ok(()) }
        }
    }
    let mut calls = each(Twice(AtomicU32::new(0)));
    for expected in [false, true] {
        calls.calls.probe();
        while !calls.calls.maybe_ready() {
            std::thread::yield_now();
        }
        assert_eq!(calls.calls.health(), Some(expected));
        calls.calls.take_finished(&mut Vec::new());
    }
}
