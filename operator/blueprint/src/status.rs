//! What happened, as the status of the resource.

mod decided;
mod hindered;
mod judge;
mod numbers;
mod phase;
mod rollout;
mod verdict;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use penstock_crds::{ConsumerPipelineStatus, Pipeline, names};
use penstock_scaling::Learned;

use self::judge::Others;
use self::rollout::Rollout;
use self::verdict::Verdict;
use crate::conditions::{
    self, ACCEPTED, AVAILABLE, DELIVERING, KAFKA_REACHABLE, READY, RECONCILING, SCALING, STALLED, Status, trimmed,
};
use crate::{Facts, Reason};

/// Longest text of status, as the schema has it.
const TEXT_MAX: usize = 4096;

/// What all judgements look at.
struct View<'a> {
    facts: &'a Facts<'a>,
    previous: &'a ConsumerPipelineStatus,
    rollout: Rollout,
    now: &'a Time,
}

/// The whole status. What the facts leave open stays as it was; with a spec that is refused, that is all but the pods and the refusal.
///
/// The same facts give the same bytes, and moving numbers are quantised: a pipeline where nothing happens has a status that stands still.
pub fn status(facts: &Facts<'_>, previous: &ConsumerPipelineStatus, now: &Time) -> ConsumerPipelineStatus {
    let rollout = Rollout::of(facts.objects.deployment());
    let view = View { facts, previous, rollout, now };
    let mut status = previous.clone();
    status.observed_generation = Some(facts.generation);
    status.selector = Some(names::selector(facts.name));
    status.ready = rollout.exists.then(|| rollout.fraction());
    // 0 and not absent: GET /scale answers with an error as long as the path leads nowhere.
    status.replicas = Some(rollout.existing);
    status.ready_replicas = Some(rollout.ready);
    if let Some(source) = facts.source {
        status.source = Some(source.clone());
    }
    decided::fill(&mut status, facts);
    match facts.pipeline {
        Ok(pipeline) => judged(&view, pipeline, &mut status),
        Err(_) => refused(&view, &mut status),
    }
    status
}

/// What status remembers of capacity, for `State::restore`.
pub fn learned(status: &ConsumerPipelineStatus) -> Learned {
    let Some(learned) = &status.learned else { return Learned::default() };
    Learned {
        template_hash: learned.template_hash.clone(),
        records_per_second: learned.rate_per_replica,
        saturated: learned.saturated.unwrap_or(false),
        start_seconds: learned.start_seconds,
    }
}

fn judged(view: &View<'_>, pipeline: &Pipeline, status: &mut ConsumerPipelineStatus) {
    status.mode = Some(pipeline.scaling.mode.as_str().to_owned());
    status.group_id = Some(pipeline.source.group_id.clone());
    let kafka = judge::kafka(view);
    let available = judge::available(view);
    let delivering = judge::delivering(view, pipeline, &kafka, &available);
    let scaling = judge::scaling(view, pipeline);
    let others = Others { accepted: judge::accepted(view), kafka, available, scaling, delivering };
    let ready = judge::ready(view, &others);
    status.phase = Some(phase::phase(view, &others));
    status.message = Some(message(&ready, status));
    let set = |conditions: &mut Vec<Condition>, type_: &str, verdict: &Verdict| write(view, conditions, type_, verdict);
    set(&mut status.conditions, KAFKA_REACHABLE, &others.kafka);
    set(&mut status.conditions, AVAILABLE, &others.available);
    set(&mut status.conditions, SCALING, &others.scaling);
    set(&mut status.conditions, DELIVERING, &others.delivering);
    summary(view, &others.accepted, &ready, &mut status.conditions);
}

/// The other conditions go on speaking of the generation that still runs.
fn refused(view: &View<'_>, status: &mut ConsumerPipelineStatus) {
    let accepted = judge::accepted(view);
    status.phase = Some(penstock_crds::status::Phase::Invalid);
    status.message = Some(trimmed(&accepted.message, TEXT_MAX));
    summary(view, &accepted, &accepted, &mut status.conditions);
}

fn summary(view: &View<'_>, accepted: &Verdict, ready: &Verdict, conditions: &mut Vec<Condition>) {
    let (reconciling, stalled) = judge::kstatus(view, ready);
    write(view, conditions, ACCEPTED, accepted);
    write(view, conditions, READY, ready);
    write(view, conditions, RECONCILING, &reconciling);
    write(view, conditions, STALLED, &stalled);
}

fn write(view: &View<'_>, list: &mut Vec<Condition>, type_: &str, verdict: &Verdict) {
    conditions::set(list, type_, verdict.status, &verdict.reason, &verdict.message, view.facts.generation, view.now);
}

/// What is wrong, where something is; the last decision in words, where all is well or on its way.
fn message(ready: &Verdict, status: &ConsumerPipelineStatus) -> String {
    let well = ready.is(Status::True) || ready.because(Reason::Progressing);
    let decision = status.decision.as_ref().filter(|_| well).map(|decision| decision.explanation.clone());
    trimmed(&decision.unwrap_or_else(|| ready.message.clone()), TEXT_MAX)
}
