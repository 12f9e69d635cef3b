//! What the pipeline asked for, as far as it decides what is right.

use std::time::Duration;

/// What is kept in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ordering {
    /// Records of a key within a partition; null keys not at all.
    Key,
    /// Records of a partition.
    Partition,
    /// Nothing.
    Unordered,
}

/// What happens to a record whose attempts are used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnExhausted {
    /// It is written to the dead-letter topic.
    DeadLetter,
    /// It is dropped.
    Discard,
    /// It is tried for ever.
    Block,
}

/// What the pipeline asked for, as far as it decides what is right.
#[derive(Clone, Debug)]
pub struct Rules {
    /// `delivery.ordering`.
    pub ordering: Ordering,
    /// `delivery.onExhausted`.
    pub on_exhausted: OnExhausted,
    /// `delivery.retry.maxAttempts`.
    pub max_attempts: u32,
    /// `delivery.batch.sameLane`: whether a call may hold several records of a lane.
    pub same_lane: bool,
    /// `delivery.timeout`.
    pub timeout: Duration,
    /// `delivery.drain`.
    pub drain: Duration,
    /// How long a worker may take from SIGTERM to its end.
    pub grace: Duration,
    /// Whether an acknowledged call writes one output.
    pub output: bool,
    /// What a worker was told that it may use, bytes.
    pub memory_bytes: u64,
    /// How old an acknowledgement may be that no commit holds, when nothing hinders commits.
    pub commit_within: Duration,
    /// With the classic protocol the others' commits wait behind their requests to join while the group waits for a member that is dead or
    /// stands still: for its session at most. None where nobody waits so (KIP-848).
    pub joins_wait: Option<Duration>,
}
