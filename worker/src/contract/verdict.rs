//! The total table from an HTTP answer's status, and the verdict header that overrules it, to what became of the record.

use hyper::StatusCode;
use hyper::header::{HeaderMap, LOCATION, RETRY_AFTER};
use jiff::Timestamp;
use penstock_engine::seam::{ErrorClass, FAILURE_DETAIL_BYTES_MAX, Failure};

use super::VERDICT;
use super::encoding::decode;
use super::retry_after;

/// Response: a few words for humans, percent-encoded where HTTP asks for it. They appear in logs and dead-letter headers.
pub const REASON: &str = "penstock-reason";

/// What an answer says about its record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Done, and the answer may hold output.
    Ack,
    /// Done, by the processor's own policy.
    Skip,
    /// Try again.
    Retry(Box<Failure>),
    /// It never will succeed.
    Reject(Box<Failure>),
    /// Busy: come back later.
    Overload(Box<Failure>),
    /// Not a processor, or not one that may be called.
    Unavailable(Box<Failure>),
}

/// What status and headers say. An explicit verdict wins over the status.
pub fn verdict(status: StatusCode, headers: &HeaderMap, now: Timestamp) -> Verdict {
    let explicit = headers.get(VERDICT).map(|value| value.as_bytes().trim_ascii());
    let failure = |class| failure(class, status, headers, now);
    match explicit {
        None => by_status(status, failure),
        Some(b"ack") => Verdict::Ack,
        Some(b"skip") => Verdict::Skip,
        Some(b"retry") => Verdict::Retry(failure(ErrorClass::Retry)),
        Some(b"reject") => Verdict::Reject(failure(ErrorClass::Rejected)),
        Some(b"overload") => Verdict::Overload(failure(ErrorClass::Overload)),
        // A typo must not acknowledge a record that the processor meant to refuse.
        Some(_) => Verdict::Retry(Failure::new(
            ErrorClass::BadResponse,
            &format!("{VERDICT} is none of ack, skip, retry, reject, overload (HTTP {})", status.as_u16()),
        )),
    }
}

fn by_status(status: StatusCode, failure: impl Fn(ErrorClass) -> Box<Failure>) -> Verdict {
    match status.as_u16() {
        200..=299 => Verdict::Ack,
        400 | 413 | 422 => Verdict::Reject(failure(ErrorClass::Rejected)),
        429 | 503 => Verdict::Overload(failure(ErrorClass::Overload)),
        300..=399 | 401 | 403 | 404 | 405 => Verdict::Unavailable(failure(ErrorClass::Misconfigured)),
        402..=499 => Verdict::Retry(failure(ErrorClass::Retry)),
        500..=599 => Verdict::Retry(failure(ErrorClass::ServerError)),
        _ => Verdict::Retry(failure(ErrorClass::BadResponse)),
    }
}

#[expect(clippy::unnecessary_box_returns, reason = "outcomes carry it boxed")]
fn failure(class: ErrorClass, status: StatusCode, headers: &HeaderMap, now: Timestamp) -> Box<Failure> {
    let text = |value: &hyper::header::HeaderValue| {
        let bytes = decode(&value.as_bytes()[..value.len().min(FAILURE_DETAIL_BYTES_MAX)]);
        readable(&String::from_utf8_lossy(&bytes))
    };
    let detail = match (headers.get(REASON), headers.get(LOCATION)) {
        (Some(reason), _) => format!("HTTP {}: {}", status.as_u16(), text(reason)),
        (None, Some(location)) if status.is_redirection() => {
            format!("HTTP {} to {}: redirects are not followed", status.as_u16(), text(location))
        }
        _ => format!("HTTP {}", status.as_u16()),
    };
    let failure = Failure::new(class, &detail);
    let wait = headers.get(RETRY_AFTER).and_then(|value| retry_after::parse(value.to_str().ok()?, now));
    match wait {
        Some(wait) => failure.after(wait),
        None => failure,
    }
}

/// Text from a processor, fit for one line of a log.
pub(super) fn readable(text: &str) -> String {
    text.chars().map(|char| if char.is_control() { ' ' } else { char }).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn of(status: u16, headers: &[(&'static str, &str)]) -> Verdict {
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        verdict(StatusCode::from_u16(status).unwrap(), &headers, Timestamp::UNIX_EPOCH)
    }

    fn word(verdict: &Verdict) -> &'static str {
        match verdict {
            Verdict::Ack => "ack",
            Verdict::Skip => "skip",
            Verdict::Retry(_) => "retry",
            Verdict::Reject(_) => "reject",
            Verdict::Overload(_) => "overload",
            Verdict::Unavailable(_) => "unavailable",
        }
    }

    #[test]
    fn every_status_has_one_meaning() {
        for status in 100..=999 {
            let expected = match status {
                200..=299 => "ack",
                400 | 413 | 422 => "reject",
                429 | 503 => "overload",
                300..=399 | 401 | 403 | 404 | 405 => "unavailable",
                _ => "retry",
            };
            assert_eq!(word(&of(status, &[])), expected, "{status}");
        }
    }

    #[test]
    fn an_explicit_verdict_wins() {
        for said in ["ack", "skip", "retry", "reject", "overload"] {
            assert_eq!(word(&of(200, &[("penstock-verdict", said)])), said);
            assert_eq!(word(&of(500, &[("penstock-verdict", said)])), said);
        }
    }

    #[test]
    fn an_unknown_verdict_never_acknowledges() {
        let Verdict::Retry(failure) = of(200, &[("penstock-verdict", "okay")]) else { panic!() };
        assert_eq!(failure.class, ErrorClass::BadResponse);
    }

    #[test]
    fn the_wait_and_the_reason_are_kept() {
        let said = of(503, &[("retry-after", "7"), ("penstock-reason", "pool%20is full")]);
        let Verdict::Overload(failure) = said else { panic!() };
        assert_eq!(failure.after, Some(Duration::from_secs(7)));
        assert_eq!(&*failure.detail, "HTTP 503: pool is full");
    }

    #[test]
    fn a_redirect_says_where_it_leads() {
        let Verdict::Unavailable(failure) = of(301, &[("location", "https://x/")]) else { panic!() };
        assert_eq!(&*failure.detail, "HTTP 301 to https://x/: redirects are not followed");
    }
}
