//! What came of a look, as facts for status; and what to ask Kafka from here on.

use std::time::Duration;

use penstock_blueprint::{Facts, Group, Objects, PodTrouble, Trouble};
use penstock_crds::{ConsumerPipeline, Violation};
use penstock_scaling::{Decision, State, Timestamp};

use super::View;
use super::act::Done;
use crate::context::Scope;
use crate::decide::{Plan, delays, subscription};
use crate::memory::Memory;
use crate::observe::{Observed, kafka};
use crate::report::{ReportError, news, report};
use crate::sampling::{Sample, of_delays};

/// Follows the pipeline in Kafka from here on, and reports. Returns when numbers that waited are due.
pub(super) async fn tell(
    view: View<'_>,
    plan: &Plan,
    done: &Done,
    memory: &mut Memory,
) -> Result<Option<Duration>, ReportError> {
    let View { resource, pipeline, observed, scope, now } = view;
    let disconnected = follow(view, plan, memory);
    let disconnected = disconnected.as_ref().map(|(why, since)| (why, *since));
    let live = observed.live.deployment.as_deref();
    let objects = match (&done.applied, &done.refused) {
        (Ok(Some(applied)), _) => Objects::Applied(applied),
        (_, Some(trouble)) => Objects::Failed { trouble, deployment: live },
        (_, None) => Objects::Untouched { deployment: live },
    };
    let facts = Facts {
        name: &pipeline.identity.name,
        generation: pipeline.identity.generation,
        pipeline: Ok(pipeline),
        kafka: kafka::reachability(most_troubled(observed), disconnected),
        source: Some(done.outcome.source.as_ref().unwrap_or(&plan.preparation.source)),
        group: plan.preparation.group.clone(),
        obstacles: done.obstacles.clone(),
        hindrances: [&observed.sample, &observed.delayed]
            .into_iter()
            .flat_map(|sample| kafka::hindrances(sample.as_deref(), pipeline))
            .collect(),
        decision: plan.decision.as_ref(),
        learned: memory.scaler.as_ref().map(State::learned),
        objects,
        pods: pods(observed),
    };
    let mut happened = done.outcome.news.clone();
    happened.extend(scaled(plan, observed, objects));
    report(resource, &facts, happened, observed, &mut memory.status, &scope.context, now).await
}

/// A spec that cannot be carried out changes nothing that runs. Everything wrong with it is in status at once.
pub(super) async fn refusal(
    resource: &ConsumerPipeline,
    violations: &[Violation],
    observed: &Observed,
    memory: &mut Memory,
    scope: &Scope,
    now: Timestamp,
) -> Result<(), ReportError> {
    let facts = Facts {
        name: resource.metadata.name.as_deref().unwrap_or_default(),
        generation: resource.metadata.generation.unwrap_or(0),
        pipeline: Err(violations),
        kafka: kafka::reachability(observed.sample.as_deref(), None),
        source: None,
        group: Group::NotAsked,
        obstacles: vec![],
        hindrances: vec![],
        decision: None,
        learned: None,
        objects: Objects::Untouched { deployment: observed.live.deployment.as_deref() },
        pods: pods(observed),
    };
    report(resource, &facts, vec![], observed, &mut memory.status, &scope.context, now).await.map(drop)
}

/// The source's sample, unless only that of the delay topics has something to complain about.
fn most_troubled(observed: &Observed) -> Option<&Sample> {
    let source = observed.sample.as_deref();
    let delayed = observed.delayed.as_deref().filter(|sample| sample.trouble().is_some());
    if source.is_some_and(|sample| sample.trouble().is_none()) { delayed.or(source) } else { source }
}

fn pods(observed: &Observed) -> Vec<PodTrouble> {
    observed.pods.iter().flat_map(|pod| pod.troubles.clone()).collect()
}

/// Asks Kafka about this pipeline from here on. Returns why that is impossible, and since when.
fn follow(view: View<'_>, plan: &Plan, memory: &mut Memory) -> Option<(Trouble, Timestamp)> {
    match &plan.connection {
        Ok(config) => {
            memory.disconnected = None;
            let (sampler, source) =
                (&view.scope.context.sampler, subscription(view.pipeline, config.clone(), plan.pace));
            match delays(view.pipeline, &source) {
                Some(delays) => sampler.follow(delays),
                None => sampler.forget(&of_delays(&source.uid)),
            }
            sampler.follow(source);
            None
        }
        Err(trouble) => Some((trouble.clone(), *memory.disconnected.get_or_insert(view.now))),
    }
}

fn scaled(plan: &Plan, observed: &Observed, objects: Objects<'_>) -> Option<Trouble> {
    let Objects::Applied(applied) = objects else { return None };
    let before = observed.live.deployment.as_ref().and_then(|live| live.spec.as_ref()?.replicas);
    let after = applied.deployment.spec.as_ref().and_then(|spec| spec.replicas);
    let why = plan.decision.as_ref().map(Decision::explain).unwrap_or_default();
    news::scaled(before, after, &why)
}
