//! What can go wrong in the lab, said with what to do next.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Why the lab could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The machine lacks something; `remedy` is a command or a sentence that mends it.
    #[error("{what}\n  remedy: {remedy}")]
    Missing {
        /// What is not there.
        what: String,
        /// What to do about it.
        remedy: String,
    },
    /// A file, folder or system call failed.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: String,
        /// The operating system's word.
        source: io::Error,
    },
    /// A program that the lab ran ended with an error.
    #[error("{command} failed ({status}):\n{output}")]
    Command {
        /// The program and its arguments.
        command: String,
        /// How it ended.
        status: String,
        /// The end of what it printed.
        output: String,
    },
    /// Something that was started did not become ready in time.
    #[error("{what} not ready within {}s; the end of its log says:\n{log}", limit.as_secs())]
    NotReady {
        /// What was waited for.
        what: String,
        /// How long.
        limit: Duration,
        /// The last lines of its log.
        log: String,
    },
    /// The command needs a running lab.
    #[error("no lab is up in {}; start it with: lab up", .0.display())]
    NotUp(PathBuf),
    /// The lab runs, but not the way that was asked for.
    #[error("{0}")]
    Conflict(String),
    /// The init of the lab refused a request.
    #[error("the lab's init says: {0}")]
    Refused(String),
    /// A certificate could not be made.
    #[error("making the lab's certificates: {0}")]
    Certificate(#[from] rcgen::Error),
    /// Kafka refused, or could not be reached.
    #[error("Kafka, {what}: {source}")]
    Kafka {
        /// What was being done.
        what: String,
        /// The client's word.
        source: rdkafka::error::KafkaError,
    },
    /// A binary cannot be put into an image.
    #[error("{}: {why}", path.display())]
    Image {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

/// `Result` with the lab's error.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Adds what was being done to an operating system's error.
pub(crate) trait Context<T> {
    fn during(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Into<io::Error>> Context<T> for std::result::Result<T, E> {
    fn during(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|source| Error::Io { what: what(), source: source.into() })
    }
}
