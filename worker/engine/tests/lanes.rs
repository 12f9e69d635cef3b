//! Stories of one lane, too rare for random schedules to tell them often.

#![expect(
    clippy::expect_used,
    clippy::unnecessary_box_returns,
    reason = "a test fails by panicking, and outcomes carry failures boxed"
)]

use std::time::Duration;

use penstock_engine::policy::{Batch, OnExhausted};
use penstock_engine::seam::{
    ArenaBuilder, Assignment, CommitResult, Delivery, ErrorClass, Failure, Finished, ForwardId, ForwardResult,
    Forwarded, Loaded, NewRecord, Outcome, Output, OutputRecord, PartitionRole, TopicId, Tp,
};
use penstock_engine::{Effect, Engine, Event, Instant, Policy};

const TP: Tp = Tp(0);

/// An engine with a partition of records of one key, and its time.
struct Lane {
    engine: Engine,
    now: Instant,
    /// Calls that run, by their records.
    running: Vec<Vec<Delivery>>,
    forwards: Vec<ForwardId>,
}

impl Lane {
    fn of(policy: Policy, records: i64) -> Self {
        let mut lane =
            Self { engine: Engine::new(policy), now: Instant::ZERO, running: Vec::new(), forwards: Vec::new() };
        lane.tell(Event::ForwardRoom { slots: 100 });
        let (topic, role) = ("orders".into(), PartitionRole::Source);
        lane.tell(Event::Assigned { partitions: vec![Assignment { tp: TP, topic, partition: 0, role }], seq: 1 });
        let mut arena = ArenaBuilder::default();
        for offset in 0..records {
            arena.push(NewRecord { offset, key: Some(b"key"), ..NewRecord::default() }).expect("room");
        }
        let range = 0..u32::try_from(records).expect("few");
        lane.tell(Event::Records { tp: TP, seq: 1, arena: arena.finish(), range });
        lane
    }

    /// Tells the engine, and answers what has nothing to do with the story.
    fn tell(&mut self, event: Event) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            let mut effects = Vec::new();
            self.engine.on(event, self.now, &mut effects);
            for effect in effects {
                match effect {
                    Effect::FetchCheckpoint { tp, seq } => {
                        let (cluster_id, topic_id) = ("cluster".into(), TopicId(1));
                        let loaded =
                            Loaded { cluster_id, topic_id, offset: 0, leader_epoch: -1, metadata: String::new() };
                        events.push(Event::CheckpointLoaded { tp, seq, result: Ok(loaded) });
                    }
                    Effect::Commit { tp, commit, .. } => {
                        events.push(Event::Committed { tp, commit, result: CommitResult::Ok });
                    }
                    Effect::Probe => events.push(Event::ProcessorHealth { ready: true }),
                    Effect::Start(start) => self.running.push(start.deliveries.as_slice().to_vec()),
                    Effect::Forward(forward) => self.forwards.push(forward.id),
                    _ => {}
                }
            }
        }
    }

    /// Ends the only call with these outcomes.
    fn answer(&mut self, outcomes: Vec<Outcome>) {
        let call = self.running.pop().expect("a call");
        assert_eq!((call.len(), self.running.len()), (outcomes.len(), 0), "{call:?}");
        let finished = call.iter().zip(outcomes).map(|(one, outcome)| Finished { ticket: one.ticket, outcome });
        self.tell(Event::Finished(finished.collect()));
    }

    /// Lets time pass, by what the engine asks to be woken for.
    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(wake) = self.engine.next_wake().filter(|wake| *wake <= until) {
            self.now = self.now.max(wake);
            self.tell(Event::Tick);
        }
        self.now = until;
    }

    fn offsets(&self) -> Vec<Vec<i64>> {
        self.running.iter().map(|call| call.iter().map(|one| one.record.offset()).collect()).collect()
    }
}

fn failure() -> Box<Failure> {
    Failure::new(ErrorClass::ServerError, "as the story has it")
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
    let mut lane = Lane::of(policy, 2);
    assert_eq!(lane.offsets(), [[0, 1]]);
    lane.answer(vec![with_output(), Outcome::Retry(failure())]);
    lane.pass(Duration::from_secs(10));
    assert_eq!(lane.offsets(), Vec::<Vec<i64>>::new(), "the second one waits, though its back-off is over");
    let id = lane.forwards.pop().expect("an output");
    lane.tell(Event::Forwarded(vec![Forwarded { id, result: ForwardResult::Refused(failure()) }]));
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
    let mut lane = Lane::of(policy, 30);
    assert_eq!(lane.offsets(), [(0..8).collect::<Vec<_>>()]);
    let mut outcomes = vec![Outcome::Ack; 3];
    outcomes.resize_with(8, || Outcome::Retry(failure()));
    lane.answer(outcomes);
    lane.pass(Duration::from_mins(1));
    assert_eq!(lane.offsets(), [[3]]);
    lane.answer(vec![Outcome::Retry(failure())]);
    lane.pass(Duration::from_mins(1));
    let mut sizes = Vec::new();
    while let Some(call) = lane.running.last() {
        sizes.push(call.len());
        lane.answer(vec![Outcome::Ack; call.len()]);
    }
    assert_eq!(sizes, [1, 2, 4, 8, 8, 4]);
}
