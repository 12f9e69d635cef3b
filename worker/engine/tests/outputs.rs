//! Stories of what a lane puts out: in its order, without waiting for each record, and in its order again where a write fails.

mod stage;

use std::time::Duration;

use penstock_engine::policy::Batch;
use penstock_engine::seam::{ErrorClass, Finished, ForwardId, ForwardResult, Forwarded, Outcome, Output, OutputRecord};
use penstock_engine::{Event, Policy};
use stage::{Stage, failure};

/// An engine that has called a batch of records of one key.
fn batch(records: usize) -> Stage {
    let batch = Batch { max_records: 8, same_lane: true, ..Batch::default() };
    let mut lane = Stage::of(Policy { batch, output: true, ..Policy::default() });
    lane.assign();
    receive(&mut lane, records);
    lane
}

fn receive(lane: &mut Stage, records: usize) {
    lane.receive((0..).take(records).map(|offset| (offset, "key".to_owned())));
}

fn with_output() -> Outcome {
    Outcome::AckWith(Box::new(Output { records: vec![OutputRecord::default()] }))
}

/// An engine whose batch was answered with an output for each record, and what the producer got.
fn put_out(records: usize) -> (Stage, Vec<ForwardId>) {
    let mut lane = batch(records);
    lane.answer(vec![with_output(); records]);
    let ids = lane.forwards.clone();
    (lane, ids)
}

/// The producer tells what became of a forward.
fn report(lane: &mut Stage, id: ForwardId, result: ForwardResult) {
    lane.forwards.retain(|other| *other != id);
    lane.tell(Event::Forwarded(vec![Forwarded { id, result }]));
}

fn fail(lane: &mut Stage, id: ForwardId) {
    report(lane, id, ForwardResult::Failed(failure(ErrorClass::ForwardFailed)));
}

fn confirm(lane: &mut Stage, id: ForwardId) {
    report(lane, id, ForwardResult::Confirmed);
}

#[test]
fn the_outputs_of_a_lane_follow_each_other_without_waiting() {
    let (mut lane, ids) = put_out(4);
    assert_eq!(lane.handed_over, [0, 1, 2, 3]);
    for (id, committed) in [(ids[1], 0), (ids[0], 2), (ids[3], 2), (ids[2], 4)] {
        confirm(&mut lane, id);
        lane.pass(Duration::from_secs(10));
        assert_eq!(lane.committed.0, committed);
    }
    assert_eq!(lane.handed_over.len(), 4);
}

/// Found by the benchmark: where the last of a lane's outputs was not the last to be confirmed, nobody looked at the lane until the next commit.
#[test]
fn a_lane_whose_outputs_were_confirmed_in_another_order_goes_on_at_once() {
    let mut lane = batch(12);
    lane.answer(vec![with_output(); 8]);
    for id in lane.forwards.clone().into_iter().rev() {
        assert_eq!(lane.running.len(), 0);
        confirm(&mut lane, id);
    }
    assert_eq!(lane.offsets(), [[8, 9, 10, 11]]);
}

#[test]
fn answers_that_come_in_another_order_are_put_out_in_that_of_the_lane() {
    let mut lane = batch(4);
    let call = lane.running.pop().unwrap();
    for (which, handed_over) in [(2, vec![]), (3, vec![]), (1, vec![]), (0, vec![0, 1, 2, 3])] {
        let ticket = call[which].ticket;
        lane.tell(Event::Finished(vec![Finished { ticket, outcome: with_output() }]));
        assert_eq!(lane.handed_over, handed_over);
    }
}

#[test]
fn what_follows_an_output_that_failed_is_written_again_behind_it() {
    let (mut lane, ids) = put_out(4);
    confirm(&mut lane, ids[0]);
    fail(&mut lane, ids[1]);
    confirm(&mut lane, ids[2]);
    lane.pass(Duration::from_mins(2));
    assert_eq!(lane.handed_over, [0, 1, 2, 3, 1, 2], "the last waits for its own report");
    assert_eq!(lane.committed.0, 1);
    fail(&mut lane, ids[3]);
    for id in [ids[1], ids[2]] {
        confirm(&mut lane, id);
    }
    lane.pass(Duration::from_mins(2));
    assert_eq!(lane.handed_over, [0, 1, 2, 3, 1, 2, 3]);
    confirm(&mut lane, ids[3]);
    lane.pass(Duration::from_secs(10));
    assert_eq!((lane.committed.0, lane.running.len()), (4, 0));
}

/// Two partitions of the output topic: the second output was confirmed while the broker of the first was away.
#[test]
fn what_was_written_before_one_that_failed_is_written_again() {
    let (mut lane, ids) = put_out(2);
    confirm(&mut lane, ids[1]);
    fail(&mut lane, ids[0]);
    lane.pass(Duration::from_mins(2));
    assert_eq!((lane.handed_over.as_slice(), lane.committed.0), (&[0, 1, 0, 1][..], 0));
    for id in ids {
        confirm(&mut lane, id);
    }
    lane.pass(Duration::from_secs(10));
    assert_eq!(lane.committed.0, 2);
}

/// A broker refuses a batch as a whole: too large, because of one of them or of all together. Each is written in a batch of its own then,
/// and none beside it.
#[test]
fn what_is_refused_in_company_is_written_alone() {
    let (mut lane, ids) = put_out(3);
    for id in &ids[..2] {
        report(&mut lane, *id, ForwardResult::RefusedInCompany);
    }
    confirm(&mut lane, ids[2]);
    assert_eq!((lane.handed_over.as_slice(), lane.alone.as_slice()), (&[0, 1, 2, 0][..], &[0][..]));
    report(&mut lane, ids[0], ForwardResult::Refused(failure(ErrorClass::OutputRefused)));
    let letter = lane.forwards[0];
    assert_eq!(lane.handed_over, [0, 1, 2, 0, 0], "a dead letter");
    confirm(&mut lane, letter);
    assert_eq!(lane.alone, [0, 1], "the next one is not to blame");
    confirm(&mut lane, ids[1]);
    assert_eq!((lane.handed_over.as_slice(), lane.alone.as_slice()), (&[0, 1, 2, 0, 0, 1, 2][..], &[0, 1][..]));
    confirm(&mut lane, ids[2]);
    lane.pass(Duration::from_secs(10));
    assert_eq!(lane.committed.0, 3);
}

/// The assignment ends, and the first of the others is not confirmed: what was written behind it before its turn comes again, and so does
/// what was still on its way behind that.
#[test]
fn what_was_written_before_its_turn_is_void_with_its_assignment() {
    let (mut lane, ids) = put_out(3);
    confirm(&mut lane, ids[1]);
    lane.assign();
    receive(&mut lane, 3);
    confirm(&mut lane, ids[0]);
    confirm(&mut lane, ids[2]);
    assert_eq!(lane.offsets(), [[1, 2]]);
}

/// The producer is made anew: all that it had comes back, in any order.
#[test]
fn outputs_that_all_failed_are_put_out_in_their_order() {
    let (mut lane, ids) = put_out(4);
    for which in [2, 0, 3, 1] {
        fail(&mut lane, ids[which]);
    }
    lane.pass(Duration::from_mins(2));
    while let Some(id) = lane.forwards.first().copied() {
        confirm(&mut lane, id);
        lane.pass(Duration::from_mins(2));
    }
    assert_eq!(lane.handed_over, [0, 1, 2, 3, 0, 1, 2, 3]);
    assert_eq!(lane.committed.0, 4);
}

#[test]
fn a_dead_letter_waits_for_the_outputs_before_it() {
    let mut lane = batch(3);
    lane.answer(vec![with_output(), with_output(), Outcome::Reject(failure(ErrorClass::Rejected))]);
    assert_eq!(lane.handed_over, [0, 1]);
    let ids = lane.forwards.clone();
    confirm(&mut lane, ids[1]);
    assert_eq!(lane.handed_over, [0, 1]);
    confirm(&mut lane, ids[0]);
    assert_eq!(lane.handed_over, [0, 1, 2]);
}

/// Of an assignment that is over, too, what was written before one that stands before it does not count, nor behind one that failed: its
/// record would be done before the other one is called again.
#[test]
fn an_output_of_an_earlier_assignment_counts_in_its_turn() {
    let told = |first: usize, fails: bool| {
        let (mut lane, ids) = put_out(2);
        lane.assign();
        receive(&mut lane, 2);
        assert_eq!(lane.running.len(), 0, "its key is still being written");
        for which in [first, 1 - first] {
            if which == 0 && fails { fail(&mut lane, ids[0]) } else { confirm(&mut lane, ids[which]) }
        }
        lane.offsets()
    };
    assert_eq!(told(0, true), [[0, 1]]);
    assert_eq!(told(1, true), [[0, 1]]);
    assert_eq!(told(1, false), [[1]]);
    assert_eq!(told(0, false), Vec::<Vec<i64>>::new());
}
