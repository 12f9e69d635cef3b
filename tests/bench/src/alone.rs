//! What is measured of Penstock alone, because it has a bar of its own: a day of traffic, an idle worker, how soon a free place is
//! taken again, and what sick keys cost the healthy ones.

use std::borrow::Cow;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::Failure;
use crate::arm::Programs;
use crate::measure::Running;
use crate::topic::{KEYS, Topic};

/// Partitions that an idle worker owns.
const IDLE_PARTITIONS: i32 = 100;
/// An idle worker is watched for so long, once it has settled.
const IDLE: Duration = Duration::from_secs(20);
const SETTLE: Duration = Duration::from_secs(5);
/// Longest wait for anything.
const LIMIT: Duration = Duration::from_secs(120);
/// Records of the runs with sick keys, and how many a second are produced: what 10 of 64 places do with calls of 1 ms, and keys
/// that fail have theirs beside.
const SICK_RECORDS: u64 = 100_000;
const SICK_RATE: u64 = 10_000;
/// Keys from here on are healthy: `bench-handler` knows the same number.
const HEALTHY_FROM: u64 = 60;
/// Records of the runs with an output each, which go to as many partitions as they come from.
const WITH_OUTPUT: u64 = 2_000_000;
/// The same, where each record is a call.
const WITH_OUTPUT_ONE_BY_ONE: u64 = 500_000;
const PARTITIONS: i32 = 8;
/// Calls after which the wait for a free place is judged.
const PLACES: u64 = 200_000;

/// Figures of one kind, one of each run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Figure {
    /// What was measured, with its unit.
    pub(crate) name: Cow<'static, str>,
    /// What it should be.
    pub(crate) bar: Cow<'static, str>,
    /// One of each run.
    pub(crate) values: Vec<f64>,
}

/// Measures all of it.
pub(crate) fn figures(programs: &Programs, bootstrap: &str, runs: u32) -> Result<Vec<Figure>, Failure> {
    let bench = Bench { programs, bootstrap };
    let mut figures = Vec::new();
    eprintln!("bench: ten million flights (writing them once takes a minute)");
    let flights = Topic::flights(bootstrap)?;
    let days = each(runs, |serial| bench.day(&flights, serial))?;
    figures.push(figure("ten million flights, discard, s", "< 30", &days, |day| day.0));
    figures.push(figure("the same, peak memory, MiB", "< 200", &days, |day| day.1));
    eprintln!(
        "bench: an output for each record, in the order of {PARTITIONS} partitions: in batches with sameLane, and one by one"
    );
    let outputs = each(runs, |serial| bench.outputs("batches", WITH_OUTPUT, serial))?;
    figures.push(figure("an output each, in order of partitions, thousands of records/s", "", &outputs, |rate| *rate));
    let outputs = each(runs, |serial| bench.outputs("each", WITH_OUTPUT_ONE_BY_ONE, serial))?;
    figures.push(figure("the same, one record a call, thousands of records/s", "", &outputs, |rate| *rate));
    eprintln!("bench: an idle worker of {IDLE_PARTITIONS} partitions");
    let idle = each(runs, |serial| bench.idle(serial))?;
    figures.push(figure("idle, 100 partitions, % of a core", "< 1", &idle, |idle| idle.0));
    figures.push(figure("the same, memory, MiB", "< 40", &idle, |idle| idle.1));
    eprintln!("bench: from the end of a call to the next start, 64 calls of 1 ms");
    let places = each(runs, |serial| bench.places(serial))?;
    figures.push(figure("a free place is taken again after, p99, ms", "< 1", &places, |millis| *millis));
    eprintln!("bench: 1 % of the keys always fail, 5 % fail three times a record");
    let sick = each(runs, |serial| bench.sick(serial))?;
    figures.push(figure("healthy keys' p99 delay, sick / clean", "≤ 2", &sick, |sick| sick.0));
    figures.push(figure("healthy keys' backlog drained, sick / clean", "≤ 1.2", &sick, |sick| sick.1));
    Ok(figures)
}

fn each<T>(runs: u32, run: impl Fn(u32) -> Result<T, Failure>) -> Result<Vec<T>, Failure> {
    (0..runs).map(run).collect()
}

fn figure<T>(name: &'static str, bar: &'static str, runs: &[T], value: impl Fn(&T) -> f64) -> Figure {
    let values: Vec<f64> = runs.iter().map(value).collect();
    eprintln!("  {name}: {values:.2?} (bar {bar})");
    Figure { name: name.into(), bar: bar.into(), values }
}

struct Bench<'a> {
    programs: &'a Programs,
    bootstrap: &'a str,
}

impl Bench<'_> {
    /// A worker whose group is new; `micros` of work a record, `concurrency` calls at once.
    fn worker(&self, topic: &Topic, name: &str, micros: u32, concurrency: u32) -> Command {
        let mut command = Command::new(self.programs.release.join("bench-worker"));
        let group = format!("{name}-{}", std::process::id());
        command.args([self.bootstrap, &topic.name, &group, &micros.to_string(), &concurrency.to_string()]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        command
    }

    /// Seconds, and memory.
    fn day(&self, flights: &Topic, serial: u32) -> Result<(f64, f64), Failure> {
        let name = format!("day-{serial}");
        until_committed(flights, &name, &mut self.worker(flights, &name, 0, 64))
    }

    /// Thousands of records a second, each with an output, from the start of the process to the last commit.
    fn outputs(&self, calls: &str, records: u64, serial: u32) -> Result<f64, Failure> {
        let topic = Topic::with(self.bootstrap, records)?;
        let output = Topic::empty(self.bootstrap, fresh(&format!("outputs-{calls}"), serial), PARTITIONS)?;
        let name = format!("put-out-{calls}-{serial}");
        let mut command = self.worker(&topic, &name, 0, 64);
        let command = command.env("OUTPUT", &output.name).env("PUT_OUT", calls);
        let (seconds, _) = until_committed(&topic, &name, command)?;
        Ok(topic.records as f64 / seconds / 1000.0)
    }

    /// Share of a core in per cent, and memory, of a worker with nothing to do.
    fn idle(&self, serial: u32) -> Result<(f64, f64), Failure> {
        let topic = Topic::empty(self.bootstrap, fresh("idle", serial), IDLE_PARTITIONS)?;
        let process = Running::start(&mut self.worker(&topic, &format!("idle-{serial}"), 0, 64))?;
        thread::sleep(SETTLE);
        let (began, cpu) = (Instant::now(), process.cpu_seconds()?);
        thread::sleep(IDLE);
        let share = (process.cpu_seconds()? - cpu) / began.elapsed().as_secs_f64();
        Ok((share * 100.0, process.peak_mib()?))
    }

    /// Milliseconds that a place was empty, 99 % of the time less.
    fn places(&self, serial: u32) -> Result<f64, Failure> {
        let topic = Topic::with(self.bootstrap, 2_000_000)?;
        let mut command = self.worker(&topic, &format!("places-{serial}"), 1000, 64);
        let line = Running::start(command.env("WATCH", format!("places:{PLACES}")))?.says("places", LIMIT)?;
        Ok(number(&line, "p99")? / 1000.0)
    }

    /// How much longer healthy keys take beside sick ones: their p99 delay at a steady rate, and their backlog.
    fn sick(&self, serial: u32) -> Result<(f64, f64), Failure> {
        let (clean, sick) = (self.steady(serial, false)?, self.steady(serial, true)?);
        let backlog = Topic::with(self.bootstrap, SICK_RECORDS)?;
        let drained = |sick| {
            let name = format!("backlog-{serial}-{sick}");
            let line = Running::start(&mut self.healthy(&backlog, &name, sick))?.says("healthy", LIMIT)?;
            number(&line, "drained")
        };
        Ok((sick / clean, drained(true)? / drained(false)?))
    }

    fn steady(&self, serial: u32, sick: bool) -> Result<f64, Failure> {
        let topic = Topic::empty(self.bootstrap, fresh(&format!("steady-{sick}"), serial), 8)?;
        let process = Running::start(&mut self.healthy(&topic, &format!("steady-{serial}-{sick}"), sick))?;
        thread::sleep(SETTLE); // it must be there before the first record, and says nothing of that
        topic.write_paced(SICK_RECORDS, SICK_RATE)?;
        number(&process.says("healthy", LIMIT)?, "p99")
    }

    fn healthy(&self, topic: &Topic, name: &str, sick: bool) -> Command {
        let healthy = SICK_RECORDS / KEYS * (KEYS - HEALTHY_FROM);
        let mut command = self.worker(topic, name, 1000, 64);
        command.env("WATCH", format!("healthy:{healthy}"));
        if sick {
            command.env("SICK", "1");
        }
        command
    }
}

/// Seconds from the start of the process to the last commit, and its memory.
fn until_committed(topic: &Topic, name: &str, worker: &mut Command) -> Result<(f64, f64), Failure> {
    let watch = topic.watch(&format!("{name}-{}", std::process::id()))?;
    let began = Instant::now();
    let process = Running::start(worker)?;
    while watch.committed()? < topic.records {
        if began.elapsed() > LIMIT {
            return Err(format!("{} was not done in {LIMIT:?}", topic.name).into());
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok((began.elapsed().as_secs_f64(), process.peak_mib()?))
}

/// A topic name that no earlier run used.
fn fresh(name: &str, serial: u32) -> String {
    format!("bench-{name}-{serial}-{}", std::process::id())
}

/// The number behind a word.
fn number(line: &str, word: &str) -> Result<f64, Failure> {
    let mut words = line.split_whitespace();
    let found = words.by_ref().any(|one| one == word).then(|| words.next()).flatten();
    Ok(found.ok_or_else(|| format!("no {word} in `{line}`"))?.parse()?)
}
