//! Partitions that come and go, and the consumer that is made anew when librdkafka gives up.

use std::time::Duration;

use penstock_engine::seam::{Assignment, PartitionRole, Tp};
use penstock_engine::{Event, Instant};
use penstock_kafka::KafkaError;
use penstock_kafka::consumer::{Rebalance, RebalanceKind, StartAt};

use super::mislaid::Mislaid;
use super::{Phase, Shell};
use crate::kafka::KafkaIo;
use crate::processor::Calls;

/// Longest wait before another consumer is made.
const REBUILD_DELAY_MAX: Duration = Duration::from_secs(30);
/// A consumer that lived this long was a good one: the next is made at once.
const REBUILD_FORGIVEN: Duration = Duration::from_secs(60);

/// Rebalances in progress.
#[derive(Debug, Default)]
pub(super) struct Assignments {
    /// Counts the rebalances of all consumers of this process.
    seq: u64,
    /// Releases of an older rebalance belong to a consumer that is gone.
    floor: u64,
    /// Where partitions begin that librdkafka was not told yet.
    starts: Vec<(Tp, u64, StartAt)>,
    asked: Vec<(u64, Tp)>,
    revoking: Vec<Revocation>,
    rebuild_at: Option<Instant>,
    rebuilt: Option<(Instant, Duration)>,
}

/// What was asked back.
#[derive(Debug)]
struct Revocation {
    began: Instant,
    /// Not released yet.
    tps: Vec<Tp>,
}

impl Assignments {
    /// A checkpoint is to be fetched with the next flush.
    pub(super) fn ask(&mut self, tp: Tp, seq: u64) {
        self.asked.push((seq, tp));
    }

    /// What is to be fetched, by assignment.
    pub(super) fn asked(&mut self) -> Vec<(u64, Vec<Tp>)> {
        let mut groups: Vec<(u64, Vec<Tp>)> = Vec::new();
        for (seq, tp) in self.asked.drain(..) {
            match groups.iter_mut().find(|(one, _)| *one == seq) {
                Some((_, tps)) => tps.push(tp),
                None => groups.push((seq, vec![tp])),
            }
        }
        groups
    }

    /// A revocation was not answered yet, or there is no consumer.
    pub(super) fn is_rebalancing(&self) -> bool {
        !self.revoking.is_empty() || self.rebuild_at.is_some()
    }

    /// Counts changes.
    pub(super) fn seq(&self) -> u64 {
        self.seq
    }

    pub(super) fn rebuild_at(&self) -> Option<Instant> {
        self.rebuild_at
    }
}

impl<K: KafkaIo, C: Calls> Shell<K, C> {
    pub(super) fn rebalance(&mut self, rebalance: &Rebalance, now: Instant) {
        self.assignments.seq += 1;
        let seq = self.assignments.seq;
        let tps: Vec<Tp> = rebalance.partitions.iter().map(|name| self.partitions.number(name)).collect();
        let (kind, count) = (rebalance.kind, tps.len());
        tracing::info!(?kind, lost = rebalance.assignment_lost, partitions = ?rebalance.partitions, "rebalance");
        let label = match (kind, rebalance.assignment_lost) {
            (RebalanceKind::Assign, _) => "assign",
            (RebalanceKind::Revoke, false) => "revoke",
            (RebalanceKind::Revoke, true) => "lost",
        };
        self.metrics.rebalances.with_label_values(&[label]).inc();
        match kind {
            // It is lost with the consumer that is to be made anew, of which all that it had was given up.
            RebalanceKind::Assign if self.assignments.rebuild_at.is_some() => {}
            RebalanceKind::Revoke if self.assignments.rebuild_at.is_some() => self.unassign(&tps, now),
            RebalanceKind::Assign => {
                self.refusals.lifted();
                self.state.joined();
                self.end_revocations(&tps, now);
                // Answered already. Each partition follows when its checkpoint is there.
                if count > 0 && !self.is_leaving() {
                    self.look_for_growth(&rebalance.partitions);
                    let partitions = tps.iter().map(|tp| self.assignment(*tp)).collect();
                    self.tell(Event::Assigned { partitions, seq }, now);
                }
            }
            RebalanceKind::Revoke if count == 0 => {}
            RebalanceKind::Revoke if self.is_leaving() => self.unassign(&tps, now),
            RebalanceKind::Revoke => {
                self.assignments.revoking.push(Revocation { began: now, tps: tps.clone() });
                let deadline = now + self.settings.drain;
                let lost = rebalance.assignment_lost;
                self.tell(if lost { Event::Lost { tps, seq } } else { Event::Revoking { tps, seq, deadline } }, now);
            }
        }
    }

    fn assignment(&mut self, tp: Tp) -> Assignment {
        let partition = self.partitions.get_mut(tp);
        let of_topic = self.settings.delay_topics.iter().find(|one| *one.topic == *partition.name.topic);
        (partition.owned, partition.delay) = (true, of_topic.map(|one| one.delay));
        let role = partition.delay.map_or(PartitionRole::Source, |delay| PartitionRole::Delay { delay });
        Assignment { tp, topic: partition.name.topic.clone(), partition: partition.name.partition, role }
    }

    /// The engine knows where to begin.
    pub(super) fn assign(&mut self, tp: Tp, seq: u64, start: StartAt) {
        self.assignments.starts.retain(|(one, ..)| *one != tp);
        self.assignments.starts.push((tp, seq, start));
    }

    /// Tells librdkafka where to begin: all partitions that were loaded together in one call. Whoever is read already is given up and
    /// taken again for that, which would answer a revocation too, so that has to be over.
    pub(super) fn begin_reading(&mut self, now: Instant) {
        if self.assignments.starts.is_empty() {
            return;
        }
        let mut fresh = Vec::new();
        let mut result = Ok(());
        let revoking = !self.assignments.revoking.is_empty();
        let has_to_wait = |(tp, ..): &(Tp, u64, StartAt)| revoking && self.partitions.get(*tp).reading;
        let (waiting, starts): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.assignments.starts).into_iter().partition(has_to_wait);
        self.assignments.starts = waiting;
        for (tp, seq, start) in starts {
            let partition = self.partitions.get_mut(tp);
            let offset = start.offset;
            if partition.reading {
                result = result.and(self.io.seek(&start));
            } else {
                fresh.push(start);
            }
            partition.begin(seq, offset, now);
        }
        if !fresh.is_empty() {
            result = result.and(self.io.assign(&fresh));
        }
        self.count_assigned();
        if let Err(error) = result {
            self.consumer_failed(&error, now);
        }
    }

    /// Nothing of these partitions runs any more.
    pub(super) fn release(&mut self, tps: &[Tp], seq: u64, now: Instant) {
        if seq >= self.assignments.floor {
            self.unassign(tps, now);
        }
    }

    /// Nobody waits for these partitions any more.
    fn end_revocations(&mut self, tps: &[Tp], now: Instant) {
        self.assignments.revoking.retain_mut(|revocation| {
            revocation.tps.retain(|tp| !tps.contains(tp));
            let over = revocation.tps.is_empty();
            if over {
                self.metrics.revoke_seconds.observe(now.since(revocation.began).as_secs_f64());
            }
            !over
        });
    }

    fn unassign(&mut self, tps: &[Tp], now: Instant) {
        self.assignments.starts.retain(|(tp, ..)| !tps.contains(tp));
        self.end_revocations(tps, now);
        for tp in tps {
            self.partitions.get_mut(*tp).end();
        }
        self.count_assigned();
        let names = self.names(tps);
        if let Err(error) = self.io.unassign(&names) {
            self.consumer_failed(&error, now);
        }
    }

    /// librdkafka gave up: whatever was assigned is lost, and another consumer joins.
    pub(super) fn consumer_failed(&mut self, error: &KafkaError, now: Instant) {
        if self.is_leaving() {
            self.cut_short = true;
            self.phase = Phase::Left;
            return;
        }
        if self.assignments.rebuild_at.is_some() {
            return;
        }
        tracing::warn!(%error, "the consumer is of no further use");
        self.metrics.clients_rebuilt.with_label_values(&["consumer"]).inc();
        let delay = match self.assignments.rebuilt {
            Some((last, delay)) if now.since(last) < REBUILD_FORGIVEN => {
                (delay * 2).clamp(Duration::from_secs(1), REBUILD_DELAY_MAX)
            }
            _ => Duration::ZERO,
        };
        self.assignments.rebuilt = Some((now, delay));
        self.assignments.rebuild_at = Some(now + delay);
        self.assignments.starts.clear();
        self.mislaid = Mislaid::default();
        let tps = self.partitions.owned();
        for tp in &tps {
            self.partitions.get_mut(*tp).end();
        }
        self.count_assigned();
        self.assignments.seq += 1;
        self.assignments.floor = self.assignments.seq + 1;
        self.assignments.revoking.clear();
        self.abandon_commits(now);
        self.tell(Event::Lost { tps, seq: self.assignments.seq }, now);
    }

    pub(super) fn rebuild_if_due(&mut self, now: Instant) -> bool {
        if self.is_draining() {
            // Whoever is about to leave leaves with what there is: another consumer would join, and nobody would close it.
            self.assignments.rebuild_at = None;
        }
        if self.assignments.rebuild_at.is_none_or(|at| at > now) {
            return false;
        }
        self.assignments.rebuild_at = None;
        if let Err(error) = self.io.rebuild_consumer() {
            self.consumer_failed(&error, now);
        }
        true
    }
}
