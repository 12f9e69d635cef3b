//! `delivery.retry.delayTopics`.

use std::time::Duration;

use super::check::Check;
use crate::names;
use crate::pipeline::{DelayTopic, Delivery, Retry, Source};
use crate::spec::Ordering;

/// Delays. Shorter ones are what waiting in the worker is for; after a week, Kafka's usual retention takes the record it came from.
const DELAY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_hours(168));
/// Each is a topic with the partitions of the largest source.
const TOPICS_MAX: usize = 8;

pub(super) fn delay_topics(
    delays: &[crate::Duration],
    retry: &Retry,
    ordering: Ordering,
    source: &Source,
    check: &mut Check,
) -> Vec<DelayTopic> {
    let path = "spec.delivery.retry.delayTopics";
    if delays.is_empty() {
        return Vec::new();
    }
    if ordering != Ordering::Unordered {
        let message = "needs delivery.ordering Unordered, for a record that waits in another topic is overtaken; choose that, or remove it";
        check.wrong(path, message);
    }
    if delays.len() > TOPICS_MAX {
        check.wrong(path, format!("has {} entries; 1 to {TOPICS_MAX} are possible", delays.len()));
    }
    if delays.len() >= retry.max_attempts as usize {
        let (entries, attempts) = (delays.len(), retry.max_attempts);
        let message = format!(
            "has {entries} entries, and with retry.maxAttempts {attempts} the last are never used; remove those"
        );
        check.wrong(path, message);
    }
    if delays.array_windows().any(|[one, next]| one >= next) {
        check.wrong(path, "does not rise from one to the next; sort it, and name each delay once");
    }
    let topics: Vec<DelayTopic> = delays
        .iter()
        .map(|delay| DelayTopic {
            topic: names::delay_topic(&source.group_id, *delay),
            delay: check.span(path, delay.get(), DELAY.0, DELAY.1),
        })
        .collect();
    for DelayTopic { topic, delay } in &topics {
        check.topic(path, topic);
        check.not_a_source(path, topic, source);
        if retry.max_age.is_some_and(|age| *delay > age) {
            check
                .wrong(path, format!("has {delay:?}, which is longer than retry.maxAge; remove it or raise the other"));
        }
    }
    topics
}

/// Other things that the pipeline writes go elsewhere, or it would take them for records that wait.
pub(super) fn apart(delivery: &Delivery, output: Option<&str>, check: &mut Check) {
    let dead_letter = delivery.dead_letter.as_ref().map(|dead_letter| dead_letter.topic.as_str());
    for (path, topic) in [("spec.delivery.deadLetter.topic", dead_letter), ("spec.output.topic", output)] {
        if let Some(one) = delivery.retry.delay_topics.iter().find(|one| topic == Some(one.topic.as_str())) {
            check.wrong(path, format!("{} is the pipeline's own delay topic; choose another", one.topic));
        }
    }
}
