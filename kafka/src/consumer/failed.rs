//! Partitions that met an error: given up, and taken again after a rest.

use std::time::{Duration, Instant};

use super::split::Reading;
use super::{Consumer, StartAt};
use crate::error::KafkaError;
use crate::place::Place;
use crate::record::TopicPartition;

/// How long a partition that was given up after an error stays so: what comes then may be the same error.
const REST: Duration = Duration::from_secs(1);

impl Consumer {
    /// A partition met an error, and the client stood at this offset then. Returns what is to be told of it: not that an offset is lost where
    /// the client has gone astray, for a true loss is told again, of the right one.
    pub(super) fn met(&mut self, partition: &TopicPartition, error: KafkaError, at: i64) -> Option<KafkaError> {
        let split = self.partitions.get_mut(partition)?;
        let lost = error.code.is_offset_lost();
        if lost && split.place.is_lost(at) {
            return Some(error);
        }
        split.reading = Reading::Failed;
        if !self.failed.contains(partition) {
            self.failed.push(partition.clone());
        }
        (!lost).then_some(error)
    }

    /// Gives up partitions that met an error, and takes them again after a rest, each behind the last record that was handed over. By what
    /// the client believes, whoever pauses and goes on, as all partitions do in a rebalance, would pass over a record.
    pub(super) fn look_after_failed(&mut self, now: Instant) -> Result<(), KafkaError> {
        // To give something up while it or another is asked back would answer that.
        if self.failed.is_empty() || !self.revoking.is_empty() || self.closing {
            return Ok(());
        }
        let (mut given_up, mut again) = (Vec::new(), Vec::new());
        for partition in std::mem::take(&mut self.failed) {
            let Some(split) = self.partitions.get(&partition).filter(|split| !split.recreated) else { continue };
            match split.reading {
                Reading::No | Reading::Yes => {} // given up or taken again by whoever owns this
                Reading::Failed => given_up.push(partition),
                Reading::Rests(until) if until <= now => {
                    let Place { next, leader_epoch, .. } = split.place;
                    again.push(StartAt { partition, offset: next, leader_epoch });
                }
                Reading::Rests(_) => self.failed.push(partition),
            }
        }
        if !given_up.is_empty() {
            self.unassign(&given_up)?;
            for partition in given_up {
                if let Some(split) = self.partitions.get_mut(&partition) {
                    split.reading = Reading::Rests(now + REST);
                }
                self.failed.push(partition);
            }
        }
        if !again.is_empty() {
            self.assign(&again)?;
        }
        Ok(())
    }
}
