//! The rules of `Auto`, in their order: the first that has something to say decides.

use std::time::Duration;

use crate::bounds::Bounds;
use crate::state::Overrun;
use crate::view::View;
use crate::{CapacitySource, Limit, Policy, Reason, State, Timestamp, Workers};

/// How long a rebalance may keep a decision waiting.
const REBALANCE: Duration = Duration::from_secs(30);
/// Samples older than this are no ground for fewer replicas.
const FRESH: Duration = Duration::from_secs(20);
/// How long it is remembered what was too much for a replica: the first time, and at most.
const OVERRUN_HOLD: Duration = Duration::from_secs(3_600);
const OVERRUN_LONGEST: Duration = Duration::from_secs(86_400);

/// What a rule says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) replicas: u32,
    pub(crate) reason: Reason,
    pub(crate) limited_by: Option<Limit>,
    pub(crate) wake_at: Option<Timestamp>,
}

impl Choice {
    pub(crate) const fn new(replicas: u32, reason: Reason) -> Self {
        Self { replicas, reason, limited_by: None, wake_at: None }
    }

    pub(crate) fn limited_by(self, limit: Limit) -> Self {
        Self { limited_by: Some(limit), ..self }
    }

    pub(crate) fn wake_at(self, at: Timestamp) -> Self {
        Self { wake_at: Some(at), ..self }
    }
}

/// Everything a rule may look at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case<'a> {
    pub(crate) policy: &'a Policy,
    pub(crate) workers: &'a Workers,
    pub(crate) view: &'a View,
    pub(crate) bounds: Bounds,
    pub(crate) current: u32,
    pub(crate) now: Timestamp,
}

/// What `Auto` decides.
pub(crate) fn auto(state: &mut State, case: Case<'_>) -> Choice {
    let start = waiting_for_pods(state, &case);
    if let Some(choice) = from_nothing(&case).or_else(|| out_of_bounds(&case)).or_else(|| idle(&case)) {
        return choice;
    }
    if let Some(choice) = starting(&case, start).or_else(|| rebalancing(&case)).or_else(|| no_progress(&case)) {
        return choice;
    }
    let late = start.is_some();
    let choice = up(state, &case, late).or_else(|| down(state, &case)).unwrap_or_else(|| steady(state, &case));
    if late && choice.replicas == case.current {
        return Choice { reason: Reason::PodsNotStarting, limited_by: Some(Limit::PodsNotStarting), ..choice };
    }
    choice
}

/// Until when pods that are not ready are waited for; `None` when all are ready.
fn waiting_for_pods(state: &State, case: &Case<'_>) -> Option<Timestamp> {
    let short = (case.workers.ready < case.current).then_some(state.fleet.settled_at);
    case.workers.starting_since.or(short).map(|since| since + state.start_limit())
}

/// From zero straight to what is needed, and never to one first.
fn from_nothing(case: &Case<'_>) -> Option<Choice> {
    if case.current > 0 {
        return None;
    }
    Some(match (case.view.any_unread, case.bounds.floor) {
        (true, _) => Choice::new(case.bounds.clamp(case.view.parts.need.unwrap_or(1)), Reason::Woken),
        (false, 0) => Choice::new(0, Reason::Idle),
        (false, floor) => Choice::new(floor, Reason::Bounds),
    })
}

fn out_of_bounds(case: &Case<'_>) -> Option<Choice> {
    if case.current > case.bounds.hard_ceiling {
        return Some(Choice::new(case.bounds.ceiling, Reason::Bounds));
    }
    (case.current < case.bounds.hard_floor).then(|| Choice::new(case.bounds.floor, Reason::Bounds))
}

fn idle(case: &Case<'_>) -> Option<Choice> {
    let quiet = case.view.quiet_for.filter(|_| case.policy.min_replicas == 0)?;
    (quiet >= case.policy.idle).then(|| Choice::new(0, Reason::Idle))
}

fn starting(case: &Case<'_>, start: Option<Timestamp>) -> Option<Choice> {
    let until = start.filter(|&until| case.now < until)?;
    Some(Choice::new(case.current, Reason::PodsStarting).wake_at(until))
}

fn rebalancing(case: &Case<'_>) -> Option<Choice> {
    let left = REBALANCE.checked_sub(case.view.rebalancing_for?).filter(|left| !left.is_zero())?;
    Some(Choice::new(case.current, Reason::Rebalancing).wake_at(case.now + left))
}

fn no_progress(case: &Case<'_>) -> Option<Choice> {
    let limit = if case.view.held { Limit::Held } else { Limit::StuckPartition };
    case.view.no_progress.then(|| Choice::new(case.current, Reason::NoProgress).limited_by(limit))
}

/// Up needs distress. Then it is one jump to what the demand asks for.
fn up(state: &mut State, case: &Case<'_>, late: bool) -> Option<Choice> {
    let view = case.view;
    if !view.overloaded && !view.behind {
        return None;
    }
    if view.downstream_bound {
        return Some(Choice::new(case.current, Reason::Downstream).limited_by(Limit::DownstreamBound));
    }
    let Some(need) = view.parts.need.filter(|_| view.measured) else {
        return Some(Choice::new(case.current, Reason::LearningCapacity));
    };
    remember_overrun(state, case);
    // Pods that do not start are no reason to ask for many more of them.
    let most = if late { view.spread.at_least(case.workers.ready.saturating_add(1)) } else { u32::MAX };
    let target = case.bounds.clamp(need).min(most);
    let reason = if view.behind { Reason::CatchingUp } else { Reason::Overloaded };
    (target > case.current).then(|| Choice::new(target, reason))
}

/// Distress within a window after a step down: now it is known what is too much for a replica.
fn remember_overrun(state: &mut State, case: &Case<'_>) {
    let recent = |&(at, to): &(Timestamp, u32)| {
        to == case.current && to > 0 && case.now.since(at) <= case.policy.scale_down_window
    };
    let Some((_, replicas)) = state.fleet.lowered.filter(recent) else { return };
    let Some(arrivals) = case.view.parts.arrival_rate else { return };
    let seen = case.view.parts.capacity.filter(|capacity| capacity.source == CapacitySource::Saturated);
    let records_per_second = seen.map_or(arrivals / f64::from(replicas), |capacity| capacity.records_per_second);
    let hold = state.overrun.map_or(OVERRUN_HOLD, |overrun| (overrun.hold * 2).min(OVERRUN_LONGEST));
    state.fleet.lowered = None;
    state.new_overrun = Some(Overrun { records_per_second, learned_at: case.now, until: case.now + hold, hold });
}

/// Down once a window, to its highest need, at most a halving.
fn down(state: &State, case: &Case<'_>) -> Option<Choice> {
    let target = down_target(case)?;
    let blocked = case.view.behind_elsewhere || case.view.oldest > FRESH;
    let due = down_at(state, case).is_some_and(|at| case.now >= at);
    (due && !blocked).then(|| Choice::new(target, Reason::ScaledDown))
}

/// The next lower number that would do; `None` when there is none.
fn down_target(case: &Case<'_>) -> Option<u32> {
    let half = case.view.spread.at_least(case.current.div_ceil(2));
    let target = case.bounds.clamp(case.view.parts.window_need?.max(half));
    (target < case.current).then_some(target)
}

/// When a whole window has passed, both since anything is known and since the last change.
fn down_at(state: &State, case: &Case<'_>) -> Option<Timestamp> {
    let window = case.policy.scale_down_window;
    state.window.full_at(window).map(|full| full.max(state.fleet.changed_at + window))
}

fn steady(state: &State, case: &Case<'_>) -> Choice {
    let idle_at = case
        .view
        .quiet_for
        .filter(|_| case.policy.min_replicas == 0)
        .map(|quiet| case.now + case.policy.idle.saturating_sub(quiet));
    let lower = case.view.parts.need.is_some_and(|need| case.bounds.clamp(need) < case.current);
    let down_at = down_at(state, case).filter(|_| lower).map(|at| {
        let leaves = state.window.highest_leaves_at(case.policy.scale_down_window);
        let waits_for_highest = down_target(case).is_none();
        if waits_for_highest { at.max(leaves.unwrap_or(at)) } else { at }
    });
    let wake_at = idle_at.into_iter().chain(down_at).filter(|&at| at > case.now).min();
    Choice { wake_at, ..Choice::new(case.current, Reason::Steady) }
}
