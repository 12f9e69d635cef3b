//! What is remembered from one decision to the next.

use serde::{Deserialize, Serialize};

/// What is remembered from one decision to the next. Everything in it comes from observations; a fresh one is always safe, it only
/// knows less. It can be serialised whole; the part worth keeping in status is [`State::learned`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    pub(crate) learned: Learned,
}

/// The compact part of [`State`] that is kept in status, so that a restart of the operator or a wake from zero starts from knowledge.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Learned {
    /// Hash of the pod template that the capacity was seen with; empty while nothing was.
    pub template_hash: String,
    /// Records per second of one replica that had no room left; `None` while none was seen.
    pub records_per_second: Option<f64>,
    /// Seconds from the wish for more replicas to their readiness; `None` while unmeasured.
    pub start_seconds: Option<f64>,
}

impl State {
    /// Starts from what was learned earlier.
    pub fn restore(learned: Learned) -> Self {
        Self { learned }
    }

    /// What is worth keeping.
    pub fn learned(&self) -> &Learned {
        &self.learned
    }
}
