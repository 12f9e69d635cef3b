//! What can go wrong with a round itself, beside what it looks for.

use penstock_kafka::admin::AdminError;
use rdkafka::error::KafkaError;

/// A round that could not be carried out: no statement about Penstock.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The lab.
    #[error(transparent)]
    Lab(#[from] penstock_lab::Error),
    /// A client of the harness.
    #[error("{what}: {source}")]
    Kafka {
        /// What was being done.
        what: String,
        /// The client's word.
        source: KafkaError,
    },
    /// An admin call of the harness.
    #[error("{what}: {source}")]
    Admin {
        /// What was being done.
        what: String,
        /// The client's word.
        source: AdminError,
    },
    /// A file, a process, a socket.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: String,
        /// The operating system's word.
        source: std::io::Error,
    },
    /// Evidence that cannot be used.
    #[error("{0}")]
    Evidence(String),
}

/// `Result` with the harness's error.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Says what was being done when an error came up.
pub(crate) trait During<T> {
    /// Adds it.
    fn during(self, what: &str) -> Result<T>;
}

impl<T> During<T> for Result<T, KafkaError> {
    fn during(self, what: &str) -> Result<T> {
        self.map_err(|source| Error::Kafka { what: what.to_owned(), source })
    }
}

impl<T> During<T> for Result<T, AdminError> {
    fn during(self, what: &str) -> Result<T> {
        self.map_err(|source| Error::Admin { what: what.to_owned(), source })
    }
}

impl<T> During<T> for std::io::Result<T> {
    fn during(self, what: &str) -> Result<T> {
        self.map_err(|source| Error::Io { what: what.to_owned(), source })
    }
}

impl<T> During<T> for rustix::io::Result<T> {
    fn during(self, what: &str) -> Result<T> {
        self.map_err(|source| Error::Io { what: what.to_owned(), source: source.into() })
    }
}
