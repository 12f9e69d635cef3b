//! The least and the most replicas that the policy and the partitions allow.

use crate::Policy;
use crate::steps::Spread;

/// The least and the most replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// Fewer are never kept.
    pub(crate) hard_floor: u32,
    /// The least to decide on: a step, unless the bounds leave none.
    pub(crate) floor: u32,
    /// The most to decide on: a step, unless the bounds leave none.
    pub(crate) ceiling: u32,
    /// More are never kept: the smaller of `maxReplicas` and what the partitions can occupy.
    pub(crate) hard_ceiling: u32,
    /// `maxConcurrency` is what makes the ceiling.
    pub(crate) by_concurrency: bool,
}

impl Bounds {
    pub(crate) fn of(policy: &Policy, spread: &Spread) -> Self {
        let most = spread.most();
        let hard_ceiling = policy.max_replicas.unwrap_or(most).min(most);
        let hard_floor = policy.min_replicas.min(hard_ceiling);
        // Beyond this number replicas share the same calls among more pods.
        let busy_at_once =
            policy.max_concurrency.map_or(u32::MAX, |most| most.div_ceil(policy.concurrency.max(1)).max(1));
        let ceiling = spread.at_most(hard_ceiling.min(busy_at_once)).min(hard_ceiling).max(hard_floor);
        let floor = Some(spread.at_least(hard_floor))
            .filter(|&step| hard_floor > 0 && step <= hard_ceiling)
            .unwrap_or(hard_floor);
        Self {
            hard_floor,
            floor: floor.min(ceiling),
            ceiling,
            hard_ceiling,
            by_concurrency: busy_at_once < hard_ceiling,
        }
    }

    /// Within the bounds, and at least one: only idleness and pause make zero.
    pub(crate) fn clamp(&self, replicas: u32) -> u32 {
        replicas.max(1).clamp(self.floor, self.ceiling.max(self.floor))
    }
}
