//! Commits: all of one turn of the engine in one request, the answers told apart again.

use std::collections::HashMap;

use penstock_engine::seam::{CommitId, CommitResult, Tp};
use penstock_engine::{Event, Instant};
use penstock_kafka::ErrorCode;
use penstock_kafka::consumer::{CommitOffset, CommitReply};

use super::Shell;
use crate::kafka::KafkaIo;
use crate::processor::Calls;

/// Commits booked and sent.
#[derive(Debug, Default)]
pub(super) struct Commits {
    booked: Vec<(Tp, CommitId, CommitOffset)>,
    sent: HashMap<u64, Vec<(Tp, CommitId)>>,
    seq: u64,
}

impl Commits {
    pub(super) fn book(&mut self, tp: Tp, commit: CommitId, offset: CommitOffset) {
        self.booked.push((tp, commit, offset));
    }

    /// Partitions whose commit was not answered yet.
    pub(super) fn in_progress(&self) -> usize {
        self.sent.values().map(Vec::len).sum::<usize>() + self.booked.len()
    }
}

impl<K: KafkaIo, C: Calls> Shell<K, C> {
    /// One request for each group: delay topics have their own.
    pub(super) fn send_commits(&mut self, now: Instant) {
        if self.commits.booked.is_empty() {
            return;
        }
        let booked = std::mem::take(&mut self.commits.booked);
        let (delay, source): (Vec<_>, Vec<_>) =
            booked.into_iter().partition(|(tp, ..)| self.partitions.get(*tp).delay.is_some());
        for group in [source, delay] {
            if !group.is_empty() {
                self.send_commit(group, now);
            }
        }
    }

    fn send_commit(&mut self, booked: Vec<(Tp, CommitId, CommitOffset)>, now: Instant) {
        self.commits.seq += 1;
        let (mut offsets, mut ids) = (Vec::new(), Vec::new());
        for (tp, commit, offset) in booked {
            ids.push((tp, commit));
            offsets.push(offset);
        }
        match self.io.commit(self.commits.seq, &offsets) {
            Ok(()) => {
                self.commits.sent.insert(self.commits.seq, ids);
            }
            Err(error) => {
                tracing::warn!(%error, "a commit could not be sent");
                let result = result_of(error.code);
                for (tp, commit) in ids {
                    self.tell_committed(tp, commit, result, now);
                }
            }
        }
    }

    pub(super) fn committed(&mut self, reply: &CommitReply, now: Instant) {
        let Some(ids) = self.commits.sent.remove(&reply.seq) else { return };
        if let Some(error) = &reply.error {
            tracing::warn!(%error, "a commit was refused");
        } else {
            self.refusals.lifted();
        }
        for (tp, commit) in ids {
            let name = &self.partitions.get(tp).name;
            let answer = reply.partitions.iter().find(|(partition, ..)| partition == name);
            let code = match (answer, &reply.error) {
                (Some((_, _, Ok(()))), None) => ErrorCode::NONE,
                (Some((_, _, Err(code))), _) => *code,
                (_, Some(error)) => error.code,
                (None, None) => ErrorCode::TIMED_OUT, // left out of the answer: nobody knows
            };
            self.tell_committed(tp, commit, result_of(code), now);
        }
    }

    /// All commits on their way belong to a client that is gone.
    pub(super) fn abandon_commits(&mut self, now: Instant) {
        let sent = std::mem::take(&mut self.commits.sent);
        let mut ids: Vec<_> = sent.into_iter().collect();
        ids.sort_by_key(|(seq, _)| *seq);
        for (tp, commit) in ids.into_iter().flat_map(|(_, ids)| ids) {
            self.tell_committed(tp, commit, CommitResult::Unknown, now);
        }
    }

    fn tell_committed(&mut self, tp: Tp, commit: CommitId, result: CommitResult, now: Instant) {
        self.metrics.commits.with_label_values(&[label(result)]).inc();
        self.tell(Event::Committed { tp, commit, result }, now);
    }
}

fn result_of(code: ErrorCode) -> CommitResult {
    match code {
        ErrorCode::NONE => CommitResult::Ok,
        ErrorCode::OFFSET_METADATA_TOO_LARGE => CommitResult::MetadataTooLarge,
        ErrorCode::ILLEGAL_GENERATION
        | ErrorCode::UNKNOWN_MEMBER_ID
        | ErrorCode::FENCED_MEMBER_EPOCH
        | ErrorCode::STATE => CommitResult::NotOwner,
        // The request may have arrived although its answer did not.
        ErrorCode::REQUEST_TIMED_OUT | ErrorCode::TIMED_OUT | ErrorCode::TRANSPORT => CommitResult::Unknown,
        // Missing rights come back too: they may be granted, and nothing is lost by asking again.
        _ => CommitResult::Retriable,
    }
}

fn label(result: CommitResult) -> &'static str {
    match result {
        CommitResult::Ok => "ok",
        CommitResult::Retriable => "retriable",
        CommitResult::Unknown => "unknown",
        CommitResult::MetadataTooLarge => "metadata_too_large",
        CommitResult::NotOwner => "not_owner",
    }
}
