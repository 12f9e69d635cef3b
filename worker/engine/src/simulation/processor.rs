//! The processor, which answers as planned.

use core::time::Duration;

use super::broker::Plan;
use super::coverage::Reached;
use super::steps::number;
use super::truth::{Checked, Violation, broken, is_aged, lane_of};
use super::worker::{Call, Cancelled};
use super::world::World;
use crate::policy::OnExhausted;
use crate::seam::{AtOnce, CallId, ErrorClass, Event, Failure, Finished, Outcome, Output, OutputRecord};

impl World {
    pub(super) fn can_finish(&self, worker: usize) -> bool {
        let shell = &self.workers[worker];
        shell.calls.iter().any(|call| !self.hangs(worker, call.ticket.call))
    }

    /// Whether a call gives no answer until it is cancelled.
    fn hangs(&self, worker: usize, id: CallId) -> bool {
        let of_call = |call: &&Call| call.ticket.call == id;
        let hang = |call: &Call| matches!(self.logs[call.tp].records[call.index].plan, Plan::Hangs(1..));
        self.workers[worker].calls.iter().filter(of_call).any(|call| call.cancelled.is_none() && hang(call))
    }

    /// One call ends, or a few at once.
    pub(super) fn finish_some(&mut self, worker: usize) -> Checked {
        let mut finished = Vec::new();
        for _ in 0..=self.rng.below(2) {
            let calls = self.workers[worker].calls.len();
            if calls == 0 {
                break;
            }
            let id = self.workers[worker].calls[self.rng.below(calls)].ticket.call;
            if !self.hangs(worker, id) {
                self.finish_call(worker, id, &mut finished);
            }
        }
        if finished.is_empty() { Ok(()) } else { self.on(worker, Event::Finished(finished)) }
    }

    fn finish_call(&mut self, worker: usize, id: CallId, finished: &mut Vec<Finished>) {
        let up = !self.workers[worker].down;
        let breaks = |call: &Call| matches!(self.logs[call.tp].records[call.index].plan, Plan::Breaks(1..));
        let culprit = self.workers[worker].calls.iter().find(|call| call.ticket.call == id && breaks(call));
        if let Some(culprit) = culprit.filter(|call| up && call.cancelled.is_none()) {
            let (tp, index) = (culprit.tp, culprit.index);
            return self.break_connections(worker, tp, index, finished);
        }
        let calls = core::mem::take(&mut self.workers[worker].calls);
        let (mut ended, rest): (Vec<_>, Vec<_>) = calls.into_iter().partition(|call| call.ticket.call == id);
        self.workers[worker].calls = rest;
        ended.sort_by_key(|call| call.ticket.item);
        let plan = |world: &Self, call: &Call| world.logs[call.tp].records[call.index].plan;
        let fails = |world: &Self, call: &Call| matches!(plan(world, call), Plan::Fails(1..) | Plan::Rejects);
        let bad = ended.iter().any(|call| fails(self, call));
        let whole = up && ended.len() > 1 && bad && self.rng.percent(50);
        let missing = (up && ended.len() > 1 && self.rng.percent(10)).then(|| self.rng.below(ended.len()));
        let mut stopped: Vec<(usize, Option<u8>)> = Vec::new();
        for (item, call) in ended.into_iter().enumerate() {
            let (tp, index) = (call.tp, call.index);
            let lane = (tp, lane_of(&self.config, &self.logs[tp].records[index]));
            let failed = || Outcome::BatchFailed(Failure::new(ErrorClass::ServerError, "as planned"));
            let outcome = if call.cancelled.is_some() {
                self.cancelled(worker, &call)
            } else if lane.1.is_some() && stopped.contains(&lane) {
                self.coverage.reach(Reached::AnswerBehindAFailure);
                if self.rng.percent(50) { Outcome::Ack } else { failed() }
            } else if whole {
                self.coverage.reach(Reached::BatchFailed);
                failed()
            } else if missing == Some(item) {
                self.coverage.reach(Reached::ItemMissing);
                failed()
            } else {
                self.outcome(worker, tp, index, call.seq)
            };
            if !is_taken(&outcome) {
                stopped.push(lane);
            }
            self.heard(worker, (call.tp, call.index, call.seq), &outcome);
            if is_taken(&outcome) {
                self.workers[worker].fuse.taken += 1;
            }
            finished.push(Finished { ticket: call.ticket, outcome });
        }
    }

    /// The first of some records are answered before the engine is told of them, if it lets that be.
    pub(super) fn answer_at_once(&mut self, worker: usize, tp: usize, received: &[usize]) -> Result<AtOnce, Violation> {
        let mut at_once = AtOnce::default();
        let seq = self.workers[worker].held[tp].seq.unwrap_or_default();
        if !self.config.at_once {
            return Ok(at_once);
        }
        self.notice_sleep(worker);
        let Some(next) = self.workers[worker].engine.at_once(number(tp), seq, self.now) else { return Ok(at_once) };
        for index in received.iter().copied() {
            let record = &self.logs[tp].records[index];
            if record.offset >= next.offset {
                let slow = matches!(record.plan, Plan::Hangs(_) | Plan::Breaks(_));
                if slow || self.rng.percent(15) {
                    self.coverage.reach(Reached::AtOnceInPart);
                    return Ok(at_once);
                }
                self.check_start(worker, (tp, index), 1, None)?;
                let (probe, fuse_probe) = (self.workers[worker].must_probe(), self.workers[worker].fuse.blown);
                if probe || fuse_probe {
                    return broken(
                        "S11",
                        format!("record {index} of {tp} is answered at once, and only a probe may be"),
                    );
                }
                self.workers[worker].held[tp].started.insert(index);
                let outcome = self.outcome(worker, tp, index, seq);
                self.heard(worker, (tp, index, seq), &outcome);
                if !is_taken(&outcome) {
                    self.coverage.reach(Reached::AtOnceFailed);
                    at_once.other = Some(outcome);
                    return Ok(at_once);
                }
                self.workers[worker].fuse.taken += 1;
                at_once.skipped += u32::from(matches!(outcome, Outcome::Skip));
            }
            at_once.records += 1;
            self.coverage.reach(Reached::AtOnce);
        }
        Ok(at_once)
    }

    /// A cancelled call: mostly nothing is known, sometimes the answer was faster.
    fn cancelled(&mut self, worker: usize, call: &Call) -> Outcome {
        let (tp, index) = (call.tp, call.index);
        let plan = self.logs[tp].records[index].plan;
        let single = !self.workers[worker].batched.remove(&call.ticket.call);
        let good = single && !self.workers[worker].down && matches!(plan, Plan::Good | Plan::Skip);
        if good && self.rng.percent(30) {
            self.coverage.reach(Reached::CancelRacedWithAck);
            return self.outcome(worker, tp, index, call.seq);
        }
        if !single {
            self.workers[worker].batched.insert(call.ticket.call);
        }
        if single && call.cancelled == Some(Cancelled::Timeout) {
            self.coverage.reach(Reached::Timeout);
            self.verdict(worker, tp, index, call.seq);
        }
        self.spend(tp, index);
        // The processor may have done it all the same.
        if single && plan == Plan::Good && self.rng.percent(30) {
            self.truth.settle(tp, index, false);
        }
        Outcome::Cancelled
    }

    /// Whether the circuit has to be open after this answer.
    fn heard(&mut self, worker: usize, (tp, index, seq): (usize, usize, u64), outcome: &Outcome) {
        let shell = &mut self.workers[worker];
        if shell.held[tp].seq != Some(seq) {
            return;
        }
        let opened = shell.must_probe();
        match outcome {
            Outcome::Cancelled | Outcome::ConnectionLost(_) => {}
            Outcome::Unavailable(_) => {
                let lane = lane_of(&self.config, &self.logs[tp].records[index]);
                shell.outage_lanes.insert((tp, lane, if lane.is_none() { index } else { 0 }));
            }
            _ => shell.outage_lanes.clear(),
        }
        match (opened, shell.must_probe()) {
            (false, true) => self.coverage.reach(Reached::CircuitOpen),
            (true, false) => self.coverage.reach(Reached::CircuitClosed),
            _ => {}
        }
    }

    pub(super) fn outcome(&mut self, worker: usize, tp: usize, index: usize, seq: u64) -> Outcome {
        let plan = self.logs[tp].records[index].plan;
        if self.workers[worker].down {
            return Outcome::Unavailable(Failure::new(ErrorClass::Unreachable, "connection refused"));
        }
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
                self.truth.succeed(tp, index);
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
                let current = self.workers[worker].held[tp].seq == Some(seq);
                if self.config.policy.output && current && !self.is_first(worker, tp, index) {
                    self.coverage.reach(Reached::DoneInTurn);
                    self.workers[worker].held[tp].output_pending.insert(index);
                    self.workers[worker].held[tp].in_turn.insert(index);
                }
                if plan == Plan::Skip { Outcome::Skip } else { Outcome::Ack }
            }
        }
    }

    /// Everything in flight on this worker breaks at once.
    pub(super) fn break_connections(&mut self, worker: usize, tp: usize, index: usize, finished: &mut Vec<Finished>) {
        self.spend(tp, index);
        let calls = core::mem::take(&mut self.workers[worker].calls);
        let (broken, rest): (Vec<_>, Vec<_>) = calls.into_iter().partition(|call| call.cancelled.is_none());
        self.workers[worker].calls = rest;
        if broken.iter().any(|call| call.ticket.item > 0) {
            self.coverage.reach(Reached::BatchBroken);
        }
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
    pub(super) fn spend(&mut self, tp: usize, index: usize) {
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
    pub(super) fn verdict(&mut self, worker: usize, tp: usize, index: usize, seq: u64) {
        // A worker that has not heard yet that it lost the partition counts for itself alone.
        let current = self.workers[worker].held[tp].seq == Some(seq) && self.logs[tp].owner == Some((worker, seq));
        let fate = &mut self.truth.fates[tp][index];
        let blocked = self.config.policy.on_exhausted == OnExhausted::Block;
        let known = fate.verdicts.saturating_sub(fate.forgiven);
        if blocked && known >= self.config.policy.retry.max_attempts {
            return; // tried again at leisure, uncharged
        }
        fate.verdicts += 1;
        let last = fate.rejected || known + 1 >= self.config.policy.retry.max_attempts;
        if !current {
            fate.forgiven += 1;
            self.coverage.reach(Reached::LateFailureDropped);
        }
        self.truth.judged(&self.config, tp, index, self.now);
        let fate = &mut self.truth.fates[tp][index];
        if self.config.fuse().is_some() && current && (last || is_aged(&self.config, fate)) {
            fate.maybe += 1; // a blown fuse lets it go uncharged
            self.workers[worker].fuse.condemn(tp, index);
        }
    }
}

/// Whether an answer is the last word on its record.
const fn is_taken(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Ack | Outcome::AckWith(_) | Outcome::Skip)
}
