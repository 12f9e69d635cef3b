//! What a round does: everything is drawn from the seed, and nothing else decides it.

mod extent;
mod faults;
mod quick;
mod shapes;

use std::fmt;
use std::time::Duration;

use penstock_crds::resolve::MAX_POLL_INTERVAL;

pub use extent::{Batches, Extent};
pub use faults::{BrokerFault, Fault, Outage, Theme, Timed};
pub use shapes::{Keys, Shape, Shapes};

use crate::behaviour::Mix;
use crate::history::{OnExhausted, Ordering};
use crate::rng::{Rng, hashed};

/// The group's members are given up after this long in silence, by the brokers' configuration and the workers' own.
pub const SESSION_TIMEOUT: Duration = Duration::from_secs(6);
/// Where workers live: numbered places.
pub const SLOTS: usize = 5;

/// Where drains are to last, of ten thousand records so many hang for each call that a worker may have in progress: they hold slots, and
/// others are to have some left.
const LONG_CALLS: u64 = 10;
/// How long records come, where faults go on for longer than usual.
const SLOW_PRODUCTION: Duration = Duration::from_secs(14);

/// A round.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where it is all drawn from.
    pub seed: u64,
    /// What was asked for, to have the same round again.
    pub asked: Asked,
    /// Brokers of the cluster it runs on.
    pub brokers: u8,
    /// What it is mostly about.
    pub theme: Theme,
    /// Partitions of the first source topic at first.
    pub partitions: i32,
    /// Partitions of the other source topics.
    pub other_topics: Vec<i32>,
    /// How many records there are.
    pub extent: Extent,
    /// Records in all.
    pub records: u64,
    /// How many of them are there before the first worker, in a hundred.
    pub backlog_percent: u64,
    /// The rest comes within this time.
    pub production: Duration,
    /// Whether the backlog has holes that compaction made.
    pub compacted: bool,
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
    /// `delivery.batch`, if any.
    pub batches: Option<Batches>,
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

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use clap::ValueEnum as _;
        write!(f, "--seed {} --rounds 1 --brokers {}", self.seed, self.brokers)?;
        if let Some(theme) = self.theme.and_then(|theme| theme.to_possible_value()) {
            write!(f, " --theme {}", theme.get_name())?;
        }
        if let Some(extent) = self.extent.and_then(|extent| extent.to_possible_value()) {
            write!(f, " --extent {}", extent.get_name())?;
        }
        if self.quick { f.write_str(" --quick") } else { Ok(()) }
    }
}

/// What is asked of a round. What is left open, the seed decides.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// Where it is all drawn from.
    pub seed: u64,
    /// Brokers of the cluster.
    pub brokers: u8,
    /// What it is to be about.
    pub theme: Option<Theme>,
    /// How many records it is to have, where it can have many.
    pub extent: Option<Extent>,
    /// Its workers' handler is compiled in, and answers at once.
    pub quick: bool,
}

impl Plan {
    /// The round of a seed on a cluster of so many brokers.
    pub fn of(seed: u64, brokers: u8) -> Self {
        Self::asked(Asked { seed, brokers, theme: None, extent: None, quick: false })
    }

    /// The round of a seed, were it so.
    pub fn asked(asked: Asked) -> Self {
        let Asked { seed, brokers, theme, extent, quick } = asked;
        let drawn = |what| Rng::new(hashed(&[seed, u64::from(brokers), what]));
        let plan = if let Some(theme) = theme {
            Self::on(theme, seed, brokers, &mut drawn(0x0074_6865_6d65))
        } else {
            let mut rng = drawn(0x706c_616e);
            let theme = rng.pick(&Theme::ALL);
            Self::on(theme, seed, brokers, &mut rng)
        };
        let plan = Self { asked, ..plan };
        let plan = plan.extended(&mut drawn(0x6578_7465_6e74), extent);
        if quick { plan.of_answers_at_once() } else { plan }
    }

    /// A round of half a minute with a bit of everything, for a cluster that nobody prepared: members of the classic protocol can have
    /// a short session anywhere.
    pub fn short(seed: u64) -> Self {
        let (at, second) = (Duration::from_millis, Duration::from_secs(1));
        let faults = [
            (2_000, Fault::Kill { slot: 0, vacant: second }),
            (3_000, Fault::LettersRefused { lasting: second }),
            (4_500, Fault::Scale { to: 4 }),
            (5_500, Fault::Outage { how: Outage::NotFound, lasting: second / 2 }),
            (6_500, Fault::Replace { slot: 1 }),
            (7_500, Fault::Scale { to: 2 }),
        ];
        let rng = &mut Rng::new(hashed(&[seed, 0x0073_686f_7274]));
        Self {
            partitions: 6,
            other_topics: vec![3],
            extent: Extent::Usual,
            batches: Some(Batches { max_records: 20, max_wait: Duration::ZERO, same_lane: false }),
            records: 3_000,
            backlog_percent: 20,
            production: 7 * second,
            compacted: false,
            transactions: Some((40, 200)),
            mix: mix(rng, seed, MixFor { max_attempts: 4, few_lanes: false, block: false, least: 1_000 }),
            ordering: Ordering::Key,
            on_exhausted: OnExhausted::DeadLetter,
            concurrency: 8,
            output: true,
            classic: true,
            workers: 2,
            faults: faults.map(|(millis, fault)| Timed { at: at(millis), fault }).to_vec(),
            ..Self::on(Theme::Calm, seed, 1, rng)
        }
    }

    /// One as short, of members of KIP-848's protocol: a worker stands still for longer than its session while another one is replaced, and
    /// then the only broker goes away and returns. For a cluster of its own ([`Cluster::up`]): others have longer sessions, and whoever
    /// else is there would miss the broker.
    ///
    /// [`Cluster::up`]: crate::cluster::Cluster::up
    pub fn short_of_absences(seed: u64) -> Self {
        let (at, second) = (Duration::from_millis, Duration::from_secs(1));
        let faults = [
            (2_000, Fault::Pause { slot: 0, lasting: SESSION_TIMEOUT + second + second / 2 }),
            (4_500, Fault::Replace { slot: 1 }),
            // When the pause is over: a broker's absence excuses everybody, a worker's only itself.
            (11_000, Fault::Broker { id: 1, how: BrokerFault::Stop, lasting: second / 2 }),
        ];
        Self {
            batches: None,
            records: 4_000,
            production: 16 * second,
            transactions: None,
            classic: false,
            workers: 3,
            faults: faults.map(|(millis, fault)| Timed { at: at(millis), fault }).to_vec(),
            ..Self::short(seed)
        }
    }

    fn on(theme: Theme, seed: u64, brokers: u8, rng: &mut Rng) -> Self {
        let partitions = i32::try_from(rng.within(2, 13)).unwrap_or(4);
        let workers = usize::try_from(rng.within(1, 4)).unwrap_or(1);
        let ordering =
            rng.pick(&[Ordering::Key, Ordering::Key, Ordering::Key, Ordering::Partition, Ordering::Unordered]);
        let on_exhausted = match (theme, rng.below(3)) {
            (Theme::Blocked, _) => OnExhausted::Block,
            (Theme::Letters | Theme::Everything, _) | (_, 0 | 1) => OnExhausted::DeadLetter,
            _ => OnExhausted::Discard,
        };
        let max_attempts = u32::try_from(rng.within(3, 6)).unwrap_or(4);
        // One lane a partition carries less: what waits in it waits for everything before it.
        let few_lanes = ordering == Ordering::Partition;
        let records = if few_lanes { rng.within(1_500, 5_000) } else { rng.within(4_000, 24_000) };
        let production = Duration::from_millis(rng.within(4_000, 9_000));
        // Records still come when the pause is over.
        let production = if theme == Theme::MaxPoll { production + MAX_POLL_INTERVAL } else { production };
        let faults = faults::drawn(rng, theme, brokers, partitions, workers);
        let compacted = rng.per_mille(120);
        let of_failures = matches!(theme, Theme::Letters | Theme::Blocked | Theme::Everything);
        let least = if of_failures { 1_000 } else { 0 };
        let block = on_exhausted == OnExhausted::Block;
        Self {
            seed,
            asked: Asked { seed, brokers, theme: None, extent: None, quick: false },
            brokers,
            theme,
            partitions,
            other_topics: Vec::new(),
            extent: Extent::Usual,
            batches: None,
            records,
            backlog_percent: if compacted { 60 } else { rng.pick(&[0, 20, 60]) },
            compacted,
            production,
            transactions: rng.per_mille(250).then(|| (rng.within(5, 60), rng.within(50, 400))),
            shapes: Shapes::drawn(rng, seed, Keys { all: compacted, many: block }),
            mix: mix(rng, seed, MixFor { max_attempts, few_lanes, block, least }),
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
        .themed()
    }

    /// What a theme insists on.
    fn themed(self) -> Self {
        if self.theme != Theme::GrowthInDrains {
            return self;
        }
        let mix = Mix { hangs: LONG_CALLS * u64::from(self.concurrency.min(16)), ..self.mix };
        Self { classic: true, mix, production: self.production.max(SLOW_PRODUCTION), ..self }
    }

    /// Whether a call may hold several records of a lane.
    pub fn has_same_lane(&self) -> bool {
        self.batches.is_some_and(|batches| batches.same_lane)
    }

    /// The partitions of each source topic at first.
    pub fn topics(&self) -> impl Iterator<Item = i32> + '_ {
        std::iter::once(self.partitions).chain(self.other_topics.iter().copied())
    }

    /// Whether workers come as a user with rights of its own, some of which may be taken away. Otherwise they may do all.
    pub fn has_user(&self) -> bool {
        self.faults.iter().any(|timed| matches!(timed.fault, Fault::LettersForbidden { .. }))
    }

    /// Whether something befalls the brokers, and so every round on them.
    pub fn is_for_all(&self) -> bool {
        self.faults.iter().any(|timed| matches!(timed.fault, Fault::Broker { .. } | Fault::LeadersMoved { .. }))
    }

    /// When the last fault is over, from the round's beginning.
    pub fn faults_end(&self) -> Duration {
        self.faults.iter().map(|timed| timed.at + timed.fault.lasts()).max().unwrap_or_default()
    }
}

/// What the mix of behaviours depends on.
struct MixFor {
    max_attempts: u32,
    few_lanes: bool,
    block: bool,
    /// Trouble there must be, in a thousand of the usual.
    least: u64,
}

fn mix(rng: &mut Rng, seed: u64, MixFor { max_attempts, few_lanes, block, least }: MixFor) -> Mix {
    // In a thousand of the usual: none, the usual, three times as much.
    let bad = rng.pick(&[0, 1000, 1000, 3000]).max(least);
    let share = |usual: u64| usual * bad / 1000 / if few_lanes { 4 } else { 1 };
    // Each of them holds its lane for seconds.
    let blocking = |usual: u64| if block { share(usual).min(8) } else { share(usual) };
    Mix {
        seed,
        max_attempts,
        block,
        slow: share(300),
        verdicts: share(40),
        rejects: blocking(60),
        failures: share(80),
        breaks: share(25),
        hangs: share(3),
        crashes: share(1),
        lasting: blocking(8),
        one_in: 1,
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?}, {} broker(s), {} partitions, {} workers × {}, {:?}, {:?}{}{}{}{}{}{}{}{}",
            self.theme,
            self.brokers,
            self.topics().map(|partitions| partitions.to_string()).collect::<Vec<_>>().join("+"),
            self.workers,
            self.concurrency,
            self.ordering,
            self.on_exhausted,
            self.batches.map(|batches| batches.to_string()).unwrap_or_default(),
            if self.output { ", output" } else { "" },
            if self.transactions.is_some() { ", transactions" } else { "" },
            if self.compacted { ", compacted" } else { "" },
            if self.has_user() { ", a user" } else { "" },
            if self.classic { ", classic" } else { "" },
            if self.extent == Extent::Large { ", large" } else { "" },
            if self.asked.quick { ", at once" } else { "" },
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
    fn batches_topics_and_large_rounds_come_up_and_leave_the_rest_of_a_plan_as_it_was() {
        let plans: Vec<Plan> = (0..200).map(|seed| Plan::of(seed, 1)).collect();
        let share = |one: fn(&Plan) -> bool| plans.iter().filter(|plan| one(plan)).count();
        for share in [
            share(|plan| plan.batches.is_none()),
            share(Plan::has_same_lane),
            share(|plan| plan.batches.is_some_and(|batches| batches.max_records == 1)),
            share(|plan| !plan.other_topics.is_empty()),
            share(|plan| plan.extent == Extent::Large),
            share(|plan| plan.extent == Extent::Large && plan.batches.is_none()),
            share(|plan| plan.extent == Extent::Large && plan.output),
        ] {
            assert!((2..=120).contains(&share), "{share}");
        }
        // As it was before there were batches: "Kills, 8 partitions, 3 workers" is in docs/reliability.jsonl.
        let third = Plan::of(3, 1);
        assert_eq!((third.theme, third.partitions, third.workers), (Theme::Kills, 8, 3));
    }

    #[test]
    fn a_plan_says_how_to_have_it_again() {
        let asked =
            Asked { seed: 7, brokers: 3, theme: Some(Theme::MaxPoll), extent: Some(Extent::Large), quick: true };
        let said = "--seed 7 --rounds 1 --brokers 3 --theme max-poll --extent large --quick";
        assert_eq!(asked.to_string(), said);
        assert_eq!(Plan::of(7, 1).asked.to_string(), "--seed 7 --rounds 1 --brokers 1");
    }

    #[test]
    fn every_theme_comes_up_and_no_fault_is_for_a_broker_that_is_not_there() {
        let plans: Vec<Plan> = (0..200).map(|seed| Plan::of(seed, 1 + u8::try_from(seed % 3).unwrap())).collect();
        for theme in Theme::ALL {
            assert!(plans.iter().any(|plan| plan.theme == theme), "{theme:?}");
        }
        for plan in &plans {
            for timed in &plan.faults {
                match timed.fault {
                    Fault::Broker { id, .. } => assert!((1..=plan.brokers).contains(&id), "{plan}: {timed:?}"),
                    Fault::LeadersMoved { .. } => assert!(plan.brokers > 1, "{plan}: {timed:?}"),
                    Fault::LettersRefused { .. } | Fault::LettersDeleted { .. } | Fault::LettersForbidden { .. } => {
                        assert_eq!(plan.on_exhausted, OnExhausted::DeadLetter, "{plan}: {timed:?}");
                    }
                    _ => {}
                }
            }
            assert!(!plan.has_same_lane() || plan.ordering != Ordering::Unordered, "{plan}: refused by the resource");
            assert!(plan.extent == Extent::Usual || plan.records <= extent::LARGE.1, "{plan}");
            assert!(!plan.compacted || plan.shapes.null_keys == 0, "{plan}: compaction asks for keys");
            assert!(plan.faults_end() < Duration::from_secs(30), "{plan}");
            assert!(plan.faults.is_sorted_by_key(|timed| timed.at), "{plan}");
        }
    }
}
