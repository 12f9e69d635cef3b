//! What happened, as the status of the resource.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use penstock_crds::ConsumerPipelineStatus;
use penstock_scaling::Learned;

use crate::Facts;

/// The whole status. What the facts leave open stays as it was.
pub fn status(facts: &Facts<'_>, previous: &ConsumerPipelineStatus, now: &Time) -> ConsumerPipelineStatus {
    let _ = (facts, previous, now);
    todo!()
}

/// What status remembers of capacity, for `State::restore`.
pub fn learned(status: &ConsumerPipelineStatus) -> Learned {
    let _ = status;
    todo!()
}
