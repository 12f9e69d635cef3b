//! `bench`: every arm over every cell on one broker in one run, in fresh processes, interleaved, so that drift of the machine hits
//! all alike. Writes raw JSON and a Markdown table.

mod alone;
mod arm;
mod cell;
mod goals;
mod measure;
mod plot;
mod report;
mod topic;

use std::path::{Path, PathBuf};
use std::{env, fs};

use clap::Parser;
use serde::{Deserialize, Serialize};

use crate::alone::Figure;
use crate::arm::{Arm, Programs};
use crate::cell::Cell;
use crate::measure::Run;
use crate::topic::Topic;

/// What went wrong, in words; a benchmark has nobody who would tell kinds apart.
type Failure = Box<dyn std::error::Error>;

/// Measures Penstock's worker against a raw librdkafka loop, Spring Kafka and Confluent Parallel Consumer.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// Brokers of a Kafka that does nothing else.
    #[arg(long, env = "PENSTOCK_LAB_KAFKA", default_value = "10.244.0.1:9092")]
    bootstrap: String,
    /// Fresh processes for each arm and cell.
    #[arg(long, default_value_t = 5)]
    runs: u32,
    /// Only these cells; `alone` for what is measured of Penstock alone.
    #[arg(long, value_delimiter = ',')]
    cells: Vec<String>,
    /// Only arms whose name contains one of these.
    #[arg(long, value_delimiter = ',')]
    arms: Vec<String>,
    /// Folder with the built rivals.
    #[arg(long, default_value = "tests/bench/rivals")]
    rivals: PathBuf,
    /// Measure nothing, and make the page again from the raw figures in OUT.
    #[arg(long)]
    again: bool,
    /// Where it goes: the tables to OUT.md, raw figures and pictures into the folder OUT.
    #[arg(long, default_value = "target/bench")]
    out: PathBuf,
}

fn main() -> Result<(), Failure> {
    let args = Args::parse();
    let own = env::current_exe()?;
    let release = own.parent().ok_or("this program has no folder")?.to_owned();
    let programs = Programs { release, rivals: args.rivals.clone() };
    if args.again {
        return again(&args.out);
    }
    let chosen = |name: &str| args.cells.is_empty() || args.cells.iter().any(|one| one == name);
    let plays = |arm: Arm| args.arms.is_empty() || args.arms.iter().any(|one| arm.name().contains(one.as_str()));
    let cells: Vec<Cell> = Cell::all().into_iter().filter(|cell| chosen(cell.name)).collect();
    let mut runs = Vec::new();
    for cell in &cells {
        eprintln!("bench: {} ({} records; writing them once may take a minute)", cell.name, cell.records);
        let topic = Topic::with(&args.bootstrap, cell.records)?;
        for serial in 0..args.runs {
            for arm in Arm::ALL.into_iter().filter(|arm| arm.plays(cell) && plays(*arm)) {
                let run = measure::run(arm, cell, &programs, &args.bootstrap, &topic, serial)?;
                eprintln!(
                    "  {:<38} {:>12.0} records/s {:>8.2} µs CPU {:>6.0} MiB",
                    run.arm, run.rate, run.cpu_micros, run.rss_mib
                );
                runs.push(run);
            }
        }
    }
    let figures = if chosen("alone") { alone::figures(&programs, &args.bootstrap, args.runs)? } else { vec![] };
    fs::create_dir_all(&args.out)?;
    let raw = Raw { machine: report::machine(), runs, figures };
    fs::write(args.out.join("runs.json"), serde_json::to_string_pretty(&raw)?)?;
    publish(&args.out, &raw)
}

/// All that was measured.
#[derive(Serialize, Deserialize)]
struct Raw {
    machine: String,
    runs: Vec<Run>,
    figures: Vec<Figure>,
}

fn again(out: &Path) -> Result<(), Failure> {
    publish(out, &serde_json::from_str(&fs::read_to_string(out.join("runs.json"))?)?)
}

fn publish(out: &Path, Raw { machine, runs, figures }: &Raw) -> Result<(), Failure> {
    let measured = |cell: &Cell| runs.iter().any(|run| run.cell == cell.name);
    let cells: Vec<Cell> = Cell::all().into_iter().filter(measured).collect();
    for cell in &cells {
        fs::write(out.join(cell.name).with_extension("svg"), report::picture(cell, runs))?;
    }
    let folder = out.file_name().unwrap_or_default().to_string_lossy();
    fs::write(out.with_extension("md"), report::page(machine, &cells, runs, figures, &folder))?;
    eprintln!("bench: wrote {0}.md, {0}/runs.json and the pictures beside it", out.display());
    Ok(())
}
