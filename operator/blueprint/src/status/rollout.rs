//! How far the Deployment has come.

use k8s_openapi::api::apps::v1::Deployment;

/// Pods of the Deployment, counted as the API server's controller last did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Rollout {
    /// There is a Deployment.
    pub(super) exists: bool,
    /// `spec.replicas`.
    pub(super) wanted: i32,
    /// Pods that are not ending.
    pub(super) existing: i32,
    /// Of these, with the newest template.
    pub(super) updated: i32,
    /// Of these, ready.
    pub(super) ready: i32,
    /// Of these, ready for minReadySeconds.
    pub(super) available: i32,
    /// The controller has seen the newest spec, so the counts speak of it.
    pub(super) observed: bool,
    /// No progress within progressDeadlineSeconds.
    pub(super) overdue: bool,
}

impl Rollout {
    pub(super) fn of(deployment: Option<&Deployment>) -> Self {
        let Some(deployment) = deployment else { return Self::default() };
        let status = deployment.status.clone().unwrap_or_default();
        let overdue = status.conditions.iter().flatten().any(|condition| {
            condition.type_ == "Progressing" && condition.reason.as_deref() == Some("ProgressDeadlineExceeded")
        });
        Self {
            exists: true,
            // The API server fills in 1 where nobody said.
            wanted: deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1),
            existing: status.replicas.unwrap_or(0),
            updated: status.updated_replicas.unwrap_or(0),
            ready: status.ready_replicas.unwrap_or(0),
            available: status.available_replicas.unwrap_or(0),
            observed: status.observed_generation.is_some()
                && status.observed_generation >= deployment.metadata.generation,
            overdue,
        }
    }

    /// Every wanted pod runs the newest template and is available, and no other pod is left: what `kubectl rollout status` calls complete.
    pub(super) fn complete(self) -> bool {
        let all = [self.existing, self.updated, self.ready, self.available];
        self.exists && self.observed && all.iter().all(|count| *count == self.wanted)
    }

    /// `3/8`.
    pub(super) fn fraction(self) -> String {
        format!("{}/{}", self.ready, self.wanted)
    }
}
