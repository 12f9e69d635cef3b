//! What shall be: whether workers may run, how many, and what has to be done in Kafka first. Pure but for the claims that pipelines of
//! this process have to their groups.

use std::time::Duration;

use penstock_blueprint::{GroupProtocol, Settled, Trouble, learned, template_hash};
use penstock_crds::spec::{Isolation, Ordering, ScalingMode};
use penstock_crds::status::PinState;
use penstock_crds::{Pipeline, names};
use penstock_kafka::settings::ClientConfig;
use penstock_scaling::{Assignor, Decision, Mode, Observation, Policy, State, Timestamp, Workers};

use crate::context::Context;
use crate::memory::Memory;
use crate::observe::{Observed, connection, kafka, workers};
use crate::prepare::claims::Claim;
use crate::prepare::{Evidence, Gate, Preparation, prepare};
use crate::sampling::{Pace, Subscription, of_delays};

/// How long a busy worker lets finished records wait for their commit (worker.md: "committed at least every 5 s while anything runs").
const COMMIT_INTERVAL: Duration = Duration::from_secs(5);

/// What shall be.
pub struct Plan {
    /// Whether workers may run, and what must be done first.
    pub preparation: Preparation,
    /// What the renderer needs; `None` as long as nothing may be made yet.
    pub settled: Option<Settled>,
    /// How many workers, and why; `None` while they may not run.
    pub decision: Option<Decision>,
    /// How to ask Kafka, or why that is impossible.
    pub connection: Result<ClientConfig, Trouble>,
    /// How often to ask.
    pub pace: Pace,
}

/// Decides.
pub fn decide(
    pipeline: &Pipeline,
    observed: &Observed,
    memory: &mut Memory,
    context: &Context,
    now: Timestamp,
) -> Plan {
    let connection = connection::connection(pipeline, observed.secret.as_ref());
    let preparation = prepared(pipeline, observed, memory, context, now);
    let deployment = observed.live.deployment.as_deref();
    let workers = workers::workers(deployment, &observed.pods, &mut memory.settling, now);
    // What never ran is made when it may run, and not before: a Deployment of no replicas would only look like one that fails.
    let settled = settled(&preparation).filter(|_| preparation.gate == Gate::Open || deployment.is_some());
    let decision = match (&settled, preparation.gate) {
        (Some(settled), Gate::Open) => {
            let state = memory.scaler.get_or_insert_with(|| State::restore(learned(&observed.status)));
            let delayed = observed.delayed.as_deref();
            let waits = memory.delays.wait(pipeline, delayed, now);
            let policy = policy(pipeline, waits, template_hash(pipeline, settled, &context.release));
            let kafka = kafka::kafka(observed.sample.as_deref(), &preparation.source, now);
            Some(penstock_scaling::decide(state, &policy, &Observation { workers: workers.clone(), kafka }, now))
        }
        (_, Gate::Open | Gate::Hold | Gate::Closed) => None,
    };
    let replicas = match (&decision, preparation.gate) {
        (Some(decision), _) => decision.replicas,
        (None, Gate::Closed) => 0,
        (None, Gate::Open | Gate::Hold) => workers.replicas.unwrap_or(0),
    };
    let pace = pace(pipeline, observed, &preparation, &workers, replicas);
    let settled = settled.map(|settled| Settled { replicas: Some(replicas), ..settled });
    Plan { preparation, settled, decision, connection, pace }
}

fn prepared(
    pipeline: &Pipeline,
    observed: &Observed,
    memory: &Memory,
    context: &Context,
    now: Timestamp,
) -> Preparation {
    let source = observed.status.source.clone().unwrap_or_default();
    let sample = observed.sample.as_deref();
    let claim = Claim {
        pipeline: format!("{}/{}", pipeline.identity.namespace, pipeline.identity.name),
        cluster_id: source.cluster_id.clone().or_else(|| sample.and_then(|sample| sample.cluster_id.clone())),
        group: pipeline.source.group_id.clone(),
        recorded: source.pin.is_some(),
        running: !observed.pods.is_empty(),
    };
    let rival = context.claim(&pipeline.identity.uid, claim);
    let evidence = Evidence {
        source: &source,
        sample,
        rival: rival.as_deref(),
        workers_seen: observed.workers_seen(),
        offsets_since: memory.changed,
        configure: memory.configure(pipeline.identity.generation, now),
    };
    prepare(pipeline, &evidence)
}

/// `None` before the group's protocol is decided: a worker file without it would be another one later.
fn settled(preparation: &Preparation) -> Option<Settled> {
    let source = &preparation.source;
    let group_protocol = GroupProtocol::from_word(source.group_protocol.as_deref()?)?;
    source.pin?;
    let pinned_topics = source.pinned.iter().map(|pinned| pinned.topic.clone()).collect();
    Some(Settled { replicas: None, group_protocol, pinned_topics })
}

fn pace(pipeline: &Pipeline, observed: &Observed, preparation: &Preparation, workers: &Workers, replicas: u32) -> Pace {
    let pinned = preparation.source.pin.is_some_and(|pin| pin != PinState::Intended);
    if preparation.gate != Gate::Open || !pinned {
        Pace::Preparing
    } else if workers.starting_since.is_some() || workers.replicas != Some(replicas) {
        Pace::Changing
    } else if replicas == 0 && observed.pods.is_empty() && !pipeline.paused {
        Pace::Resting
    } else {
        Pace::Active
    }
}

/// What the user wants, in the scaler's words. While records wait in delay topics somebody must be there when they are due.
fn policy(pipeline: &Pipeline, waits: bool, template_hash: String) -> Policy {
    let scaling = &pipeline.scaling;
    Policy {
        mode: match scaling.mode {
            ScalingMode::Auto => Mode::Auto,
            ScalingMode::Manual => Mode::Manual,
            ScalingMode::Advise => Mode::Advise,
        },
        paused: pipeline.paused,
        manual_replicas: scaling.replicas,
        min_replicas: scaling.min_replicas.max(u32::from(waits)),
        max_replicas: scaling.max_replicas,
        lag: scaling.lag,
        catch_up: scaling.catch_up,
        target_utilization: scaling.target_utilization,
        scale_down_window: scaling.scale_down_window,
        idle: scaling.idle,
        concurrency: pipeline.delivery.concurrency,
        max_records_per_second: None,
        max_concurrency: None,
        ordering: match pipeline.delivery.ordering {
            Ordering::Key => penstock_scaling::Ordering::Key,
            Ordering::Partition => penstock_scaling::Ordering::Partition,
            Ordering::Unordered => penstock_scaling::Ordering::Unordered,
        },
        commit_interval: COMMIT_INTERVAL,
        // cooperative-sticky and KIP-848's uniform assignor both spread all partitions evenly.
        assignor: Assignor::Uniform,
        template_hash,
    }
}

/// What to ask Kafka for this pipeline, and how often.
pub fn subscription(pipeline: &Pipeline, config: ClientConfig, pace: Pace) -> Subscription {
    let dead_letter = pipeline.delivery.dead_letter.as_ref().map(|dead_letter| dead_letter.topic.clone());
    let identity = &pipeline.identity;
    Subscription {
        uid: identity.uid.clone(),
        pipeline: kube::runtime::reflector::ObjectRef::new(&identity.name).within(&identity.namespace),
        config,
        sources: pipeline.topic_names().map(str::to_owned).collect(),
        targets: dead_letter.into_iter().chain(pipeline.output.clone()).chain(delay_topics(pipeline)).collect(),
        group: pipeline.source.group_id.clone(),
        read_committed: pipeline.source.isolation == Isolation::ReadCommitted,
        pace,
    }
}

/// The same for its delay topics and the group that reads them; `None` where there are none.
pub fn delays(pipeline: &Pipeline, source: &Subscription) -> Option<Subscription> {
    let sources: Vec<String> = delay_topics(pipeline).collect();
    (!sources.is_empty()).then(|| Subscription {
        uid: of_delays(&source.uid),
        sources,
        targets: Vec::new(),
        group: names::delay_group(&pipeline.source.group_id),
        ..source.clone()
    })
}

fn delay_topics(pipeline: &Pipeline) -> impl Iterator<Item = String> {
    pipeline.delivery.retry.delay_topics.iter().map(|delay| delay.topic.clone())
}
