//! What must be true in Kafka before workers run, and the next thing to do about it. Pure: [`chore::carry_out`] does it.

pub mod chore;
pub mod claims;
pub mod start;
pub mod topics;

use penstock_blueprint::{Group, Trouble};
use penstock_crds::Pipeline;
use penstock_crds::names;
use penstock_crds::status::SourceStatus;
use penstock_scaling::Timestamp;

pub use self::chore::Chore;
use crate::sampling::Sample;

/// Whether workers may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// As many as the decision says.
    Open,
    /// Those that run stay; none is added and none taken. Something is not known yet, or is being done.
    Hold,
    /// None: they would take somebody else's records, or lose some.
    Closed,
}

/// What stands before the workers of one pipeline.
#[derive(Clone, Debug, PartialEq)]
pub struct Preparation {
    /// Whether workers may run.
    pub gate: Gate,
    /// The next thing to do in Kafka, if there is one.
    pub chore: Option<Chore>,
    /// Whose the group is.
    pub group: Group,
    /// What is wrong, the most important first.
    pub obstacles: Vec<Trouble>,
    /// What status shall remember of the Kafka side.
    pub source: SourceStatus,
}

/// What the preparation looks at, besides the pipeline.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    /// What status remembers.
    pub source: &'a SourceStatus,
    /// The newest answers; `None` before the first.
    pub sample: Option<&'a Sample>,
    /// The pipeline that has the group on this cluster with a better claim, as `namespace/name`.
    pub rival: Option<&'a str>,
    /// Pods of this pipeline exist, in whatever state, or replicas of the Deployment are wanted.
    pub workers_seen: bool,
    /// Offsets that were read before then may have been altered by us since.
    pub offsets_since: Timestamp,
    /// Whether it is time to see to the configuration of topics.
    pub configure: Configure,
}

/// Whether it is time to see to the configuration of topics: altered once for each generation of the resource, then only looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Configure {
    /// What is not as wanted is altered.
    Alter,
    /// What is not as wanted is told.
    Look,
    /// Not now.
    Later,
}

/// Looks at topics, group and offsets, in the order in which one needs the other.
pub fn prepare(pipeline: &Pipeline, evidence: &Evidence<'_>) -> Preparation {
    let mut source = evidence.source.clone();
    let Some(sample) = evidence.sample else {
        return Preparation { gate: Gate::Hold, chore: None, group: Group::NotAsked, obstacles: vec![], source };
    };
    if source.cluster_id.is_none() {
        source.cluster_id.clone_from(&sample.cluster_id);
    }
    let topics = topics::check(pipeline, sample, evidence.configure);
    let mut preparation = Preparation {
        gate: Gate::Hold,
        chore: topics.chore,
        group: Group::NotAsked,
        obstacles: topics.obstacles,
        source,
    };
    if let Some(rival) = evidence.rival {
        preparation.gate = Gate::Closed;
        preparation.chore = None;
        preparation.group = Group::InUse { pipeline: rival.to_owned() };
        return preparation;
    }
    if !topics.known {
        return preparation;
    }
    preparation.group = group(pipeline, sample, evidence.workers_seen);
    match &preparation.group {
        Group::Ours => {}
        Group::NotAsked => return preparation,
        Group::Waiting { .. } | Group::InUse { .. } => {
            preparation.gate = Gate::Closed;
            return preparation;
        }
    }
    let committed = start::committed(pipeline, sample, evidence.offsets_since);
    let start = start::next(&preparation.source, committed.as_ref(), evidence.workers_seen);
    preparation.gate = start.gate;
    preparation.source = start.source;
    preparation.chore = start.chore.or(preparation.chore);
    preparation.obstacles.extend(start.obstacle);
    preparation
}

/// Strangers matter before the first worker. Beside running workers they get partitions like any member, and those are not read by us;
/// stopping our workers would only make it worse.
fn group(pipeline: &Pipeline, sample: &Sample, workers_seen: bool) -> Group {
    let Some(empty) = sample.group_is_empty() else { return Group::NotAsked };
    if empty || workers_seen {
        return Group::Ours;
    }
    let ours = names::client_id(&pipeline.identity.uid);
    let mut members: Vec<String> = sample.strangers(&ours).map(str::to_owned).collect();
    members.sort();
    members.dedup();
    members.truncate(8);
    // Our own last members leave: the group is neither empty nor anybody else's.
    if members.is_empty() { Group::Ours } else { Group::Waiting { members } }
}

#[cfg(test)]
mod tests;
