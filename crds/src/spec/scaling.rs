//! `spec.scaling`: how many workers run.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Duration;

/// How many workers run.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[x_kube(validation = Rule::new("!has(self.minReplicas) || !has(self.maxReplicas) || self.minReplicas <= self.maxReplicas")
        .message("scaling.minReplicas must not be greater than scaling.maxReplicas"))]
#[serde(rename_all = "camelCase")]
pub struct ScalingSpec {
    /// Who decides on replicas; Auto unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(transform = crate::schema::tell_words)]
    pub mode: Option<ScalingMode>,
    /// The least replicas; 1 unless given. 0 turns on scale to zero.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000))]
    pub min_replicas: Option<i32>,
    /// The most replicas. The partition count always caps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub max_replicas: Option<i32>,
    /// The promise: how long a record may wait; 30s unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag: Option<Duration>,
    /// How fast a backlog is cleared; 2m unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catch_up: Option<Duration>,
    /// The share of its capacity that a replica should be busy, 0.1 to 0.95; 0.8 unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.1, max = 0.95))]
    pub target_utilization: Option<f64>,
    /// How long the need must be lower before replicas go; 5m unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_down_window: Option<Duration>,
    /// With minReplicas 0: how long nothing must arrive before the last replica goes; 5m unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle: Option<Duration>,
}

/// Who decides on replicas.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ScalingMode {
    /// Penstock, from the lag it observes.
    #[default]
    Auto,
    /// Whoever writes spec.replicas, as `kubectl scale` and an HPA do.
    Manual,
    /// Penstock decides and reports; nothing changes.
    Advise,
}

impl ScalingMode {
    /// The word of the resource.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "Auto",
            Self::Manual => "Manual",
            Self::Advise => "Advise",
        }
    }
}
