//! What librdkafka 2.12.1 tells nobody but its log.
//!
//! * A broker that does not advertise KIP-848's heartbeat: the client asks for the coordinator for ever, and raises no error
//!   (rdkafka_request.c, rd_kafka_ConsumerGroupHeartbeatRequest).
//! * Which requests a broker knows: no function returns that.
//! * A topic that was deleted and re-created: the client goes on at the offset where it stood in the old one (rdkafka_topic.c,
//!   rd_kafka_topic_metadata_update: "FIXME: an offset reset must be triggered"). It fetches by topic id, so its log tells before the
//!   first record of the new topic comes.
//!
//! So the debug contexts in question are switched on and their lines read. A test against the mock cluster fails when a
//! newer librdkafka words them differently.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Mutex, PoisonError};

use crate::wake::Waker;

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
    waker: Waker,
}

impl Overheard {
    pub(crate) fn new(waker: Waker) -> Self {
        let (protocol_missing, protocol_offered) = (AtomicBool::new(false), AtomicBool::new(false));
        let (any_recreated, recreated) = (AtomicBool::new(false), Mutex::default());
        Self { protocol_missing, protocol_offered, any_recreated, recreated, waker }
    }

    pub(crate) fn line(&self, facility: &str, line: &str) {
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
        if facility == "APIVERSION" && offers_heartbeat(line) {
            self.protocol_offered.store(true, SeqCst);
        }
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
    fn only_version_one_counts() {
        let line =
            |versions| format!("[thrd:main]: localhost:1/1:   ApiKey ConsumerGroupHeartbeat (68) Versions {versions}");
        assert!(offers_heartbeat(&line("0..1")) && offers_heartbeat(&line("1..2")));
        assert!(!offers_heartbeat(&line("0..0")));
        assert!(!offers_heartbeat("ApiKey ConsumerGroupDescribe (69) Versions 0..1"));
    }
}
