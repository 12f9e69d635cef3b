//! What one replica can do, learned from what replicas do.
//!
//! Two views of it. *Saturated*: the rate of replicas that had no room left is their capacity, whatever binds them. *Busy time* (DS2,
//! OSDI'18): concurrency × records done / slot-seconds busy tells it even at low load, as long as slots are what binds. The first is
//! preferred while it is fresh; the second lets an over-provisioned group find its way down.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::flow::{Flow, Interval};
use crate::state::Overrun;
use crate::{Capacity, CapacitySource, Checkpoint, Learned, Ordering, Policy, Timestamp};

/// How fast a saturated rate is forgotten: a capacity that changes is followed within a few samples.
const SATURATED_MEMORY: Duration = Duration::from_secs(30);
/// How fast busy time is forgotten.
const BUSY_MEMORY: Duration = Duration::from_secs(60);
/// How long a saturated rate speaks for the present.
const SATURATED_FRESH: Duration = Duration::from_secs(20);
/// Fewer records than that are an anecdote: no rate is taken from them.
const EVIDENCE: f64 = 10.0;
/// From this share of the time on in which records wait for their lane beside a free slot, lanes bind and not slots.
pub(crate) const LANES_BIND: f64 = 0.5;
/// With one lane a partition: share of those lanes that is busy when lanes bind.
const LANES_FULL: f64 = 0.7;
/// Commits and samples beat at their own times, so the begin of an interval is known only to about this.
const CLOCK_SLACK: Duration = Duration::from_secs(1);
/// Within this share of `maxRecordsPerSecond` the limiter binds, and a rate says nothing about replicas.
const RATE_LIMIT_BINDS: f64 = 0.9;

/// Evidence for what one replica can do.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct CapacityEstimate {
    template_hash: String,
    /// Records, and replica-seconds without room.
    saturated: Evidence,
    /// Records, and slot-seconds.
    busy: Evidence,
}

/// Records over seconds, old ones fading.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Evidence {
    records: f64,
    seconds: f64,
    at: Timestamp,
}

impl Evidence {
    fn add(&mut self, records: f64, seconds: f64, now: Timestamp, memory: Duration) {
        let keep = (-now.since(self.at).as_secs_f64() / memory.as_secs_f64()).exp();
        // What little there is stays until there is more: a record a minute must not be forgotten one at a time.
        let keep = keep.max((EVIDENCE / self.records.max(EVIDENCE)).min(1.0));
        *self = Self { records: self.records * keep + records, seconds: self.seconds * keep + seconds, at: now };
    }

    fn rate(&self) -> Option<f64> {
        (self.records >= EVIDENCE && self.seconds > 0.0).then(|| self.records / self.seconds)
    }
}

/// One replica, as the checkpoints of its partitions show it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Member {
    /// Slots held on average; `None` without checkpoints.
    pub(crate) busy: Option<f64>,
    /// Calls that its configuration allows it at once.
    pub(crate) share: f64,
    /// Replicas that it stands for: 1, or all of them where commits carry no checkpoint.
    pub(crate) replicas: f64,
    /// Partitions with a fresh interval.
    pub(crate) partitions: f64,
    backlogged: f64,
    lane_blocked: f64,
    /// When it last spoke (its clock), and how many calls it allowed itself then.
    limit: Option<(Timestamp, u32)>,
}

impl Member {
    /// Whether it allows itself fewer calls than it may, because the downstream asked for less.
    pub(crate) fn throttled(&self) -> bool {
        self.limit.is_some_and(|(_, limit)| f64::from(limit) + 0.5 < self.share)
    }

    /// Share of its slots that were busy.
    pub(crate) fn utilization(&self) -> Option<f64> {
        self.busy.map(|busy| busy / self.share.max(1.0))
    }

    /// Whether lanes keep its slots from filling.
    fn lane_bound(&self, policy: &Policy) -> bool {
        let lanes_full = policy.ordering == Ordering::Partition
            && self.busy.is_some_and(|busy| busy >= LANES_FULL * self.partitions);
        lanes_full || self.lane_blocked / self.partitions.max(1.0) >= LANES_BIND
    }

    /// Whether it had no room left: its slots were full, or nearly all its partitions had a backlog and nothing but itself held them up.
    fn saturated(&self, policy: &Policy) -> bool {
        let full = self.utilization().is_some_and(|utilization| utilization > policy.max_utilization());
        full || (self.backlogged >= 0.75 * self.partitions && self.partitions > 0.0 && !self.lane_bound(policy))
    }
}

/// A partition as far as capacity is concerned.
pub(crate) struct Worked<'a> {
    pub(crate) flow: &'a mut Flow,
    pub(crate) checkpoint: Option<&'a Checkpoint>,
    /// Since when it has had a backlog without a break.
    pub(crate) backlog_since: Option<Timestamp>,
}

/// Groups fresh intervals by the replica that they belong to.
pub(crate) fn members(
    partitions: &[Worked<'_>],
    policy: &Policy,
    ready: u32,
    now: Timestamp,
) -> BTreeMap<Option<u64>, Member> {
    let mut owned: BTreeMap<Option<u64>, u32> = BTreeMap::new();
    for partition in partitions {
        *owned.entry(partition.checkpoint.map(|checkpoint| checkpoint.incarnation)).or_default() += 1;
    }
    let total = partitions.len();
    let mut members: BTreeMap<Option<u64>, Member> = BTreeMap::new();
    for partition in partitions {
        let Some(interval) = partition.flow.interval(now) else { continue };
        let member = members.entry(interval.incarnation).or_insert_with(|| Member {
            busy: interval.incarnation.map(|_| 0.0),
            share: share(policy, owned.get(&interval.incarnation).copied().unwrap_or(1), total),
            replicas: if interval.incarnation.is_some() { 1.0 } else { f64::from(ready.max(1)) },
            partitions: 0.0,
            backlogged: 0.0,
            lane_blocked: 0.0,
            limit: None,
        });
        member.busy = member.busy.zip(interval.busy).map(|(sum, busy)| sum + busy);
        member.partitions += 1.0;
        member.lane_blocked += interval.lane_blocked;
        let limit = partition.checkpoint.and_then(|c| c.concurrency_limit.map(|limit| (c.worker_time, limit)));
        member.limit = member.limit.max(limit);
        let throughout = partition.backlog_since.is_some_and(|since| since <= interval.began_at() + CLOCK_SLACK);
        // A partition that stands still says nothing of what its replica could do.
        member.backlogged += if throughout && !interval.first && interval.rate > 0.0 { 1.0 } else { 0.0 };
    }
    members
}

/// Calls that a replica may have in progress: its concurrency, or its share of `maxConcurrency` by partitions owned.
pub(crate) fn share(policy: &Policy, owned: u32, partitions: usize) -> f64 {
    let own = f64::from(policy.concurrency.max(1));
    let Some(most) = policy.max_concurrency else { return own };
    (f64::from(most) * f64::from(owned) / (partitions.max(1) as f64)).floor().clamp(1.0, own)
}

impl CapacityEstimate {
    /// Starts anew for another template; returns whether it did.
    pub(crate) fn belong_to(&mut self, template_hash: &str) -> bool {
        let other = self.template_hash != template_hash;
        if other {
            *self = Self { template_hash: template_hash.to_owned(), ..Self::default() };
        }
        other
    }

    /// Takes new intervals into account, each once, and writes down what is worth keeping.
    pub(crate) fn learn(
        &mut self,
        partitions: &mut [Worked<'_>],
        members: &BTreeMap<Option<u64>, Member>,
        policy: &Policy,
        learned: &mut Learned,
        now: Timestamp,
    ) {
        let throughput: f64 =
            partitions.iter().filter_map(|p| p.flow.interval(now)).map(|interval| interval.rate).sum();
        let limited = policy.max_records_per_second.is_some_and(|most| throughput >= RATE_LIMIT_BINDS * most);
        for partition in partitions {
            let Some(interval) = partition.flow.take_uncounted(now) else { continue };
            let Some(member) = members.get(&interval.incarnation) else { continue };
            self.count(interval, member, !limited && member.saturated(policy), now);
        }
        self.keep(policy, learned);
    }

    fn count(&mut self, interval: &Interval, member: &Member, saturated: bool, now: Timestamp) {
        let records = interval.rate * interval.seconds;
        if saturated {
            // The intervals of a replica's partitions overlap; together they make up its time once.
            let replica_seconds = interval.seconds * member.replicas / member.partitions.max(1.0);
            self.saturated.add(records, replica_seconds, now, SATURATED_MEMORY);
        }
        if let Some(busy) = interval.busy.filter(|&busy| busy > 0.0) {
            self.busy.add(records, busy * interval.seconds, now, BUSY_MEMORY);
        }
    }

    /// A saturated rate is worth keeping above all; busy time is, while there is nothing better for this template.
    fn keep(&self, policy: &Policy, learned: &mut Learned) {
        let same_template = learned.template_hash == policy.template_hash;
        let (rate, saturated) = match (self.saturated.rate(), self.busy_rate(policy)) {
            (Some(rate), _) => (rate, true),
            (None, Some(rate)) if !same_template || !learned.saturated => (rate, false),
            _ => return,
        };
        learned.template_hash.clone_from(&policy.template_hash);
        learned.records_per_second = Some(rate);
        learned.saturated = saturated;
    }

    /// Records per second of one call after the other: the most that a single lane can do.
    pub(crate) fn slot_rate(&self) -> Option<f64> {
        self.busy.rate()
    }

    fn busy_rate(&self, policy: &Policy) -> Option<f64> {
        let slots = policy.concurrency.min(policy.max_concurrency.unwrap_or(u32::MAX)).max(1);
        self.busy.rate().map(|rate| rate * f64::from(slots))
    }

    /// The best that is known of one replica.
    ///
    /// What a step down proved to be too much bounds busy time, which knows of slots alone.
    pub(crate) fn per_replica(
        &self,
        policy: &Policy,
        learned: &Learned,
        overrun: Option<&Overrun>,
        now: Timestamp,
    ) -> Option<Capacity> {
        let fresh = now.since(self.saturated.at) <= SATURATED_FRESH;
        let saturated = self.saturated.rate().filter(|_| fresh).map(|rate| (rate, CapacitySource::Saturated));
        let recent = now.since(self.busy.at) <= BUSY_MEMORY;
        let proven =
            overrun.filter(|overrun| now < overrun.until).map_or(f64::INFINITY, |overrun| overrun.records_per_second);
        let busy =
            || self.busy_rate(policy).filter(|_| recent).map(|rate| (rate.min(proven), CapacitySource::BusyTime));
        let earlier = || {
            let same = learned.template_hash == policy.template_hash;
            let source = if same { CapacitySource::Learned } else { CapacitySource::Inherited };
            learned.records_per_second.map(|rate| (rate, source))
        };
        let (records_per_second, source) = saturated.or_else(busy).or_else(earlier)?;
        (records_per_second > 0.0).then_some(Capacity { records_per_second, source })
    }
}
