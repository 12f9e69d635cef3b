//! Watches, and calls [`reconcile`] for whatever they touch: one pipeline at a time each, a bounded number at once.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::channel::mpsc::UnboundedReceiver;
use futures::stream::{self, StreamExt as _};
use kube::api::Api;
use kube::core::DeserializeGuard;
use kube::runtime::controller::{self, Action, Controller};
use kube::runtime::reflector::{ObjectRef, reflector, store};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Client, ResourceExt as _};
use penstock_crds::ConsumerPipeline;

use crate::context::{Context, Scope};
use crate::observe::children::Children;
use crate::reconcile::{ReconcileError, reconcile};

/// A pipeline as the watch hands it out: one that cannot be read does not stall the others.
pub type Guarded = DeserializeGuard<ConsumerPipeline>;

/// Reconciles at once. Each waits for the API server most of its time, and eight of them keep it as busy as one client should.
const CONCURRENCY: u16 = 8;
/// Events of one pipeline within this are looked at together.
const DEBOUNCE: Duration = Duration::from_millis(100);
/// The first pause after a failure; it doubles.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest pause after failures.
const PAUSE_MAX: Duration = Duration::from_secs(120);
/// The pause after somebody else wrote first.
const CONFLICT_PAUSE: Duration = Duration::from_millis(250);

/// Runs one scope (a namespace, or all of them) until it is dropped. `sampled` names pipelines with news from Kafka.
pub async fn run(
    context: Arc<Context>,
    namespace: Option<String>,
    sampled: UnboundedReceiver<ObjectRef<ConsumerPipeline>>,
) {
    let client = context.client.clone();
    let (children, touched) = Children::watch(&client, namespace.as_deref());
    let (pipelines, writer) = store();
    let scope = Arc::new(Scope::new(context, children, pipelines.clone()));
    let watched =
        reflector(writer, watcher(api(&client, namespace.as_deref()), watcher::Config::default()).default_backoff());
    let forgetting = Arc::clone(&scope);
    let events = watched.inspect(move |event| {
        if let Ok(watcher::Event::Delete(_) | watcher::Event::InitDone) = event {
            forget_gone(&forgetting, namespace.as_deref());
        }
    });
    let config = controller::Config::default().concurrency(CONCURRENCY).debounce(DEBOUNCE);
    let names = stream::select_all(touched);
    Controller::for_stream(events.touched_objects(), pipelines)
        .with_config(config)
        .reconcile_on(names.map(guarded))
        .reconcile_on(sampled.map(guarded))
        .run(reconcile, on_error, scope)
        .for_each(|result| async move {
            if let Err(error) = result {
                complain(&error);
            }
        })
        .await;
}

fn api(client: &Client, namespace: Option<&str>) -> Api<Guarded> {
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

fn guarded(reference: ObjectRef<ConsumerPipeline>) -> ObjectRef<Guarded> {
    let namespace = reference.namespace.unwrap_or_default();
    ObjectRef::new(&reference.name).within(&namespace)
}

/// There is no finalizer, so a deleted pipeline is simply not in the store any more.
fn forget_gone(scope: &Scope, namespace: Option<&str>) {
    let present: BTreeSet<String> = scope.pipelines.state().iter().filter_map(|pipeline| pipeline.uid()).collect();
    scope.context.forget_gone(namespace, &present);
}

/// When to look again after a failure.
#[expect(clippy::needless_pass_by_value, reason = "the signature is the controller's")]
fn on_error(resource: Arc<Guarded>, error: &ReconcileError, scope: Arc<Scope>) -> Action {
    if let ReconcileError::Unreadable(_) = error {
        return Action::await_change();
    }
    if error.is_conflict() {
        return Action::requeue(CONFLICT_PAUSE);
    }
    let failures = scope.context.memories.of(resource.as_ref()).fail();
    Action::requeue(PAUSE.saturating_mul(1 << failures.min(10)).min(PAUSE_MAX))
}

fn complain<Q: std::error::Error>(error: &controller::Error<ReconcileError, Q>) {
    match error {
        // Touched while it was being deleted.
        controller::Error::ObjectNotFound(_) => {}
        controller::Error::ReconcilerFailed(error, pipeline) if error.is_conflict() => {
            tracing::debug!(%pipeline, %error, "looked at an old version");
        }
        controller::Error::ReconcilerFailed(error, pipeline) => {
            tracing::warn!(%pipeline, reason = error.reason(), %error, "not reconciled");
        }
        error => tracing::warn!(%error, "the watch of pipelines failed and starts again"),
    }
}
