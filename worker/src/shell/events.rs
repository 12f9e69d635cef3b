//! What happened on Kafka's side, for the engine's ears.

use std::sync::Arc;
use std::time::Duration;

use penstock_engine::seam::{LoadFailed, Loaded, Tp};
use penstock_engine::{Event, Instant};
use penstock_kafka::KafkaError;

use super::Shell;
use super::commits::is_refusal;
use crate::contract::request::Origin;
use crate::kafka::{KafkaEvent, KafkaIo, topic_id_text};
use crate::processor::Calls;

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
                match result {
                    Ok((start, end, topic_id)) => {
                        tracing::warn!(%partition, start, end, "the offset to read from is not in the log");
                        self.tell(Event::OffsetLost { tp, seq, start, end, topic_id }, now);
                    }
                    Err(error) => {
                        tracing::warn!(%partition, error, "the ends of the log could not be read: asking again");
                        self.io.find_ends(&partition, seq);
                    }
                }
            }
            KafkaEvent::ReadableEnd { partition, seq, result } => {
                let tp = self.partitions.number(&partition);
                self.readable_end(tp, seq, result, now);
            }
            KafkaEvent::Sent { token, result } => self.sent(token, result, now),
            KafkaEvent::PartitionFailed(partition, error) => {
                let tp = self.partitions.number(&partition);
                self.partition_failed(tp, &error, now);
            }
            KafkaEvent::Trouble(error) => self.trouble(&error, now),
            KafkaEvent::ConsumerFailed(error) => self.consumer_failed(&error, now),
            KafkaEvent::ProducerFailed(error) => {
                tracing::warn!(%error, "the producer is of no further use: making another one");
                self.metrics.clients_rebuilt.with_label_values(&["producer"]).inc();
                self.io.rebuild_producer();
            }
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
            partition.failed = true;
            let (name, seq) = (partition.name.clone(), partition.seq);
            self.io.find_ends(&name, seq);
        } else {
            self.trouble(error, now);
        }
    }

    /// Something that passes by itself, or is a refusal that somebody must lift.
    pub(super) fn trouble(&mut self, error: &KafkaError, now: Instant) {
        self.metrics.kafka_errors.with_label_values(&[error.code.name()]).inc();
        if is_refusal(error) && self.refused.is_none() {
            self.refused = Some((now, error.clone()));
        }
        let last = self.logged.insert(error.code, now);
        if last.is_none_or(|last| now.since(last) >= LOG_AGAIN) {
            tracing::warn!(%error, "kafka");
        } else if let Some(last) = last {
            self.logged.insert(error.code, last);
        }
    }
}
