//! `spec.kafka`: how to reach the cluster.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How to reach the Kafka cluster.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[x_kube(validation = Rule::new("has(self.bootstrapServers) || has(self.secretRef)")
        .message("kafka.bootstrapServers is missing: give it here, or name a Secret in kafka.secretRef that has it"))]
#[x_kube(validation = Rule::new("!has(self.authentication) || has(self.secretRef)")
        .message("kafka.authentication needs kafka.secretRef: credentials come from a Secret"))]
#[serde(rename_all = "camelCase")]
pub struct KafkaSpec {
    /// Brokers to ask first, `host:port` separated by commas. May come from the Secret instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024), pattern(r"^[^\s,:]+:[0-9]{1,5}(,[^\s,:]+:[0-9]{1,5})*$"))]
    pub bootstrap_servers: Option<String>,
    /// Secret of the same namespace with credentials. Its layout is recognised by its keys: Strimzi KafkaUser (mTLS and SCRAM),
    /// servicebinding.io/kafka, KEDA TriggerAuthentication keys, or plain username, password and ca.crt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretRef>,
    /// How to authenticate. Inferred where the Secret tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authentication: Option<AuthenticationSpec>,
    /// Tuning, by librdkafka's names, from an allow-list (docs/reference/kafka-properties.md). Endpoints and credentials never go here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("maxProperties" = 32))]
    pub properties: Option<BTreeMap<String, String>>,
}

/// A Secret of the same namespace.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretRef {
    /// The Secret's name.
    #[schemars(length(min = 1, max = 253), pattern(r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub name: String,
}

/// How to authenticate to the brokers.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuthenticationSpec {
    /// The mechanism by which a client proves who it is.
    #[serde(rename = "type")]
    #[schemars(transform = crate::schema::tell_words)]
    pub type_: AuthenticationType,
}

/// The mechanism by which a client proves who it is, in Strimzi's spelling.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AuthenticationType {
    /// Client certificate.
    Tls,
    /// SASL SCRAM with SHA-256.
    #[serde(rename = "scram-sha-256")]
    ScramSha256,
    /// SASL SCRAM with SHA-512.
    #[serde(rename = "scram-sha-512")]
    ScramSha512,
    /// SASL PLAIN.
    Plain,
}
