//! Kafka, as far as the engine can tell: logs with holes, committed offsets with metadata, one owner per partition.

use std::sync::Arc;

use super::config::Config;
use super::coverage::{Coverage, Reached};
use super::letters::Letter;
use super::rng::Rng;
use crate::policy::OnExhausted;
use crate::seam::{CommitResult, LetterNumber, Loaded, TopicId};
use crate::time::Instant;

/// What the processor will do with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plan {
    Good,
    Skip,
    /// Asks to retry so many times, then takes it.
    Fails(u32),
    /// Refuses it for good.
    Rejects,
    /// Breaks every connection of the worker so many times, then is taken.
    Breaks(u32),
    /// Gives no answer so many times.
    Hangs(u32),
    Overloads(u32),
    Outages(u32),
    /// Is taken, with a record for the output topic.
    Outputs,
}

#[derive(Clone, Debug)]
pub(super) struct LogRecord {
    pub(super) offset: i64,
    pub(super) leader_epoch: i32,
    pub(super) key: Option<u8>,
    pub(super) plan: Plan,
    /// What it brings from a delay topic; nothing, and no time, from a source.
    pub(super) attempts: u32,
    pub(super) due: Instant,
    /// When it failed first.
    pub(super) failing_since: Option<Instant>,
    /// The record that it is a copy of; itself, unless it was redriven.
    pub(super) root: usize,
    /// What its header says, if it was redriven.
    pub(super) number: Option<LetterNumber>,
}

impl LogRecord {
    /// A record that its producer has just written.
    pub(super) fn new(offset: i64, leader_epoch: i32, key: Option<u8>, plan: Plan, root: usize) -> Self {
        let (attempts, due, failing_since, number) = (0, Instant::ZERO, None, None);
        Self { offset, leader_epoch, key, plan, attempts, due, failing_since, root, number }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Partition {
    pub(super) records: Vec<LogRecord>,
    /// First offset that retention has left.
    pub(super) start: i64,
    /// One past the last offset: markers may lie between it and the last record.
    pub(super) end: i64,
    pub(super) topic_id: TopicId,
    pub(super) committed: i64,
    pub(super) committed_epoch: i32,
    pub(super) metadata: String,
    /// The worker that the group gave it to, and the number of that assignment.
    pub(super) owner: Option<(usize, u64)>,
    pub(super) last_owner: Option<usize>,
    /// The dead letters of this partition's records, where they are redriven.
    pub(super) letters: Vec<Letter>,
    /// So many of them were.
    pub(super) redriven: usize,
}

pub(super) fn cluster_id() -> Arc<str> {
    Arc::from("sim")
}

impl Partition {
    pub(super) fn new(config: &Config, rng: &mut Rng, coverage: &mut Coverage) -> Self {
        let mut next = i64::try_from(rng.below(3) * 50).unwrap();
        let committed = next;
        let mut leader_epoch = 0;
        let mut records = Vec::new();
        for _ in 0..config.records {
            let gap = i64::try_from(rng.below(config.offset_step_max)).unwrap();
            if gap > 0 {
                coverage.reach(Reached::HoleInTheLog);
            }
            leader_epoch += i32::from(rng.percent(5));
            let key = rng.pick(&[None, Some(1), Some(2), Some(3)]);
            let (offset, plan, root) = (next + gap, plan(config, rng), records.len());
            records.push(LogRecord::new(offset, leader_epoch, key, plan, root));
            next += gap + 1;
        }
        let markers = i64::try_from(if rng.percent(30) { 1 + rng.below(3) } else { 0 }).unwrap();
        if markers > 0 {
            coverage.reach(Reached::MarkerAtTheEnd);
        }
        Self { records, end: next + markers, committed, ..Self::empty() }
    }

    /// A delay topic to begin with.
    pub(super) fn empty() -> Self {
        Self {
            records: Vec::new(),
            start: 0,
            end: 0,
            topic_id: TopicId(7),
            committed: 0,
            committed_epoch: -1,
            metadata: String::new(),
            owner: None,
            last_owner: None,
            letters: Vec::new(),
            redriven: 0,
        }
    }

    pub(super) fn loaded(&self) -> Loaded {
        Loaded {
            cluster_id: cluster_id(),
            topic_id: self.topic_id,
            offset: self.committed,
            leader_epoch: self.committed_epoch,
            metadata: self.metadata.clone(),
        }
    }

    /// What the coordinator says to a commit, before the reply may get lost.
    pub(super) fn judge(&self, by: (usize, u64), text: &str, limit: usize) -> CommitResult {
        if self.owner != Some(by) {
            CommitResult::NotOwner
        } else if text.len() > limit {
            CommitResult::MetadataTooLarge
        } else {
            CommitResult::Ok
        }
    }

    pub(super) fn index_of(&self, offset: i64) -> Option<usize> {
        self.records.binary_search_by_key(&offset, |record| record.offset).ok()
    }
}

fn plan(config: &Config, rng: &mut Rng) -> Plan {
    if !rng.percent(config.trouble) {
        return if config.policy.output && rng.percent(50) { Plan::Outputs } else { Plan::Good };
    }
    let few = u32::try_from(1 + rng.below(3)).unwrap();
    let blocks = config.policy.on_exhausted == OnExhausted::Block;
    match rng.below(10) {
        0..3 => Plan::Fails(few),
        3 if blocks => Plan::Fails(6),
        3 => Plan::Fails(u32::MAX),
        4 if blocks => Plan::Skip,
        4 => Plan::Rejects,
        5 => Plan::Breaks(few),
        6 => Plan::Hangs(few),
        7 => Plan::Overloads(few),
        8 => Plan::Outages(few),
        _ => Plan::Skip,
    }
}
