//! Carrying out what the engine says.

use std::sync::Arc;

use penstock_engine::seam::{Delivery, Tp};
use penstock_engine::{Effect, Instant};
use penstock_kafka::consumer::{CommitOffset, StartAt};

use super::{LEAVE, Phase, Shell};
use crate::kafka::KafkaIo;
use crate::processor::Calls;

impl<K: KafkaIo, C: Calls> Shell<K, C> {
    /// Does what can be done at once and books what travels with others; [`Shell::flush`] sends that.
    pub(super) fn carry_out(&mut self, effect: Effect, now: Instant) {
        match effect {
            Effect::FetchCheckpoint { tp, seq } => self.assignments.ask(tp, seq),
            Effect::Assign { tp, seq, offset, leader_epoch } => {
                let partition = self.partitions.get(tp).name.clone();
                let start = StartAt { partition, offset, leader_epoch: epoch(leader_epoch) };
                self.assign(tp, seq, start);
            }
            Effect::Start(mut start) => {
                self.calls_in_progress += 1;
                let partitions = &self.partitions;
                let travelled = partitions.first_reads(&mut start);
                self.calls.start(start, now, &|delivery: &Delivery| {
                    let own = travelled.iter().find(|(item, _)| *item == delivery.ticket.item);
                    own.map_or_else(|| partitions.origin(delivery.tp), |(_, origin)| Arc::clone(origin))
                });
            }
            Effect::Cancel { call } => self.calls.cancel(call),
            Effect::Forward(forward) => self.forward(*forward, now),
            Effect::Commit { tp, commit, offset, leader_epoch, checkpoint } => {
                let partition = self.partitions.get(tp).name.clone();
                let metadata = checkpoint.into_bytes();
                let offset = CommitOffset { partition, offset, leader_epoch: epoch(leader_epoch), metadata };
                self.commits.book(tp, commit, offset);
            }
            Effect::Credit { tp, bytes } => self.partitions.get_mut(tp).add_credit(bytes),
            Effect::Probe => self.calls.probe(),
            Effect::Released { tps, seq } => self.release(&tps, seq, now),
            Effect::Drained => self.leave(now),
        }
    }

    /// Sends what was booked: all calls together, one request for all commits, one for all checkpoints.
    pub(super) fn flush(&mut self, now: Instant) {
        self.calls.flush();
        self.send_commits(now);
        for (seq, tps) in self.assignments.asked() {
            let names = tps.iter().map(|tp| self.partitions.get(*tp).name.clone()).collect();
            self.io.load(names, seq);
        }
    }

    /// The engine is done: leave the group.
    fn leave(&mut self, now: Instant) {
        if matches!(self.phase, Phase::Leaving(_) | Phase::Left) {
            return;
        }
        self.cut_short |=
            self.calls_in_progress > 0 || self.forwards.in_progress() > 0 || self.commits.in_progress() > 0;
        self.phase = Phase::Leaving(now + LEAVE);
        if let Err(error) = self.io.close() {
            tracing::warn!(%error, "the group could not be left in order; it will notice by its session timeout");
            self.cut_short = true;
            self.phase = Phase::Left;
        }
    }

    /// Ends when the group was left, or by its deadline.
    pub(super) fn finish_leaving(&mut self, now: Instant) {
        let Phase::Leaving(deadline) = self.phase else { return };
        if self.io.is_closed() {
            self.phase = Phase::Left;
        } else if now >= deadline {
            tracing::warn!(
                "the group did not confirm in {LEAVE:?} that we left; it will notice by its session timeout"
            );
            self.cut_short = true;
            self.phase = Phase::Left;
        }
    }

    pub(super) fn is_leaving(&self) -> bool {
        matches!(self.phase, Phase::Leaving(_) | Phase::Left)
    }

    pub(super) fn count_assigned(&self) {
        let reading = self.partitions.reading().count();
        self.metrics.partitions_assigned.set(i64::try_from(reading).unwrap_or(i64::MAX));
        self.state.assigned(reading);
    }

    pub(super) fn names(&self, tps: &[Tp]) -> Vec<penstock_kafka::TopicPartition> {
        tps.iter().map(|tp| self.partitions.get(*tp).name.clone()).collect()
    }
}

/// −1 and below mean "none" in the engine's words.
fn epoch(leader_epoch: i32) -> Option<i32> {
    (leader_epoch >= 0).then_some(leader_epoch)
}
