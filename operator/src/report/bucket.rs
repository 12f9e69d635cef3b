//! How often the whole operator may write a status that only moves numbers: one bucket for all pipelines, so that a fleet with traffic
//! costs the API server no more than this.

use penstock_scaling::Timestamp;

/// Writes a second.
const RATE: f64 = 20.0;
/// Writes at once after a quiet time.
const BURST: f64 = 20.0;

/// A token bucket.
pub struct Bucket {
    tokens: f64,
    at: Timestamp,
}

impl Bucket {
    /// A full bucket.
    pub const fn full(now: Timestamp) -> Self {
        Self { tokens: BURST, at: now }
    }

    /// Takes one, if there is one.
    pub fn take(&mut self, now: Timestamp) -> bool {
        self.tokens = (self.tokens + now.since(self.at).as_secs_f64() * RATE).min(BURST);
        self.at = self.at.max(now);
        let has_one = self.tokens >= 1.0;
        if has_one {
            self.tokens -= 1.0;
        }
        has_one
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twenty_a_second_and_no_more_after_a_long_silence() {
        let at = |millis| Timestamp::from_millis(millis);
        let mut bucket = Bucket::full(at(0));
        assert_eq!((0..100).filter(|_| bucket.take(at(3_600_000))).count(), 20);
        assert_eq!((0..100).filter(|_| bucket.take(at(3_601_000))).count(), 20);
        assert!(bucket.take(at(3_601_050)));
        assert!(!bucket.take(at(3_601_050)));
    }
}
