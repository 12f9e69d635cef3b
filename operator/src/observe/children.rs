//! The objects that Penstock made, each kind in a store that a watch keeps.

use std::sync::Arc;

use futures::stream::{BoxStream, StreamExt as _};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, ServiceAccount};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::Api;
use kube::runtime::reflector::{ObjectRef, Store, store};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Client, Resource as _, ResourceExt as _};
use penstock_crds::ConsumerPipeline;
use penstock_crds::names::{LABEL_MANAGED_BY, MANAGED_BY, config, workers};

use super::pods::PodIndex;
use crate::apply::{Child, Live, controller_of};

/// Pipelines to look at again.
pub type Touched = BoxStream<'static, ObjectRef<ConsumerPipeline>>;

/// All objects of all pipelines of a scope.
pub struct Children {
    config_maps: Store<ConfigMap>,
    service_accounts: Store<ServiceAccount>,
    deployments: Store<Deployment>,
    disruption_budgets: Store<PodDisruptionBudget>,
    /// The workers' pods.
    pub pods: Arc<PodIndex>,
}

impl Children {
    /// Stores for one namespace, or for all, and the streams that fill them: nothing happens until they are polled.
    pub fn watch(client: &Client, namespace: Option<&str>) -> (Self, Vec<Touched>) {
        let (config_maps, one) = watched(scoped(client, namespace));
        let (service_accounts, two) = watched(scoped(client, namespace));
        let (deployments, three) = watched(scoped(client, namespace));
        let (disruption_budgets, four) = watched(scoped(client, namespace));
        let pods = Arc::new(PodIndex::default());
        let five = pod_stream(scoped(client, namespace), Arc::clone(&pods));
        let children = Self { config_maps, service_accounts, deployments, disruption_budgets, pods };
        (children, vec![one, two, three, four, five])
    }

    /// Waits for the first complete list of every kind: before it, "there is none" would only mean "not seen yet".
    pub async fn wait_until_ready(&self) {
        // A store's writer is dropped only together with the controller that waits here.
        let _ = futures::join!(
            self.config_maps.wait_until_ready(),
            self.service_accounts.wait_until_ready(),
            self.deployments.wait_until_ready(),
            self.disruption_budgets.wait_until_ready(),
            self.pods.wait_until_ready(),
        );
    }

    /// A pipeline's objects. Objects of its names that another owner controls are left out: they are found when they are in the way.
    pub fn of(&self, pipeline: &ConsumerPipeline) -> Live {
        let (namespace, name) = (pipeline.namespace().unwrap_or_default(), pipeline.name_any());
        let uid = pipeline.uid().unwrap_or_default();
        Live {
            config: find(&self.config_maps, &config(&name), &namespace, &uid),
            service_account: find(&self.service_accounts, &workers(&name), &namespace, &uid),
            deployment: find(&self.deployments, &workers(&name), &namespace, &uid),
            disruption_budget: find(&self.disruption_budgets, &workers(&name), &namespace, &uid),
        }
    }
}

fn scoped<K: Child>(client: &Client, namespace: Option<&str>) -> Api<K> {
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

fn find<K: Child>(store: &Store<K>, name: &str, namespace: &str, uid: &str) -> Option<Arc<K>> {
    let object = store.get(&ObjectRef::new(name).within(namespace))?;
    let owned = controller_of(object.as_ref()).is_some_and(|owner| owner.uid == uid);
    owned.then_some(object)
}

fn ours() -> watcher::Config {
    watcher::Config::default().labels(&format!("{LABEL_MANAGED_BY}={MANAGED_BY}"))
}

fn watched<K: Child + Send + Sync + 'static>(api: Api<K>) -> (Store<K>, Touched) {
    let (reader, writer) = store();
    let touched = watcher(api, ours())
        .default_backoff()
        // Half of an object's bytes, and of no use here.
        .modify(|object| object.managed_fields_mut().clear())
        .reflect(writer)
        .touched_objects()
        .filter_map(
            |event| async move { owner(&event.inspect_err(|error| complain(K::kind(&()).as_ref(), error)).ok()?) },
        );
    (reader, touched.boxed())
}

fn owner<K: Child>(object: &K) -> Option<ObjectRef<ConsumerPipeline>> {
    let owner = controller_of(object).filter(|owner| owner.kind == ConsumerPipeline::kind(&()))?;
    Some(ObjectRef::new(&owner.name).within(&object.namespace()?))
}

fn pod_stream(api: Api<Pod>, index: Arc<PodIndex>) -> Touched {
    let events = watcher(api, ours()).default_backoff();
    let touched = events.flat_map(move |event| {
        let touched = match event {
            Ok(event) => index.note(event),
            Err(error) => {
                complain("Pod", &error);
                vec![]
            }
        };
        futures::stream::iter(touched)
    });
    touched.boxed()
}

/// A watch repairs itself with a growing pause; until then reconciles work with what they know.
fn complain(kind: &str, error: &watcher::Error) {
    tracing::warn!(kind, %error, "a watch failed and starts again");
}
