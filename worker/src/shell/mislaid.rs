//! Partitions that the group has given to this worker without its knowing.
//!
//! With KIP-848 an assignment is part of a heartbeat's answer, and told once. librdkafka 2.12.1 repeats a heartbeat that was not answered in
//! time as it was, instead of with all that makes the coordinator tell again: the group then has a member that knows nothing of some of its
//! partitions, and nobody reads them until the next rebalance. So after such an answer the coordinator is asked what it believes.

use std::time::Duration;

use penstock_engine::Instant;
use penstock_kafka::{ErrorCode, KafkaError, TopicPartition};

use super::Shell;
use crate::kafka::KafkaIo;
use crate::processor::Calls;

/// From a lost answer to the question, and from one question to the next: two of Kafka's usual intervals between heartbeats (5 s), for the
/// answer that does come may give partitions too.
const LOOK_AFTER: Duration = Duration::from_secs(10);
/// So many failures to say in a row are believed: whoever may not describe groups (an ACL) would be asked for ever.
const FAILURES_MAX: u32 = 6;

/// When the coordinator is to be asked, and what was missing when it last was.
#[derive(Debug, Default)]
pub(super) struct Mislaid {
    look_at: Option<Instant>,
    missing: Vec<TopicPartition>,
    failures: u32,
}

impl Mislaid {
    /// An answer got lost.
    pub(super) fn heard(&mut self, now: Instant) {
        self.look_at.get_or_insert(now + LOOK_AFTER);
    }

    /// It is time to ask: true once.
    pub(super) fn is_due(&mut self, now: Instant) -> bool {
        self.look_at.take_if(|at| *at <= now).is_some()
    }

    /// The coordinator did not say.
    fn unanswered(&mut self, now: Instant) {
        self.failures += 1;
        if self.failures < FAILURES_MAX {
            self.heard(now);
        } else {
            *self = Self::default();
        }
    }

    /// What the group has given and this worker has not, or nothing where that has changed meanwhile; returns what was missing before too.
    fn answered(&mut self, missing: Option<Vec<TopicPartition>>, now: Instant) -> Vec<TopicPartition> {
        self.failures = 0;
        let Some(missing) = missing else {
            self.heard(now);
            return Vec::new();
        };
        let before = std::mem::take(&mut self.missing);
        let (still, new): (Vec<_>, Vec<_>) = missing.into_iter().partition(|one| before.contains(one));
        if still.is_empty() && !new.is_empty() {
            self.missing = new;
            self.heard(now);
        }
        still
    }
}

impl<K: KafkaIo, C: Calls> Shell<K, C> {
    /// What the groups have given to this worker, as of the assignment `seq`.
    pub(super) fn given(&mut self, seq: u64, result: Result<Vec<TopicPartition>, String>, now: Instant) {
        let given = match result {
            Ok(given) => given,
            Err(error) => {
                tracing::warn!(error, "what the group has given to this worker is not known");
                return self.mislaid.unanswered(now);
            }
        };
        // What has changed since may be what was missing.
        let current = seq == self.assignments.seq() && !self.assignments.is_rebalancing();
        let owned = self.names(&self.partitions.owned());
        let missing = current.then(|| given.into_iter().filter(|one| !owned.contains(one)).collect());
        let mislaid = self.mislaid.answered(missing, now);
        if mislaid.is_empty() || self.is_draining() {
            return;
        }
        self.metrics.stall_recoveries.with_label_values(&["rejoin"]).inc_by(mislaid.len() as u64);
        let text = format!("the group has given {mislaid:?} to this worker in an answer that got lost");
        self.consumer_failed(&KafkaError { code: ErrorCode::STATE, text, fatal: true }, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_millis(seconds * 1000)
    }

    fn names(numbers: &[i32]) -> Vec<TopicPartition> {
        numbers.iter().map(|number| TopicPartition::new("orders", *number)).collect()
    }

    #[test]
    fn it_is_asked_once_a_while_after_the_first_of_several_lost_answers() {
        let mut mislaid = Mislaid::default();
        assert!(!mislaid.is_due(at(1000)));
        mislaid.heard(at(0));
        mislaid.heard(at(9));
        assert_eq!((0..60).filter(|second| mislaid.is_due(at(*second))).collect::<Vec<_>>(), [10]);
    }

    #[test]
    fn what_is_missing_twice_is_mislaid() {
        let mut mislaid = Mislaid::default();
        assert_eq!(mislaid.answered(Some(names(&[1, 2])), at(10)), []);
        assert!(mislaid.is_due(at(20)));
        assert_eq!(mislaid.answered(Some(names(&[2, 3])), at(20)), names(&[2]));
        assert!(!mislaid.is_due(at(1000)), "another consumer begins anew");
    }

    #[test]
    fn what_came_meanwhile_is_not() {
        let mut mislaid = Mislaid::default();
        assert_eq!(mislaid.answered(Some(names(&[1])), at(10)), []);
        assert_eq!(mislaid.answered(Some(names(&[3])), at(20)), []);
        assert_eq!(mislaid.answered(Some(names(&[])), at(30)), []);
        assert_eq!(mislaid.answered(Some(names(&[3])), at(40)), [], "nobody remembers so long");
    }

    #[test]
    fn whose_answer_is_out_of_date_or_missing_is_asked_again() {
        let mut mislaid = Mislaid::default();
        assert_eq!(mislaid.answered(Some(names(&[1])), at(10)), []);
        assert!(mislaid.is_due(at(20)));
        assert_eq!(mislaid.answered(None, at(20)), []);
        assert!(!mislaid.is_due(at(29)) && mislaid.is_due(at(30)));
        mislaid.unanswered(at(30));
        assert!(!mislaid.is_due(at(39)) && mislaid.is_due(at(40)));
        assert_eq!(mislaid.answered(Some(names(&[1])), at(40)), names(&[1]));
    }

    #[test]
    fn who_may_not_say_is_not_asked_for_ever() {
        let mut mislaid = Mislaid::default();
        mislaid.heard(at(0));
        let mut asked = 0;
        for second in 0..1000 {
            if mislaid.is_due(at(second)) {
                asked += 1;
                mislaid.unanswered(at(second));
            }
        }
        assert_eq!(asked, FAILURES_MAX);
        mislaid.heard(at(1000));
        assert!(mislaid.is_due(at(1010)), "until another answer gets lost");
    }
}
