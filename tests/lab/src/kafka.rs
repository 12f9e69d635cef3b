//! What a test or a person asks of the lab's Kafka. Everything here is for a thread that is inside the lab's network.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use rdkafka::{ClientConfig, ClientContext, Offset, TopicPartitionList};

use crate::error::{Context, Error, Result};

const LIMIT: Duration = Duration::from_secs(15);
/// An election takes some tenths of a second.
const ELECTION_PAUSE: Duration = Duration::from_millis(50);
/// The librdkafka queue is full: its own thread makes room within milliseconds.
const QUEUE_PAUSE: Duration = Duration::from_millis(5);

/// A cluster to ask.
#[derive(Debug, Clone)]
pub struct Kafka {
    bootstrap: String,
}

/// A topic, in brief.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// Its partitions.
    pub partitions: usize,
    /// Offsets between the lowest and the highest, over all partitions: records, but for gaps left by compaction and transactions.
    pub offsets: i64,
}

/// A consumer group's standing in one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupTopic {
    /// The group.
    pub name: String,
    /// As the broker says it: `Stable`, `Empty`, …
    pub state: String,
    /// Members of the group, in all topics.
    pub members: usize,
    /// The topic; `-` for a group that never committed.
    pub topic: String,
    /// Sum of the committed offsets.
    pub committed: i64,
    /// Sum of what is left to the ends of the partitions.
    pub lag: i64,
}

/// A record as it lies in the log.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// Where it lies.
    pub partition: i32,
    /// Where in the partition.
    pub offset: i64,
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// Its value.
    pub value: Option<&'a [u8]>,
}

impl Kafka {
    /// The cluster behind those addresses.
    pub fn new(bootstrap_servers: &str) -> Self {
        Self { bootstrap: bootstrap_servers.to_owned() }
    }

    /// All topics but Kafka's internal ones, by name.
    pub fn topics(&self) -> Result<Vec<Topic>> {
        let client = self.consumer("penstock-lab")?;
        let mut topics = Vec::new();
        for (name, partitions) in list_partitions(&client, None)? {
            let mut offsets = 0;
            for partition in &partitions {
                let (low, high) = ends(&client, &name, *partition)?;
                offsets += high - low;
            }
            topics.push(Topic { name, partitions: partitions.len(), offsets });
        }
        Ok(topics)
    }

    /// Makes a topic, with the cluster's default replication.
    pub fn create_topic(&self, name: &str, partitions: i32, config: &[(String, String)]) -> Result<()> {
        let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(-1));
        for (setting, value) in config {
            topic = topic.set(setting, value);
        }
        let what = || format!("creating {name}");
        let made =
            wait_for(self.admin()?.create_topics([&topic], &AdminOptions::new().operation_timeout(Some(LIMIT))))?;
        first(made.map_err(during(what))?, what)
    }

    /// Gives a topic a configuration; whatever is not named is the broker's default again.
    pub fn configure_topic(&self, name: &str, config: &[(String, String)]) -> Result<()> {
        let mut alter = AlterConfig::new(ResourceSpecifier::Topic(name));
        for (setting, value) in config {
            alter = alter.set(setting, value);
        }
        let what = || format!("configuring {name}");
        let done = wait_for(self.admin()?.alter_configs([&alter], &AdminOptions::new()))?.map_err(during(what))?;
        let done =
            done.into_iter().map(|one| one.map(|_| name.to_owned()).map_err(|(_, code)| (name.to_owned(), code)));
        first(done.collect(), what)
    }

    /// Deletes a topic.
    pub fn delete_topic(&self, name: &str) -> Result<()> {
        let what = || format!("deleting {name}");
        let gone = wait_for(self.admin()?.delete_topics(&[name], &AdminOptions::new().operation_timeout(Some(LIMIT))))?;
        first(gone.map_err(during(what))?, what)
    }

    /// A producer that waits for all replicas and never reorders.
    pub fn producer(&self) -> Result<Sender> {
        let failures = Failures::default();
        let producer = self
            .config()
            .set("enable.idempotence", "true")
            .set("linger.ms", "5")
            .set("compression.type", "zstd")
            // The most there is: how large a record may be is for the topic to say.
            .set("message.max.bytes", "1000000000")
            .create_with_context(failures.clone())
            .map_err(during(|| "making a producer".to_owned()))?;
        Ok(Sender { producer, failures, sent: 0 })
    }

    /// Gives every record of a topic that is there now, in no order between partitions, until `limit` records are given.
    pub fn consume(&self, topic: &str, limit: u64, give: &mut dyn FnMut(Record<'_>) -> Result<()>) -> Result<()> {
        let client = self.consumer("penstock-lab")?;
        let mut assignment = TopicPartitionList::new();
        let mut open = std::collections::BTreeSet::new();
        for (name, partitions) in list_partitions(&client, Some(topic))? {
            for partition in partitions {
                let (low, high) = ends(&client, &name, partition)?;
                if low < high {
                    let placed = assignment.add_partition_offset(&name, partition, Offset::Offset(low));
                    placed.map_err(during(|| format!("reading {name}")))?;
                    open.insert(partition);
                }
            }
        }
        client.assign(&assignment).map_err(during(|| format!("reading {topic}")))?;
        let mut given = 0;
        let mut latest = Instant::now();
        // A partition's end shows as an event, also where the last offsets are transaction markers that nobody is given.
        while !open.is_empty() && given < limit {
            match client.poll(LIMIT) {
                Some(Ok(message)) => {
                    latest = Instant::now();
                    let (key, value) = (message.key(), message.payload());
                    give(Record { partition: message.partition(), offset: message.offset(), key, value })?;
                    given += 1;
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    open.remove(&partition);
                }
                Some(Err(source)) => return Err(Error::Kafka { what: format!("reading {topic}"), source }),
                // A poll may also come back empty-handed because something else happened in the client.
                None if latest.elapsed() < LIMIT => {}
                None => {
                    return Err(Error::Conflict(format!(
                        "{topic}: nothing came for {}s before the end",
                        LIMIT.as_secs()
                    )));
                }
            }
        }
        Ok(())
    }

    /// All groups, with a line for each topic they have committed to.
    pub fn groups(&self) -> Result<Vec<GroupTopic>> {
        let client = self.consumer("penstock-lab")?;
        let topics = list_partitions(&client, None)?;
        let list = client.fetch_group_list(None, LIMIT).map_err(during(|| "listing groups".to_owned()))?;
        let mut rows = Vec::new();
        let admin = self.group_admin()?;
        for group in list.groups() {
            // Not the list's own word: it knows the classic protocol alone and calls a KIP-848 group dead.
            let described = wait_for(admin.describe_consumer_group(group.name(), LIMIT))?
                .map_err(|error| Error::Conflict(format!("describing the group {}: {error}", group.name())))?;
            let row = |topic: &str, committed, lag| GroupTopic {
                name: group.name().to_owned(),
                state: format!("{:?}", described.state),
                members: described.members.len(),
                topic: topic.to_owned(),
                committed,
                lag,
            };
            let before = rows.len();
            let member = self.consumer(group.name())?;
            for (topic, partitions) in &topics {
                if let Some((committed, lag)) = standing(&member, topic, partitions)? {
                    rows.push(row(topic, committed, lag));
                }
            }
            if rows.len() == before {
                rows.push(row("-", 0, 0));
            }
        }
        rows.sort_by(|a, b| (&a.name, &a.topic).cmp(&(&b.name, &b.topic)));
        Ok(rows)
    }

    fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap);
        config
    }

    fn consumer(&self, group: &str) -> Result<BaseConsumer> {
        self.config()
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .set("isolation.level", "read_uncommitted")
            .create()
            .map_err(during(|| "making a consumer".to_owned()))
    }

    fn group_admin(&self) -> Result<penstock_kafka::admin::AdminClient> {
        let refused = |error: &dyn std::fmt::Display| Error::Conflict(format!("making an admin client: {error}"));
        let connection =
            penstock_kafka::settings::Connection::resolve(Some(&self.bootstrap), None, None, &BTreeMap::new());
        let config = connection.map_err(|error| refused(&error))?.admin("penstock-lab");
        penstock_kafka::admin::AdminClient::new(&config).map_err(|error| refused(&error))
    }

    fn admin(&self) -> Result<AdminClient<DefaultClientContext>> {
        self.config().create().map_err(during(|| "making an admin client".to_owned()))
    }
}

/// First and next offset of a partition. After a broker's return a new leader first has to learn the end of its own log (KIP-207); that
/// takes a moment and is not an error of the asker.
fn ends(client: &BaseConsumer, topic: &str, partition: i32) -> Result<(i64, i64)> {
    let end = Instant::now() + LIMIT;
    loop {
        match client.fetch_watermarks(topic, partition, LIMIT) {
            Err(error) if is_passing(&error) && Instant::now() < end => std::thread::sleep(ELECTION_PAUSE),
            other => return other.map_err(during(|| format!("the ends of {topic}"))),
        }
    }
}

fn is_passing(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{LeaderNotAvailable, NotLeaderForPartition, OffsetNotAvailable};
    matches!(error.rdkafka_error_code(), Some(LeaderNotAvailable | NotLeaderForPartition | OffsetNotAvailable))
}

/// Committed offsets and lag, summed over the partitions with a commit; none without any.
fn standing(member: &BaseConsumer, topic: &str, partitions: &[i32]) -> Result<Option<(i64, i64)>> {
    let mut wanted = TopicPartitionList::new();
    for partition in partitions {
        wanted.add_partition(topic, *partition);
    }
    let what = || format!("committed offsets in {topic}");
    let found = member.committed_offsets(wanted, LIMIT).map_err(during(what))?;
    let mut sum = None;
    for element in found.elements() {
        if let Offset::Offset(offset) = element.offset() {
            let (low, high) = ends(member, topic, element.partition())?;
            let (committed, lag) = sum.unwrap_or((0, 0));
            sum = Some((committed + offset, lag + (high - offset.max(low)).max(0)));
        }
    }
    Ok(sum)
}

/// Topics with their partitions, by name; all but the internal ones, or one.
fn list_partitions(client: &BaseConsumer, topic: Option<&str>) -> Result<Vec<(String, Vec<i32>)>> {
    let metadata = client.fetch_metadata(topic, LIMIT).map_err(during(|| "listing topics".to_owned()))?;
    let mut found = Vec::new();
    for entry in metadata.topics().iter().filter(|entry| !entry.name().starts_with("__")) {
        if let Some(error) = entry.error() {
            let source = KafkaError::MetadataFetch(RDKafkaErrorCode::from(error));
            return Err(Error::Kafka { what: format!("topic {}", entry.name()), source });
        }
        found.push((
            entry.name().to_owned(),
            entry.partitions().iter().map(rdkafka::metadata::MetadataPartition::id).collect(),
        ));
    }
    found.sort();
    Ok(found)
}

fn first(results: Vec<Result<String, (String, RDKafkaErrorCode)>>, what: impl Fn() -> String) -> Result<()> {
    results.into_iter().try_for_each(|result| match result {
        Ok(_) => Ok(()),
        Err((_, code)) => Err(Error::Kafka { what: what(), source: KafkaError::AdminOp(code) }),
    })
}

/// Waits for an answer on a thread of its own: the caller may be inside a runtime, which must not be blocked by another one.
fn wait_for<T: Send>(answer: impl Future<Output = T> + Send) -> Result<T> {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
            runtime.during(|| "making a runtime".to_owned()).map(|runtime| runtime.block_on(answer))
        });
        thread.join().unwrap_or_else(|cause| std::panic::resume_unwind(cause))
    })
}

fn during(what: impl FnOnce() -> String) -> impl FnOnce(KafkaError) -> Error {
    |source| Error::Kafka { what: what(), source }
}

/// Sends records and counts those that the brokers refused.
pub struct Sender {
    producer: ThreadedProducer<Failures>,
    failures: Failures,
    sent: u64,
}

#[derive(Debug, Clone, Default)]
struct Failures(Arc<AtomicU64>);

impl ClientContext for Failures {}

impl ProducerContext for Failures {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if result.is_err() {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Sender {
    /// Queues a record; waits while the queue is full.
    pub fn send(&mut self, topic: &str, key: Option<&[u8]>, value: &[u8]) -> Result<()> {
        let mut record = BaseRecord::<[u8], [u8]>::to(topic).payload(value);
        record.key = key;
        while let Err((error, back)) = self.producer.send(record) {
            if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                return Err(Error::Kafka { what: format!("sending to {topic}"), source: error });
            }
            std::thread::sleep(QUEUE_PAUSE);
            record = back;
        }
        self.sent += 1;
        Ok(())
    }

    /// Waits until all records are with the brokers, and says how many there are; an error if any was refused.
    pub fn finish(self) -> Result<u64> {
        self.producer.flush(LIMIT * 4).map_err(during(|| "flushing".to_owned()))?;
        match self.failures.0.load(Ordering::Relaxed) {
            0 => Ok(self.sent),
            refused => Err(Error::Conflict(format!("{refused} of {} records were refused or timed out", self.sent))),
        }
    }
}
