//! What each partition asks for, and what stands in its way.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::capacity::{LANES_BIND, Member};
use crate::flow::Interval;
use crate::track::Track;
use crate::{HotPartition, Ordering, PartitionSample, Policy, StuckPartition, Timestamp};

/// How long a partition may stand still with something unread before it is stuck.
const STUCK_AFTER: Duration = Duration::from_secs(60);
/// A hot partition gets at least this many times the mean: where all have too much there are too few partitions, not a hot one.
const HOT_TIMES_MEAN: f64 = 2.0;

/// From this share of the lane limit on it is the lane that binds; below, its replica has no slot for it.
const AT_LANE_LIMIT: f64 = 0.8;

/// One partition's part of the sum.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Term {
    /// Arrivals to plan for, records per second; `None` until two samples were taken.
    pub(crate) arrivals: Option<f64>,
    /// Arrivals since the sample before, records per second.
    pub(crate) latest: f64,
    /// Records that are not done.
    pub(crate) lag: f64,
    /// Of these, what nothing explains.
    pub(crate) backlog: f64,
    /// Records done per second over a fresh interval; `None` without one.
    pub(crate) throughput: Option<f64>,
    /// Records per second that must be done.
    pub(crate) demand: f64,
    /// How long the oldest record that is not done has waited.
    pub(crate) age: Duration,
    pub(crate) stuck: Option<StuckPartition>,
    /// Its worker delivers nothing of it, for now.
    pub(crate) held: bool,
    pub(crate) hot: Option<HotPartition>,
    /// Lanes let no more of it run at once, so a replica more would not help it.
    pub(crate) lane_bound: bool,
}

/// What is known of the replicas when demand is summed up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace<'a> {
    /// In distress the means would follow a step of the load in several steps of replicas; what the last two samples agree on counts.
    pub(crate) distress: bool,
    /// Records per second of one replica.
    pub(crate) replica: Option<f64>,
    /// Records per second of one lane.
    pub(crate) lane: Option<f64>,
    /// The replicas that spoke lately.
    pub(crate) members: &'a BTreeMap<Option<u64>, Member>,
}

/// What each partition asks for.
pub(crate) fn terms(
    tracks: &[Track],
    samples: &[&PartitionSample],
    policy: &Policy,
    pace: Pace<'_>,
    now: Timestamp,
) -> Vec<Term> {
    let total: f64 = tracks.iter().filter_map(|track| track.arrivals.planned()).sum();
    let mean = total / tracks.len().max(1) as f64;
    tracks.iter().zip(samples).map(|(track, sample)| term(track, sample, policy, pace, mean, now)).collect()
}

fn term(track: &Track, sample: &PartitionSample, policy: &Policy, pace: Pace<'_>, mean: f64, now: Timestamp) -> Term {
    let sustained = if pace.distress { track.arrivals.sustained() } else { 0.0 };
    let planned = track.arrivals.planned().map(|planned| planned.max(sustained));
    let arrivals = planned.unwrap_or(0.0);
    let backlog = track.backlog(sample, policy);
    let interval = track.flow.interval(now);
    let stuck = stuck(track, sample, policy, now);
    let catch_up = policy.catch_up.as_secs_f64().max(1.0);
    let asked = arrivals / policy.target_utilization.clamp(0.1, 0.95) + backlog / catch_up;
    let throughout = interval.filter(|interval| track.backlog_since.is_some_and(|since| since <= interval.began_at()));
    let most = lane_limit(policy, pace, throughout).unwrap_or(f64::INFINITY);
    let hot = pace.replica.is_some_and(|replica| arrivals > replica && arrivals > HOT_TIMES_MEAN * mean);
    Term {
        arrivals: planned,
        latest: track.arrivals.latest().unwrap_or(0.0),
        lag: sample.lag(),
        backlog,
        throughput: interval.map(|interval| interval.rate),
        demand: if stuck.is_some() || track.held { 0.0 } else { asked.min(most) },
        age: if sample.unread() == 0 { Duration::ZERO } else { track.arrivals.age(sample.position(), now) },
        lane_bound: asked > most && interval.is_some_and(|interval| interval.rate >= AT_LANE_LIMIT * most),
        hot: hot.then(|| HotPartition {
            topic: track.topic.clone(),
            partition: track.partition,
            records_per_second: arrivals,
        }),
        stuck,
        held: track.held,
    }
}

impl Term {
    /// Whether more replicas could get more of it done.
    pub(crate) fn can_be_helped(&self) -> bool {
        self.stuck.is_none() && !self.held
    }
}

/// The most that a partition's lanes can do, where they are what binds.
fn lane_limit(policy: &Policy, pace: Pace<'_>, backlogged: Option<&Interval>) -> Option<f64> {
    let full = |interval: &Interval| {
        let utilization = pace.members.get(&interval.incarnation).and_then(Member::utilization);
        utilization.is_some_and(|utilization| utilization > policy.max_utilization())
    };
    match policy.ordering {
        Ordering::Partition => pace.lane,
        Ordering::Key | Ordering::Unordered => backlogged
            .filter(|interval| interval.lane_blocked >= LANES_BIND && !full(interval))
            .map(|interval| interval.rate),
    }
}

fn stuck(track: &Track, sample: &PartitionSample, policy: &Policy, now: Timestamp) -> Option<StuckPartition> {
    let still = track.flow.idle_for(now);
    if sample.unread() == 0 || still <= STUCK_AFTER.max(policy.commit_interval * 3) {
        return None;
    }
    let record = sample.checkpoint.as_ref().and_then(|checkpoint| checkpoint.stuck.as_ref());
    Some(StuckPartition {
        topic: track.topic.clone(),
        partition: track.partition,
        offset: record.map_or(sample.position(), |record| record.offset),
        seconds: still.as_secs(),
        attempts: record.map_or(0, |record| record.attempts),
        error_class: record.map(|record| record.error_class.clone()),
    })
}
