//! Handlers that answer at once: called on the thread that reads, one record after the other.

use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use penstock_engine::seam::{AtOnce, Outcome};

use super::kinds::{answered, undecodable};
use super::{Call, Embedded, Run, panicked};
use crate::handler::answer::without_output;
use crate::handler::{Failed, QuickHandler, Raw, Record};

/// Records that are answered at once before it is known how long they take.
const FIRST_RUN: usize = 16;
/// What the loop itself does for a record that is answered at once, reading included (`perf record`, cell `noop` of the benchmark: 0.45 µs on
/// two slow cores). Left out, a worker whose handler takes less than that would seem to be idle when it is full.
const LOOP: Duration = Duration::from_nanos(450);

/// One record at a time, at once.
pub(crate) struct Quick<H>(pub(crate) Arc<H>);

impl<H: QuickHandler> Quick<H> {
    /// As [`answered`], of a record that nobody needs afterwards, since nothing is put out.
    fn answer(&self, raw: Raw) -> Outcome {
        match Record::decode(raw) {
            Ok(record) => without_output(self.0.handle(record)),
            Err(error) => undecodable(&error),
        }
    }
}

impl<H: QuickHandler> Embedded for Quick<H> {
    fn is_quick(&self) -> bool {
        true
    }

    fn at_once(&self, run: &Run<'_>) -> AtOnce {
        let mut at_once = AtOnce::default();
        let answer_all = || {
            for record in run.records() {
                match self.answer(Raw::first_call(record, Arc::clone(&run.origin), run.owner)) {
                    Outcome::Ack => {}
                    Outcome::Skip => at_once.skipped += 1,
                    other => return at_once.other = Some(other),
                }
                at_once.records += 1;
            }
        };
        if catch_unwind(AssertUnwindSafe(answer_all)).is_err() {
            at_once.other = Some(panicked(false)); // here as on a thread of its own
        }
        at_once
    }

    fn start(&self, mut call: Call) {
        let raws = call.take();
        let has_output = call.unanswered.has_output();
        let answer = |raw: &Raw| answered(raw, has_output, |record| self.0.handle(record));
        let caught = |raw| catch_unwind(AssertUnwindSafe(|| answer(raw))).unwrap_or_else(|_| panicked(false));
        call.unanswered.answer(raws.iter().map(caught).collect());
    }

    fn ready(&self) -> Pin<Box<dyn Future<Output = Result<(), Failed>> + Send>> {
        let handler = Arc::clone(&self.0);
        Box::pin(async move { handler.ready().await })
    }
}

/// How long a record takes, and all of them.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// A moving average, nanoseconds; 0 before the first record.
    each: u64,
    /// What was not told yet.
    taken: Duration,
    /// When it was told.
    told: Option<Instant>,
}

impl Pace {
    /// So many records took so long.
    pub(super) fn took(&mut self, records: u32, time: Duration) {
        self.taken += time + LOOP * records;
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let Some(each) = nanos.checked_div(records.into()) else { return };
        self.each = if self.each == 0 { each } else { (self.each - self.each / 4).saturating_add(each / 4) }.max(1);
    }

    /// How long all of them have had the loop since this was last asked: no longer than that is ago.
    pub(super) fn time_taken(&mut self) -> Duration {
        let now = Instant::now();
        let since = self.told.replace(now).map_or(Duration::MAX, |told| now - told);
        std::mem::take(&mut self.taken).min(since)
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
