//! `kafka.properties`: an allow-list.
//!
//! The operator opens the tenant's client configuration inside its own pod, and librdkafka reads files and calls URLs that some
//! properties name (`sasl.oauthbearer.assertion.file`, `ssl.ca.location`, `plugin.library.paths`, kinit commands). What is not
//! listed is refused; endpoints and credentials come from typed fields and the Secret alone.

use std::collections::BTreeMap;

use super::check::Check;
use crate::schema::nearest;

/// Tuning keys of librdkafka that a pipeline may set: they change how much and how often, never where to or who.
pub const ALLOWED_PROPERTIES: [&str; 31] = [
    "allow.auto.create.topics",
    "batch.num.messages",
    "batch.size",
    "broker.address.family",
    "broker.address.ttl",
    "check.crcs",
    "compression.level",
    "compression.type",
    "connections.max.idle.ms",
    "delivery.timeout.ms",
    "fetch.error.backoff.ms",
    "fetch.max.bytes",
    "fetch.min.bytes",
    "fetch.queue.backoff.ms",
    "fetch.wait.max.ms",
    "heartbeat.interval.ms",
    "linger.ms",
    "max.in.flight.requests.per.connection",
    "max.partition.fetch.bytes",
    "message.max.bytes",
    "queued.min.messages",
    "receive.message.max.bytes",
    "reconnect.backoff.max.ms",
    "reconnect.backoff.ms",
    "request.timeout.ms",
    "session.timeout.ms",
    "socket.keepalive.enable",
    "socket.nagle.disable",
    "socket.timeout.ms",
    "topic.metadata.refresh.interval.ms",
    "ssl.endpoint.identification.algorithm",
];

/// The longest value of a property, bytes.
const VALUE_MAX: usize = 256;

pub(super) fn check(properties: &BTreeMap<String, String>, check: &mut Check) {
    for (key, value) in properties {
        let path = "spec.kafka.properties";
        if !ALLOWED_PROPERTIES.contains(&key.as_str()) {
            let hint =
                nearest(key, ALLOWED_PROPERTIES).map_or_else(String::new, |near| format!(" Did you mean {near}?"));
            let shown: String = key.chars().take(80).collect();
            check.wrong(path, format!("{shown} is not one of the tuning keys that may be set here.{hint}"));
        } else if value.len() > VALUE_MAX {
            check.wrong(path, format!("the value of {key} is longer than {VALUE_MAX} bytes"));
        }
    }
}
