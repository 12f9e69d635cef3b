//! What came of the letters of a batch that were sent. Pure.

use std::collections::{BTreeMap, BTreeSet};

use penstock_kafka::producer::ProducerEvent;
use penstock_kafka::{ErrorCode, KafkaError};

use crate::failure::Failure;

/// By the letters' offsets, which are their tokens.
#[derive(Debug, Default)]
pub(super) struct Sent {
    /// How many were tried.
    pub(super) tried: u64,
    /// Those that are written.
    pub(super) confirmed: BTreeSet<i64>,
    /// Those that cannot go back, and why.
    pub(super) refused: BTreeMap<i64, KafkaError>,
    /// What ends the run.
    pub(super) failure: Option<Failure>,
}

impl Sent {
    pub(super) fn note(&mut self, event: ProducerEvent) {
        match event {
            ProducerEvent::Delivered { token, .. } => {
                self.confirmed.insert(token.cast_signed());
            }
            ProducerEvent::Failed { token, error } => self.failed(token.cast_signed(), error),
            ProducerEvent::Error(error) if error.fatal => {
                self.failure.get_or_insert_with(|| Failure::from_kafka(&error));
            }
            ProducerEvent::Error(_) => {}
        }
    }

    /// What a letter is refused for, or the partition that it came from, says nothing of others; all else may be said of each.
    pub(super) fn failed(&mut self, offset: i64, error: KafkaError) {
        let of_its_place = matches!(error.code, ErrorCode::UNKNOWN_PARTITION | ErrorCode::INVALID_ARGUMENT);
        if error.code.is_of_the_record() || of_its_place {
            self.refused.insert(offset, error);
        } else {
            let text = format!("the letter at offset {offset} cannot be sent back: {}", error.text);
            self.failure.get_or_insert_with(|| Failure::from_kafka(&KafkaError { text, ..error }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(codes: &[ErrorCode]) -> Sent {
        let mut sent = Sent::default();
        for (token, code) in (7..).zip(codes) {
            sent.note(ProducerEvent::Failed { token, error: KafkaError::of(*code) });
        }
        sent
    }

    #[test]
    fn a_letter_that_cannot_go_back_ends_nothing_and_what_befalls_all_does() {
        let of_letters = sent(&[ErrorCode::MESSAGE_TOO_LARGE, ErrorCode::INVALID_RECORD, ErrorCode::UNKNOWN_PARTITION]);
        assert_eq!(of_letters.refused.into_keys().collect::<Vec<_>>(), [7, 8, 9]);
        assert_eq!(of_letters.failure, None);
        let of_all =
            sent(&[ErrorCode::RECORD_LIST_TOO_LARGE, ErrorCode::TOPIC_AUTHORIZATION_FAILED, ErrorCode::TIMED_OUT]);
        assert_eq!(of_all.refused.len(), 1);
        let message = of_all.failure.map(|failure| failure.message).unwrap_or_default();
        assert!(message.contains("the letter at offset 8 cannot be sent back"), "the first: {message}");
    }
}
