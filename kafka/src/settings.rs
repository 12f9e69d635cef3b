//! From what a user gives (bootstrap servers, a Secret, an authentication type, tuning properties) to librdkafka's
//! configuration of each kind of client.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::memory::FetchBuffers;

/// How a client proves who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authentication {
    /// By a TLS client certificate.
    Tls,
    /// SASL SCRAM-SHA-256.
    ScramSha256,
    /// SASL SCRAM-SHA-512.
    ScramSha512,
    /// SASL PLAIN.
    Plain,
    /// SASL OAUTHBEARER; not supported yet, and refused with that reason.
    OauthBearer,
}

/// What cannot be made into a connection, and what would help.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectionError {
    /// Neither the resource nor the Secret says where the cluster is.
    #[error("no bootstrap servers: set spec.kafka.bootstrapServers, or a Secret key bootstrapServers")]
    NoBootstrapServers,
    /// A key that the layout needs is not there.
    #[error("the Secret looks like {layout} but lacks the key {key}: {remedy}")]
    MissingKey {
        /// The layout that the other keys point to.
        layout: &'static str,
        /// The key that is not there.
        key: String,
        /// What to do.
        remedy: String,
    },
    /// A key whose value is not what it should be.
    #[error("the Secret's key {key} {problem}")]
    BadValue {
        /// The key.
        key: String,
        /// What is wrong with it, and what would be right.
        problem: String,
    },
    /// The keys fit no layout.
    #[error("{0}")]
    Unrecognised(String),
    /// An authentication type that cannot be used.
    #[error("{0}")]
    Unsupported(String),
    /// A property that would override what is managed.
    #[error("the property {0} is managed by Penstock: remove it from spec.kafka.properties")]
    ManagedProperty(String),
}

/// Where a cluster is and how to get in. Its Debug output shows no secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct Connection {}

/// Which protocol a consumer joins its group with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupProtocol {
    /// KIP-848: the broker assigns.
    Consumer,
    /// The classic protocol with the `cooperative-sticky` assignor.
    Classic,
}

/// What a consumer is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerSettings {
    /// Its group.
    pub group_id: String,
    /// Which protocol to join with.
    pub protocol: GroupProtocol,
    /// Its `client.id`, seen in the group's description and in quotas.
    pub client_id: String,
    /// The zone it runs in, to read from the nearest replica (KIP-392).
    pub rack: Option<String>,
    /// Read only what finished transactions wrote.
    pub read_committed: bool,
    /// How long the thread may go without a poll, 1 s … 24 h.
    pub max_poll_interval: Duration,
    /// How long the group waits for a silent member (classic protocol only; KIP-848 asks the broker).
    pub session_timeout: Duration,
    /// What may be buffered.
    pub buffers: FetchBuffers,
}

/// librdkafka's configuration of one client. Its Debug output shows no secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientConfig {
    properties: BTreeMap<String, String>,
}

impl Connection {
    /// Recognises the Secret's layout by its keys and puts all of it together.
    ///
    /// `bootstrap_servers` wins over the Secret's; `authentication` over what the layout suggests. `properties` are tuning
    /// keys that were checked against the allow-list already; the few that would undo a guarantee are refused here again.
    pub fn resolve(
        bootstrap_servers: Option<&str>,
        secret: Option<&BTreeMap<String, Vec<u8>>>,
        authentication: Option<Authentication>,
        properties: &BTreeMap<String, String>,
    ) -> Result<Self, ConnectionError> {
        todo!()
    }

    /// The configuration of a consumer.
    pub fn consumer(&self, settings: &ConsumerSettings) -> ClientConfig {
        todo!()
    }

    /// The configuration of an idempotent producer.
    pub fn producer(&self, client_id: &str) -> ClientConfig {
        todo!()
    }

    /// The configuration of an admin client.
    pub fn admin(&self, client_id: &str) -> ClientConfig {
        todo!()
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        todo!()
    }
}

impl fmt::Debug for ClientConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        todo!()
    }
}
