//! A sample in the words of the decision and of status. Pure.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use penstock_blueprint::{Cause, Hindrance, Reachability, Reason, Trouble};
use penstock_crds::Pipeline;
use penstock_crds::checkpoint::{self, ErrorClass, Failing, HoldReason};
use penstock_crds::pipeline::{Delivery, Retry};
use penstock_crds::spec::OnExhausted;
use penstock_crds::status::SourceStatus;
use penstock_kafka::TopicPartition;
use penstock_kafka::admin::GroupState;
use penstock_scaling::{Checkpoint, Kafka, PartitionSample, StuckRecord, Timestamp};

use crate::prepare::start;
use crate::sampling::{PartitionFact, Sample, TroubleKind};

/// Charged attempts after which a record is worth naming: one failure is everyday.
const STUCK_ATTEMPTS: u32 = 2;

/// The sample as the scaler takes it. A partition of which anything was never known makes all of it unknown: a sum that leaves one out
/// would be too small.
pub fn kafka(sample: Option<&Sample>, source: &SourceStatus, now: Timestamp) -> Kafka {
    let Some(sample) = sample else { return Kafka::Unknown { since: now } };
    let pins = start::offsets(&source.pinned);
    let all = sample.partitions.iter().map(|(partition, fact)| {
        let pin = pins.get(partition).copied().filter(|offset| *offset != start::NONE);
        partition_sample(partition, fact, pin)
    });
    match all.collect::<Option<Vec<_>>>() {
        Some(partitions) if !partitions.is_empty() => Kafka::Sampled { group: group(sample), partitions },
        _ => Kafka::Unknown { since: sample.since },
    }
}

fn group(sample: &Sample) -> penstock_scaling::GroupState {
    match sample.group.as_ref().map(|group| group.state) {
        Some(GroupState::Stable) => penstock_scaling::GroupState::Stable,
        Some(GroupState::PreparingRebalance | GroupState::CompletingRebalance) => {
            penstock_scaling::GroupState::Rebalancing
        }
        Some(GroupState::Empty | GroupState::Dead) => penstock_scaling::GroupState::Empty,
        Some(GroupState::Unknown) | None => penstock_scaling::GroupState::Unknown,
    }
}

pub(super) fn partition_sample(
    partition: &TopicPartition,
    fact: &PartitionFact,
    pin: Option<i64>,
) -> Option<PartitionSample> {
    let committed = fact.committed?;
    Some(PartitionSample {
        topic: partition.topic.to_string(),
        partition: partition.partition,
        log_at: fact.log_at,
        log_start: fact.log_start?,
        end: fact.end?,
        stable_end: fact.stable_end?,
        committed_at: fact.committed_at,
        committed,
        start_pin: pin,
        checkpoint: fact.checkpoint.as_ref().and_then(|one| checkpoint_of(one, committed.unwrap_or_default())),
        density: fact.density.per_offset(),
    })
}

/// What the worker wrote. Without its counters there is nothing to compare with.
fn checkpoint_of(written: &checkpoint::Checkpoint, frontier: i64) -> Option<Checkpoint> {
    let counters = written.counters.as_ref()?;
    let gauges = written.gauges.as_ref();
    let in_flight = gauges.map_or(0, |gauges| gauges.in_flight);
    let oldest = gauges.filter(|_| in_flight > 0).map(|gauges| gauges.oldest_call_millis);
    Some(Checkpoint {
        owner: written.owner,
        incarnation: counters.incarnation,
        worker_time: Timestamp::from_millis(counters.worker_millis),
        done_above: done_above(written),
        processed: counters.processed,
        busy_seconds: counters.busy_millis as f64 / 1000.0,
        lane_blocked_seconds: counters.lane_blocked_millis as f64 / 1000.0,
        in_flight,
        oldest_start: oldest.map(|millis| Timestamp::from_millis(counters.worker_millis.saturating_sub(millis))),
        concurrency_limit: gauges.map(|gauges| gauges.concurrency),
        stuck: stuck(&written.failing, frontier),
        held: written.hold.is_some_and(|hold| is_for_all(hold.reason)),
    })
}

/// Whether a worker with this reason delivers nothing of the partition, and another one would not either.
fn is_for_all(reason: HoldReason) -> bool {
    match reason {
        HoldReason::CircuitOpen | HoldReason::TooManyDeadLetters | HoldReason::DataLoss => true,
        // On its way up; or other lanes go on; or nobody knows.
        HoldReason::ProcessorNotReady
        | HoldReason::ForwardFailed
        | HoldReason::OutputFailed
        | HoldReason::Fenced
        | HoldReason::ParkedKeysFull
        | HoldReason::Unknown => false,
    }
}

/// Offsets above the committed one that are done.
pub fn done_above(written: &checkpoint::Checkpoint) -> u64 {
    written.done.iter().map(|run| u64::try_from(run.end.saturating_sub(run.start)).unwrap_or(0)).sum()
}

/// The record at the frontier, which holds all others back, or the one that was tried most.
fn stuck(failing: &[Failing], frontier: i64) -> Option<StuckRecord> {
    let at_frontier = failing.iter().find(|record| record.offset == frontier);
    let record = at_frontier.or_else(|| failing.iter().max_by_key(|record| record.attempts))?;
    (record.attempts >= STUCK_ATTEMPTS).then(|| StuckRecord {
        offset: record.offset,
        attempts: record.attempts,
        error_class: record.class.as_str().to_owned(),
    })
}

/// What workers say of partitions that they do not deliver as they should.
pub fn hindrances(sample: Option<&Sample>, pipeline: &Pipeline) -> Vec<Hindrance> {
    let Some(sample) = sample else { return vec![] };
    let of = |(partition, fact): (&TopicPartition, &PartitionFact)| {
        let causes = fact.checkpoint.iter().flat_map(|written| causes(written, fact.held_since, &pipeline.delivery));
        let place = |cause| Hindrance { topic: partition.topic.to_string(), partition: partition.partition, cause };
        causes.map(place).collect::<Vec<_>>()
    };
    sample.partitions.iter().flat_map(of).collect()
}

fn causes(written: &checkpoint::Checkpoint, held_since: Option<Timestamp>, delivery: &Delivery) -> Vec<Cause> {
    let held = written.hold.zip(held_since).map(|(hold, since)| Cause::Held {
        reason: hold.reason,
        class: hold.class,
        since: time(since),
        lost: hold.lost,
    });
    let blocks = delivery.on_exhausted == OnExhausted::Block;
    let blocked = written.failing.iter().filter(|record| blocks && is_over(record, &delivery.retry));
    let blocked = blocked.map(|record| {
        let Failing { offset, attempts, class, .. } = *record;
        Cause::Blocked { offset, attempts, class }
    });
    let full = written.hold.is_some_and(|hold| hold.reason == HoldReason::ParkedKeysFull);
    let parked = (!written.parked.is_empty() || full).then_some(Cause::Parked { keys: written.parked.len(), full });
    held.into_iter().chain(blocked).chain(parked).collect()
}

/// Whether the worker charges a record no more: by attempts, by age, or because it was refused for good.
fn is_over(record: &Failing, retry: &Retry) -> bool {
    let refused = matches!(record.class, ErrorClass::Rejected | ErrorClass::OutputRefused);
    let aged = retry.max_age.is_some_and(|max| u64::from(record.seconds) >= max.as_secs());
    refused || aged || record.attempts >= retry.max_attempts
}

/// How Kafka answers, for status. `disconnected` says why there is no client to ask through, and since when.
pub fn reachability(sample: Option<&Sample>, disconnected: Option<(&Trouble, Timestamp)>) -> Reachability {
    let last_sample = sample.and_then(last_complete).map(time);
    if let Some((trouble, since)) = disconnected {
        return Reachability::Unreachable { trouble: trouble.clone(), since: time(since), last_sample };
    }
    let Some(sample) = sample else { return Reachability::NotAsked };
    let Some(trouble) = sample.trouble() else {
        return if sample.answered_at.is_some() { Reachability::Reachable } else { Reachability::NotAsked };
    };
    let reason = match trouble.kind {
        TroubleKind::Authentication => Reason::AuthenticationFailed,
        TroubleKind::Authorization => Reason::NotAuthorized,
        TroubleKind::Unreachable => Reason::KafkaUnreachable,
        TroubleKind::Refused => Reason::KafkaRefused,
    };
    let words = Trouble { reason, message: format!("{}.", trouble.text.trim_end_matches('.')) };
    Reachability::Unreachable { trouble: words, since: time(trouble.since), last_sample }
}

/// When everything was last known at once.
fn last_complete(sample: &Sample) -> Option<Timestamp> {
    let oldest = sample.partitions.values().map(|fact| fact.log_at.min(fact.committed_at)).min()?;
    (oldest > Timestamp::default()).then_some(oldest)
}

fn time(at: Timestamp) -> Time {
    let millis = i64::try_from(at.as_millis()).unwrap_or(i64::MAX);
    Time(jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::MAX))
}

#[cfg(test)]
mod tests;
