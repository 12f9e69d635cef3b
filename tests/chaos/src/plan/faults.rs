//! What befalls workers, brokers, the processor and topics, and when.

use std::fmt;
use std::time::Duration;

use penstock_crds::resolve::MAX_POLL_INTERVAL;

use super::{SESSION_TIMEOUT, SLOTS};
use crate::rng::Rng;

/// What a round is mostly about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Theme {
    /// A bad processor, and workers that come and go in order: nothing excuses a duplicate.
    Calm,
    /// kill -9.
    Kills,
    /// SIGSTOP, shorter and longer than the session.
    Pauses,
    /// From one worker to five and back, again and again.
    Storm,
    /// Brokers stop, die or hang, and return.
    Brokers,
    /// The processor is down, busy or misconfigured as a whole.
    Outages,
    /// The dead-letter topic takes nothing for a while, is deleted, or may not be written to.
    Letters,
    /// The source topic grows.
    Growth,
    /// Records that fail for good hold their keys, while workers come and go.
    Blocked,
    /// Leaders move from broker to broker.
    Leaders,
    /// All of it.
    Everything,
    /// SIGSTOP for longer than a client may go without polling. It takes six minutes: only for who asks for it.
    MaxPoll,
    /// The source topic grows while partitions are being given back, again and again, with the classic protocol and calls that last: only
    /// for who asks for it. librdkafka joins again in the middle of a revocation then, which costs a member its partitions.
    GrowthInDrains,
}

impl Theme {
    /// All of them but those that are asked for.
    pub const ALL: [Self; 11] = [
        Self::Calm,
        Self::Kills,
        Self::Pauses,
        Self::Storm,
        Self::Brokers,
        Self::Outages,
        Self::Letters,
        Self::Growth,
        Self::Blocked,
        Self::Leaders,
        Self::Everything,
    ];
}

/// A fault with its time from the round's beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timed {
    /// When.
    pub at: Duration,
    /// What.
    pub fault: Fault,
}

/// What befalls somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// SIGKILL to the worker in a slot, and another one there after a while.
    Kill {
        /// The slot.
        slot: usize,
        /// Until the next one starts.
        vacant: Duration,
    },
    /// SIGTERM, and another one when it has ended.
    Replace {
        /// The slot.
        slot: usize,
    },
    /// SIGSTOP and SIGCONT.
    Pause {
        /// The slot.
        slot: usize,
        /// How long.
        lasting: Duration,
    },
    /// So many workers: more are started, the last ones are told to stop.
    Scale {
        /// How many.
        to: usize,
    },
    /// A broker goes away and returns.
    Broker {
        /// Which, from 1.
        id: u8,
        /// How.
        how: BrokerFault,
        /// For how long.
        lasting: Duration,
    },
    /// The processor as a whole.
    Outage {
        /// How.
        how: Outage,
        /// For how long.
        lasting: Duration,
    },
    /// The dead-letter topic refuses every record.
    LettersRefused {
        /// For how long.
        lasting: Duration,
    },
    /// The dead-letter topic is deleted, and made anew after a while.
    LettersDeleted {
        /// For how long it is gone.
        lasting: Duration,
    },
    /// The workers' user may not write to the dead-letter topic.
    LettersForbidden {
        /// For how long.
        lasting: Duration,
    },
    /// Every partition of the source topic gets another leader; no broker goes away.
    LeadersMoved {
        /// How far round.
        turn: u8,
    },
    /// The source topic gets more partitions.
    Grow {
        /// How many it has then.
        to: i32,
    },
}

/// How a broker goes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BrokerFault {
    /// SIGTERM: leadership moves first.
    Stop,
    /// SIGKILL.
    Kill,
    /// SIGSTOP: it hangs.
    Pause,
}

/// What the processor does as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outage {
    /// It takes no connections.
    Refuses,
    /// It answers 503.
    Busy,
    /// It answers 404.
    NotFound,
}

impl Fault {
    /// How long it goes on.
    pub fn lasts(self) -> Duration {
        match self {
            Self::Kill { vacant: lasting, .. }
            | Self::Pause { lasting, .. }
            | Self::Broker { lasting, .. }
            | Self::Outage { lasting, .. }
            | Self::LettersRefused { lasting }
            | Self::LettersDeleted { lasting }
            | Self::LettersForbidden { lasting } => lasting,
            Self::Replace { .. } | Self::Scale { .. } | Self::LeadersMoved { .. } | Self::Grow { .. } => Duration::ZERO,
        }
    }

    /// Its kind in a word, for counting.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Kill { .. } => "kill -9",
            Self::Replace { .. } => "SIGTERM",
            Self::Pause { .. } => "SIGSTOP",
            Self::Scale { .. } => "scale",
            Self::Broker { how: BrokerFault::Stop, .. } => "broker stop",
            Self::Broker { how: BrokerFault::Kill, .. } => "broker kill",
            Self::Broker { how: BrokerFault::Pause, .. } => "broker pause",
            Self::Outage { .. } => "processor outage",
            Self::LettersRefused { .. } => "dead letters refused",
            Self::LettersDeleted { .. } => "dead-letter topic deleted",
            Self::LettersForbidden { .. } => "dead letters forbidden",
            Self::LeadersMoved { .. } => "leaders moved",
            Self::Grow { .. } => "partitions added",
        }
    }
}

impl fmt::Display for Timed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1}s {:?}", self.at.as_secs_f64(), self.fault)
    }
}

fn millis(rng: &mut Rng, from: u64, to: u64) -> Duration {
    Duration::from_millis(rng.within(from, to))
}

/// The faults of a theme, by time.
pub(super) fn drawn(rng: &mut Rng, theme: Theme, brokers: u8, partitions: i32, workers: usize) -> Vec<Timed> {
    let mut faults = Vec::new();
    let mut slot = |rng: &mut Rng| usize::try_from(rng.below(workers as u64)).unwrap_or_default();
    let count = rng.within(2, 5);
    match theme {
        Theme::Calm => {
            for _ in 0..count {
                let fault = if rng.per_mille(600) { replace(rng, &mut slot) } else { scale(rng) };
                faults.push(fault);
            }
        }
        Theme::Kills => (0..count).for_each(|_| faults.push(kill(rng, &mut slot))),
        Theme::Pauses => (0..count.min(3)).for_each(|_| faults.push(pause(rng, &mut slot))),
        Theme::MaxPoll => {
            let lasting = MAX_POLL_INTERVAL + millis(rng, 2_000, 8_000);
            faults.push(Timed { at: millis(rng, 1_500, 4_000), fault: Fault::Pause { slot: 0, lasting } });
        }
        Theme::Storm => {
            let mut at = millis(rng, 1_000, 2_000);
            for to in [SLOTS, 1, SLOTS, 1, SLOTS, 2].into_iter().take(4 + usize::try_from(count).unwrap_or(2) % 3) {
                faults.push(Timed { at, fault: Fault::Scale { to } });
                at += millis(rng, 400, 2_500);
            }
        }
        Theme::Leaders if brokers > 1 => faults.extend([leaders(1_500), leaders(6_500), replace(rng, &mut slot)]),
        Theme::Brokers | Theme::Leaders => faults.push(broker(rng, brokers)),
        Theme::Outages => (0..count).for_each(|_| faults.push(outage(rng))),
        Theme::Letters => faults.push(letters(rng)),
        Theme::Growth => {
            let to = partitions + i32::try_from(rng.within(1, 5)).unwrap_or(1);
            faults.push(Timed { at: millis(rng, 1_000, 4_000), fault: Fault::Grow { to } });
            faults.push(replace(rng, &mut slot));
        }
        Theme::GrowthInDrains => {
            let (mut at, mut to) = (millis(rng, 1_500, 2_500), partitions);
            for workers in [SLOTS, 1, SLOTS, 2] {
                to += i32::try_from(rng.within(1, 4)).unwrap_or(1);
                // A client notices within two seconds, a drain takes one or two.
                faults.push(Timed { at, fault: Fault::Grow { to } });
                faults.push(Timed { at: at + millis(rng, 0, 2_000), fault: Fault::Scale { to: workers } });
                at += millis(rng, 2_500, 4_000);
            }
        }
        Theme::Blocked => {
            let crash = rng.per_mille(500);
            for _ in 0..count {
                faults.push(if crash { kill(rng, &mut slot) } else { replace(rng, &mut slot) });
            }
            faults.push(scale(rng));
        }
        Theme::Everything => {
            faults.extend([kill(rng, &mut slot), replace(rng, &mut slot), scale(rng), pause(rng, &mut slot)]);
            faults.extend([outage(rng), letters(rng), kill(rng, &mut slot)]);
            if rng.per_mille(500) {
                faults.push(broker(rng, brokers));
            }
        }
    }
    faults.sort_by_key(|timed| timed.at);
    faults
}

fn kill(rng: &mut Rng, slot: &mut impl FnMut(&mut Rng) -> usize) -> Timed {
    let vacant = millis(rng, 0, 2_500);
    Timed { at: millis(rng, 1_000, 9_000), fault: Fault::Kill { slot: slot(rng), vacant } }
}

fn replace(rng: &mut Rng, slot: &mut impl FnMut(&mut Rng) -> usize) -> Timed {
    Timed { at: millis(rng, 1_500, 9_000), fault: Fault::Replace { slot: slot(rng) } }
}

fn pause(rng: &mut Rng, slot: &mut impl FnMut(&mut Rng) -> usize) -> Timed {
    let session = u64::try_from(SESSION_TIMEOUT.as_millis()).unwrap_or_default();
    let lasting = if rng.per_mille(600) { millis(rng, session, session + 3_000) } else { millis(rng, 300, 3_000) };
    Timed { at: millis(rng, 1_500, 6_000), fault: Fault::Pause { slot: slot(rng), lasting } }
}

fn scale(rng: &mut Rng) -> Timed {
    let to = usize::try_from(rng.within(1, SLOTS as u64 + 1)).unwrap_or(1);
    Timed { at: millis(rng, 1_500, 9_000), fault: Fault::Scale { to } }
}

fn broker(rng: &mut Rng, brokers: u8) -> Timed {
    let id = u8::try_from(rng.within(1, u64::from(brokers) + 1)).unwrap_or(1);
    let how = rng.pick(&[BrokerFault::Stop, BrokerFault::Kill, BrokerFault::Pause]);
    let fault = Fault::Broker { id, how, lasting: millis(rng, 500, 6_000) };
    Timed { at: millis(rng, 2_000, 5_000), fault }
}

fn outage(rng: &mut Rng) -> Timed {
    let how = rng.pick(&[Outage::Refuses, Outage::Busy, Outage::NotFound]);
    Timed { at: millis(rng, 1_500, 8_000), fault: Fault::Outage { how, lasting: millis(rng, 300, 2_500) } }
}

fn letters(rng: &mut Rng) -> Timed {
    let fault = match rng.below(3) {
        0 => Fault::LettersRefused { lasting: millis(rng, 1_000, 5_000) },
        1 => Fault::LettersDeleted { lasting: millis(rng, 3_000, 6_000) },
        _ => Fault::LettersForbidden { lasting: millis(rng, 1_000, 4_000) },
    };
    Timed { at: millis(rng, 1_500, 4_000), fault }
}

fn leaders(at: u64) -> Timed {
    let turn = u8::from(at > 4_000) + 1;
    Timed { at: Duration::from_millis(at), fault: Fault::LeadersMoved { turn } }
}
