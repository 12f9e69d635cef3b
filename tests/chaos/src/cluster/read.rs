//! Reading topics from one end to the other.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::{ClientConfig, Offset, Timestamp, TopicPartitionList};

use super::{Cluster, OFFSETS};
use crate::error::{During as _, Error, Result};
use crate::fleet::Names;
use crate::history::{Commit, Forwarded, Log, Record, Tp};
use crate::offsets;
use crate::plan::Plan;
use crate::processor::record_digest;
use crate::rng::digest;

/// Nothing came for so long: something is wrong with the harness or its cluster.
const SILENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(200);
/// Where Penstock's own headers begin.
const ID: &str = "penstock.id";

/// A topic to read.
#[derive(Clone, Copy, Debug)]
pub struct Topic<'a> {
    /// Its name.
    pub name: &'a str,
    /// How many partitions it has.
    pub partitions: i32,
    /// Whether to leave out what aborted transactions wrote.
    pub committed: bool,
}

impl Cluster {
    /// Gives every record of a topic from those offsets (0 where none is given) to the ends as they are now.
    pub(super) fn read(
        &self,
        topic: Topic<'_>,
        from: &[i64],
        give: &mut dyn FnMut(&BorrowedMessage<'_>) -> Result<()>,
    ) -> Result<Vec<i64>> {
        let ends = self.all_ends(topic.name, topic.partitions)?;
        let isolation = if topic.committed { "read_committed" } else { "read_uncommitted" };
        let client: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &self.bootstrap)
            .set("group.id", "chaos-reader")
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .set("isolation.level", isolation)
            .set("fetch.message.max.bytes", "10000000")
            .create()
            .during("making a reader")?;
        let mut assignment = TopicPartitionList::new();
        let mut open: BTreeMap<i32, i64> = BTreeMap::new();
        for (partition, end) in (0..).zip(&ends) {
            let begin = usize::try_from(partition).ok().and_then(|index| from.get(index)).copied().unwrap_or_default();
            if begin < *end {
                open.insert(partition, *end);
                assignment
                    .add_partition_offset(topic.name, partition, Offset::Offset(begin))
                    .during("naming a partition")?;
            }
        }
        client.assign(&assignment).during("reading")?;
        let mut heard = Instant::now();
        while !open.is_empty() {
            match client.poll(POLL) {
                Some(Ok(message)) => {
                    heard = Instant::now();
                    let (partition, offset) = (message.partition(), message.offset());
                    if open.get(&partition).is_some_and(|end| offset < *end) {
                        give(&message)?;
                    }
                    if open.get(&partition).is_some_and(|end| offset + 1 >= *end) {
                        open.remove(&partition);
                    }
                }
                Some(Err(rdkafka::error::KafkaError::PartitionEOF(partition))) => {
                    open.remove(&partition);
                }
                Some(Err(_)) | None if heard.elapsed() < SILENCE => {} // brokers come and go
                Some(Err(source)) => return Err(source).during(&format!("reading {}", topic.name)),
                None => return Err(Error::Evidence(format!("{} does not come to its end", topic.name))),
            }
        }
        Ok(ends)
    }

    /// A source topic as a consumer of the pipeline's isolation may see it; `place` is its place among the sources.
    ///
    /// # Errors
    /// Kafka's.
    pub fn read_source(&self, topic: Topic<'_>, place: usize, plan: &Plan) -> Result<Vec<Log>> {
        let tp = |partition| Tp { topic: place, partition };
        let mut logs: Vec<Log> =
            (0..topic.partitions).map(|number| Log { tp: tp(number), records: Vec::new(), end: 0 }).collect();
        let ends = self.read(topic, &[], &mut |message| {
            let (partition, offset) = (message.partition(), message.offset());
            let log = usize::try_from(partition).ok().and_then(|index| logs.get_mut(index));
            let log = log.ok_or_else(|| Error::Evidence(format!("a record of partition {partition}, which is new")))?;
            log.records.push(Record {
                offset,
                key: message.key().map(|key| digest([Some(key)])),
                digest: record_digest(message.key(), message.payload(), headers(message, usize::MAX)),
                timestamp: message.timestamp().to_millis().unwrap_or(-1),
                fate: plan.mix.of(tp(partition), offset).fate(),
            });
            Ok(())
        })?;
        for (log, end) in logs.iter_mut().zip(ends) {
            log.end = end;
        }
        Ok(logs)
    }

    /// A topic of dead letters, or of outputs.
    ///
    /// # Errors
    /// Kafka's, or records that say nothing of where they come from.
    pub fn read_forwarded(&self, topic: Topic<'_>, names: &Names, outputs: bool) -> Result<Vec<Forwarded>> {
        let mut all = Vec::new();
        self.read(topic, &[], &mut |message| {
            all.push(forwarded(message, names, outputs).ok_or_else(|| {
                let (partition, offset) = (message.partition(), message.offset());
                Error::Evidence(format!("{} {partition}/{offset} does not say where it comes from", topic.name))
            })?);
            Ok(())
        })?;
        Ok(all)
    }

    /// Every commit of the group to its sources since `from`, in the order in which the coordinator wrote them.
    ///
    /// # Errors
    /// Kafka's, or a format that is unknown.
    pub fn read_commits(&self, names: &Names, from: &[i64]) -> Result<Vec<Commit>> {
        let partitions = self.describe(OFFSETS)?.partitions;
        let mut commits = Vec::new();
        let malformed = |error: offsets::Malformed| Error::Evidence(error.to_string());
        self.read(Topic { name: OFFSETS, partitions, committed: false }, from, &mut |message| {
            let Some(key) = offsets::key(message.key().unwrap_or_default()).map_err(malformed)? else { return Ok(()) };
            let topic = names.place(&key.topic).filter(|_| key.group == names.group);
            let (Some(topic), Some(value)) = (topic, message.payload()) else { return Ok(()) };
            let value = offsets::value(value).map_err(malformed)?;
            commits.push(Commit {
                tp: Tp { topic, partition: key.partition },
                offset: value.offset,
                leader_epoch: value.leader_epoch,
                metadata: value.metadata,
                at: value.timestamp,
            });
            Ok(())
        })?;
        Ok(commits)
    }
}

fn headers<'a>(message: &'a BorrowedMessage<'_>, most: usize) -> impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> {
    let all = message.headers().into_iter().flat_map(|headers| headers.iter());
    all.take(most).map(|header| (header.key.as_bytes(), header.value))
}

/// Penstock's own headers stand behind the record's own, which may have the same names.
fn forwarded(message: &BorrowedMessage<'_>, names: &Names, output: bool) -> Option<Forwarded> {
    let own = headers(message, usize::MAX).collect::<Vec<_>>();
    let begin = own.iter().rposition(|(name, _)| *name == ID.as_bytes())?;
    let header = |wanted: &str| {
        let (_, value) = own.get(begin..)?.iter().find(|(name, _)| *name == wanted.as_bytes())?;
        std::str::from_utf8((*value)?).ok()
    };
    let Timestamp::LogAppendTime(appended) = message.timestamp() else { return None };
    let digest = if output {
        let body = std::str::from_utf8(message.payload()?).ok()?;
        let body = u64::from_str_radix(body, 16).ok()?;
        crate::check::output_digest(body, message.key().map(|key| digest([Some(key)])))
    } else {
        record_digest(message.key(), message.payload(), headers(message, begin))
    };
    Some(Forwarded {
        tp: Tp {
            topic: names.place(header("penstock.origin.topic")?)?,
            partition: header("penstock.origin.partition")?.parse().ok()?,
        },
        offset: header("penstock.origin.offset")?.parse().ok()?,
        appended,
        digest,
        class: header("penstock.error.class").unwrap_or_default().to_owned(),
        timestamp: header("penstock.origin.timestamp").and_then(|text| text.parse().ok()),
        landed: message.partition(),
        at: message.offset(),
    })
}
