//! The demo: a year of flights through a pipeline that scales to twelve workers, one of which is killed on the way; then the count.

mod burst;
mod count;
mod screen;
mod stage;

use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser;
use penstock_lab::Progress;

use crate::cluster::Cluster;
use crate::dataset;
use crate::failure::{Failure, Result};
use crate::flight::Flight;

/// Penstock's demo on a cluster and a broker of its own: real flights in, delays out, nothing lost.
#[derive(Clone, Copy, Debug, Parser)]
#[command(name = "demo", version, max_term_width = 120)]
pub struct Arguments {
    /// Leave the lab up at the end, with the pipeline in it
    #[arg(long)]
    keep: bool,
}

/// What was seen, and whether it is as it should be.
#[derive(Clone, Debug)]
struct Report {
    line: String,
    /// What helps to read it.
    notes: String,
    problems: Vec<String>,
}

/// Runs the demo. The last line on stdout is the sum; everything else is on stderr.
///
/// # Errors
/// What is not as it should be.
pub fn run(arguments: Arguments) -> Result<()> {
    let start = Instant::now();
    let progress = Arc::new(Progress::new());
    progress
        .say("a year of flights from New York through one ConsumerPipeline: under 4 minutes once everything is built");
    let text = dataset::text()?;
    let flights = dataset::flights(&text)?;
    progress.say(format!(
        "{} flights of {} aircraft; {} of them never arrived and must become dead letters",
        dataset::FLIGHTS,
        dataset::TAILNUMS,
        dataset::WITHOUT_DELAY
    ));
    let (cluster, was_up) = Cluster::up(&progress)?;
    let report = cluster.enter().and_then(|()| play(&cluster, &flights, &progress));
    if let Err(failure) = &report {
        progress.say(format!("failed: {failure}"));
        progress.say(format!("the operator's last words:\n{}", cluster.operator_log(60)));
    }
    if was_up || arguments.keep {
        progress.say("the lab stays up: lab status, lab kubectl --namespace flights get consumerpipelines, lab down");
    } else {
        cluster.down(&progress)?;
    }
    conclude(&report?, start.elapsed(), &progress)
}

fn play(cluster: &Cluster, flights: &[Flight<'_>], progress: &Arc<Progress>) -> Result<Report> {
    let stage = stage::set(cluster, progress)?;
    let run = burst::run(cluster, &stage, flights, progress)?;
    progress.say("reading both topics to their ends (10 s)");
    count::count(cluster, flights, &run)
}

fn conclude(report: &Report, took: Duration, progress: &Progress) -> Result<()> {
    progress.say(format!("took {}s", took.as_secs()));
    progress.say(&report.notes);
    for problem in &report.problems {
        progress.say(format!("wrong: {problem}"));
    }
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{}", report.line)
        .and_then(|()| stdout.flush())
        .map_err(|error| Failure::new(error.to_string()))?;
    match report.problems.len() {
        0 => Ok(()),
        some => Err(Failure::new(format!("{some} of the demo's promises were not kept"))),
    }
}
