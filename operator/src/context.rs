//! What all reconciles share.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use k8s_controller::events::EventRecorder;
use kube::runtime::reflector::Store;
use kube::{Client, ResourceExt as _};
use penstock_blueprint::Release;
use penstock_crds::{ConsumerPipeline, names};
use penstock_scaling::Timestamp;
use tokio::sync::OnceCell;

use crate::apply::Door;
use crate::clock::Clock;
use crate::controller::Guarded;
use crate::memory::Memories;
use crate::metrics::Metrics;
use crate::observe::children::Children;
use crate::prepare::claims::{Claim, Claims};
use crate::report::bucket::Bucket;
use crate::sampling::Sampler;

/// Of the process.
pub struct Context {
    /// For the API server.
    pub client: Client,
    /// What time it is.
    pub clock: Clock,
    /// What this release brings along.
    pub release: Release,
    /// Asks Kafka.
    pub sampler: Sampler,
    /// Writes objects.
    pub door: Door,
    /// Publishes Events.
    pub events: EventRecorder,
    /// Counts.
    pub metrics: Metrics,
    /// What is remembered of each pipeline.
    pub memories: Memories,
    /// Who has which group.
    claims: Mutex<Claims>,
    /// How many status writes that only move numbers are left.
    numbers: Mutex<Bucket>,
}

/// Of one watched namespace, or of all of them.
pub struct Scope {
    /// Of the process.
    pub context: Arc<Context>,
    /// The objects that Penstock made there.
    pub children: Children,
    /// The pipelines there.
    pub pipelines: Store<Guarded>,
    primed: OnceCell<()>,
}

impl Context {
    /// A context without any pipeline yet.
    pub fn new(
        client: Client,
        clock: Clock,
        release: Release,
        sampler: Sampler,
        events: EventRecorder,
        metrics: Metrics,
    ) -> Self {
        let door = Door::new(client.clone(), metrics.clone());
        Self {
            client,
            clock,
            release,
            sampler,
            door,
            events,
            metrics,
            memories: Memories::default(),
            claims: Mutex::default(),
            numbers: Mutex::new(Bucket::full(clock.now())),
        }
    }

    /// Enters a pipeline's claim to its group, and returns the pipeline with a better one.
    pub fn claim(&self, uid: &str, claim: Claim) -> Option<String> {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner).enter(uid, claim)
    }

    /// A status write that only moves numbers may go out now.
    pub fn may_write_numbers(&self, now: Timestamp) -> bool {
        self.numbers.lock().unwrap_or_else(PoisonError::into_inner).take(now)
    }

    /// Forgets everything about a scope's pipelines that are gone: all of this namespace (of all, without one) but those present.
    pub fn forget_gone(&self, namespace: Option<&str>, present: &BTreeSet<String>) {
        for gone in self.memories.keep_only(namespace, present) {
            self.sampler.forget(&gone.uid);
            self.claims.lock().unwrap_or_else(PoisonError::into_inner).leave(&gone.uid);
            self.metrics.forget(&gone.namespace, &gone.name);
        }
        self.metrics.looks_after(self.memories.len());
    }
}

impl Scope {
    /// A scope over these stores.
    pub fn new(context: Arc<Context>, children: Children, pipelines: Store<Guarded>) -> Self {
        Self { context, children, pipelines, primed: OnceCell::new() }
    }

    /// Waits until every store has its first complete list, and until every claim that status records is entered: a newcomer must meet
    /// the incumbents, whichever of them is looked at first.
    pub async fn wait_until_ready(&self) {
        self.children.wait_until_ready().await;
        // The writer lives as long as the controller that waits here.
        let _ = self.pipelines.wait_until_ready().await;
        self.primed
            .get_or_init(|| async {
                for pipeline in self.pipelines.state() {
                    if let Ok(pipeline) = &pipeline.0 {
                        self.prime(pipeline);
                    }
                }
            })
            .await;
    }

    fn prime(&self, pipeline: &ConsumerPipeline) {
        let (namespace, name) = (pipeline.namespace().unwrap_or_default(), pipeline.name_any());
        let source = pipeline.status.as_ref().and_then(|status| status.source.clone()).unwrap_or_default();
        let group = pipeline.spec.source.group_id.clone().unwrap_or_else(|| names::group_id(&namespace, &name));
        let claim = Claim {
            pipeline: format!("{namespace}/{name}"),
            cluster_id: source.cluster_id,
            group,
            recorded: source.pin.is_some(),
            running: !self.children.pods.of(&namespace, &name).is_empty(),
        };
        let _ = self.context.claim(&pipeline.uid().unwrap_or_default(), claim);
    }
}
