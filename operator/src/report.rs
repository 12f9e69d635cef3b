//! The last step: what was found out and done, in status, Events and metrics.

pub mod bucket;
pub mod news;
mod status;

use std::time::Duration;

use k8s_controller::events::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt as _;
use penstock_blueprint::{Change, Facts, Trouble, changed};
use penstock_crds::{ConsumerPipeline, ConsumerPipelineStatus};
use penstock_scaling::Timestamp;

pub use self::status::{NUMBERS_PAUSE, STATUS_MANAGER, StatusMemory};
use crate::context::Context;
use crate::metrics::PipelineNumbers;
use crate::observe::Observed;

/// Why nothing could be reported.
#[derive(Debug, thiserror::Error)]
#[error("status could not be written: {0}")]
pub struct ReportError(#[from] kube::Error);

impl ReportError {
    /// Somebody else wrote in between: the next look will succeed.
    pub fn is_conflict(&self) -> bool {
        matches!(&self.0, kube::Error::Api(status) if status.is_conflict())
    }
}

/// Writes status where it changed enough, then publishes what is news. Returns when numbers that waited are due.
///
/// # Errors
/// The API server refused the status, for instance because the resource changed in between.
pub async fn report(
    resource: &ConsumerPipeline,
    facts: &Facts<'_>,
    happened: Vec<Trouble>,
    observed: &Observed,
    memory: &mut StatusMemory,
    context: &Context,
    now: Timestamp,
) -> Result<Option<Duration>, ReportError> {
    let old = &observed.status;
    let new = penstock_blueprint::status(facts, old, &Time(context.clock.wall()));
    measure(resource, facts, &new, observed, context, now);
    let change = changed(old, &new);
    let wait = match memory.is_due(change, now) {
        Err(wait) => Some(wait),
        Ok(()) if change == Change::NumbersOnly && !context.may_write_numbers(now) => Some(Some(NUMBERS_PAUSE)),
        Ok(()) => None,
    };
    if let Some(wait) = wait {
        tell(resource, happened, context).await;
        return Ok(wait);
    }
    let version = observed.version.as_deref();
    status::write(&context.client, &context.metrics, resource, version, &new, memory, now).await?;
    let mut all = happened;
    all.extend(news::news(old, &new));
    tell(resource, all, context).await;
    Ok(None)
}

/// An Event that cannot be published is logged and forgotten: status has the truth.
async fn tell(resource: &ConsumerPipeline, news: Vec<Trouble>, context: &Context) {
    for Trouble { reason, message } in news {
        let event = Event {
            type_: match reason.event_type() {
                penstock_blueprint::EventType::Normal => k8s_controller::events::EventType::Normal,
                penstock_blueprint::EventType::Warning => k8s_controller::events::EventType::Warning,
            },
            reason: reason.as_str().to_owned(),
            action: "Reconcile".to_owned(),
            note: Some(message),
            related: None,
        };
        context.metrics.told(reason.as_str());
        let published = context.events.publish(resource, &event).await;
        context.metrics.wrote("Event", "create", published.is_ok());
        if let Err(error) = published {
            tracing::warn!(pipeline = %resource.name_any(), reason = reason.as_str(), %error, "an Event was not published");
        }
    }
}

fn measure(
    resource: &ConsumerPipeline,
    facts: &Facts<'_>,
    status: &ConsumerPipelineStatus,
    observed: &Observed,
    context: &Context,
    now: Timestamp,
) {
    let decided = facts.decision.map(|decision| f64::from(decision.advised.unwrap_or(decision.replicas)));
    let deployment = facts.objects.deployment();
    let wanted = deployment.and_then(|deployment| deployment.spec.as_ref()?.replicas);
    let ready = deployment.and_then(|deployment| deployment.status.as_ref()?.ready_replicas);
    let oldest = observed
        .sample
        .as_ref()
        .and_then(|sample| sample.partitions.values().map(|fact| fact.log_at.min(fact.committed_at)).min());
    let numbers = PipelineNumbers {
        lag: status.lag.map(|lag| lag as f64),
        partitions: status.partitions.map(f64::from),
        replicas: wanted.map(f64::from),
        ready: deployment.map(|_| f64::from(ready.unwrap_or(0))),
        desired: decided,
        sample_age_seconds: oldest.map(|oldest| now.since(oldest).as_secs_f64()),
    };
    context.metrics.pipeline(&resource.namespace().unwrap_or_default(), &resource.name_any(), &numbers);
}
