//! How long others wait so that suspects may run with nothing else in flight.
//!
//! They and the others take turns of a second each, so that others are held up for half of the time at most, however many suspects there
//! are. The suspects' turn begins with the wait for what is in flight, and a call may last an hour: where nothing else has ended within the
//! turn, the next one is twice as long, and the others' with it, until one is longer than the longest call. Where the wait takes more than
//! half of a turn, the turn is twice the wait, or suspects would come to little beside waiting.

use core::time::Duration;

use crate::time::Instant;

/// The shortest turn. Most calls end within it.
const TURN: Duration = Duration::from_secs(1);

/// Whose turn it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Solitude {
    /// No suspect has to be alone.
    #[default]
    Unwanted,
    /// The suspects': others have waited since then.
    Held { since: Instant, turn: Duration, begun: bool },
    /// The others', until then. The suspects' next one will be so long.
    Open { until: Instant, next: Duration },
}

impl Solitude {
    /// Suspects want to be alone: whether it is their turn. A turn in which nothing is in flight any more is not over before one of them
    /// has run.
    pub(crate) fn holds(&mut self, idle: bool, now: Instant) -> bool {
        *self = match *self {
            Self::Unwanted => Self::Held { since: now, turn: TURN, begun: false },
            Self::Held { since, turn, begun } if since + turn <= now && (begun || !idle) => {
                let (lasted, next) = if begun { (now.since(since), turn) } else { (turn, turn.saturating_mul(2)) };
                Self::Open { until: now + lasted, next }
            }
            Self::Open { until, next } if until <= now => Self::Held { since: now, turn: next, begun: false },
            same => same,
        };
        matches!(self, Self::Held { .. })
    }

    /// A suspect starts, alone.
    pub(crate) fn begin(&mut self, now: Instant) {
        if let Self::Held { since, begun: false, .. } = *self {
            let turn = now.since(since).saturating_mul(2).max(TURN);
            *self = Self::Held { since, turn, begun: true };
        }
    }

    /// No suspect wants to be alone any more. The others' turn is theirs even so.
    pub(crate) fn unwanted(&mut self, now: Instant) {
        *self = match *self {
            Self::Held { since, turn, begun: true } => Self::Open { until: now + now.since(since), next: turn },
            Self::Open { until, next } if until > now => Self::Open { until, next },
            _ => Self::Unwanted,
        };
    }

    /// When the turn is over.
    pub(crate) fn next_wake(self) -> Option<Instant> {
        match self {
            Self::Unwanted => None,
            Self::Held { since, turn, .. } => Some(since + turn),
            Self::Open { until, .. } => Some(until),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HALF: Duration = Duration::from_millis(500);

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    #[test]
    fn while_a_call_lasts_turns_become_longer() {
        let mut solitude = Solitude::default();
        let held = (0..30).map(|second| solitude.holds(false, at(second * 1000)));
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
    fn suspects_run_in_a_row_and_then_others_have_as_long() {
        let mut solitude = Solitude::default();
        assert!(solitude.holds(false, at(1000)));
        solitude.begin(at(1100));
        assert!(solitude.holds(true, at(1900)));
        solitude.begin(at(1900));
        assert!(!solitude.holds(true, at(2200)), "the second one took until now");
        assert_eq!(solitude.next_wake(), Some(at(3400)));
        assert!(!solitude.holds(true, at(3399)));
        assert!(solitude.holds(false, at(3400)));
        assert_eq!(solitude.next_wake(), Some(at(4400)), "a turn is as long as the first one again");
    }

    #[test]
    fn a_turn_is_as_long_again_as_the_wait_it_began_with() {
        let mut solitude = Solitude::Open { until: at(0), next: Duration::from_secs(8) };
        assert!(solitude.holds(false, at(0)));
        solitude.begin(at(3000));
        assert_eq!(solitude.next_wake(), Some(at(6000)));
    }

    #[test]
    fn a_turn_in_which_others_ended_at_the_last_moment_is_used() {
        let mut solitude = Solitude::default();
        assert!(solitude.holds(false, at(0)));
        assert!(solitude.holds(true, at(1500)));
    }

    #[test]
    fn the_others_turn_is_theirs_though_no_suspect_is_left_for_now() {
        let mut solitude = Solitude::default();
        assert!(solitude.holds(true, at(0)));
        solitude.begin(at(0));
        solitude.unwanted(Instant::default() + HALF);
        solitude.unwanted(at(900));
        assert!(!solitude.holds(true, at(999)));
        solitude.unwanted(at(1000));
        assert_eq!(solitude, Solitude::Unwanted);
    }
}
