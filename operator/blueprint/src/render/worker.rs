//! The container that runs the worker.

use k8s_openapi::api::core::v1::{
    Container, ContainerPort, EnvVar, EnvVarSource, HTTPGetAction, ObjectFieldSelector, Probe, ResourceFieldSelector,
    ResourceRequirements, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use penstock_crds::Pipeline;
use penstock_crds::names::{PIPELINE_DIR, PIPELINE_FILE, SECRET_DIR, SOCKET_DIR, WORKER_CONTAINER, WORKER_HTTP_PORT};
use penstock_crds::spec::processor::ImagePullPolicy;

use super::pod::{PIPELINE_VOLUME, SECRET_VOLUME, SOCKET_VOLUME};
use super::security;
use crate::Release;

/// Bytes of memory that the worker may plan with.
const ENV_MEMORY: &str = "PENSTOCK_MEMORY_BYTES";
/// Zone of the node that the worker runs on. From Kubernetes 1.35 on nodes hand this label on to their pods; where they do not, the
/// variable is empty (KEP-4742).
const ENV_RACK: &str = "PENSTOCK_RACK";
const ZONE_LABEL: &str = "topology.kubernetes.io/zone";
/// Name of the port with /metrics, /livez and /readyz.
const PORT_NAME: &str = "http";

pub(super) fn container(pipeline: &Pipeline, release: &Release) -> Container {
    let worker = &pipeline.worker;
    let resources = worker.resources.clone().unwrap_or_else(default_resources);
    let policy = worker.image_pull_policy.map(ImagePullPolicy::as_str).map(str::to_owned);
    Container {
        name: WORKER_CONTAINER.to_owned(),
        image: Some(worker.image.clone().unwrap_or_else(|| release.worker_image.clone())),
        image_pull_policy: policy.or_else(|| release.image_pull_policy.clone()),
        args: Some(args(pipeline)),
        env: Some(env(pipeline, &resources)),
        ports: Some(vec![ContainerPort {
            name: Some(PORT_NAME.to_owned()),
            container_port: WORKER_HTTP_PORT,
            protocol: Some("TCP".to_owned()),
            ..ContainerPort::default()
        }]),
        // A second after it listens, the other two probes begin; a minute is for slow nodes.
        startup_probe: Some(probe("/livez", 1, 60)),
        liveness_probe: Some(probe("/livez", 10, 3)),
        readiness_probe: Some(probe("/readyz", 2, 3)),
        resources: Some(resources),
        security_context: Some(security::of_container(None)),
        // The worker writes its reason to end as one JSON object; the tail of a log in its place would not be one.
        termination_message_policy: Some("File".to_owned()),
        volume_mounts: Some(mounts(pipeline)),
        ..Container::default()
    }
}

fn args(pipeline: &Pipeline) -> Vec<String> {
    let mut args = vec!["run".to_owned(), format!("{PIPELINE_DIR}/{PIPELINE_FILE}")];
    if pipeline.kafka.secret.is_some() {
        args.extend(["--secret-dir".to_owned(), SECRET_DIR.to_owned()]);
    }
    args
}

fn mounts(pipeline: &Pipeline) -> Vec<VolumeMount> {
    let mount = |name: &str, path: &str| VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        read_only: Some(true),
        ..VolumeMount::default()
    };
    let mut mounts = vec![mount(PIPELINE_VOLUME, PIPELINE_DIR)];
    if pipeline.kafka.secret.is_some() {
        mounts.push(mount(SECRET_VOLUME, SECRET_DIR));
    }
    // To connect to a socket nothing need be written.
    if pipeline.processor_socket().is_some() {
        mounts.push(mount(SOCKET_VOLUME, SOCKET_DIR));
    }
    mounts
}

/// Ours come first, so that the user's variables may refer to them, and are left out where the user names them.
fn env(pipeline: &Pipeline, resources: &ResourceRequirements) -> Vec<EnvVar> {
    let given = pipeline.worker.env.clone().unwrap_or_default();
    let named = |name: &str| given.iter().any(|variable| variable.name == name);
    let memory = memory_field(resources).map(|resource| EnvVarSource {
        resource_field_ref: Some(ResourceFieldSelector {
            container_name: Some(WORKER_CONTAINER.to_owned()),
            resource: resource.to_owned(),
            divisor: Some(Quantity("1".to_owned())),
        }),
        ..EnvVarSource::default()
    });
    let rack = EnvVarSource {
        field_ref: Some(ObjectFieldSelector {
            api_version: Some("v1".to_owned()),
            field_path: format!("metadata.labels['{ZONE_LABEL}']"),
        }),
        ..EnvVarSource::default()
    };
    let ours: Vec<EnvVar> = [(ENV_MEMORY, memory), (ENV_RACK, Some(rack))]
        .into_iter()
        .filter(|(name, _)| !named(name))
        .filter_map(|(name, source)| Some(EnvVar { name: name.to_owned(), value_from: Some(source?), value: None }))
        .collect();
    ours.into_iter().chain(given).collect()
}

/// What the memory is read from. Without a limit, `limits.memory` would be the memory of the whole node (downward API), so the request
/// stands in; with neither, the worker keeps to its own default.
fn memory_field(resources: &ResourceRequirements) -> Option<&'static str> {
    let names_memory = |map: &Option<std::collections::BTreeMap<String, Quantity>>| {
        map.as_ref().is_some_and(|map| map.contains_key("memory"))
    };
    if names_memory(&resources.limits) {
        Some("limits.memory")
    } else {
        names_memory(&resources.requests).then_some("requests.memory")
    }
}

/// No limit on CPU: throttling would stretch every call's time and hide the true capacity.
fn default_resources() -> ResourceRequirements {
    let quantity = |name: &str, amount: &str| (name.to_owned(), Quantity(amount.to_owned()));
    ResourceRequirements {
        requests: Some([quantity("cpu", "100m"), quantity("memory", "128Mi")].into()),
        limits: Some([quantity("memory", "256Mi")].into()),
        claims: None,
    }
}

fn probe(path: &str, period: i32, failures: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::String(PORT_NAME.to_owned()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period),
        timeout_seconds: Some(2),
        failure_threshold: Some(failures),
        ..Probe::default()
    }
}
