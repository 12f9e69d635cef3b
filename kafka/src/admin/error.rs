//! Why an admin call failed, sorted by what to do about it.

use std::fmt;
use std::time::{Duration, Instant};

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

/// What a call was about: it turns a bare code into a name and an ACL.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    pub(super) resource: AclResource,
    pub(super) name: String,
    pub(super) operation: AclOperation,
}

impl Subject {
    pub(super) fn topic(name: &str, operation: AclOperation) -> Self {
        Self { resource: AclResource::Topic, name: name.to_owned(), operation }
    }

    pub(super) fn group(name: &str, operation: AclOperation) -> Self {
        Self { resource: AclResource::Group, name: name.to_owned(), operation }
    }

    pub(super) fn cluster(operation: AclOperation) -> Self {
        Self { resource: AclResource::Cluster, name: "kafka-cluster".to_owned(), operation }
    }

    fn missing(&self, code: ErrorCode) -> MissingAcl {
        let cluster = code == ErrorCode::CLUSTER_AUTHORIZATION_FAILED;
        MissingAcl {
            resource: if cluster { AclResource::Cluster } else { self.resource },
            name: if cluster { "kafka-cluster".to_owned() } else { self.name.clone() },
            operation: self.operation,
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.resource {
            AclResource::Topic => write!(f, "the topic {}", self.name),
            AclResource::Group => write!(f, "the group {}", self.name),
            AclResource::Cluster => f.write_str("the cluster"),
        }
    }
}

/// What a client's connections complained about, and when.
#[derive(Clone, Debug)]
pub(super) struct Trouble {
    pub(super) error: KafkaError,
    pub(super) at: Instant,
}

/// librdkafka repeats a complaint that did not change every 30 s only.
const RECENT: Duration = Duration::from_secs(40);

impl Trouble {
    pub(super) fn is_recent(&self) -> bool {
        self.at.elapsed() < RECENT
    }
}

/// Sorts an error of a call, or of one part of its answer.
pub(super) fn sort(error: KafkaError, subject: &Subject, trouble: Option<&Trouble>) -> AdminError {
    match error.code {
        _ if is_refusal(&error) => AdminError::Authentication(with_remedy(&error.text)),
        code if code.is_authorization() => AdminError::Authorization(subject.missing(code)),
        ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
        | ErrorCode::UNKNOWN_TOPIC
        | ErrorCode::UNKNOWN_PARTITION
        | ErrorCode::UNKNOWN_TOPIC_ID
        | ErrorCode::GROUP_ID_NOT_FOUND => AdminError::NotFound(subject.to_string()),
        ErrorCode::TRANSPORT | ErrorCode::RESOLVE | ErrorCode::ALL_BROKERS_DOWN => because(error, trouble),
        ErrorCode::REQUEST_TIMED_OUT => AdminError::Timeout(error.text),
        ErrorCode::TIMED_OUT => match trouble {
            Some(_) => because(error, trouble),
            None => AdminError::Timeout(error.text),
        },
        ErrorCode::DESTROY => AdminError::Closed,
        _ => AdminError::Kafka(error),
    }
}

/// Why no broker answers: the last complaint knows better than the call does.
fn because(error: KafkaError, trouble: Option<&Trouble>) -> AdminError {
    match trouble {
        Some(Trouble { error: cause, .. }) if is_refusal(cause) => AdminError::Authentication(with_remedy(&cause.text)),
        Some(Trouble { error: cause, .. }) => AdminError::Unreachable(with_remedy(&cause.text)),
        None => AdminError::Unreachable(error.text),
    }
}

/// A broker, or we, did not like what the other showed. A broker says so about client certificates when the handshake is
/// over already (TLS 1.3), so that librdkafka sees no more than a connection that breaks with an alert.
fn is_refusal(error: &KafkaError) -> bool {
    error.code.is_authentication() || error.code == ErrorCode::TLS || error.text.contains("SSL alert number")
}

/// What librdkafka says, and what to do about it in a Secret.
fn with_remedy(text: &str) -> String {
    let remedies = [
        (
            "certificate verify failed",
            "the Secret's CA (ca.crt; cluster-ca.crt beside a Strimzi KafkaUser's) must have signed the brokers' certificates",
        ),
        (
            "SSL alert number",
            "the brokers want a client certificate that they trust: the Secret needs one, with its key",
        ),
        (
            "PLAINTEXT broker listener?",
            "the listener speaks no TLS: use another port, or set the Secret's key tls to disable",
        ),
        ("SSL listener?", "the listener speaks TLS: add the brokers' CA to the Secret, or set its key tls to enable"),
    ];
    let remedy = remedies.iter().find(|(said, _)| text.contains(said));
    remedy.map_or_else(|| text.to_owned(), |(_, remedy)| format!("{remedy} ({text})"))
}
