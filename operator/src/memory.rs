//! What is remembered of each pipeline between two reconciles. All of it can be lost: a new leader starts with none of it, and status
//! has what must survive.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kube::{Resource, ResourceExt as _};
use penstock_blueprint::Trouble;
use penstock_scaling::{State, Timestamp};

use crate::apply::Slots;
use crate::observe::delays::Delays;
use crate::observe::secret::SecretMemory;
use crate::prepare::Configure;
use crate::report::StatusMemory;

/// The first pause after a failed chore; it doubles up to [`CHORE_PAUSE_MAX`].
const CHORE_PAUSE: Duration = Duration::from_secs(2);
/// The longest pause after failed chores.
const CHORE_PAUSE_MAX: Duration = Duration::from_secs(60);

/// The first pause after an object was refused; it doubles up to [`REFUSED_PAUSE_MAX`].
const REFUSED_PAUSE: Duration = Duration::from_secs(2);
/// The longest such pause: somebody who makes room for an object waits no longer.
const REFUSED_PAUSE_MAX: Duration = Duration::from_secs(20);
/// Between two looks at the configuration of topics.
const CONFIGURE: Duration = Duration::from_secs(600);

/// Everything about one pipeline.
#[derive(Default)]
pub struct Memory {
    /// The scaler's own; `None` until status was read for what was learned.
    pub scaler: Option<State>,
    /// What was sent.
    pub slots: Slots,
    /// What was reported.
    pub status: StatusMemory,
    /// The Kafka credentials.
    pub secret: SecretMemory,
    /// Since when pods come or go, for this generation of the Deployment.
    pub settling: Option<(i64, Timestamp)>,
    /// Since when there is no connection to ask through.
    pub disconnected: Option<Timestamp>,
    /// When something was last changed in Kafka, or tried to be: what was read before says nothing about it.
    pub changed: Timestamp,
    /// For which generation of the resource the configuration of topics was seen to, and when last.
    pub configured: Option<(i64, Timestamp)>,
    /// What is remembered of the delay topics.
    pub delays: Delays,
    /// The last refusal of an object, while it is not tried again.
    pub refused: Option<Refused>,
    /// Chores that failed, by name.
    pub failed: BTreeMap<&'static str, FailedChore>,
}

/// A chore that failed, and when it may be tried again.
#[derive(Clone, Debug)]
pub struct FailedChore {
    /// Why, in words for status.
    pub trouble: Trouble,
    /// Not before then.
    pub retry_at: Timestamp,
    failures: u32,
}

/// An object that was refused, and when it may be tried again.
#[derive(Clone, Debug)]
pub struct Refused {
    /// Why, in words for status.
    pub trouble: Trouble,
    /// The generation that it was refused for: another one is tried at once.
    pub generation: i64,
    /// Not before then.
    pub retry_at: Timestamp,
    failures: u32,
}

impl Memory {
    /// Whether it is time to see to the configuration of topics.
    pub fn configure(&self, generation: i64, now: Timestamp) -> Configure {
        match self.configured {
            Some((of, at)) if of == generation && now.since(at) < CONFIGURE => Configure::Later,
            Some((of, _)) if of == generation => Configure::Look,
            Some(_) | None => Configure::Alter,
        }
    }

    /// Notes that an object was refused.
    pub fn refused(&mut self, trouble: Trouble, generation: i64, now: Timestamp) {
        let before = self.refused.as_ref().filter(|refused| refused.generation == generation);
        let failures = before.map_or(0, |refused| refused.failures);
        let pause = REFUSED_PAUSE.saturating_mul(1 << failures.min(10)).min(REFUSED_PAUSE_MAX);
        self.refused = Some(Refused { trouble, generation, retry_at: now + pause, failures: failures + 1 });
    }

    /// Why objects are not sent now.
    pub fn held(&self, generation: i64, now: Timestamp) -> Option<Trouble> {
        let refused = self.refused.as_ref()?;
        (refused.generation == generation && now < refused.retry_at).then(|| refused.trouble.clone())
    }

    /// Notes that a chore failed.
    pub fn failed(&mut self, chore: &'static str, trouble: Trouble, now: Timestamp) {
        let failures = self.failed.get(chore).map_or(0, |failed| failed.failures);
        let pause = CHORE_PAUSE.saturating_mul(1 << failures.min(10)).min(CHORE_PAUSE_MAX);
        let failed = FailedChore { trouble, retry_at: now + pause, failures: failures + 1 };
        self.failed.insert(chore, failed);
    }
}

/// One pipeline's place.
pub struct Place {
    /// Whose it is.
    pub identity: Identity,
    /// What is remembered. Held for a whole reconcile: there is only one at a time for each pipeline.
    pub memory: tokio::sync::Mutex<Memory>,
    failures: AtomicU32,
}

/// A pipeline, beyond its deletion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
}

impl Place {
    /// Counts a failed reconcile, and says how many there were in a row before it.
    pub fn fail(&self) -> u32 {
        self.failures.fetch_add(1, Ordering::Relaxed)
    }

    /// A reconcile went through.
    pub fn succeed(&self) {
        self.failures.store(0, Ordering::Relaxed);
    }
}

/// The memories of all pipelines, by UID.
#[derive(Default)]
pub struct Memories {
    places: Mutex<BTreeMap<String, Arc<Place>>>,
}

impl Memories {
    /// One pipeline's place, made if there is none.
    pub fn of<K: Resource>(&self, resource: &K) -> Arc<Place> {
        let identity = Identity {
            uid: resource.uid().unwrap_or_default(),
            namespace: resource.namespace().unwrap_or_default(),
            name: resource.name_any(),
        };
        let uid = identity.uid.clone();
        let place = || Place { identity, memory: tokio::sync::Mutex::default(), failures: AtomicU32::new(0) };
        Arc::clone(self.lock().entry(uid).or_insert_with(|| Arc::new(place())))
    }

    /// Forgets all pipelines of a namespace (of all, without one) but those present. Returns those that were forgotten.
    pub fn keep_only(&self, namespace: Option<&str>, present: &BTreeSet<String>) -> Vec<Identity> {
        let mut gone = Vec::new();
        self.lock().retain(|uid, place| {
            let keep =
                present.contains(uid) || namespace.is_some_and(|namespace| namespace != place.identity.namespace);
            if !keep {
                gone.push(place.identity.clone());
            }
            keep
        });
        gone
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// There are none.
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Place>>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use penstock_blueprint::Reason;

    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    fn trouble() -> Trouble {
        Trouble { reason: Reason::ApplyFailed, message: String::new() }
    }

    #[test]
    fn a_refused_object_is_tried_again_ever_more_seldom_or_when_the_resource_changes() {
        let mut memory = Memory::default();
        let mut now = at(0);
        for pause in [2, 4, 8, 16, 20, 20] {
            memory.refused(trouble(), 1, now);
            assert!(memory.held(1, now + Duration::from_secs(pause - 1)).is_some());
            assert!(memory.held(1, now + Duration::from_secs(pause)).is_none());
            now = now + Duration::from_secs(pause);
        }
        memory.refused(trouble(), 1, now);
        assert!(memory.held(2, now).is_none());
    }

    #[test]
    fn topics_are_configured_once_a_generation_and_looked_at_later() {
        let mut memory = Memory::default();
        assert_eq!(memory.configure(1, at(0)), Configure::Alter);
        memory.configured = Some((1, at(0)));
        assert_eq!(memory.configure(1, at(1)), Configure::Later);
        assert_eq!(memory.configure(1, at(600)), Configure::Look);
        assert_eq!(memory.configure(2, at(1)), Configure::Alter);
    }

    #[test]
    fn what_is_gone_is_forgotten_in_its_own_namespace_alone() {
        let memories = Memories::default();
        let pipeline = |namespace: &str, uid: &str| {
            let mut pipeline = k8s_openapi::api::core::v1::ConfigMap::default();
            pipeline.metadata.namespace = Some(namespace.to_owned());
            pipeline.metadata.uid = Some(uid.to_owned());
            pipeline
        };
        memories.of(&pipeline("a", "1"));
        memories.of(&pipeline("b", "2"));
        let gone = memories.keep_only(Some("a"), &BTreeSet::new());
        assert_eq!(gone.iter().map(|one| one.uid.as_str()).collect::<Vec<_>>(), ["1"]);
        assert_eq!(memories.len(), 1);
    }
}
