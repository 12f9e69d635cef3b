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

/// Others that have nothing to do for so long lose the rest of their turn. A light traffic has shorter gaps.
const AWAY: Duration = Duration::from_millis(100);

/// Whose turn it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Solitude {
    /// No suspect has to be alone.
    #[default]
    Unwanted,
    /// The suspects': others have waited since then for what is in flight to end, and do so for no longer than this.
    Awaited { since: Instant, within: Duration },
    /// The suspects': one after the other runs until then, the last of which has ended, or has begun, at `ran`.
    Alone { since: Instant, until: Instant, ran: Instant },
    /// The others', until then. Since `away` they have had nothing to do. The suspects' next one will be so long.
    Open { until: Instant, next: Duration, away: Option<Instant> },
}

impl Solitude {
    /// Suspects want to be alone: whether it is their turn. One in which nothing is in flight any more is not over before one of them has
    /// run.
    pub(crate) fn holds(&mut self, idle: bool, now: Instant) -> bool {
        *self = match *self {
            Self::Unwanted => Self::Awaited { since: now, within: TURN },
            Self::Awaited { since, within } if since + within <= now && !idle => {
                Self::open(now, within, within.saturating_mul(2))
            }
            Self::Alone { since, until, ran } if until <= now => Self::open(now, ran.since(since), until.since(since)),
            Self::Open { until, next, .. } if until <= now => Self::Awaited { since: now, within: next },
            same => same,
        };
        self.is_the_suspects()
    }

    /// Others wait.
    pub(crate) fn is_the_suspects(self) -> bool {
        matches!(self, Self::Awaited { .. } | Self::Alone { .. })
    }

    /// A suspect starts, alone.
    pub(crate) fn begin(&mut self, now: Instant) {
        *self = match *self {
            Self::Awaited { since, within } => {
                let turn = now.since(since).min(within).saturating_mul(2).max(TURN);
                Self::Alone { since, until: since + turn, ran: now }
            }
            Self::Alone { since, until, .. } => Self::Alone { since, until, ran: now },
            same => same,
        };
    }

    /// It ended.
    pub(crate) fn end(&mut self, now: Instant) {
        if let Self::Alone { ran, .. } = self {
            *ran = now;
        }
    }

    /// No suspect wants to be alone any more. The others' turn is theirs even so.
    pub(crate) fn unwanted(&mut self, now: Instant) {
        *self = match *self {
            Self::Awaited { since, within } => Self::open(now, now.since(since).min(within), within),
            Self::Alone { since, until, ran } => Self::open(now, ran.since(since), until.since(since)),
            Self::Open { until, .. } if until > now => *self,
            _ => Self::Unwanted,
        };
    }

    /// Whether it is the others' turn, and will be for a while.
    pub(crate) fn is_the_others(self, now: Instant) -> bool {
        matches!(self, Self::Open { until, .. } if until > now)
    }

    /// Whether the others lose their turn by this: they are `absent`, and have been for long.
    pub(crate) fn is_forfeited(&mut self, absent: bool, now: Instant) -> bool {
        let Self::Open { until, away, .. } = self else { return false };
        if !absent {
            *away = None;
            return false;
        }
        let lost = *until <= now || *away.get_or_insert(now) + AWAY <= now;
        if lost {
            *self = Self::Unwanted;
        }
        lost
    }

    /// When the turn is over.
    pub(crate) fn next_wake(self) -> Option<Instant> {
        match self {
            Self::Unwanted => None,
            Self::Awaited { since, within } => Some(since + within),
            Self::Alone { until, .. } => Some(until),
            Self::Open { until, away, .. } => Some(away.map_or(until, |away| until.min(away + AWAY))),
        }
    }

    fn open(now: Instant, lasting: Duration, next: Duration) -> Self {
        if lasting.is_zero() { Self::Unwanted } else { Self::Open { until: now + lasting, next, away: None } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        solitude.end(at(1900));
        assert!(solitude.holds(true, at(1900)));
        solitude.begin(at(1900));
        solitude.end(at(2200));
        assert!(!solitude.holds(true, at(2200)));
        assert_eq!(solitude.next_wake(), Some(at(3400)));
        assert!(!solitude.holds(true, at(3399)));
        assert!(solitude.holds(false, at(3400)));
        assert_eq!(solitude.next_wake(), Some(at(4400)), "a turn is as long as the first one again");
    }

    #[test]
    fn a_turn_is_as_long_again_as_the_wait_it_began_with() {
        let mut solitude = Solitude::Open { until: at(0), next: Duration::from_secs(8), away: None };
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

    /// Nobody could be started for a minute, for the producer had no room.
    #[test]
    fn a_time_in_which_nobody_runs_makes_no_turn_longer() {
        let mut solitude = Solitude::default();
        assert!(solitude.holds(true, at(0)));
        assert!(solitude.holds(true, at(60_000)));
        solitude.begin(at(60_000));
        solitude.end(at(60_100));
        assert!(!solitude.holds(true, at(60_100)));
        let mut solitude = Solitude::default();
        assert!(solitude.holds(true, at(0)));
        solitude.begin(at(0));
        solitude.end(at(100));
        assert!(!solitude.holds(true, at(60_000)));
        assert!(solitude.holds(true, at(60_100)), "others have had the 100 ms that they waited");
    }

    #[test]
    fn the_others_turn_is_theirs_though_no_suspect_is_left_for_now() {
        let mut solitude = Solitude::default();
        assert!(solitude.holds(true, at(0)));
        solitude.begin(at(0));
        solitude.end(at(500));
        solitude.unwanted(at(500));
        solitude.unwanted(at(900));
        assert!(!solitude.holds(true, at(999)));
        solitude.unwanted(at(1000));
        assert_eq!(solitude, Solitude::Unwanted);
    }

    #[test]
    fn others_lose_their_turn_only_by_being_away() {
        let mut solitude = Solitude::Open { until: at(5000), next: TURN, away: None };
        assert!(!solitude.is_forfeited(true, at(1000)));
        assert!(!solitude.is_forfeited(false, at(1080)));
        assert!(!solitude.is_forfeited(true, at(1090)));
        assert_eq!(solitude.next_wake(), Some(at(1190)));
        assert!(!solitude.is_forfeited(true, at(1189)));
        assert!(solitude.is_forfeited(true, at(1190)) && solitude.holds(true, at(1190)));
    }
}
