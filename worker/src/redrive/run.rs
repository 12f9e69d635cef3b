//! Reading, copying, committing: partition by partition.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use penstock_crds::checkpoint::Place;
use penstock_kafka::TopicPartition;
use penstock_kafka::admin::{AdminClient, AdminError, Isolation, OffsetSpec, OffsetToAlter, Topic};
use penstock_kafka::consumer::{Consumer, ConsumerEvent, FetchLimit, StartAt};
use penstock_kafka::producer::{OutgoingRecord, Producer, SendError};
use penstock_kafka::record::{Record, RecordBatch};
use penstock_kafka::settings::{Connection, ConsumerSettings};
use penstock_kafka::wake::{Sleeper, Waker};
use tokio::runtime::Runtime;

use super::letter::{Letter, Wishes};
use super::progress::Progress;
use super::sent::Sent;
use super::{Summary, say};
use crate::cli::Redrive;
use crate::failure::{Failure, KAFKA_ERROR, KAFKA_UNREACHABLE, TOPIC_NOT_FOUND};
use crate::kafka::topic_id;

/// Letters between two commits of the position: so many are copied again after a crash.
const BATCH_RECORDS: usize = 500;
const BATCH_BYTES: usize = 8 << 20;
/// Longest wait for an answer of the cluster, or for the next letter.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Longest wait for confirmations: librdkafka gives a record up after two minutes.
const CONFIRM_MAX: Duration = Duration::from_secs(130);
/// Longest sleep: polling is what keeps the client going.
const NAP: Duration = Duration::from_millis(50);
/// Characters of a key that a dry run shows.
const KEY_SHOWN: usize = 60;

/// What reads, writes and asks.
pub(super) struct Clients {
    consumer: Consumer,
    producer: Producer,
    admin: AdminClient,
}

/// One run of the tool.
pub(super) struct Run<'a> {
    args: &'a Redrive,
    clients: Clients,
    sleeper: Sleeper,
    runtime: Runtime,
    group: String,
    sources: BTreeSet<String>,
    /// Their ids now, as headers have them.
    source_ids: BTreeMap<String, String>,
    began: Instant,
    /// The first letter that could not go back, and why.
    refused: Option<Failure>,
    pub(super) summary: Summary,
}

/// A partition of the dead-letter topic, from where it is read to where it ended when this run began.
struct Stretch<'a> {
    name: TopicPartition,
    cluster_id: &'a str,
    topic_id: u128,
    end: i64,
    progress: Progress,
}

/// What there is of a partition of dead letters.
struct Bounds {
    name: TopicPartition,
    /// The first letter that was not looked at, and the end.
    start: i64,
    end: i64,
    /// The committed offset and its metadata.
    committed: i64,
    text: String,
}

/// What becomes of a record of the dead-letter topic.
enum Fate<'a> {
    /// An earlier run was done with it.
    DoneBefore,
    /// No dead letter of this pipeline.
    Foreign,
    /// Of another key.
    Left,
    /// Discarded, and no worker waits for it.
    Dropped,
    /// Copied.
    SentBack(Letter<'a>),
}

impl Clients {
    pub(super) fn new(
        connection: &Connection,
        settings: &ConsumerSettings,
        client_id: &str,
        waker: &Waker,
    ) -> Result<Self, Failure> {
        let kafka = |error| Failure::from_kafka(&error);
        Ok(Self {
            consumer: Consumer::new(&connection.consumer(settings), waker.clone()).map_err(kafka)?,
            // One record a batch: a broker judges a batch by its size, and where one is refused those behind it may be written before it.
            producer: Producer::new(&connection.producer_of_single_records(client_id), waker.clone()).map_err(kafka)?,
            admin: AdminClient::new(&connection.admin(client_id)).map_err(|error| Failure::from_admin(&error))?,
        })
    }
}

impl<'a> Run<'a> {
    pub(super) fn new(
        args: &'a Redrive,
        clients: Clients,
        sleeper: Sleeper,
        runtime: Runtime,
        group: String,
        sources: BTreeSet<String>,
    ) -> Self {
        let (source_ids, summary) = (BTreeMap::new(), Summary::default());
        let (refused, began) = (None, Instant::now());
        Self { args, clients, sleeper, runtime, group, sources, source_ids, began, refused, summary }
    }

    /// Every partition of the dead-letter topic, up to where it ends now: what comes back as a letter in the meantime is for another run.
    ///
    /// # Errors
    /// What ended it, or that letters could not go back and stay.
    pub(super) fn all(&mut self, topic: &str) -> Result<(), Failure> {
        let admin = self.clients.admin.clone();
        let cluster = self.ask(admin.describe_cluster(TIMEOUT))?;
        let mut names: Vec<&str> = vec![topic];
        let sources = self.sources.clone();
        names.extend(sources.iter().map(String::as_str));
        let mut topics: BTreeMap<String, Topic> = BTreeMap::new();
        for (name, answer) in self.ask(admin.describe_topics(&names, TIMEOUT))? {
            topics.insert(name.clone(), answer.map_err(|error| no_topic(&name, &error))?);
        }
        let letters = topics.remove(topic).ok_or_else(|| no_topic(topic, &AdminError::NotFound(topic.to_owned())))?;
        self.source_ids =
            topics.iter().filter_map(|(name, topic)| Some((name.clone(), topic.id?.to_string()))).collect();
        let topic_id = letters.id.map_or(0, |id| topic_id(id).0);
        let partitions: Vec<_> =
            letters.partitions.iter().map(|one| TopicPartition::new(topic, one.partition)).collect();
        for Bounds { name, start, end, committed, text } in self.bounds(&partitions)? {
            let place = Place {
                cluster_id: &cluster.id,
                topic_id,
                partition: name.partition,
                offset: committed,
                leader_epoch: -1,
            };
            let progress = Progress::resume(start, &text, &place);
            let mut stretch = Stretch { name, cluster_id: &cluster.id, topic_id, end, progress };
            if start < end {
                self.stretch(&mut stretch, start)?;
            }
        }
        self.refused.take().map_or(Ok(()), Err)
    }

    fn bounds(&self, partitions: &[TopicPartition]) -> Result<Vec<Bounds>, Failure> {
        let admin = &self.clients.admin;
        let committed = self.ask(admin.list_consumer_group_offsets(&self.group, Some(partitions), false, TIMEOUT))?;
        let mut ends = [BTreeMap::new(), BTreeMap::new()];
        for (ends, spec) in ends.iter_mut().zip([OffsetSpec::Earliest, OffsetSpec::Latest]) {
            let asked: Vec<_> = partitions.iter().map(|one| (one.clone(), spec)).collect();
            for (name, answer) in self.ask(admin.list_offsets(&asked, Isolation::ReadCommitted, TIMEOUT))? {
                let offset = answer.map_err(|error| Failure::from_admin(&error))?.offset.unwrap_or(0);
                ends.insert(name, offset);
            }
        }
        let mut all = Vec::new();
        for (name, answer) in committed {
            let found = answer.map_err(|error| Failure::from_admin(&error))?;
            let (first, end) = (ends[0].get(&name).copied().unwrap_or(0), ends[1].get(&name).copied().unwrap_or(0));
            let (committed, text) = found.map_or((first, String::new()), |found| {
                (found.offset, String::from_utf8(found.metadata).unwrap_or_default())
            });
            if committed < first {
                say(&format!("{name}: retention took {} letters that were not sent back", first - committed));
            }
            all.push(Bounds { name, start: committed.max(first), end, committed, text });
        }
        Ok(all)
    }

    fn stretch(&mut self, stretch: &mut Stretch<'_>, start: i64) -> Result<(), Failure> {
        let at = StartAt { partition: stretch.name.clone(), offset: start, leader_epoch: None };
        self.clients.consumer.assign(std::slice::from_ref(&at)).map_err(|error| Failure::from_kafka(&error))?;
        let before = self.summary.sent;
        let mut batch = RecordBatch::default();
        let mut position = start;
        while position < stretch.end && !self.is_enough() {
            batch.clear();
            position = self.read(&stretch.name, position, &mut batch)?;
            self.copy(stretch, &batch)?;
            if position >= stretch.end && !self.is_enough() {
                stretch.progress.reached(stretch.end);
            }
            self.commit(stretch)?;
        }
        if self.summary.sent > before {
            say(&format!("{}: {} letters up to offset {}", stretch.name, self.summary.sent - before, stretch.end));
        }
        let name = std::slice::from_ref(&stretch.name);
        self.clients.consumer.unassign(name).map_err(|error| Failure::from_kafka(&error))
    }

    /// Reads on. Returns the next position; the batch may stay empty where a log holds only markers.
    fn read(&mut self, name: &TopicPartition, position: i64, batch: &mut RecordBatch) -> Result<i64, Failure> {
        let max_records = self.args.rate.map_or(BATCH_RECORDS, |rate| BATCH_RECORDS.min(rate as usize));
        let limit = FetchLimit { max_records, max_bytes: BATCH_BYTES };
        let consumer = &mut self.clients.consumer;
        let deadline = Instant::now() + TIMEOUT;
        loop {
            while let Some(event) = consumer.next_event() {
                if let ConsumerEvent::Error(error) | ConsumerEvent::PartitionError(_, error) = event {
                    tracing::debug!(%error, "while reading dead letters");
                }
            }
            let fetched = consumer.fetch(name, limit, batch);
            if let Some(error) = fetched.error {
                return Err(Failure::from_kafka(&error));
            }
            let now = consumer.position(name).unwrap_or(position).max(position);
            if fetched.records > 0 || now > position {
                return Ok(now);
            }
            if Instant::now() > deadline {
                let message = format!("{name} gave nothing for {} s", TIMEOUT.as_secs());
                return Err(Failure::new(KAFKA_UNREACHABLE, message));
            }
            self.runtime.block_on(self.sleeper.sleep_unless(|| consumer.any_ready(|_| true), || NAP));
        }
    }

    /// Copies what is to be copied of a batch, waits until it is confirmed, and notes what was. A letter that cannot go back stays.
    fn copy(&mut self, stretch: &mut Stretch<'_>, batch: &RecordBatch) -> Result<(), Failure> {
        let plan = self.plan(stretch, batch);
        if !self.args.dry_run {
            // Nothing is sent that could not be remembered.
            let mut done = stretch.progress.clone();
            for (record, fate) in &plan {
                done.saw(record.offset(), fate.is_done());
            }
            stretch.text_of(&done)?;
        }
        let mut sent = Sent::default();
        for (record, fate) in &plan {
            let Fate::SentBack(letter) = fate else { continue };
            if self.args.dry_run {
                say(&told(stretch, record, letter));
            } else {
                self.send(record, letter, &mut sent);
            }
            if sent.failure.is_some() {
                break;
            }
        }
        self.confirm(&mut sent);
        for (record, fate) in &plan {
            let offset = record.offset();
            match fate {
                Fate::SentBack(_) if self.args.dry_run || sent.confirmed.contains(&offset) => self.summary.sent += 1,
                Fate::SentBack(_) => {
                    stretch.progress.saw(offset, false);
                    continue;
                }
                Fate::Dropped => self.summary.dropped += 1,
                Fate::Foreign => self.summary.foreign += 1,
                Fate::Left => self.summary.left += 1,
                Fate::DoneBefore => {}
            }
            stretch.progress.saw(offset, fate.is_done());
        }
        self.summary.refused += sent.refused.len() as u64;
        if let Some((offset, error)) = sent.refused.pop_first() {
            let message =
                format!("the letter at offset {offset} of {} cannot be sent back, and stays: {error}", stretch.name);
            say(&message);
            self.refused.get_or_insert(Failure { message, ..Failure::from_kafka(&error) });
        }
        let Some(failure) = sent.failure else { return Ok(()) };
        if let Err(forgotten) = self.commit(stretch) {
            say(&format!("what was sent back of {} is not remembered: {}", stretch.name, forgotten.message));
        }
        Err(failure)
    }

    /// Waits until all that was sent is confirmed.
    fn confirm(&mut self, sent: &mut Sent) {
        if !self.clients.producer.flush(CONFIRM_MAX, |event| sent.note(event)) {
            let unconfirmed = "copies were not confirmed; they are sent again by the next run";
            sent.failure.get_or_insert_with(|| Failure::new(KAFKA_UNREACHABLE, unconfirmed));
        }
    }

    /// What becomes of the records of a batch, up to the limit.
    fn plan<'b>(&self, stretch: &Stretch<'_>, batch: &'b RecordBatch) -> Vec<(Record<'b>, Fate<'b>)> {
        let mut room = self.args.limit.map_or(u64::MAX, |limit| limit.saturating_sub(self.summary.taken()));
        let mut plan = Vec::new();
        for record in batch.iter().filter(|record| record.offset() < stretch.end) {
            if room == 0 {
                break;
            }
            let fate = self.fate(stretch, &record);
            room -= u64::from(matches!(fate, Fate::Dropped | Fate::SentBack(_)));
            plan.push((record, fate));
        }
        plan
    }

    fn fate<'b>(&self, stretch: &Stretch<'_>, record: &Record<'b>) -> Fate<'b> {
        if stretch.progress.was_sent(record.offset()) {
            return Fate::DoneBefore;
        }
        let Some(mut letter) = Letter::of(record.headers()).filter(|letter| self.sources.contains(letter.topic)) else {
            return Fate::Foreign;
        };
        if self.args.key.as_ref().is_some_and(|key| record.key() != Some(key.as_bytes())) {
            return Fate::Left;
        }
        if self.source_ids.get(letter.topic).is_some_and(|id| id != letter.topic_id) {
            letter.number = None; // numbers are of an older topic of that name
        }
        if self.args.discard && letter.number.is_none() { Fate::Dropped } else { Fate::SentBack(letter) }
    }

    /// Sends one letter back.
    fn send(&mut self, record: &Record<'_>, letter: &Letter<'_>, sent: &mut Sent) {
        self.keep_pace(sent.tried);
        sent.tried += 1;
        let value = letter.sent_back(Wishes { discard: self.args.discard, past_gaps: self.args.past_gaps });
        let outgoing = OutgoingRecord {
            topic: letter.topic,
            partition: Some(letter.partition),
            key: record.key(),
            value: record.value(),
            headers: &letter.headers(value.as_deref()),
            timestamp: None, // retention goes by it: an old record would be gone before it is read
        };
        while sent.failure.is_none() {
            match self.clients.producer.send(&outgoing, record.offset().cast_unsigned()) {
                Ok(()) => return,
                Err(SendError::Refused(error)) => return sent.failed(record.offset(), error),
                Err(SendError::Full) => self.confirm(sent),
            }
        }
    }

    /// Writes down how far it came.
    fn commit(&self, stretch: &Stretch<'_>) -> Result<(), Failure> {
        if self.args.dry_run {
            return Ok(());
        }
        let (offset, text) = stretch.text_of(&stretch.progress)?;
        let (partition, metadata) = (stretch.name.clone(), text.into_bytes());
        let commit = OffsetToAlter { partition, offset, leader_epoch: None, metadata };
        let answers = self.ask(self.clients.admin.alter_consumer_group_offsets(&self.group, &[commit], TIMEOUT))?;
        answers.into_iter().try_for_each(|(_, answer)| answer).map_err(|error| Failure::from_admin(&error))
    }

    fn is_enough(&self) -> bool {
        self.args.limit.is_some_and(|limit| self.summary.taken() >= limit)
    }

    /// Waits until one more copy is within `--rate`.
    fn keep_pace(&self, tried: u64) {
        let Some(rate) = self.args.rate else { return };
        let due = Duration::from_secs_f64((self.summary.sent + tried) as f64 / f64::from(rate));
        std::thread::sleep(due.saturating_sub(self.began.elapsed()));
    }

    fn ask<T>(&self, answer: impl Future<Output = Result<T, AdminError>>) -> Result<T, Failure> {
        self.runtime.block_on(answer).map_err(|error| Failure::from_admin(&error))
    }
}

impl Stretch<'_> {
    /// What to commit of a progress: the offset, and what stands beside it.
    fn text_of(&self, progress: &Progress) -> Result<(i64, String), Failure> {
        let offset = progress.position();
        let place = Place {
            cluster_id: self.cluster_id,
            topic_id: self.topic_id,
            partition: self.name.partition,
            offset,
            leader_epoch: -1,
        };
        let text = progress.text(&place).ok_or_else(|| {
            let message = format!(
                "{}: too many letters of other keys lie between those of this one to remember which were sent back: use --all",
                self.name
            );
            Failure::new(KAFKA_ERROR, message)
        })?;
        Ok((offset, text))
    }
}

impl Fate<'_> {
    /// Whether later runs have nothing to do with it.
    fn is_done(&self) -> bool {
        !matches!(self, Self::Left)
    }
}

/// `orders.dlq/3@17: customer-4711 → orders/3 (exhausted, parked 40.3)`.
fn told(stretch: &Stretch<'_>, record: &Record<'_>, letter: &Letter<'_>) -> String {
    let key = record.key().map_or_else(|| "(no key)".into(), String::from_utf8_lossy);
    let key: String = key.chars().take(KEY_SHOWN).collect();
    let number = letter.number.map_or_else(String::new, |number| format!(", parked {number}"));
    let Letter { topic, partition, reason, .. } = letter;
    format!("{}@{}: {key} → {topic}/{partition} ({reason}{number})", stretch.name, record.offset())
}

fn no_topic(name: &str, error: &AdminError) -> Failure {
    match error {
        AdminError::NotFound(_) => Failure::new(TOPIC_NOT_FOUND, format!("the topic {name} does not exist")),
        error => Failure::from_admin(error),
    }
}
