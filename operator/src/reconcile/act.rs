//! What is done: first in Kafka, then in the cluster, so that workers start where everything they need is.

use penstock_blueprint::{Applied, ObjectSet, Prepared, Trouble};

use super::View;
use crate::apply::{ApplyError, apply};
use crate::decide::Plan;
use crate::memory::Memory;
use crate::prepare::Chore;
use crate::prepare::chore::{ChoreError, Outcome, carry_out};

/// What was done.
pub(super) struct Done {
    /// In Kafka.
    pub outcome: Outcome,
    /// What still stands in the way there, the most important first.
    pub obstacles: Vec<Trouble>,
    /// In the cluster; `None` where nothing was sent.
    pub applied: Result<Option<ObjectSet<Applied>>, ApplyError>,
    /// Why an object is not as it should be.
    pub refused: Option<Trouble>,
}

/// Carries out the plan.
pub(super) async fn act(
    view: View<'_>,
    plan: &Plan,
    objects: Option<ObjectSet<Prepared>>,
    memory: &mut Memory,
) -> Done {
    let outcome = do_chore(view, plan, memory).await;
    let failed = plan.preparation.chore.as_ref().and_then(|chore| memory.failed.get(chore.name()));
    let obstacles = plan.preparation.obstacles.iter().chain(failed.map(|failed| &failed.trouble)).cloned().collect();
    let generation = view.pipeline.identity.generation;
    if let Some(held) = memory.held(generation, view.now) {
        return Done { outcome, obstacles, applied: Ok(None), refused: Some(held) };
    }
    let Some(objects) = objects else { return Done { outcome, obstacles, applied: Ok(None), refused: None } };
    let door = &view.scope.context.door;
    let applied = apply(objects, &view.observed.live, &mut memory.slots, door, view.now).await.map(Some);
    let refused = applied.as_ref().err().and_then(ApplyError::trouble);
    match &refused {
        Some(trouble) => memory.refused(trouble.clone(), generation, view.now),
        None => memory.refused = None,
    }
    Done { outcome, obstacles, applied, refused }
}

async fn do_chore(view: View<'_>, plan: &Plan, memory: &mut Memory) -> Outcome {
    let Some(chore) = &plan.preparation.chore else {
        memory.failed.clear();
        return Outcome::default();
    };
    memory.failed.retain(|name, _| *name == chore.name());
    let waits = memory.failed.get(chore.name()).is_some_and(|failed| failed.retry_at > view.now);
    let (Ok(config), false) = (&plan.connection, waits) else { return Outcome::default() };
    let context = &view.scope.context;
    let result = match context.sampler.client(config) {
        Ok(client) => carry_out(chore, &client, view.pipeline, &plan.preparation.source).await,
        Err(error) => Err(ChoreError::Admin(error)),
    };
    let identity = &view.pipeline.identity;
    if let Chore::Configure { .. } = chore {
        memory.configured = Some((identity.generation, view.now));
    } else {
        // What was read before says nothing about it.
        memory.changed = context.clock.now();
        context.sampler.hurry(&identity.uid);
    }
    match result {
        Ok(outcome) => {
            tracing::info!(namespace = %identity.namespace, pipeline = %identity.name, chore = chore.name(), "done in Kafka");
            memory.failed.clear();
            outcome
        }
        Err(ChoreError::Occupied) => Outcome::default(),
        // Records are delivered all the same.
        Err(error) if matches!(chore, Chore::Configure { .. }) => {
            Outcome { source: None, news: vec![chore.trouble(&error)] }
        }
        Err(error) => {
            tracing::warn!(namespace = %identity.namespace, pipeline = %identity.name, chore = chore.name(), %error, "not done in Kafka");
            memory.failed(chore.name(), chore.trouble(&error), view.now);
            Outcome::default()
        }
    }
}
