//! The engine's door: one event in, effects out.

use crate::policy::Policy;
use crate::seam::{Effect, Event};
use crate::time::Instant;

/// A worker's whole delivery state.
#[derive(Debug)]
pub struct Engine {
    policy: Policy,
}

impl Engine {
    /// An engine that owns nothing yet.
    pub fn new(policy: Policy) -> Self {
        Self { policy }
    }

    /// Takes note of what happened and appends what to do about it. `now` never goes back.
    pub fn on(&mut self, event: Event, now: Instant, effects: &mut Vec<Effect>) {
        let _ = (event, now, effects, &self.policy);
    }

    /// When to call again with [`Event::Tick`] at the latest; `None` while only events matter.
    pub fn next_wake(&self) -> Option<Instant> {
        None
    }
}
