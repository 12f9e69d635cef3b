//! Who is started next (worker.md, "Slots" and "Circuit"): L4, S11 and S12.

mod stage;

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Duration;

use penstock_engine::policy::{Batch, OnExhausted, Retry};
use penstock_engine::seam::{ErrorClass, ForwardResult, Forwarded, Outcome, Output, OutputRecord, Tp};
use penstock_engine::{Event, Policy};
use stage::{Stage, failure};

fn stage(concurrency: u32, records: i64) -> Stage {
    let policy = Policy { concurrency, on_exhausted: OnExhausted::Block, ..Policy::default() };
    let mut stage = Stage::of(policy);
    stage.assign();
    stage.receive((0..records).map(|offset| (offset, offset.to_string())));
    stage
}

/// Three partitions, and a checkpoint that has room for what is at a frontier and nothing else.
fn without_room(policy: Policy) -> Stage {
    let mut stage = Stage::of(Policy { checkpoint_bytes: 1, ..policy });
    stage.assign_several(3);
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

/// Records that the processor answers as if it were away are due again and again, and would be the only probes.
#[test]
fn a_probe_is_a_fresh_record_where_there_is_one() {
    let mut stage = stage(4, 12);
    stage.answer_all(|_| Outcome::Unavailable(failure(ErrorClass::Unreachable)));
    assert!(stage.engine.view().circuit_open.is_some());
    stage.pass(Duration::from_secs(1));
    assert!(running(&stage).first() > Some(&3), "{:?}", running(&stage));
    stage.answer_all(|_| Outcome::Ack);
    assert_eq!(stage.engine.view().circuit_open, None);
}

/// Two records of a batch that failed are to be found out one by one, whatever else comes. The checkpoint has room for nothing but what is at
/// a frontier, which goes in the place of what it has no room for: here both of them did, together again.
#[test]
fn who_is_parted_from_a_batch_that_failed_is_in_no_other() {
    let batch = Batch { max_records: 4, ..Policy::default().batch };
    let mut stage = without_room(Policy { concurrency: 1, batch, ..Policy::default() });
    stage.receive_of(Tp(0), [(0, "a".into())]);
    stage.receive_of(Tp(1), [(100, "b".into())]);
    stage.receive_of(Tp(2), [(200, "c".into())]);
    stage.answer_all(|_| Outcome::Ack);
    assert_eq!(stage.offsets(), [[100, 200]]);
    stage.receive_of(Tp(0), [(1, "a".into())]);
    stage.answer_all(|_| Outcome::BatchFailed(failure(ErrorClass::ServerError)));
    assert_eq!(stage.offsets(), [[1]]);
    stage.pass(Duration::from_secs(1)); // both are due by now, each by itself
    stage.receive_of(Tp(1), [(101, "d".into())]);
    stage.receive_of(Tp(2), [(201, "e".into())]);
    for _ in 0..4 {
        stage.answer_all(|_| Outcome::Ack);
        assert_eq!(stage.offsets().iter().map(Vec::len).collect::<Vec<_>>(), [1], "{:?}", stage.offsets());
    }
    stage.answer_all(|_| Outcome::Ack);
    assert_eq!((stage.offsets().len(), stage.engine.counters().acknowledged), (0, 6));
}

/// The record at a frontier goes in the place of fresh ones that the checkpoint has no room for. Where the processor answers that one alone as
/// if it were away, it was the only probe.
#[test]
fn a_retry_at_a_frontier_is_no_probe_in_the_place_of_fresh_ones() {
    let mut stage = without_room(Policy { concurrency: 2, ..Policy::default() });
    stage.receive_of(Tp(0), (0..10).map(|offset| (offset, offset.to_string())));
    stage.receive_of(Tp(1), [(100, "b".into())]);
    stage.receive_of(Tp(2), [(200, "c".into())]);
    for _ in 0..10 {
        stage.pass(Duration::from_millis(100));
        stage.answer_all(|_| Outcome::Unavailable(failure(ErrorClass::Unreachable)));
    }
    assert!(stage.engine.view().circuit_open.is_some());
    for _ in 0..10 {
        stage.pass(Duration::from_secs(10)); // longer than probes wait, and shorter than calls may take
        stage.answer_all(|offset| match offset {
            0 => Outcome::Unavailable(failure(ErrorClass::Unreachable)),
            _ => Outcome::Ack,
        });
    }
    assert_eq!(stage.engine.counters().acknowledged, 2);
}

/// A call may last an hour. A record that breaks its connection is alone sooner or later, and holds the others up for half of the time.
#[test]
fn a_suspect_that_has_to_be_alone_takes_turns_with_the_others_while_a_call_lasts() {
    let policy = Policy { concurrency: 4, timeout: Duration::from_hours(1), ..Policy::default() };
    let retry = Retry { max_attempts: 1, ..Policy::default().retry };
    let mut stage = Stage::of(Policy { on_exhausted: OnExhausted::Block, retry, ..policy });
    stage.assign();
    stage.receive((0..5000).map(|offset| (offset, offset.to_string())));
    // The first record's call lasts, the second breaks its connection, the others are done at once.
    let mut others = Vec::new();
    for _ in 0..600 {
        let (lasting, ending): (Vec<_>, Vec<_>) = std::mem::take(&mut stage.running)
            .into_iter()
            .partition(|call| call.first().is_some_and(|one| one.record.offset() == 0));
        others.push(ending.iter().filter(|call| call.first().is_some_and(|one| one.record.offset() > 1)).count());
        stage.running = ending;
        stage.answer_all(|offset| match offset {
            1 => Outcome::ConnectionLost(failure(ErrorClass::ConnectionLost)),
            _ => Outcome::Ack,
        });
        stage.running.extend(lasting);
        stage.pass(Duration::from_millis(100));
    }
    let idle = others.iter().filter(|count| **count == 0).count();
    assert!((200..=330).contains(&idle), "others waited for {idle} of 600 tenths of a second");
    assert_eq!(running(&stage).first(), Some(&0), "the call lasts");
    // It ends in the end, and then the suspect runs alone.
    for _ in 0..1000 {
        stage.answer_all(|offset| match offset {
            1 => Outcome::ConnectionLost(failure(ErrorClass::ConnectionLost)),
            _ => Outcome::Ack,
        });
        stage.pass(Duration::from_millis(100));
    }
    assert_eq!(stage.committed.0, 1, "all but the suspect are done");
    assert_eq!(stage.engine.counters().attempts_charged, 1, "which was charged");
}

/// Chaos, seed 20060: hundreds of records break their connections, and one of them after the other ran alone while healthy records waited.
/// Each call takes so many tenths of a second; every other one of the first 400 records breaks its connection, whenever it is called. Tells
/// for how many tenths of a second others waited at most, and in all, until each of those was charged; the processor was away for some.
fn many_suspects(takes: impl Fn(i64) -> u32, outage: Range<u32>) -> (u32, u32, u32) {
    let mut stage = stage(4, 0);
    stage.receive((0..40_000).map(|offset| (offset, offset.to_string())));
    let breaks = |offset: i64| offset < 400 && offset % 2 == 0;
    let (mut waited, mut longest, mut in_all, mut passed) = (0, 0, 0, 0);
    let mut begun: Vec<(i64, u32)> = Vec::new();
    while stage.engine.counters().attempts_charged < 200 {
        stage.pass(Duration::from_millis(100));
        passed += 1;
        assert!(passed < 10_000, "suspects are not run");
        let now: Vec<i64> = running(&stage).into_iter().collect();
        begun.retain(|(offset, _)| now.contains(offset));
        let new = now.iter().filter(|offset| begun.iter().all(|(known, _)| known != *offset));
        let new: Vec<(i64, u32)> = new.map(|offset| (*offset, passed)).collect();
        let started = new.iter().any(|(offset, _)| !breaks(*offset));
        begun.extend(new);
        let away = stage.engine.view().circuit_open.is_some();
        waited = if started || away { 0 } else { waited + 1 };
        (longest, in_all) = (waited.max(longest), in_all + u32::from(waited > 0));
        let over = |offset: i64| begun.iter().any(|(it, at)| *it == offset && passed - at + 1 >= takes(offset));
        let (ending, lasting) = std::mem::take(&mut stage.running)
            .into_iter()
            .partition(|call| call.first().is_some_and(|one| over(one.record.offset())));
        stage.running = ending;
        stage.answer_all(|offset| match offset {
            _ if outage.contains(&passed) => Outcome::Unavailable(failure(ErrorClass::Unreachable)),
            _ if breaks(offset) => Outcome::ConnectionLost(failure(ErrorClass::ConnectionLost)),
            _ => Outcome::Ack,
        });
        stage.running.extend::<Vec<_>>(lasting);
    }
    (longest, in_all, passed)
}

#[test]
fn many_suspects_that_have_to_be_alone_take_turns_with_the_others() {
    let (longest, in_all, passed) = many_suspects(|_| 1, 0..0);
    assert!(longest <= 11, "others waited for {longest} tenths of a second");
    assert!(in_all * 10 <= passed * 6, "{in_all} of {passed}");
    assert!(passed < 600, "{passed}");
}

/// Nobody waits for a suspect while all wait for the processor.
#[test]
fn an_outage_makes_no_turn_longer() {
    let (longest, ..) = many_suspects(|_| 1, 30..900);
    assert!(longest <= 11, "others waited for {longest} tenths of a second");
}

/// Calls of two seconds have to end before a suspect is alone: that wait is made for many of them.
#[test]
fn suspects_run_in_a_row_once_they_have_waited_for_others() {
    let (longest, in_all, passed) = many_suspects(|offset| if offset % 8 == 7 { 20 } else { 1 }, 0..0);
    assert!(longest <= 61, "others waited for {longest} tenths of a second");
    assert!(passed < 1200, "{in_all} of {passed}");
}

/// Answers that cannot be written do not pile up: they are counted by their bytes, and not only by their number.
#[test]
fn no_call_is_started_while_unwritten_answers_take_half_a_window() {
    let policy = Policy { concurrency: 2, window_bytes: 1 << 20, output: true, ..Policy::default() };
    let mut stage = Stage::of(Policy { on_exhausted: OnExhausted::Block, ..policy });
    stage.assign();
    stage.receive((0..50).map(|offset| (offset, offset.to_string())));
    let answer = || {
        let value = Some(vec![7; 100 << 10].into_boxed_slice());
        Outcome::AckWith(Box::new(Output { records: vec![OutputRecord { value, ..OutputRecord::default() }] }))
    };
    let mut answers = 0;
    while !stage.running.is_empty() {
        answers += stage.running.len();
        stage.answer_all(|_| answer());
    }
    assert!((6..=7).contains(&answers), "{answers} of 100 KiB");
    for id in std::mem::take(&mut stage.forwards) {
        stage.tell(Event::Forwarded(vec![Forwarded { id, result: ForwardResult::Confirmed }]));
    }
    assert_eq!(stage.running.len(), 2, "as soon as they are written, others are");
}

fn in_batches(concurrency: u32, batch: Batch) -> Stage {
    let mut stage = Stage::of(Policy { concurrency, batch, on_exhausted: OnExhausted::Block, ..Policy::default() });
    stage.assign();
    stage
}

#[test]
fn a_batch_takes_no_further_record_once_it_has_its_bytes() {
    for (max_bytes, size) in [(1, 1), (1 << 20, 10)] {
        let mut stage = in_batches(1, Batch { max_records: 10, max_bytes, ..Policy::default().batch });
        stage.receive((0..50).map(|offset| (offset, offset.to_string())));
        assert_eq!(stage.offsets().iter().map(Vec::len).collect::<Vec<_>>(), [size]);
    }
}

#[test]
fn a_batch_waits_for_more_while_others_are_in_flight_and_each_for_itself() {
    let wait = Duration::from_millis(100);
    let mut stage = in_batches(2, Batch { max_records: 10, max_wait: wait, ..Policy::default().batch });
    stage.receive((0..15).map(|offset| (offset, offset.to_string())));
    let sizes = |stage: &Stage| stage.offsets().iter().map(Vec::len).collect::<Vec<_>>();
    assert_eq!(sizes(&stage), [10], "a full one does not wait, nor would any beside nothing");
    stage.pass(Duration::from_millis(99));
    assert_eq!(sizes(&stage), [10]);
    stage.pass(Duration::from_millis(1));
    assert_eq!(sizes(&stage), [10, 5]);
    // What comes while both slots are taken waits as long when the second ends, though the time of the one before is over.
    stage.receive((15..18).map(|offset| (offset, offset.to_string())));
    let first = stage.running.remove(0);
    stage.answer_all(|_| Outcome::Ack);
    stage.running.push(first);
    assert_eq!(sizes(&stage), [10]);
    stage.pass(wait);
    assert_eq!(sizes(&stage), [10, 3]);
    stage.answer_all(|_| Outcome::Ack);
    stage.receive((18..20).map(|offset| (offset, offset.to_string())));
    assert_eq!(sizes(&stage), [2], "where nothing is in flight nobody waits");
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

/// Whoever was stopped for longer than a call may take does not know whether that was ever sent.
#[test]
fn a_worker_that_slept_through_a_call_charges_nobody_for_it() {
    let timeout = Duration::from_secs(4);
    let mut stage = Stage::of(Policy { timeout, ..Policy::default() });
    stage.assign();
    stage.receive([(0, "a".to_owned())]);
    assert_eq!(stage.offsets(), [[0]]);
    stage.now = stage.now + timeout * 2;
    stage.tell(Event::Tick);
    stage.answer(vec![Outcome::Cancelled]);
    assert_eq!(stage.engine.counters().attempts_charged, 0);
    // Awake, it does know.
    stage.pass(Duration::from_secs(1));
    assert_eq!(stage.offsets(), [[0]], "it is called again");
    stage.pass(timeout);
    stage.answer(vec![Outcome::Cancelled]);
    assert_eq!(stage.engine.counters().attempts_charged, 1);
}
