//! The seam between the engine and the shell around it: what happened ([`Event`]), what to do ([`Effect`]).
//!
//! The shell (penstock-worker) owns librdkafka, the processor and the clock; the engine owns every decision. The engine
//! is deterministic: the same events at the same times give the same effects, so one seed replays a whole run.
//!
//! Rules for a shell:
//! - Feed events one at a time through [`crate::Engine::on`]; carry out the effects in order. They tolerate being
//!   delayed against each other, but for [`Effect::Forward`]s: the producer gets them, and writes them, in their order. They do not
//!   tolerate being dropped.
//! - Call `on(Event::Tick, …)` no later than [`crate::Engine::next_wake`]. Waking early is harmless.
//! - Every [`Effect::Start`] is answered by exactly one [`Finished`] for each of its tickets, in their order, also after a
//!   cancel.
//! - A processor that answers at once may be called before the engine is told of the records: [`crate::Engine::at_once`].
//! - Every [`Effect::Forward`] is answered by exactly one [`Forwarded`], every [`Effect::Commit`] by one
//!   [`Event::Committed`], every [`Effect::FetchCheckpoint`] by one [`Event::CheckpointLoaded`].

mod at_once;
mod effect;
mod event;
mod outcome;
mod page;
mod parked;
mod record;

pub use at_once::{AtOnce, Next};
pub use effect::{
    CallId, CommitId, Delivery, DeliveryList, Destination, Effect, Forward, ForwardId, Start, Ticket, Undelivered,
};
pub use event::{
    Assignment, CommitResult, Event, Finished, ForwardResult, Forwarded, LoadFailed, Loaded, PartitionRole, TopicId,
};
pub use outcome::{ErrorClass, FAILURE_DETAIL_BYTES_MAX, Failure, Outcome, Output, OutputHeader, OutputRecord};
pub(crate) use page::{PAGE_OVERHEAD_BYTES, Page};
pub use parked::{LetterNumber, PARKED_HEADER, Redriven};
pub use record::{
    Arena, ArenaBuilder, ArenaFull, HEADER_OVERHEAD_BYTES, Headers, NewRecord, RECORD_OVERHEAD_BYTES, Record, Timestamp,
};

/// A topic-partition by a small dense number of the shell's choosing.
///
/// The shell numbers every topic-partition it ever sees from 0 up and never reuses a number within the process (split
/// queues are kept for ever anyway), so that the engine can index instead of hashing names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tp(pub u32);

impl Tp {
    /// The number as an index.
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}
