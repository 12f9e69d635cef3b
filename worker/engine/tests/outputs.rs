//! Stories of what a lane puts out: in its order, without waiting for each record, and in its order again where a write fails.

mod stage;

use std::time::Duration;

use penstock_engine::policy::{Batch, OnExhausted};
use penstock_engine::seam::{ErrorClass, Finished, ForwardId, ForwardResult, Forwarded, Outcome, Output, OutputRecord};
use penstock_engine::{Event, Policy};
use stage::{Stage, failure};

/// An engine that has called a batch of records of one key.
fn batch(records: usize) -> Stage {
    batch_of(records, OnExhausted::DeadLetter)
}

fn batch_of(records: usize, on_exhausted: OnExhausted) -> Stage {
    let batch = Batch { max_records: 8, same_lane: true, ..Batch::default() };
    let mut lane = Stage::of(Policy { batch, on_exhausted, output: true, ..Policy::default() });
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
    let mut lane = batch_of(12, OnExhausted::Block);
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

/// An engine that calls records of one key one by one.
fn one_by_one(on_exhausted: OnExhausted, records: usize) -> Stage {
    let mut key = Stage::of(Policy { on_exhausted, output: true, ..Policy::default() });
    key.assign();
    receive(&mut key, records);
    key
}

#[test]
fn a_key_is_called_on_while_what_it_puts_out_is_written() {
    for on_exhausted in [OnExhausted::DeadLetter, OnExhausted::Discard] {
        let mut key = one_by_one(on_exhausted, 3);
        for offset in 0..3 {
            assert_eq!(key.offsets(), [[offset]]);
            key.answer(vec![with_output()]);
        }
        key.receive([(3, "key".to_owned())]);
        assert_eq!(key.offsets(), [[3]], "nor does a record that comes now wait");
        key.answer(vec![with_output()]);
        key.pass(Duration::from_secs(10));
        assert_eq!((key.handed_over.as_slice(), key.committed.0), (&[0, 1, 2, 3][..], 0));
        key.forwards.clone().into_iter().for_each(|id| confirm(&mut key, id));
        key.pass(Duration::from_secs(10));
        assert_eq!(key.committed.0, 4);
    }
}

/// Should the output be refused for good, no later record of the key may have been called.
#[test]
fn a_key_that_a_failure_would_hold_waits_for_what_it_puts_out() {
    for on_exhausted in [OnExhausted::Block, OnExhausted::ParkKey] {
        let mut key = one_by_one(on_exhausted, 2);
        key.answer(vec![with_output()]);
        key.pass(Duration::from_secs(10));
        assert_eq!(key.running.len(), 0);
        let id = key.forwards[0];
        confirm(&mut key, id);
        assert_eq!(key.offsets(), [[1]]);
    }
}

#[test]
fn a_key_is_not_called_while_what_it_puts_out_cannot_be_written() {
    let mut key = one_by_one(OnExhausted::DeadLetter, 3);
    key.answer(vec![with_output()]);
    let id = key.forwards[0];
    fail(&mut key, id);
    key.answer(vec![with_output()]);
    assert_eq!((key.handed_over.as_slice(), key.running.len()), (&[0][..], 0));
    key.pass(Duration::from_mins(2));
    assert_eq!((key.handed_over.as_slice(), key.offsets()), (&[0, 0, 1][..], vec![vec![2]]));
}

/// The next record had found no free slot yet.
#[test]
fn a_call_that_has_not_begun_waits_for_an_output_that_failed() {
    let mut keys = Stage::of(Policy { concurrency: 1, output: true, ..Policy::default() });
    keys.assign();
    keys.receive([(0, "key"), (1, "other"), (2, "key")].map(|(offset, key)| (offset, key.to_owned())));
    keys.answer(vec![with_output()]);
    let id = keys.forwards[0];
    fail(&mut keys, id);
    assert_eq!(keys.offsets(), [[1]]);
    keys.answer(vec![Outcome::Ack]);
    assert_eq!(keys.running.len(), 0);
    keys.pass(Duration::from_mins(2));
    assert_eq!((keys.handed_over.as_slice(), keys.offsets()), (&[0, 0][..], vec![vec![2]]));
}

/// Else it would not be called again after a crash, and the one before it would: the key's last call would be of an older record.
#[test]
fn what_needs_no_output_is_done_in_its_turn() {
    let mut key = one_by_one(OnExhausted::DeadLetter, 3);
    for outcome in [with_output(), Outcome::Ack, Outcome::Skip] {
        key.answer(vec![outcome]);
    }
    key.pass(Duration::from_secs(10));
    let mut next = key.next_worker(Policy { output: true, ..Policy::default() });
    receive(&mut next, 3);
    for offset in 0..3 {
        assert_eq!(next.offsets(), [[offset]]);
        next.answer(vec![Outcome::Ack]);
    }
    assert_eq!(key.handed_over, [0], "there is nothing to write of the others");
    let id = key.forwards[0];
    confirm(&mut key, id);
    key.pass(Duration::from_secs(10));
    assert_eq!((key.committed.0, key.engine.counters().forwarded_output), (3, 1));
}

/// What has not come to an end keeps its place, and half of them are for keys that have none: one output partition that is away stops nobody
/// else (L4).
#[test]
fn keys_whose_outputs_are_stuck_leave_half_of_the_places() {
    let mut keys = one_by_one(OnExhausted::DeadLetter, 10);
    keys.tell(Event::ForwardRoom { slots: 8 });
    while !keys.running.is_empty() {
        keys.answer(vec![with_output()]);
    }
    assert_eq!(keys.handed_over, [0, 1, 2, 3]);
    keys.receive([(10, "other".to_owned())]);
    assert_eq!(keys.offsets(), [[10]]);
    let id = keys.forwards[0];
    confirm(&mut keys, id);
    assert_eq!(keys.offsets(), [[10]], "it takes a place, too");
    keys.answer(vec![Outcome::Ack]);
    let id = keys.forwards[0];
    confirm(&mut keys, id);
    assert_eq!(keys.offsets(), [[4]]);
}

/// It was behind an output, and is not any more.
#[test]
fn what_follows_a_discarded_record_follows_the_outputs_before_it() {
    let mut key = one_by_one(OnExhausted::Discard, 2);
    key.answer(vec![with_output()]);
    key.answer(vec![Outcome::Reject(failure(ErrorClass::Rejected))]);
    key.receive([(2, "key".to_owned())]);
    assert_eq!(key.offsets(), [[2]]);
}

/// Of an assignment that is over nothing counts that one before it in its lane was not done before: that one is called again, and then it.
#[test]
fn what_was_done_under_an_earlier_assignment_counts_in_the_order_of_its_key() {
    let put_out = |records: usize| {
        let mut key = one_by_one(OnExhausted::DeadLetter, records);
        (0..records).for_each(|_| key.answer(vec![with_output()]));
        let ids = key.forwards.clone();
        (key, ids)
    };
    // Confirmed too early, and so is not what comes behind it.
    let (mut key, ids) = put_out(3);
    key.assign();
    receive(&mut key, 3);
    for which in [1, 0, 2] {
        assert_eq!(key.running.len(), 0);
        confirm(&mut key, ids[which]);
    }
    assert_eq!(key.offsets(), [[1]]);
    // The same before the records came.
    let (mut key, ids) = put_out(3);
    key.assign();
    for which in [1, 2] {
        confirm(&mut key, ids[which]);
    }
    fail(&mut key, ids[0]);
    receive(&mut key, 3);
    assert_eq!(key.offsets(), [[0]]);
    key.answer(vec![Outcome::Ack]);
    assert_eq!(key.offsets(), [[1]]);
}

#[test]
fn a_late_answer_behind_an_output_counts_in_the_order_of_its_key() {
    for fails_before in [false, true] {
        let mut key = one_by_one(OnExhausted::DeadLetter, 2);
        key.answer(vec![with_output()]);
        let (id, call) = (key.forwards[0], key.running.pop().unwrap());
        if fails_before {
            fail(&mut key, id);
        }
        key.assign();
        receive(&mut key, 2);
        key.tell(Event::Finished(vec![Finished { ticket: call[0].ticket, outcome: Outcome::Ack }]));
        if !fails_before {
            assert_eq!(key.running.len(), 0, "the key is still being written");
            fail(&mut key, id);
        }
        assert_eq!(key.offsets(), [[0]]);
        key.answer(vec![Outcome::Ack]);
        assert_eq!(key.offsets(), [[1]]);
    }
}

#[test]
fn a_key_is_called_on_behind_a_late_answer_with_output() {
    let mut key = one_by_one(OnExhausted::DeadLetter, 2);
    key.answer(vec![with_output()]);
    let (id, call) = (key.forwards[0], key.running.pop().unwrap());
    key.assign();
    receive(&mut key, 3);
    confirm(&mut key, id);
    key.tell(Event::Finished(vec![Finished { ticket: call[0].ticket, outcome: with_output() }]));
    assert_eq!((key.handed_over.as_slice(), key.offsets()), (&[0, 1][..], vec![vec![2]]));
}

/// Never two calls of a key at once (S5), though a batch answers one by one.
#[test]
fn a_record_is_not_called_again_while_the_rest_of_its_batch_runs() {
    let mut lane = batch(3);
    let call = lane.running.pop().unwrap();
    let answer = |lane: &mut Stage, which: usize, outcome: Outcome| {
        lane.tell(Event::Finished(vec![Finished { ticket: call[which].ticket, outcome }]));
    };
    answer(&mut lane, 0, Outcome::Retry(failure(ErrorClass::Retry)));
    answer(&mut lane, 1, Outcome::Ack);
    lane.pass(Duration::from_secs(10));
    assert_eq!(lane.running.len(), 0);
    answer(&mut lane, 2, Outcome::Ack);
    assert_eq!(lane.offsets(), [[0]]);
}
