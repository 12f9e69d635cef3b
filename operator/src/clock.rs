//! The only place that asks what time it is.

use penstock_scaling::Timestamp;

/// A source of time: the system's, or a test's.
#[derive(Clone, Copy)]
pub struct Clock(fn() -> jiff::Timestamp);

impl Clock {
    /// The system's clock.
    pub const fn system() -> Self {
        Self(jiff::Timestamp::now)
    }

    /// A clock of a test's own.
    pub const fn of(now: fn() -> jiff::Timestamp) -> Self {
        Self(now)
    }

    /// Now, for what is shown to people.
    pub fn wall(self) -> jiff::Timestamp {
        (self.0)()
    }

    /// Now, in the decisions' own form.
    pub fn now(self) -> Timestamp {
        Timestamp::from_millis(u64::try_from(self.wall().as_millisecond()).unwrap_or(0))
    }
}
