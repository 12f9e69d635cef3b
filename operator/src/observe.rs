//! The first step: everything a reconcile looks at, as plain data.

pub mod children;
pub mod connection;
pub mod delays;
pub mod kafka;
pub mod pods;
pub mod secret;
pub mod workers;

use std::sync::Arc;

use kube::ResourceExt as _;
use penstock_blueprint::Trouble;
use penstock_crds::{ConsumerPipeline, ConsumerPipelineStatus};
use penstock_scaling::Timestamp;

use self::pods::PodView;
use self::secret::SecretData;
use crate::apply::Live;
use crate::context::Scope;
use crate::memory::Memory;
use crate::sampling::{Sample, TroubleKind, of_delays};

/// What was seen.
pub struct Observed {
    /// The newest status, which may be newer than the watched resource's.
    pub status: ConsumerPipelineStatus,
    /// The resource's version that `status` belongs to.
    pub version: Option<String>,
    /// The pipeline's objects.
    pub live: Live,
    /// Its pods.
    pub pods: Vec<PodView>,
    /// The Secret it names; `None` where it names none.
    pub secret: Option<Result<SecretData, Trouble>>,
    /// The newest answers of Kafka; `None` before it was followed.
    pub sample: Option<Arc<Sample>>,
    /// The same for the delay topics and their group; `None` where there are none, too.
    pub delayed: Option<Arc<Sample>>,
}

impl Observed {
    /// Workers exist, or are wanted: offsets may move.
    pub fn workers_seen(&self) -> bool {
        let wanted = self.live.deployment.as_ref().and_then(|live| live.spec.as_ref()?.replicas).unwrap_or(0);
        wanted > 0 || !self.pods.is_empty()
    }
}

/// Looks at everything. The API server is asked only for the Secret, and seldom; all else is in stores.
pub async fn observe(resource: &ConsumerPipeline, scope: &Scope, memory: &mut Memory, now: Timestamp) -> Observed {
    scope.children.wait_until_ready().await;
    let (namespace, name) = (resource.namespace().unwrap_or_default(), resource.name_any());
    let uid = resource.uid().unwrap_or_default();
    let (status, version) = memory.status.freshest(resource, now);
    let sample = scope.context.sampler.newest(&uid);
    let secret = match &resource.spec.kafka.secret_ref {
        None => None,
        Some(reference) => {
            let trouble = sample.as_ref().and_then(|sample| sample.trouble());
            let refused = trouble.is_some_and(|trouble| trouble.kind == TroubleKind::Authentication);
            let client = &scope.context.client;
            Some(memory.secret.data(client, &namespace, &reference.name, &uid, refused, now).await)
        }
    };
    Observed {
        status,
        version,
        live: memory.slots.freshen(scope.children.of(resource), now),
        pods: scope.children.pods.of(&namespace, &name),
        secret,
        sample,
        delayed: scope.context.sampler.newest(&of_delays(&uid)),
    }
}
