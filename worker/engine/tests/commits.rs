//! Commits whose answers do not come (S3, L1).

mod stage;

use std::time::Duration;

use penstock_engine::seam::{CommitId, CommitResult, Outcome};
use penstock_engine::{Event, Policy};
use stage::{Stage, TP};

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
