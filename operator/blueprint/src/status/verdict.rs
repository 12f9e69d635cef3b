//! What is said of one condition.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

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

    pub(super) fn is(&self, status: Status) -> bool {
        self.status == status
    }

    pub(super) fn because(&self, reason: Reason) -> bool {
        self.reason == reason.as_str()
    }
}

impl From<&Condition> for Verdict {
    fn from(condition: &Condition) -> Self {
        Self {
            status: Status::from_word(&condition.status),
            reason: condition.reason.clone(),
            message: condition.message.clone(),
        }
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
