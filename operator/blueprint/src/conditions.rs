//! `metav1.Condition` as conventions want it: observed generation on each, transition time only on a flip, the same bytes for the same
//! truth.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// Type: all is as the spec says, and records are delivered.
pub const READY: &str = "Ready";
/// Type: the spec can be carried out.
pub const ACCEPTED: &str = "Accepted";
/// Type: Kafka answers, and lets us do what is needed.
pub const KAFKA_REACHABLE: &str = "KafkaReachable";
/// Type: at least one worker is ready, or none is wanted.
pub const AVAILABLE: &str = "Available";
/// Type: replicas are decided on from knowledge.
pub const SCALING: &str = "Scaling";
/// Type: nothing keeps records from being delivered.
pub const DELIVERING: &str = "Delivering";
/// kstatus type: the cluster is on its way to the spec.
pub const RECONCILING: &str = "Reconciling";
/// kstatus type: it will not get there without help.
pub const STALLED: &str = "Stalled";

/// Longest message, in bytes. The API allows 32,768; a terminal shows far less.
pub const MESSAGE_MAX: usize = 1024;

/// Status of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It is so.
    True,
    /// It is not so.
    False,
    /// Nobody knows.
    Unknown,
}

impl Status {
    /// The word of the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

/// Sets one condition. The list stays sorted by type.
pub fn set(
    conditions: &mut Vec<Condition>,
    type_: &str,
    status: Status,
    reason: &str,
    message: &str,
    generation: i64,
    now: &Time,
) {
    let message = trimmed(message).to_owned();
    let found = conditions.binary_search_by(|condition| condition.type_.as_str().cmp(type_));
    let since = match found {
        Ok(at) if conditions[at].status == status.as_str() => conditions[at].last_transition_time.clone(),
        _ => now.clone(),
    };
    let condition = Condition {
        last_transition_time: since,
        message,
        observed_generation: Some(generation),
        reason: reason.to_owned(),
        status: status.as_str().to_owned(),
        type_: type_.to_owned(),
    };
    match found {
        Ok(at) => conditions[at] = condition,
        Err(at) => conditions.insert(at, condition),
    }
}

fn trimmed(message: &str) -> &str {
    let message = message.trim();
    &message[..message.floor_char_boundary(MESSAGE_MAX)]
}
