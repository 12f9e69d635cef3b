//! How long others wait so that a suspect may run with nothing else in flight.
//!
//! They are held up for half of the time at most. A call may last an hour, and nothing can be started beside it while a suspect waits to
//! be alone. So they take turns: others wait for a second and have the next one for themselves, then two, then four; a wait becomes as
//! long as the longest call in the end. And a suspect may be one of hundreds: after each that ran alone the others have as long as it
//! held them up.

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
    Held { since: Instant, turn: Duration },
    /// A suspect runs alone; others have waited since then.
    Alone { since: Instant },
    /// Others are started. The turn before was so long, where it ended without the suspect's being alone.
    Open { until: Instant, turn: Duration },
}

impl Solitude {
    /// A suspect wants to be alone: whether others are to wait for that.
    pub(crate) fn holds(&mut self, now: Instant) -> bool {
        *self = match *self {
            Self::Unwanted => Self::Held { since: now, turn: FIRST },
            Self::Held { since, turn } if since + turn <= now => Self::Open { until: now + turn, turn },
            Self::Open { until, turn } if until <= now => {
                Self::Held { since: now, turn: turn.saturating_mul(2).max(FIRST) }
            }
            same => same,
        };
        matches!(self, Self::Held { .. })
    }

    /// A suspect starts, alone.
    pub(crate) fn begin(&mut self, now: Instant) {
        let since = if let Self::Held { since, .. } = *self { since } else { now };
        *self = Self::Alone { since };
    }

    /// It ended.
    pub(crate) fn end(&mut self, now: Instant) {
        if let Self::Alone { since } = *self {
            *self = Self::Open { until: now + now.since(since), turn: Duration::ZERO };
        }
    }

    /// No suspect wants to be alone for now. The others' turn is theirs even so.
    pub(crate) fn unwanted(&mut self, now: Instant) {
        match *self {
            Self::Alone { .. } => {}
            Self::Open { until, .. } if until > now => {}
            _ => *self = Self::Unwanted,
        }
    }

    /// When the turn is over.
    pub(crate) fn next_wake(self) -> Option<Instant> {
        match self {
            Self::Unwanted | Self::Alone { .. } => None,
            Self::Held { since, turn } => Some(since + turn),
            Self::Open { until, .. } => Some(until),
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

    #[test]
    fn after_a_suspect_others_have_as_long_as_they_waited_for_it() {
        let mut solitude = Solitude::default();
        assert!(solitude.holds(Instant::from_millis(1000)));
        solitude.begin(Instant::from_millis(1400));
        solitude.end(Instant::from_millis(1500));
        assert!(!solitude.holds(Instant::from_millis(1999)));
        // A turn is not lost where no other suspect is there yet.
        solitude.unwanted(Instant::from_millis(1999));
        assert!(!solitude.holds(Instant::from_millis(1999)));
        assert!(solitude.holds(Instant::from_millis(2000)), "a new turn, of the first length");
        assert_eq!(solitude.next_wake(), Some(Instant::from_millis(3000)));
    }
}
