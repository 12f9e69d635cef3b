//! The brokers of a round and what lies in their topics.

mod compact;
mod read;
mod tools;

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use penstock_kafka::TopicPartition;
use penstock_kafka::admin::{
    AdminClient, AdminError, ConsumerGroup, Isolation, NewPartitions, NewTopic, OffsetSpec, TopicId,
};
use penstock_kafka::settings::Connection;
use penstock_lab::{Dir, Kafka, Lab, Progress, Shape};
use tokio::runtime::{Builder, Runtime};

use crate::error::{During as _, Error, Result};
use crate::plan::SESSION_TIMEOUT;

pub use compact::{COMPACTED, SEGMENT};
pub use read::Topic;

/// Longest wait for one answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long a broker may take to come up on a busy machine.
pub const BROKER_UP: Duration = Duration::from_secs(90);
/// Between questions while something is waited for.
const PAUSE: Duration = Duration::from_millis(100);
/// A topic whose records get the broker's time, so that evidence tells when they were written.
pub const STAMPED: [(&str, &str); 1] = [("message.timestamp.type", "LogAppendTime")];
/// Where groups keep their offsets.
const OFFSETS: &str = "__consumer_offsets";

/// A cluster that is up, with this thread inside its network.
#[derive(Debug)]
pub struct Cluster {
    /// The lab itself, for faults.
    pub lab: Lab,
    /// Where clients begin.
    pub bootstrap: String,
    /// The cluster's id.
    pub id: String,
    admin: AdminClient,
    runtime: Runtime,
}

/// What a topic is.
#[derive(Clone, Copy, Debug)]
pub struct Described {
    /// Its id, as checkpoints know it.
    pub id: u128,
    /// How many partitions it has.
    pub partitions: i32,
}

impl Cluster {
    /// Brings up a lab of so many brokers, of its own folder, so that nobody else's is disturbed; one that is up is used again.
    /// The calling thread is in the lab's network from then on.
    ///
    /// # Errors
    /// The lab's.
    pub fn up(brokers: u8) -> Result<Self> {
        let base = Dir::resolve(None)?;
        let dir = Dir::resolve(Some(PathBuf::from(format!("{}-chaos-{brokers}", base.path().display()))))?;
        let lab = Lab::up(&dir, Some(Shape::brokers_only(brokers)), &Progress::new())?;
        configure(&dir, brokers)?;
        let cluster = Self::of(lab)?;
        if !cluster.is_configured()? {
            for id in 1..=brokers {
                cluster.lab.broker(id).kill()?;
            }
            cluster.lab.start_brokers(1..=brokers, BROKER_UP)?;
        }
        Ok(cluster)
    }

    /// The lab that tests share (`LAB_DIR`), with its brokers as they are: there, only members of the classic protocol can have
    /// [`SESSION_TIMEOUT`]. The calling thread is in the lab's network from then on.
    ///
    /// # Errors
    /// The lab's.
    pub fn shared() -> Result<Self> {
        Self::of(Lab::up(&Dir::resolve(None)?, None, &Progress::new())?)
    }

    fn of(lab: Lab) -> Result<Self> {
        lab.enter_network()?;
        let bootstrap = lab.bootstrap_servers();
        let connection = Connection::resolve(Some(&bootstrap), None, None, &BTreeMap::new())
            .map_err(|error| Error::Evidence(error.to_string()))?;
        let admin = AdminClient::new(&connection.admin("chaos")).during("making an admin client")?;
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().during("making a runtime")?;
        let mut cluster = Self { lab, bootstrap, id: String::new(), admin, runtime };
        cluster.id = cluster.ask("the cluster's id", |admin| async move { admin.describe_cluster(TIMEOUT).await })?.id;
        Ok(cluster)
    }

    /// Begins a broker anew with these properties on top, until somebody brings the lab up again.
    ///
    /// # Errors
    /// The lab's.
    pub fn restart_with(&self, broker: u8, properties: &str) -> Result<()> {
        add_properties(self.lab.dir(), broker, properties)?;
        self.lab.broker(broker).stop()?;
        Ok(self.lab.broker(broker).start(BROKER_UP)?)
    }

    /// Takes the lab down.
    ///
    /// # Errors
    /// The lab's.
    pub fn down(self) -> Result<()> {
        Ok(penstock_lab::down(self.lab.dir(), &Progress::new())?)
    }

    /// Asks until there is an answer: brokers come and go.
    fn ask<T, F>(&self, what: &str, question: impl Fn(AdminClient) -> F) -> Result<T>
    where
        F: Future<Output = Result<T, AdminError>>,
    {
        let end = Instant::now() + BROKER_UP;
        loop {
            match self.runtime.block_on(question(self.admin.clone())) {
                Err(error) if Instant::now() > end => return Err(error).during(what),
                Err(_) => std::thread::sleep(PAUSE),
                Ok(answer) => return Ok(answer),
            }
        }
    }

    /// Whether the brokers that run go by what [`configure`] wrote.
    fn is_configured(&self) -> Result<bool> {
        use penstock_kafka::admin::ConfigResource::Broker;
        let wanted = SESSION_TIMEOUT.as_millis().to_string();
        let answers = self.ask("a broker's configuration", |admin| async move {
            admin.describe_configs(&[Broker(1)], TIMEOUT).await
        })?;
        let entries = answers.into_iter().filter_map(|(_, entries)| entries.ok()).flatten();
        let mut found = entries.filter(|entry| entry.name == "group.consumer.session.timeout.ms");
        Ok(found.any(|entry| entry.value.as_deref() == Some(wanted.as_str())))
    }

    /// Makes a topic.
    ///
    /// # Errors
    /// Kafka's.
    pub fn create(&self, name: &str, partitions: i32, config: &[(&str, &str)]) -> Result<Described> {
        let config = config.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let partitions = u32::try_from(partitions).ok();
        let topic = NewTopic { name: name.to_owned(), partitions, replication_factor: None, config };
        self.ask("making a topic", |admin| {
            let topic = topic.clone();
            async move {
                let answers = admin.create_topics(&[topic], TIMEOUT).await?;
                let exists = penstock_kafka::ErrorCode::TOPIC_ALREADY_EXISTS;
                let refused = answers.into_iter().find_map(|(_, answer)| answer.err());
                refused.filter(|error| error.code() != Some(exists)).map_or(Ok(()), Err)
            }
        })?;
        self.describe(name)
    }

    /// What a topic is; waits until it is known.
    ///
    /// # Errors
    /// Kafka's.
    pub fn describe(&self, name: &str) -> Result<Described> {
        let topic = self.ask(&format!("describing {name}"), |admin| async move {
            let answers = admin.describe_topics(&[name], TIMEOUT).await?;
            answers.into_iter().next().map_or_else(|| Err(AdminError::NotFound(name.to_owned())), |(_, topic)| topic)
        })?;
        let TopicId { high, low } = topic.id.unwrap_or(TopicId { high: 0, low: 0 });
        let id = u128::from(high.cast_unsigned()) << 64 | u128::from(low.cast_unsigned());
        Ok(Described { id, partitions: i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX) })
    }

    /// Whether a topic is there.
    ///
    /// # Errors
    /// Kafka's.
    pub fn exists(&self, name: &str) -> Result<bool> {
        self.ask("describing a topic", |admin| async move {
            match admin.describe_topics(&[name], TIMEOUT).await?.into_iter().next() {
                None | Some((_, Err(AdminError::NotFound(_)))) => Ok(false),
                Some((_, topic)) => topic.map(|_| true),
            }
        })
    }

    /// Gives a topic more partitions.
    ///
    /// # Errors
    /// Kafka's.
    pub fn grow(&self, name: &str, to: i32) -> Result<()> {
        let growth = NewPartitions { topic: name.to_owned(), total: u32::try_from(to).unwrap_or(1) };
        self.ask("adding partitions", |admin| {
            let growth = growth.clone();
            async move {
                let answers = admin.create_partitions(&[growth], TIMEOUT).await?;
                answers.into_iter().find_map(|(_, answer)| answer.err()).map_or(Ok(()), Err)
            }
        })
    }

    /// Changes one setting of a topic.
    ///
    /// # Errors
    /// Kafka's.
    pub fn set(&self, topic: &str, name: &str, value: &str) -> Result<()> {
        self.ask(
            "changing a topic",
            |admin| async move { admin.alter_topic_config(topic, &[(name, value)], TIMEOUT).await },
        )
    }

    /// Removes a topic, and waits until it is gone.
    ///
    /// # Errors
    /// Kafka's.
    pub fn delete(&self, name: &str) -> Result<()> {
        let end = Instant::now() + BROKER_UP;
        loop {
            // What was refused may have been done all the same: whether it is there decides.
            let told = Kafka::new(&self.bootstrap).delete_topic(name);
            if !self.exists(name)? {
                return Ok(());
            }
            if Instant::now() > end {
                told?;
                return Err(Error::Evidence(format!("{name} was deleted and is still there")));
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// One behind the last offset of each partition, control records included.
    ///
    /// # Errors
    /// A partition's leader is away.
    pub fn ends(&self, topic: &str, partitions: i32) -> Result<Vec<i64>> {
        let what = format!("the ends of {topic}");
        let asked: Vec<_> =
            (0..partitions).map(|number| (TopicPartition::new(topic, number), OffsetSpec::Latest)).collect();
        let answers = self.runtime.block_on(self.admin.list_offsets(&asked, Isolation::ReadUncommitted, TIMEOUT));
        let mut ends = Vec::new();
        for (one, end) in answers.during(&what)? {
            ends.push((one.partition, end.during(&what)?.offset.unwrap_or_default()));
        }
        ends.sort_unstable();
        Ok(ends.into_iter().map(|(_, end)| end).collect())
    }

    /// What a group has committed for each partition; none while its coordinator is away.
    pub fn committed(&self, group: &str, topic: &str, partitions: i32) -> Option<Vec<i64>> {
        let asked: Vec<_> = (0..partitions).map(|number| TopicPartition::new(topic, number)).collect();
        let answers = self.admin.list_consumer_group_offsets(group, Some(&asked), false, TIMEOUT);
        let answers = self.runtime.block_on(answers).ok()?;
        let mut offsets = Vec::new();
        for (one, answer) in answers {
            offsets.push((one.partition, answer.ok()?.map_or(0, |committed| committed.offset)));
        }
        offsets.sort_unstable();
        (offsets.len() == asked.len()).then(|| offsets.into_iter().map(|(_, offset)| offset).collect())
    }

    /// What a group is; none while its coordinator is away.
    pub fn group(&self, group: &str) -> Option<ConsumerGroup> {
        self.runtime.block_on(self.admin.describe_consumer_group(group, TIMEOUT)).ok()
    }

    /// Where commits will be written from now on: the ends of `__consumer_offsets`, none before any group.
    ///
    /// # Errors
    /// Kafka's.
    pub fn commits_begin(&self) -> Result<Vec<i64>> {
        if !self.exists(OFFSETS)? {
            return Ok(Vec::new());
        }
        let partitions = self.describe(OFFSETS)?.partitions;
        self.all_ends(OFFSETS, partitions)
    }

    fn all_ends(&self, topic: &str, partitions: i32) -> Result<Vec<i64>> {
        let end = Instant::now() + BROKER_UP;
        loop {
            match self.ends(topic, partitions) {
                Err(_) if Instant::now() < end => std::thread::sleep(PAUSE),
                other => return other,
            }
        }
    }
}

/// Adds what chaos needs to the brokers' properties, for their next start. Kafka's shortest session is 45 s by default, and a round
/// has no time for that.
fn configure(dir: &Dir, brokers: u8) -> Result<()> {
    let session = SESSION_TIMEOUT.as_millis();
    let lines = format!(
        "\n# For chaos: silent members are given up soon.\n\
         group.consumer.min.session.timeout.ms={session}\ngroup.consumer.session.timeout.ms={session}\n\
         group.consumer.min.heartbeat.interval.ms=500\ngroup.consumer.heartbeat.interval.ms=1000\n"
    );
    for id in 1..=brokers {
        add_properties(dir, id, &lines)?;
    }
    Ok(())
}

/// What comes last counts. Bringing the lab up writes the file anew.
fn add_properties(dir: &Dir, broker: u8, lines: &str) -> Result<()> {
    let path = dir.join(format!("kafka/{broker}.properties"));
    let mut file = OpenOptions::new().append(true).open(&path).during("opening a broker's properties")?;
    file.write_all(lines.as_bytes()).during("writing a broker's properties")
}
