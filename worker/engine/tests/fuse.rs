//! How a blown fuse finds out that it may go on: one record at a time, fresh ones first (L1).

mod stage;

use std::time::Duration;

use penstock_engine::policy::{Fuse, Retry};
use penstock_engine::seam::{ErrorClass, ForwardResult, Forwarded, Outcome};
use penstock_engine::{Event, Policy};
use stage::{Stage, failure};

/// The first records are refused: five become dead letters, the sixth blows the fuse.
const REFUSED: i64 = 8;
const DEAD_LETTERS: u64 = 5;

fn with_fuse(records: i64) -> Stage {
    let fuse = Fuse { percent_max: 20, keys_min: 5, head_start: 20, probes: 10 };
    let retry = Retry { max_attempts: 3, ..Policy::default().retry };
    let mut stage = Stage::of(Policy { concurrency: 8, retry, fuse: Some(fuse), ..Policy::default() });
    stage.assign();
    stage.receive((0..records).map(|offset| (offset, offset.to_string())));
    stage
}

/// Calls and dead letters take a tenth of a second.
fn live(stage: &mut Stage, seconds: u32, answer: impl Fn(i64) -> Outcome) {
    for _ in 0..10 * seconds {
        stage.answer_all(&answer);
        for id in std::mem::take(&mut stage.forwards) {
            stage.tell(Event::Forwarded(vec![Forwarded { id, result: ForwardResult::Confirmed }]));
        }
        stage.pass(Duration::from_millis(100));
    }
}

fn refused() -> Outcome {
    Outcome::Reject(failure(ErrorClass::Rejected))
}

/// The records that it has spared are always due, and fail each time: they say nothing about the others.
#[test]
fn it_goes_on_where_only_the_records_that_it_spared_are_bad() {
    let mut stage = with_fuse(400);
    stage.answer_all(|_| refused());
    assert!(stage.engine.view().fuse_blown.is_some());
    live(&mut stage, 20, |offset| if offset < REFUSED { refused() } else { Outcome::Ack });
    assert_eq!(stage.engine.view().fuse_blown, None);
    assert_eq!(stage.committed.0, 400, "all of them are done");
    assert_eq!(stage.engine.counters().dead_lettered, 8);
}

/// A fresh record that fails may be tried again, and that is no dead letter yet; still it was not taken.
#[test]
fn it_stays_blown_while_most_fresh_records_fail_and_goes_on_when_they_are_taken() {
    let mut stage = with_fuse(400);
    stage.answer_all(|_| refused());
    live(&mut stage, 60, |offset| match offset {
        ..REFUSED => refused(),
        _ if offset % 4 == 0 => Outcome::Ack,
        _ => Outcome::Retry(failure(ErrorClass::Retry)),
    });
    assert!(stage.engine.view().fuse_blown.is_some());
    assert_eq!(stage.engine.counters().dead_lettered, DEAD_LETTERS);
    live(&mut stage, 60, |_| Outcome::Ack);
    assert_eq!(stage.engine.view().fuse_blown, None);
    assert_eq!((stage.committed.0, stage.engine.counters().dead_lettered), (400, DEAD_LETTERS));
}

/// It breaks its connection whenever it is tried, alone, and is due again before each probe.
#[test]
fn a_record_that_breaks_its_connection_is_not_the_only_one_that_is_tried() {
    let mut stage = with_fuse(12);
    stage.answer_all(|_| refused());
    let breaks = |offset, otherwise: fn() -> Outcome| match offset {
        11 => Outcome::ConnectionLost(failure(ErrorClass::ConnectionLost)),
        _ => otherwise(),
    };
    live(&mut stage, 120, |offset| breaks(offset, refused));
    assert!(stage.engine.view().fuse_blown.is_some());
    live(&mut stage, 240, |offset| breaks(offset, || Outcome::Ack));
    assert_eq!(stage.committed.0, 11, "all but that one are done");
    stage.receive((12..40).map(|offset| (offset, offset.to_string())));
    live(&mut stage, 60, |offset| breaks(offset, || Outcome::Ack));
    assert_eq!(stage.engine.view().fuse_blown, None);
}
