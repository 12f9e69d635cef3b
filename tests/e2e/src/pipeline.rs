//! A ConsumerPipeline in the cluster, and what its status says.

use std::time::Duration;

use serde_json::Value;

use crate::cluster::{Cluster, Pod};
use crate::failure::{Failure, Result};
use crate::wait::until;

/// A pipeline by its name.
#[derive(Clone, Debug)]
pub struct Pipeline<'a> {
    cluster: &'a Cluster,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// What the status says at a moment; numbers that it does not have are absent.
#[derive(Clone, Debug)]
pub struct Status(Value);

impl<'a> Pipeline<'a> {
    /// The pipeline of that name, whether it is there or not.
    pub fn new(cluster: &'a Cluster, namespace: &str, name: &str) -> Self {
        Self { cluster, namespace: namespace.to_owned(), name: name.to_owned() }
    }

    /// The whole object.
    ///
    /// # Errors
    /// What kubectl says.
    pub fn object(&self) -> Result<Value> {
        self.cluster.get(&self.namespace, ["consumerpipeline", &self.name])
    }

    /// Its status.
    ///
    /// # Errors
    /// What kubectl says.
    pub fn status(&self) -> Result<Status> {
        self.object().map(|object| Status(object["status"].clone()))
    }

    /// Waits until the status holds; the last one is in the failure.
    ///
    /// # Errors
    /// When the time is over.
    pub fn until(&self, what: &str, limit: Duration, holds: impl Fn(&Status) -> bool) -> Result<Status> {
        let what = format!("pipeline {}/{}: {what}", self.namespace, self.name);
        until(&what, limit, || {
            let status = self.status()?;
            if holds(&status) { Ok(Some(status)) } else { Err(Failure::new(status.in_words())) }
        })
    }

    /// Changes its spec by a JSON merge patch.
    ///
    /// # Errors
    /// What the API server says.
    pub fn patch(&self, spec: &Value) -> Result<()> {
        let object = format!("consumerpipeline/{}", self.name);
        self.cluster.patch(&self.namespace, &object, &serde_json::json!({ "spec": spec })).map(drop)
    }

    /// Its worker pods.
    ///
    /// # Errors
    /// What kubectl says.
    pub fn workers(&self) -> Result<Vec<Pod>> {
        self.cluster.pods(&self.namespace, &penstock_crds::names::selector(&self.name))
    }

    /// The row of `kubectl get consumerpipelines`, with the heading above it.
    ///
    /// # Errors
    /// What kubectl says.
    pub fn row(&self) -> Result<String> {
        self.cluster.kubectl(["--namespace", &self.namespace, "get", "consumerpipelines", &self.name])
    }
}

impl Status {
    /// A condition's status, such as `True`, with its reason; empty where there is no such condition.
    pub fn condition(&self, type_: &str) -> (&str, &str) {
        let all = self.0["conditions"].as_array();
        let found = all.and_then(|all| all.iter().find(|condition| condition["type"] == type_));
        let text = |field: &str| found.and_then(|condition| condition[field].as_str()).unwrap_or_default();
        (text("status"), text("reason"))
    }

    /// A condition's message.
    pub fn message(&self, type_: &str) -> &str {
        let all = self.0["conditions"].as_array();
        let found = all.and_then(|all| all.iter().find(|condition| condition["type"] == type_));
        found.and_then(|condition| condition["message"].as_str()).unwrap_or_default()
    }

    /// Whether Ready is True.
    pub fn is_ready(&self) -> bool {
        self.condition("Ready").0 == "True"
    }

    /// `status.phase`.
    pub fn phase(&self) -> &str {
        self.0["phase"].as_str().unwrap_or_default()
    }

    /// Workers that exist.
    pub fn replicas(&self) -> i64 {
        self.0["replicas"].as_i64().unwrap_or(0)
    }

    /// Workers that are ready.
    pub fn ready_replicas(&self) -> i64 {
        self.0["readyReplicas"].as_i64().unwrap_or(0)
    }

    /// Records that wait; `None` while unknown.
    pub fn lag(&self) -> Option<i64> {
        self.0["lag"].as_i64()
    }

    /// The whole status as JSON.
    pub fn json(&self) -> &Value {
        &self.0
    }

    /// Phase, numbers and conditions in a line each.
    pub fn in_words(&self) -> String {
        let conditions = self.0["conditions"].as_array().into_iter().flatten().map(|condition| {
            let text = |field: &str| condition[field].as_str().unwrap_or_default();
            format!("\n  {}={} {}: {}", text("type"), text("status"), text("reason"), text("message"))
        });
        let head = format!(
            "phase {}, {} ready of {}, lag {:?}",
            self.phase(),
            self.ready_replicas(),
            self.replicas(),
            self.lag()
        );
        std::iter::once(head).chain(conditions).collect()
    }
}
