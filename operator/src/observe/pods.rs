//! The pods of every pipeline, as little of them as is needed, kept from one watch.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::ResourceExt as _;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::Event;
use penstock_blueprint::PodTrouble;
use penstock_crds::ConsumerPipeline;
use penstock_crds::names::LABEL_PIPELINE;
use tokio::sync::watch;

/// Longest message that is taken over from a pod, in characters: a termination message may be 4096 bytes, and status is read in a terminal.
const MESSAGE_MAX: usize = 512;

/// One pod, as far as a pipeline is concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodView {
    /// It is ready.
    pub ready: bool,
    /// It is being deleted.
    pub terminating: bool,
    /// What its containers wait for or ended with.
    pub troubles: Vec<PodTrouble>,
}

type Namespaced = (String, String);

/// Pods by pipeline and name.
pub struct PodIndex {
    pipelines: Mutex<BTreeMap<Namespaced, BTreeMap<String, PodView>>>,
    /// Pods of a list that is not complete yet; they replace all others when it is.
    listing: Mutex<Option<BTreeMap<Namespaced, BTreeMap<String, PodView>>>>,
    listed: watch::Sender<bool>,
}

impl Default for PodIndex {
    fn default() -> Self {
        Self { pipelines: Mutex::default(), listing: Mutex::default(), listed: watch::Sender::new(false) }
    }
}

impl PodIndex {
    /// Takes one event of the watch, and returns the pipelines whose pods it changes.
    pub fn note(&self, event: Event<Pod>) -> Vec<ObjectRef<ConsumerPipeline>> {
        let mut pipelines = self.pipelines.lock().unwrap_or_else(PoisonError::into_inner);
        let mut listing = self.listing.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Init => {
                *listing = Some(BTreeMap::new());
                vec![]
            }
            Event::InitApply(pod) => {
                if let (Some(key), Some(listing)) = (pipeline_of(&pod), listing.as_mut()) {
                    listing.entry(key).or_default().insert(pod.name_any(), PodView::of(&pod));
                }
                vec![]
            }
            Event::InitDone => {
                let before = std::mem::replace(&mut *pipelines, listing.take().unwrap_or_default());
                self.listed.send_replace(true);
                let mut touched: Vec<_> = before.keys().chain(pipelines.keys()).collect();
                touched.sort();
                touched.dedup();
                touched.into_iter().map(reference).collect()
            }
            Event::Apply(pod) => {
                let Some(key) = pipeline_of(&pod) else { return vec![] };
                let view = PodView::of(&pod);
                let before = pipelines.entry(key.clone()).or_default().insert(pod.name_any(), view.clone());
                if before.as_ref() == Some(&view) { vec![] } else { vec![reference(&key)] }
            }
            Event::Delete(pod) => {
                let Some(key) = pipeline_of(&pod) else { return vec![] };
                if let Some(pods) = pipelines.get_mut(&key) {
                    pods.remove(&pod.name_any());
                    if pods.is_empty() {
                        pipelines.remove(&key);
                    }
                }
                vec![reference(&key)]
            }
        }
    }

    /// The pods of one pipeline.
    pub fn of(&self, namespace: &str, pipeline: &str) -> Vec<PodView> {
        let pipelines = self.pipelines.lock().unwrap_or_else(PoisonError::into_inner);
        let pods = pipelines.get(&(namespace.to_owned(), pipeline.to_owned()));
        pods.map(|pods| pods.values().cloned().collect()).unwrap_or_default()
    }

    /// Waits for the first complete list.
    pub async fn wait_until_ready(&self) {
        // The sender lives in `self`, so the wait cannot fail.
        let _ = self.listed.subscribe().wait_for(|listed| *listed).await;
    }
}

fn pipeline_of(pod: &Pod) -> Option<Namespaced> {
    Some((pod.namespace()?, pod.labels().get(LABEL_PIPELINE)?.clone()))
}

fn reference((namespace, name): &Namespaced) -> ObjectRef<ConsumerPipeline> {
    ObjectRef::new(name).within(namespace)
}

impl PodView {
    /// What matters about a pod.
    pub fn of(pod: &Pod) -> Self {
        let status = pod.status.clone().unwrap_or_default();
        let conditions = status.conditions.unwrap_or_default();
        let ready = conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True");
        let mut troubles: Vec<PodTrouble> = conditions
            .iter()
            .filter(|condition| condition.type_ == "PodScheduled" && condition.status == "False")
            .map(|condition| trouble(pod, "", condition.reason.as_deref(), condition.message.as_deref()))
            .collect();
        let containers = status.init_container_statuses.into_iter().chain(status.container_statuses).flatten();
        troubles.extend(containers.filter_map(|container| container_trouble(pod, &container)));
        Self { ready, terminating: pod.metadata.deletion_timestamp.is_some(), troubles }
    }
}

/// Why a container waits or has ended badly, with what it said last.
fn container_trouble(pod: &Pod, status: &ContainerStatus) -> Option<PodTrouble> {
    let state = status.state.clone().unwrap_or_default();
    let ended = state.terminated.or_else(|| status.last_state.clone().and_then(|last| last.terminated));
    let said = ended.as_ref().filter(|ended| ended.exit_code != 0);
    if let Some(waiting) = state.waiting {
        // On its way, like every container once.
        if matches!(waiting.reason.as_deref(), None | Some("ContainerCreating" | "PodInitializing")) {
            return None;
        }
        let words = said.and_then(|ended| ended.message.clone()).or(waiting.message);
        let reason = match said.and_then(|ended| ended.reason.as_deref()) {
            Some("OOMKilled") => Some("OOMKilled"),
            _ => waiting.reason.as_deref(),
        };
        return Some(trouble(pod, &status.name, reason, words.as_deref()));
    }
    let ended = said.filter(|_| state.running.is_none())?;
    Some(trouble(pod, &status.name, ended.reason.as_deref(), ended.message.as_deref()))
}

fn trouble(pod: &Pod, container: &str, reason: Option<&str>, message: Option<&str>) -> PodTrouble {
    PodTrouble {
        pod: pod.name_any(),
        container: container.to_owned(),
        reason: reason.unwrap_or("Unknown").to_owned(),
        message: message.unwrap_or_default().trim().chars().take(MESSAGE_MAX).collect(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(name: &str, status: &serde_json::Value) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": name, "namespace": "shop", "labels": {"penstock.dev/pipeline": "orders"}},
            "status": status,
        }))
        .unwrap()
    }

    #[test]
    fn a_complete_list_replaces_what_was_known() {
        let index = PodIndex::default();
        assert_eq!(index.note(Event::Apply(pod("a", &json!({})))).len(), 1);
        index.note(Event::Init);
        index.note(Event::InitApply(pod("b", &json!({}))));
        assert_eq!(index.of("shop", "orders").len(), 1);
        assert_eq!(index.note(Event::InitDone).len(), 1);
        index.note(Event::Delete(pod("b", &json!({}))));
        assert!(index.of("shop", "orders").is_empty());
    }

    #[test]
    fn nothing_is_touched_by_an_event_that_changes_nothing_of_interest() {
        let index = PodIndex::default();
        index.note(Event::Apply(pod("a", &json!({}))));
        assert!(index.note(Event::Apply(pod("a", &json!({"podIP": "10.0.0.1"})))).is_empty());
    }

    #[test]
    fn a_worker_that_ended_speaks_through_its_termination_message() {
        let status = json!({"containerStatuses": [{
            "name": "worker", "image": "", "imageID": "", "ready": false, "restartCount": 3,
            "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s"}},
            "lastState": {"terminated": {"exitCode": 2, "reason": "Error", "message": "no right to commit\n"}}
        }]});
        let view = PodView::of(&pod("a", &status));
        assert_eq!(view.troubles[0].reason, "CrashLoopBackOff");
        assert_eq!(view.troubles[0].message, "no right to commit");
        assert!(!view.ready);
    }

    #[test]
    fn a_container_that_is_being_made_is_no_trouble() {
        let status = json!({"containerStatuses": [{
            "name": "worker", "image": "", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"waiting": {"reason": "ContainerCreating"}}
        }]});
        assert!(PodView::of(&pod("a", &status)).troubles.is_empty());
    }
}
