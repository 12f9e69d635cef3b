//! `chaos`: rounds from a seed on, each judged.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError, RwLock};
use std::thread::ScopedJoinHandle;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};
use penstock_chaos::cluster::Cluster;
use penstock_chaos::error::{Error, Result};
use penstock_chaos::plan::{Asked, Extent, Plan, Theme};
use penstock_chaos::report::{Totals, of_round, record_of, rewritten};
use penstock_chaos::round;

/// Real workers on a real Kafka, faults drawn from a seed, and a checker of what must hold all the same.
#[derive(Debug, Parser)]
#[command(name = "chaos", version, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// The first round's seed; the next ones follow
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many rounds
    #[arg(long, default_value_t = 20)]
    rounds: u64,
    /// Brokers of the cluster, 1 or 3; by default the seed decides: every fourth has three
    #[arg(long)]
    brokers: Option<u8>,
    /// Rounds about this alone, instead of what the seed draws
    #[arg(long)]
    theme: Option<Theme>,
    /// Rounds of so many records, where the rest of the plan allows it, instead of what the seed draws
    #[arg(long)]
    extent: Option<Extent>,
    /// Workers whose handler is compiled in and answers at once, instead of those that call a processor
    #[arg(long)]
    quick: bool,
    /// So many rounds at a time; those that befall brokers run alone all the same
    #[arg(long, default_value_t = 1)]
    parallel: usize,
    /// Begin no further round after so many minutes
    #[arg(long)]
    minutes: Option<u64>,
    /// Append a line of JSON about each round to this file
    #[arg(long)]
    record: Option<PathBuf>,
    /// Of which commit the worker is, to be noted with each round
    #[arg(long)]
    revision: Option<String>,
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

#[derive(Debug, Subcommand)]
enum Command {
    /// Sum up recorded rounds, and write the table into the page beside the record
    Report {
        /// What `--record` has written
        record: PathBuf,
        /// The page; by default the record's name with `.md`
        #[arg(long)]
        page: Option<PathBuf>,
    },
}

impl Arguments {
    /// By clusters, so that each is brought up once.
    fn plans(&self) -> Vec<(u8, Vec<Plan>)> {
        let brokers = |seed: u64| self.brokers.unwrap_or(if seed.is_multiple_of(4) { 3 } else { 1 });
        let seeds = self.seed..self.seed.saturating_add(self.rounds);
        let (theme, extent, quick) = (self.theme, self.extent, self.quick);
        let plan = |seed| Plan::asked(Asked { seed, brokers: brokers(seed), theme, extent, quick });
        let plans: Vec<Plan> = seeds.map(plan).collect();
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
    if let Some(Command::Report { record, page }) = &arguments.command {
        let page = page.clone().unwrap_or_else(|| record.with_extension("md"));
        return match report(record, &page) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                say(format_args!("{} was not written: {error}", page.display()));
                ExitCode::from(2)
            }
        };
    }
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

fn report(record: &Path, page: &Path) -> Result<()> {
    let read = |path: &Path| {
        let what = || format!("reading {}", path.display());
        std::fs::read_to_string(path).map_err(|source| Error::Io { what: what(), source })
    };
    let text = rewritten(&read(page)?, &read(record)?).map_err(|error| Error::Evidence(error.to_string()))?;
    std::fs::write(page, text).map_err(|source| Error::Io { what: format!("writing {}", page.display()), source })
}

fn run(arguments: &Arguments) -> Result<Totals> {
    let own = || std::env::temp_dir().join(format!("penstock-chaos-{}", std::process::id()));
    let session = Session {
        logs: arguments.logs.clone().unwrap_or_else(own),
        record: arguments.record.clone(),
        revision: arguments.revision.clone(),
        until: arguments.minutes.map(|minutes| Instant::now() + Duration::from_secs(60 * minutes)),
        totals: Mutex::default(),
        alone: RwLock::default(),
    };
    for (brokers, plans) in arguments.plans() {
        // A thread cannot leave a lab's network again: each lab has one of its own.
        let here = std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                let cluster = Cluster::up(brokers)?;
                session.on(&cluster, plans, arguments.parallel)?;
                if arguments.keep { Ok(()) } else { cluster.down() }
            });
            thread.join().unwrap_or_else(|cause| std::panic::resume_unwind(cause))
        });
        here?;
    }
    let _ = std::fs::remove_dir(&session.logs); // only when nothing was left in it
    Ok(session.totals.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// Rounds that are counted together.
struct Session {
    logs: PathBuf,
    record: Option<PathBuf>,
    revision: Option<String>,
    until: Option<Instant>,
    totals: Mutex<Totals>,
    /// Held for writing by a round that befalls the whole cluster.
    alone: RwLock<()>,
}

impl Session {
    /// Carries out plans on a cluster, so many at a time.
    fn on(&self, cluster: &Cluster, plans: Vec<Plan>, parallel: usize) -> Result<()> {
        let queue = Mutex::new(plans.into_iter());
        let next = || {
            let in_time = self.until.is_none_or(|until| Instant::now() < until);
            queue.lock().unwrap_or_else(PoisonError::into_inner).next().filter(|_| in_time)
        };
        std::thread::scope(|scope| {
            let work = || std::iter::from_fn(next).try_for_each(|plan| self.round(cluster, &plan));
            let threads: Vec<_> = (0..parallel.max(1)).map(|_| scope.spawn(work)).collect();
            let join = |thread: ScopedJoinHandle<'_, Result<()>>| {
                thread.join().unwrap_or_else(|cause| std::panic::resume_unwind(cause))
            };
            threads.into_iter().try_for_each(join)
        })
    }

    fn round(&self, cluster: &Cluster, plan: &Plan) -> Result<()> {
        let folder = self.logs.join(format!("seed-{}", plan.seed));
        let result = if plan.is_for_all() {
            let _alone = self.alone.write();
            round::run(cluster, plan, &folder)
        } else {
            let _beside_others = self.alone.read();
            round::run(cluster, plan, &folder)
        };
        match &result {
            Ok(outcome) => say(of_round(plan, outcome, &folder)),
            Err(error) => say(format_args!("seed {}: not carried out ({plan}): {error}", plan.seed)),
        }
        let mut totals = self.totals.lock().unwrap_or_else(PoisonError::into_inner);
        totals.add(plan, &result);
        if let Some(file) = &self.record {
            append(file, &record_of(plan, &result, self.revision.as_deref()))?;
        }
        if result.is_ok_and(|outcome| outcome.findings.is_empty()) {
            let _ = std::fs::remove_dir_all(&folder);
        }
        Ok(())
    }
}

fn append(file: &Path, line: &str) -> Result<()> {
    let written = OpenOptions::new().create(true).append(true).open(file).and_then(|mut file| writeln!(file, "{line}"));
    written.map_err(|source| Error::Io { what: format!("writing {}", file.display()), source })
}
