//! Partitions that have records and deliver none.
//!
//! librdkafka's consumers can fall silent: a queue that is forwarded to nobody after a rebalance (rust-rdkafka #535), a fetcher that
//! stops after a leader change (#638, #665, #840), and everybody else's too (parallel-consumer #857). Whatever the cause, it shows in
//! the same way: the log goes on above the position, there is credit, and nothing comes. [`Watch`] notices and says what to do about
//! it, a little more each time; the rest of this file does it.

use std::time::Duration;

use penstock_engine::Instant;
use penstock_engine::seam::Tp;
use penstock_kafka::consumer::StartAt;
use penstock_kafka::{ErrorCode, KafkaError};

use super::Shell;
use crate::kafka::KafkaIo;
use crate::processor::Calls;

/// Silence below the high watermark that is looked into; doubles with each cure that did not help. A fetch that is merely slow fails within
/// librdkafka's `fetch.wait.max.ms` and `socket.timeout.ms` (30 s), or brings something.
const SILENT: Duration = Duration::from_secs(30);
/// So often it doubles, to an hour. Nothing comes of an aborted transaction either, nor does the position move, while it is read; and as
/// each cure begins it again, one that takes longer to read would never be over.
const DOUBLINGS_MAX: u32 = 7;
/// Silence that is looked into though no high watermark says that something is missing: a fetcher that stopped would not learn of it.
const UNSEEN: Duration = Duration::from_secs(300);
/// How often partitions are watched.
const WATCH_EVERY: Duration = Duration::from_secs(1);
/// So many times a partition is given up and taken again before the whole consumer is made anew, at the cost of a rebalance.
const REASSIGNMENTS: u32 = 2;

/// What is done about a silent partition, the mildest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cure {
    /// Give it up and take it again where it stood, with a queue split anew.
    Reassign,
    /// Make another consumer.
    Rebuild,
}

/// What is seen of a partition.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    /// The offset to come next.
    pub(super) position: i64,
    /// The high watermark as last fetched.
    pub(super) high: Option<i64>,
    /// It is read, has credit, and nothing else explains that it delivers nothing.
    pub(super) expected: bool,
}

/// The watch over one partition.
#[derive(Clone, Copy, Debug)]
pub(super) struct Watch {
    position: i64,
    since: Instant,
    /// Where it was cured last, and how often: until something is delivered from beyond, whoever reads it meanwhile, and from where.
    cured: (i64, u32),
    /// The broker was asked where the log ends.
    asked: bool,
}

impl Watch {
    /// Begins at a position.
    pub(super) fn at(position: i64, now: Instant) -> Self {
        Self { position, since: now, cured: (position, 0), asked: false }
    }

    /// Begins anew, there.
    pub(super) fn again(&mut self, position: i64, now: Instant) {
        let cured = if position > self.cured.0 { (position, 0) } else { self.cured };
        *self = Self { cured, ..Self::at(position, now) };
    }

    /// Cures where it stands.
    fn cures(&self) -> u32 {
        let (position, cures) = self.cured;
        if position == self.position { cures } else { 0 }
    }

    /// Takes note; true when it has been silent for too long. The broker is to be asked then where the log ends for a reader of its
    /// isolation: above the end of a transaction that is still open, silence is right.
    pub(super) fn see(&mut self, seen: Seen, now: Instant) -> bool {
        if seen.position != self.position || !seen.expected {
            self.again(seen.position, now);
            return false;
        }
        let behind = seen.high.is_some_and(|high| high > seen.position);
        let patience = if behind { SILENT * (1 << self.cures().min(DOUBLINGS_MAX)) } else { UNSEEN };
        let silent = !self.asked && now.since(self.since) >= patience;
        self.asked |= silent;
        silent
    }

    /// It told why it delivers nothing, which is not to be cured here.
    pub(super) fn heard(&mut self, now: Instant) {
        self.again(self.position, now);
    }

    /// The broker's answer: the end of what can be read, or nothing where it did not say.
    pub(super) fn answered(&mut self, end: Option<i64>, now: Instant) -> Option<Cure> {
        if !std::mem::take(&mut self.asked) {
            return None; // something was delivered since
        }
        self.since = now;
        if end.is_none_or(|end| end <= self.position) {
            return None;
        }
        let cures = self.cures() + 1;
        self.cured = (self.position, cures);
        Some(if cures <= REASSIGNMENTS { Cure::Reassign } else { Cure::Rebuild })
    }
}

impl<K: KafkaIo, C: Calls> Shell<K, C> {
    /// Looks for silent partitions now and then; true if there was one.
    pub(super) fn watch(&mut self, now: Instant) -> bool {
        let mut found = false;
        if now < self.watch_at {
            return found;
        }
        self.watch_at = now + WATCH_EVERY;
        // While a rebalance waits for its answer, librdkafka delivers nothing of any partition.
        let calm = !self.assignments.is_rebalancing() && !self.is_draining();
        if calm && self.mislaid.is_due(now) {
            self.io.find_given(self.assignments.seq());
        }
        for index in 0..self.partitions.len() {
            self.ask_again_for_ends(index, now);
            let Some(partition) = self.partitions.reading_at(index) else { continue };
            let Some(position) = self.io.position(&partition.name) else { continue };
            let high = self.io.high_watermark(&partition.name);
            let expected = calm && partition.may_be_read();
            if partition.watch.see(Seen { position, high, expected }, now) {
                self.look_into(index, now);
                found = true;
            }
        }
        found
    }

    /// A signal may have been lost: looks without one, and asks the broker if there is nothing.
    fn look_into(&mut self, index: usize, now: Instant) {
        let received = self.metrics.records_received.get();
        self.fetch(index, true, now);
        if self.metrics.records_received.get() > received {
            return self.count_recovery("look", index);
        }
        if let Some(partition) = self.partitions.reading_at(index) {
            self.io.find_readable_end(&partition.name, partition.seq);
        }
    }

    fn count_recovery(&mut self, by: &str, index: usize) {
        self.metrics.stall_recoveries.with_label_values(&[by]).inc();
        if let Some(partition) = self.partitions.reading_at(index) {
            tracing::warn!(partition = %partition.name, by, "delivered nothing although records were there");
        }
    }

    /// Where the log of a silent partition ends.
    pub(super) fn readable_end(&mut self, tp: Tp, seq: u64, end: Result<i64, String>, now: Instant) {
        let index = tp.0 as usize;
        let Some(partition) = self.partitions.reading_at(index).filter(|partition| partition.seq == seq) else {
            return;
        };
        if let Err(error) = &end {
            tracing::warn!(partition = %partition.name, error, "where the log of a silent partition ends is not known");
        }
        let Some(position) = self.io.position(&partition.name).filter(|position| *position == partition.watch.position)
        else {
            return; // the next look takes note
        };
        if self.assignments.is_rebalancing() {
            // Silence is right, and to take a partition again would answer a revocation: begin anew.
            partition.watch.again(position, now);
            return;
        }
        let (cure, name) = (partition.watch.answered(end.ok(), now), partition.name.clone());
        match cure {
            None => {}
            Some(Cure::Reassign) => {
                self.count_recovery("reassign", index);
                let start = StartAt { partition: name, offset: position, leader_epoch: None };
                if let Err(error) = self.io.seek(&start) {
                    self.consumer_failed(&error, now);
                }
            }
            Some(Cure::Rebuild) => {
                self.count_recovery("rebuild", index);
                let text = format!("partition {name} stays silent at offset {position}");
                self.consumer_failed(&KafkaError { code: ErrorCode::STATE, text, fatal: true }, now);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seen(position: i64, high: i64) -> Seen {
        Seen { position, high: Some(high), expected: true }
    }

    fn at(seconds: u64) -> Instant {
        Instant::from_millis(seconds * 1000)
    }

    #[test]
    fn silence_below_the_watermark_is_looked_into_once_and_cured_ever_more_thoroughly() {
        let mut watch = Watch::at(5, at(0));
        let mut cures = Vec::new();
        for second in 0..1000 {
            if watch.see(seen(5, 9), at(second)) {
                assert!(!watch.see(seen(5, 9), at(second)), "the broker is asked once");
                cures.push((second, watch.answered(Some(9), at(second)).unwrap()));
            }
        }
        let expected = [(30, Cure::Reassign), (90, Cure::Reassign), (210, Cure::Rebuild), (450, Cure::Rebuild)];
        assert_eq!(cures, [&expected[..], &[(930, Cure::Rebuild)]].concat());
    }

    #[test]
    fn an_aborted_transaction_of_any_length_is_read_through() {
        let (mut watch, mut begun, reading) = (Watch::at(5, at(0)), 0, 1000);
        let through = (0..20_000).find(|second| {
            if watch.see(seen(5, 9), at(*second)) && watch.answered(Some(9), at(*second)).is_some() {
                watch.again(3, at(*second)); // by another consumer, from what is not done yet
                assert!(!watch.see(seen(3, 9), at(*second)) && !watch.see(seen(5, 9), at(*second)));
                begun = *second;
            }
            if second % 500 == 0 && begun < *second {
                let held = Seen { expected: false, ..seen(5, 9) }; // by a rebalance
                assert!(!watch.see(held, at(*second)));
            }
            second - begun >= reading
        });
        assert!(through.is_some_and(|second| second < 5_000), "{through:?}");
        assert!(!watch.see(seen(7, 9), at(30_000)));
        assert!(watch.see(seen(7, 9), at(30_030)), "beyond it is as watchful as ever");
    }

    #[test]
    fn whoever_delivers_or_is_not_expected_to_is_left_alone() {
        let mut watch = Watch::at(0, at(0));
        assert!((0..1000_i64).all(|second| !watch.see(seen(second / 20, 2000), at(second.cast_unsigned()))));
        let held = Seen { expected: false, ..seen(50, 2000) };
        assert!((1000..2000).all(|second| !watch.see(held, at(second))));
        assert!(!watch.see(seen(50, 2000), at(2028)));
        assert!(watch.see(seen(50, 2000), at(2029)), "and is watched again from then on");
    }

    #[test]
    fn whoever_says_what_is_wrong_is_not_silent() {
        let mut watch = Watch::at(5, at(0));
        for second in 0..100 {
            assert!(!watch.see(seen(5, 9), at(second)));
            watch.heard(at(second));
        }
        assert!(!watch.see(seen(5, 9), at(128)));
        assert!(watch.see(seen(5, 9), at(129)));
    }

    #[test]
    fn nothing_is_done_where_the_broker_has_nothing_to_read_or_does_not_answer() {
        let mut watch = Watch::at(5, at(0));
        let mut asked = 0;
        for second in 0..300 {
            if watch.see(seen(5, 9), at(second)) {
                asked += 1;
                // A transaction is open from 5 on; now and then nobody answers.
                assert_eq!(watch.answered((second % 4 != 0).then_some(5), at(second)), None);
            }
        }
        assert_eq!(asked, 9, "every half minute, without a cure to lengthen it");
    }

    #[test]
    fn silence_is_looked_into_in_the_end_though_nothing_seems_to_be_missing() {
        let mut watch = Watch::at(5, at(0));
        let first = (0..1000).find(|second| watch.see(seen(5, 5), at(*second)));
        assert_eq!(first, Some(300));
    }

    #[test]
    fn an_answer_that_comes_after_a_delivery_cures_nothing() {
        let mut watch = Watch::at(5, at(0));
        assert!(watch.see(seen(5, 9), at(30)));
        assert!(!watch.see(seen(6, 9), at(31)));
        assert_eq!(watch.answered(Some(9), at(32)), None);
    }
}
