//! What was found out in one reconcile, as plain data: the input of [`crate::status`].

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use penstock_crds::checkpoint::{ErrorClass, HoldReason, Lost};
use penstock_crds::status::SourceStatus;
use penstock_crds::{Pipeline, Violation};
use penstock_scaling::{Decision, Learned};

use crate::{Applied, ObjectSet, Reason};

/// What was found out in one reconcile.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// `metadata.name`.
    pub name: &'a str,
    /// `metadata.generation` of the resource that was read.
    pub generation: i64,
    /// What `resolve()` said.
    pub pipeline: Result<&'a Pipeline, &'a [Violation]>,
    /// How Kafka answers.
    pub kafka: Reachability,
    /// What was learned and pinned on the Kafka side; `None` keeps what status has.
    pub source: Option<&'a SourceStatus>,
    /// Whose the group is.
    pub group: Group,
    /// What stands in the way of delivery besides the group: topics, rights, lost offsets, a failed pin. The first is the most important.
    pub obstacles: Vec<Trouble>,
    /// What workers say of partitions that they do not deliver as they should, in a fixed order.
    pub hindrances: Vec<Hindrance>,
    /// The scaling decision; `None` before the first.
    pub decision: Option<&'a Decision>,
    /// What the scaler remembers; `None` keeps what status has.
    pub learned: Option<&'a Learned>,
    /// What came of the objects.
    pub objects: Objects<'a>,
    /// Containers of the pipeline's pods that wait or have ended, and why. The first is the most important.
    pub pods: Vec<PodTrouble>,
}

/// What its worker said of a partition that is not delivered as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hindrance {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// What stands in the way.
    pub cause: Cause,
}

/// What stands in the way of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A record that failed for good, under `onExhausted: Block`: what stands behind it in its lane waits.
    Blocked {
        /// Its offset.
        offset: i64,
        /// Charged attempts.
        attempts: u32,
        /// What it fails with.
        class: ErrorClass,
    },
    /// Keys whose records go to the dead letters, under `onExhausted: ParkKey`.
    Parked {
        /// How many.
        keys: usize,
        /// No more can be parked: the next record that fails for good blocks its lane.
        full: bool,
    },
    /// The worker delivers nothing of the partition, or cannot finish what it has.
    Held {
        /// Why.
        reason: HoldReason,
        /// The class of the failure behind it.
        class: ErrorClass,
        /// Since when. It stands still.
        since: Time,
        /// With [`HoldReason::DataLoss`], what is missing.
        lost: Option<Lost>,
    },
}

/// One thing that is wrong: the word for conditions and Events, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// The word.
    pub reason: Reason,
    /// What is wrong and what to do next, in a sentence or two. It must not hold anything that moves by itself, such as an age.
    pub message: String,
}

/// How Kafka answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reachability {
    /// Not asked yet.
    NotAsked,
    /// It answers.
    Reachable,
    /// It does not, or not to us.
    Unreachable {
        /// Why.
        trouble: Trouble,
        /// First failure in a row.
        since: Time,
        /// Time of the newest complete sample, if there ever was one.
        last_sample: Option<Time>,
    },
}

/// Whose the consumer group is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Group {
    /// Not known yet.
    NotAsked,
    /// This pipeline's.
    Ours,
    /// Strangers consume with it; workers start when it is empty.
    Waiting {
        /// Who they are, as `client.id on host`.
        members: Vec<String>,
    },
    /// Another pipeline has it.
    InUse {
        /// That pipeline, as `namespace/name`.
        pipeline: String,
    },
}

/// What came of the objects.
#[derive(Clone, Copy, Debug)]
pub enum Objects<'a> {
    /// Nothing was sent, for one of the reasons that the other facts give; what stands is from earlier.
    Untouched {
        /// The live Deployment, if there is one and it is the pipeline's.
        deployment: Option<&'a Deployment>,
    },
    /// An object was refused.
    Failed {
        /// Why: [`Reason::NameConflict`] or [`Reason::ApplyFailed`].
        trouble: &'a Trouble,
        /// The live Deployment, if there is one and it is the pipeline's.
        deployment: Option<&'a Deployment>,
    },
    /// All are as rendered.
    Applied(&'a ObjectSet<Applied>),
}

impl<'a> Objects<'a> {
    /// The live Deployment.
    pub const fn deployment(&self) -> Option<&'a Deployment> {
        match self {
            Self::Untouched { deployment } | Self::Failed { deployment, .. } => *deployment,
            Self::Applied(objects) => Some(&objects.deployment),
        }
    }
}

/// A container of the pipeline's pods that waits or has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodTrouble {
    /// The pod.
    pub pod: String,
    /// The container; empty for the pod itself, such as `Unschedulable`.
    pub container: String,
    /// Kubernetes' own word: `ImagePullBackOff`, `CrashLoopBackOff`, `Unschedulable`, `OOMKilled`, `Error`.
    pub reason: String,
    /// What came with it; for a worker that ended, its termination message.
    pub message: String,
}
