//! One run of one arm, from the word `first` to its last committed record, watched from outside. The arms over librdkafka say the
//! word before they make a client, Penstock's even before its program is loaded; those in Java say it at their first record, so that
//! starting a JVM is not held against them.

use std::borrow::Cow;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError, channel};
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
    let server = if cell.calls() { Some(Server::start(programs, &group)?) } else { None };
    let called = server.as_ref().map_or("", |server| if arm.takes_socket() { &server.socket } else { &server.port });
    let process = Running::start(&mut arm.command(programs, (bootstrap, called), &topic.name, &group, cell))?;
    process.says("first", START_MAX)?;
    let (begin, cpu) = (Instant::now(), process.cpu_seconds()?);
    let records = if arm.commits() {
        let watch = topic.watch(&group)?;
        loop {
            let committed = watch.committed()?;
            process.check()?;
            if let Some(server) = &server {
                server.process.check()?;
            }
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

/// The server that some arms call.
struct Server {
    process: Running,
    port: String,
    /// Path of its Unix socket.
    socket: String,
}

impl Server {
    fn start(programs: &Programs, name: &str) -> Result<Self, Failure> {
        let socket = std::env::temp_dir().join(format!("{name}.sock")).to_string_lossy().into_owned();
        // A thousand threads of a rival have as many connections, which is more than a process may open by default.
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -n \"$(ulimit -H -n)\"; exec \"$0\" \"$1\""]);
        command.arg(programs.release.join("bench-processor")).arg(&socket);
        let process = Running::start(command.stdin(Stdio::null()).stdout(Stdio::piped()))?;
        let line = process.says("port", START_MAX)?;
        let port = line.split_whitespace().nth(1).ok_or("the server names no port")?.to_owned();
        Ok(Self { process, port, socket })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A file that stays would only be in somebody's way.
        let _ = fs::remove_file(&self.socket);
    }
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
                Ok(line) => self.heard(&line)?,
                Err(RecvTimeoutError::Timeout) => {
                    return Err(format!("{}: no `{word}` within {within:?}", self.name).into());
                }
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(format!("{} ended before `{word}`", self.name).into());
                }
            }
        }
    }

    /// Whether it still runs and has not said `failed`: what has stopped must not count as slow.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        loop {
            match self.lines.try_recv() {
                Ok(line) => self.heard(&line)?,
                Err(TryRecvError::Empty) => return Ok(()),
                Err(TryRecvError::Disconnected) => return Err(format!("{} ended too early", self.name).into()),
            }
        }
    }

    fn heard(&self, line: &str) -> Result<(), Failure> {
        match line.split_whitespace().next() {
            Some("failed") => Err(format!("{}: {line}", self.name).into()),
            _ => Ok(()),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Running {
        Running::start(Command::new("sh").args(["-c", script]).stdin(Stdio::null()).stdout(Stdio::piped())).unwrap()
    }

    /// What `check` says once it says something.
    fn complaint(process: &Running) -> String {
        let deadline = Instant::now() + START_MAX;
        loop {
            match process.check() {
                Err(failure) => return failure.to_string(),
                Ok(()) => assert!(Instant::now() < deadline, "nothing was noticed"),
            }
            thread::sleep(WATCH_EVERY);
        }
    }

    #[test]
    fn who_works_is_well() {
        let process = shell("echo first; exec sleep 600");
        process.says("first", START_MAX).unwrap();
        process.check().unwrap();
    }

    #[test]
    fn a_failure_ends_the_measurement() {
        let early = shell("echo failed no server");
        assert_eq!(early.says("first", START_MAX).unwrap_err().to_string(), "sh: failed no server");
        let late = shell("echo first; echo failed the server answered 500; exec sleep 600");
        late.says("first", START_MAX).unwrap();
        assert_eq!(complaint(&late), "sh: failed the server answered 500");
    }

    #[test]
    fn who_is_gone_is_not_slow() {
        let process = shell("echo first");
        process.says("first", START_MAX).unwrap();
        assert_eq!(complaint(&process), "sh ended too early");
    }
}
