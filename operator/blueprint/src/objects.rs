//! The objects of a pipeline, before and after they were applied. The stage is in the type, so that a status can only speak of what the
//! API server returned.

use std::marker::PhantomData;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, ServiceAccount};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;

/// Stage: rendered, not sent. The objects have no status and no resourceVersion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prepared {}

/// Stage: as the API server has them, with live statuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {}

/// All objects of one pipeline, in the order in which they are applied: what pods refer to comes before the pods.
#[derive(Clone, Debug, PartialEq)]
pub struct ObjectSet<Stage> {
    /// The pipeline as workers read it.
    pub config: ConfigMap,
    /// `None` when `worker.serviceAccountName` names one of the user's.
    pub service_account: Option<ServiceAccount>,
    /// The workers.
    pub deployment: Deployment,
    /// What node drains respect.
    pub disruption_budget: PodDisruptionBudget,
    stage: PhantomData<Stage>,
}

impl ObjectSet<Prepared> {
    pub(crate) fn prepared(
        config: ConfigMap,
        service_account: Option<ServiceAccount>,
        deployment: Deployment,
        disruption_budget: PodDisruptionBudget,
    ) -> Self {
        Self { config, service_account, deployment, disruption_budget, stage: PhantomData }
    }
}

impl ObjectSet<Applied> {
    /// What the API server returned for each object, or has in store where nothing needed sending.
    pub fn applied(
        config: ConfigMap,
        service_account: Option<ServiceAccount>,
        deployment: Deployment,
        disruption_budget: PodDisruptionBudget,
    ) -> Self {
        Self { config, service_account, deployment, disruption_budget, stage: PhantomData }
    }
}
