//! Offsets that are not in the log, by what became of them (worker.md, "Offsets and their loss"): S1 and S2.

mod stage;

use std::time::Duration;

use penstock_crds::checkpoint::{HoldReason, Lost, Place, decode};
use penstock_engine::policy::OnOffsetLoss;
use penstock_engine::seam::{CommitResult, Outcome, TopicId};
use penstock_engine::{Event, Policy};
use stage::{Stage, TP};

fn policy(on_offset_loss: OnOffsetLoss) -> Policy {
    Policy { on_offset_loss, ..Policy::default() }
}

/// Ten records are done and committed.
fn after_ten(on_offset_loss: OnOffsetLoss) -> Stage {
    let mut stage = Stage::of(policy(on_offset_loss));
    stage.assign();
    stage.receive((0..10).map(|offset| (offset, offset.to_string())));
    while !stage.running.is_empty() {
        stage.answer_all(|_| Outcome::Ack);
    }
    stage.pass(Duration::from_secs(5));
    assert_eq!((stage.committed.0, stage.reads.as_slice()), (10, &[0][..]));
    stage
}

/// What the checkpoint says to be lost, to whoever knows the topic by its present id.
fn told(stage: &Stage) -> Option<Lost> {
    let (offset, leader_epoch, metadata) = &stage.committed;
    let (offset, leader_epoch, topic_id) = (*offset, *leader_epoch, stage.topic_id.0);
    let place = Place { cluster_id: "cluster", topic_id, partition: 0, offset, leader_epoch };
    decode(metadata, &place).ok()?.hold.filter(|hold| hold.reason == HoldReason::DataLoss)?.lost
}

/// What befell the log, from where it goes on, and what is told of it.
fn losses() -> [(&'static str, TopicId, std::ops::Range<i64>, i64, Lost); 3] {
    [
        ("retention", TopicId(1), 40..60, 40, Lost { wanted: 10, found: 40 }),
        ("truncation", TopicId(1), 0..7, 7, Lost { wanted: 10, found: 7 }),
        ("made anew", TopicId(2), 0..100, 0, Lost { wanted: 10, found: 0 }),
    ]
}

#[test]
fn resume_goes_on_with_what_is_there() {
    for (what, topic_id, log, from, _) in losses() {
        let mut stage = after_ten(OnOffsetLoss::Resume);
        stage.topic_id = topic_id;
        stage.lose_offset(log);
        stage.pass(Duration::from_secs(5));
        assert_eq!(stage.reads, [0, from], "{what}");
        assert_eq!((stage.committed.0, told(&stage)), (from, None), "{what}");
        stage.receive([(from, "key".to_owned())]);
        assert_eq!(stage.offsets(), [[from]], "{what}");
    }
}

#[test]
fn stop_stops_says_so_and_outlives_its_worker() {
    for (what, topic_id, log, from, lost) in losses() {
        let mut stage = after_ten(OnOffsetLoss::Stop);
        stage.topic_id = topic_id;
        stage.lose_offset(log.clone());
        stage.pass(Duration::from_secs(5));
        assert_eq!((stage.reads.as_slice(), told(&stage)), (&[0][..], Some(lost)), "{what}");

        // Nobody has decided when the next worker comes.
        let mut next = stage.next_worker(policy(OnOffsetLoss::Stop));
        next.pass(Duration::from_secs(5));
        assert_eq!((next.reads.as_slice(), told(&next)), (&[][..], Some(lost)), "{what}");

        // Somebody has, and what the log has got in the meantime is skipped no more than the rest.
        let mut resumed = next.next_worker(policy(OnOffsetLoss::Resume));
        if resumed.reads != [from] {
            assert_eq!(resumed.reads, [10], "{what}: not in the log, as before");
            resumed.lose_offset(log);
            assert_eq!(resumed.reads, [10, from], "{what}");
        }
        resumed.pass(Duration::from_secs(5));
        assert_eq!((resumed.committed.0, told(&resumed)), (from, None), "{what}");

        // Or the group was moved by Kafka's tools, which leave no checkpoint.
        next.committed = (from + 1, -1, String::new());
        let moved = next.next_worker(policy(OnOffsetLoss::Stop));
        assert_eq!(moved.reads, [from + 1], "{what}");
    }
}

/// What was received before is done, and only what nobody has is told as lost.
#[test]
fn stop_by_retention_does_what_is_here() {
    let mut stage = after_ten(OnOffsetLoss::Stop);
    stage.receive((10..20).map(|offset| (offset, offset.to_string())));
    stage.lose_offset(40..60);
    stage.pass(Duration::from_secs(5));
    assert_eq!(told(&stage), Some(Lost { wanted: 20, found: 40 }));

    // Whoever comes next has only what is committed.
    let next = stage.next_worker(policy(OnOffsetLoss::Stop));
    assert_eq!((next.reads.as_slice(), told(&next)), (&[][..], Some(Lost { wanted: 10, found: 40 })));

    while !stage.running.is_empty() {
        stage.answer_all(|_| Outcome::Ack);
    }
    stage.pass(Duration::from_secs(5));
    assert_eq!((stage.committed.0, told(&stage)), (20, Some(Lost { wanted: 20, found: 40 })));
}

/// A topic is made anew, and before it is told the partition goes and comes back, with a commit that came too late for its log.
#[test]
fn an_offset_of_a_log_that_this_process_knows_to_be_gone_is_none() {
    for on_offset_loss in [OnOffsetLoss::Resume, OnOffsetLoss::Stop] {
        let mut stage = after_ten(on_offset_loss);
        stage.topic_id = TopicId(2);
        stage.assign();
        stage.pass(Duration::from_secs(5));
        let stops = on_offset_loss == OnOffsetLoss::Stop;
        assert_eq!(stage.reads, if stops { vec![0] } else { vec![0, 0] });
        assert_eq!((stage.committed.0, told(&stage)), (0, stops.then_some(Lost { wanted: 10, found: 0 })));
    }
}

/// Two commits of a partition under way may change places.
#[test]
fn a_commit_of_the_old_log_is_answered_before_one_of_the_new_is_sent() {
    let mut stage = after_ten(OnOffsetLoss::Resume);
    stage.receive([(10, "key".to_owned())]);
    stage.answer_all(|_| Outcome::Ack);
    stage.unanswered = Some(Vec::new());
    stage.pass(Duration::from_secs(2));
    let old = stage.unanswered.clone().expect("commits wait");
    assert_eq!(old.iter().map(|(_, offset)| *offset).collect::<Vec<_>>(), [11]);
    stage.topic_id = TopicId(2);
    stage.lose_offset(0..100);
    stage.pass(Duration::from_secs(2));
    assert_eq!(stage.unanswered, Some(old.clone()));
    // Not even the last one, when the partition is asked back meanwhile.
    let deadline = stage.now + Duration::from_secs(10);
    stage.tell(Event::Revoking { tps: vec![TP], seq: 2, deadline });
    stage.unanswered = None;
    stage.tell(Event::Committed { tp: TP, commit: old[0].0, result: CommitResult::Ok });
    stage.pass(Duration::from_secs(2));
    assert_eq!((stage.committed.0, told(&stage)), (0, None));
}
