//! From what a user gives (bootstrap servers, a Secret, an authentication type, tuning properties) to librdkafka's
//! configuration of each kind of client.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::memory::FetchBuffers;

mod client;
mod layout;
mod security;
#[cfg(test)]
mod tests;

use layout::{Fact, Layout};
use security::{Identity, Reader, Security};

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
pub struct Connection {
    bootstrap_servers: String,
    security: Security,
    properties: BTreeMap<String, String>,
}

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
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientConfig {
    properties: BTreeMap<String, String>,
}

/// Properties that decide where to, who, or what is guaranteed: by their first words.
const MANAGED: &[&str] = &[
    "acks",
    "auto.offset.reset",
    "bootstrap.servers",
    "client.id",
    "enable.",
    "group.",
    "isolation.level",
    "metadata.broker.list",
    "partition.assignment.strategy",
    "partitioner",
    "plugin.",
    "sasl.",
    "security.",
    "ssl.ca",
    "ssl.cert",
    "ssl.crl",
    "ssl.engine",
    "ssl.key",
    "ssl.keystore",
    "ssl.provider",
    "transactional.",
];

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
        if let Some(name) = properties.keys().find(|name| MANAGED.iter().any(|managed| name.starts_with(managed))) {
            return Err(ConnectionError::ManagedProperty(name.clone()));
        }
        let reader = secret.map(Self::reader).transpose()?;
        let from_secret = match &reader {
            Some(reader) => reader.get(Fact::Bootstrap)?.map(|(_, servers)| servers),
            None => None,
        };
        let bootstrap_servers =
            bootstrap_servers.map(str::to_owned).or(from_secret).ok_or(ConnectionError::NoBootstrapServers)?;
        let security = match (&reader, authentication) {
            (Some(reader), _) => reader.security(authentication)?,
            (None, None) => Security { tls: false, identity: Identity::Anonymous, ca: None },
            (None, Some(_)) => {
                return Err(ConnectionError::Unrecognised(
                    "spec.kafka.authentication needs credentials: name a Secret in spec.kafka.secretRef".to_owned(),
                ));
            }
        };
        Ok(Self { bootstrap_servers, security, properties: properties.clone() })
    }

    fn reader(secret: &BTreeMap<String, Vec<u8>>) -> Result<Reader<'_>, ConnectionError> {
        let layout = Layout::of(secret).ok_or_else(|| {
            let keys: Vec<_> = secret.keys().map(String::as_str).collect();
            ConnectionError::Unrecognised(format!(
                "the Secret's keys ({}) fit no known layout: it may be a Strimzi KafkaUser's, a service binding's, have KEDA's \
                 keys (sasl, username, password, tls, ca, cert, key), or username, password and ca.crt",
                keys.join(", ")
            ))
        })?;
        Ok(Reader { layout, secret })
    }

    /// The brokers that are asked first.
    pub fn bootstrap_servers(&self) -> &str {
        &self.bootstrap_servers
    }

    /// Which layout a Secret with these keys is taken for; `None` if it fits none.
    pub fn layout_of(secret: &BTreeMap<String, Vec<u8>>) -> Option<&'static str> {
        Layout::of(secret).map(|layout| layout.name)
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let identity = match &self.security.identity {
            Identity::Anonymous => "anonymous".to_owned(),
            Identity::Certificate { .. } => "client certificate".to_owned(),
            Identity::Sasl { mechanism, username, .. } => format!("{mechanism} as {username}"),
        };
        f.debug_struct("Connection")
            .field("bootstrap_servers", &self.bootstrap_servers)
            .field("tls", &self.security.tls)
            .field("identity", &identity)
            .field("properties", &self.properties)
            .finish()
    }
}
