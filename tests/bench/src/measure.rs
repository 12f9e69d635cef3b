//! One run of one arm, from the word `first` to its last committed record, watched from outside. The arms over librdkafka say the
//! word before they do anything; those in Java at their first record, so that starting a JVM is not held against them.

use std::borrow::Cow;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::Failure;
use crate::arm::{Arm, Programs};
use crate::cell::Cell;
use crate::topic::Topic;

/// How long an arm may take to its first record: a JVM and a group join are slow.
const START_MAX: Duration = Duration::from_secs(60);
/// How often the committed offsets are asked. It bounds the error of a time.
const WATCH_EVERY: Duration = Duration::from_millis(10);
/// Clock ticks a second of /proc/PID/stat: fixed in the kernel's interface to user space.
const TICKS: f64 = 100.0;

/// What one run showed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Run {
    /// Name of the cell.
    pub(crate) cell: Cow<'static, str>,
    /// Name of the arm.
    pub(crate) arm: Cow<'static, str>,
    /// Records committed (or, for the raw loop, read).
    pub(crate) records: u64,
    /// Seconds from the word `first`.
    pub(crate) seconds: f64,
    /// Records per second.
    pub(crate) rate: f64,
    /// Microseconds of CPU time for a record, user and system, of the whole process.
    pub(crate) cpu_micros: f64,
    /// Largest resident memory, MiB.
    pub(crate) rss_mib: f64,
}

/// Starts the arm with a group of its own and watches it to the end.
pub(crate) fn run(
    arm: Arm,
    cell: &Cell,
    programs: &Programs,
    bootstrap: &str,
    topic: &Topic,
    serial: u32,
) -> Result<Run, Failure> {
    let group = format!("bench-{}-{}-{serial}-{}", cell.name, arm as u8, std::process::id());
    let server = if arm.calls() { Some(server(programs)?) } else { None };
    let port = server.as_ref().map_or("", |(_, port)| port.as_str());
    let process = Running::start(&mut arm.command(programs, (bootstrap, port), &topic.name, &group, cell))?;
    process.says("first", START_MAX)?;
    let (begin, cpu) = (Instant::now(), process.cpu_seconds()?);
    let records = if arm.commits() {
        let watch = topic.watch(&group)?;
        loop {
            let committed = watch.committed()?;
            if committed >= cell.records || begin.elapsed() > cell.limit {
                break committed;
            }
            thread::sleep(WATCH_EVERY);
        }
    } else {
        process.says("done", START_MAX + cell.limit)?;
        cell.records
    };
    let seconds = begin.elapsed().as_secs_f64();
    let cpu = process.cpu_seconds()? - cpu;
    let per_record = |amount: f64| amount / (records.max(1) as f64);
    Ok(Run {
        cell: cell.name.into(),
        arm: arm.name().into(),
        records,
        seconds,
        rate: records as f64 / seconds,
        cpu_micros: per_record(cpu * 1e6),
        rss_mib: process.peak_mib()?,
    })
}

/// The server that some arms call, and its port.
fn server(programs: &Programs) -> Result<(Running, String), Failure> {
    let mut command = Command::new(programs.release.join("bench-processor"));
    let process = Running::start(command.stdin(Stdio::null()).stdout(Stdio::piped()))?;
    let line = process.says("port", START_MAX)?;
    let port = line.split_whitespace().nth(1).ok_or("the server names no port")?.to_owned();
    Ok((process, port))
}

/// A process whose lines are heard; gone when this goes.
pub(crate) struct Running {
    process: Child,
    lines: Receiver<String>,
    name: String,
}

impl Running {
    /// Starts it. Its standard output must be a pipe.
    pub(crate) fn start(command: &mut Command) -> Result<Self, Failure> {
        let name = command.get_program().to_string_lossy().into_owned();
        let mut process = command.spawn().map_err(|error| format!("starting {name}: {error}"))?;
        let lines = lines(process.stdout.take().ok_or("its output is no pipe")?);
        Ok(Self { process, lines, name })
    }

    /// Waits for a line that begins with a word.
    pub(crate) fn says(&self, word: &str, within: Duration) -> Result<String, Failure> {
        let deadline = Instant::now() + within;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) if line.split_whitespace().next() == Some(word) => return Ok(line),
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => {
                    return Err(format!("{}: no `{word}` within {within:?}", self.name).into());
                }
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(format!("{} ended before `{word}`", self.name).into());
                }
            }
        }
    }

    /// CPU time so far, user and system.
    pub(crate) fn cpu_seconds(&self) -> Result<f64, Failure> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.process.id()))?;
        let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let ticks = |n: usize| after_name.split_whitespace().nth(n).and_then(|text| text.parse::<f64>().ok());
        Ok((ticks(11).ok_or("no utime in stat")? + ticks(12).ok_or("no stime in stat")?) / TICKS)
    }

    /// The most memory that was resident.
    pub(crate) fn peak_mib(&self) -> Result<f64, Failure> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM in status")?;
        let kib: f64 = line.trim().trim_end_matches(" kB").trim().parse()?;
        Ok(kib / 1024.0)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may be gone already; either way it must not outlive its run.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn lines(output: ChildStdout) -> Receiver<String> {
    let (send, receive) = channel();
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if send.send(line).is_err() {
                break;
            }
        }
    });
    receive
}
