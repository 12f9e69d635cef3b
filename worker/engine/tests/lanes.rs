//! Stories of one lane, too rare for random schedules to tell them often.

mod stage;

use std::time::Duration;

use penstock_engine::policy::{Batch, OnExhausted};
use penstock_engine::seam::{ErrorClass, ForwardResult, Forwarded, Outcome, Output, OutputRecord};
use penstock_engine::{Event, Policy};
use stage::{Stage, failure};

/// An engine with a partition of records of one key.
fn lane(policy: Policy, records: i64) -> Stage {
    let mut stage = Stage::of(policy);
    stage.assign();
    stage.receive((0..records).map(|offset| (offset, "key".to_owned())));
    stage
}

fn with_output() -> Outcome {
    let record = OutputRecord { key: None, value: None, headers: Vec::new() };
    Outcome::AckWith(Box::new(Output { records: vec![record] }))
}

/// Found by the 148,712th schedule: the second one was called while the output of the first was still being written, that was
/// refused, and then both ran at once.
#[test]
fn what_failed_behind_an_output_waits_until_that_is_written() {
    let batch = Batch { max_records: 2, same_lane: true, ..Batch::default() };
    let policy = Policy { batch, output: true, on_exhausted: OnExhausted::Block, ..Policy::default() };
    let mut lane = lane(policy, 2);
    assert_eq!(lane.offsets(), [[0, 1]]);
    lane.answer(vec![with_output(), Outcome::Retry(failure(ErrorClass::ServerError))]);
    lane.pass(Duration::from_secs(10));
    assert_eq!(lane.offsets(), Vec::<Vec<i64>>::new(), "the second one waits, though its back-off is over");
    let id = lane.forwards.pop().expect("an output");
    lane.tell(Event::Forwarded(vec![Forwarded {
        id,
        result: ForwardResult::Refused(failure(ErrorClass::ServerError)),
    }]));
    lane.pass(Duration::from_mins(2));
    assert_eq!(lane.offsets(), [[0]], "the first one is called again, and nothing beside it");
    lane.answer(vec![Outcome::Ack]);
    lane.pass(Duration::from_secs(1));
    assert_eq!(lane.offsets(), [[1]]);
}

/// What stands behind a failure was sent in vain: the record that failed goes on alone, and those behind it in calls that grow again.
#[test]
fn a_lane_that_failed_goes_on_with_smaller_calls() {
    let batch = Batch { max_records: 8, same_lane: true, ..Batch::default() };
    let policy = Policy { batch, on_exhausted: OnExhausted::Block, ..Policy::default() };
    let mut lane = lane(policy, 30);
    assert_eq!(lane.offsets(), [(0..8).collect::<Vec<_>>()]);
    let mut outcomes = vec![Outcome::Ack; 3];
    outcomes.resize_with(8, || Outcome::Retry(failure(ErrorClass::ServerError)));
    lane.answer(outcomes);
    lane.pass(Duration::from_mins(1));
    assert_eq!(lane.offsets(), [[3]]);
    lane.answer(vec![Outcome::Retry(failure(ErrorClass::ServerError))]);
    lane.pass(Duration::from_mins(1));
    let mut sizes = Vec::new();
    while let Some(call) = lane.running.last() {
        sizes.push(call.len());
        lane.answer(vec![Outcome::Ack; call.len()]);
    }
    assert_eq!(sizes, [1, 2, 4, 8, 8, 4]);
}
