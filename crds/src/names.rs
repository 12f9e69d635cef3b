//! Names, labels and annotations of everything that belongs to a pipeline, and the limits that shape them.

/// API group of the resource, and prefix of Penstock's labels and annotations.
pub const GROUP: &str = "penstock.dev";
/// Who manages the objects: the value of `app.kubernetes.io/managed-by`.
pub const MANAGED_BY: &str = "penstock";
/// Label with the standard name for the managing program.
pub const LABEL_MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Label with the standard name for the component.
pub const LABEL_COMPONENT: &str = "app.kubernetes.io/component";
/// Label with the standard name for the program.
pub const LABEL_NAME: &str = "app.kubernetes.io/name";
/// Label with the standard name for the program's version.
pub const LABEL_VERSION: &str = "app.kubernetes.io/version";
/// Label that carries the pipeline's name on all its objects.
pub const LABEL_PIPELINE: &str = "penstock.dev/pipeline";
/// Annotation with the hash of what a worker reads: it changes exactly when pods must restart.
pub const ANNOTATION_CONFIG_HASH: &str = "penstock.dev/config-hash";
/// Annotation with the version of the renderer that made an object.
pub const ANNOTATION_RENDERER: &str = "penstock.dev/renderer";
/// Annotation in a worker's pipeline file: `classic` or `consumer` (KIP-848), decided once by the operator.
pub const ANNOTATION_GROUP_PROTOCOL: &str = "penstock.dev/group-protocol";
/// Annotation in a worker's pipeline file: the topics whose start offsets are pinned as committed offsets, separated by commas. In the
/// others `source.startFrom` says where a partition without a committed offset starts.
pub const ANNOTATION_PINNED_TOPICS: &str = "penstock.dev/pinned-topics";
/// Container that runs the worker.
pub const WORKER_CONTAINER: &str = "worker";
/// Container of the user's, a native sidecar.
pub const PROCESSOR_CONTAINER: &str = "processor";
/// File name of the pipeline inside the ConfigMap and the pod.
pub const PIPELINE_FILE: &str = "pipeline.yaml";
/// Where the pipeline is mounted in a worker pod.
pub const PIPELINE_DIR: &str = "/etc/penstock/pipeline";
/// Where the Kafka Secret is mounted in a worker pod.
pub const SECRET_DIR: &str = "/etc/penstock/kafka";
/// Folder in which the worker has the socket of `processor.container.socket`.
pub const SOCKET_DIR: &str = "/run/penstock";
/// Port of a worker's /metrics, /livez and /readyz.
pub const WORKER_HTTP_PORT: i32 = 9790;
/// Longest name of a pipeline: with `-worker` and the 17 characters that Deployment and ReplicaSet add to a pod's name it stays
/// below the 63 of a label and of a host name. The CEL rule on metadata.name says the same number.
pub const PIPELINE_NAME_MAX: usize = 48;

/// Name of the pipeline's Deployment, PodDisruptionBudget and ServiceAccount.
pub fn workers(pipeline: &str) -> String {
    format!("{pipeline}-worker")
}

/// Name of the ConfigMap that workers read.
pub fn config(pipeline: &str) -> String {
    format!("{pipeline}-pipeline")
}

/// The group of a pipeline that names none.
pub fn group_id(namespace: &str, pipeline: &str) -> String {
    format!("{namespace}.{pipeline}")
}

/// The dead-letter topic of a group that names none.
pub fn dead_letter_topic(group_id: &str) -> String {
    format!("{group_id}.dlq")
}

/// The group that reads a pipeline's delay topics: one of its own, so that the source's assignment does not change with them.
pub fn delay_group(group_id: &str) -> String {
    format!("{group_id}.retry")
}

/// The topic of a group in which records wait so long.
pub fn delay_topic(group_id: &str, delay: crate::Duration) -> String {
    format!("{group_id}.retry.{delay}")
}

/// `client.id` of a pipeline's workers. It carries the UID, by which the operator tells its own members from strangers.
pub fn client_id(uid: &str) -> String {
    format!("penstock-{uid}")
}

/// Selector of a pipeline's worker pods, as `/scale` reports it.
pub fn selector(pipeline: &str) -> String {
    format!("{LABEL_COMPONENT}=worker,{LABEL_PIPELINE}={pipeline}")
}
