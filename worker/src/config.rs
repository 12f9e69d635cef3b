//! From the files a worker is given to the plain values it runs by.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use kube::ResourceExt as _;
use penstock_crds::names::{ANNOTATION_GROUP_PROTOCOL, ANNOTATION_PINNED_TOPICS};
use penstock_crds::spec::{AuthenticationType, Isolation, OnExhausted, OnOffsetLoss, Ordering};
use penstock_crds::{Pipeline, Violation, names, resolve, schema};
use penstock_engine::{Policy, policy};
use penstock_kafka::memory::{Load, fetch_buffers};
use penstock_kafka::settings::{Authentication, Connection, ConsumerSettings, GroupProtocol};

use crate::failure::{Failure, INVALID_PIPELINE, INVALID_SECRET};

/// What the program itself needs: code, threads' stacks, librdkafka's own books. Measured at 30 MB; the rest is for records.
const PROGRAM_BYTES: u64 = 40 << 20;
/// The least that is shared among records.
const RECORDS_BYTES_MIN: u64 = 16 << 20;
/// What a small record costs in librdkafka's queue, its own bytes included. Measured: 340 MB for 100-byte records where their
/// bytes alone were counted, 75 MB with this.
const QUEUED_RECORD_BYTES: u64 = 1024;
/// One part in so many of what records may take is the engine's window; the rest is librdkafka's, and what calls copy.
const WINDOW_SHARE: u64 = 4;
/// The same for batches, whose bodies hold many records each.
const WINDOW_SHARE_BATCHED: u64 = 8;
/// The least of the window that a partition is given: some hundred small records, so that calls overlap.
const PARTITION_WINDOW_MIN: u64 = 64 << 10;
/// One part in so many of what consumers buffer is for delay topics, where there are any: their records wait anyway.
const DELAYED_SHARE: u64 = 4;
/// The group waits so long for a silent member of the classic protocol.
const SESSION_TIMEOUT: Duration = Duration::from_secs(45);
/// After a drain: give up, flush, commit, leave the group, all before Kubernetes kills.
const STOP_RESERVE: Duration = Duration::from_secs(15);

/// A pipeline and what came with its file.
#[derive(Clone, Debug)]
pub struct Config {
    /// The resolved pipeline.
    pub pipeline: Pipeline,
    /// The group protocol that the operator settled.
    pub protocol: Option<GroupProtocol>,
    /// Topics whose start offsets the operator has pinned.
    pub pinned_topics: BTreeSet<String>,
}

impl Config {
    /// Reads and resolves a pipeline file.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn read(path: &Path) -> Result<Self, Vec<Violation>> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            vec![Violation { path: path.display().to_string(), message: format!("cannot be read: {error}") }]
        })?;
        Self::parse(&text)
    }

    /// Resolves the text of a pipeline file.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(text: &str) -> Result<Self, Vec<Violation>> {
        let resource = schema::parse(text)?;
        let pipeline = resolve(&resource)?;
        let annotation = |name: &str| resource.annotations().get(name).map(String::as_str);
        let protocol = match annotation(ANNOTATION_GROUP_PROTOCOL) {
            None => None,
            Some("consumer") => Some(GroupProtocol::Consumer),
            Some("classic") => Some(GroupProtocol::Classic),
            Some(other) => {
                let path = format!("metadata.annotations[{ANNOTATION_GROUP_PROTOCOL}]");
                return Err(vec![Violation { path, message: format!("is {other}; consumer and classic are known") }]);
            }
        };
        let pinned = annotation(ANNOTATION_PINNED_TOPICS).unwrap_or_default();
        let pinned_topics = pinned.split(',').map(str::trim).filter(|topic| !topic.is_empty()).map(str::to_owned);
        Ok(Self { protocol, pinned_topics: pinned_topics.collect(), pipeline })
    }

    /// `<namespace>/<name>`.
    pub fn pipeline_name(&self) -> String {
        format!("{}/{}", self.pipeline.identity.namespace, self.pipeline.identity.name)
    }

    /// How to reach the cluster, with the Secret's keys as files in `secret_dir`. `tuning` is for what the pipeline does not say.
    ///
    /// # Errors
    /// The Secret is absent, lacks something, or fits no layout.
    pub fn connection(&self, secret_dir: Option<&Path>, tuning: &[(&str, String)]) -> Result<Connection, Failure> {
        let kafka = &self.pipeline.kafka;
        let secret = match (&kafka.secret, secret_dir) {
            (None, _) => None,
            (Some(_), Some(dir)) => Some(read_secret(dir)?),
            (Some(name), None) => {
                let message = format!(
                    "spec.kafka.secretRef names the Secret {name}: give its keys as files in a directory, by --secret-dir"
                );
                return Err(Failure::new(INVALID_SECRET, message));
            }
        };
        let authentication = kafka.authentication.map(|authentication| match authentication {
            AuthenticationType::Tls => Authentication::Tls,
            AuthenticationType::ScramSha256 => Authentication::ScramSha256,
            AuthenticationType::ScramSha512 => Authentication::ScramSha512,
            AuthenticationType::Plain => Authentication::Plain,
        });
        let mut properties: BTreeMap<String, String> =
            tuning.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        properties.extend(kafka.properties.clone());
        Connection::resolve(kafka.bootstrap_servers.as_deref(), secret.as_ref(), authentication, &properties)
            .map_err(|error| Failure::new(INVALID_SECRET, error.to_string()))
    }

    /// What the engine goes by.
    pub fn policy(&self, memory_bytes: u64, load: &Load, incarnation: u64) -> Policy {
        let delivery = &self.pipeline.delivery;
        let window_share = if delivery.batch.is_some() { WINDOW_SHARE_BATCHED } else { WINDOW_SHARE };
        Policy {
            ordering: match delivery.ordering {
                Ordering::Key => policy::Ordering::Key,
                Ordering::Partition => policy::Ordering::Partition,
                Ordering::Unordered => policy::Ordering::Unordered,
            },
            concurrency: delivery.concurrency,
            batch: delivery.batch.as_ref().map_or_else(policy::Batch::default, |batch| policy::Batch {
                max_records: batch.max_records,
                max_bytes: batch.max_bytes,
                max_wait: batch.max_wait,
                same_lane: batch.same_lane,
            }),
            timeout: delivery.timeout,
            retry: policy::Retry {
                max_attempts: delivery.retry.max_attempts,
                initial_delay: delivery.retry.initial_delay,
                max_delay: delivery.retry.max_delay,
                max_age: delivery.retry.max_age,
                delay_tiers: u32::try_from(delivery.retry.delay_topics.len()).unwrap_or(u32::MAX), // at most 8
            },
            on_exhausted: match delivery.on_exhausted {
                OnExhausted::DeadLetter => policy::OnExhausted::DeadLetter,
                OnExhausted::ParkKey => policy::OnExhausted::ParkKey,
                OnExhausted::Block => policy::OnExhausted::Block,
                OnExhausted::Discard => policy::OnExhausted::Discard,
            },
            fuse: delivery.dead_letter.as_ref().map(|letters| policy::Fuse::of(letters.max_percent)),
            output: self.pipeline.output.is_some(),
            on_offset_loss: match self.pipeline.source.on_offset_loss {
                OnOffsetLoss::Stop => policy::OnOffsetLoss::Stop,
                OnOffsetLoss::Resume => policy::OnOffsetLoss::Resume,
            },
            window_bytes: window(records_bytes(memory_bytes) / window_share, load),
            incarnation,
            session_timeout: self.session_timeout(),
            ..Policy::default()
        }
    }

    /// After how long in silence this worker may have been replaced. A shorter session in `kafka.properties` counts for the
    /// self-fencing too; a longer one need not, for fencing too early costs one commit.
    fn session_timeout(&self) -> Duration {
        let asked = self.pipeline.kafka.properties.get("session.timeout.ms").and_then(|millis| millis.parse().ok());
        asked.map_or(SESSION_TIMEOUT, Duration::from_millis).min(SESSION_TIMEOUT)
    }

    /// What the consumer is to be.
    pub fn consumer(&self, memory_bytes: u64, load: &Load) -> ConsumerSettings {
        ConsumerSettings {
            group_id: self.pipeline.source.group_id.clone(),
            protocol: self.protocol.unwrap_or(GroupProtocol::Consumer),
            client_id: names::client_id(&self.pipeline.identity.uid),
            rack: None,
            read_committed: self.pipeline.source.isolation == Isolation::ReadCommitted,
            max_poll_interval: resolve::MAX_POLL_INTERVAL,
            session_timeout: SESSION_TIMEOUT,
            buffers: fetch_buffers(self.source_bytes(memory_bytes), load),
        }
    }

    /// The same for the consumer of the delay topics.
    pub fn delay_consumer(&self, memory_bytes: u64, load: &Load) -> ConsumerSettings {
        ConsumerSettings {
            group_id: names::delay_group(&self.pipeline.source.group_id),
            buffers: fetch_buffers(records_bytes(memory_bytes) / DELAYED_SHARE, load),
            ..self.consumer(memory_bytes, load)
        }
    }

    /// What the source's consumer may take for its buffers and as much again: what the delay topics' leaves.
    fn source_bytes(&self, memory_bytes: u64) -> u64 {
        let delayed = u64::from(!self.pipeline.delivery.retry.delay_topics.is_empty());
        records_bytes(memory_bytes) * (DELAYED_SHARE - delayed) / DELAYED_SHARE
    }

    /// How long calls may finish after SIGTERM.
    pub fn stop_within(&self) -> Duration {
        self.pipeline.delivery.drain.min(self.pipeline.grace.saturating_sub(STOP_RESERVE))
    }
}

/// `queued.min.messages`: librdkafka fetches ahead while a partition has fewer records than this *and* fewer bytes than its
/// limit. Bytes alone do not bound memory, for each record costs it some 500 bytes of its own.
pub fn queued_records(consumer: &ConsumerSettings) -> [(&'static str, String); 1] {
    let records = (consumer.buffers.queued_bytes_per_partition / QUEUED_RECORD_BYTES).clamp(1_000, 100_000);
    [("queued.min.messages", records.to_string())]
}

/// The memory for records: half of it is librdkafka's, a quarter the engine's, which counts all that it keeps whether it needs it or not
/// (`worker/engine/src/segments.rs`), the rest for what is being sent. In the body of a batch a small record takes up to three times what
/// the engine counts for it, and then the engine has an eighth.
fn records_bytes(memory_bytes: u64) -> u64 {
    memory_bytes.saturating_sub(PROGRAM_BYTES).max(RECORDS_BYTES_MIN)
}

/// What the engine may hold: each partition goes above its share by one record, which is left free beforehand.
fn window(bytes: u64, load: &Load) -> u64 {
    let partitions = u64::from(load.partitions.max(1));
    bytes.saturating_sub(load.overdraft() * partitions).max(partitions * PARTITION_WINDOW_MIN).min(bytes)
}

/// A mounted Secret: each key a file. Kubernetes' own entries begin with two dots.
fn read_secret(dir: &Path) -> Result<BTreeMap<String, Vec<u8>>, Failure> {
    let failed = |path: &Path, error: &std::io::Error| {
        Failure::new(INVALID_SECRET, format!("{} cannot be read: {error}", path.display()))
    };
    let mut secret = BTreeMap::new();
    for entry in std::fs::read_dir(dir).map_err(|error| failed(dir, &error))? {
        let path = entry.map_err(|error| failed(dir, &error))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        if !name.starts_with("..") && path.is_file() {
            secret.insert(name, std::fs::read(&path).map_err(|error| failed(&path, &error))?);
        }
    }
    Ok(secret)
}

/// Violations as one failure.
pub fn invalid(violations: &[Violation]) -> Failure {
    let lines: Vec<String> = violations.iter().map(ToString::to_string).collect();
    Failure::new(INVALID_PIPELINE, lines.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIPELINE: &str = "
apiVersion: penstock.dev/v1alpha1
kind: ConsumerPipeline
metadata:
  name: orders
  namespace: shop
  annotations: {penstock.dev/group-protocol: classic, penstock.dev/pinned-topics: 'a, b'}
spec:
  kafka: {bootstrapServers: 'kafka:9092'}
  source: {topics: [{name: orders}]}
  processor: {type: discard}
";

    const LOAD: Load = Load { partitions: 12, brokers: 3, record_bytes: 1 << 20 };

    #[test]
    fn annotations_carry_what_the_operator_settled() {
        let config = Config::parse(PIPELINE).unwrap();
        assert_eq!(config.protocol, Some(GroupProtocol::Classic));
        assert_eq!(config.pinned_topics, BTreeSet::from(["a".to_owned(), "b".to_owned()]));
        assert_eq!(config.pipeline_name(), "shop/orders");
        assert_eq!(config.stop_within(), Duration::from_secs(20));
    }

    #[test]
    fn an_unknown_protocol_is_refused() {
        let violations = Config::parse(&PIPELINE.replace("classic", "telepathy")).unwrap_err();
        assert!(violations[0].to_string().contains("consumer and classic are known"), "{}", violations[0]);
    }

    #[test]
    fn a_secret_that_is_named_must_be_given() {
        let config =
            Config::parse(&PIPELINE.replace("{bootstrapServers: 'kafka:9092'}", "{secretRef: {name: s}}")).unwrap();
        assert!(config.connection(None, &[]).unwrap_err().message.contains("--secret-dir"));
    }

    #[test]
    fn delay_topics_share_the_memory_of_the_source() {
        let delivery = "  delivery: {ordering: Unordered, retry: {delayTopics: [1m]}}";
        let config = Config::parse(&format!("{PIPELINE}{delivery}")).unwrap();
        let (source, delayed) = (config.consumer(256 << 20, &LOAD), config.delay_consumer(256 << 20, &LOAD));
        assert_eq!((source.group_id.as_str(), delayed.group_id.as_str()), ("shop.orders", "shop.orders.retry"));
        let alone = Config::parse(PIPELINE).unwrap().consumer(256 << 20, &LOAD).buffers.worst_case(&LOAD);
        assert!(source.buffers.worst_case(&LOAD) + delayed.buffers.worst_case(&LOAD) <= alone);
        assert_eq!(config.policy(256 << 20, &LOAD, 1).retry.delay_tiers, 1);
    }

    #[test]
    fn a_shorter_session_fences_sooner_and_a_longer_one_not_later() {
        let fence = |millis: &str| {
            let kafka = format!("{{bootstrapServers: 'kafka:9092', properties: {{session.timeout.ms: '{millis}'}}}}");
            let config = Config::parse(&PIPELINE.replace("{bootstrapServers: 'kafka:9092'}", &kafka)).unwrap();
            config.policy(256 << 20, &LOAD, 1).session_timeout
        };
        assert_eq!(fence("6000"), Duration::from_secs(6));
        assert_eq!(fence("90000"), SESSION_TIMEOUT);
        assert_eq!(Config::parse(PIPELINE).unwrap().policy(256 << 20, &LOAD, 1).session_timeout, SESSION_TIMEOUT);
    }

    #[test]
    fn memory_is_shared_and_never_less_than_the_floor() {
        let config = Config::parse(PIPELINE).unwrap();
        assert_eq!(config.policy(256 << 20, &LOAD, 1).window_bytes, (216 << 20) / 4);
        let batched = Config::parse(&format!("{PIPELINE}  delivery: {{batch: {{maxRecords: 100}}}}")).unwrap();
        assert_eq!(batched.policy(256 << 20, &LOAD, 1).window_bytes, (216 << 20) / 8);
        assert_eq!(batched.policy(256 << 20, &LOAD, 1).batch.max_records, 100);
        assert_eq!(config.policy(0, &LOAD, 1).window_bytes, RECORDS_BYTES_MIN / 4);
        // Twelve records of 4 MiB, one above each partition's share.
        let large = Load { record_bytes: 4 << 20, ..LOAD };
        assert_eq!(config.policy(256 << 20, &large, 1).window_bytes, (216 << 20) / 4 - (48 << 20));
        assert_eq!(config.policy(128 << 20, &large, 1).window_bytes, 12 * PARTITION_WINDOW_MIN);
    }
}
