//! A pipeline after `resolve()`: every default filled in, every limit checked. Nothing downstream sees the raw spec's options.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::spec::{
    AuthenticationType, ContainerSpec, DeadLetterHeaders, EnsureSpec, Isolation, OnExhausted, OnOffsetLoss, Ordering,
    ScalingMode, StartFromSpec, WorkerSpec,
};

/// Who the pipeline is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// `metadata.namespace`; `local` for a file without one.
    pub namespace: String,
    /// `metadata.name`; `pipeline` for a file without one.
    pub name: String,
    /// `metadata.uid`; `local` for a file without one.
    pub uid: String,
    /// `metadata.generation`, 0 for a file without one.
    pub generation: i64,
}

/// A pipeline with nothing left open.
#[derive(Clone, Debug, PartialEq)]
pub struct Pipeline {
    /// Who it is.
    pub identity: Identity,
    /// How to reach the cluster.
    pub kafka: Kafka,
    /// What to read.
    pub source: Source,
    /// What to call.
    pub processor: Processor,
    /// How.
    pub delivery: Delivery,
    /// Topic for the answers.
    pub output: Option<String>,
    /// How many workers.
    pub scaling: Scaling,
    /// The pods. Kept as written: what is absent there, the blueprint leaves out or fills from its own release.
    pub worker: WorkerSpec,
    /// Seconds between SIGTERM and SIGKILL.
    pub grace: Duration,
    /// Stop all workers.
    pub paused: bool,
}

/// How to reach the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kafka {
    /// Brokers to ask first, unless the Secret has them.
    pub bootstrap_servers: Option<String>,
    /// Secret of the same namespace.
    pub secret: Option<String>,
    /// Mechanism, unless the Secret tells.
    pub authentication: Option<AuthenticationType>,
    /// Tuning from the allow-list.
    pub properties: BTreeMap<String, String>,
}

/// What to read.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    /// Topics by name, sorted, without duplicates.
    pub topics: Vec<Topic>,
    /// Consumer group.
    pub group_id: String,
    /// Where a new group starts.
    pub start_from: StartFromSpec,
    /// Which records of transactions are read.
    pub isolation: Isolation,
    /// What to do when unread records are gone.
    pub on_offset_loss: OnOffsetLoss,
}

/// One topic.
#[derive(Clone, Debug, PartialEq)]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// How it should be, if Penstock is to see to that.
    pub ensure: Option<EnsureSpec>,
}

/// What to call.
#[derive(Clone, Debug, PartialEq)]
pub enum Processor {
    /// The user's image beside the worker.
    Container(Box<ContainerSpec>),
    /// A service elsewhere.
    Http {
        /// Where to POST records.
        url: String,
    },
    /// A handler compiled into `worker.image`.
    Embedded,
    /// Count and acknowledge.
    Discard,
}

/// How records are delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// What is kept in order.
    pub ordering: Ordering,
    /// Calls in progress at once, per replica.
    pub concurrency: u32,
    /// How many records a call holds; `None` for one, in the form of a single record.
    pub batch: Option<Batch>,
    /// Longest call.
    pub timeout: Duration,
    /// How long calls may finish when a partition or the pod goes.
    pub drain: Duration,
    /// What happens after a failed call.
    pub retry: Retry,
    /// What to do with a record whose attempts are used up.
    pub on_exhausted: OnExhausted,
    /// The dead-letter topic: where rejected and exhausted records go. `Some` exactly with `OnExhausted::DeadLetter` and
    /// `OnExhausted::ParkKey`.
    pub dead_letter: Option<DeadLetter>,
}

/// How many records a call holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The most, ≥ 1.
    pub max_records: u32,
    /// Bytes at which a call takes no further record.
    pub max_bytes: u64,
    /// How long a call waits for more records while others are in progress.
    pub max_wait: Duration,
    /// Whether a call may hold several records of a lane.
    pub same_lane: bool,
}

/// What happens after a failed call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Calls of one record in all.
    pub max_attempts: u32,
    /// Pause before the second call.
    pub initial_delay: Duration,
    /// Longest pause.
    pub max_delay: Duration,
    /// Longest time from a record's first failed call to its last; `None` bounds by attempts alone.
    pub max_age: Option<Duration>,
    /// Where failed records wait, the shortest delay first; empty where they wait in their worker. Only with `Ordering::Unordered`.
    pub delay_topics: Vec<DelayTopic>,
}

/// A topic in which every record waits equally long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DelayTopic {
    /// Its name.
    pub topic: String,
    /// How long a record waits, counted from when it was appended.
    pub delay: Duration,
}

impl DelayTopic {
    /// The shortest retention it may have: a record is still there a week after it was due, as in a topic of Kafka's defaults.
    pub const fn retention_min(&self) -> Duration {
        self.delay.saturating_add(Duration::from_hours(168))
    }
}

/// Where dead letters go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// The topic.
    pub topic: String,
    /// Whether Penstock makes it where it is absent.
    pub create: bool,
    /// The largest share of records that may go there before the fuse blows, in percent; 100 for any.
    pub max_percent: u32,
    /// Headers of other systems that dead letters carry, each once.
    pub headers: Vec<DeadLetterHeaders>,
}

/// How many workers.
#[derive(Clone, Debug, PartialEq)]
pub struct Scaling {
    /// Who decides.
    pub mode: ScalingMode,
    /// `spec.replicas`, whatever the mode.
    pub replicas: Option<u32>,
    /// The least.
    pub min_replicas: u32,
    /// The most; `None` leaves the cap to the partitions.
    pub max_replicas: Option<u32>,
    /// How long a record may wait.
    pub lag: Duration,
    /// How fast a backlog is cleared.
    pub catch_up: Duration,
    /// Share of capacity to be busy.
    pub target_utilization: f64,
    /// How long the need must be lower before replicas go.
    pub scale_down_window: Duration,
    /// How long nothing must arrive before the last replica goes.
    pub idle: Duration,
}

impl Pipeline {
    /// URL that a worker posts records to; `None` for processors that are not called over HTTP.
    pub fn processor_url(&self) -> Option<String> {
        match &self.processor {
            Processor::Container(container) => {
                let path = container.path.as_deref().unwrap_or("/");
                let port = container.port.unwrap_or(crate::resolve::CONTAINER_PORT);
                Some(match container.socket {
                    Some(_) => format!("http://localhost{path}"),
                    None => format!("http://127.0.0.1:{port}{path}"),
                })
            }
            Processor::Http { url } => Some(url.clone()),
            Processor::Embedded | Processor::Discard => None,
        }
    }

    /// Unix socket that a worker connects to for [`processor_url`](Self::processor_url), instead of to the host that it names.
    pub fn processor_socket(&self) -> Option<&str> {
        match &self.processor {
            Processor::Container(container) => container.socket.as_deref(),
            Processor::Http { .. } | Processor::Embedded | Processor::Discard => None,
        }
    }

    /// Names of the source topics.
    pub fn topic_names(&self) -> impl Iterator<Item = &str> {
        self.source.topics.iter().map(|topic| topic.name.as_str())
    }
}
