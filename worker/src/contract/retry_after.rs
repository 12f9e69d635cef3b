//! `Retry-After` (RFC 9110, section 10.2.3): seconds, or a date.

use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;

/// Longest wait that is believed; the engine caps it further by `retry.maxDelay`.
pub const WAIT_MAX: Duration = Duration::from_secs(300);

/// How long the processor asks to be left alone, at most [`WAIT_MAX`]; `None` for text that is neither form. A date that has
/// passed is no wait.
pub fn parse(text: &str, now: Timestamp) -> Option<Duration> {
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)).min(WAIT_MAX));
    }
    let then = DateTimeParser::new().parse_timestamp(text).ok()?;
    let seconds = then.duration_since(now).as_secs().max(0).unsigned_abs();
    Some(Duration::from_secs(seconds).min(WAIT_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "1994-11-06T08:49:00Z".parse().unwrap()
    }

    #[test]
    fn seconds_and_dates_are_understood() {
        assert_eq!(parse("7", now()), Some(Duration::from_secs(7)));
        assert_eq!(parse("Sun, 06 Nov 1994 08:49:37 GMT", now()), Some(Duration::from_secs(37)));
        assert_eq!(parse("Sun, 06 Nov 1994 08:00:00 GMT", now()), Some(Duration::ZERO));
    }

    #[test]
    fn the_wait_is_capped_and_nonsense_ignored() {
        assert_eq!(parse("99999999999999999999999", now()), Some(WAIT_MAX));
        for text in ["", "soon", "-1", "1.5"] {
            assert_eq!(parse(text, now()), None, "{text}");
        }
    }
}
