//! Who is started next (worker.md, "Slots" and "Circuit"): L4, S11 and S12.

mod stage;

use std::collections::BTreeSet;
use std::time::Duration;

use penstock_engine::Policy;
use penstock_engine::policy::{OnExhausted, Retry};
use penstock_engine::seam::{ErrorClass, Outcome};
use stage::{Stage, failure};

fn stage(concurrency: u32, records: i64) -> Stage {
    let policy = Policy { concurrency, on_exhausted: OnExhausted::Block, ..Policy::default() };
    let mut stage = Stage::of(policy);
    stage.assign();
    stage.receive((0..records).map(|offset| (offset, offset.to_string())));
    stage
}

fn running(stage: &Stage) -> BTreeSet<i64> {
    stage.offsets().into_iter().flatten().collect()
}

/// Found by chaos, seed 8408: probes were the very records that break connections, so that the circuit stayed open long after the
/// processor was well.
#[test]
fn a_probe_is_a_record_that_broke_nothing() {
    let mut stage = stage(4, 12);
    assert_eq!(running(&stage), BTreeSet::from([0, 1, 2, 3]));
    stage.answer_all(|_| Outcome::ConnectionLost(failure(ErrorClass::ConnectionLost)));
    assert_eq!(running(&stage), BTreeSet::from([4, 5, 6, 7]));
    // Others are started until it has said so three times.
    for _ in 0..2 {
        stage.answer_all(|_| Outcome::Unavailable(failure(ErrorClass::Unreachable)));
    }
    assert!(stage.engine.view().circuit_open.is_some());
    assert_eq!(running(&stage), BTreeSet::new());
    stage.pass(Duration::from_mins(1));
    let probes = running(&stage);
    assert!(probes.len() == 1 && probes.first() > Some(&3), "{probes:?}");
    stage.answer_all(|_| Outcome::Ack);
    assert_eq!(stage.engine.view().circuit_open, None);
}

/// Chaos, seed 9205: nothing was left but records that break connections, and with each that did the next probe came later.
#[test]
fn where_all_records_are_suspects_probes_do_not_become_rare() {
    let mut stage = stage(4, 12);
    for _ in 0..3 {
        stage.answer_all(|_| Outcome::ConnectionLost(failure(ErrorClass::ConnectionLost)));
    }
    while stage.engine.view().circuit_open.is_none() {
        stage.pass(Duration::from_millis(100));
        stage.answer_all(|_| Outcome::Unavailable(failure(ErrorClass::Unreachable)));
    }
    let mut probes = 0;
    for _ in 0..50 {
        stage.pass(Duration::from_millis(100));
        probes += stage.running.len();
        stage.answer_all(|_| Outcome::ConnectionLost(failure(ErrorClass::ConnectionLost)));
    }
    assert!(stage.engine.view().circuit_open.is_some());
    assert!((8..=10).contains(&probes), "{probes} in five seconds");
}

/// While fresh work waits, retries take at most a quarter of the slots.
#[test]
fn retries_leave_three_quarters_of_the_slots_to_fresh_records() {
    let mut stage = stage(16, 80);
    for _ in 0..3 {
        stage.answer_all(|offset| match offset {
            ..40 => Outcome::Retry(failure(ErrorClass::Retry)),
            _ => Outcome::Ack,
        });
    }
    assert_eq!(running(&stage), (48..64).collect());
    stage.pass(Duration::from_mins(5));
    stage.answer_all(|_| Outcome::Ack);
    let retries = running(&stage).into_iter().filter(|offset| *offset < 40).count();
    assert_eq!((stage.running.len(), retries), (16, 4));
}

/// A record that alone is told to come later is charged in the end, or it would hold its key for ever; while others fare as badly it is
/// the processor that is busy, and nobody is charged.
#[test]
fn busy_is_charged_once_it_is_about_the_record() {
    let retry = Retry { max_delay: Duration::from_secs(1), ..Policy::default().retry };
    let attempts = retry.max_attempts;
    let policy = Policy { concurrency: 2, retry, on_exhausted: OnExhausted::Discard, ..Policy::default() };
    let mut stage = Stage::of(policy);
    stage.assign();
    stage.receive((0..400).map(|offset| (offset, offset.to_string())));
    let mut calls = 0;
    while stage.committed.0 == 0 {
        assert!(!stage.running.is_empty(), "all others are done after {calls} calls of it");
        calls += u32::from(running(&stage).contains(&0));
        stage.answer_all(|offset| match offset {
            0 => Outcome::Overload(failure(ErrorClass::Overload)),
            _ => Outcome::Ack,
        });
        stage.pass(Duration::from_secs(1));
    }
    assert_eq!(calls, (16 + 1) * attempts);
}
