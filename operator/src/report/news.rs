//! What became worth an Event between two statuses. Pure.

use penstock_blueprint::conditions::{ACCEPTED, AVAILABLE, DELIVERING, KAFKA_REACHABLE, READY, SCALING};
use penstock_blueprint::{EventType, Reason, Trouble};
use penstock_crds::ConsumerPipelineStatus;
use penstock_crds::status::Phase;

/// Conditions that are told of, the one that a reason belongs to before those that only pass it on.
const TOLD: [&str; 6] = [ACCEPTED, KAFKA_REACHABLE, AVAILABLE, SCALING, DELIVERING, READY];

/// What happened, each reason once.
pub fn news(old: &ConsumerPipelineStatus, new: &ConsumerPipelineStatus) -> Vec<Trouble> {
    let mut news: Vec<Trouble> = Vec::new();
    let find = |status: &'_ ConsumerPipelineStatus, type_: &str| {
        status.conditions.iter().find(|condition| condition.type_ == type_).cloned()
    };
    for type_ in TOLD {
        let (before, Some(now)) = (find(old, type_), find(new, type_)) else { continue };
        let Some(reason) = reason(&now.reason) else { continue };
        let was = |status: &str| before.as_ref().is_some_and(|before| before.status == status);
        let same = was(&now.status) && before.as_ref().is_some_and(|before| before.reason == now.reason);
        let failed = now.status == "False" && reason.event_type() == EventType::Warning;
        let recovered = now.status == "True" && was("False");
        if !same && (failed || recovered) && news.iter().all(|one| one.reason != reason) {
            news.push(Trouble { reason, message: now.message });
        }
    }
    news.extend(phases(old, new));
    news
}

fn phases(old: &ConsumerPipelineStatus, new: &ConsumerPipelineStatus) -> Option<Trouble> {
    let reason = match (old.phase, new.phase) {
        (Some(Phase::Paused), Some(now)) if now != Phase::Paused => Reason::Resumed,
        (before, Some(Phase::Paused)) if before != Some(Phase::Paused) => Reason::Paused,
        (before, Some(Phase::WaitingForGroup)) if before != Some(Phase::WaitingForGroup) => Reason::WaitingForGroup,
        _ => return None,
    };
    let message = new.message.clone().unwrap_or_else(|| reason.meaning().to_owned());
    Some(Trouble { reason, message })
}

/// The scaler's own reasons, such as `Steady`, are no Events.
fn reason(word: &str) -> Option<Reason> {
    Reason::ALL.iter().copied().find(|reason| reason.as_str() == word)
}

/// Replicas that changed by this reconcile. The decision's own words have both numbers; without a decision there is only that.
pub fn scaled(before: Option<i32>, after: Option<i32>, explanation: &str) -> Option<Trouble> {
    let (before, after) = (before?, after?);
    let reason = match after.cmp(&before) {
        std::cmp::Ordering::Greater => Reason::ScaledUp,
        std::cmp::Ordering::Less => Reason::ScaledDown,
        std::cmp::Ordering::Equal => return None,
    };
    let message =
        if explanation.is_empty() { format!("From {before} to {after} replicas.") } else { explanation.to_owned() };
    Some(Trouble { reason, message })
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

    use super::*;

    fn status(conditions: &[(&str, &str, Reason)]) -> ConsumerPipelineStatus {
        let conditions = conditions
            .iter()
            .map(|(type_, status, reason)| Condition {
                type_: (*type_).to_owned(),
                status: (*status).to_owned(),
                reason: reason.as_str().to_owned(),
                message: "words".to_owned(),
                last_transition_time: Time(jiff::Timestamp::UNIX_EPOCH),
                observed_generation: Some(1),
            })
            .collect();
        ConsumerPipelineStatus { conditions, ..ConsumerPipelineStatus::default() }
    }

    fn reasons(old: &ConsumerPipelineStatus, new: &ConsumerPipelineStatus) -> Vec<Reason> {
        news(old, new).into_iter().map(|one| one.reason).collect()
    }

    #[test]
    fn trouble_is_told_once_for_all_conditions_that_it_turns() {
        let broken =
            status(&[(KAFKA_REACHABLE, "False", Reason::KafkaUnreachable), (READY, "False", Reason::KafkaUnreachable)]);
        assert_eq!(reasons(&status(&[]), &broken), [Reason::KafkaUnreachable]);
        assert_eq!(reasons(&broken, &broken), []);
        let mended = status(&[(KAFKA_REACHABLE, "True", Reason::KafkaReachable), (READY, "True", Reason::Ready)]);
        assert_eq!(reasons(&broken, &mended), [Reason::KafkaReachable, Reason::Ready]);
    }

    #[test]
    fn a_first_good_status_is_no_news() {
        assert_eq!(reasons(&status(&[]), &status(&[(READY, "True", Reason::Ready)])), []);
    }

    #[test]
    fn scaling_is_told_in_the_words_of_the_decision() {
        assert_eq!(scaled(Some(2), Some(2), "Why."), None);
        assert_eq!(scaled(None, Some(2), "Why."), None);
        let up = scaled(Some(1), Some(12), "Why.").unwrap();
        assert_eq!((up.reason, up.message.as_str()), (Reason::ScaledUp, "Why."));
        let down = scaled(Some(3), Some(0), "").unwrap();
        assert_eq!((down.reason, down.message.as_str()), (Reason::ScaledDown, "From 3 to 0 replicas."));
    }
}
