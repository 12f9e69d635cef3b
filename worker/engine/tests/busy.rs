//! Whom it is about when a processor says of a whole batch that it is busy (S12, L4).

mod stage;

use std::time::Duration;

use penstock_crds::checkpoint::{Place, decode};
use penstock_engine::policy::{Batch, OnExhausted, Retry};
use penstock_engine::seam::{ErrorClass, Finished, Outcome};
use penstock_engine::{Event, Policy};
use stage::{Stage, failure};

/// Longest back-off, and what the processor asks for: whoever is told that it is busy comes again at the same moment.
const SECOND: Duration = Duration::from_secs(1);
/// A record for which the processor is always too busy.
const CULPRIT: i64 = 3;
/// Records that come in a second, after a batch of [`FIRST`].
const MORE: i64 = 3;
const FIRST: i64 = 8;

/// The culprit is in a batch with seven others.
fn in_a_batch() -> Stage {
    let retry = Retry { max_attempts: 2, max_delay: SECOND, ..Policy::default().retry };
    let batch = Batch { max_records: 8, ..Policy::default().batch };
    let policy = Policy { concurrency: 2, retry, batch, on_exhausted: OnExhausted::Discard, ..Policy::default() };
    let mut stage = Stage::of(policy);
    stage.assign();
    stage.receive((0..FIRST).map(|offset| (offset, offset.to_string())));
    stage
}

/// A second in which others come, and each call is told as a whole that the processor is busy, or is acknowledged.
fn live(stage: &mut Stage, second: i64, is_busy: impl Fn(&[i64]) -> bool) {
    let next = FIRST + MORE * second;
    stage.receive((next..next + MORE).map(|offset| (offset, offset.to_string())));
    while !stage.running.is_empty() {
        for call in std::mem::take(&mut stage.running) {
            let offsets: Vec<i64> = call.iter().map(|one| one.record.offset()).collect();
            let busy = || Outcome::Overload(failure(ErrorClass::Overload).after(SECOND));
            let answer = || if is_busy(&offsets) { busy() } else { Outcome::Ack };
            let finished = call.iter().map(|one| Finished { ticket: one.ticket, outcome: answer() });
            stage.tell(Event::Finished(finished.collect()));
        }
    }
    stage.pass(SECOND);
}

#[test]
fn a_batch_that_is_told_busy_for_long_is_parted_until_one_record_alone_is_charged() {
    let mut stage = in_a_batch();
    for second in 0..30 {
        live(&mut stage, second, |call| call.contains(&CULPRIT));
    }
    assert_eq!(stage.engine.counters().attempts_charged, 1);
    assert_eq!(stage.committed.0, CULPRIT, "the others of its batch are done");
    for second in 30..60 {
        live(&mut stage, second, |call| call.contains(&CULPRIT));
    }
    let counters = stage.engine.counters();
    assert_eq!((counters.attempts_charged, counters.discarded), (2, 1), "and only it is charged");
    assert_eq!(counters.acknowledged, 7 + 60 * 3);
}

/// While others fare as badly it is the processor that is busy.
#[test]
fn whoever_is_alone_by_then_pays_nothing_while_all_are_told_busy() {
    let mut stage = in_a_batch();
    for second in 0..17 {
        live(&mut stage, second, |call| call.contains(&CULPRIT));
    }
    for second in 17..37 {
        live(&mut stage, second, |_| true);
    }
    assert_eq!(stage.engine.counters().attempts_charged, 0);
    for second in 37..47 {
        live(&mut stage, second, |call| call.contains(&CULPRIT));
    }
    assert_eq!(stage.engine.counters().attempts_charged, 1);
    assert_eq!(stage.committed.0, CULPRIT, "all others are done");
}

/// Those that are parted come as seldom as the processor has asked for.
#[test]
fn parted_records_wait_as_long_as_the_processor_asks() {
    let mut stage = in_a_batch();
    for second in 0..17 {
        live(&mut stage, second, |call| call.contains(&CULPRIT));
    }
    // The second of the last answer has just passed.
    let mut calls = stage.offsets();
    calls.sort_unstable();
    assert_eq!(calls, [[0, 1, 2, 3], [4, 5, 6, 7]], "in halves");
    stage.answer_all(|_| Outcome::Overload(failure(ErrorClass::Overload).after(SECOND)));
    stage.pass(Duration::from_millis(999));
    assert_eq!(stage.offsets(), Vec::<Vec<i64>>::new());
    stage.pass(Duration::from_millis(1));
    assert!(stage.offsets().iter().all(|call| call.len() == 2), "{:?}", stage.offsets());
    assert!(!stage.running.is_empty());
}

/// The operator counts on it: a processor that is busy is not helped by more workers.
#[test]
fn a_checkpoint_tells_how_much_the_processor_asks_for() {
    let mut stage = Stage::of(Policy { concurrency: 8, ..Policy::default() });
    stage.assign();
    stage.receive((0..200).map(|offset| (offset, offset.to_string())));
    let told = |stage: &Stage| {
        let (offset, leader_epoch, text) = &stage.committed;
        let (offset, leader_epoch) = (*offset, *leader_epoch);
        let place = Place { cluster_id: "cluster", topic_id: stage.topic_id.0, partition: 0, offset, leader_epoch };
        decode(text, &place).expect("it is ours").gauges.expect("it is of a worker").concurrency
    };
    stage.answer_all(|_| Outcome::Ack);
    stage.pass(2 * SECOND);
    assert_eq!(told(&stage), 8);
    stage.answer_all(|_| Outcome::Overload(failure(ErrorClass::Overload).after(SECOND)));
    stage.pass(10 * SECOND); // with nothing done, the next sign of life tells
    assert_eq!(told(&stage), stage.engine.view().concurrency);
    assert!(told(&stage) < 8);
}
