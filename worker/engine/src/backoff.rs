//! How long to wait before the next try.

use core::time::Duration;

use crate::hash;
use crate::policy::Retry;
use crate::time::nanos;

/// What the jitter depends on, so that a replay waits as long and two records do not wait alike.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Jitter {
    /// Hash of topic and partition.
    pub(crate) place: u64,
    pub(crate) offset: i64,
}

/// `initial · 2^(failures − 1)`, at most `max`, less a jitter of up to a half.
pub(crate) fn delay(retry: &Retry, failures: u32, jitter: Jitter) -> Duration {
    let initial = nanos(retry.initial_delay);
    let max = nanos(retry.max_delay);
    let doublings = failures.saturating_sub(1).min(63);
    let full = initial.checked_mul(1 << doublings).unwrap_or(max).min(max);
    let random = hash::with(hash::with(jitter.place, jitter.offset.cast_unsigned()), u64::from(failures));
    Duration::from_nanos(full - random % (full / 2 + 1))
}
