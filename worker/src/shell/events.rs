//! What happened on Kafka's side, for the engine's ears.

use std::sync::Arc;
use std::time::Duration;

use penstock_engine::seam::{LoadFailed, Loaded, TopicId, Tp};
use penstock_engine::{Event, Instant};
use penstock_kafka::{ErrorCode, KafkaError};

use super::Shell;
use super::partitions::Gone;
use super::refusals::Told;
use crate::contract::request::Origin;
use crate::kafka::{KafkaEvent, KafkaIo, topic_id_text};
use crate::processor::Calls;

/// How long nobody asks again where a log begins and ends.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// A broker that knows a topic made anew by its old id is asked so often before it is believed.
const UNHEARD_MAX: u32 = 5;
/// The same trouble is logged once in this time.
const LOG_AGAIN: Duration = Duration::from_secs(10);

impl<K: KafkaIo, C: Calls> Shell<K, C> {
    pub(super) fn take_kafka_events(&mut self, now: Instant) -> bool {
        let mut worked = false;
        while let Some(event) = self.io.next_event() {
            worked = true;
            self.kafka_event(event, now);
        }
        self.begin_reading(now);
        while self.tell_forwarded(now) {
            worked = true;
        }
        worked
    }

    fn kafka_event(&mut self, event: KafkaEvent, now: Instant) {
        match event {
            KafkaEvent::Rebalance(rebalance) => self.rebalance(&rebalance, now),
            KafkaEvent::Committed(reply) => self.committed(&reply, now),
            KafkaEvent::Loaded { partition, seq, result } => {
                let tp = self.partitions.number(&partition);
                self.loaded(tp, seq, result, now);
            }
            KafkaEvent::Ends { partition, seq, result } => {
                let tp = self.partitions.number(&partition);
                self.ends(tp, seq, result, now);
            }
            KafkaEvent::ReadableEnd { partition, seq, result } => {
                let tp = self.partitions.number(&partition);
                self.readable_end(tp, seq, result, now);
            }
            KafkaEvent::AnswerLost => self.mislaid.heard(now),
            KafkaEvent::Given { seq, result } => self.given(seq, result, now),
            KafkaEvent::Partitions { result: Ok(_), .. } => {}
            KafkaEvent::Partitions { topic, result: Err(error) } => {
                tracing::warn!(topic, error, "how many partitions the topic has is not known: asking again later");
            }
            KafkaEvent::Sent { token, result } => self.sent(token, result, now),
            KafkaEvent::PartitionFailed(partition, error) => {
                let tp = self.partitions.number(&partition);
                self.partition_failed(tp, &error, now);
            }
            KafkaEvent::Trouble(error) => self.trouble(&error, Told::Once, now),
            KafkaEvent::ConsumerFailed(error) => self.consumer_failed(&error, now),
            KafkaEvent::ProducerFailed(error) => self.producer_failed(&error),
        }
    }

    fn loaded(&mut self, tp: Tp, seq: u64, result: Result<Loaded, String>, now: Instant) {
        let partition = self.partitions.get_mut(tp);
        let name = &partition.name;
        match &result {
            Ok(loaded) => {
                let topic_id = topic_id_text(loaded.topic_id);
                let origin = Origin::new(Arc::clone(&name.topic), name.partition, &loaded.cluster_id, &topic_id);
                tracing::info!(partition = %name, offset = loaded.offset, topic_id, "begins");
                partition.origin = Some(Arc::new(origin));
            }
            Err(error) => tracing::warn!(partition = %name, error, "committed offset unknown: asking again"),
        }
        let result = result.map_err(|detail| LoadFailed { detail: detail.into() });
        self.tell(Event::CheckpointLoaded { tp, seq, result }, now);
    }

    pub(super) fn partition_failed(&mut self, tp: Tp, error: &KafkaError, now: Instant) {
        let partition = self.partitions.get_mut(tp);
        if error.code.is_offset_lost() {
            let (made_anew, cut_at) = (error.code == ErrorCode::UNKNOWN_TOPIC_ID, error.truncated_at());
            partition.failed = Some(Gone { made_anew, cut_at, ..Gone::default() });
            let (name, seq) = (partition.name.clone(), partition.seq);
            self.io.find_ends(&name, seq);
        } else {
            partition.watch.heard(now); // it is read again and again, and another consumer would meet the same
            self.trouble(error, Told::Repeatedly, now);
        }
    }

    /// Where the log of a partition begins and ends whose offset is not in it.
    fn ends(&mut self, tp: Tp, seq: u64, result: Result<(i64, i64, TopicId), String>, now: Instant) {
        let partition = self.partitions.get_mut(tp);
        let reading = partition.reading && partition.seq == seq;
        let Some(gone) = partition.failed.as_mut().filter(|_| reading) else { return };
        let name = &partition.name;
        let (start, end, topic_id) = match result {
            Ok(ends) => ends,
            Err(error) => {
                tracing::warn!(partition = %name, error, "the ends of the log could not be read: asking again");
                gone.ask_at = Some(now + ASK_AGAIN);
                return;
            }
        };
        let id = topic_id_text(topic_id);
        let origin = partition.origin.as_ref().map(|origin| origin.in_topic(&id));
        let same = |new: &Origin| partition.origin.as_ref().is_some_and(|old| old.id_prefix == new.id_prefix);
        if gone.made_anew && origin.as_ref().is_some_and(same) {
            if gone.unheard < UNHEARD_MAX {
                (gone.ask_at, gone.unheard) = (Some(now + ASK_AGAIN), gone.unheard + 1);
                return;
            }
            // It was read as what it is now already, and nothing is lost; but this client will not read it on.
            let text = format!("topic {} was made anew before it was read", name.topic);
            return self.consumer_failed(&KafkaError { code: ErrorCode::STATE, text, fatal: true }, now);
        }
        let end = gone.cut_at.map_or(end, |cut| end.min(cut).max(start));
        tracing::warn!(partition = %name, start, end, topic_id = id, "the offset to read from is not in the log");
        partition.origin = origin.map(Arc::new);
        self.tell(Event::OffsetLost { tp, seq, start, end, topic_id }, now);
    }

    /// Asks for the ends of a log once more, when it is time.
    pub(super) fn ask_again_for_ends(&mut self, index: usize, now: Instant) {
        let Some(partition) = self.partitions.reading_at(index) else { return };
        let due = |gone: &mut Gone| gone.ask_at.take_if(|at| *at <= now);
        if partition.failed.as_mut().and_then(due).is_some() {
            self.io.find_ends(&partition.name, partition.seq);
        }
    }

    /// Something that passes by itself, or is a refusal that somebody must lift.
    pub(super) fn trouble(&mut self, error: &KafkaError, told: Told, now: Instant) {
        self.metrics.kafka_errors.with_label_values(&[error.code.name()]).inc();
        self.refusals.heard(error, told, now);
        let last = self.logged.insert(error.code, now);
        if last.is_none_or(|last| now.since(last) >= LOG_AGAIN) {
            tracing::warn!(%error, "kafka");
        } else if let Some(last) = last {
            self.logged.insert(error.code, last);
        }
    }
}
