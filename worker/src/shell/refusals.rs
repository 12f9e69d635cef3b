//! Refusals by the cluster: who we are, or what we may do. Some pass by themselves (credentials that are being changed, an ACL that comes
//! late); what lasts is for somebody to lift, and the worker ends and says so.

use std::time::Duration;

use penstock_engine::Instant;
use penstock_kafka::KafkaError;

/// How long the cluster may refuse us before the worker ends.
const REFUSED_MAX: Duration = Duration::from_secs(60);
/// Whoever is refused for what he is tries again within seconds (`reconnect.backoff.max.ms`), and librdkafka tells of it again each half
/// minute (`fail_error` of rdkafka_broker.c, 2.12): where nothing was heard for so long, it is over. Who lacks a right to a topic is told
/// once.
const TOLD_AGAIN: Duration = Duration::from_secs(45);

/// A refusal that may last.
#[derive(Debug)]
struct Refusal {
    since: Instant,
    /// When it was heard last.
    last: Instant,
    error: KafkaError,
}

impl Refusal {
    fn is_over(&self, now: Instant) -> bool {
        self.error.code.is_authentication() && now.since(self.last) > TOLD_AGAIN
    }
}

/// What the cluster refuses us at present.
#[derive(Debug, Default)]
pub(super) struct Refusals(Option<Refusal>);

impl Refusals {
    /// Takes note of an error, if it is a refusal.
    pub(super) fn heard(&mut self, error: &KafkaError, now: Instant) {
        if !(error.code.is_authentication() || error.code.is_authorization()) {
            return;
        }
        match &mut self.0 {
            Some(refusal) if !refusal.error.code.is_authentication() => {}
            Some(refusal) if error.code.is_authentication() && !refusal.is_over(now) => refusal.last = now,
            other => *other = Some(Refusal { since: now, last: now, error: error.clone() }),
        }
    }

    /// The cluster did what only those may ask for whom it takes us.
    pub(super) fn lifted(&mut self) {
        self.0 = None;
    }

    /// The refusal that has lasted for too long to be a passing one.
    pub(super) fn lasting(&self, now: Instant) -> Option<&KafkaError> {
        let refusal = self.0.as_ref().filter(|refusal| !refusal.is_over(now))?;
        (now.since(refusal.since) > REFUSED_MAX).then_some(&refusal.error)
    }
}

#[cfg(test)]
mod tests {
    use penstock_kafka::ErrorCode;

    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_millis(seconds * 1000)
    }

    fn heard(code: ErrorCode, when: &[u64]) -> Refusals {
        let mut refusals = Refusals::default();
        for second in when {
            refusals.heard(&KafkaError::of(code), at(*second));
        }
        refusals
    }

    fn ends(refusals: &Refusals) -> Option<u64> {
        (0..1000).find(|second| refusals.lasting(at(*second)).is_some())
    }

    #[test]
    fn a_password_that_stays_wrong_ends_the_worker_and_one_that_was_does_not() {
        assert_eq!(ends(&heard(ErrorCode::AUTHENTICATION, &[0, 32, 64])), Some(61));
        assert_eq!(
            ends(&heard(ErrorCode::AUTHENTICATION, &[0])),
            None,
            "an idle worker does nothing that could show it"
        );
        assert_eq!(ends(&heard(ErrorCode::AUTHENTICATION, &[0, 500])), None);
        assert_eq!(ends(&heard(ErrorCode::AUTHENTICATION, &[0, 500, 532, 564])), Some(561));
    }

    #[test]
    fn a_right_that_is_missing_is_told_once_and_missing_until_something_is_done() {
        let mut refusals = heard(ErrorCode::TOPIC_AUTHORIZATION_FAILED, &[7]);
        assert_eq!(ends(&refusals), Some(68));
        refusals.heard(&KafkaError::of(ErrorCode::AUTHENTICATION), at(30));
        assert_eq!(refusals.lasting(at(68)).map(|error| error.code), Some(ErrorCode::TOPIC_AUTHORIZATION_FAILED));
        let mut changed = heard(ErrorCode::AUTHENTICATION, &[0]);
        changed.heard(&KafkaError::of(ErrorCode::GROUP_AUTHORIZATION_FAILED), at(30));
        assert_eq!(ends(&changed), Some(91), "he is known now");
        refusals.lifted();
        assert_eq!(ends(&refusals), None);
    }

    #[test]
    fn what_is_no_refusal_ends_nobody() {
        assert_eq!(ends(&heard(ErrorCode::TRANSPORT, &[0, 30, 60])), None);
    }
}
