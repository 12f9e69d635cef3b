//! The one place that writes status.

use std::time::Duration;

use kube::api::{Api, Patch, PatchParams};
use kube::{Client, Resource as _, ResourceExt as _};
use penstock_blueprint::Change;
use penstock_crds::{ConsumerPipeline, ConsumerPipelineStatus};
use penstock_scaling::Timestamp;
use serde_json::json;

use crate::metrics::Metrics;

/// Who owns the fields of status.
pub const STATUS_MANAGER: &str = "penstock-status";
/// Between two writes that only move numbers.
pub const NUMBERS_PAUSE: Duration = Duration::from_secs(10);
/// How long an answer stands in for a watch that has not caught up.
const ANSWER_LIFE: Duration = Duration::from_secs(10);

/// What was reported last on one pipeline.
#[derive(Default)]
pub struct StatusMemory {
    answer: Option<Answer>,
    wrote_at: Option<Timestamp>,
}

struct Answer {
    before: Option<String>,
    version: Option<String>,
    status: ConsumerPipelineStatus,
    at: Timestamp,
}

impl StatusMemory {
    /// The newest status and the version it belongs to: the watch's, or the answer to what was written since.
    pub fn freshest(
        &mut self,
        resource: &ConsumerPipeline,
        now: Timestamp,
    ) -> (ConsumerPipelineStatus, Option<String>) {
        let version = resource.resource_version();
        if let Some(answer) = &self.answer
            && answer.before == version
            && now.since(answer.at) < ANSWER_LIFE
        {
            return (answer.status.clone(), answer.version.clone());
        }
        self.answer = None;
        (resource.status.clone().unwrap_or_default(), version)
    }

    /// Whether a change of that size is due, and if it is not, when it will be.
    pub fn is_due(&self, change: Change, now: Timestamp) -> Result<(), Option<Duration>> {
        match (change, self.wrote_at) {
            (Change::None, _) => Err(None),
            (Change::Meaning, _) | (Change::NumbersOnly, None) => Ok(()),
            (Change::NumbersOnly, Some(wrote_at)) => match NUMBERS_PAUSE.checked_sub(now.since(wrote_at)) {
                None | Some(Duration::ZERO) => Ok(()),
                Some(left) => Err(Some(left)),
            },
        }
    }
}

/// Writes a whole status onto the version that it was made from: a leader that was replaced, or one with an old view, is refused. Start
/// offsets rely on this compare-and-swap.
pub(super) async fn write(
    client: &Client,
    metrics: &Metrics,
    resource: &ConsumerPipeline,
    version: Option<&str>,
    status: &ConsumerPipelineStatus,
    memory: &mut StatusMemory,
    now: Timestamp,
) -> Result<(), kube::Error> {
    let name = resource.name_any();
    let api: Api<ConsumerPipeline> = Api::namespaced(client.clone(), &resource.namespace().unwrap_or_default());
    let body = json!({
        "apiVersion": ConsumerPipeline::api_version(&()),
        "kind": ConsumerPipeline::kind(&()),
        "metadata": {"name": name, "uid": resource.uid(), "resourceVersion": version},
        "status": status,
    });
    let params = PatchParams::apply(STATUS_MANAGER).force();
    let answer = api.patch_status(&name, &params, &Patch::Apply(&body)).await;
    metrics.wrote("ConsumerPipeline", "status", answer.is_ok());
    let written = answer?;
    memory.wrote_at = Some(now);
    memory.answer = Some(Answer {
        before: resource.resource_version(),
        version: written.resource_version(),
        status: written.status.unwrap_or_default(),
        at: now,
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    #[test]
    fn meaning_is_written_at_once_and_numbers_every_ten_seconds() {
        let memory = StatusMemory { wrote_at: Some(at(100)), ..StatusMemory::default() };
        assert_eq!(memory.is_due(Change::None, at(200)), Err(None));
        assert_eq!(memory.is_due(Change::Meaning, at(100)), Ok(()));
        assert_eq!(memory.is_due(Change::NumbersOnly, at(104)), Err(Some(Duration::from_secs(6))));
        assert_eq!(memory.is_due(Change::NumbersOnly, at(110)), Ok(()));
    }
}
