//! `chaos`: rounds from a seed on, each judged.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use penstock_chaos::cluster::Cluster;
use penstock_chaos::error::Result;
use penstock_chaos::plan::Plan;
use penstock_chaos::report::{Totals, of_round};
use penstock_chaos::round;

/// Real workers on a real Kafka, faults drawn from a seed, and a checker of what must hold all the same.
#[derive(Debug, Parser)]
#[command(name = "chaos", version)]
struct Arguments {
    /// The first round's seed; the next ones follow
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many rounds
    #[arg(long, default_value_t = 20)]
    rounds: u64,
    /// Brokers of the cluster, 1 or 3; by default the seed decides: every fourth has three
    #[arg(long)]
    brokers: Option<u8>,
    /// Say what the rounds would do, and do nothing
    #[arg(long)]
    plan: bool,
    /// Leave the last cluster up: the next run begins sooner
    #[arg(long)]
    keep: bool,
    /// Where logs of failed rounds are left
    #[arg(long)]
    logs: Option<PathBuf>,
}

impl Arguments {
    /// By clusters, so that each is brought up once.
    fn plans(&self) -> Vec<(u8, Vec<Plan>)> {
        let brokers = |seed: u64| self.brokers.unwrap_or(if seed % 4 == 0 { 3 } else { 1 });
        let seeds = self.seed..self.seed.saturating_add(self.rounds);
        let plans: Vec<Plan> = seeds.map(|seed| Plan::of(seed, brokers(seed))).collect();
        let mut sizes: Vec<u8> = plans.iter().map(|plan| plan.brokers).collect();
        sizes.sort_unstable();
        sizes.dedup();
        sizes
            .into_iter()
            .map(|size| (size, plans.iter().filter(|plan| plan.brokers == size).cloned().collect()))
            .collect()
    }
}

fn say(text: impl std::fmt::Display) {
    // Whoever closed the pipe has read enough.
    let _ = writeln!(std::io::stdout(), "{text}");
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.plan {
        for plan in arguments.plans().iter().flat_map(|(_, plans)| plans) {
            say(format_args!("{plan:#?}"));
        }
        return ExitCode::SUCCESS;
    }
    match run(&arguments) {
        Ok(totals) => {
            say(&totals);
            if totals.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            say(format_args!("chaos could not be carried out: {error}"));
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments) -> Result<Totals> {
    let logs = arguments
        .logs
        .clone()
        .unwrap_or_else(|| std::env::temp_dir().join(format!("penstock-chaos-{}", std::process::id())));
    let mut totals = Totals::default();
    for (brokers, plans) in arguments.plans() {
        let cluster = Cluster::up(brokers)?;
        for plan in plans {
            let folder = logs.join(format!("seed-{}", plan.seed));
            let result = round::run(&cluster, &plan, &folder);
            match &result {
                Ok(outcome) => say(of_round(&plan, outcome, &folder)),
                Err(error) => say(format_args!("seed {}: not carried out ({plan}): {error}", plan.seed)),
            }
            totals.add(&plan, &result);
            if result.is_ok_and(|outcome| outcome.findings.is_empty()) {
                let _ = std::fs::remove_dir_all(&folder);
            }
        }
        if !arguments.keep {
            cluster.down()?;
        }
    }
    let _ = std::fs::remove_dir(&logs); // only when nothing was left in it
    Ok(totals)
}
