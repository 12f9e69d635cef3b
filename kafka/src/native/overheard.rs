//! What librdkafka 2.12.1 tells nobody but its log.
//!
//! * A broker that does not advertise KIP-848's heartbeat: the client asks for the coordinator for ever, and raises no error
//!   (rdkafka_request.c, rd_kafka_ConsumerGroupHeartbeatRequest).
//! * Which requests a broker knows: no function returns that.
//!
//! So the two debug contexts in question are switched on and their lines read. A test against the mock cluster fails when a
//! newer librdkafka words them differently.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use crate::wake::Waker;

/// The debug context that says why a coordinator is given up.
pub(crate) const GROUP: &str = "cgrp";
/// The debug context that lists what a broker knows.
pub(crate) const FEATURES: &str = "feature";

/// Set from librdkafka's threads, read by ours.
#[derive(Debug)]
pub(crate) struct Overheard {
    protocol_missing: AtomicBool,
    protocol_offered: AtomicBool,
    waker: Waker,
}

impl Overheard {
    pub(crate) fn new(waker: Waker) -> Self {
        Self { protocol_missing: AtomicBool::new(false), protocol_offered: AtomicBool::new(false), waker }
    }

    pub(crate) fn line(&self, facility: &str, line: &str) {
        if facility == "COORD" && line.contains("ConsumerGroupHeartbeatRequest not supported by broker") {
            self.protocol_missing.store(true, SeqCst);
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

    /// A broker of this client offers the protocol, in the version that librdkafka speaks.
    pub(crate) fn protocol_offered(&self) -> bool {
        self.protocol_offered.load(SeqCst)
    }
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
    fn only_version_one_counts() {
        let line =
            |versions| format!("[thrd:main]: localhost:1/1:   ApiKey ConsumerGroupHeartbeat (68) Versions {versions}");
        assert!(offers_heartbeat(&line("0..1")) && offers_heartbeat(&line("1..2")));
        assert!(!offers_heartbeat(&line("0..0")));
        assert!(!offers_heartbeat("ApiKey ConsumerGroupDescribe (69) Versions 0..1"));
    }
}
