//! Leaving a group, in order whatever the group is doing: as the last thing that the worker does, or on the way to another consumer.

use std::time::{Duration, Instant};

use super::hear::{Heard, hear};
use super::{Consumer, ConsumerEvent, Rebalance, RebalanceKind};
use crate::error::KafkaError;

/// Longest time that a consumer which is given up may take to leave its group, and how often it looks meanwhile.
const LEAVE_MAX: Duration = Duration::from_secs(10);
const LEAVE_LOOK_EVERY: Duration = Duration::from_millis(50);
/// Longest wait for a member id, of a client that may have asked for one.
const ID_MAX: Duration = Duration::from_secs(1);
/// Longest wait for a join that is under way, before a member without partitions is closed all the same.
const UNSUBSCRIBE_MAX: Duration = Duration::from_secs(3);

/// How a member of the classic protocol that has no partitions leaves. librdkafka says nothing to the group when such a member is closed,
/// and the others wait for it until its session ends (`rd_kafka_cgrp_assignment_done` in rdkafka_cgrp.c, 2.12.1: only its twin for
/// KIP-848 leaves then). To unsubscribe it does say so, as soon as a join that is under way has ended. But of a client that unsubscribes
/// while it is given its id nobody knows the id any more (`rd_kafka_cgrp_handle_JoinGroup`: "discarding outdated request"), save the
/// broker, which waits for it as long: found by chaos, seed 9201.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leaving {
    /// It may be about to be given an id.
    Joining { until: Instant },
    /// The group is told.
    Telling { until: Instant },
}

/// What is next on the way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Wait,
    Unsubscribe,
    Close,
}

impl Leaving {
    fn begin(now: Instant) -> Self {
        Self::Joining { until: now + ID_MAX }
    }

    fn next(&mut self, is_member: bool, now: Instant) -> Next {
        match *self {
            Self::Joining { until } if !is_member && now < until => Next::Wait,
            Self::Joining { .. } => {
                *self = Self::Telling { until: now + UNSUBSCRIBE_MAX };
                Next::Unsubscribe
            }
            Self::Telling { until } if is_member && now < until => Next::Wait,
            Self::Telling { .. } => Next::Close,
        }
    }
}

impl Consumer {
    /// Starts leaving the group. Go on taking events (the last revocation is one) until [`Consumer::is_closed`].
    pub fn close(&mut self) -> Result<(), KafkaError> {
        self.closing = true;
        if self.classic && self.partitions.values().all(|split| !split.reading.is_assigned()) {
            self.leaving = Some(Leaving::begin(Instant::now()));
        }
        self.close_when_left()
    }

    pub(super) fn close_when_left(&mut self) -> Result<(), KafkaError> {
        while let Some(leaving) = &mut self.leaving {
            match leaving.next(self.client.member_id().is_some(), Instant::now()) {
                Next::Wait => return Ok(()),
                Next::Unsubscribe => self.client.unsubscribe()?,
                Next::Close => self.leaving = None,
            }
        }
        self.client.close(&self.replies)
    }

    /// The group was left, the consumer can be dropped.
    pub fn is_closed(&self) -> bool {
        self.leaving.is_none() && self.client.is_closed()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn of(steps: &[(u64, bool)]) -> Vec<Next> {
        let begin = Instant::now();
        let mut leaving = Leaving::begin(begin);
        steps
            .iter()
            .map(|(millis, is_member)| leaving.next(*is_member, begin + Duration::from_millis(*millis)))
            .collect()
    }

    #[test]
    fn a_member_tells_and_is_closed_when_it_is_none_any_more() {
        let steps = of(&[(0, true), (1, true), (2_900, true), (2_950, false)]);
        assert_eq!(steps, [Next::Unsubscribe, Next::Wait, Next::Wait, Next::Close]);
        assert_eq!(of(&[(0, true), (3_000, true)]), [Next::Unsubscribe, Next::Close], "not for ever");
    }

    #[test]
    fn who_is_no_member_waits_whether_it_is_about_to_be_one() {
        assert_eq!(of(&[(0, false), (5, true), (6, false)]), [Next::Wait, Next::Unsubscribe, Next::Close]);
        assert_eq!(of(&[(0, false), (1_000, false), (1_001, false)]), [Next::Wait, Next::Unsubscribe, Next::Close]);
    }
}
