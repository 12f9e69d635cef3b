//! The world at this tick, summed up: demand, capacity, distress.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::capacity::{Member, Worked, members};
use crate::demand::{Pace, Term, terms as sum_up};
use crate::state::held;
use crate::steps::Spread;
use crate::{Capacity, GroupState, PartitionSample, Parts, Policy, State, Timestamp, Workers};

/// How long distress must last to count: over two samples, as one of them may hold the moment of a burst.
const DISTRESS: Duration = Duration::from_secs(4);
/// Nearly full is distress only when it lasts: a slow mean's time, since nothing waits yet.
const NEARLY_FULL: Duration = Duration::from_secs(60);
/// From this utilisation on a replica is full, and the next record waits.
const FULL: f64 = 0.97;
/// From then on a backlog is judged by what is done, not by what could be.
const PERSISTENT: Duration = Duration::from_secs(15);
/// How long after a change of pods the rate of the group says little.
const SETTLING: Duration = Duration::from_secs(20);
/// At most this many partitions are named.
const NAMED: usize = 16;

/// The world at this tick.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a finding of its own that some rule asks for")]
pub(crate) struct View {
    pub(crate) spread: Spread,
    pub(crate) parts: Parts,
    /// Slots are full: since when long enough to count.
    pub(crate) overloaded: bool,
    /// A backlog does not clear in time.
    pub(crate) behind: bool,
    /// … also without hot partitions, which no number of replicas can help.
    pub(crate) behind_elsewhere: bool,
    /// Work was seen to be done lately.
    pub(crate) measured: bool,
    pub(crate) any_unread: bool,
    /// How long nothing has been unread, in flight or arriving.
    pub(crate) quiet_for: Option<Duration>,
    /// Age of the oldest sample.
    pub(crate) oldest: Duration,
    /// How long the group has been handing out partitions.
    pub(crate) rebalancing_for: Option<Duration>,
    /// A replica allows itself fewer calls than it is configured for.
    pub(crate) downstream_bound: bool,
    pub(crate) rate_limited: bool,
    pub(crate) lane_bound: bool,
    /// More than half of the partitions are stuck or held.
    pub(crate) no_progress: bool,
    /// Of some partition nothing is delivered, for now.
    pub(crate) held: bool,
}

/// Takes in the samples and sums them up.
pub(crate) fn view(
    state: &mut State,
    policy: &Policy,
    workers: &Workers,
    group: GroupState,
    samples: &[&PartitionSample],
    now: Timestamp,
) -> View {
    state.align(samples);
    if state.capacity.belong_to(&policy.template_hash) {
        (state.overrun, state.new_overrun) = (None, None);
    }
    for (track, sample) in state.tracks.iter_mut().zip(samples) {
        track.observe(sample, policy, workers.ready > 0 && group != GroupState::Rebalancing, now);
    }
    let by_incarnation = learn(state, policy, workers, samples, now);
    let members: Vec<&Member> = by_incarnation.values().collect();
    let capacity = state.capacity.per_replica(policy, &state.learned, state.overrun.as_ref(), now);
    let replica = capacity.map(|capacity| capacity.records_per_second);
    let calm = Pace { distress: false, replica, lane: state.capacity.slot_rate(), members: &by_incarnation };
    let mut terms = sum_up(&state.tracks, samples, policy, calm, now);
    // Distress is judged by the time of samples: asking more often does not make it last longer.
    let seen = samples.iter().map(|sample| sample.log_at).max().unwrap_or(now);
    let overloaded = overloaded(state, policy, &members, &terms, seen);
    let (behind, behind_elsewhere) = behind(state, policy, workers, &terms, calm, seen);
    if overloaded || behind {
        terms = sum_up(&state.tracks, samples, policy, Pace { distress: true, ..calm }, now);
    }
    let spread = Spread::of(samples, policy.assignor);
    let parts = parts(&terms, &members, &spread, policy, workers, capacity);
    View {
        overloaded,
        behind,
        behind_elsewhere,
        measured: terms.iter().any(|term| term.throughput.is_some_and(|rate| rate > 0.0)),
        any_unread: samples.iter().any(|sample| sample.unread() > 0),
        quiet_for: quiet_for(state, samples),
        oldest: samples.iter().map(|sample| now.since(age_of(sample, workers))).max().unwrap_or_default(),
        rebalancing_for: held(&mut state.rebalancing_since, group == GroupState::Rebalancing, now),
        downstream_bound: members.iter().any(|member| member.throttled()),
        rate_limited: policy.max_records_per_second.is_some_and(|most| parts.demand >= most),
        lane_bound: terms.iter().any(|term| term.lane_bound && term.backlog > 0.0),
        no_progress: 2 * terms.iter().filter(|term| !term.can_be_helped()).count() > terms.len(),
        held: terms.iter().any(|term| term.held),
        spread,
        parts,
    }
}

/// When a sample was true. With no worker at all nobody can move the committed offset, so its age does not matter.
pub(crate) fn age_of(sample: &PartitionSample, workers: &Workers) -> Timestamp {
    let none = workers.replicas.unwrap_or(0) == 0 && workers.ready == 0;
    if none { sample.log_at } else { sample.sampled_at() }
}

fn learn(
    state: &mut State,
    policy: &Policy,
    workers: &Workers,
    samples: &[&PartitionSample],
    now: Timestamp,
) -> BTreeMap<Option<u64>, Member> {
    let State { tracks, capacity, learned, .. } = state;
    let mut worked: Vec<Worked<'_>> = tracks
        .iter_mut()
        .zip(samples)
        .map(|(track, sample)| Worked {
            flow: &mut track.flow,
            checkpoint: sample.checkpoint.as_ref(),
            backlog_since: track.backlog_since,
        })
        .collect();
    let members = members(&worked, policy, workers.ready, now);
    capacity.learn(&mut worked, &members, policy, learned, now);
    members
}

fn parts(
    terms: &[Term],
    members: &[&Member],
    spread: &Spread,
    policy: &Policy,
    workers: &Workers,
    capacity: Option<Capacity>,
) -> Parts {
    // More than the limiter lets through would only start replicas that wait.
    let limit = policy.max_records_per_second.map_or(f64::INFINITY, |most| most.max(0.0));
    let demand = terms.iter().map(|term| term.demand).sum::<f64>().min(limit);
    let demands: Vec<f64> = terms.iter().map(|term| term.demand).collect();
    // Where nothing is asked for, no capacity needs to be known to say that one replica is enough.
    let per_replica = capacity.map(|capacity| capacity.records_per_second).or((demand <= 0.0).then_some(1.0));
    let measured: Vec<f64> = terms.iter().filter_map(|term| term.throughput).collect();
    let slots: f64 = members.iter().filter(|member| member.busy.is_some()).map(|member| member.share).sum();
    let busy: f64 = members.iter().filter_map(|member| member.busy).sum();
    let age = terms.iter().map(|term| term.age).max().unwrap_or_default();
    Parts {
        current: workers.replicas.unwrap_or(0),
        ready: workers.ready,
        partitions: u32::try_from(terms.len()).unwrap_or(u32::MAX),
        arrival_rate: terms
            .iter()
            .any(|term| term.arrivals.is_some())
            .then(|| terms.iter().filter_map(|term| term.arrivals).sum()),
        lag: terms.iter().map(|term| term.lag).sum(),
        backlog: terms.iter().map(|term| term.backlog).sum(),
        behind_seconds: Some(age.as_secs_f64()),
        throughput: (!measured.is_empty()).then(|| measured.iter().sum()),
        utilization: (slots > 0.0).then(|| busy / slots),
        capacity,
        demand,
        desired: per_replica.map(|rate| to_replicas(demand / rate)),
        need: per_replica.map(|rate| spread.need(&demands, rate).min(spread.need_evenly(limit, rate))),
        window_need: None,
        steps: spread.steps().to_vec(),
        floor: 0,
        ceiling: 0,
        stuck: terms.iter().filter_map(|term| term.stuck.clone()).take(NAMED).collect(),
        hot: terms.iter().filter_map(|term| term.hot.clone()).take(NAMED).collect(),
    }
}

/// Whether a replica has had no free slots for two samples, or hardly any for longer, and arrivals are what fills them. Slots that a
/// backlog fills while it clears in time are as they should be.
fn overloaded(state: &mut State, policy: &Policy, members: &[&Member], terms: &[Term], seen: Timestamp) -> bool {
    let fullest = members.iter().filter_map(|member| member.utilization()).fold(0.0, f64::max);
    let done: f64 = terms.iter().filter_map(|term| term.throughput).sum();
    let by_arrivals = arriving(terms) >= policy.max_utilization() * done;
    let mut held_for = |since: fn(&mut State) -> &mut Option<Timestamp>, above: f64, at_least: Duration| {
        held(since(state), fullest > above && by_arrivals, seen).is_some_and(|duration| duration >= at_least)
    };
    let full = held_for(|state| &mut state.full_since, FULL.max(policy.max_utilization()), DISTRESS);
    let nearly_full = held_for(|state| &mut state.nearly_full_since, policy.max_utilization(), NEARLY_FULL);
    full || nearly_full
}

/// Arrivals by the last sample where that is lower than the means: right after a burst these still rise though nothing arrives any more.
fn arriving<'a>(terms: impl IntoIterator<Item = &'a Term>) -> f64 {
    terms.into_iter().map(|term| term.arrivals.unwrap_or(0.0).min(term.latest)).sum()
}

/// Whether a backlog does not clear in the catch-up time: of all partitions that replicas can help, and of those that are not hot.
fn behind(
    state: &mut State,
    policy: &Policy,
    workers: &Workers,
    terms: &[Term],
    pace: Pace<'_>,
    seen: Timestamp,
) -> (bool, bool) {
    let helped = |term: &&Term| term.can_be_helped() && !term.lane_bound;
    let all: Vec<&Term> = terms.iter().filter(helped).collect();
    let cool: Vec<&Term> = all.iter().copied().filter(|term| term.hot.is_none()).collect();
    let backlogged = held(&mut state.backlog_since, all.iter().any(|term| term.backlog > 0.0), seen);
    let settled = seen.since(state.fleet.settled_at) >= SETTLING;
    let proven = settled && backlogged.is_some_and(|duration| duration >= PERSISTENT);
    let possible = if proven { 0.0 } else { f64::from(workers.ready) * pace.replica.unwrap_or(0.0) };
    // A replica that is ready only after the backlog is gone would pay its rebalance for nothing.
    let patience = policy.catch_up.as_secs_f64().max(state.learned.start_seconds.unwrap_or(0.0));
    let late = |terms: &[&Term]| clears_in(terms, possible).is_some_and(|seconds| seconds > patience);
    let lasting = held(&mut state.behind_since, late(&all), seen).is_some_and(|duration| duration >= DISTRESS);
    (lasting, late(&cool))
}

/// Seconds until the backlog of these partitions is gone, at the pace that is seen or at a possible one if that is greater; `None`
/// without a backlog.
fn clears_in(terms: &[&Term], possible: f64) -> Option<f64> {
    let backlog: f64 = terms.iter().map(|term| term.backlog).sum();
    let seen: f64 = terms.iter().filter_map(|term| term.throughput).sum();
    let drain = seen.max(possible) - arriving(terms.iter().copied());
    (backlog > 0.0).then(|| if drain > 0.0 { backlog / drain } else { f64::INFINITY })
}

/// How long all partitions have been quiet, by the time of the samples: what was not looked at was not quiet.
fn quiet_for(state: &State, samples: &[&PartitionSample]) -> Option<Duration> {
    let looked = samples.iter().map(|sample| sample.log_at).min()?;
    let since = state
        .tracks
        .iter()
        .map(|track| track.quiet_since)
        .try_fold(Timestamp::default(), |latest, since| Some(latest.max(since?)))?;
    Some(looked.since(since))
}

/// Whole replicas for a quotient, at least one, without a last-bit surplus.
fn to_replicas(quotient: f64) -> u32 {
    let replicas = (quotient * (1.0 - 1e-9)).ceil().clamp(1.0, f64::from(u32::MAX));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to the range of u32 above")]
    let replicas = replicas as u32;
    replicas
}
