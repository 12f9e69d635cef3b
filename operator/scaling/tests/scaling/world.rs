//! A small world: a log with partitions, pods with a start time, commits with checkpoints, an operator that samples every 5 s.
//!
//! Fluid within a step of half a second, whole records at its edges. It knows nothing of how decisions are made.

mod partition;

use std::time::Duration;

use penstock_scaling::{
    Assignor, Decision, GroupState, Kafka, Mode, Observation, Ordering, Policy, Reason, State, Timestamp, Workers,
    decide,
};

use self::partition::{Partition, fair, reached};

const STEP_MILLIS: u64 = 500;
const TICK_MILLIS: u64 = 5_000;
const START: u64 = 1_700_000_000_000;

/// The defaults of the resource, in Auto with no cap of its own.
pub(crate) fn policy() -> Policy {
    Policy {
        mode: Mode::Auto,
        paused: false,
        manual_replicas: None,
        min_replicas: 1,
        max_replicas: None,
        lag: Duration::from_secs(30),
        catch_up: Duration::from_secs(120),
        target_utilization: 0.8,
        scale_down_window: Duration::from_secs(300),
        idle: Duration::from_secs(300),
        concurrency: 64,
        max_records_per_second: None,
        max_concurrency: None,
        ordering: Ordering::Key,
        commit_interval: Duration::from_secs(5),
        assignor: Assignor::Uniform,
        template_hash: "v1".to_owned(),
    }
}

#[expect(clippy::struct_excessive_bools, reason = "each is one thing that can go wrong, and a story turns it on")]
pub(crate) struct World {
    pub(crate) policy: Policy,
    pub(crate) state: State,
    /// Records per second that producers write.
    pub(crate) rate: f64,
    /// Share of the arrivals that each partition gets; they add up to 1.
    pub(crate) weights: Vec<f64>,
    /// Records per second that one replica does with all slots busy.
    pub(crate) replica_rate: f64,
    /// Records per second of one replica that something else than slots holds it to: its slots then stay free.
    pub(crate) replica_bound: f64,
    /// Records per second that all replicas together get through what they depend on.
    pub(crate) downstream: f64,
    /// Records per second of one partition that its lanes let through.
    pub(crate) lane_rate: f64,
    pub(crate) start: Duration,
    /// Partitions whose next record never gets done.
    pub(crate) poisoned: Vec<usize>,
    /// Workers deliver nothing, and say so.
    pub(crate) held: bool,
    /// Kafka answers the operator.
    pub(crate) visible: bool,
    /// New pods never get ready.
    pub(crate) pods_broken: bool,
    pub(crate) throttled_to: Option<u32>,
    /// Some records wait for their lane even where slots are full.
    pub(crate) crowded_lanes: bool,
    /// How long a partition rests when it changes hands.
    pub(crate) rebalance: Duration,
    /// Commits carry a checkpoint.
    pub(crate) checkpoints: bool,
    /// Producers commit their transactions that often; zero for none.
    pub(crate) transaction_seconds: u64,
    /// Every change of replicas: when (seconds since the start), from, to, why.
    pub(crate) changes: Vec<(f64, u32, u32, Reason)>,
    pub(crate) last: Option<Decision>,
    pub(crate) replicas: u32,
    millis: u64,
    partitions: Vec<Partition>,
    pods: Vec<Pod>,
    incarnations: u64,
    starting_since: Option<Timestamp>,
    sampled: Option<Kafka>,
}

struct Pod {
    incarnation: u64,
    ready_at: u64,
}

impl World {
    pub(crate) fn new(partitions: usize, replica_rate: f64, policy: Policy) -> Self {
        let mut world = Self {
            state: State::default(),
            rate: 0.0,
            weights: vec![1.0 / partitions as f64; partitions],
            replica_rate,
            replica_bound: f64::INFINITY,
            downstream: f64::INFINITY,
            lane_rate: f64::INFINITY,
            start: Duration::from_secs(6),
            poisoned: Vec::new(),
            held: false,
            visible: true,
            pods_broken: false,
            throttled_to: None,
            crowded_lanes: false,
            rebalance: Duration::from_secs(2),
            checkpoints: true,
            transaction_seconds: 0,
            changes: Vec::new(),
            last: None,
            replicas: policy.min_replicas,
            millis: 0,
            partitions: vec![Partition::default(); partitions],
            pods: Vec::new(),
            incarnations: 0,
            starting_since: None,
            sampled: None,
            policy,
        };
        world.follow_replicas();
        for pod in &mut world.pods {
            pod.ready_at = 0;
        }
        world.rebalance();
        world
    }

    /// With that many replicas already running.
    pub(crate) fn with_replicas(mut self, replicas: u32) -> Self {
        self.replicas = replicas;
        self.follow_replicas();
        for pod in &mut self.pods {
            pod.ready_at = 0;
        }
        self.starting_since = None;
        self.rebalance();
        self
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from_millis(START + self.millis)
    }

    pub(crate) fn seconds(&self) -> f64 {
        self.millis as f64 / 1_000.0
    }

    pub(crate) fn lag(&self) -> f64 {
        self.partitions.iter().map(|p| p.end - p.position).sum()
    }

    pub(crate) fn ready(&self) -> u32 {
        u32::try_from(self.pods.iter().filter(|pod| pod.ready_at <= self.millis).count()).unwrap()
    }

    pub(crate) fn run_seconds(&mut self, seconds: u64) {
        self.run_until(seconds, |_| false);
    }

    /// Runs until something holds, at most that long; returns the seconds that it took.
    pub(crate) fn run_until(&mut self, at_most: u64, holds: impl Fn(&Self) -> bool) -> f64 {
        let begin = self.millis;
        while self.millis < begin + at_most * 1_000 && !holds(self) {
            self.step();
        }
        (self.millis - begin) as f64 / 1_000.0
    }

    /// Produces that many records within that time.
    pub(crate) fn burst(&mut self, records: f64, seconds: u64) {
        let before = self.rate;
        self.rate = records / seconds as f64;
        self.run_seconds(seconds);
        self.rate = before;
    }

    /// Kills a pod without grace: what it did since its last commit is done again, and its successor starts like any pod.
    pub(crate) fn kill(&mut self, pod: usize) {
        let killed = self.pods.remove(pod).incarnation;
        for partition in self.partitions.iter_mut().filter(|partition| partition.pod == Some(killed)) {
            partition.position = partition.committed;
        }
        self.rebalance();
        self.starting_since = Some(self.now());
        self.follow_replicas();
    }

    fn step(&mut self) {
        self.millis += STEP_MILLIS;
        let seconds = STEP_MILLIS as f64 / 1_000.0;
        for (partition, weight) in self.partitions.iter_mut().zip(&self.weights) {
            partition.end += self.rate * weight * seconds;
            if self.transaction_seconds == 0 || self.millis.is_multiple_of(self.transaction_seconds * 1_000) {
                partition.stable = partition.end;
            }
        }
        if self.pods.iter().any(|pod| pod.ready_at > self.millis - STEP_MILLIS && pod.ready_at <= self.millis) {
            self.rebalance();
        }
        if self.ready() >= self.replicas {
            self.starting_since = None;
        }
        self.work(seconds);
        self.commit();
        if self.millis.is_multiple_of(TICK_MILLIS) {
            self.tick();
        }
    }

    fn ready_incarnations(&self) -> Vec<u64> {
        self.pods.iter().filter(|pod| pod.ready_at <= self.millis).map(|pod| pod.incarnation).collect()
    }

    /// Deals out partitions in turn; what changes hands rests for a while.
    fn rebalance(&mut self) {
        let pods = self.ready_incarnations();
        let rest = u64::try_from(self.rebalance.as_millis()).unwrap();
        for (index, partition) in self.partitions.iter_mut().enumerate() {
            let pod = (!pods.is_empty()).then(|| pods[index % pods.len()]);
            if pod == partition.pod {
                continue;
            }
            *partition = Partition {
                committed: reached(partition.position),
                pod,
                owner: partition.owner + 1,
                processed: 0.0,
                busy: 0.0,
                lane_blocked: 0.0,
                in_flight: 0.0,
                paused_until: self.millis + rest,
                ..partition.clone()
            };
            if pod.is_some() {
                partition.check(START + self.millis, self.throttled_to, false, false);
            }
        }
    }

    fn work(&mut self, seconds: f64) {
        let pods = self.ready_incarnations();
        let count = pods.len().max(1) as f64;
        let shared = self.downstream / count;
        let slots = f64::from(self.policy.concurrency);
        for pod in pods {
            let bound = self.replica_rate.min(shared);
            let limited = self.policy.max_records_per_second.map_or(f64::INFINITY, |most| most / count);
            let room = bound.min(self.replica_bound).min(limited) * seconds;
            let waiting: Vec<(usize, f64)> = self
                .partitions
                .iter()
                .enumerate()
                .filter(|(index, p)| {
                    p.pod == Some(pod) && p.paused_until < self.millis && !self.poisoned.contains(index) && !self.held
                })
                .map(|(index, p)| (index, (p.stable - p.position).max(0.0)))
                .collect();
            let done = fair(&waiting, room, self.lane_rate * seconds);
            let total: f64 = done.iter().map(|(_, records)| records).sum();
            // A call takes as long as slots and rate say; a slow downstream makes each call longer, another bound does not.
            let call_seconds = slots / bound;
            for &(index, records) in &done {
                let partition = &mut self.partitions[index];
                partition.position += records;
                partition.processed += records;
                partition.busy += records * call_seconds;
                partition.in_flight = (records * call_seconds / seconds).min(partition.stable - partition.position);
                let left = partition.stable - partition.position > 1.0;
                if left && (self.crowded_lanes || total < 0.95 * room) {
                    partition.lane_blocked += seconds;
                }
            }
        }
    }

    fn commit(&mut self) {
        for (index, partition) in self.partitions.iter_mut().enumerate() {
            let Some(pod) = partition.pod else { continue };
            let due = (self.millis + pod * STEP_MILLIS).is_multiple_of(TICK_MILLIS);
            let poisoned = self.poisoned.contains(&index);
            let news = reached(partition.position) > partition.committed || partition.in_flight >= 1.0;
            if due && poisoned && partition.end > partition.position {
                partition.attempts += 1;
                partition.check(START + self.millis, self.throttled_to, true, self.held);
            } else if due && (news || self.held) {
                partition.committed = reached(partition.position);
                partition.check(START + self.millis, self.throttled_to, false, self.held);
            }
        }
    }

    pub(crate) fn observation(&mut self) -> Observation {
        if self.visible {
            let at = self.now();
            let mut partitions: Vec<_> =
                self.partitions.iter().enumerate().map(|(index, p)| p.sample(index, at)).collect();
            if !self.checkpoints {
                for partition in &mut partitions {
                    partition.checkpoint = None;
                }
            }
            self.sampled = Some(Kafka::Sampled { group: GroupState::Stable, partitions });
        }
        let workers = Workers {
            replicas: Some(self.replicas),
            ready: self.ready(),
            starting_since: self.starting_since,
            waiting_reason: None,
        };
        Observation {
            workers,
            kafka: self.sampled.clone().unwrap_or(Kafka::Unknown { since: Timestamp::from_millis(START) }),
        }
    }

    fn tick(&mut self) {
        let observation = self.observation();
        let now = self.now();
        let decision = decide(&mut self.state, &self.policy, &observation, now);
        if decision.replicas != self.replicas {
            self.changes.push((self.seconds(), self.replicas, decision.replicas, decision.reason));
            self.replicas = decision.replicas;
            self.starting_since = Some(now);
            self.follow_replicas();
        }
        self.last = Some(decision);
    }

    fn follow_replicas(&mut self) {
        let wanted = self.replicas as usize;
        if self.pods.len() > wanted {
            self.pods.truncate(wanted);
            self.rebalance();
        }
        let start = u64::try_from(self.start.as_millis()).unwrap();
        while self.pods.len() < wanted {
            self.incarnations += 1;
            let ready_at = if self.pods_broken { u64::MAX } else { self.millis + start };
            self.pods.push(Pod { incarnation: self.incarnations, ready_at });
        }
    }
}
