//! How much a status has changed: what must be written at once, and what may wait.

use penstock_crds::ConsumerPipelineStatus;

/// How much a status has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// Not a byte.
    None,
    /// Only numbers that move by themselves: written at most every 10 s.
    NumbersOnly,
    /// Anything else: written at once.
    Meaning,
}

/// Compares the status in the cluster with a new one.
pub fn changed(old: &ConsumerPipelineStatus, new: &ConsumerPipelineStatus) -> Change {
    if old == new {
        Change::None
    } else if meaning(old) == meaning(new) {
        Change::NumbersOnly
    } else {
        Change::Meaning
    }
}

/// The status without what moves by itself. The two texts made from such numbers go too: all that they say beyond the numbers is also in
/// the phase, the reasons and the conditions, which stay.
fn meaning(status: &ConsumerPipelineStatus) -> ConsumerPipelineStatus {
    let mut still = status.clone();
    (still.lag, still.behind, still.rate, still.capacity, still.message) = (None, None, None, None, None);
    if let Some(decision) = &mut still.decision {
        decision.explanation = String::new();
        (decision.arrival_rate, decision.demand, decision.throughput) = (None, None, None);
        (decision.capacity_per_replica, decision.utilization, decision.backlog) = (None, None, None);
        (decision.wanted, decision.need, decision.window_need) = (None, None, None);
    }
    if let Some(learned) = &mut still.learned {
        (learned.rate_per_replica, learned.saturated, learned.start_seconds) = (None, None, None);
    }
    for stuck in &mut still.stuck {
        stuck.attempts = 0;
    }
    still
}

#[cfg(test)]
mod tests {
    use penstock_crds::status::{DecisionStatus, LearnedStatus, Phase, StuckStatus};

    use super::*;

    fn before() -> ConsumerPipelineStatus {
        ConsumerPipelineStatus {
            phase: Some(Phase::Running),
            ready: Some("3/3".into()),
            lag: Some(10),
            message: Some("3 replicas: 10 unread".into()),
            decision: Some(DecisionStatus { replicas: 3, arrival_rate: Some(1.0), ..DecisionStatus::default() }),
            learned: Some(LearnedStatus { template_hash: "a".into(), ..LearnedStatus::default() }),
            stuck: vec![StuckStatus { topic: "t".into(), offset: 7, attempts: 1, ..StuckStatus::default() }],
            ..ConsumerPipelineStatus::default()
        }
    }

    #[track_caller]
    fn edit(expected: Change, edit: impl Fn(&mut ConsumerPipelineStatus)) {
        let mut after = before();
        edit(&mut after);
        assert_eq!(changed(&before(), &after), expected);
    }

    #[test]
    fn numbers_that_move_by_themselves_may_wait() {
        edit(Change::None, |_| ());
        edit(Change::NumbersOnly, |status| status.lag = None);
        edit(Change::NumbersOnly, |status| status.behind = Some("4s".into()));
        edit(Change::NumbersOnly, |status| status.message = Some("3 replicas: 12 unread".into()));
        edit(Change::NumbersOnly, |status| status.decision.as_mut().unwrap().utilization = Some(0.5));
        edit(Change::NumbersOnly, |status| status.learned.as_mut().unwrap().rate_per_replica = Some(9.0));
        edit(Change::NumbersOnly, |status| status.stuck[0].attempts = 2);
    }

    #[test]
    fn all_else_is_written_at_once() {
        edit(Change::Meaning, |status| status.phase = Some(Phase::CatchingUp));
        edit(Change::Meaning, |status| status.ready = Some("2/3".into()));
        edit(Change::Meaning, |status| status.partitions = Some(24));
        edit(Change::Meaning, |status| status.decision.as_mut().unwrap().replicas = 4);
        edit(Change::Meaning, |status| status.decision.as_mut().unwrap().limited_by = Some("MaxReplicas".into()));
        edit(Change::Meaning, |status| status.learned.as_mut().unwrap().template_hash = "b".into());
        edit(Change::Meaning, |status| status.stuck[0].offset = 8);
        edit(Change::Meaning, |status| status.stuck.clear());
        edit(Change::Meaning, |status| status.observed_generation = Some(2));
    }
}
