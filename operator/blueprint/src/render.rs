//! A pipeline as Kubernetes objects.

mod labels;
mod pod;
mod processor;
mod security;
mod worker;

use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment};
use k8s_openapi::api::core::v1::{ConfigMap, PodTemplateSpec, ServiceAccount};
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use penstock_crds::Pipeline;
use penstock_crds::names::{self, ANNOTATION_RENDERER, LABEL_VERSION, PIPELINE_FILE};

use crate::{ObjectSet, Prepared, Release, Settled, hash, worker_file};

/// Version of this renderer. It moves when the same pipeline renders to another pod template.
pub const RENDERER: &str = "1";

/// A pod counts as available only after this long, so that a version that starts and then falls over stops a roll-out at its first pods.
const MIN_READY_SECONDS: i32 = 10;
/// A roll-out that gets nowhere for this long is reported as stalled. A large image over a slow line takes a few minutes.
const PROGRESS_DEADLINE_SECONDS: i32 = 300;
/// Old ReplicaSets that are kept, for `kubectl rollout history`.
const REVISION_HISTORY_LIMIT: i32 = 3;

/// All objects of a pipeline. The same arguments give the same bytes.
pub fn render(pipeline: &Pipeline, settled: &Settled, release: &Release) -> ObjectSet<Prepared> {
    let file = worker_file(pipeline, settled);
    let template = pod::template(pipeline, &hash::short(file.as_bytes()), release);
    ObjectSet::prepared(
        config(pipeline, file),
        pipeline.worker.service_account_name.is_none().then(|| service_account(pipeline)),
        deployment(pipeline, settled, release, template),
        disruption_budget(pipeline),
    )
}

/// Hash of the pod template: what was learned about capacity belongs to it. Scaling fields and replicas never move it.
pub fn template_hash(pipeline: &Pipeline, settled: &Settled, release: &Release) -> String {
    let file = worker_file(pipeline, settled);
    let template = pod::template(pipeline, &hash::short(file.as_bytes()), release);
    hash::of_template(&template)
}

fn config(pipeline: &Pipeline, file: String) -> ConfigMap {
    ConfigMap {
        metadata: labels::metadata(pipeline, names::config(&pipeline.identity.name)),
        data: Some([(PIPELINE_FILE.to_owned(), file)].into()),
        ..ConfigMap::default()
    }
}

/// An account without any rights and without a token: a worker never talks to the Kubernetes API.
fn service_account(pipeline: &Pipeline) -> ServiceAccount {
    ServiceAccount {
        metadata: labels::metadata(pipeline, names::workers(&pipeline.identity.name)),
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    }
}

fn deployment(pipeline: &Pipeline, settled: &Settled, release: &Release, template: PodTemplateSpec) -> Deployment {
    let mut metadata = labels::metadata(pipeline, names::workers(&pipeline.identity.name));
    let version = release.version.replace('+', "_"); // no `+` in label values
    metadata.labels.get_or_insert_default().insert(LABEL_VERSION.to_owned(), version);
    metadata.annotations = Some([(ANNOTATION_RENDERER.to_owned(), RENDERER.to_owned())].into());
    Deployment {
        metadata,
        spec: Some(DeploymentSpec {
            replicas: settled.replicas.map(|replicas| i32::try_from(replicas).unwrap_or(i32::MAX)),
            selector: selector(pipeline),
            template,
            strategy: Some(strategy()),
            min_ready_seconds: Some(MIN_READY_SECONDS),
            progress_deadline_seconds: Some(PROGRESS_DEADLINE_SECONDS),
            revision_history_limit: Some(REVISION_HISTORY_LIMIT),
            paused: None,
        }),
        status: None,
    }
}

/// New pods first, and no working pod goes before one of them is available: a version that does not start takes no capacity away, also
/// where there is a single replica. A quarter at a time makes it four waves whatever the size: every wave is a rebalance or two, and
/// pods one by one would rebalance a group of 100 two hundred times.
fn strategy() -> DeploymentStrategy {
    DeploymentStrategy {
        type_: Some("RollingUpdate".to_owned()),
        rolling_update: Some(RollingUpdateDeployment {
            max_surge: Some(IntOrString::String("25%".to_owned())),
            max_unavailable: Some(IntOrString::Int(0)),
        }),
    }
}

/// One pod at a time, and never `minAvailable`, which would block every drain of a node once it equals the replicas. A pod that is not
/// healthy may always go: it does no work that a drain could disturb.
fn disruption_budget(pipeline: &Pipeline) -> PodDisruptionBudget {
    PodDisruptionBudget {
        metadata: labels::metadata(pipeline, names::workers(&pipeline.identity.name)),
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(1)),
            selector: Some(selector(pipeline)),
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".to_owned()),
            ..PodDisruptionBudgetSpec::default()
        }),
        status: None,
    }
}

fn selector(pipeline: &Pipeline) -> LabelSelector {
    LabelSelector { match_labels: Some(labels::selecting(pipeline)), ..LabelSelector::default() }
}
