//! Commits whose answers do not come (S3, S5, L1).

mod stage;

use std::time::Duration;

use penstock_engine::policy::{OnExhausted, Retry};
use penstock_engine::seam::{CommitId, CommitResult, ErrorClass, Finished, Outcome};
use penstock_engine::{Event, Policy};
use stage::{Stage, TP, failure};

/// Found by chaos, seed 27603: the coordinator took a commit that had timed out after the one that followed it, and with nothing more to do
/// the group would have stood there for ever.
#[test]
fn what_was_committed_after_an_unanswered_commit_is_committed_again() {
    let mut stage = Stage::of(Policy { concurrency: 1, ..Policy::default() });
    stage.assign();
    stage.receive((0..2).map(|offset| (offset, "key".to_owned())));
    stage.pass(Duration::from_secs(5));
    stage.unanswered = Some(Vec::new());
    stage.answer_all(|_| Outcome::Ack);
    stage.pass(Duration::from_secs(5));
    let late: Vec<(CommitId, i64)> = stage.unanswered.take().into_iter().flatten().collect();
    assert_eq!(late.iter().map(|(_, offset)| *offset).collect::<Vec<_>>(), [1], "one at a time");
    stage.answer_all(|_| Outcome::Ack);
    stage.tell(Event::Committed { tp: TP, commit: late[0].0, result: CommitResult::Unknown });
    stage.pass(Duration::from_secs(3));
    assert_eq!(stage.committed.0, 2);
    stage.committed.0 = 1; // it is taken now
    stage.pass(Duration::from_secs(10));
    assert_eq!(stage.committed.0, 2);
    // Once: who is idle stays so.
    stage.committed.0 = -1;
    stage.pass(Duration::from_mins(1));
    assert_eq!(stage.committed.0, -1);
}

/// Time passes for a worker that is awake: the shell calls now and then, with or without a reason.
fn ticks(stage: &mut Stage, time: Duration) {
    let tick = Duration::from_secs(10);
    for _ in 0..time.as_secs() / tick.as_secs() {
        stage.pass(tick);
        stage.tell(Event::Tick);
    }
}

/// Self-fencing where no commit is overdue, for there is nothing to commit: the record that blocks its key waits, the coordinator can no
/// longer be reached, and the group gives the partition to another worker, which calls the same record.
#[test]
fn a_record_that_waited_for_long_starts_only_when_the_group_has_been_heard_of() {
    let minute = Duration::from_mins(1);
    let retry = Retry { max_attempts: 1, initial_delay: minute, max_delay: minute, ..Policy::default().retry };
    let mut stage = Stage::of(Policy { retry, on_exhausted: OnExhausted::Block, ..Policy::default() });
    stage.assign();
    stage.receive([(0, "key".to_owned())]);
    stage.answer(vec![Outcome::Retry(failure(ErrorClass::ServerError))]);
    stage.pass(Duration::from_secs(10)); // what it cost is committed
    stage.unanswered = Some(Vec::new());
    ticks(&mut stage, 2 * minute);
    let asked: Vec<(CommitId, i64)> = stage.unanswered.iter().flatten().copied().collect();
    assert_eq!((asked.len(), stage.offsets()), (1, vec![]), "it is due, and the group has not answered");
    stage.unanswered = None;
    stage.tell(Event::Committed { tp: TP, commit: asked[0].0, result: CommitResult::NotOwner });
    assert_eq!(stage.offsets(), Vec::<Vec<i64>>::new(), "and that is no answer");
    stage.pass(Duration::from_secs(10));
    assert_eq!(stage.offsets(), [[0]]);
}

#[test]
fn who_was_idle_for_long_asks_once_and_goes_on() {
    let mut stage = Stage::of(Policy::default());
    stage.assign();
    ticks(&mut stage, Duration::from_hours(1));
    stage.unanswered = Some(Vec::new());
    stage.receive((0..3).map(|offset| (offset, offset.to_string())));
    let asked: Vec<(CommitId, i64)> = stage.unanswered.take().into_iter().flatten().collect();
    assert_eq!((asked.len(), stage.offsets()), (1, vec![]));
    stage.tell(Event::Committed { tp: TP, commit: asked[0].0, result: CommitResult::Ok });
    assert_eq!(stage.offsets(), [[0], [1], [2]], "at once");
}

/// Another record keeps the worker busy meanwhile: then none waits for an answer, for the group hears of us often enough, whatever the interval of
/// the partition's own signs of life.
#[test]
fn what_waits_beside_others_starts_as_it_is_due() {
    let (second, wait) = (Duration::from_secs(1), Duration::from_secs(30));
    let retry = Retry { max_attempts: 1, initial_delay: wait, max_delay: wait, ..Policy::default().retry };
    let policy = Policy { retry, on_exhausted: OnExhausted::Block, timeout: 10 * wait, ..Policy::default() };
    let mut stage = Stage::of(Policy { session_timeout: 20 * second, heartbeat_interval: 100 * second, ..policy });
    stage.assign();
    stage.receive((0..20).map(|offset| (offset, offset.to_string())));
    let failed = stage.running.split_off(1).into_iter().flatten();
    let outcome = || Outcome::Retry(failure(ErrorClass::ServerError));
    let failed = failed.map(|one| Finished { ticket: one.ticket, outcome: outcome() });
    stage.tell(Event::Finished(failed.collect()));
    stage.unanswered = Some(Vec::new());
    while stage.running.len() < 20 {
        stage.pass(second);
        let due = stage.running.len();
        for (commit, _) in stage.unanswered.iter_mut().flat_map(std::mem::take).collect::<Vec<_>>() {
            stage.tell(Event::Committed { tp: TP, commit, result: CommitResult::Ok });
        }
        assert_eq!(stage.running.len(), due, "a start waited for the answer");
    }
}
