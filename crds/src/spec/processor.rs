//! `spec.processor`: what is called for each record.

use k8s_openapi::api::core::v1::{
    ConfigMapVolumeSource, EmptyDirVolumeSource, EnvFromSource, EnvVar, Probe, ResourceRequirements,
    SecretVolumeSource, VolumeMount,
};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The longest path of a socket: what Linux takes (unix(7)).
pub const SOCKET_BYTES_MAX: usize = 107;
/// The longest name of a socket. The worker has it in a folder of its own, and no path there may be longer than Linux takes.
pub const SOCKET_NAME_BYTES_MAX: usize = 64;

/// What to call for each record: the member that `type` names, and no other.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[x_kube(validation = Rule::new("(self.type == 'container') == has(self.container)").message("processor.container goes with type container, and only with it"))]
#[x_kube(validation = Rule::new("(self.type == 'http') == has(self.http)").message("processor.http goes with type http, and only with it"))]
#[x_kube(validation = Rule::new("self.type == 'discard' || !has(self.discard)").message("processor.discard goes only with type discard"))]
#[x_kube(validation = Rule::new("self.type == 'embedded' || !has(self.embedded)").message("processor.embedded goes only with type embedded"))]
#[serde(rename_all = "camelCase")]
pub struct ProcessorSpec {
    /// Which kind of processor it is.
    #[serde(rename = "type")]
    #[schemars(transform = crate::schema::tell_words)]
    pub type_: ProcessorType,
    /// Your own image beside the worker, called within the pod, in any language.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<ContainerSpec>,
    /// A service that runs elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpSpec>,
    /// A handler compiled into worker.image with the library penstock-worker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embedded: Option<EmbeddedSpec>,
    /// Count and acknowledge: for trying out and measuring.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discard: Option<DiscardSpec>,
}

/// Kinds of processor.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProcessorType {
    /// Your own image beside the worker, called within the pod.
    Container,
    /// A service that runs elsewhere, called over HTTP.
    Http,
    /// A handler compiled into worker.image.
    Embedded,
    /// Count and acknowledge: for trying out and measuring.
    Discard,
}

/// A service that runs elsewhere.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpSpec {
    /// Where to POST records, `http://host[:port]/path`.
    #[schemars(length(min = 8, max = 2048), pattern(r"^http://[^\s/?#]+(/[^\s#]*)?$"))]
    pub url: String,
}

/// Nothing to say about a handler that is compiled in: it brings its own configuration, by worker.env.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EmbeddedSpec {}

/// Nothing to say about discarding.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DiscardSpec {}

/// The user's container. It runs as a native sidecar: up before the worker, stopped after the worker has drained.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[x_kube(validation = Rule::new("!has(self.volumeMounts) || self.volumeMounts.all(m, has(self.volumes) && self.volumes.exists(v, v.name == m.name))")
        .message("each of container.volumeMounts must name one of container.volumes"))]
#[x_kube(validation = Rule::new("!has(self.socket) || !has(self.port)")
        .message("container.socket stands in the place of container.port: the worker calls one of them"))]
#[serde(rename_all = "camelCase")]
pub struct ContainerSpec {
    /// The image.
    #[schemars(length(min = 1, max = 1024))]
    pub image: String,
    /// When to pull the image. Unless given, Kubernetes decides: Always where the tag is `latest` or missing, else IfNotPresent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = crate::schema::tell_words)]
    pub image_pull_policy: Option<ImagePullPolicy>,
    /// TCP port on which the container answers HTTP; 8080 unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i32>,
    /// Path of a Unix socket on which the container answers HTTP, instead of a port: a call costs the worker less, and nobody outside the pod
    /// can reach the container. The path's folder appears in the container, empty at first. The worker connects as user 65532.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = SOCKET_BYTES_MAX), pattern(r"^(/[A-Za-z0-9_][A-Za-z0-9._-]*)+/[A-Za-z0-9_][A-Za-z0-9._-]{0,63}$"))]
    pub socket: Option<String>,
    /// Path to POST records to; `/` unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024), pattern(r"^/[^\s#]*$"))]
    pub path: Option<String>,
    /// Instead of the image's entrypoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
    /// Instead of the image's arguments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub args: Option<Vec<String>>,
    /// Environment variables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub env: Option<Vec<EnvVar>>,
    /// ConfigMaps and Secrets of the same namespace to take environment variables from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env_from: Option<Vec<EnvFromSource>>,
    /// CPU and memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,
    /// When the container has started. A TCP probe of its port unless given; none where it has a socket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub startup_probe: Option<Probe>,
    /// When it can take calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub readiness_probe: Option<Probe>,
    /// When it must be restarted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub liveness_probe: Option<Probe>,
    /// Where volumes appear in the container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub volume_mounts: Option<Vec<VolumeMount>>,
    /// Volumes: ConfigMaps and Secrets of the same namespace, and emptyDirs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub volumes: Option<Vec<Volume>>,
    /// User that the container runs as; 65532 unless given. Never 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 4_294_967_294_i64))]
    pub run_as_user: Option<i64>,
}

/// When the kubelet pulls an image.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ImagePullPolicy {
    /// At every start.
    Always,
    /// When the node does not have it.
    IfNotPresent,
    /// Only what the node has.
    Never,
}

impl ImagePullPolicy {
    /// The word Kubernetes uses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Always => "Always",
            Self::IfNotPresent => "IfNotPresent",
            Self::Never => "Never",
        }
    }
}

/// A volume from the allow-list: exactly one of configMap, secret, emptyDir.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[x_kube(validation = Rule::new("[has(self.configMap), has(self.secret), has(self.emptyDir)].filter(x, x).size() == 1")
        .message("a volume is exactly one of configMap, secret and emptyDir"))]
#[serde(rename_all = "camelCase")]
pub struct Volume {
    /// The volume's name, which volumeMounts use. Names that begin with `penstock` are Penstock's own.
    #[schemars(length(min = 1, max = 63), pattern(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// A ConfigMap of the same namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map: Option<ConfigMapVolumeSource>,
    /// A Secret of the same namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretVolumeSource>,
    /// Scratch space that goes with the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub empty_dir: Option<EmptyDirVolumeSource>,
}
