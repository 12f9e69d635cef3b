//! Why a worker ends although nobody asked it to, in words for a person and a word for the operator.

use std::path::Path;

use penstock_kafka::KafkaError;
use penstock_kafka::admin::AdminError;
use serde::Serialize;

/// Longest termination message that Kubernetes keeps, bytes.
const MESSAGE_MAX: usize = 4096;

/// Written to the container's termination message as one JSON object; the operator copies it into the pipeline's conditions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{reason}: {message}")]
pub struct Failure {
    /// CamelCase, from the constants below.
    pub reason: &'static str,
    /// What is wrong and what to do.
    pub message: String,
}

/// The pipeline file cannot be read or does not hold a right pipeline.
pub const INVALID_PIPELINE: &str = "InvalidPipeline";
/// The Secret lacks something, or fits no layout.
pub const INVALID_SECRET: &str = "InvalidSecret";
/// No broker answers.
pub const KAFKA_UNREACHABLE: &str = "KafkaUnreachable";
/// The cluster refuses the credentials.
pub const KAFKA_AUTHENTICATION: &str = "KafkaAuthenticationFailed";
/// A right is missing.
pub const KAFKA_AUTHORIZATION: &str = "KafkaAuthorizationFailed";
/// The cluster or the client answers with an error of another kind.
pub const KAFKA_ERROR: &str = "KafkaError";
/// A topic does not exist.
pub const TOPIC_NOT_FOUND: &str = "TopicNotFound";
/// A topic is configured so that records would be lost in it.
pub const TOPIC_UNFIT: &str = "TopicUnfit";
/// This process lacks something: a port, file descriptors, threads.
pub const WORKER_ERROR: &str = "WorkerError";

impl Failure {
    /// A failure with a reason from this module.
    pub fn new(reason: &'static str, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }

    /// An error of a client.
    pub fn from_kafka(error: &KafkaError) -> Self {
        let reason = match error.code {
            code if code.is_authentication() => KAFKA_AUTHENTICATION,
            code if code.is_authorization() => KAFKA_AUTHORIZATION,
            _ => KAFKA_ERROR,
        };
        Self::new(reason, error.to_string())
    }

    /// An error of an admin call.
    pub fn from_admin(error: &AdminError) -> Self {
        let reason = match error {
            AdminError::Unreachable(_) | AdminError::Timeout(_) => KAFKA_UNREACHABLE,
            AdminError::Authentication(_) => KAFKA_AUTHENTICATION,
            AdminError::Authorization(_) => KAFKA_AUTHORIZATION,
            AdminError::NotFound(_) => TOPIC_NOT_FOUND,
            AdminError::Kafka(error) => return Self::from_kafka(error),
            AdminError::Closed => KAFKA_ERROR,
        };
        Self::new(reason, error.to_string())
    }

    /// One JSON object of at most 4,096 bytes.
    pub fn to_json(&self) -> String {
        let mut cut = self.clone();
        loop {
            let text = serde_json::to_string(&cut).unwrap_or_default();
            if text.len() <= MESSAGE_MAX {
                return text;
            }
            let keep = cut.message.chars().count() * 3 / 4;
            cut.message = cut.message.chars().take(keep).collect();
        }
    }

    /// Writes the termination message. A file that cannot be written is none of the worker's troubles: the log has it too.
    pub fn report(&self, path: &Path) {
        if let Err(error) = std::fs::write(path, self.to_json()) {
            tracing::debug!(path = %path.display(), %error, "no termination message was written");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_is_json_and_fits() {
        let failure = Failure::new(KAFKA_ERROR, "é\"".repeat(5000));
        let text = failure.to_json();
        assert!(text.len() <= MESSAGE_MAX);
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["reason"], "KafkaError");
    }
}
