//! What is remembered from one decision to the next.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::capacity::CapacityEstimate;
use crate::track::Track;
use crate::window::Window;
use crate::{Observation, PartitionSample, Timestamp, Workers};

/// Longest wait for pods that start, and the wait while their start time is not known.
const LONGEST_START: Duration = Duration::from_secs(120);
/// Shortest wait for pods that start: one slow pull must not end it.
const SHORTEST_START: Duration = Duration::from_secs(20);

/// What is remembered from one decision to the next. Everything in it comes from observations; a fresh one is always safe, it only
/// knows less. It can be serialised whole; the part worth keeping in status is [`State::learned`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    pub(crate) learned: Learned,
    pub(crate) capacity: CapacityEstimate,
    pub(crate) tracks: Vec<Track>,
    pub(crate) window: Window,
    pub(crate) fleet: Fleet,
    /// Since when a backlog has not been clearing in time.
    pub(crate) behind_since: Option<Timestamp>,
    /// Since when the fullest replica has had no free slots.
    pub(crate) full_since: Option<Timestamp>,
    /// Since when it has had hardly any.
    pub(crate) nearly_full_since: Option<Timestamp>,
    /// Since when the group has had a backlog without a break.
    pub(crate) backlog_since: Option<Timestamp>,
    /// Since when the group has been handing out partitions.
    pub(crate) rebalancing_since: Option<Timestamp>,
    /// What a step down taught.
    pub(crate) overrun: Option<Overrun>,
    /// What one taught at the last tick. It counts from the next one on, so that asking twice gives the same answer.
    pub(crate) new_overrun: Option<Overrun>,
}

/// The compact part of [`State`] that is kept in status, so that a restart of the operator or a wake from zero starts from knowledge.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Learned {
    /// Hash of the pod template that the capacity was seen with; empty while nothing was.
    pub template_hash: String,
    /// Records per second that one replica can do; `None` while unknown.
    pub records_per_second: Option<f64>,
    /// Whether that was seen while replicas had no room left, and not derived from busy time.
    #[serde(default)]
    pub saturated: bool,
    /// Seconds from the wish for more replicas to their readiness; `None` while unmeasured.
    pub start_seconds: Option<f64>,
}

/// What is remembered of the pods.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Fleet {
    /// Replicas and ready pods of the last observation.
    seen: Option<(Option<u32>, u32)>,
    /// When the wanted number last changed, or was first seen.
    pub(crate) changed_at: Timestamp,
    /// When the wanted number or the ready pods last changed.
    pub(crate) settled_at: Timestamp,
    /// When more replicas were wanted that are not all ready yet.
    growing_since: Option<Timestamp>,
    /// The last step down: when, and to how many.
    pub(crate) lowered: Option<(Timestamp, u32)>,
}

/// What a replica did when a step down brought distress: more than that is not expected of it for a while.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Overrun {
    pub(crate) records_per_second: f64,
    pub(crate) learned_at: Timestamp,
    pub(crate) until: Timestamp,
    /// How long it held; the next one holds twice as long.
    pub(crate) hold: Duration,
}

impl State {
    /// Starts from what was learned earlier.
    pub fn restore(learned: Learned) -> Self {
        Self { learned, ..Self::default() }
    }

    /// What is worth keeping.
    pub fn learned(&self) -> &Learned {
        &self.learned
    }

    /// Follows the pods: when their wanted number changed, and how long they took to start.
    pub(crate) fn follow(&mut self, observation: &Observation, now: Timestamp) {
        if let Some(overrun) = self.new_overrun.take_if(|overrun| overrun.learned_at < now) {
            self.overrun = Some(overrun);
        }
        if let Some(start) = self.fleet.follow(&observation.workers, now) {
            let start = start.as_secs_f64();
            self.learned.start_seconds =
                Some(self.learned.start_seconds.map_or(start, |known| f64::midpoint(known, start)));
        }
    }

    /// How long pods may take to start before the ready ones decide alone.
    pub(crate) fn start_limit(&self) -> Duration {
        let twice =
            self.learned.start_seconds.map(|seconds| Duration::from_secs_f64((2.0 * seconds).clamp(0.0, 3_600.0)));
        twice.unwrap_or(LONGEST_START).clamp(SHORTEST_START, LONGEST_START)
    }

    /// Makes the tracks those of exactly these partitions, in their order; what is gone is forgotten.
    pub(crate) fn align(&mut self, samples: &[&PartitionSample]) {
        let matches = |(track, sample): (&Track, &&PartitionSample)| {
            track.partition == sample.partition && track.topic == sample.topic
        };
        if self.tracks.len() == samples.len() && self.tracks.iter().zip(samples).all(matches) {
            return;
        }
        let known = std::mem::take(&mut self.tracks).into_iter();
        let mut known: BTreeMap<_, _> = known.map(|track| ((track.topic.clone(), track.partition), track)).collect();
        self.tracks = samples
            .iter()
            .map(|sample| {
                let (topic, partition) = (sample.topic.clone(), sample.partition);
                known.remove(&(topic.clone(), partition)).unwrap_or_else(|| Track::of(topic, partition))
            })
            .collect();
    }
}

impl Fleet {
    /// Returns how long a growth took that is complete now.
    fn follow(&mut self, workers: &Workers, now: Timestamp) -> Option<Duration> {
        let next = (workers.replicas, workers.ready);
        let Some((before, ready_before)) = self.seen.replace(next) else {
            self.changed_at = now;
            self.settled_at = now;
            return None;
        };
        let wanted = workers.replicas.unwrap_or(0);
        if workers.replicas != before {
            self.changed_at = now;
            let grows = wanted > before.unwrap_or(0);
            self.growing_since = grows.then_some(now);
            self.lowered = (!grows).then_some((now, wanted));
        }
        if workers.replicas != before || workers.ready != ready_before {
            self.settled_at = now;
        }
        let since = self.growing_since.filter(|_| workers.ready >= wanted)?;
        self.growing_since = None;
        Some(now.since(since))
    }
}

/// Keeps a moment while a condition holds; returns how long it has held, `None` when it does not.
pub(crate) fn held(since: &mut Option<Timestamp>, condition: bool, now: Timestamp) -> Option<Duration> {
    *since = condition.then(|| since.unwrap_or(now));
    since.map(|since| now.since(since))
}
