//! Arrivals of one partition: how many records a second, and how old the record at an offset is.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// Time constant of the fast mean: follows a step within three samples.
const FAST: Duration = Duration::from_secs(15);
/// Time constant of the slow mean: rides over bursts and over the gaps between them.
const SLOW: Duration = Duration::from_secs(60);
/// Share of the fast mean that counts: a peak of it alone is not yet demand (Flink's and Responsive's windows have the same aim).
const FAST_WEIGHT: f64 = 0.85;
/// Samples kept of the log end; older ones are thinned out, so that the span doubles and the memory does not.
const HISTORY: usize = 48;

/// Log end over time, and its derivative as two exponentially weighted means.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Arrivals {
    history: VecDeque<(Timestamp, i64)>,
    means: Option<Means>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Means {
    fast: f64,
    slow: f64,
    latest: f64,
    previous: f64,
}

impl Arrivals {
    /// Takes in the log end at a moment; returns whether it moved. A moment that was taken in already changes nothing and says nothing.
    pub(crate) fn observe(&mut self, at: Timestamp, end: i64, density: f64) -> Option<bool> {
        let Some(&(last_at, last_end)) = self.history.back() else {
            self.history.push_back((at, end));
            return Some(false);
        };
        if at <= last_at {
            return None;
        }
        if end < last_end {
            // Re-created or truncated: another log, of which nothing is known yet but its rate.
            self.history.clear();
            self.history.push_back((at, end));
            return Some(true);
        }
        let elapsed = at.since(last_at);
        let latest = (end - last_end) as f64 * density.clamp(0.0, 1.0) / elapsed.as_secs_f64();
        self.means =
            Some(self.means.map_or(Means { fast: latest, slow: latest, latest, previous: 0.0 }, |means| Means {
                fast: approach(means.fast, latest, elapsed, FAST),
                slow: approach(means.slow, latest, elapsed, SLOW),
                latest,
                previous: means.latest,
            }));
        self.remember(at, end);
        Some(end > last_end)
    }

    fn remember(&mut self, at: Timestamp, end: i64) {
        if self.history.len() >= HISTORY {
            let mut index = 0;
            self.history.retain(|_| {
                index += 1;
                index % 2 == 1 || index > HISTORY / 2
            });
        }
        self.history.push_back((at, end));
    }

    /// Records per second to plan for; `None` until two samples were taken.
    pub(crate) fn planned(&self) -> Option<f64> {
        self.means.map(|means| (FAST_WEIGHT * means.fast).max(means.slow))
    }

    /// Records per second that the last two intervals both reached: a step shows here at once, while the means still follow it, and a
    /// burst does not show at all.
    pub(crate) fn sustained(&self) -> f64 {
        self.means.map_or(0.0, |means| means.latest.min(means.previous))
    }

    /// Records per second between the last two samples; `None` until two samples were taken.
    pub(crate) fn latest(&self) -> Option<f64> {
        self.means.map(|means| means.latest)
    }

    /// How long the record at `offset` has been in the log, between samples by interpolation. At least the span of the history for
    /// records that are older than it; zero for those that have not been seen to arrive.
    pub(crate) fn age(&self, offset: i64, now: Timestamp) -> Duration {
        let Some(index) = self.history.iter().position(|&(_, end)| end > offset) else { return Duration::ZERO };
        let (at, end) = self.history[index];
        let Some((before_at, before_end)) = index.checked_sub(1).map(|before| self.history[before]) else {
            return now.since(at);
        };
        let share = (offset - before_end) as f64 / (end - before_end) as f64;
        now.since(before_at + at.since(before_at).mul_f64(share.clamp(0.0, 1.0)))
    }
}

/// One step of an exponentially weighted mean over samples at irregular times.
fn approach(mean: f64, sample: f64, elapsed: Duration, constant: Duration) -> f64 {
    let keep = (-elapsed.as_secs_f64() / constant.as_secs_f64()).exp();
    sample + (mean - sample) * keep
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    #[test]
    fn a_steady_stream_has_its_rate_from_the_second_sample_on() {
        let mut arrivals = Arrivals::default();
        arrivals.observe(at(0), 1_000, 1.0);
        assert_eq!(arrivals.planned(), None);
        for tick in 1..20 {
            arrivals.observe(at(tick * 5), 1_000 + i64::try_from(tick).unwrap() * 500, 1.0);
            assert!((arrivals.planned().unwrap() - 100.0).abs() < 1e-9);
        }
    }

    #[test]
    fn the_same_sample_twice_counts_once_and_a_new_log_keeps_the_rate() {
        let mut arrivals = Arrivals::default();
        arrivals.observe(at(0), 0, 1.0);
        arrivals.observe(at(5), 500, 1.0);
        let before = arrivals.clone();
        arrivals.observe(at(5), 500, 1.0);
        assert_eq!(arrivals, before);
        assert_eq!(arrivals.observe(at(10), 3, 1.0), Some(true), "a log that shrank is news");
        assert_eq!(arrivals.planned(), before.planned());
    }

    #[test]
    fn markers_and_compaction_gaps_are_no_records() {
        let mut arrivals = Arrivals::default();
        arrivals.observe(at(0), 0, 0.5);
        arrivals.observe(at(10), 1_000, 0.5);
        assert_eq!(arrivals.latest(), Some(50.0));
    }

    #[test]
    fn the_age_of_a_record_is_read_off_the_log_end() {
        let mut arrivals = Arrivals::default();
        for tick in 0..200 {
            arrivals.observe(at(tick * 5), i64::try_from(tick).unwrap() * 50, 1.0);
        }
        let now = at(995);
        assert_eq!(arrivals.age(9_950, now), Duration::ZERO, "not there yet");
        assert_eq!(arrivals.age(9_900, now), Duration::from_secs(5));
        assert_eq!(arrivals.age(9_850 + 25, now), Duration::from_millis(7_500));
        assert!(arrivals.age(5_000, now) >= Duration::from_secs(490), "thinned out, yet within the history");
    }
}
