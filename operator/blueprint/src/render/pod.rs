//! The pod template: the worker, the user's container beside it, and what they mount.

use k8s_openapi::api::core::v1::{
    ConfigMapVolumeSource, EmptyDirVolumeSource, PodSpec, PodTemplateSpec, SecretVolumeSource, Volume as PodVolume,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use penstock_crds::Pipeline;
use penstock_crds::names::{self, ANNOTATION_CONFIG_HASH, WORKER_CONTAINER};
use penstock_crds::pipeline::Processor;
use penstock_crds::spec::Volume;

use super::{labels, processor, security, worker};
use crate::Release;

/// Volume with the pipeline file.
pub(super) const PIPELINE_VOLUME: &str = "penstock-pipeline";
/// Volume with the Kafka Secret. Only the worker mounts it.
pub(super) const SECRET_VOLUME: &str = "penstock-kafka";
/// Volume that holds the socket of `processor.container.socket`, and nothing else.
pub(super) const SOCKET_VOLUME: &str = "penstock-socket";
/// More than the nothing that it takes, and next to nothing of the pod's memory, of which it is a part.
const SOCKET_VOLUME_SIZE: &str = "1Mi";
/// kubectl logs and exec take this container when none is named.
const ANNOTATION_DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";

/// The pod template. Nothing in it may depend on scaling, or a change of scale would restart every pod.
pub(super) fn template(pipeline: &Pipeline, config_hash: &str, release: &Release) -> PodTemplateSpec {
    let worker = &pipeline.worker;
    let mut all_labels = worker.pod_labels.clone().unwrap_or_default();
    all_labels.extend(labels::all(pipeline));
    let mut annotations = worker.pod_annotations.clone().unwrap_or_default();
    annotations.entry(ANNOTATION_DEFAULT_CONTAINER.to_owned()).or_insert_with(|| WORKER_CONTAINER.to_owned());
    annotations.insert(ANNOTATION_CONFIG_HASH.to_owned(), config_hash.to_owned());
    PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(all_labels),
            annotations: Some(annotations),
            ..ObjectMeta::default()
        }),
        spec: Some(spec(pipeline, release)),
    }
}

fn spec(pipeline: &Pipeline, release: &Release) -> PodSpec {
    let worker = &pipeline.worker;
    let sidecar = match &pipeline.processor {
        Processor::Container(container) => Some(vec![processor::container(container)]),
        Processor::Http { .. } | Processor::Embedded | Processor::Discard => None,
    };
    PodSpec {
        init_containers: sidecar,
        containers: vec![worker::container(pipeline, release)],
        volumes: Some(volumes(pipeline)),
        security_context: Some(security::of_pod()),
        automount_service_account_token: Some(false),
        service_account_name: Some(
            worker.service_account_name.clone().unwrap_or_else(|| names::workers(&pipeline.identity.name)),
        ),
        // One variable per Service of the namespace would be noise, and could overwrite the user's own.
        enable_service_links: Some(false),
        termination_grace_period_seconds: Some(
            i64::try_from(pipeline.grace.as_millis().div_ceil(1000)).unwrap_or(i64::MAX),
        ),
        node_selector: worker.node_selector.clone(),
        tolerations: worker.tolerations.clone(),
        affinity: worker.affinity.clone(),
        topology_spread_constraints: worker.topology_spread_constraints.clone(),
        priority_class_name: worker.priority_class_name.clone(),
        image_pull_secrets: worker.image_pull_secrets.clone(),
        ..PodSpec::default()
    }
}

fn volumes(pipeline: &Pipeline) -> Vec<PodVolume> {
    let mut volumes = vec![PodVolume {
        name: PIPELINE_VOLUME.to_owned(),
        config_map: Some(ConfigMapVolumeSource {
            name: names::config(&pipeline.identity.name),
            ..ConfigMapVolumeSource::default()
        }),
        ..PodVolume::default()
    }];
    if let Some(secret) = &pipeline.kafka.secret {
        volumes.push(PodVolume {
            name: SECRET_VOLUME.to_owned(),
            secret: Some(SecretVolumeSource {
                secret_name: Some(secret.clone()),
                default_mode: Some(0o440),
                ..SecretVolumeSource::default()
            }),
            ..PodVolume::default()
        });
    }
    if let Processor::Container(container) = &pipeline.processor {
        volumes.extend(container.socket.is_some().then(|| PodVolume {
            name: SOCKET_VOLUME.to_owned(),
            // In memory, where it is no local storage that would keep the cluster's autoscaler from draining a node.
            empty_dir: Some(EmptyDirVolumeSource {
                medium: Some("Memory".to_owned()),
                size_limit: Some(Quantity(SOCKET_VOLUME_SIZE.to_owned())),
            }),
            ..PodVolume::default()
        }));
        volumes.extend(container.volumes.iter().flatten().map(users_volume));
    }
    volumes
}

fn users_volume(volume: &Volume) -> PodVolume {
    PodVolume {
        name: volume.name.clone(),
        config_map: volume.config_map.clone(),
        secret: volume.secret.clone(),
        empty_dir: volume.empty_dir.clone(),
        ..PodVolume::default()
    }
}
