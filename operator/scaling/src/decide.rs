//! The decision: look, apply the rules, say what limits.

use std::time::Duration;

use crate::bounds::Bounds;
use crate::rules::{Case, Choice, auto};
use crate::view::{View, view};
use crate::{Decision, Kafka, Limit, Mode, Observation, Parts, Policy, Reason, State, Timestamp};

/// From this age on a sample says nothing any more, and what is unread is unknown.
pub const LAG_UNKNOWN_AFTER: Duration = Duration::from_secs(60);

/// Decides how many replicas there should be.
///
/// Pure: the same arguments give the same decision, and calling it again with the same observation changes nothing. Call it on
/// every new sample, on every change of policy or pods, and at [`Decision::wake_at`]. What was decided is taken for done only when
/// [`Workers::replicas`](crate::Workers::replicas) says so.
///
/// The replicas are never more than `maxReplicas` or the partitions, whichever is less; and never 0 while anything is unread, in
/// flight or unknown, unless the pipeline is paused or scaled by hand.
pub fn decide(state: &mut State, policy: &Policy, observation: &Observation, now: Timestamp) -> Decision {
    state.follow(observation, now);
    let mut sight = look(state, policy, observation, now);
    remember_need(state, policy, &mut sight, observation, now);
    let bounds = sight.view.as_ref().map(|view| Bounds::of(policy, &view.spread));
    let choice = if policy.paused {
        Choice::new(0, Reason::Paused)
    } else if policy.mode == Mode::Manual {
        manual(policy, observation, bounds)
    } else {
        automatic(state, policy, observation, &sight, bounds, now)
    };
    let advises = policy.mode == Mode::Advise && !policy.paused;
    let replicas = observation.workers.replicas.filter(|_| advises).unwrap_or(choice.replicas);
    Decision {
        replicas,
        advised: advises.then_some(choice.replicas),
        reason: choice.reason,
        limited_by: choice.limited_by,
        parts: parts(sight.view, bounds, observation),
        wake_at: choice.wake_at,
    }
}

/// What can be seen of Kafka.
struct Sight {
    /// The samples summed up; `None` without any.
    view: Option<View>,
    /// When what was seen last stops to count; `None` when it does not count any more.
    blind_at: Option<Timestamp>,
}

fn look(state: &mut State, policy: &Policy, observation: &Observation, now: Timestamp) -> Sight {
    match &observation.kafka {
        Kafka::Unknown { since } => {
            Sight { view: None, blind_at: Some(*since + LAG_UNKNOWN_AFTER).filter(|&at| at > now) }
        }
        Kafka::Sampled { group, partitions } => {
            let mut samples: Vec<_> = partitions.iter().collect();
            samples.sort_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
            samples.dedup_by(|b, a| a.topic == b.topic && a.partition == b.partition);
            let view = (!samples.is_empty()).then(|| view(state, policy, &observation.workers, *group, &samples, now));
            let oldest = view.as_ref().map_or(Duration::ZERO, |view| view.oldest);
            let left = LAG_UNKNOWN_AFTER.checked_sub(oldest);
            Sight { view, blind_at: left.map(|left| now + left) }
        }
    }
}

/// The window holds what was needed; a time in which nothing could be seen ends it.
fn remember_need(state: &mut State, policy: &Policy, sight: &mut Sight, observation: &Observation, now: Timestamp) {
    let Some(view) = sight.view.as_mut().filter(|_| sight.blind_at.is_some()) else {
        state.window.clear();
        return;
    };
    // Without a capacity the present number is all that is known to be enough.
    let need = view.parts.need.or(observation.workers.replicas).unwrap_or(1);
    state.window.push(now, need, policy.scale_down_window);
    view.parts.window_need = state.window.highest();
}

/// The number that somebody else wrote, as far as there is something to read for each.
fn manual(policy: &Policy, observation: &Observation, bounds: Option<Bounds>) -> Choice {
    let wanted = policy.manual_replicas.or(observation.workers.replicas).unwrap_or(policy.min_replicas);
    let most = bounds.map(|bounds| bounds.hard_ceiling).or(policy.max_replicas).unwrap_or(u32::MAX);
    let choice = Choice::new(wanted.min(most), Reason::Manual);
    if wanted <= most {
        return choice;
    }
    let by_max = policy.max_replicas.is_some_and(|max| max <= most);
    choice.limited_by(if by_max { Limit::MaxReplicas } else { Limit::PartitionBound })
}

fn automatic(
    state: &mut State,
    policy: &Policy,
    observation: &Observation,
    sight: &Sight,
    bounds: Option<Bounds>,
    now: Timestamp,
) -> Choice {
    let (Some(view), Some(bounds), Some(_)) = (&sight.view, bounds, sight.blind_at) else {
        return hold(policy, observation, sight, bounds);
    };
    let workers = &observation.workers;
    let current = workers.replicas.unwrap_or(0);
    let case = Case { policy, workers, view, bounds, current, now };
    let choice = auto(state, case);
    Choice { limited_by: choice.limited_by.or_else(|| limit(&case, &choice)), ..choice }
}

/// What runs stays: an outage must neither stop workers nor multiply them. Where nothing runs, an unknown lag is a reason for one
/// worker, since it may see what the operator cannot.
fn hold(policy: &Policy, observation: &Observation, sight: &Sight, bounds: Option<Bounds>) -> Choice {
    let current = observation.workers.replicas.unwrap_or(policy.min_replicas).max(policy.min_replicas);
    let most = bounds.map(|bounds| bounds.hard_ceiling).or(policy.max_replicas).unwrap_or(u32::MAX);
    let least = u32::from(sight.blind_at.is_none());
    let choice = Choice { wake_at: sight.blind_at, ..Choice::new(current.max(least).min(most), Reason::LagUnknown) };
    choice.limited_by(Limit::LagUnknown)
}

/// What keeps the number from being another: what nothing can help first, then what the user can change.
fn limit(case: &Case<'_>, choice: &Choice) -> Option<Limit> {
    let (view, bounds, parts) = (case.view, case.bounds, &case.view.parts);
    let needed = parts.desired.max(parts.need).unwrap_or(0);
    let pressed =
        view.behind || view.overloaded || choice.replicas > case.current || choice.reason == Reason::PodsStarting;
    if pressed && choice.replicas >= bounds.ceiling && needed > bounds.ceiling {
        return Some(match bounds {
            Bounds { by_concurrency: true, .. } => Limit::RateLimit,
            Bounds { ceiling, .. } if ceiling == view.spread.most() => Limit::PartitionBound,
            _ => Limit::MaxReplicas,
        });
    }
    let over = parts.need.is_some_and(|need| need.max(1) < bounds.floor) && choice.replicas == bounds.floor;
    [
        (view.rate_limited && parts.backlog > 0.0, Limit::RateLimit),
        (view.lane_bound, Limit::LaneBound),
        (!parts.hot.is_empty(), Limit::HotPartition),
        (view.held, Limit::Held),
        (!parts.stuck.is_empty(), Limit::StuckPartition),
        (over, Limit::MinReplicas),
    ]
    .into_iter()
    .find_map(|(binds, limit)| binds.then_some(limit))
}

fn parts(view: Option<View>, bounds: Option<Bounds>, observation: &Observation) -> Parts {
    let workers = &observation.workers;
    let parts = view.map_or_else(Parts::default, |view| view.parts);
    Parts {
        current: workers.replicas.unwrap_or(0),
        ready: workers.ready,
        floor: bounds.map_or(0, |bounds| bounds.floor),
        ceiling: bounds.map_or(0, |bounds| bounds.ceiling),
        ..parts
    }
}
