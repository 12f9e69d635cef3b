//! The engine's own totals and the state of each partition, copied into metrics once a second.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use penstock_crds::checkpoint::HoldReason;
use penstock_engine::{Counters, EngineView, PartitionView};
use penstock_kafka::TopicPartition;
use prometheus::{GaugeVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts};

use super::{Catalogue, counter, counters, gauge, name, registered};

const PARTITION: [&str; 2] = ["topic", "partition"];

/// What the engine lets others see.
#[derive(Debug)]
pub struct EngineMetrics {
    done: IntCounterVec,
    passed_over: IntCounterVec,
    attempts_charged: IntCounter,
    timeouts: IntCounter,
    suspects: IntCounter,
    starts_deferred: IntCounter,
    parked_after: IntCounter,
    parkings_ended: IntCounter,
    parked_left_out: IntCounter,
    attempts_left_out: IntCounter,
    dead_letters_spared: IntCounter,
    fenced: IntCounter,
    offsets_lost: IntCounter,
    checkpoints_cut: IntCounter,
    checkpoints_rejected: IntCounter,
    concurrency: IntGauge,
    committed: IntGaugeVec,
    undone: IntGaugeVec,
    held_bytes: IntGaugeVec,
    failing: IntGaugeVec,
    parked_keys: IntGaugeVec,
    blocked_seconds: GaugeVec,
    held: IntGaugeVec,
    last: Mutex<Published>,
}

/// What was copied last.
#[derive(Debug, Default)]
struct Published {
    /// Counters of this crate only rise by differences.
    counters: Counters,
    /// The partitions that have gauges, and why nothing was delivered.
    partitions: HashMap<TopicPartition, Option<HoldReason>>,
}

impl EngineMetrics {
    pub(super) fn new(registry: &Catalogue) -> Result<Self, prometheus::Error> {
        let each = |suffix: &str, help: &str| -> Result<IntGaugeVec, prometheus::Error> {
            registered(registry, IntGaugeVec::new(Opts::new(name(suffix), help), &PARTITION)?)
        };
        let blocked =
            Opts::new(name("partition_blocked_seconds"), "For how long the record at the frontier has been failing");
        Ok(Self {
            done: counters(registry, "records_done_total", "Records that are done, by how", &["how"])?,
            passed_over: counters(
                registry,
                "records_passed_over_total",
                "Records received and not called, by why",
                &["why"],
            )?,
            attempts_charged: counter(
                registry,
                "attempts_charged_total",
                "Failed calls that count against maxAttempts",
            )?,
            timeouts: counter(registry, "call_timeouts_total", "Calls cancelled at delivery.timeout")?,
            suspects: counter(registry, "suspects_total", "Records in flight when a connection broke")?,
            starts_deferred: counter(
                registry,
                "starts_deferred_total",
                "Calls put off for want of room in the checkpoint",
            )?,
            parked_after: counter(
                registry,
                "parked_after_total",
                "Records sent to the dead letters untried, because their key is parked",
            )?,
            parkings_ended: counter(registry, "parkings_ended_total", "Parked keys whose dead letters all came back")?,
            parked_left_out: counter(registry, "parked_left_out_total", "Parked keys that did not fit a checkpoint")?,
            attempts_left_out: counter(
                registry,
                "attempts_left_out_total",
                "Failing records whose attempts did not fit a checkpoint",
            )?,
            dead_letters_spared: counter(
                registry,
                "dead_letters_spared_total",
                "Failures that the fuse kept from ending in a dead letter",
            )?,
            fenced: counter(
                registry,
                "partitions_fenced_total",
                "Times that a partition started nothing since its commits had gone unanswered for too long",
            )?,
            offsets_lost: counter(registry, "offsets_lost_total", "Offsets gone from the log before they were read")?,
            checkpoints_cut: counter(registry, "checkpoints_cut_total", "Checkpoints that left out done records")?,
            checkpoints_rejected: counter(
                registry,
                "checkpoints_rejected_total",
                "Commit metadata that was no checkpoint for its offset",
            )?,
            concurrency: gauge(registry, "concurrency", "Calls that may be in progress at once now")?,
            committed: each("partition_committed_offset", "Offset that the group has acknowledged")?,
            undone: each("partition_undone_records", "Records received and not done")?,
            held_bytes: each("partition_held_bytes", "Records held")?,
            failing: each("partition_failing_records", "Records with failed calls that are not done")?,
            parked_keys: each(
                "partition_parked_keys",
                "Keys whose records go to the dead letters until those have come back",
            )?,
            blocked_seconds: registered(registry, GaugeVec::new(blocked, &PARTITION)?)?,
            held: registered(
                registry,
                IntGaugeVec::new(
                    Opts::new(name("partition_on_hold"), "1 while nothing is delivered, by why"),
                    &["topic", "partition", "why"],
                )?,
            )?,
            last: Mutex::default(),
        })
    }

    /// Copies totals, and the state of the partitions owned. Those that are no longer owned disappear, and no others even for a moment:
    /// another thread may be reading.
    pub fn publish<'a>(
        &self,
        now: Counters,
        view: &EngineView,
        partitions: impl Iterator<Item = (&'a TopicPartition, PartitionView)>,
    ) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let rise = |of: fn(&Counters) -> u64| of(&now).saturating_sub(of(&last.counters));
        for (how, rise) in [
            ("acknowledged", rise(|c| c.acknowledged)),
            ("skipped", rise(|c| c.skipped)),
            ("discarded", rise(|c| c.discarded)),
            ("dead_lettered", rise(|c| c.dead_lettered)),
            ("output", rise(|c| c.forwarded_output)),
            ("delayed", rise(|c| c.delayed)),
        ] {
            self.done.with_label_values(&[how]).inc_by(rise);
        }
        for (why, rise) in [
            ("done_before", rise(|c| c.done_before)),
            ("received_again", rise(|c| c.received_again)),
            ("redriven_again", rise(|c| c.redriven_again)),
            ("assignment_over", rise(|c| c.stray)),
        ] {
            self.passed_over.with_label_values(&[why]).inc_by(rise);
        }
        self.attempts_charged.inc_by(rise(|c| c.attempts_charged));
        self.timeouts.inc_by(rise(|c| c.timeouts));
        self.suspects.inc_by(rise(|c| c.suspects));
        self.starts_deferred.inc_by(rise(|c| c.starts_deferred));
        self.parked_after.inc_by(rise(|c| c.parked_after));
        self.parkings_ended.inc_by(rise(|c| c.parkings_ended));
        self.parked_left_out.inc_by(rise(|c| c.parked_left_out));
        self.attempts_left_out.inc_by(rise(|c| c.attempts_left_out));
        self.dead_letters_spared.inc_by(rise(|c| c.dead_letters_spared));
        self.fenced.inc_by(rise(|c| c.fenced));
        self.offsets_lost.inc_by(rise(|c| c.offsets_lost));
        self.checkpoints_cut.inc_by(rise(|c| c.checkpoints_cut));
        self.checkpoints_rejected.inc_by(rise(|c| c.checkpoints_rejected));
        last.counters = now;
        self.concurrency.set(view.concurrency.into());
        let mut owned = HashMap::new();
        for (name, partition) in partitions {
            self.publish_partition(name, &partition);
            owned.insert(name.clone(), partition.hold);
        }
        for (name, hold) in std::mem::replace(&mut last.partitions, owned) {
            let still = last.partitions.get(&name);
            if let Some(reason) = hold.filter(|_| still != Some(&hold)) {
                let number = name.partition.to_string();
                let _gone = self.held.remove_label_values(&[&*name.topic, number.as_str(), reason.as_str()]);
            }
            if still.is_none() {
                self.remove_partition(&name);
            }
        }
    }

    fn publish_partition(&self, name: &TopicPartition, view: &PartitionView) {
        let number = name.partition.to_string();
        let labels = [&*name.topic, number.as_str()];
        self.committed.with_label_values(&labels).set(view.committed);
        self.undone.with_label_values(&labels).set(i64::try_from(view.undone).unwrap_or(i64::MAX));
        self.held_bytes.with_label_values(&labels).set(i64::try_from(view.held_bytes).unwrap_or(i64::MAX));
        self.failing.with_label_values(&labels).set(i64::try_from(view.failing).unwrap_or(i64::MAX));
        self.parked_keys.with_label_values(&labels).set(i64::try_from(view.parked_keys).unwrap_or(i64::MAX));
        let blocked = view.blocked_for.unwrap_or_default();
        self.blocked_seconds.with_label_values(&labels).set(blocked.as_secs_f64());
        if let Some(reason) = view.hold {
            self.held.with_label_values(&[&*name.topic, number.as_str(), reason.as_str()]).set(1);
        }
    }

    /// All gauges of a partition but the one that says why nothing is delivered.
    fn remove_partition(&self, name: &TopicPartition) {
        let number = name.partition.to_string();
        let labels = [&*name.topic, number.as_str()];
        for one in [&self.committed, &self.undone, &self.held_bytes, &self.failing, &self.parked_keys] {
            let _gone = one.remove_label_values(&labels);
        }
        let _gone = self.blocked_seconds.remove_label_values(&labels);
    }
}

#[cfg(test)]
mod tests {
    use penstock_engine::seam::Tp;
    use penstock_engine::{Engine, Policy};
    use prometheus::{Registry, TextEncoder};

    use super::*;

    fn partition(number: i32, hold: Option<HoldReason>) -> (TopicPartition, PartitionView) {
        let view = PartitionView {
            tp: Tp(0),
            frontier: 7,
            committed: 7,
            undone: 0,
            held_bytes: 0,
            in_flight: 0,
            failing: 0,
            parked_keys: 0,
            blocked_for: None,
            hold,
            fenced: false,
            draining: false,
        };
        (TopicPartition::new("orders", number), view)
    }

    /// How many gauges a scrape would see with this among their labels.
    fn scraped(registry: &Registry, label: &str) -> usize {
        let text = TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        text.lines().filter(|line| line.contains(label)).count()
    }

    #[test]
    fn a_scrape_sees_partitions_that_stay_whenever_it_comes_and_none_that_went() {
        let registry = Catalogue::default();
        let metrics = EngineMetrics::new(&registry).unwrap();
        let registry = registry.inner;
        let view = Engine::new(Policy::default()).view();
        let publish = |owned: &[(TopicPartition, PartitionView)], scrape: &dyn Fn()| {
            // What the iterator does falls between the gauges of two partitions.
            let owned = owned.iter().inspect(|_| scrape()).map(|(name, view)| (name, *view));
            metrics.publish(Counters::default(), &view, owned);
        };
        let gauges = |number: i32| scraped(&registry, &format!("partition=\"{number}\""));

        publish(&[partition(0, None), partition(1, Some(HoldReason::DataLoss))], &|| {});
        assert_eq!([0, 1, 2].map(gauges), [6, 7, 0]);
        let in_between = || assert!(gauges(1) >= 7, "a scrape in between");
        publish(&[partition(2, None), partition(1, Some(HoldReason::Fenced))], &in_between);
        assert_eq!([0, 1, 2].map(gauges), [0, 7, 6]);
        assert_eq!(["DataLoss", "Fenced"].map(|why| scraped(&registry, why)), [0, 1], "one reason at a time");
        publish(&[partition(2, None), partition(1, None)], &|| {});
        assert_eq!([0, 1, 2].map(gauges), [0, 6, 6]);
        publish(&[], &|| {});
        assert_eq!([0, 1, 2].map(gauges), [0, 0, 0]);
    }
}
