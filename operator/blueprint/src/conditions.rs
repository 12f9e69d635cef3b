//! `metav1.Condition` as conventions want it: observed generation on each, transition time only on a flip, the same bytes for the same
//! truth.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;

/// Type: all is as the spec says, and records are delivered.
pub const READY: &str = "Ready";
/// Type: the spec can be carried out.
pub const ACCEPTED: &str = "Accepted";
/// Type: Kafka answers, and lets us do what is needed.
pub const KAFKA_REACHABLE: &str = "KafkaReachable";
/// Type: at least one worker is ready, or none is wanted.
pub const AVAILABLE: &str = "Available";
/// Type: replicas are decided on from knowledge.
pub const SCALING: &str = "Scaling";
/// Type: nothing keeps records from being delivered.
pub const DELIVERING: &str = "Delivering";
/// kstatus type: the cluster is on its way to the spec.
pub const RECONCILING: &str = "Reconciling";
/// kstatus type: it will not get there without help.
pub const STALLED: &str = "Stalled";

/// Longest message, in bytes. The API allows 32,768; a terminal shows far less.
pub const MESSAGE_MAX: usize = 1024;

/// Status of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It is so.
    True,
    /// It is not so.
    False,
    /// Nobody knows.
    Unknown,
}

impl Status {
    /// The word of the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }

    /// The reverse; any other word is as good as nothing known.
    pub fn from_word(word: &str) -> Self {
        match word {
            "True" => Self::True,
            "False" => Self::False,
            _ => Self::Unknown,
        }
    }
}

/// Sets one condition. The list stays sorted by type, and the transition time moves only when the status does.
///
/// `now` is cut to whole seconds, as the API server would do with it, so that what was written and what is read back are the same.
pub fn set(
    conditions: &mut Vec<Condition>,
    type_: &str,
    status: Status,
    reason: &str,
    message: &str,
    generation: i64,
    now: &Time,
) {
    // Whoever wrote the list before may have had another order, or a type twice.
    conditions.sort_by(|a, b| a.type_.cmp(&b.type_));
    conditions.dedup_by(|a, b| a.type_ == b.type_);
    let found = conditions.binary_search_by(|condition| condition.type_.as_str().cmp(type_));
    let since = match found {
        Ok(at) if conditions[at].status == status.as_str() => conditions[at].last_transition_time.clone(),
        _ => whole_seconds(now),
    };
    let condition = Condition {
        last_transition_time: since,
        message: trimmed(message, MESSAGE_MAX),
        observed_generation: Some(generation),
        reason: reason.to_owned(),
        status: status.as_str().to_owned(),
        type_: type_.to_owned(),
    };
    match found {
        Ok(at) => conditions[at] = condition,
        Err(at) => conditions.insert(at, condition),
    }
}

/// The time without its fraction.
pub(crate) fn whole_seconds(time: &Time) -> Time {
    Time(Timestamp::from_second(time.0.as_second()).unwrap_or(time.0))
}

/// At most `most` bytes, cut between characters and marked where it was cut.
pub(crate) fn trimmed(text: &str, most: usize) -> String {
    let text = text.trim();
    if text.len() <= most {
        return text.to_owned();
    }
    let kept = &text[..text.floor_char_boundary(most.saturating_sub('…'.len_utf8()))];
    format!("{}…", kept.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Time {
        Time(Timestamp::from_second(second).unwrap())
    }

    fn of(conditions: &[Condition], type_: &str) -> Condition {
        conditions.iter().find(|condition| condition.type_ == type_).unwrap().clone()
    }

    #[test]
    fn the_transition_time_moves_only_on_a_flip() {
        let mut list = vec![];
        set(&mut list, READY, Status::False, "Progressing", "0 of 3", 1, &at(10));
        set(&mut list, READY, Status::False, "Unschedulable", "1 of 3", 2, &at(20));
        let same = of(&list, READY);
        assert_eq!((same.last_transition_time, same.observed_generation), (at(10), Some(2)));
        assert_eq!((same.reason.as_str(), same.message.as_str()), ("Unschedulable", "1 of 3"));
        set(&mut list, READY, Status::True, "Ready", "", 2, &at(30));
        assert_eq!(of(&list, READY).last_transition_time, at(30));
    }

    #[test]
    fn the_same_truth_has_the_same_bytes_in_whatever_order_it_is_said() {
        let (mut one, mut other) = (vec![], vec![]);
        for type_ in [READY, ACCEPTED, SCALING] {
            set(&mut one, type_, Status::True, "Ready", "m", 1, &at(5));
        }
        for type_ in [SCALING, READY, ACCEPTED] {
            set(&mut other, type_, Status::True, "Ready", " m\n", 1, &at(5));
            set(&mut other, type_, Status::True, "Ready", "m", 1, &at(9));
        }
        assert_eq!(serde_json::to_string(&one).unwrap(), serde_json::to_string(&other).unwrap());
        assert!(one.is_sorted_by(|a, b| a.type_ < b.type_));
    }

    #[test]
    fn a_list_that_somebody_else_wrote_is_put_in_order() {
        let mut list = vec![];
        set(&mut list, READY, Status::True, "Ready", "", 1, &at(5));
        list.extend(list.clone());
        let mut foreign = list[0].clone();
        foreign.type_ = "Zebra".to_owned();
        list.insert(0, foreign);
        set(&mut list, ACCEPTED, Status::True, "Accepted", "", 1, &at(5));
        assert_eq!(list.iter().map(|c| c.type_.as_str()).collect::<Vec<_>>(), [ACCEPTED, READY, "Zebra"]);
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let mut list = vec![];
        set(&mut list, READY, Status::True, "Ready", &"ü".repeat(MESSAGE_MAX), 1, &at(5));
        let message = of(&list, READY).message;
        assert!(message.len() <= MESSAGE_MAX && message.ends_with("ü…"), "{}", message.len());
    }

    #[test]
    fn fractions_of_a_second_are_cut() {
        let mut list = vec![];
        set(&mut list, READY, Status::True, "Ready", "", 1, &Time(Timestamp::from_millisecond(5_999).unwrap()));
        assert_eq!(of(&list, READY).last_transition_time, at(5));
    }
}
