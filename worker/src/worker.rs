//! A worker's life, from a pipeline file to an exit code.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use penstock_crds::pipeline::Processor;
use penstock_engine::Engine;
use penstock_kafka::memory::Load;
use penstock_kafka::producer::MAX_RECORDS;
use penstock_kafka::settings::{Connection, ConsumerSettings};
use penstock_kafka::wake;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::Run;
use crate::config::{Config, queued_records};
use crate::contract::request::Endpoint;
use crate::delay::DelayTopic;
use crate::failure::{Failure, INVALID_PIPELINE, WORKER_ERROR};
use crate::forward::DeadLetters;
use crate::kafka::{Delays, Librdkafka, Settings as KafkaSettings};
use crate::metrics::Metrics;
use crate::processor::{
    Address, Calls, Collector, Discard, Embedded, EmbeddedProcessor, Form, HttpProcessor, Spans, ready,
};
use crate::server::Server;
use crate::shell::run::{Clock, Surroundings, run as run_loop};
use crate::shell::state::State;
use crate::shell::{Settings, Shell};
use crate::startup::{self, Cluster};

/// Forwards that may be outstanding, for each call that may be in progress: answers are confirmed more slowly than given. A
/// batch has as many as it may have records, if those are more.
const FORWARDS_PER_CALL: u32 = 16;
/// A call that takes no time needs no limit on how many are in progress; larger turns of the engine cost less a record.
const DISCARD_CONCURRENCY: u32 = 1024;

/// Longest wait for one connection before the first record.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// Threads beside those of blocking handlers: name lookups, and the handler's own use.
const SPARE_THREADS: usize = 64;

/// How a worker ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Everything was finished and committed, the group left.
    InOrder,
    /// Something was given up for want of time; it will be done again.
    CutShort,
}

/// Runs a pipeline until SIGTERM, SIGINT, or a failure that lasts.
///
/// # Errors
/// Why it cannot run (any longer).
pub(crate) fn run(args: &Run, config: &Config, handler: Option<Arc<dyn Embedded>>) -> Result<Ended, Failure> {
    if config.pipeline.paused {
        tracing::warn!("spec.paused is true: there is nothing to do");
        return Ok(Ended::InOrder);
    }
    let connection = config.connection(args.secret_dir.as_deref(), &[])?;
    let calls = Callee::of(config, handler)?;
    on(runtime(config)?, |runtime| run_on(runtime, args, config, calls, &connection))
}

/// Does something on a runtime and leaves it, whatever still runs there: a handler that blocks and does not return would keep the process
/// from ending, and from saying why.
fn on<T>(runtime: Runtime, work: impl FnOnce(&Runtime) -> T) -> T {
    let done = work(&runtime);
    runtime.shutdown_background();
    done
}

fn run_on(
    runtime: &Runtime,
    args: &Run,
    config: &Config,
    calls: Callee,
    connection: &Connection,
) -> Result<Ended, Failure> {
    let metrics = Arc::new(Metrics::new().map_err(|error| Failure::new(WORKER_ERROR, error.to_string()))?);
    let state = Arc::new(State::default());
    let (sleeper, waker) = wake::pair();
    state.turned();
    runtime.block_on(async {
        tokio::spawn(Server::bind(args.http, Arc::clone(&state), Arc::clone(&metrics)).await?.serve());
        stop_on_signals(&state, &waker)
    })?;
    let Some(cluster) = runtime.block_on(startup::cluster(config, connection, &state))? else {
        return Ok(Ended::InOrder);
    };
    if !runtime.block_on(startup::processor(async || calls.ready().await, &state)) {
        return Ok(Ended::InOrder);
    }
    let delivery = &config.pipeline.delivery;
    let has_output = config.pipeline.output.is_some();
    let here = Builder::new_current_thread().enable_all().build();
    let here = here.map_err(|error| Failure::new(WORKER_ERROR, format!("no runtime for the loop: {error}")))?;
    let parts = Parts { args, config, cluster, here, elsewhere: runtime.handle(), metrics, state, sleeper };
    match calls {
        Callee::Nobody => parts.run(Discard::default(), delivery.concurrency.max(DISCARD_CONCURRENCY)),
        Callee::Server(endpoint, address) => {
            let metrics = Arc::clone(&parts.metrics);
            let form = if delivery.batch.is_some() { Form::Batch } else { Form::Single };
            let (body, tasks) = ((form, has_output), (parts.here.handle().clone(), waker));
            let calls = HttpProcessor::new((endpoint, address), delivery.timeout, body, tasks, Arc::clone(&metrics));
            let Some(collector) = collector() else { return parts.run(calls, delivery.concurrency) };
            let group = &config.pipeline.source.group_id;
            let (spans, exporting) = Spans::start(collector, group, runtime.handle(), &metrics);
            let ended = parts.run(calls.traced(spans), delivery.concurrency);
            runtime.block_on(exporting.finish());
            ended
        }
        Callee::Handler(handler) => {
            if collector().is_some() {
                tracing::warn!(
                    "OTEL_EXPORTER_OTLP_ENDPOINT is for calls of a server: an embedded handler makes its own spans"
                );
            }
            let tasks = (runtime.handle().clone(), waker);
            let calls = EmbeddedProcessor::new(handler, has_output, tasks, Arc::clone(&parts.metrics));
            parts.run(calls, delivery.concurrency)
        }
    }
}

/// Who is called.
enum Callee {
    Nobody,
    /// An endpoint and where to connect to.
    Server(Endpoint, Address),
    Handler(Arc<dyn Embedded>),
}

impl Callee {
    fn of(config: &Config, handler: Option<Arc<dyn Embedded>>) -> Result<Self, Failure> {
        let wrong = |message: &str| Failure::new(INVALID_PIPELINE, format!("spec.processor.type: {message}"));
        match (&config.pipeline.processor, handler) {
            (Processor::Discard, None) => Ok(Self::Nobody),
            (Processor::Embedded, Some(handler)) => Ok(Self::Handler(handler)),
            (Processor::Embedded, None) => Err(wrong(
                "is embedded, and no handler is compiled into this worker: set worker.image to the image of your own, see docs/embedded.md",
            )),
            (_, Some(_)) => Err(wrong("is not embedded, but a handler is compiled into this worker: make it embedded")),
            (Processor::Container(_) | Processor::Http { .. }, None) => {
                let url = config.pipeline.processor_url().unwrap_or_default();
                let endpoint = Endpoint::new(&url, &config.pipeline_name());
                let (endpoint, address) =
                    endpoint.map_err(|error| Failure::new(INVALID_PIPELINE, error.to_string()))?;
                let socket = config.pipeline.processor_socket();
                Ok(Self::Server(endpoint, socket.map_or(Address::Tcp(address), |path| Address::Unix(path.into()))))
            }
        }
    }

    /// One sign of life.
    async fn ready(&self) -> Result<(), String> {
        match self {
            Self::Nobody => Ok(()),
            Self::Server(_, address) => address.answers(CONNECT_MAX).await,
            Self::Handler(handler) => ready(&**handler).await,
        }
    }
}

/// What the loop is put together from.
struct Parts<'a> {
    args: &'a Run,
    config: &'a Config,
    cluster: Cluster,
    /// Of the loop's own thread.
    here: Runtime,
    /// Of all else.
    elsewhere: &'a Handle,
    metrics: Arc<Metrics>,
    state: Arc<State>,
    sleeper: wake::Sleeper,
}

impl Parts<'_> {
    fn run<C: Calls + Send + Sync + 'static>(self, calls: C, concurrency: u32) -> Result<Ended, Failure> {
        let Self { args, config, cluster, here, elsewhere, metrics, state, sleeper } = self;
        let pipeline = &config.pipeline;
        let load = load(config, &cluster, cluster.partitions);
        let consumer = ConsumerSettings { rack: args.zone(), ..config.consumer(args.memory_bytes, &load) };
        let delays = delays(args, config, &cluster)?;
        let kafka = KafkaSettings {
            connection: config.connection(args.secret_dir.as_deref(), &queued_records(&consumer))?,
            consumer,
            probe_protocol: config.protocol.is_none(),
            topics: pipeline.topic_names().map(str::to_owned).collect(),
            written: cluster.written,
            delays,
        };
        let records_per_call = pipeline.delivery.batch.as_ref().map_or(1, |batch| batch.max_records);
        let forwards_max = u32::try_from(MAX_RECORDS).unwrap_or(u32::MAX); // the producer's queue takes no more
        let settings = Settings {
            pipeline: config.pipeline_name(),
            drain: pipeline.delivery.drain,
            dead_letter: pipeline.delivery.dead_letter.as_ref().map(|dead_letter| DeadLetters {
                topic: dead_letter.topic.clone(),
                group: pipeline.source.group_id.clone(),
                headers: dead_letter.headers.clone(),
            }),
            delay_topics: (pipeline.delivery.retry.delay_topics.iter())
                .map(|one| DelayTopic { topic: one.topic.clone(), delay: one.delay })
                .collect(),
            output: pipeline.output.clone(),
            metadata_limit: cluster.metadata_limit,
            forward_slots: concurrency.saturating_mul(FORWARDS_PER_CALL.max(records_per_call)).min(forwards_max),
        };
        let mut policy = config.policy(args.memory_bytes, &load, incarnation());
        policy.concurrency = concurrency;
        policy.on_our_thread = calls.run_max() > 0;
        let clock = Clock::start();
        let io = Librdkafka::join(kafka, cluster.directory, clock, (elsewhere.clone(), sleeper.waker()))
            .map_err(|error| Failure::from_kafka(&error))?;
        state.subscribed();
        let engine = Engine::new(policy);
        let shell = Shell::new((io, calls, engine), settings, Arc::clone(&metrics), Arc::clone(&state), clock.now());
        tracing::info!(pipeline = config.pipeline_name(), group = pipeline.source.group_id, "running");
        let around = Surroundings { sleeper, clock, stop_within: config.stop_within(), state, metrics };
        // As a task, since to wake what `block_on` waits for costs a system call.
        let ended = here.block_on(here.spawn(run_loop(shell, around)));
        here.shutdown_background(); // and with it what still belongs to calls
        let in_order = ended.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))?;
        tracing::info!(in_order, "left the group");
        Ok(if in_order { Ended::InOrder } else { Ended::CutShort })
    }
}

/// The consumer of the delay topics, if there are any.
fn delays(args: &Run, config: &Config, cluster: &Cluster) -> Result<Option<Delays>, Failure> {
    let delay_topics = &config.pipeline.delivery.retry.delay_topics;
    if delay_topics.is_empty() {
        return Ok(None);
    }
    let load = load(config, cluster, cluster.delay_partitions);
    let consumer = ConsumerSettings { rack: args.zone(), ..config.delay_consumer(args.memory_bytes, &load) };
    let connection = config.connection(args.secret_dir.as_deref(), &queued_records(&consumer))?;
    let topics = delay_topics.iter().map(|one| (one.topic.clone(), one.delay)).collect();
    Ok(Some(Delays { connection, consumer, topics }))
}

/// The most that this worker may have to read of topics with so many partitions: when there are no more workers than the least.
fn load(config: &Config, cluster: &Cluster, partitions: u32) -> Load {
    let partitions = partitions.div_ceil(config.pipeline.scaling.min_replicas.max(1));
    Load { partitions, brokers: cluster.brokers, record_bytes: cluster.record_bytes }
}

/// Where spans go, if the environment says so. A wrong word there must not keep records from being delivered.
fn collector() -> Option<Collector> {
    Collector::from_env(|name| std::env::var(name).ok()).unwrap_or_else(|error| {
        tracing::warn!("no spans are exported: {error}");
        None
    })
}

/// For what is not the loop's: Kubernetes' probes, lookups, and handlers, which get every core.
fn runtime(config: &Config) -> Result<Runtime, Failure> {
    let mut builder = Builder::new_multi_thread();
    if config.pipeline.processor == Processor::Embedded {
        let blocking = usize::try_from(config.pipeline.delivery.concurrency).unwrap_or(usize::MAX);
        builder.max_blocking_threads(blocking.saturating_add(SPARE_THREADS));
    } else {
        builder.worker_threads(1);
    }
    builder
        .thread_name("penstock-aside")
        .enable_all()
        .build()
        .map_err(|error| Failure::new(WORKER_ERROR, format!("no threads beside the loop: {error}")))
}

fn stop_on_signals(state: &Arc<State>, waker: &wake::Waker) -> Result<(), Failure> {
    for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
        let mut signals = signal(kind).map_err(|error| Failure::new(WORKER_ERROR, error.to_string()))?;
        let (state, waker) = (Arc::clone(state), waker.clone());
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                tracing::info!("told to stop: finishing calls in progress");
                state.stop();
                waker.wake();
            }
        });
    }
    Ok(())
}

/// Names this process among all workers that ever were: random keys of the standard library, hashed.
fn incarnation() -> u64 {
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_u32(std::process::id());
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn a_handler_that_never_returns_keeps_nobody_from_leaving() {
        let ((release, held), (start, started), (leave, gone)) = (channel::<()>(), channel(), channel());
        std::thread::spawn(move || {
            let runtime = Builder::new_multi_thread().worker_threads(1).build().unwrap();
            on(runtime, |runtime| {
                runtime.spawn_blocking(move || {
                    start.send(()).unwrap();
                    held.recv()
                });
                started.recv().unwrap();
            });
            leave.send(()).unwrap();
        });
        let in_time = gone.recv_timeout(Duration::from_secs(10));
        drop(release);
        assert_eq!(in_time, Ok(()));
    }
}
