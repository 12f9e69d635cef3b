//! What this process knows about one object beyond what its watch shows: the API server's answer to the last apply.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use kube::ResourceExt as _;
use penstock_scaling::Timestamp;
use serde_json::Value;

use super::covers::covers;
use super::door::Child;

/// How long an answer stands in for a watch that has not caught up. A watch that is behind for longer has lost its connection, and then
/// a repeated apply, which changes nothing, is the lesser evil.
const ANSWER_LIFE: Duration = Duration::from_secs(10);

/// What is known about one object.
pub struct Slot<K> {
    answer: Option<Answer<K>>,
    settled: Option<Settled>,
}

struct Answer<K> {
    /// Version that the watch showed when the object was sent.
    before: Option<String>,
    object: Arc<K>,
    at: Timestamp,
}

/// Something was applied, and this is what the API server made of it. Where admission webhooks change what was sent, it never covers
/// what was wanted, and this alone keeps two programs from writing in turns.
struct Settled {
    wanted: u64,
    body: u64,
}

impl<K> Default for Slot<K> {
    fn default() -> Self {
        Self { answer: None, settled: None }
    }
}

impl<K: Child> Slot<K> {
    /// The watched object, or the newer answer to what was sent.
    pub fn freshest(&mut self, watched: Option<Arc<K>>, now: Timestamp) -> Option<Arc<K>> {
        let version = watched.as_ref().and_then(|object| object.resource_version());
        match &self.answer {
            Some(answer) if answer.before == version && now.since(answer.at) < ANSWER_LIFE => {
                Some(Arc::clone(&answer.object))
            }
            Some(_) => {
                self.answer = None;
                watched
            }
            None => watched,
        }
    }

    /// Nothing would change if `wanted` were sent.
    pub fn is_settled(&self, wanted: &K, live: &K) -> bool {
        let (Ok(wanted), Ok(live)) = (serde_json::to_value(wanted), serde_json::to_value(live)) else { return false };
        let wanted = body(wanted);
        let live = body(live);
        let known = self.settled.as_ref();
        covers(&live, &wanted) || known.is_some_and(|known| known.wanted == hash(&wanted) && known.body == hash(&live))
    }

    /// Remembers what was sent and what came back.
    pub fn sent(&mut self, wanted: &K, before: Option<String>, answer: K, at: Timestamp) -> Arc<K> {
        if let (Ok(wanted), Ok(live)) = (serde_json::to_value(wanted), serde_json::to_value(&answer)) {
            self.settled = Some(Settled { wanted: hash(&body(wanted)), body: hash(&body(live)) });
        }
        let object = Arc::new(answer);
        self.answer = Some(Answer { before, object: Arc::clone(&object), at });
        object
    }
}

/// What a user or Penstock decides about an object: all but its status and what the API server counts.
fn body(mut object: Value) -> Value {
    if let Value::Object(map) = &mut object {
        map.remove("status");
        if let Some(Value::Object(metadata)) = map.get_mut("metadata") {
            for counted in ["resourceVersion", "managedFields", "generation", "uid", "creationTimestamp"] {
                metadata.remove(counted);
            }
            // The deployment controller's own.
            if let Some(Value::Object(annotations)) = metadata.get_mut("annotations") {
                annotations.remove("deployment.kubernetes.io/revision");
            }
        }
    }
    object
}

fn hash(value: &Value) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.to_string().hash(&mut hasher);
    hasher.finish()
}
