//! An engine with a partition, or several, its time, and what it asked for: for stories that are told step by step.

#![expect(
    clippy::expect_used,
    clippy::unnecessary_box_returns,
    dead_code,
    reason = "a test fails by panicking, outcomes carry failures boxed, and no story needs all of it"
)]

use std::time::Duration;

use penstock_engine::seam::{
    ArenaBuilder, Assignment, AtOnce, CommitId, CommitResult, Delivery, ErrorClass, Failure, Finished, ForwardId,
    Loaded, NewRecord, Outcome, PartitionRole, TopicId, Tp,
};
use penstock_engine::{Effect, Engine, Event, Instant, Policy};

/// The partition.
pub(crate) const TP: Tp = Tp(0);

/// See the module.
pub(crate) struct Stage {
    pub(crate) engine: Engine,
    pub(crate) now: Instant,
    /// What the group has committed: offset and checkpoint. A worker that starts reads it.
    pub(crate) committed: (i64, i32, String),
    /// The id of the topic.
    pub(crate) topic_id: TopicId,
    /// Calls that run, by their records.
    pub(crate) running: Vec<Vec<Delivery>>,
    /// Forwards that were asked for and are not answered.
    pub(crate) forwards: Vec<ForwardId>,
    /// The offsets of all records that were handed to the producer, in that order.
    pub(crate) handed_over: Vec<i64>,
    /// Of those, the ones that were to be in a batch of their own.
    pub(crate) alone: Vec<i64>,
    /// Offsets of commits that nobody answers; commits are answered at once while this is `None`.
    pub(crate) unanswered: Option<Vec<(CommitId, i64)>>,
    /// Bytes that may still be handed over.
    pub(crate) credit: u64,
    /// From where reading was begun, each time.
    pub(crate) reads: Vec<i64>,
    seq: u64,
}

impl Stage {
    pub(crate) fn of(policy: Policy) -> Self {
        let mut stage = Self {
            engine: Engine::new(policy),
            now: Instant::ZERO,
            committed: (0, -1, String::new()),
            topic_id: TopicId(1),
            running: Vec::new(),
            forwards: Vec::new(),
            handed_over: Vec::new(),
            alone: Vec::new(),
            credit: 0,
            reads: Vec::new(),
            unanswered: None,
            seq: 0,
        };
        stage.tell(Event::ForwardRoom { slots: 100 });
        stage
    }

    /// Another worker, which knows what the group has committed.
    pub(crate) fn next_worker(&self, policy: Policy) -> Self {
        let mut next = Self::of(policy);
        (next.committed, next.topic_id, next.now) = (self.committed.clone(), self.topic_id, self.now);
        next.assign();
        next
    }

    /// The partition is ours.
    pub(crate) fn assign(&mut self) {
        self.assign_several(1);
    }

    /// So many partitions are ours.
    pub(crate) fn assign_several(&mut self, partitions: u32) {
        self.seq += 1;
        let assignment = |number: u32| Assignment {
            tp: Tp(number),
            topic: "orders".into(),
            partition: number.cast_signed(),
            role: PartitionRole::Source,
        };
        let partitions = (0..partitions).map(assignment).collect();
        self.tell(Event::Assigned { partitions, seq: self.seq });
    }

    /// Records come, by offset and key.
    pub(crate) fn receive(&mut self, records: impl IntoIterator<Item = (i64, String)>) {
        self.receive_of(TP, records);
    }

    /// Records of a partition come, by offset and key.
    pub(crate) fn receive_of(&mut self, tp: Tp, records: impl IntoIterator<Item = (i64, String)>) {
        self.hand_over(tp, records, AtOnce::default());
    }

    /// Records come of which the first have been answered.
    pub(crate) fn receive_answered(&mut self, records: impl IntoIterator<Item = (i64, String)>, at_once: AtOnce) {
        assert!(self.next().is_some(), "they may not be");
        self.hand_over(TP, records, at_once);
    }

    /// From which offset on records may be answered before the engine is told of them.
    pub(crate) fn next(&mut self) -> Option<i64> {
        self.engine.at_once(TP, self.seq, self.now).map(|next| next.offset)
    }

    fn hand_over(&mut self, tp: Tp, records: impl IntoIterator<Item = (i64, String)>, at_once: AtOnce) {
        let (mut arena, mut count) = (ArenaBuilder::default(), 0);
        for (offset, key) in records {
            arena.push(NewRecord { offset, key: Some(key.as_bytes()), ..NewRecord::default() }).expect("room");
            count += 1;
        }
        self.credit = self.credit.saturating_sub(arena.weight());
        self.tell(Event::Records { tp, seq: self.seq, arena: arena.finish(), range: 0..count, at_once });
    }

    /// Reading found that its offset is not in the log.
    pub(crate) fn lose_offset(&mut self, log: std::ops::Range<i64>) {
        let (start, end, topic_id) = (log.start, log.end, self.topic_id);
        self.tell(Event::OffsetLost { tp: TP, seq: self.seq, start, end, topic_id });
    }

    /// Tells the engine, and answers what has nothing to do with the story.
    pub(crate) fn tell(&mut self, event: Event) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            let mut effects = Vec::new();
            self.engine.on(event, self.now, &mut effects);
            for effect in effects {
                match effect {
                    Effect::FetchCheckpoint { tp, seq } => {
                        let (offset, leader_epoch, metadata) = self.committed.clone();
                        let (cluster_id, topic_id) = ("cluster".into(), self.topic_id);
                        let loaded = Loaded { cluster_id, topic_id, offset, leader_epoch, metadata };
                        events.push(Event::CheckpointLoaded { tp, seq, result: Ok(loaded) });
                    }
                    Effect::Commit { commit, offset, .. } if self.unanswered.is_some() => {
                        self.unanswered.as_mut().expect("just seen").push((commit, offset));
                    }
                    Effect::Commit { tp, commit, offset, leader_epoch, checkpoint } => {
                        self.committed = (offset, leader_epoch, checkpoint);
                        events.push(Event::Committed { tp, commit, result: CommitResult::Ok });
                    }
                    Effect::Assign { offset, .. } => self.reads.push(offset),
                    Effect::Credit { bytes, .. } => self.credit += bytes,
                    Effect::Probe => events.push(Event::ProcessorHealth { ready: true }),
                    Effect::Start(start) => self.running.push(start.deliveries.as_slice().to_vec()),
                    Effect::Forward(forward) => {
                        self.forwards.push(forward.id);
                        self.handed_over.push(forward.record.offset());
                        self.alone.extend(forward.alone.then(|| forward.record.offset()));
                    }
                    _ => {}
                }
            }
        }
    }

    /// Ends the only call with these outcomes.
    pub(crate) fn answer(&mut self, outcomes: Vec<Outcome>) {
        let call = self.running.pop().expect("a call");
        assert_eq!((call.len(), self.running.len()), (outcomes.len(), 0), "{call:?}");
        self.end(&call, outcomes);
    }

    /// Ends the calls that run now, each by what its first record's offset says.
    pub(crate) fn answer_all(&mut self, outcome: impl Fn(i64) -> Outcome) {
        for call in std::mem::take(&mut self.running) {
            let outcomes = call.iter().map(|one| outcome(one.record.offset())).collect();
            self.end(&call, outcomes);
        }
    }

    fn end(&mut self, call: &[Delivery], outcomes: Vec<Outcome>) {
        let finished = call.iter().zip(outcomes).map(|(one, outcome)| Finished { ticket: one.ticket, outcome });
        self.tell(Event::Finished(finished.collect()));
    }

    /// Lets time pass, by what the engine asks to be woken for.
    pub(crate) fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(wake) = self.engine.next_wake().filter(|wake| *wake <= until) {
            self.now = self.now.max(wake);
            self.tell(Event::Tick);
        }
        self.now = until;
    }

    /// Which attempt each of the calls that run is for its first record.
    pub(crate) fn attempts(&self) -> Vec<u32> {
        self.running.iter().filter_map(|call| call.first()).map(|one| one.attempt).collect()
    }

    /// What runs, call by call.
    pub(crate) fn offsets(&self) -> Vec<Vec<i64>> {
        self.running.iter().map(|call| call.iter().map(|one| one.record.offset()).collect()).collect()
    }
}

/// A failure of that class.
pub(crate) fn failure(class: ErrorClass) -> Box<Failure> {
    Failure::new(class, "as the story has it")
}
