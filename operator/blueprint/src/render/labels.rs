//! What every object carries: labels to find it by, and its owner.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::Resource as _;
use penstock_crds::names::{LABEL_COMPONENT, LABEL_MANAGED_BY, LABEL_NAME, LABEL_PIPELINE, MANAGED_BY};
use penstock_crds::{ConsumerPipeline, Pipeline};

/// The labels that select worker pods. They are in the Deployment's selector, which is immutable: they never change.
pub(super) fn selecting(pipeline: &Pipeline) -> BTreeMap<String, String> {
    [(LABEL_COMPONENT, "worker"), (LABEL_PIPELINE, &pipeline.identity.name)]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
}

/// The labels of every object and pod.
pub(super) fn all(pipeline: &Pipeline) -> BTreeMap<String, String> {
    let mut labels = selecting(pipeline);
    labels.insert(LABEL_NAME.to_owned(), "penstock".to_owned());
    labels.insert(LABEL_MANAGED_BY.to_owned(), MANAGED_BY.to_owned());
    labels
}

pub(super) fn metadata(pipeline: &Pipeline, name: String) -> ObjectMeta {
    ObjectMeta {
        name: Some(name),
        namespace: Some(pipeline.identity.namespace.clone()),
        labels: Some(all(pipeline)),
        owner_references: Some(vec![owner(pipeline)]),
        ..ObjectMeta::default()
    }
}

/// The garbage collector removes the objects with the pipeline; there is no finalizer.
fn owner(pipeline: &Pipeline) -> OwnerReference {
    OwnerReference {
        api_version: ConsumerPipeline::api_version(&()).into_owned(),
        kind: ConsumerPipeline::kind(&()).into_owned(),
        name: pipeline.identity.name.clone(),
        uid: pipeline.identity.uid.clone(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}
