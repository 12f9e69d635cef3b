//! Handlers that answer at once: called on the thread that reads, one record after the other.

use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use penstock_engine::seam::{AtOnce, Outcome};

use super::kinds::undecodable;
use super::{Call, Embedded, panicked};
use crate::handler::answer::outcome;
use crate::handler::{Failed, QuickHandler, Raw, Record};

/// Records that are answered at once before it is known how long they take.
const FIRST_RUN: usize = 16;

/// One record at a time, at once.
pub(crate) struct Quick<H>(pub(crate) Arc<H>);

impl<H: QuickHandler> Quick<H> {
    fn answer(&self, raw: &Raw, has_output: bool) -> Outcome {
        let answer = || match Record::decode(raw.clone()) {
            Ok(record) => outcome(self.0.handle(record), raw, has_output),
            Err(error) => undecodable(&error),
        };
        // A handler that panics is one whose record failed, here as on a thread of its own.
        catch_unwind(AssertUnwindSafe(answer)).unwrap_or_else(|_| panicked(false))
    }
}

impl<H: QuickHandler> Embedded for Quick<H> {
    fn is_quick(&self) -> bool {
        true
    }

    fn at_once(&self, records: &mut dyn Iterator<Item = Raw>) -> AtOnce {
        let mut at_once = AtOnce::default();
        for raw in records {
            match self.answer(&raw, false) {
                Outcome::Ack => {}
                Outcome::Skip => at_once.skipped += 1,
                other => {
                    at_once.other = Some(other);
                    break;
                }
            }
            at_once.records += 1;
        }
        at_once
    }

    fn start(&self, mut call: Call) {
        let raws = call.take();
        let outcomes = raws.iter().map(|raw| self.answer(raw, call.unanswered.has_output())).collect();
        call.unanswered.answer(outcomes);
    }

    fn ready(&self) -> Pin<Box<dyn Future<Output = Result<(), Failed>> + Send>> {
        let handler = Arc::clone(&self.0);
        Box::pin(async move { handler.ready().await })
    }
}

/// How long a record takes.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// A moving average, nanoseconds; 0 before the first record.
    each: u64,
}

impl Pace {
    /// So many records took so long.
    pub(super) fn took(&mut self, records: u32, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let Some(each) = nanos.checked_div(records.into()) else { return };
        self.each = if self.each == 0 { each } else { (self.each - self.each / 4).saturating_add(each / 4) }.max(1);
    }

    /// How many take so long; one at least, and a few to begin with.
    pub(super) fn records_within(&self, time: Duration) -> usize {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        nanos.checked_div(self.each).map_or(FIRST_RUN, |records| usize::try_from(records).unwrap_or(usize::MAX).max(1))
    }
}

impl<H> fmt::Debug for Quick<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Quick")
    }
}
