//! librdkafka's properties for each kind of client, and why each is as it is.

use std::collections::BTreeMap;
use std::fmt;

use crate::native::overheard;

use super::security::{Identity, Security};
use super::{ClientConfig, Connection, ConsumerSettings, GroupProtocol};

/// Properties whose value never shows in Debug output.
const SECRET: &[&str] = &["sasl.password", "ssl.key.pem", "ssl.key.password"];

/// Tuning keys that only a producer understands; a consumer would warn about them in its log.
const FOR_PRODUCERS: &[&str] = &[
    "batch.num.messages",
    "batch.size",
    "compression.level",
    "compression.type",
    "delivery.timeout.ms",
    "linger.ms",
    "request.timeout.ms",
];

/// … and those only a consumer does.
const FOR_CONSUMERS: &[&str] = &[
    "allow.auto.create.topics",
    "check.crcs",
    "fetch.error.backoff.ms",
    "fetch.max.bytes",
    "fetch.min.bytes",
    "fetch.queue.backoff.ms",
    "fetch.wait.max.ms",
    "heartbeat.interval.ms",
    "max.partition.fetch.bytes",
    "queued.min.messages",
    "session.timeout.ms",
];

/// With KIP-848 the broker decides these, and librdkafka refuses a client that names them.
const BROKER_DECIDES: &[&str] = &["session.timeout.ms", "heartbeat.interval.ms"];

/// What a setting is worth: users' tuning goes over defaults, and guarantees over both.
#[derive(Default)]
struct Layers {
    defaults: BTreeMap<String, String>,
    guarantees: BTreeMap<String, String>,
}

impl Layers {
    fn by_default(&mut self, name: &str, value: impl fmt::Display) {
        self.defaults.insert(name.to_owned(), value.to_string());
    }

    fn always(&mut self, name: &str, value: impl fmt::Display) {
        self.guarantees.insert(name.to_owned(), value.to_string());
    }

    fn with(self, tuning: &BTreeMap<String, String>, not: &[&[&str]]) -> ClientConfig {
        let mut properties = self.defaults;
        let wanted = tuning.iter().filter(|(name, _)| !not.iter().any(|names| names.contains(&name.as_str())));
        properties.extend(wanted.map(|(name, value)| (name.clone(), value.clone())));
        properties.extend(self.guarantees);
        ClientConfig { properties }
    }
}

impl Connection {
    fn layers(&self, client_id: &str) -> Layers {
        let mut layers = Layers::default();
        layers.always("bootstrap.servers", &self.bootstrap_servers);
        layers.always("client.id", client_id);
        layers.by_default("socket.keepalive.enable", true);
        // Idle connections are closed by brokers as a matter of course; not worth a log line each.
        layers.always("log.connection.close", false);
        // A broker that comes back is noticed within this time; librdkafka would wait up to 10 s, Java's clients wait 1 s.
        layers.by_default("reconnect.backoff.max.ms", 2_000);
        // New partitions are noticed within this time.
        layers.by_default("topic.metadata.refresh.interval.ms", 30_000);
        self.security.apply(&mut layers);
        layers
    }

    /// The configuration of a consumer.
    pub fn consumer(&self, settings: &ConsumerSettings) -> ClientConfig {
        let mut layers = self.layers(&settings.client_id);
        layers.always("group.id", &settings.group_id);
        match settings.protocol {
            GroupProtocol::Consumer => {
                layers.always("group.protocol", "consumer");
                layers.always("debug", [overheard::BROKERS, overheard::GROUP, overheard::TOPICS].join(","));
            }
            GroupProtocol::Classic => {
                layers.always("group.protocol", "classic");
                layers.always("debug", [overheard::BROKERS, overheard::TOPICS].join(","));
                layers.always("partition.assignment.strategy", "cooperative-sticky");
                layers.by_default("session.timeout.ms", settings.session_timeout.as_millis());
            }
        }
        if let Some(rack) = &settings.rack {
            layers.always("client.rack", rack);
        }
        // Offsets move only by explicit commits, and reading starts only where we say.
        layers.always("enable.auto.commit", false);
        layers.always("enable.auto.offset.store", false);
        layers.always("auto.offset.reset", "error");
        layers.always("enable.partition.eof", false);
        layers.always("isolation.level", if settings.read_committed { "read_committed" } else { "read_uncommitted" });
        layers.always("max.poll.interval.ms", settings.max_poll_interval.as_millis());
        // A topic that does not exist is an error to show, not a topic to make with the broker's defaults.
        layers.by_default("allow.auto.create.topics", false);
        layers.by_default("check.crcs", true);
        // How long fetching pauses when a queue is full: at the default of 1 s a fast reader stands still most of the time.
        // Measured: 20 ms cost a tenth of the throughput.
        layers.by_default("fetch.queue.backoff.ms", 2);
        layers.by_default("fetch.wait.max.ms", 500);
        // A request that is never answered holds up those behind it; while it is the one for the coordinator, librdkafka asks nobody
        // else, and the member is lost. So less than the usual session of 45 s; librdkafka's own is 60 s.
        layers.by_default("socket.timeout.ms", 30_000);
        // Bytes are what bounds the queues; a bound on records would leave a fast reader waiting between fetches.
        layers.by_default("queued.min.messages", 100_000);
        self.buffers(settings, &mut layers);
        let broker_decides = if settings.protocol == GroupProtocol::Consumer { BROKER_DECIDES } else { &[] };
        layers.with(&self.properties, &[FOR_PRODUCERS, broker_decides])
    }

    fn buffers(&self, settings: &ConsumerSettings, layers: &mut Layers) {
        let buffers = settings.buffers;
        layers.always(
            "queued.max.messages.kbytes",
            buffers.queued_bytes_per_partition.div_ceil(1024).clamp(1, 2_097_151),
        );
        layers.by_default("max.partition.fetch.bytes", buffers.max_partition_fetch_bytes);
        layers.by_default("fetch.max.bytes", buffers.fetch_max_bytes);
        // librdkafka raises fetch.max.bytes to message.max.bytes, which otherwise means nothing to a consumer.
        let fetch_max = self.properties.get("fetch.max.bytes").and_then(|bytes| bytes.parse().ok());
        let fetch_max = fetch_max.unwrap_or(buffers.fetch_max_bytes);
        layers.always("message.max.bytes", fetch_max.clamp(1_000, 1_000_000));
        // … and refuses a client whose largest response is not larger than its largest fetch.
        layers.by_default("receive.message.max.bytes", (fetch_max + 64 * 1024).max(100_000_000));
    }

    /// The configuration of an idempotent producer.
    pub fn producer(&self, client_id: &str) -> ClientConfig {
        let mut layers = self.layers(client_id);
        layers.always("enable.idempotence", true);
        layers.always("acks", "all");
        layers.always("debug", overheard::BROKERS);
        // Same key, same partition as a Java producer would choose: readers of an output may count on it.
        layers.always("partitioner", "murmur2_random");
        // Where a failure would hold a key (Block, ParkKey) its next call waits until what this one put out is confirmed, so time spent
        // waiting for company is the key's. With 1 ms instead of librdkafka's 5 few keys were done in half the time (chaos seed 2204);
        // 0 would make every record a request of its own under moderate load.
        layers.by_default("linger.ms", 1);
        layers.by_default("delivery.timeout.ms", 120_000);
        layers.always("queue.buffering.max.messages", crate::producer::MAX_RECORDS);
        layers.always("queue.buffering.max.kbytes", crate::producer::MAX_BYTES / 1024);
        // A dead letter is as large as its record and its headers: the topic's limit decides, not this client's.
        layers.always("message.max.bytes", 1_000_000_000);
        let mut config = layers.with(&self.properties, &[FOR_CONSUMERS]);
        let in_flight = "max.in.flight.requests.per.connection";
        if config.get(in_flight).and_then(|value| value.parse().ok()).is_some_and(|value: u32| value > 5) {
            config.properties.insert(in_flight.to_owned(), "5".to_owned()); // all that idempotence allows
        }
        config
    }

    /// The same for one that writes each record in a batch of its own: brokers judge batches as a whole.
    pub fn producer_of_single_records(&self, client_id: &str) -> ClientConfig {
        let mut config = self.producer(client_id);
        config.properties.insert("batch.num.messages".to_owned(), "1".to_owned());
        config
    }

    /// The configuration of an admin client.
    pub fn admin(&self, client_id: &str) -> ClientConfig {
        let mut layers = self.layers(client_id);
        // librdkafka 2.12.1 follows a null pointer when an OffsetFetch meets a coordinator that moved and the client belongs
        // to no group (rdkafka_request.c, rd_kafka_handle_OffsetFetch). So it gets one, which it never joins.
        layers.always("group.id", "penstock-admin");
        layers.always("enable.auto.commit", false);
        layers.always("debug", [overheard::BROKERS, overheard::FEATURES].join(","));
        // Metadata is asked for with each call; in between a client at rest should stay at rest.
        layers.always("topic.metadata.refresh.interval.ms", 300_000);
        layers.with(&self.properties, &[FOR_PRODUCERS, FOR_CONSUMERS, &["message.max.bytes"]])
    }
}

impl Security {
    fn apply(&self, layers: &mut Layers) {
        let sasl = matches!(self.identity, Identity::Sasl { .. });
        let protocol = match (self.tls, sasl) {
            (false, false) => "plaintext",
            (true, false) => "ssl",
            (false, true) => "sasl_plaintext",
            (true, true) => "sasl_ssl",
        };
        layers.always("security.protocol", protocol);
        if self.tls {
            layers.by_default("ssl.endpoint.identification.algorithm", "https");
            if let Some(ca) = &self.ca {
                layers.always("ssl.ca.pem", ca);
            }
        }
        match &self.identity {
            Identity::Anonymous => {}
            Identity::Certificate { certificate, key, key_password } => {
                layers.always("ssl.certificate.pem", certificate);
                layers.always("ssl.key.pem", key);
                if let Some(password) = key_password {
                    layers.always("ssl.key.password", password);
                }
            }
            Identity::Sasl { mechanism, username, password } => {
                layers.always("sasl.mechanism", mechanism);
                layers.always("sasl.username", username);
                layers.always("sasl.password", password);
            }
        }
    }
}

impl ClientConfig {
    /// The value of a property, secrets included: not for logs.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.properties.get(name).map(String::as_str)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> + Clone {
        self.properties.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl fmt::Debug for ClientConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |name: &str, value| if SECRET.contains(&name) { "(redacted)" } else { value };
        f.debug_map().entries(self.iter().map(|(name, value)| (name, shown(name, value)))).finish()
    }
}
