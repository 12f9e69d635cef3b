//! The arms: what is started, with which settings. Each reads a topic with a fresh group in a fresh process.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::cell::{Cell, Task};

/// Most records of a call in the cell with batches, for everybody.
const BATCH: &str = "500";

/// One contender at one setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arm {
    /// A librdkafka poll loop that commits nothing: the ceiling for a client that does nothing else.
    Raw,
    /// Penstock's worker with a handler compiled in: a quick one where there is no work, else an asynchronous one.
    Penstock,
    /// The same with an asynchronous one where there is no work.
    PenstockAsync,
    /// Penstock's worker with a processor over HTTP, one record a call.
    PenstockHttp,
    /// The same over a Unix socket.
    PenstockSocket,
    /// Penstock's worker with a processor over HTTP and batches of up to 500 records, one of each key.
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
    pub(crate) const ALL: [Self; 11] = [
        Self::Raw,
        Self::Penstock,
        Self::PenstockAsync,
        Self::PenstockHttp,
        Self::PenstockSocket,
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
            Self::PenstockAsync => "Penstock, asynchronous handler",
            Self::PenstockHttp => "Penstock, HTTP, 64",
            Self::PenstockSocket => "Penstock, HTTP, 64, Unix socket",
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

    /// Whether it calls the server at its Unix socket.
    pub(crate) const fn takes_socket(self) -> bool {
        matches!(self, Self::PenstockSocket)
    }

    /// Whether somebody else made it.
    pub(crate) const fn is_rival(self) -> bool {
        matches!(self, Self::SpringRecord | Self::SpringBatch | Self::Parallel100 | Self::Parallel1000)
    }

    /// Whether the arm takes part in a cell. A poll loop that sleeps is no ceiling of anything. Spring's listener
    /// for batches has no part where each record is a call, and the one for records none where they are sent together.
    pub(crate) fn plays(self, cell: &Cell) -> bool {
        match self {
            Self::Raw | Self::PenstockAsync => cell.task == Task::Wait && cell.work.is_zero(),
            Self::Penstock => cell.task == Task::Wait,
            Self::PenstockHttp | Self::PenstockSocket => cell.task == Task::Http,
            Self::PenstockBatch | Self::PenstockSameLane => cell.task == Task::HttpBatch,
            Self::SpringRecord => cell.task != Task::HttpBatch,
            Self::SpringBatch => cell.task != Task::Http,
            Self::Parallel100 | Self::Parallel1000 => true,
        }
    }

    /// The arm of Penstock that a cell's bars are about, and that is set beside the rivals.
    pub(crate) const fn own(cell: &Cell) -> Self {
        match cell.task {
            Task::Wait => Self::Penstock,
            Task::Http => Self::PenstockHttp,
            Task::HttpBatch => Self::PenstockBatch,
        }
    }

    /// The process, ready to start. `server` is the port of the server or its socket, in cells where it is called.
    pub(crate) fn command(
        self,
        programs: &Programs,
        (bootstrap, server): (&str, &str),
        topic: &str,
        group: &str,
        cell: &Cell,
    ) -> Command {
        let work = cell.work.as_micros().to_string();
        let worker = |more: &[&str]| {
            arguments(&programs.release.join("bench-worker"), &[&[bootstrap, topic, group], more].concat())
        };
        let batch = format!("{{\"maxRecords\": {BATCH}}}");
        let same_lane = format!("{{\"maxRecords\": {BATCH}, \"sameLane\": true}}");
        // What rivals are told of the server: where it is, and how many records a call may have.
        let calls = match cell.task {
            Task::Wait => vec![],
            Task::Http => vec![server, "1"],
            Task::HttpBatch => vec![server, BATCH],
        };
        let rival = |project: &str, class: &str, kind: &str, concurrency: &str| {
            let rest = [&[kind, bootstrap, topic, group, &work, concurrency], calls.as_slice()].concat();
            java(programs, project, class, &rest)
        };
        let mut command = match self {
            Self::Raw => {
                arguments(&programs.release.join("bench-raw"), &[bootstrap, topic, group, &cell.records.to_string()])
            }
            Self::Penstock | Self::PenstockAsync => worker(&[&work]),
            Self::PenstockHttp | Self::PenstockSocket => worker(&["0", "64", server]),
            Self::PenstockBatch => worker(&["0", "64", server, &batch]),
            Self::PenstockSameLane => worker(&["0", "64", server, &same_lane]),
            Self::SpringRecord => rival("spring", "rivals.Spring", "record", "8"),
            Self::SpringBatch => rival("spring", "rivals.Spring", "batch", "8"),
            Self::Parallel100 => rival("parallel-consumer", "rivals.Parallel", "KEY", "100"),
            Self::Parallel1000 => rival("parallel-consumer", "rivals.Parallel", "KEY", "1000"),
        };
        if cell.task == Task::Wait && cell.work.is_zero() {
            command.env("HANDLER", if self == Self::PenstockAsync { "async" } else { "quick" });
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        command
    }
}

fn arguments(program: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments);
    command
}

fn java(programs: &Programs, project: &str, class: &str, rest: &[&str]) -> Command {
    let target = programs.rivals.join(project).join("target");
    let classpath = format!("{}:{}", target.join("classes").display(), target.join("dependency/*").display());
    let mut command = Command::new("java");
    // Without the second a rival whose threads have died of it would seem to be slow.
    let flags = ["-Xmx2g", "-XX:+ExitOnOutOfMemoryError", "-XX:+UseParallelGC"];
    command.args(flags).args(["-cp", &classpath, class]).args(rest);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(name: &str) -> Cell {
        Cell::all().into_iter().find(|cell| cell.name == name).unwrap()
    }

    fn line(arm: Arm, name: &str) -> String {
        let programs = Programs { release: PathBuf::from("release"), rivals: PathBuf::from("rivals") };
        let command = arm.command(&programs, ("broker:9092", "4711"), "topic", "group", &cell(name));
        command.get_args().map(|argument| argument.to_string_lossy()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn penstock_meets_rivals_in_every_cell() {
        for cell in Cell::all() {
            assert!(Arm::own(&cell).plays(&cell), "{}", cell.name);
            let rivals: Vec<Arm> = Arm::ALL.into_iter().filter(|arm| arm.is_rival() && arm.plays(&cell)).collect();
            let expected = match cell.task {
                Task::Wait => vec![Arm::SpringRecord, Arm::SpringBatch, Arm::Parallel100, Arm::Parallel1000],
                Task::Http => vec![Arm::SpringRecord, Arm::Parallel100, Arm::Parallel1000],
                Task::HttpBatch => vec![Arm::SpringBatch, Arm::Parallel100, Arm::Parallel1000],
            };
            assert_eq!(rivals, expected, "{}", cell.name);
        }
    }

    #[test]
    fn whoever_calls_the_server_knows_where_it_is() {
        for cell in Cell::all() {
            for arm in Arm::ALL.into_iter().filter(|arm| arm.plays(&cell)) {
                let line = line(arm, cell.name);
                assert_eq!(line.split(' ').any(|word| word == "4711"), cell.calls(), "{}: {line}", cell.name);
            }
        }
    }

    #[test]
    fn batches_have_the_same_limit_for_all() {
        assert!(line(Arm::PenstockBatch, "http-batch").ends_with("0 64 4711 {\"maxRecords\": 500}"));
        assert!(line(Arm::SpringBatch, "http-batch").ends_with("batch broker:9092 topic group 0 8 4711 500"));
        assert!(line(Arm::Parallel100, "http-batch").ends_with("KEY broker:9092 topic group 0 100 4711 500"));
        assert!(line(Arm::Parallel1000, "http").ends_with("KEY broker:9092 topic group 0 1000 4711 1"));
        assert!(line(Arm::SpringRecord, "10ms").ends_with("record broker:9092 topic group 10000 8"));
    }
}
