//! The engine's clock reading. Time is always an argument: nothing here asks the machine what time it is.

use core::ops::{Add, Sub};
use core::time::Duration;

/// A point on the worker's monotonic clock: nanoseconds since the process started (584 years fit).
///
/// The shell reads it once per wake-up and hands it to [`crate::Engine::on`]. It says nothing about wall-clock time and
/// means nothing in another process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// The start of the process.
    pub const ZERO: Self = Self(0);
    /// Later than anything a clock will show.
    pub const NEVER: Self = Self(u64::MAX);

    /// From nanoseconds since the process started.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// From milliseconds since the process started.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }

    /// Nanoseconds since the process started.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Whole milliseconds since the process started.
    pub const fn as_millis(self) -> u64 {
        self.0 / 1_000_000
    }

    /// How long ago `earlier` was; zero when it lies in the future.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// Saturates at [`Instant::NEVER`].
impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(nanos(duration)))
    }
}

/// Saturates at [`Instant::ZERO`].
impl Sub<Duration> for Instant {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(nanos(duration)))
    }
}

/// Nanoseconds of a duration, saturating: cheaper than the 128 bits of [`Duration::as_nanos`].
pub(crate) fn nanos(duration: Duration) -> u64 {
    duration.as_secs().saturating_mul(1_000_000_000).saturating_add(u64::from(duration.subsec_nanos()))
}
