//! The kinds of handler, each as something that can be started.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use penstock_engine::seam::{AtOnce, ErrorClass, Failure, Outcome};

use super::{Call, Run, Unanswered};
use crate::handler::answer::outcome;
use crate::handler::{
    Answer, BatchHandler, BlockingHandler, Context, Decode, Failed, Handler, Raw, Record, Undecodable,
};

/// A handler of any kind.
pub(crate) trait Embedded: Send + Sync + fmt::Debug + 'static {
    /// Whether it answers on the calling thread, before [`Embedded::start`] returns, and by [`Embedded::at_once`].
    fn is_quick(&self) -> bool {
        false
    }

    /// Answers records one after the other until one is neither acknowledged nor skipped.
    fn at_once(&self, _run: &Run<'_>) -> AtOnce {
        AtOnce::default()
    }

    /// Starts a call; on the runtime's threads, unless it is quick.
    fn start(&self, call: Call);

    /// Whether calls may come.
    fn ready(&self) -> Pin<Box<dyn Future<Output = Result<(), Failed>> + Send>>;
}

/// One record a call.
pub(crate) struct Each<H>(pub(crate) Arc<H>);
/// All records of a call at once.
pub(crate) struct Batches<H>(pub(crate) Arc<H>);
/// One record a call, on a thread of its own.
pub(crate) struct Blocking<H>(pub(crate) Arc<H>);

impl<H: Handler> Embedded for Each<H> {
    fn start(&self, mut call: Call) {
        let handler = Arc::clone(&self.0);
        tokio::spawn(async move {
            let records = call.take();
            let Call { context, unanswered, .. } = call;
            let cancelled = context.cancelled.clone();
            let one_by_one = cancelled.run_until_cancelled_owned(async {
                let mut outcomes = Vec::with_capacity(records.len());
                for raw in records {
                    outcomes.push(match Record::decode(raw.clone()) {
                        Ok(record) => {
                            outcome(handler.handle(record, context.clone()).await, &raw, unanswered.has_output())
                        }
                        Err(error) => undecodable(&error),
                    });
                }
                outcomes
            });
            if let Some(outcomes) = one_by_one.await {
                unanswered.answer(outcomes);
            }
        });
    }

    fn ready(&self) -> Pin<Box<dyn Future<Output = Result<(), Failed>> + Send>> {
        let handler = Arc::clone(&self.0);
        Box::pin(async move { handler.ready().await })
    }
}

impl<H: BatchHandler> Embedded for Batches<H> {
    fn start(&self, mut call: Call) {
        let handler = Arc::clone(&self.0);
        tokio::spawn(async move {
            let raws = call.take();
            let Call { context, unanswered, .. } = call;
            let cancelled = context.cancelled.clone();
            if let Some(outcomes) =
                cancelled.run_until_cancelled_owned(batch(&*handler, raws, context, &unanswered)).await
            {
                unanswered.answer(outcomes);
            }
        });
    }

    fn ready(&self) -> Pin<Box<dyn Future<Output = Result<(), Failed>> + Send>> {
        let handler = Arc::clone(&self.0);
        Box::pin(async move { handler.ready().await })
    }
}

/// Records that cannot be decoded have their answer; the others are handed over together.
async fn batch<H: BatchHandler>(
    handler: &H,
    raws: Vec<Raw>,
    context: Context,
    unanswered: &Unanswered,
) -> Vec<Outcome> {
    let single = raws.len() == 1;
    let mut records = Vec::with_capacity(raws.len());
    let mut outcomes: Vec<Option<Outcome>> = Vec::with_capacity(raws.len());
    for raw in &raws {
        match Record::decode(raw.clone()) {
            Ok(record) => {
                records.push(record);
                outcomes.push(None);
            }
            Err(error) => outcomes.push(Some(undecodable(&error))),
        }
    }
    let answers = if records.is_empty() { Ok(Vec::new()) } else { handler.handle(records, context).await };
    let has_output = unanswered.has_output();
    let mut answers = answers.map(Vec::into_iter);
    let of = |raw: &Raw, answer: Option<Answer>| match answer {
        Some(answer) => outcome(answer, raw, has_output),
        None => missing(single),
    };
    let each = outcomes.into_iter().zip(&raws).map(|(known, raw)| match (known, &mut answers) {
        (Some(outcome), _) => outcome,
        (None, Ok(answers)) => of(raw, answers.next()),
        (None, Err(failed)) => failed.outcome(!single),
    });
    each.collect()
}

fn missing(single: bool) -> Outcome {
    let failure = Failure::new(ErrorClass::Missing, "the handler gave no answer for the record");
    if single { Outcome::Retry(failure) } else { Outcome::BatchFailed(failure) }
}

impl<H: BlockingHandler> Embedded for Blocking<H> {
    fn start(&self, mut call: Call) {
        let handler = Arc::clone(&self.0);
        tokio::task::spawn_blocking(move || {
            let raws = call.take();
            let Call { context, unanswered, .. } = call;
            let has_output = unanswered.has_output();
            let handle = |raw: &Raw| answered(raw, has_output, |record| handler.handle(record, context.clone()));
            unanswered.answer(raws.iter().map(handle).collect());
        });
    }

    fn ready(&self) -> Pin<Box<dyn Future<Output = Result<(), Failed>> + Send>> {
        let handler = Arc::clone(&self.0);
        Box::pin(async move {
            let asked = tokio::task::spawn_blocking(move || handler.ready()).await;
            asked.unwrap_or_else(|panic| Err(Failed::unavailable(panic)))
        })
    }
}

/// What a handler that answers before it returns says of a record.
pub(super) fn answered<V: Decode>(raw: &Raw, has_output: bool, handle: impl FnOnce(Record<V>) -> Answer) -> Outcome {
    match Record::decode(raw.clone()) {
        Ok(record) => outcome(handle(record), raw, has_output),
        Err(error) => undecodable(&error),
    }
}

pub(super) fn undecodable(error: &Undecodable) -> Outcome {
    Outcome::Reject(Failure::new(ErrorClass::Rejected, &error.to_string()))
}

impl<H> fmt::Debug for Each<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Each")
    }
}

impl<H> fmt::Debug for Batches<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Batches")
    }
}

impl<H> fmt::Debug for Blocking<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Blocking")
    }
}
