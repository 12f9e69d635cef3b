//! What records are handed to: nothing (discard), an HTTP server, or a handler that is compiled in.

mod address;
mod connection;
mod embedded;
mod http;
mod spans;

use std::sync::Arc;
use std::time::Duration;

use penstock_engine::Instant;
use penstock_engine::seam::{Arena, AtOnce, CallId, Delivery, DeliveryList, Finished, Outcome, Record, Start};

pub use self::address::Address;
pub use self::embedded::EmbeddedProcessor;
pub(crate) use self::embedded::{Batches, Blocking, Each, Embedded, Quick, ready};
pub use self::http::{Form, HttpProcessor};
pub use self::spans::{BadCollector, Collector, Exporting, Spans};
use crate::contract::request::Origin;

/// Calls in progress. Each started call is reported once for each of its tickets, cancelled ones too.
pub trait Calls {
    /// How many records of a partition it answers by [`Calls::at_once`] in a time that others may wait for; 0 where it never does.
    fn run_max(&self) -> usize {
        0
    }

    /// Calls some records one after the other, on the calling thread; stops at one that is neither acknowledged nor skipped.
    fn at_once(&mut self, _run: Run<'_>) -> AtOnce {
        AtOnce::default()
    }

    /// For how long it has had the calling thread since it was last asked, with what the loop does for each record.
    fn time_taken(&mut self) -> Duration {
        Duration::ZERO
    }

    /// Begins a call. `origin` knows where its records come from.
    fn start(&mut self, start: Start, now: Instant, origin: &impl Fn(&Delivery) -> Arc<Origin>);

    /// The loop has started all that it can for now: what is handed over together is handed over here.
    fn flush(&mut self) {}

    /// Gives a call up. Unknown and ended calls are ignored.
    fn cancel(&mut self, call: CallId);

    /// Appends what has ended since the last time.
    fn take_finished(&mut self, into: &mut Vec<Finished>);

    /// Asks for a sign of life; [`Calls::health`] has the answer later.
    fn probe(&mut self);

    /// The answer to the last probe, once.
    fn health(&mut self) -> Option<bool>;

    /// Something ended, or a probe was answered.
    fn maybe_ready(&self) -> bool;
}

/// Records of one partition that may be answered at once.
#[derive(Debug)]
pub struct Run<'a> {
    /// What was fetched.
    pub(crate) arena: &'a Arena,
    /// So many of its first records have come before.
    pub(crate) known: usize,
    /// As in [`Delivery`].
    pub(crate) owner: u64,
    /// Where they come from.
    pub(crate) origin: Arc<Origin>,
}

impl Run<'_> {
    fn len(&self) -> usize {
        self.arena.len().saturating_sub(self.known)
    }

    pub(crate) fn records(&self) -> impl Iterator<Item = Record> {
        self.arena.records().skip(self.known)
    }
}

/// Counts and acknowledges, at once and on the calling thread.
#[derive(Debug, Default)]
pub struct Discard {
    finished: Vec<Finished>,
    probed: bool,
}

impl Calls for Discard {
    fn run_max(&self) -> usize {
        usize::MAX
    }

    fn at_once(&mut self, run: Run<'_>) -> AtOnce {
        let records = u32::try_from(run.len()).unwrap_or(u32::MAX); // a poll batch is some thousand records at most
        AtOnce { records, ..AtOnce::default() }
    }

    fn start(&mut self, start: Start, _: Instant, _: &impl Fn(&Delivery) -> Arc<Origin>) {
        let done = |delivery: &Delivery| Finished { ticket: delivery.ticket, outcome: Outcome::Ack };
        match &start.deliveries {
            DeliveryList::One(only) => self.finished.push(done(only)),
            DeliveryList::Many(all) => self.finished.extend(all.iter().map(done)),
        }
    }

    fn cancel(&mut self, _: CallId) {}

    fn take_finished(&mut self, into: &mut Vec<Finished>) {
        into.append(&mut self.finished);
    }

    fn probe(&mut self) {
        self.probed = true;
    }

    fn health(&mut self) -> Option<bool> {
        std::mem::take(&mut self.probed).then_some(true)
    }

    fn maybe_ready(&self) -> bool {
        !self.finished.is_empty() || self.probed
    }
}
