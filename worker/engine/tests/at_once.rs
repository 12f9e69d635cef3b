//! Stories of records that are answered before the engine is told of them.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod stage;

use std::time::Duration;

use penstock_crds::checkpoint::{Counters, Place, decode};
use penstock_engine::Policy;
use penstock_engine::policy::{OnExhausted, Ordering};
use penstock_engine::seam::{AtOnce, ErrorClass, Outcome};
use stage::{Stage, failure};

fn records(offsets: std::ops::Range<i64>) -> impl Iterator<Item = (i64, String)> {
    offsets.map(|offset| (offset, format!("key {}", offset % 3)))
}

fn stage(policy: Policy) -> Stage {
    let mut stage = Stage::of(policy);
    stage.assign();
    stage
}

fn done(records: u32) -> AtOnce {
    AtOnce { records, ..AtOnce::default() }
}

/// What the last checkpoint counts.
fn counters(stage: &Stage) -> Counters {
    let (offset, leader_epoch, text) = &stage.committed;
    let (offset, leader_epoch) = (*offset, *leader_epoch);
    let place = Place { cluster_id: "cluster", topic_id: 1, partition: 0, offset, leader_epoch };
    decode(text, &place).expect("it is ours").counters.expect("it is of a worker")
}

#[test]
fn what_is_answered_at_once_is_done_and_committed_and_never_called() {
    let mut stage = stage(Policy::default());
    assert_eq!(stage.next(), Some(0));
    stage.receive_answered(records(0..100), AtOnce { skipped: 7, ..done(100) });
    let counters = stage.engine.counters();
    assert_eq!((counters.received, counters.acknowledged, counters.skipped, counters.calls), (100, 93, 7, 100));
    assert!(stage.running.is_empty());
    stage.pass(Duration::from_secs(5));
    assert_eq!(stage.committed.0, 100);
    assert_eq!(stage.next(), Some(100));
}

#[test]
fn what_fails_is_charged_its_first_attempt_and_its_partition_goes_the_usual_way_until_it_is_done() {
    for ordering in [Ordering::Key, Ordering::Partition, Ordering::Unordered] {
        let mut stage = stage(Policy { ordering, on_exhausted: OnExhausted::Block, ..Policy::default() });
        let other = Some(Outcome::Retry(failure(ErrorClass::Retry)));
        stage.receive_answered(records(0..6), AtOnce { other, ..done(2) });
        assert_eq!(stage.engine.counters().attempts_charged, 1);
        assert_eq!(stage.next(), None, "offset 2 waits");
        let called = stage.offsets();
        let behind: &[&[i64]] = match ordering {
            Ordering::Key => &[&[3], &[4]],
            Ordering::Partition => &[],
            Ordering::Unordered => &[&[3], &[4], &[5]],
        };
        assert_eq!(called, behind, "5 has the key of 2");
        stage.answer_all(|_| Outcome::Ack);
        stage.pass(Duration::from_mins(1));
        assert_eq!(stage.attempts(), [2]);
        for _ in 0..4 {
            stage.answer_all(|_| Outcome::Ack);
        }
        assert_eq!(stage.next(), Some(6));
    }
}

/// The operator's estimate of capacity is records by busy slots.
#[test]
fn while_records_are_answered_at_once_every_slot_is_busy() {
    let told = |ordering| {
        let mut stage = self::stage(Policy { concurrency: 8, ordering, ..Policy::default() });
        stage.receive_answered(records(0..100), AtOnce { took: Duration::from_millis(30), ..done(100) });
        stage.pass(Duration::from_secs(5));
        (counters(&stage).processed, counters(&stage).busy_millis)
    };
    assert_eq!([told(Ordering::Key), told(Ordering::Unordered)], [(100, 8 * 30); 2]);
    assert_eq!(told(Ordering::Partition), (100, 0), "a lane can do more than an eighth of that");
    let mut stage = self::stage(Policy { on_our_thread: true, ..Policy::default() });
    stage.receive(records(0..10));
    stage.pass(Duration::from_secs(5));
    while !stage.running.is_empty() {
        stage.answer_all(|_| Outcome::Ack);
    }
    stage.receive_answered(records(10..20), AtOnce { took: Duration::from_millis(1), ..done(10) });
    stage.pass(Duration::from_secs(5));
    assert_eq!(counters(&stage).busy_millis, 64, "a call that waits for its turn keeps nobody busy");
}

#[test]
fn records_that_come_again_are_passed_over() {
    let mut stage = stage(Policy::default());
    stage.receive_answered(records(0..10), done(10));
    stage.receive_answered(records(5..15), done(10));
    let counters = stage.engine.counters();
    assert_eq!((counters.received, counters.received_again, counters.acknowledged), (15, 5, 15));
    assert_eq!(stage.next(), Some(15));
}

#[test]
fn what_is_left_of_a_page_is_called_in_its_turn() {
    let mut stage = stage(Policy::default());
    stage.receive_answered(records(0..5), done(3));
    assert_eq!(stage.offsets(), [[3], [4]]);
    assert_eq!(stage.next(), None);
    stage.answer_all(|_| Outcome::Ack);
    assert_eq!(stage.next(), Some(5));
}

/// An output has to be written, a parked key has its own order, and a worker that nobody has heard of for long owns nothing for sure.
#[test]
fn whatever_needs_the_books_goes_the_usual_way() {
    assert_eq!(stage(Policy { output: true, ..Policy::default() }).next(), None);
    assert_eq!(stage(Policy { on_exhausted: OnExhausted::ParkKey, ..Policy::default() }).next(), None);
    let mut asleep = stage(Policy::default());
    asleep.now = asleep.now + Policy::default().session_timeout;
    assert_eq!(asleep.next(), None);
}

#[test]
fn three_keys_that_say_the_processor_is_away_open_the_circuit() {
    let mut stage = stage(Policy::default());
    let away = || Outcome::Unavailable(failure(ErrorClass::Unreachable));
    stage.receive_answered(records(0..3), AtOnce { other: Some(away()), ..done(0) });
    stage.answer_all(|_| away());
    assert!(stage.engine.view().circuit_open.is_some());
    assert_eq!(stage.next(), None);
}
