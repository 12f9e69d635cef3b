//! What the shell tells the engine.

use core::ops::Range;
use core::time::Duration;
use std::sync::Arc;

use super::{Arena, AtOnce, CommitId, Failure, ForwardId, Outcome, Ticket, Tp};
use crate::time::Instant;

/// Everything that can happen to a worker.
///
/// `seq` numbers are the shell's: one per rebalance callback, rising. What belongs to an assignment carries the `seq` of
/// that assignment, so that a late reply of an older one cannot pass for news.
#[derive(Debug)]
pub enum Event {
    /// The group gave us partitions. Answered by a [`FetchCheckpoint`](super::Effect::FetchCheckpoint) for each.
    Assigned {
        /// The partitions, each once.
        partitions: Vec<Assignment>,
        /// Number of the rebalance.
        seq: u64,
    },
    /// The answer to a [`FetchCheckpoint`](super::Effect::FetchCheckpoint).
    CheckpointLoaded {
        /// Which partition.
        tp: Tp,
        /// The `seq` of the assignment it was fetched for, as the effect named it.
        seq: u64,
        /// What is committed. A failed fetch is asked again after a back-off and is never taken for "nothing there".
        result: Result<Loaded, LoadFailed>,
    },
    /// Records of one partition, in offset order, as they come from the consumer.
    Records {
        /// Which partition.
        tp: Tp,
        /// The assignment they were fetched under.
        seq: u64,
        /// Where they are. One arena may hold the records of several partitions.
        arena: Arc<Arena>,
        /// Which of the arena's records are this partition's.
        range: Range<u32>,
        /// How the first of them went, where [`crate::Engine::at_once`] has just allowed to call them.
        at_once: AtOnce,
    },
    /// The consumer's position, read when the partition's queue ran empty: no record below it is still to come. It
    /// closes the hole that transaction markers or compaction leave at the end of a log.
    Position {
        /// Which partition.
        tp: Tp,
        /// The assignment it was read under.
        seq: u64,
        /// Next offset the consumer would read.
        offset: i64,
    },
    /// The offset to read from does not exist: retention, truncation, or a re-created topic.
    OffsetLost {
        /// Which partition.
        tp: Tp,
        /// The assignment it happened under.
        seq: u64,
        /// First offset the log holds now.
        start: i64,
        /// One past the last offset the log holds now.
        end: i64,
        /// The topic's identity now: another one is another ledger.
        topic_id: TopicId,
    },
    /// Calls ended. Engines are told exactly once per ticket.
    Finished(Vec<Finished>),
    /// The broker answered for forwarded records.
    Forwarded(Vec<Forwarded>),
    /// How many forwards may be outstanding at once, reserved ones included: the producer's queue length. Absolute, so
    /// that saying it twice does no harm. 0 until told.
    ForwardRoom {
        /// Number of forwards.
        slots: u32,
    },
    /// The reply to a [`Commit`](super::Effect::Commit).
    Committed {
        /// Which partition.
        tp: Tp,
        /// Which commit.
        commit: CommitId,
        /// How it went.
        result: CommitResult,
    },
    /// The group wants these back. Calls may run until `deadline`, then they are cancelled;
    /// [`Released`](super::Effect::Released) follows the last commit, at most five seconds after the deadline.
    Revoking {
        /// Which partitions.
        tps: Vec<Tp>,
        /// Number of the rebalance.
        seq: u64,
        /// Until when calls in progress may finish: now plus `delivery.drain`.
        deadline: Instant,
    },
    /// These are somebody else's already: no commit, no drain. Answered by [`Released`](super::Effect::Released) at once.
    Lost {
        /// Which partitions.
        tps: Vec<Tp>,
        /// Number of the rebalance.
        seq: u64,
    },
    /// Whether the processor answers probes: startup, and the answer to a [`Probe`](super::Effect::Probe). No record is
    /// started before the first `ready: true`.
    ProcessorHealth {
        /// It answered.
        ready: bool,
    },
    /// How the broker limits commit metadata (`offset.metadata.max.bytes`), once that is known.
    MetadataLimit {
        /// Bytes.
        bytes: u32,
    },
    /// Start nothing new until [`Event::Resume`].
    Pause,
    /// Undo [`Event::Pause`].
    Resume,
    /// Shutdown: calls may run until `deadline`, then they are cancelled; [`Drained`](super::Effect::Drained) follows the
    /// last commit, at most five seconds after the deadline.
    Drain {
        /// Until when calls in progress may finish.
        deadline: Instant,
    },
    /// Nothing but the time.
    Tick,
}

/// A partition that was given to us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// The shell's number for it.
    pub tp: Tp,
    /// Topic name.
    pub topic: Arc<str>,
    /// Partition number, ≥ 0.
    pub partition: i32,
    /// What the topic is to the pipeline.
    pub role: PartitionRole,
}

/// What a topic is to the pipeline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PartitionRole {
    /// One of `source.topics`.
    #[default]
    Source,
    /// One of `retry.delayTopics`, read by a consumer of its own; its records carry attempts and a due time.
    Delay {
        /// The topic's fixed delay, counted from append time.
        delay: Duration,
    },
}

/// A topic's id (KIP-516), 0 where the cluster gives none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicId(pub u128);

/// What the group has committed for a partition, all from one OffsetFetch, and whose log that is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// The cluster's id.
    pub cluster_id: Arc<str>,
    /// The topic's id now.
    pub topic_id: TopicId,
    /// The committed offset; where nothing is committed, the offset the pipeline says to begin at.
    pub offset: i64,
    /// The committed leader epoch, −1 where none is known.
    pub leader_epoch: i32,
    /// The committed metadata string; empty where nothing is committed. Foreign text is ignored and counted.
    pub metadata: String,
}

/// The committed offset could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadFailed {
    /// For logs.
    pub detail: Box<str>,
}

/// One record's call ended.
#[derive(Clone, Debug)]
pub struct Finished {
    /// As [`Start`](super::Start) named it.
    pub ticket: Ticket,
    /// How.
    pub outcome: Outcome,
}

/// One forward ended.
#[derive(Clone, Debug)]
pub struct Forwarded {
    /// As [`Forward`](super::Forward) named it.
    pub id: ForwardId,
    /// How.
    pub result: ForwardResult,
}

/// What the broker said to a forwarded record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ForwardResult {
    /// All of its records are on their topic, acknowledged by all in-sync replicas.
    Confirmed,
    /// Not, or not known: forward again after a back-off (the deterministic id header lets readers drop duplicates).
    Failed(Box<Failure>),
    /// Not: the batch that it was in was refused as a whole. It is forwarded once more, in a batch of its own.
    RefusedInCompany,
    /// It can never be: too large, or an invalid record. An output is dead-lettered instead; a dead letter blocks.
    Refused(Box<Failure>),
}

/// What the coordinator said to a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitResult {
    /// Stored.
    Ok,
    /// Not stored, worth trying again: coordinator loading or moving, rebalance in progress, stale member epoch.
    Retriable,
    /// No reply in time: it may have been stored.
    Unknown,
    /// `OFFSET_METADATA_TOO_LARGE`: the limit in force is lower than we believed.
    MetadataTooLarge,
    /// We are no member any more (`ILLEGAL_GENERATION`, `UNKNOWN_MEMBER_ID`, `FENCED_…`): not stored. While the group
    /// still asks for the partition back it is tried again, because librdkafka may have rejoined meanwhile.
    NotOwner,
}
