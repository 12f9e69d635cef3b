//! The one door through which objects are written. Nothing else in this program patches, creates or deletes an object.

use std::fmt::Debug;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{Api, DeleteParams, Patch, PatchParams, Preconditions};
use kube::core::NamespaceResourceScope;
use kube::{Client, Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::metrics::Metrics;

/// Who owns the fields that Penstock sets on a pipeline's objects.
pub const FIELD_MANAGER: &str = "penstock";

/// An object that belongs to a pipeline.
pub trait Child:
    Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + Serialize + DeserializeOwned
{
}

impl<K> Child for K where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + Serialize + DeserializeOwned
{
}

/// The owner that controls an object, if it has one.
pub fn controller_of<K: Resource>(object: &K) -> Option<&OwnerReference> {
    let owners = object.meta().owner_references.as_ref()?;
    owners.iter().find(|owner| owner.controller == Some(true))
}

/// Writes objects, and counts what it writes.
#[derive(Clone)]
pub struct Door {
    client: Client,
    metrics: Metrics,
}

impl Door {
    /// A door into one cluster.
    pub fn new(client: Client, metrics: Metrics) -> Self {
        Self { client, metrics }
    }

    /// Server-side apply. Conflicts with other managers are forced: the pipeline is where its objects are edited. An object that carries
    /// a resourceVersion is only applied onto that version.
    pub async fn apply<K: Child>(&self, object: &K) -> Result<K, kube::Error> {
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let answer = self.api(object).patch(&object.name_any(), &params, &Patch::Apply(object)).await;
        self.metrics.wrote(&K::kind(&()), "apply", answer.is_ok());
        answer
    }

    /// Deletes the very object that was observed, and no later one of its name.
    pub async fn delete<K: Child>(&self, object: &K) -> Result<(), kube::Error> {
        let preconditions = Preconditions { uid: object.uid(), resource_version: object.resource_version() };
        let params = DeleteParams::background().preconditions(preconditions);
        let answer = self.api(object).delete(&object.name_any(), &params).await;
        self.metrics.wrote(&K::kind(&()), "delete", answer.is_ok());
        match answer {
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
            other => other.map(drop),
        }
    }

    /// Reads an object by name: for one that no watch of ours shows, because it lacks our labels.
    pub async fn look<K: Child>(&self, object: &K) -> Result<Option<K>, kube::Error> {
        self.api(object).get_opt(&object.name_any()).await
    }

    fn api<K: Child>(&self, object: &K) -> Api<K> {
        // A child without a namespace cannot exist: render gives each its pipeline's.
        Api::namespaced(self.client.clone(), &object.namespace().unwrap_or_default())
    }
}
