//! How the processor treats one record: drawn from the seed, the partition and the offset, so that it is the same for whoever asks.

use std::time::Duration;

use crate::history::{Fate, Tp};
use crate::rng::{Rng, hashed};

/// How one record is treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// 200.
    Ack,
    /// 200 after a while.
    Slow(Duration),
    /// An error status with the verdict `ack`: the verdict wins.
    AckByVerdict,
    /// 200 with the verdict `skip`.
    Skip,
    /// A refusal with this status; 200 stands for the verdict `reject`.
    Reject(u16),
    /// Trouble for the first few calls, then 200.
    Passing {
        /// What goes wrong.
        trouble: Trouble,
        /// How often.
        times: u32,
    },
    /// Trouble for ever.
    Lasting(Trouble),
}

/// What goes wrong with one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// An answer with this status: one attempt.
    Status(u16),
    /// A refusal with this status, or by verdict where that is 200: the record is not to be tried again.
    Refusal(u16),
    /// 503, costs nothing.
    Busy,
    /// Bytes that are not HTTP.
    Garbage,
    /// The connection breaks before an answer.
    Break,
    /// The connection breaks within the answer.
    BreakWithin,
    /// No answer at all.
    Hang,
    /// The processor goes down with all its connections, and comes back.
    Crash,
}

/// Statuses that mean: try again, one attempt.
const FAILURES: [u16; 6] = [500, 502, 504, 408, 425, 418];
/// Statuses that mean: never.
const REFUSALS: [u16; 4] = [422, 400, 413, 200];

/// How often each behaviour is met, per 10,000 records; what is left is acknowledged at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mix {
    /// Seed of the draws.
    pub seed: u64,
    /// `delivery.retry.maxAttempts`, for trouble must pass in time or last.
    pub max_attempts: u32,
    /// Whether what fails for good is tried for ever: then it passes in the end, long after its attempts are used up.
    pub block: bool,
    /// [`Behaviour::Slow`].
    pub slow: u64,
    /// [`Behaviour::AckByVerdict`] and [`Behaviour::Skip`].
    pub verdicts: u64,
    /// [`Behaviour::Reject`].
    pub rejects: u64,
    /// [`Behaviour::Passing`] with a status or busy.
    pub failures: u64,
    /// [`Behaviour::Passing`] with garbage or a broken connection.
    pub breaks: u64,
    /// [`Behaviour::Passing`] with a hang.
    pub hangs: u64,
    /// [`Behaviour::Passing`] with a crash of the whole processor.
    pub crashes: u64,
    /// [`Behaviour::Lasting`].
    pub lasting: u64,
    /// Only one record in so many is treated by these shares; all others are acknowledged at once.
    pub one_in: u64,
}

impl Mix {
    /// How the record at this place is treated.
    pub fn of(&self, tp: Tp, offset: i64) -> Behaviour {
        let drawn = hashed(&[self.seed, tp.drawn(), offset.cast_unsigned()]);
        if self.one_in > 1 && !hashed(&[drawn]).is_multiple_of(self.one_in) {
            return Behaviour::Ack;
        }
        let mut rng = Rng::new(drawn);
        // Two less than allowed: one for a call that was cut short by the harness's own faults, one so that it is never the last.
        let times = 1 + u32::try_from(rng.below(u64::from(self.max_attempts.saturating_sub(2).max(1)))).unwrap_or(0);
        let mut draw = rng.below(10_000);
        let mut met = |share: u64| {
            let met = draw < share;
            draw = draw.saturating_sub(share);
            met
        };
        if met(self.slow) {
            Behaviour::Slow(Duration::from_millis(rng.within(5, 120)))
        } else if met(self.verdicts) {
            rng.pick(&[Behaviour::AckByVerdict, Behaviour::Skip])
        } else if met(self.rejects) {
            let status = rng.pick(&REFUSALS);
            if self.block { self.stuck(Trouble::Refusal(status), &mut rng) } else { Behaviour::Reject(status) }
        } else if met(self.failures) {
            let trouble = if rng.per_mille(250) { Trouble::Busy } else { Trouble::Status(rng.pick(&FAILURES)) };
            Behaviour::Passing { trouble, times }
        } else if met(self.breaks) {
            let trouble = rng.pick(&[Trouble::Garbage, Trouble::Break, Trouble::BreakWithin]);
            Behaviour::Passing { trouble, times }
        } else if met(self.hangs) {
            Behaviour::Passing { trouble: Trouble::Hang, times: 1 }
        } else if met(self.crashes) {
            Behaviour::Passing { trouble: Trouble::Crash, times: 1 }
        } else if met(self.lasting) {
            let trouble = rng.pick(&[Trouble::Status(500), Trouble::Garbage, Trouble::Break, Trouble::BreakWithin]);
            if self.block { self.stuck(trouble, &mut rng) } else { Behaviour::Lasting(trouble) }
        } else {
            Behaviour::Ack
        }
    }

    /// As long as somebody takes who mends the processor, in the seconds of a round.
    fn stuck(&self, trouble: Trouble, rng: &mut Rng) -> Behaviour {
        let times = self.max_attempts + u32::try_from(rng.within(1, 20)).unwrap_or(1);
        Behaviour::Passing { trouble, times }
    }
}

impl Behaviour {
    /// What comes of it in the end.
    pub fn fate(self) -> Fate {
        match self {
            Self::Reject(_) | Self::Lasting(_) => Fate::Refused,
            _ => Fate::Done,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TP: Tp = Tp { topic: 0, partition: 3 };
    const MIX: Mix = Mix {
        seed: 1,
        max_attempts: 4,
        block: false,
        slow: 500,
        verdicts: 100,
        rejects: 100,
        failures: 300,
        breaks: 100,
        hangs: 20,
        crashes: 10,
        lasting: 50,
        one_in: 1,
    };

    #[test]
    fn a_place_has_one_behaviour_and_all_of_them_are_met() {
        let all: Vec<_> = (0..20_000).map(|offset| MIX.of(TP, offset)).collect();
        assert_eq!(all, (0..20_000).map(|offset| MIX.of(TP, offset)).collect::<Vec<_>>());
        let passing = |wanted: Trouble| {
            all.iter().any(|one| matches!(one, Behaviour::Passing { trouble, .. } if *trouble == wanted))
        };
        assert!(
            passing(Trouble::Hang) && passing(Trouble::Crash) && passing(Trouble::Busy) && passing(Trouble::Garbage)
        );
        let refused = all.iter().filter(|one| one.fate() == Fate::Refused).count();
        assert!((200..400).contains(&refused), "{refused}");
    }

    #[test]
    fn trouble_can_be_made_rare() {
        let troubles = |one_in| {
            let mix = Mix { one_in, ..MIX };
            (0..50_000).filter(|offset| mix.of(TP, *offset) != Behaviour::Ack).count()
        };
        let (usual, rare) = (troubles(1), troubles(10));
        assert!((usual / 14..usual / 7).contains(&rare), "{usual} and {rare}");
    }

    #[test]
    fn trouble_passes_before_the_attempts_are_used_up() {
        let times = (0..50_000).filter_map(|offset| match MIX.of(TP, offset) {
            Behaviour::Passing { times, .. } => Some(times),
            _ => None,
        });
        assert!(times.max().is_some_and(|most| most + 2 <= MIX.max_attempts));
    }

    #[test]
    fn where_failures_block_every_record_is_taken_in_the_end() {
        let mix = Mix { block: true, ..MIX };
        let all: Vec<_> = (0..20_000).map(|offset| mix.of(TP, offset)).collect();
        assert!(all.iter().all(|one| one.fate() == Fate::Done));
        let stuck = |one: &&Behaviour| matches!(one, Behaviour::Passing { times, .. } if *times > mix.max_attempts);
        assert!(all.iter().filter(stuck).count() > 100);
    }
}
