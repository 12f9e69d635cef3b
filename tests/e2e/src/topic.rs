//! Topics of the lab's broker: made, filled, and read to the end.

use std::time::Duration;

use penstock_lab::Kafka;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use crate::failure::{Context as _, Failure, Result};
use crate::wait::until_true;

const LIMIT: Duration = Duration::from_secs(15);

/// The brokers, as clients in the lab's network reach them.
#[derive(Clone, Debug)]
pub struct Brokers {
    bootstrap_servers: String,
    kafka: Kafka,
}

/// Where a group is in a topic, partition by partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Committed offsets; `None` where there is none.
    pub committed: Vec<Option<i64>>,
    /// Ends of the partitions.
    pub ends: Vec<i64>,
}

impl Progress {
    /// Records that are not yet behind a committed offset.
    pub fn lag(&self) -> i64 {
        self.ends.iter().zip(&self.committed).map(|(end, committed)| end - committed.unwrap_or(0)).sum()
    }
}

impl Brokers {
    /// Brokers by their addresses.
    pub fn new(bootstrap_servers: &str) -> Self {
        Self { bootstrap_servers: bootstrap_servers.to_owned(), kafka: Kafka::new(bootstrap_servers) }
    }

    /// Their addresses.
    pub fn bootstrap_servers(&self) -> &str {
        &self.bootstrap_servers
    }

    /// Makes a topic.
    ///
    /// # Errors
    /// What the broker says.
    pub fn create(&self, topic: &str, partitions: i32, config: &[(&str, &str)]) -> Result<()> {
        let config: Vec<_> = config.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        self.kafka.create_topic(topic, partitions, &config).context(format!("creating {topic}"))
    }

    /// Gives a topic a configuration; whatever is not named is the broker's default again.
    ///
    /// # Errors
    /// What the broker says.
    pub fn configure(&self, topic: &str, config: &[(&str, &str)]) -> Result<()> {
        let config: Vec<_> = config.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        self.kafka.configure_topic(topic, &config).context(format!("configuring {topic}"))
    }

    /// Deletes a topic if it is there, and with it what groups have committed for it.
    ///
    /// # Errors
    /// What the broker says.
    pub fn delete(&self, topic: &str) -> Result<()> {
        if !self.has(topic)? {
            return Ok(());
        }
        self.kafka.delete_topic(topic).context(format!("deleting {topic}"))?;
        until_true(&format!("the end of topic {topic}"), LIMIT, || Ok(!self.has(topic)?))
    }

    /// Whether a topic is there.
    ///
    /// # Errors
    /// What the broker says.
    pub fn has(&self, topic: &str) -> Result<bool> {
        let metadata = self.consumer("penstock-e2e")?.fetch_metadata(None, LIMIT).context("listing topics")?;
        Ok(metadata.topics().iter().any(|one| one.name() == topic))
    }

    /// Sends records and waits until the broker has them all.
    ///
    /// # Errors
    /// What the broker says.
    pub fn produce<K, V>(&self, topic: &str, records: impl IntoIterator<Item = (Option<K>, V)>) -> Result<u64>
    where
        K: AsRef<[u8]>,
        V: AsRef<[u8]>,
    {
        let mut sender = self.kafka.producer().context("making a producer")?;
        for (key, value) in records {
            let key = key.as_ref().map(AsRef::as_ref);
            sender.send(topic, key, value.as_ref()).context(format!("producing to {topic}"))?;
        }
        sender.finish().context(format!("producing to {topic}"))
    }

    /// Gives every record that is in a topic now; order holds within each partition.
    ///
    /// # Errors
    /// What the broker says, and the first failure of `each`.
    pub fn read(&self, topic: &str, mut each: impl FnMut(&BorrowedMessage<'_>) -> Result<()>) -> Result<()> {
        let doing = || format!("reading {topic}");
        let consumer = self.consumer("penstock-e2e")?;
        let mut assignment = TopicPartitionList::new();
        let mut open = 0;
        for (partition, (first, end)) in bounds(&consumer, topic)?.into_iter().enumerate() {
            if first < end {
                let partition = i32::try_from(partition).context(doing())?;
                assignment.add_partition_offset(topic, partition, Offset::Offset(first)).context(doing())?;
                open += 1;
            }
        }
        consumer.assign(&assignment).context(doing())?;
        while open > 0 {
            match consumer.poll(LIMIT) {
                Some(Ok(message)) => each(&message)?,
                Some(Err(KafkaError::PartitionEOF(_))) => open -= 1,
                Some(Err(error)) => return Err(error).context(doing()),
                None => return Err(Failure::new(format!("{}: nothing for {}s", doing(), LIMIT.as_secs()))),
            }
        }
        Ok(())
    }

    /// How far a group has come in a topic.
    ///
    /// # Errors
    /// What the broker says.
    pub fn progress(&self, group: &str, topic: &str) -> Result<Progress> {
        let consumer = self.consumer(group)?;
        let bounds = bounds(&consumer, topic)?;
        let mut wanted = TopicPartitionList::new();
        wanted.add_partition_range(topic, 0, i32::try_from(bounds.len()).context("counting partitions")? - 1);
        let found = consumer.committed_offsets(wanted, LIMIT).context(format!("the offsets of {group}"))?;
        let committed = found.elements().iter().map(|one| one.offset().to_raw().filter(|raw| *raw >= 0)).collect();
        Ok(Progress { committed, ends: bounds.into_iter().map(|(_, end)| end).collect() })
    }

    fn consumer(&self, group: &str) -> Result<BaseConsumer> {
        ClientConfig::new()
            .set("bootstrap.servers", &self.bootstrap_servers)
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .create()
            .context("making a consumer")
    }
}

/// First offset and end of each partition.
fn bounds(consumer: &BaseConsumer, topic: &str) -> Result<Vec<(i64, i64)>> {
    let doing = || format!("the ends of {topic}");
    let metadata = consumer.fetch_metadata(Some(topic), LIMIT).context(doing())?;
    let partitions = metadata.topics().first().map_or(0, |one| one.partitions().len());
    if partitions == 0 {
        return Err(Failure::new(format!("there is no topic {topic}")));
    }
    let last = i32::try_from(partitions).context(doing())?;
    (0..last).map(|partition| consumer.fetch_watermarks(topic, partition, LIMIT).context(doing())).collect()
}

/// The last header of a name, as text.
pub fn header<'a>(message: &'a BorrowedMessage<'_>, name: &str) -> Option<&'a str> {
    let found = message.headers()?.iter().filter(|header| header.key == name).last()?;
    found.value.and_then(|value| std::str::from_utf8(value).ok())
}
