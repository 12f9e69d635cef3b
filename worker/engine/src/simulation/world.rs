//! What an event leads to: the engine's effects, carried out and checked one by one.

use core::time::Duration;

use penstock_crds::checkpoint::HoldReason;

use super::broker::Partition;
use super::config::{Config, PARTITIONS, SOURCES, WORKERS};
use super::coverage::{Coverage, Reached};
use super::fuse::FuseTruth;
use super::rng::Rng;
use super::truth::{self, Checked, Truth, Violation, broken, lane_of, place, violated};
use super::worker::{Call, Cancelled, PendingCommit, PendingForward, Worker, describe};
use crate::seam::{CallId, Delivery, Destination, Effect, ErrorClass, Event, Forward, Start, Tp, Undelivered};
use crate::time::Instant;
use crate::wrong::Wrong;

pub(super) struct World {
    pub(super) rng: Rng,
    pub(super) config: Config,
    /// What the brokers take with a commit now, characters.
    pub(super) metadata_limit: usize,
    pub(super) now: Instant,
    pub(super) logs: [Partition; PARTITIONS],
    pub(super) workers: [Worker; WORKERS],
    pub(super) truth: Truth,
    pub(super) coverage: Coverage,
    /// Numbers of rebalances and incarnations.
    pub(super) numbers: u64,
    pub(super) wrong: Option<Wrong>,
    /// A replayed schedule tells what happens.
    pub(super) tell: bool,
    /// Faults have ended.
    pub(super) calm: bool,
}

impl World {
    pub(super) fn new(seed: u64, wrong: Option<Wrong>, tell: bool) -> Self {
        let mut rng = Rng::new(seed);
        let mut config = Config::new(&mut rng);
        // A wrong engine is caught in the world that it was made for.
        if wrong.is_none() {
            config.draw_limits(seed);
        }
        if wrong.is_none() || wrong == Some(Wrong::AtOnceBesideOthers) {
            config.draw_at_once(seed);
        }
        let mut coverage = Coverage::new();
        let logs = core::array::from_fn(|tp| {
            if tp < SOURCES { Partition::new(&config, &mut rng, &mut coverage) } else { Partition::empty() }
        });
        let truth = Truth::new(&logs);
        let workers = core::array::from_fn(|index| Worker::new(&config, index as u64 + 1, wrong));
        if tell {
            eprintln!("{config:#?}\n{logs:#?}");
        }
        let now = Instant::from_millis(1000);
        let metadata_limit = config.metadata_limit;
        Self { rng, config, metadata_limit, now, logs, workers, truth, coverage, numbers: 10, wrong, tell, calm: false }
    }

    pub(super) fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    /// Tells a worker's engine, and does what it says.
    pub(super) fn on(&mut self, worker: usize, event: Event) -> Checked {
        if self.tell {
            eprintln!("{:>6} ms  worker {worker} ← {}", self.now.as_millis(), describe(&event));
        }
        self.notice_sleep(worker);
        (0..PARTITIONS).for_each(|tp| self.settle_written(worker, tp));
        let mut effects = Vec::new();
        let shell = &mut self.workers[worker];
        let ended = if let Event::Finished(finished) = &event { finished.len() } else { 0 };
        shell.engine.on(event, self.now, &mut effects);
        let (calls, out) = (shell.calls.len() + ended, shell.engine.forwards_out());
        shell.crowded = out > 0 && (shell.crowded || 2 * (calls + out + 2) >= shell.forward_room as usize);
        self.notice_fuse(worker);
        for effect in effects {
            if self.tell {
                eprintln!("{:>6} ms  worker {worker}   → {}", self.now.as_millis(), told(&effect));
            }
            self.carry_out(worker, effect)?;
        }
        self.check_idle_slots(worker)
    }

    /// A fuse that is whole again counts anew.
    fn notice_fuse(&mut self, worker: usize) {
        let shell = &mut self.workers[worker];
        let blown = shell.engine.view().fuse_blown.is_some();
        match (core::mem::replace(&mut shell.fuse.blown, blown), blown) {
            (false, true) => self.coverage.reach(Reached::FuseBlown),
            (true, false) => {
                shell.fuse = FuseTruth::default();
                self.coverage.reach(Reached::FuseHealed);
            }
            _ => {}
        }
    }

    /// A worker that slept for half a session must not trust what it owned, and one that was not woken for half of a call's time has no
    /// verdict on that call.
    pub(super) fn notice_sleep(&mut self, worker: usize) {
        let (now, half) = (self.now, self.config.policy.session_timeout / 2);
        let half_a_call = self.config.policy.timeout / 2;
        let shell = &mut self.workers[worker];
        let late = |since: Instant| now.since(since) > half_a_call;
        if late(shell.last_turn) && shell.engine.next_wake().is_some_and(late) {
            let running = shell.calls.iter_mut().filter(|call| call.cancelled.is_none());
            running.for_each(|call| call.deadline = Instant::NEVER);
        }
        if now.since(shell.last_turn) > half {
            let owned = shell.held.iter_mut().filter(|held| held.position.is_some());
            owned.for_each(|held| held.slept_until = Some(now));
        }
        shell.last_turn = now;
    }

    fn carry_out(&mut self, worker: usize, effect: Effect) -> Checked {
        let shell = &mut self.workers[worker];
        match effect {
            Effect::FetchCheckpoint { tp, seq } => shell.fetches.push((tp.index(), seq)),
            Effect::Assign { tp, seq, offset, .. } => return self.assign(worker, tp.index(), seq, offset),
            Effect::Start(start) => return self.start(worker, &start),
            Effect::Cancel { call } => {
                let now = self.now;
                let mut found = false;
                for record in shell.calls.iter_mut().filter(|one| one.ticket.call == call) {
                    let timeout = now >= record.deadline;
                    record.cancelled = Some(if timeout { Cancelled::Timeout } else { Cancelled::GivingUp });
                    found = true;
                }
                if !found {
                    return violated("seam", format!("{call:?} is cancelled but not in progress"));
                }
            }
            Effect::Forward(forward) => return self.forward(worker, *forward),
            Effect::Commit { tp, commit, offset, leader_epoch, checkpoint } => {
                self.check_commit(worker, tp.index(), (offset, leader_epoch), &checkpoint)?;
                let seq = self.workers[worker].held[tp.index()].seq.unwrap_or_default();
                let (text, told) = (checkpoint, self.workers[worker].told);
                let sent = self.now;
                self.workers[worker].held[tp.index()].unanswered_since.get_or_insert(sent);
                let pending = PendingCommit { tp: tp.index(), commit, offset, leader_epoch, text, told, seq, sent };
                self.workers[worker].commits.push(pending);
            }
            Effect::Credit { tp, bytes } => shell.held[tp.index()].credit += i64::try_from(bytes).unwrap(),
            Effect::Probe => shell.probes += 1,
            Effect::Released { tps, seq } => {
                for tp in tps {
                    self.released(worker, tp, seq)?;
                }
            }
            Effect::Drained => shell.leaving = Some(true),
        }
        Ok(())
    }

    /// The engine said where to begin. What a crash or a loss has wiped out is forgiven here.
    fn assign(&mut self, worker: usize, tp: usize, seq: u64, offset: i64) -> Checked {
        let shell = &mut self.workers[worker];
        let held = &mut shell.held[tp];
        if held.position.is_some() && held.seq == Some(seq) {
            held.position = Some(offset); // what lay between is gone
            return Ok(());
        }
        let Some(loaded) = shell.loaded.take().filter(|_| held.seq == Some(seq)) else {
            return violated("S10", format!("{tp} is assigned under {seq}, which is not ours"));
        };
        let place = place(tp, &self.logs[tp], (loaded.offset, loaded.leader_epoch));
        let found = penstock_crds::checkpoint::decode(&loaded.metadata, &place).unwrap_or_default();
        if !found.done.is_empty() {
            self.coverage.reach(Reached::DoneBeforeSkipped);
        }
        if !found.parked.is_empty() {
            self.coverage.reach(Reached::ParkedRestored);
        }
        for (fate, record) in self.truth.fates[tp].iter_mut().zip(&self.logs[tp].records) {
            let stored = found.failing.iter().find(|failing| failing.offset == record.offset);
            let stored = stored.map_or(0, |failing| failing.attempts).max(record.attempts);
            if stored > record.attempts {
                self.coverage.reach(Reached::AttemptsRestored);
            }
            fate.forgiven += fate.verdicts.saturating_sub(fate.forgiven + fate.maybe + stored);
        }
        held.position = Some(offset);
        held.found = (loaded.offset, found);
        Ok(())
    }

    fn start(&mut self, worker: usize, start: &Start) -> Checked {
        for delivery in start.deliveries.as_slice() {
            let tp = delivery.tp.index();
            let index = self.logs[tp].index_of(delivery.record.offset()).unwrap();
            let seq = self.check_start(worker, (tp, index), delivery.attempt, Some(delivery.ticket.call))?;
            let shell = &mut self.workers[worker];
            shell.calls.iter_mut().for_each(|call| call.alone = false);
            let call = delivery.ticket.call;
            let alone = shell.calls.is_empty() && start.deliveries.as_slice().len() == 1;
            if shell.calls.iter().any(|other| other.ticket.call != call) {
                let key = self.logs[tp].records[index].key;
                self.coverage.reach(if key.is_none() { Reached::NullKeysSideBySide } else { Reached::KeysSideBySide });
            }
            let (ticket, deadline) = (delivery.ticket, start.deadline);
            let (probe, fuse_probe) = (shell.must_probe(), shell.fuse.blown);
            shell.calls.push(Call { ticket, tp, index, deadline, seq, alone, cancelled: None, probe, fuse_probe });
            shell.held[tp].started.insert(index);
            if self.is_behind_an_output(worker, tp, index) {
                self.coverage.reach(Reached::CallOverlapsWrites);
            }
        }
        let shell = &self.workers[worker];
        let (calls, limit) = (shell.calls_in_progress(), shell.engine.view().concurrency);
        if start.deliveries.as_slice().len() > 1 {
            self.coverage.reach(Reached::Batch);
            let call = start.call;
            self.workers[worker].batched.insert(call);
        }
        if start.deliveries.as_slice().len() > self.config.policy.batch.max_records as usize {
            return violated("batch", format!("{} records in a call", start.deliveries.as_slice().len()));
        }
        if calls > limit as usize {
            return violated("slots", format!("{calls} calls in progress, {limit} allowed"));
        }
        Ok(())
    }

    /// S5, S6, S7, S10, S12 at the moment that a call is decided, or is over already. Returns the assignment it belongs to.
    pub(super) fn check_start(
        &self,
        worker: usize,
        (tp, index): (usize, usize),
        attempt: u32,
        id: Option<CallId>,
    ) -> Result<u64, Violation> {
        let offset = self.logs[tp].records[index].offset;
        let (shell, fate) = (&self.workers[worker], &self.truth.fates[tp][index]);
        let held = &shell.held[tp];
        let Some(seq) = held.seq.filter(|_| held.received.contains(&index)) else {
            return broken("S10", format!("{offset} of {tp} is started, but the partition is not ours"));
        };
        if shell.paused || shell.leaving.is_some() || !shell.ready || held.drain.is_some() {
            return broken("S10", format!("{offset} of {tp} is started while nothing may start"));
        }
        let lane = |index: usize| lane_of(&self.config, &self.logs[tp].records[index]);
        let same_lane = |other: usize| lane(index).is_some() && lane(index) == lane(other);
        let together = |call: &Call| {
            let behind = Some(call.ticket.call) == id && call.index < index;
            self.config.policy.batch.same_lane && behind
        };
        let excludes =
            |call: &&Call| call.tp == tp && (call.index == index || (same_lane(call.index) && !together(call)));
        if self.now < self.logs[tp].records[index].due {
            return broken("due", format!("{offset} of {tp} is started before it is due"));
        }
        if let Some(call) = shell.calls.iter().find(excludes) {
            let other = self.logs[tp].records[call.index].offset;
            return broken("S5", format!("{offset} of {tp} is started while {other} of its key runs"));
        }
        if shell.must_probe() && shell.calls.iter().any(|call| call.probe && Some(call.ticket.call) != id) {
            return broken("S11", format!("{offset} of {tp} is started beside a probe"));
        }
        let beside = |call: &Call| call.fuse_probe && Some(call.ticket.call) != id;
        if shell.fuse.blown && shell.calls.iter().any(beside) {
            return broken("fuse", format!("{offset} of {tp} is started beside a probe"));
        }
        let half = self.config.policy.session_timeout / 2;
        let heard = shell.heard[usize::from(tp >= SOURCES)];
        let unanswered = held.unanswered_since.is_some_and(|since| self.now > since + half);
        if held.slept_until.is_some() || unanswered || self.now > heard + half {
            return broken("fence", format!("{offset} of {tp} is started, and no commit was acknowledged for long"));
        }
        let (committed, found) = &held.found;
        if offset < *committed || found.done.iter().any(|run| run.contains(&offset)) {
            return broken("S7", format!("{offset} of {tp} is started, but was committed as done"));
        }
        if held.answered.contains(&index) {
            return broken("S7", format!("{offset} of {tp} is started, but this worker had done it"));
        }
        if attempt > fate.verdicts + 1 {
            return broken("S12", format!("{offset} of {tp}: attempt {attempt} after {fate:?}"));
        }
        // A worker that has not heard yet that it lost the partition cannot know what the next owner's calls said.
        let charges = !self.config.may_block() && self.logs[tp].owner == Some((worker, seq));
        if charges && attempt + fate.forgiven + fate.maybe < fate.verdicts + 1 {
            return broken("S6", format!("{offset} of {tp}: attempt {attempt} after {fate:?}"));
        }
        Ok(seq)
    }

    fn forward(&mut self, worker: usize, forward: Forward) -> Checked {
        let Forward { id, to, tp, record, parked, alone } = forward;
        let (tp, offset) = (tp.index(), record.offset());
        let index = self.logs[tp].index_of(offset).unwrap();
        if let Destination::DeadLetter(cause) = &to {
            self.check_letter(tp, index, cause, parked)?;
        }
        let fate = &self.truth.fates[tp][index];
        let tried = |cause: &Undelivered| cause.failure.class != ErrorClass::Parked || parked.is_none();
        if let Destination::DeadLetter(undelivered) = &to
            && tried(undelivered)
        {
            if undelivered.attempts > fate.verdicts || fate.verdicts == 0 {
                return violated("S12", format!("{offset} of {tp} is dead-lettered: {undelivered:?} after {fate:?}"));
            }
            if !truth::is_used_up(&self.config, fate) {
                return violated("S6", format!("{offset} of {tp} is dead-lettered early: {fate:?}"));
            }
            if !fate.rejected && fate.verdicts < self.config.policy.retry.max_attempts {
                self.coverage.reach(Reached::AgedOut);
            }
            if tp >= SOURCES {
                self.coverage.reach(Reached::DelayedDeadLetter);
            }
        }
        self.check_delay(worker, tp, index, &to)?;
        let shell = &mut self.workers[worker];
        if let (Destination::DeadLetter(_), Some(limits)) = (&to, self.config.fuse()) {
            shell.fuse.letter(limits, tp, self.logs[tp].records[index].key, index, self.now)?;
        }
        let seq = shell.held[tp].seq.unwrap_or_default();
        shell.forwards.push(PendingForward { id, to, tp, index, seq, parked, recalled: false, alone });
        if shell.forwards.len() > shell.forward_room as usize {
            return violated("forward room", format!("{} forwards are out", shell.forwards.len()));
        }
        self.check_alone(worker)
    }

    /// S2, S4, S7, S8, S10 at the moment that a commit is decided.
    fn check_commit(&mut self, worker: usize, tp: usize, commit: (i64, i32), text: &str) -> Checked {
        let held = &self.workers[worker].held[tp];
        if held.seq.is_none() || held.position.is_none() {
            return violated("S10", format!("{tp} is committed, but is not ours"));
        }
        if held.received.iter().any(|index| self.logs[tp].records[*index].offset < self.logs[tp].start) {
            self.coverage.reach(Reached::ReceivedAndGone);
        }
        self.truth.check_commit(&self.config, tp, &self.logs[tp], held, commit.0)?;
        let checkpoint = self.truth.check_checkpoint(&self.config, tp, &self.logs[tp], held, commit, text)?;
        let is_done = |offset| offset < commit.0 || checkpoint.done.iter().any(|run| run.contains(&offset));
        truth::check_done_in_order(&self.config, &self.logs[tp], held, is_done)?;
        if self.config.policy.output {
            self.truth.check_output_order(&self.config, tp, &self.logs[tp], worker, is_done)?;
        }
        if checkpoint.hold.is_some_and(|hold| hold.reason == HoldReason::ParkedKeysFull) {
            self.coverage.reach(Reached::ParkedKeysFull);
        }
        if text.len() < 30 {
            self.coverage.reach(Reached::LowMetadata);
        }
        if commit.0 == self.logs[tp].committed && !text.is_empty() {
            self.coverage.reach(Reached::MetadataOnlyCommit);
        }
        if self.config.may_cut() {
            return Ok(());
        }
        if text.is_empty() {
            return violated("S8", format!("{tp} is committed without a checkpoint"));
        }
        for (index, record) in self.logs[tp].records.iter().enumerate().filter(|(_, record)| record.offset >= commit.0)
        {
            let fate = &self.truth.fates[tp][index];
            let done = held.received.contains(&index)
                && held.answered.contains(&index)
                && !held.output_pending.contains(&index);
            if done && !checkpoint.done.iter().any(|run| run.contains(&record.offset)) {
                return violated(
                    "S7",
                    format!("{} of {tp} is done, and the commit of {} does not say so", record.offset, commit.0),
                );
            }
            let stored = checkpoint.failing.iter().find(|failing| failing.offset == record.offset);
            let stored = stored.map_or(0, |failing| failing.attempts).max(record.attempts);
            let known = fate.verdicts.saturating_sub(fate.forgiven + fate.maybe);
            let blocks = self.config.may_block();
            let owner = held.seq.is_some_and(|seq| self.logs[tp].owner == Some((worker, seq)));
            if owner
                && known >= 2
                && stored < known
                && !blocks
                && !self.truth.is_settled(&self.config, tp, &self.logs[tp], index)
            {
                return violated(
                    "S6",
                    format!("{} of {tp}: the commit of {} keeps {stored} of {fate:?}", record.offset, commit.0),
                );
            }
        }
        Ok(())
    }

    /// The shell unassigns, unless something newer has been said about the partition.
    fn released(&mut self, worker: usize, tp: Tp, seq: u64) -> Checked {
        let tp = tp.index();
        let running = self.workers[worker].calls.iter().any(|call| call.tp == tp && call.cancelled.is_none());
        let held = &mut self.workers[worker].held[tp];
        if held.last_seq != seq {
            return Ok(());
        }
        if let Some(deadline) = held.drain.take() {
            let orderly = self.now < deadline;
            if orderly && running {
                return violated("S7", format!("{tp} is released while a call of it runs"));
            }
            self.coverage.reach(if orderly { Reached::ReleasedInOrder } else { Reached::DrainDeadline });
            if self.now > deadline + Duration::from_secs(8) {
                return violated("L3", format!("{tp} is released {:?} too late", self.now.since(deadline)));
            }
            if orderly && !self.config.may_cut() && self.logs[tp].owner == Some((worker, held.seq.unwrap_or_default()))
            {
                let (log, held) = (&self.logs[tp], &self.workers[worker].held[tp]);
                truth::check_kept(&self.truth, &self.config, tp, log, held)?;
            }
        }
        let held = &mut self.workers[worker].held[tp];
        let seq = held.seq;
        held.begin(None);
        if self.logs[tp].owner.is_some_and(|owner| Some(owner) == seq.map(|seq| (worker, seq))) {
            self.logs[tp].owner = None;
        }
        Ok(())
    }
}

fn told(effect: &Effect) -> String {
    match effect {
        Effect::Start(start) => {
            let of = |delivery: &Delivery| (delivery.tp.0, delivery.record.offset(), delivery.attempt);
            format!("Start {:?} {:?}", start.call, start.deliveries.as_slice().iter().map(of).collect::<Vec<_>>())
        }
        Effect::Forward(forward) => {
            format!("Forward {:?} {} {} {:?}", forward.id, forward.tp.0, forward.record.offset(), forward.to)
        }
        other => format!("{other:?}"),
    }
}
