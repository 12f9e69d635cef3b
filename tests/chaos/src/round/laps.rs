//! Where a round's time goes.

use std::fmt;
use std::time::{Duration, Instant};

/// The parts of a round, in their order, and how long each took.
#[derive(Clone, Debug, Default)]
pub struct Laps(Vec<(&'static str, Duration)>);

impl Laps {
    /// The part that began at `since` has ended; gives the beginning of the next.
    pub(super) fn end(&mut self, part: &'static str, since: Instant) -> Instant {
        let now = Instant::now();
        self.put(part, now - since);
        now
    }

    fn put(&mut self, part: &'static str, took: Duration) {
        match self.0.iter_mut().find(|(one, _)| *one == part) {
            Some((_, before)) => *before += took,
            None => self.0.push((part, took)),
        }
    }

    /// Adds those of another round.
    pub fn add(&mut self, other: &Self) {
        other.0.iter().for_each(|(part, took)| self.put(part, *took));
    }

    /// All of it.
    pub fn total(&self) -> Duration {
        self.0.iter().map(|(_, took)| *took).sum()
    }
}

impl fmt::Display for Laps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<_> = self.0.iter().map(|(part, took)| format!("{part} {:.1}", took.as_secs_f64())).collect();
        write!(f, "{}", parts.join(", "))
    }
}
