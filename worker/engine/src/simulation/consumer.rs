//! What a consumer does for its engine: it reads, says where it stands, fetches checkpoints and commits.

use core::time::Duration;

use super::config::SOURCES;
use super::coverage::Reached;
use super::steps::number;
use super::truth::{Checked, Violation, violated};
use super::worker::PendingCommit;
use super::world::World;
use crate::seam::{ArenaBuilder, CommitResult, Event, LoadFailed, NewRecord, PARKED_HEADER};

impl World {
    pub(super) fn may_hand_over(&self, worker: usize, tp: usize) -> bool {
        let held = &self.workers[worker].held[tp];
        let unread = |position: i64| self.logs[tp].records.last().is_some_and(|last| last.offset >= position);
        let closing = self.workers[worker].leaving.is_some() || held.drain.is_some();
        held.seq.is_some() && held.credit > 0 && !closing && held.position.is_some_and(unread)
    }

    pub(super) fn hand_over(&mut self, worker: usize, tp: usize) -> Checked {
        if !self.may_hand_over(worker, tp) {
            return Ok(());
        }
        let (start, end, topic_id) = (self.logs[tp].start, self.logs[tp].end, self.logs[tp].topic_id);
        let held = &self.workers[worker].held[tp];
        if held.position.is_some_and(|position| position < start) {
            self.coverage.reach(Reached::OffsetLost);
            let seq = held.seq.unwrap_or_default();
            return self.on(worker, Event::OffsetLost { tp: number(tp), seq, start, end, topic_id });
        }
        let (mut batch, mut received, now) = (ArenaBuilder::default(), Vec::new(), self.now);
        let batch_max = 1 + self.rng.below(4);
        let held = &mut self.workers[worker].held[tp];
        let position = held.position.unwrap_or_default();
        let unread = self.logs[tp].records.iter().enumerate().filter(|(_, record)| record.offset >= position);
        let credit = held.credit;
        for (index, record) in unread.take(batch_max) {
            if held.credit <= 0 {
                break;
            }
            let key = record.key.as_ref().map(core::slice::from_ref);
            let new = NewRecord {
                offset: record.offset,
                leader_epoch: record.leader_epoch,
                key,
                attempts: record.attempts,
                failing_for: record.failing_since.map_or(Duration::ZERO, |since| now.since(since)),
                due: record.due,
                ..NewRecord::default()
            };
            if record.due > now {
                self.coverage.reach(Reached::NotDue);
            }
            batch.push(new).unwrap();
            if let Some(number) = record.number {
                batch.header(PARKED_HEADER.as_bytes(), Some(number.to_string().as_bytes())).unwrap();
            }
            // An overdraft is forgotten, here as in the engine.
            held.credit = (credit - i64::try_from(batch.weight()).unwrap()).max(0);
            held.position = Some(record.offset + 1);
            held.position_told = false;
            held.received.insert(index);
            received.push(index);
        }
        let (arena, seq) = (batch.finish(), held.seq.unwrap_or_default());
        // What an earlier assignment told of a record counts only where nothing before it had to be called again.
        for index in received.iter().copied() {
            let held = &self.workers[worker].held[tp];
            if !held.answered.contains(&index) && !held.is_known(self.logs[tp].records[index].offset) {
                self.forget_answers_behind(worker, tp, index);
            }
        }
        let range = 0..u32::try_from(arena.len()).unwrap();
        let at_once = self.answer_at_once(worker, tp, &received)?;
        self.on(worker, Event::Records { tp: number(tp), seq, arena, range, at_once })
    }

    pub(super) fn tell_position(&mut self, worker: usize, tp: usize) -> Checked {
        let last = self.logs[tp].records.last().map_or(0, |record| record.offset);
        let end = self.logs[tp].end;
        let held = &mut self.workers[worker].held[tp];
        let (Some(position), Some(seq)) = (held.position, held.seq) else { return Ok(()) };
        held.position_told = true;
        let offset = if position > last { end } else { position };
        self.on(worker, Event::Position { tp: number(tp), seq, offset })
    }

    pub(super) fn answer_fetch(&mut self, worker: usize) -> Checked {
        if self.workers[worker].fetches.is_empty() {
            return Ok(());
        }
        let index = self.rng.below(self.workers[worker].fetches.len());
        let (tp, seq) = self.workers[worker].fetches.swap_remove(index);
        if !self.calm && self.rng.percent(10) {
            self.coverage.reach(Reached::FetchFailed);
            let failed = LoadFailed { detail: "coordinator loading".into() };
            return self.on(worker, Event::CheckpointLoaded { tp: number(tp), seq, result: Err(failed) });
        }
        let loaded = self.logs[tp].loaded();
        self.workers[worker].loaded = Some(loaded.clone());
        self.on(worker, Event::CheckpointLoaded { tp: number(tp), seq, result: Ok(loaded) })
    }

    pub(super) fn answer_commit(&mut self, worker: usize) -> Checked {
        if self.workers[worker].commits.is_empty() {
            return Ok(());
        }
        let index = self.rng.below(self.workers[worker].commits.len());
        let pending = self.workers[worker].commits.swap_remove(index);
        let (tp, commit) = (number(pending.tp), pending.commit);
        let faulty = !self.calm && self.rng.percent(20);
        let result = match self.rng.below(3) {
            0 if faulty => {
                self.store(worker, &pending)?;
                self.coverage.reach(Reached::CommitLostButStored);
                CommitResult::Unknown
            }
            1 if faulty => {
                self.coverage.reach(Reached::CommitUnknownNotStored);
                CommitResult::Unknown
            }
            _ if faulty => CommitResult::Retriable,
            _ => self.store(worker, &pending)?,
        };
        if result == CommitResult::Ok {
            let heard = &mut self.workers[worker].heard[usize::from(pending.tp >= SOURCES)];
            *heard = pending.sent.max(*heard);
        }
        let held = &mut self.workers[worker].held[pending.tp];
        if result == CommitResult::Ok && held.seq == Some(pending.seq) {
            held.unanswered_since = None;
            let awake = |slept: &crate::Instant| pending.sent < *slept;
            held.slept_until = held.slept_until.filter(awake);
        }
        self.on(worker, Event::Committed { tp, commit, result })
    }

    /// The coordinator takes a commit, or not. S3 is checked where it counts: at the broker.
    pub(super) fn store(&mut self, worker: usize, commit: &PendingCommit) -> Result<CommitResult, Violation> {
        let log = &mut self.logs[commit.tp];
        let result = log.judge((worker, commit.seq), &commit.text, self.metadata_limit);
        match result {
            CommitResult::Ok if commit.offset < log.committed => {
                let detail = format!("{} of {} committed after {}", commit.offset, commit.tp, log.committed);
                violated("S3", detail)?;
            }
            CommitResult::Ok => {
                (log.committed, log.committed_epoch) = (commit.offset, commit.leader_epoch);
                log.metadata.clone_from(&commit.text);
            }
            CommitResult::MetadataTooLarge => {
                self.coverage.reach(Reached::MetadataTooLarge);
                self.check_refused(commit)?;
            }
            _ => self.coverage.reach(Reached::CommitNotOwner),
        }
        Ok(result)
    }
}
