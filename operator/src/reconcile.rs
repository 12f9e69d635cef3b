//! One look at one pipeline: observe → resolve → decide → render → apply → report.

mod act;
mod tell;

use std::sync::Arc;
use std::time::{Duration, Instant};

use kube::runtime::controller::Action;
use penstock_blueprint::render;
use penstock_crds::{ConsumerPipeline, Pipeline, resolve};
use penstock_scaling::Timestamp;

use crate::apply::ApplyError;
use crate::context::Scope;
use crate::controller::Guarded;
use crate::decide::{Plan, decide};
use crate::observe::{Observed, observe};
use crate::report::ReportError;

/// Even a pipeline of which nothing new is heard is looked at this often: a watch that lost an event must not lose a pipeline.
const RESYNC: Duration = Duration::from_secs(300);
/// A pipeline without a client to ask through has no samples that would wake it.
const DISCONNECTED: Duration = Duration::from_secs(15);

/// Why a look came to nothing, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// The object in the API server is not what this release understands.
    #[error("the resource cannot be read: {0}")]
    Unreadable(String),
    /// An object could not be applied.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// Status could not be written.
    #[error(transparent)]
    Report(#[from] ReportError),
}

impl ReconcileError {
    /// Somebody else wrote in between: the next look will succeed.
    pub fn is_conflict(&self) -> bool {
        match self {
            Self::Unreadable(_) => false,
            Self::Apply(error) => error.is_conflict() || matches!(error, ApplyError::Outgoing { .. }),
            Self::Report(error) => error.is_conflict(),
        }
    }

    /// One word, for logs and as a metric's label.
    pub fn reason(&self) -> &'static str {
        match self {
            _ if self.is_conflict() => "Conflict",
            Self::Unreadable(_) => "Unreadable",
            Self::Apply(ApplyError::NameConflict { .. }) => "NameConflict",
            Self::Apply(_) => "ApplyFailed",
            Self::Report(_) => "ReportFailed",
        }
    }
}

/// What all steps after the first look at.
#[derive(Clone, Copy)]
struct View<'a> {
    resource: &'a ConsumerPipeline,
    pipeline: &'a Pipeline,
    observed: &'a Observed,
    scope: &'a Scope,
    now: Timestamp,
}

/// Looks at one pipeline, and counts how that went.
///
/// # Errors
/// See [`ReconcileError`]; what was found out is in status by then, unless that is what failed.
pub async fn reconcile(resource: Arc<Guarded>, scope: Arc<Scope>) -> Result<Action, ReconcileError> {
    let began = Instant::now();
    let result = match &resource.0 {
        Err(invalid) => Err(ReconcileError::Unreadable(invalid.error.clone())),
        Ok(gone) if gone.metadata.deletion_timestamp.is_some() => Ok(Action::await_change()),
        Ok(resource) => Box::pin(look(resource, &scope)).await,
    };
    let outcome = result.as_ref().map_or_else(ReconcileError::reason, |_| "ok");
    scope.context.metrics.reconciled(outcome, began.elapsed());
    result
}

async fn look(resource: &ConsumerPipeline, scope: &Scope) -> Result<Action, ReconcileError> {
    let context = &scope.context;
    scope.wait_until_ready().await;
    let place = context.memories.of(resource);
    context.metrics.looks_after(context.memories.len());
    let mut memory = place.memory.lock().await;
    let now = context.clock.now();

    let observed = observe(resource, scope, &mut memory, now).await;
    let pipeline = match resolve(resource) {
        Ok(pipeline) => pipeline,
        Err(violations) => {
            tell::refusal(resource, &violations, &observed, &mut memory, scope, now).await?;
            return Ok(Action::requeue(RESYNC));
        }
    };
    let view = View { resource, pipeline: &pipeline, observed: &observed, scope, now };
    let plan = decide(&pipeline, &observed, &mut memory, context, now);
    let objects = plan.settled.as_ref().map(|settled| render(&pipeline, settled, &context.release));
    let done = Box::pin(act::act(view, &plan, objects, &mut memory)).await;
    let wait = tell::tell(view, &plan, &done, &mut memory).await?;

    done.applied?;
    place.succeed();
    Ok(Action::requeue(next_look(&plan, wait, now)))
}

fn next_look(plan: &Plan, numbers: Option<Duration>, now: Timestamp) -> Duration {
    let wake = plan.decision.as_ref().and_then(|decision| decision.wake_at).map(|at| at.since(now));
    let disconnected = plan.connection.is_err().then_some(DISCONNECTED);
    let soonest = [wake, numbers, disconnected].into_iter().flatten().min().unwrap_or(RESYNC);
    // A moment that has just passed must not make a hot loop.
    soonest.clamp(Duration::from_millis(200), RESYNC)
}
