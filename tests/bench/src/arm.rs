//! The arms: what is started, with which settings. Each reads a topic with a fresh group in a fresh process.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::cell::{Cell, Task};

/// One contender at one setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arm {
    /// A librdkafka poll loop that commits nothing: the ceiling for a client that does nothing else.
    Raw,
    /// Penstock's worker: `discard` where there is no work, else a handler compiled in.
    Penstock,
    /// Penstock's worker with a processor over HTTP, one record a call.
    PenstockHttp,
    /// The same with batches of up to 500 records, one of each key.
    PenstockBatch,
    /// The same with batches that may hold several records of a key (`sameLane`).
    PenstockSameLane,
    /// Spring Kafka, record listener, 8 consumers.
    SpringRecord,
    /// Spring Kafka, batch listener, 8 consumers.
    SpringBatch,
    /// Confluent Parallel Consumer, key order, 100 threads.
    Parallel100,
    /// Confluent Parallel Consumer, key order, 1,000 threads.
    Parallel1000,
}

/// Where programs are.
pub(crate) struct Programs {
    /// Folder of Penstock's release binaries.
    pub(crate) release: PathBuf,
    /// Folder with the built rivals.
    pub(crate) rivals: PathBuf,
}

impl Arm {
    /// All of them, in the order of the table.
    pub(crate) const ALL: [Self; 9] = [
        Self::Raw,
        Self::Penstock,
        Self::PenstockHttp,
        Self::PenstockBatch,
        Self::PenstockSameLane,
        Self::SpringRecord,
        Self::SpringBatch,
        Self::Parallel100,
        Self::Parallel1000,
    ];

    /// Name in tables and on the command line.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw poll loop",
            Self::Penstock => "Penstock",
            Self::PenstockHttp => "Penstock, HTTP, 64",
            Self::PenstockBatch => "Penstock, HTTP, 64, batches",
            Self::PenstockSameLane => "Penstock, HTTP, 64, batches, sameLane",
            Self::SpringRecord => "Spring Kafka 4.1, record, 8",
            Self::SpringBatch => "Spring Kafka 4.1, batch, 8",
            Self::Parallel100 => "Parallel Consumer 0.5.3.3, key, 100",
            Self::Parallel1000 => "Parallel Consumer 0.5.3.3, key, 1000",
        }
    }

    /// Whether it commits what it has done. The raw loop does not; it says itself when it is through.
    pub(crate) const fn commits(self) -> bool {
        !matches!(self, Self::Raw)
    }

    /// Whether somebody else made it.
    pub(crate) const fn is_rival(self) -> bool {
        matches!(self, Self::SpringRecord | Self::SpringBatch | Self::Parallel100 | Self::Parallel1000)
    }

    /// Whether the arm takes part in a cell. A poll loop that sleeps is no ceiling of anything.
    pub(crate) fn plays(self, cell: &Cell) -> bool {
        match cell.task {
            Task::Http => self == Self::PenstockHttp,
            Task::HttpBatch => matches!(self, Self::PenstockBatch | Self::PenstockSameLane),
            Task::Wait => !self.calls() && (self != Self::Raw || cell.work.is_zero()),
        }
    }

    /// Whether it calls the benchmark's own server, `bench-processor`.
    pub(crate) const fn calls(self) -> bool {
        matches!(self, Self::PenstockHttp | Self::PenstockBatch | Self::PenstockSameLane)
    }

    /// The process, ready to start. `port` is that of the server, for arms that call it.
    pub(crate) fn command(
        self,
        programs: &Programs,
        (bootstrap, port): (&str, &str),
        topic: &str,
        group: &str,
        cell: &Cell,
    ) -> Command {
        let work = cell.work.as_micros().to_string();
        let worker = |more: &[&str]| {
            arguments(&programs.release.join("bench-worker"), &[&[bootstrap, topic, group], more].concat())
        };
        let mut command = match self {
            Self::Raw => {
                arguments(&programs.release.join("bench-raw"), &[bootstrap, topic, group, &cell.records.to_string()])
            }
            Self::Penstock => worker(&[&work]),
            Self::PenstockHttp => worker(&["0", "64", port]),
            Self::PenstockBatch => worker(&["0", "64", port, "{\"maxRecords\": 500}"]),
            Self::PenstockSameLane => worker(&["0", "64", port, "{\"maxRecords\": 500, \"sameLane\": true}"]),
            Self::SpringRecord => {
                java(programs, "spring", "rivals.Spring", &["record", bootstrap, topic, group, &work, "8"])
            }
            Self::SpringBatch => {
                java(programs, "spring", "rivals.Spring", &["batch", bootstrap, topic, group, &work, "8"])
            }
            Self::Parallel100 => parallel(programs, bootstrap, topic, group, &work, "100"),
            Self::Parallel1000 => parallel(programs, bootstrap, topic, group, &work, "1000"),
        };
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        command
    }
}

fn arguments(program: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments);
    command
}

fn parallel(programs: &Programs, bootstrap: &str, topic: &str, group: &str, work: &str, threads: &str) -> Command {
    java(programs, "parallel-consumer", "rivals.Parallel", &["KEY", bootstrap, topic, group, work, threads])
}

fn java(programs: &Programs, project: &str, class: &str, rest: &[&str]) -> Command {
    let target = programs.rivals.join(project).join("target");
    let classpath = format!("{}:{}", target.join("classes").display(), target.join("dependency/*").display());
    let mut command = Command::new("java");
    command.args(["-Xmx2g", "-XX:+UseParallelGC", "-cp", &classpath, class]).args(rest);
    command
}
