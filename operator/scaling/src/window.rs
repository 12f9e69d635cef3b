//! The highest need of the scale-down window.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// Needs over time; only those that a later, higher one does not outdo are kept (a monotone queue, as in Flink's delayed scale-down).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Window {
    began_at: Option<Timestamp>,
    needs: VecDeque<(Timestamp, u32)>,
}

impl Window {
    /// Takes in the need of a moment and drops what has left the window. The same moment again replaces its value.
    pub(crate) fn push(&mut self, now: Timestamp, need: u32, length: Duration) {
        self.began_at.get_or_insert(now);
        while self.needs.front().is_some_and(|&(at, _)| at + length < now) {
            self.needs.pop_front();
        }
        while self.needs.back().is_some_and(|&(at, last)| last <= need || at >= now) {
            self.needs.pop_back();
        }
        self.needs.push_back((now, need));
    }

    /// Forgets everything: what was not seen must not count as low.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// The highest need within the window.
    pub(crate) fn highest(&self) -> Option<u32> {
        self.needs.front().map(|&(_, need)| need)
    }

    /// When a whole window has been seen.
    pub(crate) fn full_at(&self, length: Duration) -> Option<Timestamp> {
        self.began_at.map(|began| began + length)
    }

    /// When the highest need leaves the window.
    pub(crate) fn highest_leaves_at(&self, length: Duration) -> Option<Timestamp> {
        self.needs.front().map(|&(at, _)| at + length + Duration::from_millis(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: Duration = Duration::from_secs(60);

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    #[test]
    fn the_highest_need_stays_for_the_whole_window_and_then_gives_way_to_the_next() {
        let mut window = Window::default();
        for (second, need, highest) in
            [(0, 3, 3), (5, 12, 12), (10, 4, 12), (30, 6, 12), (65, 2, 12), (66, 2, 6), (91, 1, 2)]
        {
            window.push(at(second), need, LENGTH);
            assert_eq!(window.highest(), Some(highest), "at {second} s");
        }
    }

    #[test]
    fn the_same_moment_again_changes_nothing() {
        let mut window = Window::default();
        window.push(at(0), 3, LENGTH);
        window.push(at(5), 2, LENGTH);
        let before = window.clone();
        window.push(at(5), 2, LENGTH);
        assert_eq!(window, before);
    }
}
