//! The decision.

use crate::{Decision, Mode, Observation, Parts, Policy, Reason, State, Timestamp};

/// Decides how many replicas there should be.
///
/// Pure: the same arguments give the same decision, and calling it again with the same observation changes nothing. Call it on
/// every new sample, on every change of policy or pods, and at [`Decision::wake_at`].
pub fn decide(_state: &mut State, policy: &Policy, observation: &Observation, _now: Timestamp) -> Decision {
    let current = observation.workers.replicas.unwrap_or(policy.min_replicas);
    let (replicas, reason) = match policy.mode {
        _ if policy.paused => (0, Reason::Paused),
        Mode::Manual => (policy.manual_replicas.unwrap_or(current), Reason::Manual),
        Mode::Auto | Mode::Advise => (current.max(policy.min_replicas), Reason::Steady),
    };
    let parts = Parts { current, ready: observation.workers.ready, ..Parts::default() };
    Decision { replicas, advised: None, reason, limited_by: None, parts, wake_at: None }
}
