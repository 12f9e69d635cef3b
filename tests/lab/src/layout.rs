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

/// The port that clients of a broker use; brokers count from 1.
pub(crate) fn broker_port(id: u8) -> u16 {
    9091 + u16::from(id)
}

/// The port that a broker's controller half uses.
pub(crate) fn controller_port(id: u8) -> u16 {
    9191 + u16::from(id)
}

/// The brokers' addresses as clients name them.
pub(crate) fn bootstrap_servers(brokers: u8) -> String {
    let address = |id| format!("{NODE}:{}", broker_port(id));
    (1..=brokers).map(address).collect::<Vec<_>>().join(",")
}
