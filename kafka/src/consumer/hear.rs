//! What librdkafka's events say.

use std::collections::HashSet;
use std::sync::Arc;

use rdkafka_sys::bindings as sys;

use super::{CommitReply, ConsumerEvent, Rebalance, RebalanceKind};
use crate::error::{ErrorCode, KafkaError};
use crate::native::client::Client;
use crate::native::event::Event;
use crate::record::TopicPartition;

/// librdkafka's codes for the two kinds of rebalance.
const ASSIGN_PARTITIONS: ErrorCode = ErrorCode(-175);
const REVOKE_PARTITIONS: ErrorCode = ErrorCode(-174);

/// What came of an event.
pub(super) enum Heard {
    Event(ConsumerEvent),
    /// Something that concerns nobody.
    Nothing,
}

/// Reads an event of librdkafka's.
pub(super) fn hear(event: &Event<'_>, client: &Client, topics: &mut HashSet<Arc<str>>, rebalances: &mut u64) -> Heard {
    let mut intern = |topic: &str, partition: i32| intern(topics, topic, partition);
    let event = match event.kind() {
        sys::RD_KAFKA_EVENT_REBALANCE => {
            let kind = match event.code() {
                ASSIGN_PARTITIONS => RebalanceKind::Assign,
                REVOKE_PARTITIONS => RebalanceKind::Revoke,
                code => {
                    // Documented as possible, never seen: start over.
                    return Heard::Event(ConsumerEvent::Error(
                        client.unassign_all().err().unwrap_or_else(|| KafkaError::of(code)),
                    ));
                }
            };
            *rebalances += 1;
            ConsumerEvent::Rebalance(Rebalance {
                kind,
                partitions: event.partitions().map(|entry| intern(entry.topic(), entry.partition())).collect(),
                assignment_lost: client.assignment_lost(),
                seq: *rebalances,
            })
        }
        sys::RD_KAFKA_EVENT_OFFSET_COMMIT => ConsumerEvent::Committed(commit_reply(event, intern)),
        sys::RD_KAFKA_EVENT_ERROR => match (event.error(), event.partition()) {
            (Some(error), Some((topic, partition))) => ConsumerEvent::PartitionError(intern(&topic, partition), error),
            (Some(error), None) => ConsumerEvent::Error(error),
            (None, _) => return Heard::Nothing,
        },
        _ => return Heard::Nothing,
    };
    Heard::Event(event)
}

fn commit_reply(event: &Event<'_>, mut intern: impl FnMut(&str, i32) -> TopicPartition) -> CommitReply {
    let error = event.error();
    let whole = error.as_ref().map(|error| error.code);
    let partitions = event.partitions().map(|entry| {
        // A request that failed as a whole leaves its partitions without a code of their own.
        let result = entry.result().and_then(|()| whole.map_or(Ok(()), Err));
        (intern(entry.topic(), entry.partition()), entry.offset().unwrap_or(-1), result)
    });
    CommitReply { seq: event.opaque(), partitions: partitions.collect(), error }
}

/// One `Arc` for each topic name.
fn intern(topics: &mut HashSet<Arc<str>>, topic: &str, partition: i32) -> TopicPartition {
    let topic = if let Some(topic) = topics.get(topic) {
        Arc::clone(topic)
    } else {
        let topic: Arc<str> = topic.into();
        topics.insert(Arc::clone(&topic));
        topic
    };
    TopicPartition { topic, partition }
}
