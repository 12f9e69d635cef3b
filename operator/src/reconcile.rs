//! One look at one pipeline: observe → resolve → decide → render → apply → report.

use std::sync::Arc;
use std::time::{Duration, Instant};

use kube::ResourceExt as _;
use kube::runtime::controller::Action;
use penstock_blueprint::{Facts, Group, ObjectSet, Objects, Prepared, Trouble, render};
use penstock_crds::{ConsumerPipeline, Pipeline, Violation, resolve};
use penstock_scaling::Timestamp;

use crate::apply::{ApplyError, apply};
use crate::context::Scope;
use crate::controller::Guarded;
use crate::decide::{Plan, decide, subscription};
use crate::memory::Memory;
use crate::observe::{Observed, kafka, observe};
use crate::prepare::chore::{ChoreError, Outcome, carry_out};
use crate::report::{ReportError, report};

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

/// Looks at one pipeline, and counts how that went.
///
/// # Errors
/// See [`ReconcileError`]; what was found out is in status by then, unless that is what failed.
pub async fn reconcile(resource: Arc<Guarded>, scope: Arc<Scope>) -> Result<Action, ReconcileError> {
    let began = Instant::now();
    let result = match &resource.0 {
        Err(invalid) => Err(ReconcileError::Unreadable(invalid.error.clone())),
        Ok(gone) if gone.metadata.deletion_timestamp.is_some() => Ok(Action::await_change()),
        Ok(resource) => look(resource, &scope).await,
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
        Err(violations) => return refuse(resource, &violations, &observed, &mut memory, scope, now).await,
    };
    let plan = decide(&pipeline, &observed, &mut memory, context, now);
    let objects = plan.settled.as_ref().map(|settled| render(&pipeline, settled, &context.release));
    let done = act(&pipeline, &plan, objects, &observed, &mut memory, scope, now).await;
    let wait = tell(resource, &pipeline, &plan, &done, &observed, &mut memory, scope, now).await?;

    place.succeed();
    done.applied.map(|_| Action::requeue(next_look(&plan, wait, now))).map_err(Into::into)
}

/// What was done in Kafka and in the cluster.
struct Done {
    outcome: Outcome,
    obstacles: Vec<Trouble>,
    applied: Result<Option<ObjectSet<penstock_blueprint::Applied>>, ApplyError>,
}

/// First Kafka, then objects: workers start where everything they need is.
async fn act(
    pipeline: &Pipeline,
    plan: &Plan,
    objects: Option<ObjectSet<Prepared>>,
    observed: &Observed,
    memory: &mut Memory,
    scope: &Scope,
    now: Timestamp,
) -> Done {
    let outcome = do_chore(pipeline, plan, memory, scope, now).await;
    let failed = plan.preparation.chore.as_ref().and_then(|chore| memory.failed.get(chore.name()));
    let obstacles = plan.preparation.obstacles.iter().chain(failed.map(|failed| &failed.trouble)).cloned().collect();
    let applied = match objects {
        None => Ok(None),
        Some(objects) => apply(objects, &observed.live, &mut memory.slots, &scope.context.door, now).await.map(Some),
    };
    Done { outcome, obstacles, applied }
}

async fn do_chore(pipeline: &Pipeline, plan: &Plan, memory: &mut Memory, scope: &Scope, now: Timestamp) -> Outcome {
    let Some(chore) = &plan.preparation.chore else {
        memory.failed.clear();
        return Outcome::default();
    };
    memory.failed.retain(|name, _| *name == chore.name());
    let waits = memory.failed.get(chore.name()).is_some_and(|failed| failed.retry_at > now);
    let Ok(config) = plan.connection.as_ref().map_err(drop) else { return Outcome::default() };
    if waits {
        return Outcome::default();
    }
    let sampler = &scope.context.sampler;
    let result = match sampler.client(config) {
        Ok(client) => carry_out(chore, &client, pipeline, &plan.preparation.source).await,
        Err(error) => Err(ChoreError::Admin(error)),
    };
    memory.changed = scope.context.clock.now();
    sampler.hurry(&pipeline.identity.uid);
    match result {
        Ok(outcome) => {
            tracing::info!(pipeline = %pipeline.identity.name, chore = chore.name(), "done in Kafka");
            memory.failed.clear();
            outcome
        }
        Err(ChoreError::Occupied) => Outcome::default(),
        Err(error) => {
            tracing::warn!(pipeline = %pipeline.identity.name, chore = chore.name(), %error, "not done in Kafka");
            memory.failed(chore.name(), chore.trouble(&error), now);
            Outcome::default()
        }
    }
}

/// Follows the pipeline in Kafka from here on, and reports.
#[expect(clippy::too_many_arguments, reason = "the last step looks at what all others left")]
async fn tell(
    resource: &ConsumerPipeline,
    pipeline: &Pipeline,
    plan: &Plan,
    done: &Done,
    observed: &Observed,
    memory: &mut Memory,
    scope: &Scope,
    now: Timestamp,
) -> Result<Option<Duration>, ReportError> {
    let disconnected = follow(pipeline, plan, memory, scope, now);
    let trouble = done.applied.as_ref().err().and_then(ApplyError::trouble);
    let live = observed.live.deployment.as_deref();
    let objects = match (&done.applied, &trouble) {
        (Ok(Some(applied)), _) => Objects::Applied(applied),
        (_, Some(trouble)) => Objects::Failed { trouble, deployment: live },
        (_, None) => Objects::Untouched { deployment: live },
    };
    let source = done.outcome.source.as_ref().unwrap_or(&plan.preparation.source);
    let facts = Facts {
        name: &pipeline.identity.name,
        generation: pipeline.identity.generation,
        pipeline: Ok(pipeline),
        kafka: kafka::reachability(observed.sample.as_deref(), disconnected.as_ref().map(|(why, since)| (why, *since))),
        source: Some(source),
        group: plan.preparation.group.clone(),
        obstacles: done.obstacles.clone(),
        decision: plan.decision.as_ref(),
        learned: memory.scaler.as_ref().map(penstock_scaling::State::learned),
        objects,
        pods: observed.pods.iter().flat_map(|pod| pod.troubles.clone()).collect(),
    };
    let mut happened = done.outcome.news.clone();
    happened.extend(scaled(plan, observed, objects));
    report(resource, &facts, happened, observed, &mut memory.status, &scope.context, now).await
}

/// Asks Kafka about this pipeline from here on. Returns why that is impossible, and since when.
fn follow(
    pipeline: &Pipeline,
    plan: &Plan,
    memory: &mut Memory,
    scope: &Scope,
    now: Timestamp,
) -> Option<(Trouble, Timestamp)> {
    match &plan.connection {
        Ok(config) => {
            memory.disconnected = None;
            scope.context.sampler.follow(subscription(pipeline, config.clone(), plan.pace));
            None
        }
        Err(trouble) => Some((trouble.clone(), *memory.disconnected.get_or_insert(now))),
    }
}

fn scaled(plan: &Plan, observed: &Observed, objects: Objects<'_>) -> Option<Trouble> {
    let Objects::Applied(applied) = objects else { return None };
    let before = observed.live.deployment.as_ref().and_then(|live| live.spec.as_ref()?.replicas);
    let after = applied.deployment.spec.as_ref().and_then(|spec| spec.replicas);
    let why = plan.decision.as_ref().map(penstock_scaling::Decision::explain).unwrap_or_default();
    crate::report::news::scaled(before, after, &why)
}

/// A spec that cannot be carried out changes nothing that runs. Everything wrong with it is in status at once.
async fn refuse(
    resource: &ConsumerPipeline,
    violations: &[Violation],
    observed: &Observed,
    memory: &mut Memory,
    scope: &Scope,
    now: Timestamp,
) -> Result<Action, ReconcileError> {
    let facts = Facts {
        name: &resource.name_any(),
        generation: resource.metadata.generation.unwrap_or(0),
        pipeline: Err(violations),
        kafka: kafka::reachability(observed.sample.as_deref(), None),
        source: None,
        group: Group::NotAsked,
        obstacles: vec![],
        decision: None,
        learned: None,
        objects: Objects::Untouched { deployment: observed.live.deployment.as_deref() },
        pods: observed.pods.iter().flat_map(|pod| pod.troubles.clone()).collect(),
    };
    report(resource, &facts, vec![], observed, &mut memory.status, &scope.context, now).await?;
    Ok(Action::requeue(RESYNC))
}

fn next_look(plan: &Plan, numbers: Option<Duration>, now: Timestamp) -> Duration {
    let wake = plan.decision.as_ref().and_then(|decision| decision.wake_at).map(|at| at.since(now));
    let disconnected = plan.connection.is_err().then_some(DISCONNECTED);
    let soonest = [wake, numbers, disconnected].into_iter().flatten().min().unwrap_or(RESYNC);
    // A moment that has just passed must not make a hot loop.
    soonest.clamp(Duration::from_millis(200), RESYNC)
}
