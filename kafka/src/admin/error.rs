//! Why an admin call failed, sorted by what to do about it.

use std::fmt;

use crate::error::{ErrorCode, KafkaError};

/// Why a call, or one part of its answer, failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AdminError {
    /// No broker could be reached, by name or by address.
    #[error("no broker can be reached: {0}")]
    Unreachable(String),
    /// The brokers did not answer in time. Whether a change took effect is unknown.
    #[error("no answer in time: {0}")]
    Timeout(String),
    /// The cluster refused the credentials, or the TLS handshake failed.
    #[error("the cluster refuses the connection: {0}")]
    Authentication(String),
    /// A right is missing.
    #[error("not allowed: {0}")]
    Authorization(MissingAcl),
    /// The topic, partition or group does not exist.
    #[error("{0} does not exist")]
    NotFound(String),
    /// The broker answered, and the answer is no.
    #[error(transparent)]
    Kafka(KafkaError),
    /// This client was closed.
    #[error("the client is closed")]
    Closed,
}

/// The kinds of resource that an ACL can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AclResource {
    /// A topic.
    Topic,
    /// A consumer group.
    Group,
    /// The cluster itself.
    Cluster,
}

/// The operations that an ACL can allow and that Penstock needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AclOperation {
    /// Read records, or read and write a group's offsets.
    Read,
    /// Write records.
    Write,
    /// Create topics.
    Create,
    /// Change partition counts.
    Alter,
    /// See that it exists, and its offsets.
    Describe,
    /// Read its configuration.
    DescribeConfigs,
    /// Change its configuration.
    AlterConfigs,
}

/// The ACL that would allow what was refused.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MissingAcl {
    /// What kind of resource.
    pub resource: AclResource,
    /// Its name; `kafka-cluster` for the cluster.
    pub name: String,
    /// The operation to allow.
    pub operation: AclOperation,
}

impl fmt::Display for MissingAcl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let resource = match self.resource {
            AclResource::Topic => "Topic",
            AclResource::Group => "Group",
            AclResource::Cluster => "Cluster",
        };
        write!(f, "the ACL {:?} on {resource} {} is missing", self.operation, self.name)
    }
}

impl AdminError {
    /// The broker's code, where it gave one.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Kafka(error) => Some(error.code),
            _ => None,
        }
    }
}
