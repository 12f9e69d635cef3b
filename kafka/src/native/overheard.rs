//! What librdkafka 2.12.1 tells nobody but its log.
//!
//! * A broker that does not advertise KIP-848's heartbeat: the client asks for the coordinator for ever, and raises no error
//!   (rdkafka_request.c, rd_kafka_ConsumerGroupHeartbeatRequest).
//! * Which requests a broker knows: no function returns that.
//! * A topic that was deleted and re-created: the client goes on at the offset where it stood in the old one (rdkafka_topic.c,
//!   rd_kafka_topic_metadata_update: "FIXME: an offset reset must be triggered"). It fetches by topic id, so its log tells before the
//!   first record of the new topic comes.
//!
//! * A request to the coordinator that was not answered in time. With KIP-848 a heartbeat's answer may hold an assignment, which is lost
//!   then: the client repeats the request as it was, where the protocol wants a full one, and to any other the coordinator does not
//!   repeat what it has told already (rdkafka_cgrp.c, rd_kafka_cgrp_handle_ConsumerGroupHeartbeat: `SEND_FULL_REQUEST` only after a broken
//!   connection; Kafka 4.2, GroupMetadataManager.consumerGroupHeartbeat: `isFullRequest`).
//!
//! * That it has no broker any more, see [`super::brokers`].
//!
//! So the debug contexts in question are switched on and their lines read. A test against the mock cluster fails when a
//! newer librdkafka words them differently.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Mutex, PoisonError};

use super::brokers::Brokers;
use crate::wake::Waker;

/// The debug context that tells of connections.
pub(crate) const BROKERS: &str = "broker";
/// The debug context that says why a coordinator is given up.
pub(crate) const GROUP: &str = "cgrp";
/// The debug context that tells of topics.
pub(crate) const TOPICS: &str = "metadata";
/// A topic that has no id yet, in the form of Kafka's tools.
const NO_ID: &str = "AAAAAAAAAAAAAAAAAAAAAA";
/// The debug context that lists what a broker knows.
pub(crate) const FEATURES: &str = "feature";

/// Set from librdkafka's threads, read by ours.
#[derive(Debug)]
pub(crate) struct Overheard {
    protocol_missing: AtomicBool,
    protocol_offered: AtomicBool,
    any_recreated: AtomicBool,
    recreated: Mutex<Vec<String>>,
    answer_lost: AtomicBool,
    brokers: Brokers,
    waker: Waker,
}

impl Overheard {
    pub(crate) fn new(waker: Waker) -> Self {
        let (protocol_missing, protocol_offered) = (AtomicBool::new(false), AtomicBool::new(false));
        let (any_recreated, recreated) = (AtomicBool::new(false), Mutex::default());
        let (answer_lost, brokers) = (AtomicBool::new(false), Brokers::default());
        Self { protocol_missing, protocol_offered, any_recreated, recreated, answer_lost, brokers, waker }
    }

    pub(crate) fn line(&self, facility: &str, line: &str) {
        if facility == "STATE" {
            self.brokers.line(line);
        }
        if facility == "COORD" && line.contains("ConsumerGroupHeartbeatRequest not supported by broker") {
            self.protocol_missing.store(true, SeqCst);
            self.waker.wake();
        }
        if facility == "METADATA"
            && let Some(topic) = recreated(line)
        {
            self.recreated.lock().unwrap_or_else(PoisonError::into_inner).push(topic.to_owned());
            self.any_recreated.store(true, SeqCst);
            self.waker.wake();
        }
        if facility == "REQTMOUT" && coordinator_timed_out(line) {
            self.answer_lost.store(true, SeqCst);
            self.waker.wake();
        }
        if facility == "APIVERSION" && offers_heartbeat(line) {
            self.protocol_offered.store(true, SeqCst);
        }
    }

    /// The connections to brokers.
    pub(crate) fn brokers(&self) -> &Brokers {
        &self.brokers
    }

    /// The coordinator does not know the protocol that this client's group is to use.
    pub(crate) fn protocol_missing(&self) -> bool {
        self.protocol_missing.load(SeqCst)
    }

    /// As [`protocol_missing`](Self::protocol_missing), told once.
    pub(crate) fn take_protocol_missing(&self) -> bool {
        self.protocol_missing.swap(false, SeqCst)
    }

    /// There are topics that were re-created, not told yet.
    pub(crate) fn any_recreated(&self) -> bool {
        self.any_recreated.load(SeqCst)
    }

    /// Topics that were re-created, each told once.
    pub(crate) fn take_recreated(&self) -> Vec<String> {
        if !self.any_recreated.swap(false, SeqCst) {
            return Vec::new();
        }
        std::mem::take(&mut self.recreated.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A request to the coordinator was not answered in time, not told yet.
    pub(crate) fn any_answer_lost(&self) -> bool {
        self.answer_lost.load(SeqCst)
    }

    /// As [`any_answer_lost`](Self::any_answer_lost), told once.
    pub(crate) fn take_answer_lost(&self) -> bool {
        self.answer_lost.swap(false, SeqCst)
    }

    /// A broker of this client offers the protocol, in the version that librdkafka speaks.
    pub(crate) fn protocol_offered(&self) -> bool {
        self.protocol_offered.load(SeqCst)
    }
}

/// `[thrd:main]: Topic orders changed id from IadO0ORhQ62QN_9EKzaTIg to …`, but for the first id that is heard of.
fn recreated(line: &str) -> Option<&str> {
    let (before, after) = line.split_once(" changed id from ")?;
    let topic = before.rsplit(' ').next()?;
    (!after.starts_with(NO_ID)).then_some(topic)
}

/// `[thrd:GroupCoordinator]: GroupCoordinator/1: Timed out 1 in-flight, 0 retry-queued, …`: those that were never sent have no answer.
fn coordinator_timed_out(line: &str) -> bool {
    let Some((of, what)) = line.split_once(": Timed out ") else { return false };
    of.contains("GroupCoordinator") && what.contains(" in-flight, ") && !what.starts_with("0 ")
}

/// `… ApiKey ConsumerGroupHeartbeat (68) Versions 0..1`: librdkafka needs version 1, which is Kafka 4.0.
fn offers_heartbeat(line: &str) -> bool {
    let Some((_, versions)) = line.split_once("(68) Versions ") else { return false };
    let newest = versions.rsplit("..").next().and_then(|version| version.trim().parse::<i16>().ok());
    newest.is_some_and(|newest| newest >= 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_recreated_when_it_had_an_id_before() {
        let line = |from| format!("[thrd:main]: Topic orders.eu changed id from {from} to zCyQ6jFrQ1yXf3nMUV0Ztg");
        assert_eq!(recreated(&line("IadO0ORhQ62QN_9EKzaTIg")), Some("orders.eu"));
        assert_eq!(recreated(&line(NO_ID)), None);
        assert_eq!(recreated("[thrd:main]: Topic orders [0] leader 1"), None);
    }

    #[test]
    fn an_answer_is_lost_when_a_request_to_the_coordinator_timed_out_in_flight() {
        let line = |of, what| format!("[thrd:{of}]: {of}/1: Timed out {what}, 0 partially-sent requests");
        assert!(coordinator_timed_out(&line("GroupCoordinator", "1 in-flight, 0 retry-queued, 0 out-queue")));
        assert!(!coordinator_timed_out(&line("GroupCoordinator", "0 in-flight, 0 retry-queued, 1 out-queue")));
        assert!(!coordinator_timed_out(&line("localhost:9092", "1 in-flight, 0 retry-queued, 0 out-queue")));
        assert!(!coordinator_timed_out(
            "[thrd:GroupCoordinator]: GroupCoordinator/1: Timed out HeartbeatRequest in flight"
        ));
    }

    #[test]
    fn only_version_one_counts() {
        let line =
            |versions| format!("[thrd:main]: localhost:1/1:   ApiKey ConsumerGroupHeartbeat (68) Versions {versions}");
        assert!(offers_heartbeat(&line("0..1")) && offers_heartbeat(&line("1..2")));
        assert!(!offers_heartbeat(&line("0..0")));
        assert!(!offers_heartbeat("ApiKey ConsumerGroupDescribe (69) Versions 0..1"));
    }
}
