//! Stories of a lane, too rare for random schedules to tell them often.

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

fn with_output(bytes: usize) -> Outcome {
    let record = OutputRecord { value: Some(vec![7; bytes].into_boxed_slice()), ..OutputRecord::default() };
    Outcome::AckWith(Box::new(Output { records: vec![record] }))
}

/// The broker has the answer that was handed to the producer last.
fn confirm_last(lane: &mut Stage) {
    let confirmed = lane.forwards.pop().map(|id| Forwarded { id, result: ForwardResult::Confirmed });
    lane.tell(Event::Forwarded(confirmed.into_iter().collect()));
}

/// Found by the 148,712th schedule: the second one was called while the output of the first was still being written, that was
/// refused, and then both ran at once.
#[test]
fn what_failed_behind_an_output_waits_until_that_is_written() {
    let batch = Batch { max_records: 2, same_lane: true, ..Batch::default() };
    let policy = Policy { batch, output: true, on_exhausted: OnExhausted::Block, ..Policy::default() };
    let mut lane = lane(policy, 2);
    assert_eq!(lane.offsets(), [[0, 1]]);
    lane.answer(vec![with_output(0), Outcome::Retry(failure(ErrorClass::ServerError))]);
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

/// Answers behind a record are kept until its own is written. Where that is refused for good it is called again, be it that the answers of
/// such lanes take so much that no call is started otherwise (L1).
#[test]
fn a_record_is_called_again_though_the_answers_that_wait_for_it_leave_no_room() {
    answers_leave_no_room(&ForwardResult::Confirmed);
    answers_leave_no_room(&ForwardResult::Failed(failure(ErrorClass::ForwardFailed)));
}

/// `behind` is what the producer says of the answers behind those that are refused.
fn answers_leave_no_room(behind: &ForwardResult) {
    let batch = Batch { max_records: 2, same_lane: true, ..Batch::default() };
    let policy = Policy { concurrency: 2, window_bytes: 1 << 20, batch, output: true, ..Policy::default() };
    let mut lanes = Stage::of(Policy { on_exhausted: OnExhausted::Block, ..policy });
    lanes.assign();
    lanes.receive((0..10).map(|offset| (offset, (offset / 2).to_string())));
    assert_eq!(lanes.offsets(), [[0, 1], [2, 3]]);
    lanes.answer_all(|_| with_output(300 << 10));
    assert_eq!(lanes.handed_over, [0, 1, 2, 3]);
    for (id, offset) in std::mem::take(&mut lanes.forwards).into_iter().zip(0..) {
        let refused = || ForwardResult::Refused(failure(ErrorClass::ForwardFailed));
        let result = if offset % 2 == 0 { refused() } else { behind.clone() };
        lanes.tell(Event::Forwarded(vec![Forwarded { id, result }]));
    }
    assert_eq!(lanes.forwards.len(), 0, "the answers behind wait");
    let mut called = Vec::new();
    for second in 0..100 {
        let records: Vec<i64> = lanes.offsets().into_iter().flatten().collect();
        assert!(records.len() <= 1 || second > 55, "one at a time while there is no room: {records:?}");
        called.extend(records);
        lanes.answer_all(|_| with_output(1));
        while !lanes.forwards.is_empty() {
            confirm_last(&mut lanes);
        }
        lanes.pass(Duration::from_secs(1));
    }
    called.sort_unstable();
    assert_eq!(called, [0, 2, 4, 5, 6, 7, 8, 9], "what was answered behind the two is not called again");
    assert_eq!(lanes.committed.0, 10);
}

/// An answer of an earlier assignment would have the only place in the producer while it waits for the record before it. That is called again,
/// and so is its own.
#[test]
fn a_late_answer_takes_no_place_from_the_record_before_it() {
    let mut lane = Stage::of(Policy { output: true, ..Policy::default() });
    lane.tell(Event::ForwardRoom { slots: 1 });
    lane.assign();
    let records = || (0..2).map(|offset| (offset, "key".to_owned()));
    lane.receive(records());
    lane.unanswered = Some(Vec::new());
    lane.answer(vec![Outcome::Ack]);
    assert_eq!(lane.offsets(), [[1]]);
    // The partition goes and returns, and what was done of it is not committed.
    lane.unanswered = None;
    lane.assign();
    lane.receive(records());
    assert_eq!(lane.offsets(), [[1]], "its key still runs");
    lane.answer(vec![with_output(0)]);
    assert_eq!((lane.offsets(), lane.forwards.len()), (vec![vec![0]], 0));
    lane.answer(vec![Outcome::Ack]);
    assert_eq!(lane.offsets(), [[1]]);
    lane.answer(vec![with_output(0)]);
    confirm_last(&mut lane);
    lane.pass(Duration::from_secs(1));
    assert_eq!(lane.committed.0, 2);
}
