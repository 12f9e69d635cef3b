//! What is said on the init's control socket: one request and one answer per connection, a line of JSON each.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Counts up when a `lab` could misunderstand an older init.
pub(crate) const PROTOCOL: u32 = 1;

/// A program that the init runs and looks after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// The name it is started, signalled and listed by.
    pub name: String,
    /// The file to run.
    pub program: PathBuf,
    /// The name it is called by: a multi-call binary becomes what it is called.
    pub called: String,
    /// What follows.
    pub arguments: Vec<String>,
    /// Added to the init's environment.
    pub environment: BTreeMap<String, String>,
    /// Where stdout and stderr are appended.
    pub log: PathBuf,
}

/// What became of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// It runs.
    Running,
    /// It ended by itself with this status.
    Exited(i32),
    /// A signal ended it.
    Killed(i32),
}

/// A service as the init sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceState {
    /// The service's name.
    pub name: String,
    /// Its PID inside the lab.
    pub pid: i32,
    /// Whether it runs.
    pub state: State,
}

/// What a client may ask.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Request {
    /// Start it, unless it runs.
    Start(Service),
    /// Send the signal of that number.
    Signal { name: String, signal: i32 },
    /// Answer when the service has ended, at the latest after so many milliseconds.
    AwaitEnd { name: String, limit_ms: u64 },
    /// All services ever started.
    List,
}

/// What the init answers.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Answer {
    /// It is done; true where the request asked whether.
    Done(bool),
    /// The services, by name.
    Services(Vec<ServiceState>),
    /// It was not done, and why.
    Refused(String),
}
