//! Refusals by the cluster: who we are, or what we may do. Some pass by themselves (credentials that are being changed, an ACL that comes
//! late); what lasts is for somebody to lift, and the worker ends and says so.

use std::time::Duration;

use penstock_engine::Instant;
use penstock_kafka::KafkaError;

/// How long the cluster may refuse us before the worker ends.
const REFUSED_MAX: Duration = Duration::from_secs(60);
/// Where nothing was heard for so long of what is told again and again, it is over. Of refused credentials librdkafka tells each half minute
/// (`fail_error` of rdkafka_broker.c, 2.12), at the next attempt to connect, and `reconnect.backoff.max.ms` may be a minute; of a partition that may
/// not be read, each second or two.
const TOLD_AGAIN: Duration = Duration::from_secs(90);

/// How a refusal is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// Again and again while it lasts.
    Repeatedly,
    /// Once, however long it lasts.
    Once,
}

/// A refusal that may last.
#[derive(Debug)]
struct Refusal {
    told: Told,
    since: Instant,
    /// When it was heard last.
    last: Instant,
    error: KafkaError,
}

/// What the cluster refuses us at present.
#[derive(Debug, Default)]
pub(super) struct Refusals(Option<Refusal>);

impl Refusals {
    /// Takes note of an error, if it is a refusal. Credentials are refused again and again, whatever `told` says.
    pub(super) fn heard(&mut self, error: &KafkaError, told: Told, now: Instant) {
        let of_credentials = error.code.is_authentication();
        if !of_credentials && !error.code.is_authorization() {
            return;
        }
        let told = if of_credentials { Told::Repeatedly } else { told };
        match &mut self.0 {
            Some(refusal) if refusal.told == Told::Once => {}
            Some(refusal) if told == Told::Repeatedly && now.since(refusal.last) <= TOLD_AGAIN => refusal.last = now,
            other => *other = Some(Refusal { told, since: now, last: now, error: error.clone() }),
        }
    }

    /// The cluster did what only those may ask for whom it takes us.
    pub(super) fn lifted(&mut self) {
        self.0 = None;
    }

    /// The refusal that has lasted for too long to be a passing one.
    pub(super) fn lasting(&self, now: Instant) -> Option<&KafkaError> {
        let refusal = self.0.as_ref()?;
        let known = match refusal.told {
            Told::Repeatedly => refusal.last,
            Told::Once => now,
        };
        (known.since(refusal.since) > REFUSED_MAX).then_some(&refusal.error)
    }
}

#[cfg(test)]
mod tests {
    use penstock_kafka::ErrorCode;

    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_millis(seconds * 1000)
    }

    /// When the worker ends that hears of a refusal at those times.
    fn ends(code: ErrorCode, told: Told, when: &[u64]) -> Option<u64> {
        let mut refusals = Refusals::default();
        (0..1000).find(|second| {
            if when.contains(second) {
                refusals.heard(&KafkaError::of(code), told, at(*second));
            }
            refusals.lasting(at(*second)).is_some()
        })
    }

    #[test]
    fn a_password_that_stays_wrong_ends_the_worker_and_one_that_was_does_not() {
        let ends = |when| ends(ErrorCode::AUTHENTICATION, Told::Once, when);
        assert_eq!(ends(&[0, 1, 31, 62]), Some(62));
        assert_eq!(ends(&[0, 89]), Some(89), "as it is told with a backoff of a minute");
        assert_eq!(ends(&[0, 1, 31]), None, "an idle worker does nothing that could show that it passed");
        assert_eq!(ends(&[0, 500]), None);
        assert_eq!(ends(&[0, 500, 532, 564]), Some(564));
    }

    #[test]
    fn a_right_to_read_that_comes_back_is_not_missed_for_long() {
        let seconds: Vec<u64> = (0..=70).collect();
        let ends = |when| ends(ErrorCode::TOPIC_AUTHORIZATION_FAILED, Told::Repeatedly, when);
        assert_eq!(ends(&seconds[..60]), None);
        assert_eq!(ends(&seconds), Some(61));
    }

    #[test]
    fn a_right_that_is_told_of_once_is_missing_until_something_is_done() {
        let told = Told::Once;
        assert_eq!(ends(ErrorCode::GROUP_AUTHORIZATION_FAILED, told, &[7]), Some(68));
        let group = KafkaError::of(ErrorCode::GROUP_AUTHORIZATION_FAILED);
        let mut refusals = Refusals::default();
        refusals.heard(&KafkaError::of(ErrorCode::AUTHENTICATION), told, at(0));
        refusals.heard(&group, told, at(7));
        refusals.heard(&KafkaError::of(ErrorCode::AUTHENTICATION), told, at(30));
        assert_eq!((refusals.lasting(at(67)), refusals.lasting(at(68))), (None, Some(&group)));
        refusals.lifted();
        assert_eq!(refusals.lasting(at(1000)), None);
    }

    #[test]
    fn what_is_no_refusal_ends_nobody() {
        assert_eq!(ends(ErrorCode::TRANSPORT, Told::Once, &[0, 30, 60]), None);
    }
}
