//! Error codes of the Kafka protocol and of librdkafka, and the error that carries one.

use std::fmt;

/// A code of the Kafka protocol (positive, <https://kafka.apache.org/protocol#protocol_error_codes>) or of librdkafka
/// itself (negative, `rdkafka.h`, `RD_KAFKA_RESP_ERR__*`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ErrorCode(pub i32);

impl ErrorCode {
    /// No error.
    pub const NONE: Self = Self(0);
    /// The requested offset is not (or no longer) in the log.
    pub const OFFSET_OUT_OF_RANGE: Self = Self(1);
    /// The topic or partition does not exist, or this client may not see it.
    pub const UNKNOWN_TOPIC_OR_PARTITION: Self = Self(3);
    /// The broker gave up on the request; whether it took effect is unknown.
    pub const REQUEST_TIMED_OUT: Self = Self(7);
    /// The record is larger than the broker or the client allows.
    pub const MESSAGE_TOO_LARGE: Self = Self(10);
    /// The commit's metadata is above the broker's `offset.metadata.max.bytes`.
    pub const OFFSET_METADATA_TOO_LARGE: Self = Self(12);
    /// The group coordinator is loading its state.
    pub const COORDINATOR_LOAD_IN_PROGRESS: Self = Self(14);
    /// There is no group coordinator at the moment.
    pub const COORDINATOR_NOT_AVAILABLE: Self = Self(15);
    /// The broker asked is not the group's coordinator (any more).
    pub const NOT_COORDINATOR: Self = Self(16);
    /// The batch is larger than the topic or the broker takes.
    pub const RECORD_LIST_TOO_LARGE: Self = Self(18);
    /// The commit belongs to an older generation of the group.
    pub const ILLEGAL_GENERATION: Self = Self(22);
    /// The coordinator does not know this member (any more).
    pub const UNKNOWN_MEMBER_ID: Self = Self(25);
    /// The group is rebalancing; commit again afterwards.
    pub const REBALANCE_IN_PROGRESS: Self = Self(27);
    /// No right to the topic.
    pub const TOPIC_AUTHORIZATION_FAILED: Self = Self(29);
    /// No right to the consumer group.
    pub const GROUP_AUTHORIZATION_FAILED: Self = Self(30);
    /// No right to the operation on the cluster.
    pub const CLUSTER_AUTHORIZATION_FAILED: Self = Self(31);
    /// The broker does not know this request or this version of it.
    pub const UNSUPPORTED_VERSION: Self = Self(35);
    /// The topic exists already.
    pub const TOPIC_ALREADY_EXISTS: Self = Self(36);
    /// A partition count that is below the present one, or zero.
    pub const INVALID_PARTITIONS: Self = Self(37);
    /// Authentication was refused by the broker.
    pub const SASL_AUTHENTICATION_FAILED: Self = Self(58);
    /// The group is not known to its coordinator.
    pub const GROUP_ID_NOT_FOUND: Self = Self(69);
    /// The client's leader epoch is older than the broker's: the log was truncated or the leader moved.
    pub const FENCED_LEADER_EPOCH: Self = Self(74);
    /// The record itself is refused, by the broker for instance for its null key on a compacted topic.
    pub const INVALID_RECORD: Self = Self(87);
    /// Transactions hold the committed offset; ask again.
    pub const UNSTABLE_OFFSET_COMMIT: Self = Self(88);
    /// The topic id is not known: the topic was deleted, perhaps made again.
    pub const UNKNOWN_TOPIC_ID: Self = Self(100);
    /// The member's epoch was fenced by the coordinator (KIP-848).
    pub const FENCED_MEMBER_EPOCH: Self = Self(110);
    /// The member's epoch in a commit is older than the coordinator's (KIP-848).
    pub const STALE_MEMBER_EPOCH: Self = Self(113);
    /// librdkafka: the client is being destroyed.
    pub const DESTROY: Self = Self(-197);
    /// librdkafka: the connection to a broker broke.
    pub const TRANSPORT: Self = Self(-195);
    /// librdkafka: the topic does not exist.
    pub const UNKNOWN_TOPIC: Self = Self(-188);
    /// librdkafka: no broker is connected.
    pub const ALL_BROKERS_DOWN: Self = Self(-187);
    /// librdkafka: an argument is not valid.
    pub const INVALID_ARGUMENT: Self = Self(-186);
    /// librdkafka: what was asked about does not exist, for instance a leader for any of the partitions.
    pub const NO_ENTRY: Self = Self(-156);
    /// librdkafka: no answer within the time given.
    pub const TIMED_OUT: Self = Self(-185);
    /// librdkafka: the producer's queue is full.
    pub const QUEUE_FULL: Self = Self(-184);
    /// librdkafka: the host name does not resolve.
    pub const RESOLVE: Self = Self(-193);
    /// librdkafka: the partition does not exist.
    pub const UNKNOWN_PARTITION: Self = Self(-190);
    /// librdkafka: the operation does not fit the client's state, for instance an assignment that is gone.
    pub const STATE: Self = Self(-172);
    /// librdkafka: authentication failed.
    pub const AUTHENTICATION: Self = Self(-169);
    /// librdkafka: there is nothing to commit.
    pub const NO_OFFSET: Self = Self(-168);
    /// librdkafka: the TLS handshake failed.
    pub const TLS: Self = Self(-181);
    /// librdkafka: the broker lacks the feature.
    pub const UNSUPPORTED_FEATURE: Self = Self(-165);
    /// librdkafka: `max.poll.interval.ms` went by without a poll.
    pub const POLL_EXCEEDED: Self = Self(-147);
    /// librdkafka: a fatal error was raised; the client must be rebuilt.
    pub const FATAL: Self = Self(-150);
    /// librdkafka: `auto.offset.reset=error` and the position is not in the log.
    pub const AUTO_OFFSET_RESET: Self = Self(-140);
    /// librdkafka: the log was truncated below the position.
    pub const LOG_TRUNCATION: Self = Self(-139);

    /// Whether a batch was refused for its size: one record of it may be too large, or all of them together.
    pub fn is_too_large(self) -> bool {
        matches!(self, Self::MESSAGE_TOO_LARGE | Self::RECORD_LIST_TOO_LARGE)
    }

    /// A record was refused for what it is: others of the same topic may be taken.
    pub fn is_of_the_record(self) -> bool {
        self.is_too_large() || self == Self::INVALID_RECORD
    }

    /// The code's symbolic name, for instance `REBALANCE_IN_PROGRESS`.
    pub fn name(self) -> &'static str {
        crate::native::error::name(self)
    }

    /// The code in a sentence, for instance `Broker: Group rebalance in progress`.
    pub fn description(self) -> &'static str {
        crate::native::error::description(self)
    }

    /// The broker cannot do `group.protocol=consumer` (KIP-848): join again with the classic protocol.
    pub fn is_group_protocol_unsupported(self) -> bool {
        matches!(self, Self::UNSUPPORTED_VERSION | Self::UNSUPPORTED_FEATURE)
    }

    /// The position is not in the log: retention overtook it, the log was truncated, or the topic was made again.
    pub fn is_offset_lost(self) -> bool {
        matches!(
            self,
            Self::OFFSET_OUT_OF_RANGE | Self::AUTO_OFFSET_RESET | Self::LOG_TRUNCATION | Self::UNKNOWN_TOPIC_ID
        )
    }

    /// A commit refused for a reason that passes: the same offsets may be committed again while the partition is owned.
    pub fn is_commit_retriable(self) -> bool {
        matches!(
            self,
            Self::REQUEST_TIMED_OUT
                | Self::COORDINATOR_LOAD_IN_PROGRESS
                | Self::COORDINATOR_NOT_AVAILABLE
                | Self::NOT_COORDINATOR
                | Self::REBALANCE_IN_PROGRESS
                | Self::ILLEGAL_GENERATION
                | Self::STALE_MEMBER_EPOCH
                | Self::TRANSPORT
                | Self::TIMED_OUT
                | Self::ALL_BROKERS_DOWN
        )
    }

    /// The cluster refused who we are (not what we may do).
    pub fn is_authentication(self) -> bool {
        matches!(self, Self::AUTHENTICATION | Self::SASL_AUTHENTICATION_FAILED)
    }

    /// The cluster refused what we asked for want of a right.
    pub fn is_authorization(self) -> bool {
        matches!(
            self,
            Self::TOPIC_AUTHORIZATION_FAILED | Self::GROUP_AUTHORIZATION_FAILED | Self::CLUSTER_AUTHORIZATION_FAILED
        )
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.description())
    }
}

impl fmt::Debug for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({})", self.name(), self.0)
    }
}

/// An error that the cluster or librdkafka reported.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text} ({})", code.name())]
pub struct KafkaError {
    /// What kind of error.
    pub code: ErrorCode,
    /// librdkafka's own words; the code's description where it said nothing.
    pub text: String,
    /// The client that raised it is of no further use and must be rebuilt.
    pub fatal: bool,
}

impl KafkaError {
    /// A non-fatal error with the code's own description.
    pub fn of(code: ErrorCode) -> Self {
        Self { code, text: code.description().to_owned(), fatal: false }
    }

    /// Where the log was cut off, if that is why the position is not in it. It may have grown beyond since. librdkafka says so in
    /// words alone (`rd_kafka_handle_OffsetForLeaderEpoch` of rdkafka_offset.c, 2.12).
    pub fn truncated_at(&self) -> Option<i64> {
        let (_, end) = self.text.split_once("broker end offset is ")?;
        let length = end.find(|one: char| !one.is_ascii_digit()).unwrap_or(end.len());
        end[..length].parse().ok().filter(|_| self.text.contains("log truncation"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_truncation_says_where() {
        let said = |text: &str| KafkaError { text: text.to_owned(), ..KafkaError::of(ErrorCode::AUTO_OFFSET_RESET) };
        let cut = "Partition log truncation detected at offset 90 (leader epoch 5): broker end offset is 80 (offset leader epoch 4). \
                   Reset to INVALID.: Local: Partition log truncation detected (broker 1)";
        assert_eq!(said(cut).truncated_at(), Some(80));
        let none = "No epoch found less or equal to offset 90 (leader epoch 5): broker end offset is -1 (offset leader epoch -1).";
        assert_eq!(said(none).truncated_at(), None);
        assert_eq!(said("fetch failed due to requested offset not available on the broker").truncated_at(), None);
    }
}
