//! What is said of one condition.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use penstock_crds::ConsumerPipelineStatus;

use crate::conditions::Status;
use crate::{PodTrouble, Reason, Trouble};

/// Status, reason and message of a condition that is about to be set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) status: Status,
    pub(super) reason: String,
    pub(super) message: String,
}

impl Verdict {
    pub(super) fn new(status: Status, reason: &str, message: impl Into<String>) -> Self {
        Self { status, reason: reason.to_owned(), message: message.into() }
    }

    pub(super) fn yes(reason: Reason, message: impl Into<String>) -> Self {
        Self::new(Status::True, reason.as_str(), message)
    }

    pub(super) fn no(reason: Reason, message: impl Into<String>) -> Self {
        Self::new(Status::False, reason.as_str(), message)
    }

    /// Nobody knows yet. What was known for this generation stays: a restarted operator that has not looked yet is no news.
    pub(super) fn unknown(type_: &str, previous: &ConsumerPipelineStatus, generation: i64, message: &str) -> Self {
        let same =
            |condition: &&Condition| condition.type_ == type_ && condition.observed_generation == Some(generation);
        match previous.conditions.iter().find(same) {
            Some(known) => Self {
                status: Status::from_word(&known.status),
                reason: known.reason.clone(),
                message: known.message.clone(),
            },
            None => Self::new(Status::Unknown, Reason::Progressing.as_str(), message),
        }
    }

    pub(super) fn is(&self, status: Status) -> bool {
        self.status == status
    }

    pub(super) fn because(&self, reason: Reason) -> bool {
        self.reason == reason.as_str()
    }
}

impl From<&Trouble> for Verdict {
    fn from(trouble: &Trouble) -> Self {
        Self::no(trouble.reason, trouble.message.clone())
    }
}

/// A pod's own word as one of ours; `None` for what every pod says on its way up.
pub(super) fn pod_reason(trouble: &PodTrouble) -> Option<Reason> {
    Some(match trouble.reason.as_str() {
        "ContainerCreating" | "PodInitializing" => return None,
        "ErrImagePull" | "ImagePullBackOff" | "InvalidImageName" | "ErrImageNeverPull" => Reason::ImagePullFailed,
        "CreateContainerConfigError" if trouble.message.contains("run as root") => Reason::ImageRunsAsRoot,
        "OOMKilled" => Reason::OutOfMemory,
        "Unschedulable" => Reason::Unschedulable,
        "CrashLoopBackOff" | "Error" | "Completed" | "RunContainerError" | "StartError" => Reason::ContainerCrashing,
        _ => Reason::PodsNotStarting,
    })
}

/// `orders-worker-abc, container processor: ImagePullBackOff: …`.
pub(super) fn pod_message(trouble: &PodTrouble) -> String {
    let container =
        if trouble.container.is_empty() { String::new() } else { format!(", container {}", trouble.container) };
    let said = if trouble.message.is_empty() { String::new() } else { format!(": {}", trouble.message) };
    format!("Pod {}{container}: {}{said}", trouble.pod, trouble.reason)
}
