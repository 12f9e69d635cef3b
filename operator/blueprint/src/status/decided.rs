//! The decision, and the numbers of the columns.

use penstock_crds::ConsumerPipelineStatus;
use penstock_crds::status::{DecisionStatus, LearnedStatus, StuckStatus};
use penstock_scaling::{Capacity, Decision, Learned, Limit, Parts, Reason as Why, StuckPartition};

use super::{TEXT_MAX, numbers};
use crate::conditions::trimmed;
use crate::{Cause, Facts, Hindrance};

/// Partitions listed as stuck.
const STUCK_MAX: usize = 16;

pub(super) fn fill(status: &mut ConsumerPipelineStatus, facts: &Facts<'_>) {
    if let Some(learned) = facts.learned {
        status.learned = remembered(learned);
    }
    let Some(decision) = facts.decision else { return };
    let decision = &Decision { parts: quantised(&decision.parts), ..decision.clone() };
    let parts = &decision.parts;
    let unknown = decision.reason == Why::LagUnknown || decision.limited_by == Some(Limit::LagUnknown);
    if parts.partitions > 0 {
        status.partitions = Some(count(parts.partitions));
    }
    status.lag = (!unknown).then(|| numbers::records(parts.lag));
    status.behind = behind(parts).filter(|_| !unknown).map(numbers::span);
    status.rate = parts.arrival_rate.filter(|_| !unknown).map(numbers::rate);
    let learned = facts.learned.and_then(|learned| learned.records_per_second);
    status.capacity = parts.capacity.map(|capacity| capacity.records_per_second).or(learned).map(numbers::rate);
    status.decision = Some(terms(decision));
    status.stuck = stuck(facts, &parts.stuck);
}

/// Blocked records first, which are named at once; then partitions where nothing gets done.
fn stuck(facts: &Facts<'_>, still: &[StuckPartition]) -> Vec<StuckStatus> {
    let blocked: Vec<StuckStatus> = facts.hindrances.iter().filter_map(blocked).collect();
    let named = |one: &&StuckPartition| {
        blocked.iter().all(|other| (&other.topic, other.partition) != (&one.topic, one.partition))
    };
    let others: Vec<StuckStatus> = still.iter().filter(named).map(standing_still).collect();
    blocked.into_iter().chain(others).take(STUCK_MAX).collect()
}

/// About the age of the oldest waiting record: as the scaler knows it, else how long the backlog took to arrive.
fn behind(parts: &Parts) -> Option<f64> {
    if numbers::records(parts.lag) == 0 {
        return Some(0.0);
    }
    let arrivals = parts.arrival_rate.filter(|rate| *rate > 0.0);
    parts.behind_seconds.or_else(|| arrivals.map(|rate| parts.lag / rate))
}

/// The terms with as many digits as stand still. The words of the decision are made from these, so that they stand still too.
fn quantised(parts: &Parts) -> Parts {
    Parts {
        arrival_rate: parts.arrival_rate.map(numbers::rounded),
        throughput: parts.throughput.map(numbers::rounded),
        demand: numbers::rounded(parts.demand),
        utilization: parts.utilization.map(numbers::share),
        lag: parts.lag.max(0.0).round(),
        backlog: parts.backlog.max(0.0).round(),
        capacity: parts
            .capacity
            .map(|capacity| Capacity { records_per_second: numbers::rounded(capacity.records_per_second), ..capacity }),
        ..parts.clone()
    }
}

fn terms(decision: &Decision) -> DecisionStatus {
    let parts = &decision.parts;
    DecisionStatus {
        replicas: count(decision.replicas),
        reason: decision.reason.as_str().to_owned(),
        limited_by: decision.limited_by.map(|limit| limit.as_str().to_owned()),
        explanation: trimmed(&decision.explain(), TEXT_MAX),
        arrival_rate: parts.arrival_rate,
        backlog: Some(numbers::records(parts.backlog)),
        demand: Some(parts.demand),
        capacity_per_replica: parts.capacity.map(|capacity| capacity.records_per_second),
        utilization: parts.utilization,
        throughput: parts.throughput,
        wanted: parts.desired.map(count),
        need: parts.need.map(count),
        window_need: parts.window_need.map(count),
        minimum: Some(count(parts.floor)),
        maximum: Some(count(parts.ceiling)),
        advised: decision.advised.map(count),
    }
}

fn remembered(learned: &Learned) -> Option<LearnedStatus> {
    let known = LearnedStatus {
        template_hash: learned.template_hash.clone(),
        rate_per_replica: learned.records_per_second.and_then(numbers::learned),
        saturated: learned.records_per_second.map(|_| learned.saturated),
        start_seconds: learned.start_seconds.and_then(numbers::learned),
    };
    (known.rate_per_replica.is_some() || known.start_seconds.is_some()).then_some(known)
}

fn blocked(hindrance: &Hindrance) -> Option<StuckStatus> {
    let Cause::Blocked { offset, attempts, class } = hindrance.cause else { return None };
    Some(StuckStatus {
        topic: hindrance.topic.clone(),
        partition: hindrance.partition,
        offset,
        attempts: count(attempts),
        error_class: Some(class.as_str().to_owned()),
    })
}

fn standing_still(stuck: &StuckPartition) -> StuckStatus {
    StuckStatus {
        topic: stuck.topic.clone(),
        partition: stuck.partition,
        offset: stuck.offset,
        attempts: count(stuck.attempts),
        error_class: stuck.error_class.clone(),
    }
}

fn count(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}
