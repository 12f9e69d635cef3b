//! Calls of the processor, and what came of them.

use super::{Micros, Tp};

/// One call of the processor, as far as one record goes: a request with a batch is a call for each of its records.
#[derive(Clone, Debug)]
pub struct Call {
    /// Who called.
    pub worker: u32,
    /// Which request.
    pub request: u64,
    /// The record's place in it, from 0.
    pub item: u32,
    /// How many records it held.
    pub company: u32,
    /// The record's partition.
    pub tp: Tp,
    /// The record's offset.
    pub offset: i64,
    /// `Penstock-Attempt`.
    pub attempt: u32,
    /// `Penstock-Owner`.
    pub owner: u64,
    /// The request was read whole.
    pub start: Micros,
    /// The answer was about to be written, or the connection's end was noticed.
    pub end: Micros,
    /// What came of it.
    pub answer: Answer,
    /// A digest of key, value and headers as they arrived.
    pub digest: u64,
}

/// What the processor did with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Acknowledged.
    Ack,
    /// Skipped on purpose.
    Skip,
    /// Refused for good.
    Reject,
    /// Failed with a verdict on this record (5xx, 408 …): one attempt.
    Failed,
    /// Something that is not HTTP: one attempt.
    Garbage,
    /// Busy (429, 503): no attempt.
    Overload,
    /// As if it were not the processor (404 …): no attempt.
    Unavailable,
    /// The processor broke the connection because of this record.
    Broken,
    /// The connection broke because of another record or an outage.
    Caught,
    /// The worker hung up before there was an answer: its timeout, its drain, or its end.
    Gone,
    /// It was in a batch that failed as a whole, or whose answer left it out or said nothing readable of it: no attempt.
    Undecided,
    /// Under `batch.sameLane`, it was behind a record of its lane that was not taken: whatever was answered says nothing.
    Behind,
}

impl Answer {
    /// The last word on a record.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Ack | Self::Skip | Self::Reject)
    }

    /// Its kind in a word, for counting.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Ack => "acknowledged",
            Self::Skip => "skipped",
            Self::Reject => "refused",
            Self::Failed => "failed",
            Self::Garbage => "garbage",
            Self::Overload => "busy",
            Self::Unavailable => "not the processor",
            Self::Broken => "connection broken",
            Self::Caught => "caught in another's trouble",
            Self::Gone => "not waited for",
            Self::Undecided => "left open with its batch",
            Self::Behind => "behind a failure of its lane",
        }
    }

    /// Certainly one attempt, if the worker learned of it.
    pub fn is_charged(self) -> bool {
        matches!(self, Self::Failed | Self::Garbage)
    }
}

impl Call {
    /// Whether the request held this record alone: only then is a failure of the request a verdict on the record.
    pub fn is_alone(&self) -> bool {
        self.company == 1
    }

    /// Whether the other is of a record further behind in the same request.
    pub fn is_followed_by(&self, other: &Self) -> bool {
        self.request == other.request && self.item < other.item
    }

    /// Whether the worker may have charged an attempt for it.
    pub fn may_be_charged(&self) -> bool {
        match self.answer {
            Answer::Ack | Answer::Skip | Answer::Unavailable | Answer::Undecided | Answer::Behind => false,
            Answer::Failed | Answer::Reject | Answer::Overload => true,
            Answer::Garbage | Answer::Broken | Answer::Caught | Answer::Gone => self.is_alone(),
        }
    }
}
