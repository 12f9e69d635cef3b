//! What may happen next, and the scheduler that picks.

use core::time::Duration;

use super::broker::Plan;
use super::config::{PARTITIONS, RECORD_WEIGHT, WORKERS};
use super::coverage::Reached;
use super::truth::{Checked, violated};
use super::worker::{Cancelled, Control, Held, PendingCommit, PendingForward, Worker};
use super::world::World;
use crate::policy::OnExhausted;
use crate::seam::{
    ArenaBuilder, Assignment, CommitResult, Destination, ErrorClass, Event, Failure, Finished, ForwardResult,
    Forwarded, LoadFailed, NewRecord, Outcome, Output, OutputRecord, PartitionRole, Tp,
};

/// After this many steps without faults, what is not done never will be.
const CALM_STEPS_MAX: usize = 4000;

impl World {
    /// A whole schedule: faults, then calm, then the books are checked.
    pub(super) fn run(&mut self) -> Checked {
        for worker in 0..WORKERS {
            self.boot(worker)?;
        }
        for _ in 0..self.config.steps {
            self.step()?;
        }
        self.calm_down()?;
        self.truth.check_order(&self.config, &self.logs)?;
        self.truth.check_end(&self.config, &self.logs)
    }

    fn boot(&mut self, worker: usize) -> Checked {
        let slots = u32::try_from(1 + self.rng.below(4)).unwrap();
        self.workers[worker].forward_room = if self.config.policy.forwards() { slots } else { u32::MAX };
        self.on(worker, Event::ForwardRoom { slots })?;
        if self.rng.percent(70) { self.probe_answer(worker, true) } else { Ok(()) }
    }

    fn step(&mut self) -> Checked {
        let worker = self.rng.below(WORKERS);
        let tp = self.rng.below(PARTITIONS);
        match self.rng.below(100) {
            0..18 => self.hand_over(worker, tp),
            18..22 => self.tell_position(worker, tp),
            22..48 if !self.rng.percent(self.config.sluggish) => self.finish_some(worker),
            48..58 => self.answer_commit(worker),
            58..66 => self.answer_forward(worker),
            66..72 => self.answer_fetch(worker),
            72..79 => self.look_at_control(worker),
            79..82 => self.assign_somebody(tp),
            82 if self.workers[worker].probes > 0 => self.probe_answer(worker, true),
            83 if self.rng.percent(self.config.restless * 5) => self.revoke(tp),
            84 if self.rng.percent(self.config.restless * 4) => self.lose(tp),
            85 if self.rng.percent(self.config.restless * 2) => self.crash(worker),
            86 if self.rng.percent(self.config.restless * 2) => self.terminate(worker),
            87 if self.rng.percent(self.config.restless * 3) => self.pause_or_resume(worker),
            _ => self.pass_time(),
        }
    }

    /// The faults end; whatever is pending is answered well until nothing is left to do.
    fn calm_down(&mut self) -> Checked {
        self.calm = true;
        for step in 0..CALM_STEPS_MAX {
            let mut moved = false;
            for worker in 0..WORKERS {
                moved |= self.calm_worker(worker)?;
            }
            for tp in 0..PARTITIONS {
                if self.logs[tp].owner.is_none() {
                    self.assign_somebody(tp)?;
                    moved = true;
                }
            }
            if moved {
                continue;
            }
            let Some(wake) = self.workers.iter().filter_map(|worker| worker.engine.next_wake()).min() else {
                return Ok(());
            };
            if wake <= self.now && step > CALM_STEPS_MAX / 2 {
                return violated("busy loop", format!("woken at {wake:?} for nothing"));
            }
            self.now = self.now.max(wake);
            self.tick()?;
        }
        violated("L1", "does not come to rest".to_owned())
    }

    fn calm_worker(&mut self, worker: usize) -> Result<bool, super::truth::Violation> {
        if self.workers[worker].paused {
            self.pause_or_resume(worker)?;
        }
        let shell = &self.workers[worker];
        if shell.has_work() || shell.probes > 0 {
            self.look_at_control(worker)?;
            self.answer_fetch(worker)?;
            self.answer_commit(worker)?;
            self.answer_forward(worker)?;
            if self.workers[worker].probes > 0 {
                self.probe_answer(worker, true)?;
            }
            return Ok(true);
        }
        if self.can_finish(worker) {
            self.finish_some(worker)?;
            return Ok(true);
        }
        for tp in 0..PARTITIONS {
            if self.may_hand_over(worker, tp) {
                self.hand_over(worker, tp)?;
                return Ok(true);
            }
            let held = &self.workers[worker].held[tp];
            if held.position.is_some() && !held.position_told {
                self.tell_position(worker, tp)?;
                return Ok(true);
            }
        }
        let before = self.numbers;
        if self.workers[worker].leaving == Some(true) {
            self.exit(worker)?;
        }
        Ok(self.numbers > before)
    }

    fn pass_time(&mut self) -> Checked {
        let wake = self.workers.iter().filter_map(|worker| worker.engine.next_wake()).min();
        let jump = Duration::from_millis(self.rng.pick(&[1, 20, 100, 400, 1500]));
        self.now = match wake {
            Some(wake) if self.rng.percent(60) => self.now.max(wake),
            _ => self.now + jump,
        };
        self.tick()
    }

    fn tick(&mut self) -> Checked {
        for worker in 0..WORKERS {
            if self.workers[worker].engine.next_wake().is_some_and(|wake| wake <= self.now) {
                self.on(worker, Event::Tick)?;
            }
        }
        Ok(())
    }

    fn probe_answer(&mut self, worker: usize, ready: bool) -> Checked {
        let ready = ready && (self.calm || self.rng.percent(90));
        self.workers[worker].probes = 0;
        self.workers[worker].ready = ready;
        self.on(worker, Event::ProcessorHealth { ready })
    }

    // The group.

    fn assign_somebody(&mut self, tp: usize) -> Checked {
        let candidates: Vec<usize> = (0..WORKERS).filter(|worker| self.workers[*worker].leaving.is_none()).collect();
        if self.logs[tp].owner.is_some() || candidates.is_empty() {
            return Ok(());
        }
        let again = candidates.iter().find(|worker| self.logs[tp].last_owner == Some(**worker));
        let worker = match again {
            Some(again) if self.rng.percent(60) => *again,
            _ => self.rng.pick(&candidates),
        };
        let seq = self.number();
        self.logs[tp].last_owner = Some(worker);
        self.logs[tp].owner = Some((worker, seq));
        self.workers[worker].control.push_back(Control::Assigned { tp, seq });
        Ok(())
    }

    fn revoke(&mut self, tp: usize) -> Checked {
        let Some((worker, assigned)) = self.logs[tp].owner else { return Ok(()) };
        let seq = self.number();
        let deadline_in = self.rng.pick(&[100, 1000, 4000, 20_000]);
        let shell = &self.workers[worker];
        let asked = |control: &Control| matches!(control, Control::Revoking { tp: other, .. } if *other == tp);
        let answered = shell.held[tp].drain.is_none() && !shell.control.iter().any(asked);
        if shell.held[tp].seq == Some(assigned) && answered {
            self.workers[worker].control.push_back(Control::Revoking { tp, seq, deadline_in });
        }
        Ok(())
    }

    fn lose(&mut self, tp: usize) -> Checked {
        let Some((worker, _)) = self.logs[tp].owner.take() else { return Ok(()) };
        let seq = self.number();
        self.workers[worker].control.push_back(Control::Lost { tp, seq });
        self.coverage.reach(Reached::Loss);
        if self.workers[worker].held[tp].drain.is_some() {
            self.coverage.reach(Reached::LossWhileDraining);
        }
        if self.rng.percent(50) { self.assign_somebody(tp) } else { Ok(()) }
    }

    fn look_at_control(&mut self, worker: usize) -> Checked {
        let Some(control) = self.workers[worker].control.pop_front() else { return Ok(()) };
        let running = |tp| self.workers[worker].calls.iter().any(|call| call.tp == tp);
        match control {
            Control::Assigned { tp, seq } => {
                if running(tp) {
                    self.coverage.reach(Reached::ReturnWhileRunning);
                }
                let held = &mut self.workers[worker].held[tp];
                held.last_seq = seq;
                held.begin(Some(seq));
                let partition = i32::try_from(tp).unwrap();
                let assignment =
                    Assignment { tp: number(tp), topic: "orders".into(), partition, role: PartitionRole::Source };
                self.on(worker, Event::Assigned { partitions: vec![assignment], seq })
            }
            Control::Revoking { tp, seq, deadline_in } => {
                let deadline = self.now + Duration::from_millis(deadline_in);
                let held = &mut self.workers[worker].held[tp];
                if held.seq.is_none() {
                    return Ok(()); // lost in the meantime
                }
                held.last_seq = seq;
                held.drain = Some((deadline - Duration::from_millis(deadline_in / 4), deadline));
                self.on(worker, Event::Revoking { tps: vec![number(tp)], seq, deadline })
            }
            Control::Lost { tp, seq } => {
                let held = &mut self.workers[worker].held[tp];
                held.last_seq = seq;
                held.drain = None;
                self.on(worker, Event::Lost { tps: vec![number(tp)], seq })?;
                self.workers[worker].held[tp].begin(None);
                Ok(())
            }
        }
    }

    /// Kills a worker without warning. What was under way may or may not have happened.
    fn crash(&mut self, worker: usize) -> Checked {
        self.coverage.reach(Reached::Crash);
        for call in core::mem::take(&mut self.workers[worker].calls) {
            let plan = self.logs[call.tp].records[call.index].plan;
            if matches!(plan, Plan::Good | Plan::Skip) && self.rng.percent(50) {
                self.truth.settle(call.tp, call.index, false);
            }
        }
        for commit in core::mem::take(&mut self.workers[worker].commits) {
            if self.rng.percent(50) {
                self.store(worker, &commit)?;
            }
        }
        for log in &mut self.logs {
            if log.owner.is_some_and(|(owner, _)| owner == worker) {
                log.owner = None;
            }
        }
        self.replace(worker)
    }

    fn replace(&mut self, worker: usize) -> Checked {
        let incarnation = self.number();
        self.workers[worker] = Worker::new(&self.config, incarnation, self.wrong);
        self.boot(worker)
    }

    fn terminate(&mut self, worker: usize) -> Checked {
        if self.workers[worker].leaving.is_some() {
            return self.exit(worker);
        }
        self.coverage.reach(Reached::Shutdown);
        self.workers[worker].leaving = Some(false);
        let deadline = self.now + Duration::from_millis(self.rng.pick(&[500, 5000, 30_000]));
        self.on(worker, Event::Drain { deadline })
    }

    /// A drained worker closes its consumer: the group takes its partitions, and the process ends.
    fn exit(&mut self, worker: usize) -> Checked {
        if self.workers[worker].leaving != Some(true) || !self.workers[worker].control.is_empty() {
            return Ok(());
        }
        for tp in 0..PARTITIONS {
            let Some((owner, _)) = self.logs[tp].owner.filter(|(owner, _)| *owner == worker) else { continue };
            if self.workers[owner].held[tp].drain.is_some() {
                continue; // asked before
            }
            let (seq, deadline) = (self.number(), self.now + Duration::from_secs(1));
            let held = &mut self.workers[owner].held[tp];
            (held.last_seq, held.drain) = (seq, Some((deadline - Duration::from_millis(250), deadline)));
            self.on(worker, Event::Revoking { tps: vec![number(tp)], seq, deadline })?;
        }
        let owns = |log: &super::broker::Partition| log.owner.is_some_and(|(owner, _)| owner == worker);
        if self.logs.iter().any(owns) {
            return Ok(()); // calls that outlast the drain
        }
        self.workers[worker].calls.clear();
        self.replace(worker)
    }

    fn pause_or_resume(&mut self, worker: usize) -> Checked {
        self.coverage.reach(Reached::Pause);
        self.workers[worker].paused = !self.workers[worker].paused;
        let paused = self.workers[worker].paused;
        self.on(worker, if paused { Event::Pause } else { Event::Resume })
    }

    // The consumer.

    fn may_hand_over(&self, worker: usize, tp: usize) -> bool {
        let held = &self.workers[worker].held[tp];
        let unread = |position: i64| self.logs[tp].records.last().is_some_and(|last| last.offset >= position);
        let closing = self.workers[worker].leaving.is_some() || held.drain.is_some();
        held.seq.is_some() && held.credit > 0 && !closing && held.position.is_some_and(unread)
    }

    fn hand_over(&mut self, worker: usize, tp: usize) -> Checked {
        if !self.may_hand_over(worker, tp) {
            return Ok(());
        }
        let mut batch = ArenaBuilder::default();
        let batch_max = 1 + self.rng.below(4);
        let held = &mut self.workers[worker].held[tp];
        let position = held.position.unwrap_or_default();
        let unread = self.logs[tp].records.iter().enumerate().filter(|(_, record)| record.offset >= position);
        for (index, record) in unread.take(batch_max) {
            if held.credit <= 0 {
                break;
            }
            let key = record.key.as_ref().map(core::slice::from_ref);
            let new =
                NewRecord { offset: record.offset, leader_epoch: record.leader_epoch, key, ..NewRecord::default() };
            batch.push(new).unwrap();
            held.credit -= i64::try_from(RECORD_WEIGHT).unwrap();
            held.position = Some(record.offset + 1);
            held.position_told = false;
            held.received.insert(index);
        }
        let (arena, seq) = (batch.finish(), held.seq.unwrap_or_default());
        let range = 0..u32::try_from(arena.len()).unwrap();
        self.on(worker, Event::Records { tp: number(tp), seq, arena, range })
    }

    fn tell_position(&mut self, worker: usize, tp: usize) -> Checked {
        let last = self.logs[tp].records.last().map_or(0, |record| record.offset);
        let end = self.logs[tp].end;
        let held = &mut self.workers[worker].held[tp];
        let (Some(position), Some(seq)) = (held.position, held.seq) else { return Ok(()) };
        held.position_told = true;
        let offset = if position > last { end } else { position };
        self.on(worker, Event::Position { tp: number(tp), seq, offset })
    }

    fn answer_fetch(&mut self, worker: usize) -> Checked {
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

    fn answer_commit(&mut self, worker: usize) -> Checked {
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
        self.on(worker, Event::Committed { tp, commit, result })
    }

    /// The coordinator takes a commit, or not. S3 is checked where it counts: at the broker.
    fn store(&mut self, worker: usize, commit: &PendingCommit) -> Result<CommitResult, super::truth::Violation> {
        let log = &mut self.logs[commit.tp];
        let result = log.judge((worker, commit.seq), &commit.text, self.config.metadata_limit);
        match result {
            CommitResult::Ok if commit.offset < log.committed => {
                let detail = format!("{} of {} committed after {}", commit.offset, commit.tp, log.committed);
                violated("S3", detail)?;
            }
            CommitResult::Ok => {
                (log.committed, log.committed_epoch) = (commit.offset, commit.leader_epoch);
                log.metadata.clone_from(&commit.text);
            }
            CommitResult::MetadataTooLarge => self.coverage.reach(Reached::MetadataTooLarge),
            _ => self.coverage.reach(Reached::CommitNotOwner),
        }
        Ok(result)
    }

    // The processor and the producer.

    fn can_finish(&self, worker: usize) -> bool {
        let finishable = |call: &super::worker::Call| {
            let hangs = matches!(self.logs[call.tp].records[call.index].plan, Plan::Hangs(1..));
            call.cancelled.is_some() || !hangs
        };
        self.workers[worker].calls.iter().any(finishable)
    }

    /// One call ends, or a few at once.
    fn finish_some(&mut self, worker: usize) -> Checked {
        let mut finished = Vec::new();
        for _ in 0..1 + self.rng.below(2) {
            let calls = self.workers[worker].calls.len();
            if calls == 0 {
                break;
            }
            let index = self.rng.below(calls);
            self.finish_one(worker, index, &mut finished);
        }
        if finished.is_empty() { Ok(()) } else { self.on(worker, Event::Finished(finished)) }
    }

    fn finish_one(&mut self, worker: usize, which: usize, finished: &mut Vec<Finished>) {
        let call = &self.workers[worker].calls[which];
        let (tp, index, cancelled) = (call.tp, call.index, call.cancelled);
        let plan = self.logs[tp].records[index].plan;
        if cancelled.is_none() && matches!(plan, Plan::Hangs(1..)) {
            return;
        }
        if cancelled.is_none() && matches!(plan, Plan::Breaks(1..)) {
            return self.break_connections(worker, which, finished);
        }
        let raced = cancelled.is_some() && matches!(plan, Plan::Good | Plan::Skip) && self.rng.percent(30);
        if raced {
            self.coverage.reach(Reached::CancelRacedWithAck);
        }
        let call = self.workers[worker].calls.swap_remove(which);
        let outcome = match cancelled {
            Some(cause) if !raced => {
                if cause == Cancelled::Timeout {
                    self.coverage.reach(Reached::Timeout);
                    self.verdict(worker, tp, index, call.seq);
                }
                self.spend(tp, index);
                // The processor may have done it all the same.
                if plan == Plan::Good && self.rng.percent(30) {
                    self.truth.settle(tp, index, false);
                }
                Outcome::Cancelled
            }
            _ => self.outcome(worker, tp, index, call.seq),
        };
        finished.push(Finished { ticket: call.ticket, outcome });
    }

    fn outcome(&mut self, worker: usize, tp: usize, index: usize, seq: u64) -> Outcome {
        let plan = self.logs[tp].records[index].plan;
        self.spend(tp, index);
        let failure = |class| Failure::new(class, "as planned");
        match plan {
            Plan::Fails(1..) => {
                self.verdict(worker, tp, index, seq);
                Outcome::Retry(failure(ErrorClass::Retry))
            }
            Plan::Rejects => {
                self.truth.fates[tp][index].rejected = true;
                self.verdict(worker, tp, index, seq);
                Outcome::Reject(failure(ErrorClass::Rejected))
            }
            Plan::Overloads(1..) => {
                self.coverage.reach(Reached::Overload);
                Outcome::Overload(failure(ErrorClass::Overload).after(Duration::from_millis(300)))
            }
            Plan::Outages(1..) => {
                self.coverage.reach(Reached::Outage);
                Outcome::Unavailable(failure(ErrorClass::Unreachable))
            }
            Plan::Outputs => {
                let held = &mut self.workers[worker].held[tp];
                if held.seq == Some(seq) {
                    held.answered.insert(index);
                    held.output_pending.insert(index);
                }
                Outcome::AckWith(Box::new(Output { records: vec![OutputRecord::default()] }))
            }
            _ => {
                self.truth.settle(tp, index, false);
                self.answered(worker, tp, index, seq);
                if plan == Plan::Skip { Outcome::Skip } else { Outcome::Ack }
            }
        }
    }

    /// Everything in flight on this worker breaks at once.
    fn break_connections(&mut self, worker: usize, culprit: usize, finished: &mut Vec<Finished>) {
        let (tp, index) = (self.workers[worker].calls[culprit].tp, self.workers[worker].calls[culprit].index);
        self.spend(tp, index);
        let calls = core::mem::take(&mut self.workers[worker].calls);
        let (broken, rest): (Vec<_>, Vec<_>) = calls.into_iter().partition(|call| call.cancelled.is_none());
        self.workers[worker].calls = rest;
        self.coverage.reach(if broken.len() > 1 {
            Reached::ConnectionLostInCompany
        } else {
            Reached::ConnectionLostAlone
        });
        for call in broken {
            if call.alone {
                self.verdict(worker, call.tp, call.index, call.seq);
                self.truth.fates[call.tp][call.index].maybe += 1;
            }
            let outcome = Outcome::ConnectionLost(Failure::new(ErrorClass::ConnectionLost, "reset by peer"));
            finished.push(Finished { ticket: call.ticket, outcome });
        }
    }

    /// One of the troubles planned for the record is over.
    fn spend(&mut self, tp: usize, index: usize) {
        let plan = &mut self.logs[tp].records[index].plan;
        if let Plan::Fails(left)
        | Plan::Breaks(left)
        | Plan::Hangs(left)
        | Plan::Overloads(left)
        | Plan::Outages(left) = plan
        {
            if *left != u32::MAX {
                *left = left.saturating_sub(1);
            }
            if *left == 0 {
                *plan = Plan::Good;
            }
        }
    }

    /// A verdict against the record. One that reaches the worker after its assignment counts for nothing.
    fn verdict(&mut self, worker: usize, tp: usize, index: usize, seq: u64) {
        // A worker that has not heard yet that it lost the partition counts for itself alone.
        let current = self.workers[worker].held[tp].seq == Some(seq) && self.logs[tp].owner == Some((worker, seq));
        let fate = &mut self.truth.fates[tp][index];
        let blocked = self.config.policy.on_exhausted == OnExhausted::Block;
        let known = fate.verdicts.saturating_sub(fate.forgiven);
        if blocked && known >= self.config.policy.retry.max_attempts {
            return; // tried again at leisure, uncharged
        }
        fate.verdicts += 1;
        if !current {
            fate.forgiven += 1;
            self.coverage.reach(Reached::LateFailureDropped);
        }
        self.truth.judged(&self.config, tp, index);
    }

    /// The worker knows that the record is done, if the partition is still or again its own.
    fn answered(&mut self, worker: usize, tp: usize, index: usize, seq: u64) {
        let held: &mut Held = &mut self.workers[worker].held[tp];
        let Some(current) = held.seq else { return };
        held.answered.insert(index);
        if current != seq {
            self.coverage.reach(Reached::LateAckCounted);
        }
    }

    fn answer_forward(&mut self, worker: usize) -> Checked {
        if self.workers[worker].forwards.is_empty() {
            return Ok(());
        }
        let which = self.rng.below(self.workers[worker].forwards.len());
        let PendingForward { id, to, tp, index, seq } = self.workers[worker].forwards.swap_remove(which);
        let is_output = matches!(to, Destination::Output(_));
        let failure = || Failure::new(ErrorClass::ForwardFailed, "as planned");
        let result = match self.rng.below(20) {
            0..3 if !self.calm => {
                self.coverage.reach(Reached::ForwardRepeated);
                ForwardResult::Failed(failure())
            }
            3 if !self.calm && is_output && self.config.policy.on_exhausted != OnExhausted::Block => {
                self.coverage.reach(Reached::OutputRefused);
                self.truth.fates[tp][index].rejected = true;
                self.verdict(worker, tp, index, seq);
                if self.workers[worker].held[tp].seq == Some(seq) {
                    self.workers[worker].held[tp].answered.remove(&index);
                }
                ForwardResult::Refused(failure())
            }
            4 if !self.calm && !is_output => {
                self.coverage.reach(Reached::DeadLetterRefused);
                ForwardResult::Refused(failure())
            }
            _ => {
                if !is_output {
                    self.coverage.reach(Reached::DeadLetter);
                }
                self.truth.settle(tp, index, !is_output);
                self.workers[worker].held[tp].output_pending.remove(&index);
                self.answered(worker, tp, index, seq);
                ForwardResult::Confirmed
            }
        };
        self.on(worker, Event::Forwarded(vec![Forwarded { id, result }]))
    }
}

fn number(tp: usize) -> Tp {
    Tp(u32::try_from(tp).unwrap())
}
