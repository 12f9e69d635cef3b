//! What a round does: everything is drawn from the seed, and nothing else decides it.

mod faults;
mod shapes;

use std::fmt;
use std::time::Duration;

pub use faults::{BrokerFault, Fault, Outage, Theme, Timed};
pub use shapes::{Shape, Shapes};

use crate::behaviour::Mix;
use crate::history::{OnExhausted, Ordering};
use crate::rng::{Rng, hashed};

/// The group's members are given up after this long in silence, by the brokers' configuration and the workers' own.
pub const SESSION_TIMEOUT: Duration = Duration::from_secs(6);
/// Where workers live: numbered places.
pub const SLOTS: usize = 5;

/// A round.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where it is all drawn from.
    pub seed: u64,
    /// Brokers of the cluster it runs on.
    pub brokers: u8,
    /// What it is mostly about.
    pub theme: Theme,
    /// Partitions of the source topic at first.
    pub partitions: i32,
    /// Records in all.
    pub records: u64,
    /// How many of them are there before the first worker, in a hundred.
    pub backlog_percent: u64,
    /// The rest comes within this time.
    pub production: Duration,
    /// Transactions, if any: records each, and how many in a thousand are aborted.
    pub transactions: Option<(u64, u64)>,
    /// What records look like.
    pub shapes: Shapes,
    /// How the processor treats them.
    pub mix: Mix,
    /// `delivery.ordering`.
    pub ordering: Ordering,
    /// `delivery.onExhausted`.
    pub on_exhausted: OnExhausted,
    /// `delivery.concurrency`.
    pub concurrency: u32,
    /// `delivery.timeout`.
    pub timeout: Duration,
    /// `delivery.drain`.
    pub drain: Duration,
    /// Whether there is an output topic.
    pub output: bool,
    /// The classic group protocol, not KIP-848's.
    pub classic: bool,
    /// Workers at first.
    pub workers: usize,
    /// What befalls them all, by time.
    pub faults: Vec<Timed>,
}

impl Plan {
    /// The round of a seed on a cluster of so many brokers.
    pub fn of(seed: u64, brokers: u8) -> Self {
        let mut rng = Rng::new(hashed(&[seed, u64::from(brokers), 0x70_6c61_6e]));
        let theme = rng.pick(&Theme::ALL);
        let partitions = i32::try_from(rng.within(2, 13)).unwrap_or(4);
        let workers = usize::try_from(rng.within(1, 4)).unwrap_or(1);
        let ordering =
            rng.pick(&[Ordering::Key, Ordering::Key, Ordering::Key, Ordering::Partition, Ordering::Unordered]);
        let on_exhausted = rng.pick(&[OnExhausted::DeadLetter, OnExhausted::DeadLetter, OnExhausted::Discard]);
        let on_exhausted =
            if matches!(theme, Theme::Letters | Theme::Everything) { OnExhausted::DeadLetter } else { on_exhausted };
        let max_attempts = u32::try_from(rng.within(3, 6)).unwrap_or(4);
        // One lane a partition carries less: what waits in it waits for everything before it.
        let lanes_few = ordering == Ordering::Partition;
        let records = if lanes_few { rng.within(1_500, 5_000) } else { rng.within(4_000, 24_000) };
        let production = Duration::from_millis(rng.within(4_000, 9_000));
        let faults = faults::drawn(&mut rng, theme, brokers, partitions, workers);
        Self {
            seed,
            brokers,
            theme,
            partitions,
            records,
            backlog_percent: rng.pick(&[0, 20, 60]),
            production,
            transactions: rng.per_mille(250).then(|| (rng.within(5, 60), rng.within(50, 400))),
            shapes: Shapes::drawn(&mut rng, seed),
            mix: mix(&mut rng, seed, (max_attempts, lanes_few, theme == Theme::Letters)),
            ordering,
            on_exhausted,
            concurrency: u32::try_from(rng.pick(&[2, 8, 16, 48])).unwrap_or(8),
            timeout: Duration::from_millis(rng.within(1_000, 2_000)),
            drain: Duration::from_secs(rng.within(2, 5)),
            output: rng.per_mille(400),
            classic: rng.per_mille(300),
            workers,
            faults,
        }
    }

    /// When the last fault is over, from the round's beginning.
    pub fn faults_end(&self) -> Duration {
        self.faults.iter().map(|timed| timed.at + timed.fault.lasts()).max().unwrap_or_default()
    }
}

fn mix(rng: &mut Rng, seed: u64, (max_attempts, lanes_few, letters): (u32, bool, bool)) -> Mix {
    // In a thousand of the usual: none, the usual, three times as much.
    let bad = rng.pick(&[0, 1000, 1000, 3000]);
    let bad = if letters { bad.max(1000) } else { bad };
    let share = |usual: u64| usual * bad / 1000 / if lanes_few { 4 } else { 1 };
    Mix {
        seed,
        max_attempts,
        slow: share(300),
        verdicts: share(40),
        rejects: share(60),
        failures: share(80),
        breaks: share(25),
        hangs: share(3),
        crashes: share(1),
        lasting: share(8),
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?}, {} broker(s), {} partitions, {} workers × {}, {:?}, {:?}{}{}{}",
            self.theme,
            self.brokers,
            self.partitions,
            self.workers,
            self.concurrency,
            self.ordering,
            self.on_exhausted,
            if self.output { ", output" } else { "" },
            if self.transactions.is_some() { ", transactions" } else { "" },
            if self.classic { ", classic" } else { "" },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_one_plan() {
        for seed in 0..50 {
            assert_eq!(format!("{:?}", Plan::of(seed, 1)), format!("{:?}", Plan::of(seed, 1)));
        }
        assert_ne!(format!("{:?}", Plan::of(1, 1)), format!("{:?}", Plan::of(2, 1)));
    }

    #[test]
    fn every_theme_comes_up_and_no_fault_is_for_a_broker_that_is_not_there() {
        let plans: Vec<Plan> = (0..200).map(|seed| Plan::of(seed, 1 + u8::try_from(seed % 3).unwrap())).collect();
        for theme in Theme::ALL {
            assert!(plans.iter().any(|plan| plan.theme == theme), "{theme:?}");
        }
        for plan in &plans {
            for timed in &plan.faults {
                if let Fault::Broker { id, .. } = timed.fault {
                    assert!((1..=plan.brokers).contains(&id), "{plan}: {timed:?}");
                }
            }
            assert!(plan.faults_end() < Duration::from_secs(30), "{plan}");
            assert!(plan.faults.is_sorted_by_key(|timed| timed.at), "{plan}");
        }
    }
}
