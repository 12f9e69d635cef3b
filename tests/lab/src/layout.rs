//! The addresses and versions of a lab. Every lab has the same ones, for each has a network of its own.

/// Kubernetes of the control plane and the node.
pub const KUBERNETES: &str = "1.35.4";
/// Apache Kafka, in KRaft mode.
pub const KAFKA: &str = "4.2.0";

/// The one node's name.
pub const NODE_NAME: &str = "lab";
/// The node's address: the API server, the brokers and the pods' gateway.
pub const NODE: &str = "10.244.0.1";
pub(crate) const NODE_ADDRESS: [u8; 4] = [10, 244, 0, 1];
pub(crate) const NODE_CIDR: &str = "10.244.0.1/24";
pub(crate) const POD_CIDR: &str = "10.244.0.0/24";
/// The node and what it may yet serve keep the addresses below.
pub(crate) const POD_FIRST: &str = "10.244.0.16";
/// Cluster addresses of Services.
pub(crate) const SERVICE_CIDR: &str = "10.96.0.0/16";
pub(crate) const FIRST_SERVICE: &str = "10.96.0.1";
/// Where the API server listens, on the node's address.
pub(crate) const API_PORT: u16 = 6443;

/// The most brokers a lab can have.
pub const MAX_BROKERS: u8 = 5;

/// The port that a broker's controller half uses.
pub(crate) fn controller_port(id: u8) -> u16 {
    9191 + u16::from(id)
}

/// The user that Kafka knows by SCRAM, PLAIN and certificate (where its full name is `CN=penstock`). It has no rights but those that
/// ACLs give it.
pub const KAFKA_USER: &str = "penstock";
/// That user's password.
pub const KAFKA_PASSWORD: &str = "penstock-secret";

/// How a client proves to Kafka who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listener {
    /// Not at all: plain text, and every right.
    Plaintext,
    /// By name and password over TLS: SCRAM-SHA-512, SCRAM-SHA-256 or PLAIN.
    Sasl,
    /// By a certificate of the lab's authority.
    Tls,
}

impl Listener {
    /// The port of a broker's listener; brokers count from 1.
    pub(crate) fn port(self, id: u8) -> u16 {
        let base = match self {
            Self::Plaintext => 9091,
            Self::Sasl => 9291,
            Self::Tls => 9391,
        };
        base + u16::from(id)
    }

    /// The brokers' addresses as clients name them.
    pub(crate) fn bootstrap_servers(self, brokers: u8) -> String {
        let address = |id| format!("{NODE}:{}", self.port(id));
        (1..=brokers).map(address).collect::<Vec<_>>().join(",")
    }
}
