//! What broken histories are told in: a small one of which nothing was done yet, and what may be added to it.

use std::collections::BTreeMap;
use std::time::Duration;

use penstock_crds::checkpoint::{Checkpoint, ErrorClass, Failing, Place, encode};

use super::super::{check, output_body, output_digest};
use crate::history::{
    Answer, Call, Commit, Disturbance, Fate, Forwarded, History, Injected, Late, Log, Micros, OnExhausted, Ordering,
    Record, Rules, Tp, Worker,
};

/// All times are milliseconds after this one.
pub(super) const BEGIN: i64 = 1_000_000;
pub(super) const ACK: Answer = Answer::Ack;
pub(super) const TP: Tp = Tp { topic: 0, partition: 0 };

pub(super) fn at(millis: i64) -> Micros {
    u64::try_from(BEGIN + millis).unwrap() * 1000
}

/// A history of one partition with `keys.len()` records, of which nothing was done yet.
pub(super) struct Story(pub(super) History);

impl Story {
    pub(super) fn of(keys: &[u64]) -> Self {
        let record = |(offset, key): (i64, &u64)| Record {
            offset,
            key: (*key > 0).then_some(*key),
            digest: 100 + offset.cast_unsigned(),
            timestamp: BEGIN,
            fate: Fate::Done,
        };
        let records: Vec<Record> = (0..).zip(keys).map(record).collect();
        let rules = Rules {
            ordering: Ordering::Key,
            on_exhausted: OnExhausted::DeadLetter,
            max_attempts: 3,
            same_lane: false,
            timeout: Duration::from_secs(2),
            drain: Duration::from_secs(2),
            grace: Duration::from_secs(60),
            output: false,
            memory_bytes: 64 << 20,
            commit_within: Duration::from_secs(4),
            joins_wait: None,
        };
        let ended =
            Worker { started: at(0), told: Some(at(90_000)), ended: Some((at(90_100), Some(0))), ..Worker::default() };
        Self(History {
            rules,
            cluster_id: "c".to_owned(),
            topic_ids: vec![7],
            logs: vec![Log { tp: TP, end: i64::try_from(records.len()).unwrap(), records }],
            calls: Vec::new(),
            letters: Vec::new(),
            letter_partitions: 1,
            outputs: Vec::new(),
            commits: Vec::new(),
            workers: vec![ended.clone(), ended],
            disturbances: Vec::new(),
            late: Late::default(),
            downs: Vec::new(),
            unread: BTreeMap::new(),
            injected: Injected::default(),
            healed: at(50_000),
            caught_up: Some(at(60_000)),
            watched_until: at(60_000),
        })
    }

    /// Worker 0 as owner 1.
    pub(super) fn call(self, offset: i64, attempt: u32, from: i64, to: i64, answer: Answer) -> Self {
        self.call_by((0, 1), offset, attempt, (from, to), answer)
    }

    pub(super) fn call_by(
        mut self,
        (worker, owner): (u32, u64),
        offset: i64,
        attempt: u32,
        (from, to): (i64, i64),
        answer: Answer,
    ) -> Self {
        let (start, end, digest, request) = (at(from), at(to), 100 + offset.cast_unsigned(), self.next_request());
        if answer == Answer::Reject {
            self.0.logs[0].records[usize::try_from(offset).unwrap()].fate = Fate::Refused;
        }
        self.0.calls.push(Call {
            worker,
            request,
            item: 0,
            company: 1,
            tp: TP,
            offset,
            attempt,
            owner,
            start,
            end,
            answer,
            digest,
        });
        self
    }

    pub(super) fn next_request(&self) -> u64 {
        self.0.calls.last().map_or(0, |call| call.request + 1)
    }

    pub(super) fn commit(self, offset: i64, time: i64) -> Self {
        self.commit_with(offset, time, &Checkpoint { owner: 1, ..Checkpoint::default() })
    }

    pub(super) fn commit_with(mut self, offset: i64, time: i64, checkpoint: &Checkpoint) -> Self {
        let place = Place { cluster_id: "c", topic_id: 7, partition: 0, offset, leader_epoch: 0 };
        let metadata = encode(checkpoint, &place, 4096).text;
        self.0.commits.push(Commit { tp: TP, offset, leader_epoch: 0, metadata, at: BEGIN + time });
        self
    }

    pub(super) fn letter(mut self, offset: i64, appended: i64) -> Self {
        self.0.letters.push(Forwarded {
            tp: TP,
            offset,
            appended: BEGIN + appended,
            digest: 100 + offset.cast_unsigned(),
            class: "Rejected".to_owned(),
            timestamp: Some(BEGIN),
            landed: 0,
            at: appended,
        });
        self
    }

    pub(super) fn output(mut self, offset: i64, appended: i64) -> Self {
        self.0.rules.output = true;
        let record = &self.0.logs[0].records[usize::try_from(offset).unwrap()];
        let digest = output_digest(output_body(record.digest), record.key);
        let (appended, class) = (BEGIN + appended, String::new());
        self.0.outputs.push(Forwarded {
            tp: TP,
            offset,
            appended,
            digest,
            class,
            timestamp: None,
            landed: 0,
            at: appended,
        });
        self
    }

    pub(super) fn killed(mut self, worker: u32, time: i64) -> Self {
        let life = &mut self.0.workers[worker as usize];
        (life.killed, life.told, life.ended) = (Some(at(time)), None, Some((at(time), None)));
        let what = "kill -9".to_owned();
        self.0.disturbances.push(Disturbance { worker: Some(worker), from: at(time), until: Micros::MAX, what });
        self
    }

    /// The processor of a worker goes down.
    pub(super) fn down(mut self, worker: u32, time: i64) -> Self {
        self.0.downs.push((worker, at(time)));
        self
    }

    /// The machine was late.
    pub(super) fn late(mut self, from: i64, until: i64) -> Self {
        self.0.late = Late::of(vec![(at(from), at(until))]);
        self.0.disturbances.extend(self.0.late.standstills());
        self
    }

    /// A worker lost its partitions unasked, and something explains it.
    pub(super) fn lost(mut self, worker: u32, from: i64, until: i64) -> Self {
        let (from, until, what) = (at(from), at(until), "partitions lost".to_owned());
        self.0.disturbances.push(Disturbance { worker: Some(worker), from, until, what });
        self
    }

    pub(super) fn with(mut self, change: impl FnOnce(&mut History)) -> Self {
        change(&mut self.0);
        self
    }

    /// Every record at or above `from` is called, one after the other, and acknowledged; then all is committed.
    pub(super) fn rest(mut self, from: i64, time: i64) -> Self {
        let end = self.0.logs[0].end;
        for offset in from..end {
            let begin = time + 10 * (offset - from);
            self = self.call(offset, 1, begin, begin + 5, ACK);
        }
        self.commit(end, time + 10_000)
    }

    #[track_caller]
    pub(super) fn holds(self) {
        let findings = check(&self.0);
        assert!(findings.is_empty(), "{:#?}", findings.violations);
    }

    /// Breaks this, whatever else.
    #[track_caller]
    pub(super) fn breaks_also(self, invariant: &str) {
        let findings = check(&self.0);
        assert!(findings.counts.contains_key(invariant), "{:#?}", findings.violations);
    }

    #[track_caller]
    pub(super) fn breaks(self, invariant: &str) {
        let findings = check(&self.0);
        let found: Vec<&str> = findings.counts.keys().copied().collect();
        assert_eq!(found, [invariant], "{:#?}", findings.violations);
    }
}

pub(super) fn owned(owner: u64) -> Checkpoint {
    Checkpoint { owner, ..Checkpoint::default() }
}

pub(super) fn done(owner: u64, run: std::ops::Range<i64>) -> Checkpoint {
    Checkpoint { owner, done: vec![run], ..Checkpoint::default() }
}

pub(super) fn failing(offset: i64, attempts: u32, class: ErrorClass) -> Checkpoint {
    Checkpoint { owner: 1, failing: vec![Failing { offset, attempts, class, seconds: 0 }], ..Checkpoint::default() }
}
