//! How long others wait so that a suspect may run with nothing else in flight.
//!
//! A call may last an hour, and nothing can be started beside it while a suspect waits to be alone. So they take turns: others wait for a
//! second and have the next one for themselves, then two, then four. They are held up for half of the time at most, and a wait becomes as
//! long as the longest call in the end.

use core::time::Duration;

use crate::time::Instant;

/// The first wait. Most calls end within it.
const FIRST: Duration = Duration::from_secs(1);

/// Whose turn it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Solitude {
    /// No suspect has to be alone.
    #[default]
    Unwanted,
    /// Others wait.
    Held { until: Instant, turn: Duration },
    /// Others are started.
    Open { until: Instant, turn: Duration },
}

impl Solitude {
    /// A suspect wants to be alone and is not: whether others are to wait.
    pub(crate) fn holds(&mut self, now: Instant) -> bool {
        *self = match *self {
            Self::Unwanted => Self::Held { until: now + FIRST, turn: FIRST },
            Self::Held { until, turn } if until <= now => Self::Open { until: now + turn, turn },
            Self::Open { until, turn } if until <= now => {
                let turn = turn.saturating_mul(2);
                Self::Held { until: now + turn, turn }
            }
            same => same,
        };
        matches!(self, Self::Held { .. })
    }

    /// When the turn is over.
    pub(crate) fn next_wake(self) -> Option<Instant> {
        match self {
            Self::Unwanted => None,
            Self::Held { until, .. } | Self::Open { until, .. } => Some(until),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_wait_for_half_of_the_time_in_ever_longer_turns() {
        let mut solitude = Solitude::default();
        let held = (0..30).map(|second| solitude.holds(Instant::from_millis(second * 1000)));
        let turns: Vec<(bool, usize)> = held.fold(Vec::new(), |mut turns, held| {
            match turns.last_mut() {
                Some((same, seconds)) if *same == held => *seconds += 1,
                _ => turns.push((held, 1)),
            }
            turns
        });
        assert_eq!(turns[..6], [(true, 1), (false, 1), (true, 2), (false, 2), (true, 4), (false, 4)]);
    }
}
