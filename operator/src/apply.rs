//! From rendered objects to objects in the cluster: sent where something would change, refused where somebody else's stand in the way.

mod covers;
mod door;
mod slot;

use std::sync::Arc;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, ServiceAccount};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::{Resource as _, ResourceExt as _};
use penstock_blueprint::{Applied, ObjectSet, Prepared, Reason, Trouble};
use penstock_scaling::Timestamp;

pub use self::covers::covers;
pub use self::door::{Child, Door, FIELD_MANAGER, controller_of};
pub use self::slot::Slot;

/// Why an object could not be brought to what was rendered.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// An object of that name belongs to somebody else.
    #[error("{kind} {name} exists and belongs to {holder}: it is left alone; rename the pipeline or remove the object")]
    NameConflict {
        /// Its kind.
        kind: String,
        /// Its name.
        name: String,
        /// Who has it, as far as it says.
        holder: String,
    },
    /// An object of an earlier pipeline of the same name, which Kubernetes is about to remove.
    #[error("{kind} {name} belongs to a deleted pipeline of the same name: waiting until it is removed")]
    Outgoing {
        /// Its kind.
        kind: String,
        /// Its name.
        name: String,
    },
    /// The API server refused a request, or did not answer.
    #[error("{kind} {name} could not be {done}: {source}")]
    Api {
        /// The kind of the object.
        kind: String,
        /// Its name.
        name: String,
        /// What was tried: `read`, `applied`, `deleted`.
        done: &'static str,
        /// Why not.
        source: Box<kube::Error>,
    },
}

impl ApplyError {
    /// Somebody else wrote in between: the next look will succeed.
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Api { source, .. } if matches!(&**source, kube::Error::Api(status) if status.is_conflict()))
    }

    /// The words for status and Events; `None` when waiting a moment is all there is to do.
    pub fn trouble(&self) -> Option<Trouble> {
        let reason = match self {
            Self::NameConflict { .. } => Reason::NameConflict,
            Self::Outgoing { .. } => return None,
            Self::Api { .. } if self.is_conflict() => return None,
            Self::Api { .. } => Reason::ApplyFailed,
        };
        Some(Trouble { reason, message: self.to_string() })
    }
}

/// What is known of a pipeline's objects in the cluster, as its own.
#[derive(Clone, Default)]
pub struct Live {
    /// What workers read.
    pub config: Option<Arc<ConfigMap>>,
    /// Who pods are.
    pub service_account: Option<Arc<ServiceAccount>>,
    /// The workers.
    pub deployment: Option<Arc<Deployment>>,
    /// What node drains respect.
    pub disruption_budget: Option<Arc<PodDisruptionBudget>>,
}

/// What this process sent last, per object.
#[derive(Default)]
pub struct Slots {
    config: Slot<ConfigMap>,
    service_account: Slot<ServiceAccount>,
    deployment: Slot<Deployment>,
    disruption_budget: Slot<PodDisruptionBudget>,
}

impl Slots {
    /// Replaces objects of a watch that lags behind with the API server's own answers to what was sent since.
    pub fn freshen(&mut self, live: Live, now: Timestamp) -> Live {
        Live {
            config: self.config.freshest(live.config, now),
            service_account: self.service_account.freshest(live.service_account, now),
            deployment: self.deployment.freshest(live.deployment, now),
            disruption_budget: self.disruption_budget.freshest(live.disruption_budget, now),
        }
    }
}

/// Brings all objects to what was rendered, in the order in which pods need them, and removes what is wanted no more.
///
/// # Errors
/// The first object that could not be brought there; those after it are as they were.
pub async fn apply(
    objects: ObjectSet<Prepared>,
    live: &Live,
    slots: &mut Slots,
    door: &Door,
    now: Timestamp,
) -> Result<ObjectSet<Applied>, ApplyError> {
    let owner = owner_uid(&objects.deployment);
    let put = Put { door, owner: &owner, now };
    // All names are looked at before anything is sent: a pipeline that cannot have one of them gets none.
    let found = Live {
        service_account: match &objects.service_account {
            Some(account) => put.find(account, live.service_account.as_ref()).await?,
            None => None,
        },
        config: put.find(&objects.config, live.config.as_ref()).await?,
        disruption_budget: put.find(&objects.disruption_budget, live.disruption_budget.as_ref()).await?,
        deployment: put.find(&objects.deployment, live.deployment.as_ref()).await?,
    };
    let service_account = match &objects.service_account {
        Some(account) => Some(put.one(account, found.service_account, &mut slots.service_account).await?),
        None => None,
    };
    let config = put.one(&objects.config, found.config, &mut slots.config).await?;
    let disruption_budget =
        put.one(&objects.disruption_budget, found.disruption_budget, &mut slots.disruption_budget).await?;
    let mut deployment = objects.deployment;
    // An old leader's replicas that arrive late meet a newer version and are refused.
    deployment.metadata.resource_version = found.deployment.as_ref().and_then(|live| live.resource_version());
    let deployment = put.one(&deployment, found.deployment, &mut slots.deployment).await?;
    if let (None, Some(account)) = (&objects.service_account, &live.service_account) {
        put.retire(account.as_ref()).await?;
    }
    Ok(ObjectSet::applied(
        unshare(config),
        service_account.map(unshare),
        unshare(deployment),
        unshare(disruption_budget),
    ))
}

fn unshare<K: Clone>(object: Arc<K>) -> K {
    Arc::unwrap_or_clone(object)
}

struct Put<'a> {
    door: &'a Door,
    owner: &'a str,
    now: Timestamp,
}

impl Put<'_> {
    /// The object in the cluster, if there is one. It is ours, or this fails.
    async fn find<K: Child>(&self, wanted: &K, known: Option<&Arc<K>>) -> Result<Option<Arc<K>>, ApplyError> {
        let live = match known {
            Some(live) => Some(Arc::clone(live)),
            // Not one of ours; there may still be one without our labels, and applying would adopt it.
            None => self.door.look(wanted).await.map_err(|source| failed("read", wanted, source))?.map(Arc::new),
        };
        if let Some(live) = &live {
            refuse_foreign(live.as_ref(), self.owner)?;
        }
        Ok(live)
    }

    async fn one<K: Child>(&self, wanted: &K, live: Option<Arc<K>>, slot: &mut Slot<K>) -> Result<Arc<K>, ApplyError> {
        let before = live.as_ref().and_then(|live| live.resource_version());
        if let Some(live) = live.filter(|live| slot.is_settled(wanted, live)) {
            return Ok(live);
        }
        let answer = self.door.apply(wanted).await.map_err(|source| failed("applied", wanted, source))?;
        Ok(slot.sent(wanted, before, answer, self.now))
    }

    async fn retire<K: Child>(&self, live: &K) -> Result<(), ApplyError> {
        if owner_uid(live) == self.owner {
            self.door.delete(live).await.map_err(|source| failed("deleted", live, source))?;
        }
        Ok(())
    }
}

fn failed<K: Child>(done: &'static str, object: &K, source: kube::Error) -> ApplyError {
    ApplyError::Api { kind: K::kind(&()).into_owned(), name: object.name_any(), done, source: Box::new(source) }
}

/// UID of the controlling owner; empty without one.
fn owner_uid<K: Child>(object: &K) -> String {
    controller_of(object).map(|owner| owner.uid.clone()).unwrap_or_default()
}

/// An object without an owner of this UID is not touched, whatever its labels say.
fn refuse_foreign<K: Child>(live: &K, ours: &str) -> Result<(), ApplyError> {
    let owner = controller_of(live);
    let (kind, name) = (K::kind(&()).into_owned(), live.name_any());
    match owner {
        Some(owner) if owner.uid == ours => Ok(()),
        Some(owner) if owner.kind == penstock_crds::ConsumerPipeline::kind(&()) => {
            Err(ApplyError::Outgoing { kind, name })
        }
        Some(owner) => Err(ApplyError::NameConflict { kind, name, holder: format!("{} {}", owner.kind, owner.name) }),
        None => {
            // Not the controller that only writes its status.
            let wrote = live.managed_fields().iter().find(|entry| entry.subresource.is_none());
            let manager = wrote.and_then(|entry| entry.manager.clone());
            let holder =
                manager.map_or_else(|| "nobody we know".to_owned(), |manager| format!("whoever used {manager}"));
            Err(ApplyError::NameConflict { kind, name, holder })
        }
    }
}

#[cfg(test)]
mod tests;
