//! Partitions that met an error: given up, and taken again after a rest.

use std::time::{Duration, Instant};

use super::split::Reading;
use super::{Consumer, StartAt};
use crate::error::KafkaError;
use crate::native::partitions::PartitionList;
use crate::place::Place;

/// How long a partition that was given up after an error stays so: what comes then may be the same error.
const REST: Duration = Duration::from_secs(1);

impl Consumer {
    /// Gives up partitions that met an error, and takes them again after a rest, each behind the last record that was handed over. By what
    /// the client believes, whoever pauses and goes on, as all partitions do in a rebalance, would pass over a record.
    pub(super) fn look_after_failed(&mut self, now: Instant) -> Result<(), KafkaError> {
        // To give something up while it or another is asked back would answer that.
        if self.failed.is_empty() || !self.revoking.is_empty() || self.closing {
            return Ok(());
        }
        let mut list = PartitionList::with_capacity(self.failed.len());
        let (mut gives_up, mut again) = (false, Vec::new());
        for partition in std::mem::take(&mut self.failed) {
            let Some(split) = self.partitions.get_mut(&partition).filter(|split| !split.recreated) else { continue };
            match split.reading {
                Reading::No | Reading::Yes => continue, // given up or taken again by whoever owns this
                Reading::Failed => {
                    split.reading = Reading::Rests(now + REST);
                    list.add(&split.topic, partition.partition);
                    gives_up = true;
                }
                Reading::Rests(until) if until <= now => {
                    let Place { next, leader_epoch, .. } = split.place;
                    again.push(StartAt { partition, offset: next, leader_epoch });
                    continue;
                }
                Reading::Rests(_) => {}
            }
            self.failed.push(partition);
        }
        if gives_up {
            self.client.incremental_unassign(&list)?;
        }
        if !again.is_empty() {
            self.assign(&again)?;
        }
        Ok(())
    }
}
