//! Leaving a group, in order whatever the group is doing: as the last thing that the worker does, or on the way to another consumer.

use std::time::{Duration, Instant};

use super::hear::{Heard, hear};
use super::{Consumer, ConsumerEvent, Rebalance, RebalanceKind};
use crate::error::KafkaError;

/// Longest time that a consumer which is given up may take to leave its group, and how often it looks meanwhile.
const LEAVE_MAX: Duration = Duration::from_secs(10);
const LEAVE_LOOK_EVERY: Duration = Duration::from_millis(50);
/// Longest wait for a join that is under way, before a member without partitions is closed all the same.
const UNSUBSCRIBE_MAX: Duration = Duration::from_secs(3);

impl Consumer {
    /// Starts leaving the group. Go on taking events (the last revocation is one) until [`Consumer::is_closed`].
    pub fn close(&mut self) -> Result<(), KafkaError> {
        self.closing = true;
        // With the classic protocol librdkafka says nothing to the group when a member without partitions is closed, and the others wait
        // for it until its session ends (rd_kafka_cgrp_assignment_done in rdkafka_cgrp.c, 2.12.1: only its twin for KIP-848 leaves then).
        // To unsubscribe it does say so, as soon as a join that is under way has ended.
        if self.classic && self.partitions.values().all(|split| !split.assigned) {
            self.unsubscribed = Some(Instant::now() + UNSUBSCRIBE_MAX);
            self.client.unsubscribe()?;
        }
        self.close_when_left()
    }

    pub(super) fn close_when_left(&mut self) -> Result<(), KafkaError> {
        if self.unsubscribed.is_some_and(|limit| Instant::now() < limit && self.client.is_member()) {
            return Ok(());
        }
        self.unsubscribed = None;
        self.client.close(&self.replies)
    }

    /// The group was left, the consumer can be dropped.
    pub fn is_closed(&self) -> bool {
        self.unsubscribed.is_none() && self.client.is_closed()
    }

    /// Gives the consumer up: it [leaves](Self::leave) on a thread of its own.
    pub fn retire(self) {
        let leaving = std::thread::Builder::new().name("kafka-leave".to_owned()).spawn(move || {
            if !self.leave() {
                tracing::debug!("a consumer that was given up could not leave its group");
            }
        });
        if let Err(error) = leaving {
            tracing::warn!(%error, "no thread to leave the group on: it will notice when the session ends");
        }
    }

    /// Leaves the group at once, agreeing to whatever is asked, so that its partitions are given to others now and not when the session
    /// ends; waits until that is done, ten seconds at most. Whether it was done: after a fatal error of librdkafka's it cannot be.
    pub fn leave(mut self) -> bool {
        let deadline = Instant::now() + LEAVE_MAX;
        let mut result = self.close();
        while result.is_ok() && !self.is_closed() && Instant::now() < deadline {
            let event = match self.next_event() {
                Some(event) => Heard::Event(event),
                None => self.wait_reply(LEAVE_LOOK_EVERY),
            };
            if let Heard::Event(ConsumerEvent::Rebalance(rebalance)) = event {
                result = self.agree(&rebalance);
            }
        }
        self.is_closed()
    }

    fn wait_reply(&mut self, timeout: Duration) -> Heard {
        let event = self.replies.wait(timeout);
        event.map_or(Heard::Nothing, |event| hear(&event, &self.client, &mut self.topics, &mut self.rebalances))
    }

    pub(super) fn agree(&mut self, rebalance: &Rebalance) -> Result<(), KafkaError> {
        match rebalance.kind {
            RebalanceKind::Assign => self.assign(&[]),
            RebalanceKind::Revoke => self.unassign(&rebalance.partitions),
        }
    }
}
