//! A pipeline and everything that was found out about it, all well unless a test says otherwise.

use k8s_openapi::api::apps::v1::{Deployment, DeploymentCondition, DeploymentStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use penstock_blueprint::{
    Applied, Facts, Group, GroupProtocol, Hindrance, ObjectSet, Objects, PodTrouble, Prepared, Reachability, Reason,
    Release, Settled, Trouble, render, status,
};
use penstock_crds::schema::parse;
use penstock_crds::status::{PinState, SourceStatus};
use penstock_crds::{ConsumerPipelineStatus, Pipeline, Violation, resolve};
use penstock_scaling::{Capacity, CapacitySource, Decision, Learned, Parts, Reason as Why};

/// What came of the objects.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    Untouched,
    Failed(Trouble),
    Applied,
}

/// Pods as the Deployment's controller counts them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pods {
    pub(crate) wanted: u32,
    pub(crate) existing: u32,
    pub(crate) updated: u32,
    pub(crate) ready: u32,
    pub(crate) available: u32,
    pub(crate) observed: bool,
    pub(crate) overdue: bool,
}

impl Pods {
    pub(crate) fn all(count: u32) -> Self {
        let (wanted, existing, updated, ready, available) = (count, count, count, count, count);
        Self { wanted, existing, updated, ready, available, observed: true, overdue: false }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) pipeline: Result<Pipeline, Vec<Violation>>,
    pub(crate) generation: i64,
    pub(crate) kafka: Reachability,
    pub(crate) source: Option<SourceStatus>,
    pub(crate) group: Group,
    pub(crate) obstacles: Vec<Trouble>,
    pub(crate) hindrances: Vec<Hindrance>,
    pub(crate) decision: Option<Decision>,
    pub(crate) learned: Option<Learned>,
    pub(crate) outcome: Outcome,
    /// `None` where there is no Deployment.
    pub(crate) pods: Option<Pods>,
    pub(crate) ill: Vec<PodTrouble>,
    /// The live Deployment of an earlier generation, where this one cannot be rendered.
    pub(crate) earlier: Option<Deployment>,
    pub(crate) previous: ConsumerPipelineStatus,
    pub(crate) now: Time,
}

impl World {
    /// Three workers that keep up.
    pub(crate) fn of(yaml: &str) -> Self {
        let resource = parse(yaml).unwrap();
        Self {
            pipeline: resolve(&resource),
            generation: resource.metadata.generation.unwrap_or(1),
            kafka: Reachability::Reachable,
            source: Some(SourceStatus {
                cluster_id: Some("Nk018hRAQFytWskYqtQduw".into()),
                group_protocol: Some("consumer".into()),
                pin: Some(PinState::Done),
                ..SourceStatus::default()
            }),
            group: Group::Ours,
            obstacles: vec![],
            hindrances: vec![],
            decision: Some(decision(3, Why::Steady)),
            learned: Some(Learned {
                template_hash: "0011223344556677".into(),
                records_per_second: Some(612.345),
                saturated: true,
                start_seconds: Some(3.21),
            }),
            outcome: Outcome::Applied,
            pods: Some(Pods::all(3)),
            ill: vec![],
            earlier: None,
            previous: ConsumerPipelineStatus::default(),
            now: time("2026-03-01T12:00:00Z"),
        }
    }

    /// `None` where the spec is refused: nothing is rendered then.
    pub(crate) fn rendered(&self) -> Option<ObjectSet<Prepared>> {
        let pipeline = self.pipeline.as_ref().ok()?;
        Some(render(pipeline, &settled(pipeline, self.pods.map(|pods| pods.wanted)), &release()))
    }

    pub(crate) fn status(&self) -> ConsumerPipelineStatus {
        let applied = self.rendered().map(|objects| self.applied(objects));
        let live = applied.as_ref().filter(|_| self.pods.is_some()).map(|objects| &objects.deployment);
        let live = live.or(self.earlier.as_ref());
        let objects = match (&self.outcome, &applied) {
            (Outcome::Applied, Some(objects)) => Objects::Applied(objects),
            (Outcome::Failed(trouble), _) => Objects::Failed { trouble, deployment: live },
            _ => Objects::Untouched { deployment: live },
        };
        let facts = Facts {
            name: "orders",
            generation: self.generation,
            pipeline: self.pipeline.as_ref().map_err(Vec::as_slice),
            kafka: self.kafka.clone(),
            source: self.source.as_ref(),
            group: self.group.clone(),
            obstacles: self.obstacles.clone(),
            hindrances: self.hindrances.clone(),
            decision: self.decision.as_ref(),
            learned: self.learned.as_ref(),
            objects,
            pods: self.ill.clone(),
        };
        status(&facts, &self.previous, &self.now)
    }

    pub(crate) fn live(&self) -> Option<Deployment> {
        self.rendered().map(|objects| self.applied(objects).deployment)
    }

    /// As the API server would return them.
    fn applied(&self, objects: ObjectSet<Prepared>) -> ObjectSet<Applied> {
        let mut deployment: Deployment = objects.deployment;
        deployment.metadata.generation = Some(7);
        deployment.status = self.pods.map(live);
        ObjectSet::applied(objects.config, objects.service_account, deployment, objects.disruption_budget)
    }
}

fn live(pods: Pods) -> DeploymentStatus {
    let count = |count: u32| Some(i32::try_from(count).unwrap()).filter(|count| *count > 0);
    let overdue = DeploymentCondition {
        type_: "Progressing".into(),
        status: "False".into(),
        reason: Some("ProgressDeadlineExceeded".into()),
        ..DeploymentCondition::default()
    };
    DeploymentStatus {
        observed_generation: Some(if pods.observed { 7 } else { 6 }),
        replicas: count(pods.existing),
        updated_replicas: count(pods.updated),
        ready_replicas: count(pods.ready),
        available_replicas: count(pods.available),
        conditions: pods.overdue.then(|| vec![overdue]),
        ..DeploymentStatus::default()
    }
}

pub(crate) fn settled(pipeline: &Pipeline, replicas: Option<u32>) -> Settled {
    Settled {
        replicas,
        group_protocol: GroupProtocol::Consumer,
        pinned_topics: pipeline.topic_names().map(str::to_owned).collect(),
    }
}

pub(crate) fn release() -> Release {
    Release {
        worker_image: "registry.example/penstock/worker:0.1.0".into(),
        image_pull_policy: None,
        version: "0.1.0".into(),
    }
}

/// A decision on 12 partitions whose replicas do 600 records a second each.
pub(crate) fn decision(replicas: u32, reason: Why) -> Decision {
    let parts = Parts {
        current: replicas,
        ready: replicas,
        partitions: 12,
        arrival_rate: Some(1_204.7),
        lag: 96.0,
        backlog: 0.0,
        behind_seconds: Some(0.08),
        throughput: Some(1_199.2),
        utilization: Some(0.667_4),
        capacity: Some(Capacity { records_per_second: 612.345, source: CapacitySource::BusyTime }),
        demand: 1_505.9,
        desired: Some(3),
        need: Some(3),
        window_need: Some(3),
        steps: vec![1, 2, 3, 4, 6, 12],
        floor: 1,
        ceiling: 12,
        stuck: vec![],
        hot: vec![],
    };
    Decision { replicas, advised: None, reason, limited_by: None, parts, wake_at: None }
}

pub(crate) fn trouble(reason: Reason, message: &str) -> Trouble {
    Trouble { reason, message: message.into() }
}

pub(crate) fn time(text: &str) -> Time {
    Time(text.parse::<Timestamp>().unwrap())
}
