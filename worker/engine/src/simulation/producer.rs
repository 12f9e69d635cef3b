//! The producer, which may fail, and when a record is done: in the order of its lane.

use super::config::SOURCES;
use super::coverage::Reached;
use super::truth::{Checked, lane_of, output_partition, violated};
use super::worker::PendingForward;
use super::world::World;
use crate::policy::OnExhausted;
use crate::seam::{Destination, ErrorClass, Event, Failure, ForwardResult, Forwarded};

impl World {
    /// The worker knows that the record is done, if the partition is still or again its own.
    pub(super) fn answered(&mut self, worker: usize, tp: usize, index: usize, seq: u64) {
        let Some(current) = self.workers[worker].held[tp].seq else { return };
        if current != seq && self.logs[tp].records[index].number.is_some() {
            return; // whether it was its turn is known to its own assignment only
        }
        if current != seq && !self.is_first(worker, tp, index) {
            return; // should one before it be called again, so is this one
        }
        self.workers[worker].held[tp].answered.insert(index);
        if current != seq {
            self.coverage.reach(Reached::LateAckCounted);
        }
    }

    /// Whether all before a record in its lane are done, as far as the worker has received them.
    pub(super) fn is_first(&self, worker: usize, tp: usize, index: usize) -> bool {
        let lane = |index: usize| lane_of(&self.config, &self.logs[tp].records[index]);
        let held = &self.workers[worker].held[tp];
        let mut before = held.received.range(..index).filter(|other| lane(**other) == lane(index));
        let is_done = |other: &usize| held.is_done(*other, self.logs[tp].records[*other].offset);
        lane(index).is_none() || before.all(is_done)
    }

    /// A record of a lane has to be done again: so have those behind it that have not been received.
    pub(super) fn forget_answers_behind(&mut self, worker: usize, tp: usize, index: usize) {
        let lane = |index: usize| lane_of(&self.config, &self.logs[tp].records[index]);
        let held = &mut self.workers[worker].held[tp];
        let behind = |other: usize| other > index && lane(index).is_some() && lane(other) == lane(index);
        held.answered.retain(|other| !behind(*other));
    }

    /// Whether the producer has an output of a record before that one in its lane.
    pub(super) fn is_behind_an_output(&self, worker: usize, tp: usize, index: usize) -> bool {
        let lane = |index: usize| lane_of(&self.config, &self.logs[tp].records[index]);
        let before = |one: &PendingForward| one.tp == tp && one.index < index && lane(one.index) == lane(index);
        lane(index).is_some() && self.workers[worker].forwards.iter().any(before)
    }

    /// The output that the producer writes before that one, if there is one: it keeps their order within a partition.
    fn first_of_its_partition(&mut self, worker: usize, which: usize) -> usize {
        let forwards = &self.workers[worker].forwards;
        let mine = &forwards[which];
        let before = |other: &PendingForward| {
            self.are_outputs_of_a_lane(mine, other) && output_partition(mine.index) == output_partition(other.index)
        };
        let first = forwards.iter().position(before);
        if first.is_some_and(|first| first < which) {
            self.coverage.reach(Reached::OutputsInARow);
        }
        first.unwrap_or(which)
    }

    /// Two producers keep no order between them: what one writes alone has no other of its lane beside it.
    pub(super) fn check_alone(&self, worker: usize) -> Checked {
        let Some((last, before)) = self.workers[worker].forwards.split_last() else { return Ok(()) };
        let races = |other: &PendingForward| other.alone != last.alone && !other.recalled;
        let beside = |other: &&PendingForward| races(other) && self.are_outputs_of_a_lane(last, other);
        match before.iter().find(beside) {
            Some(other) => violated("S5", format!("{} and {} of {} race", other.index, last.index, last.tp)),
            None => Ok(()),
        }
    }

    fn are_outputs_of_a_lane(&self, one: &PendingForward, other: &PendingForward) -> bool {
        let lane = |of: &PendingForward| lane_of(&self.config, &self.logs[of.tp].records[of.index]);
        let outputs = [one, other].iter().all(|of| matches!(of.to, Destination::Output(_)));
        outputs && one.tp == other.tp && lane(one).is_some() && lane(one) == lane(other)
    }

    /// An output could not be written: those behind it in its lane do not count.
    fn recall_behind(&mut self, worker: usize, failed: &PendingForward) {
        if !matches!(failed.to, Destination::Output(_)) {
            return;
        }
        self.truth.fates[failed.tp][failed.index].output_failed = true;
        let behind = |other: &PendingForward| self.are_outputs_of_a_lane(failed, other) && other.index > failed.index;
        let behind: Vec<bool> = self.workers[worker].forwards.iter().map(behind).collect();
        for (forward, behind) in self.workers[worker].forwards.iter_mut().zip(behind) {
            forward.recalled |= behind;
        }
        let records = &self.logs[failed.tp].records;
        let lane = |index: usize| lane_of(&self.config, &records[index]);
        let held = &mut self.workers[worker].held[failed.tp];
        held.written.retain(|index| *index < failed.index || lane(*index) != lane(failed.index));
    }

    /// An output is written, which the worker takes for done once all before it in its lane are.
    fn written(&mut self, worker: usize, pending: &PendingForward) {
        let PendingForward { tp, index, seq, recalled, .. } = *pending;
        self.truth.put_out(tp, index, worker);
        if recalled {
            return self.coverage.reach(Reached::OutputRecalled);
        }
        if self.workers[worker].held[tp].seq != Some(seq) {
            return self.answered(worker, tp, index, seq);
        }
        let before = |other: &PendingForward| self.are_outputs_of_a_lane(pending, other) && other.index < index;
        if self.workers[worker].forwards.iter().any(before) {
            self.coverage.reach(Reached::OutputBeforeItsTurn);
        }
        self.workers[worker].held[tp].written.insert(index);
        self.settle_written(worker, tp);
    }

    /// What was written, or needed no output, and waits for nobody before it is done.
    pub(super) fn settle_written(&mut self, worker: usize, tp: usize) {
        let held = &self.workers[worker].held[tp];
        for index in held.written.union(&held.in_turn).copied().collect::<Vec<_>>() {
            if self.is_first(worker, tp, index) {
                let held = &mut self.workers[worker].held[tp];
                held.written.remove(&index);
                held.in_turn.remove(&index);
                held.output_pending.remove(&index);
                held.answered.insert(index);
            }
        }
    }

    /// The producer is made anew, and nobody knows of anything that it had.
    fn fail_forwards(&mut self, worker: usize) -> Checked {
        let mut failed = Vec::new();
        while !self.workers[worker].forwards.is_empty() {
            let which = self.rng.below(self.workers[worker].forwards.len());
            let pending = self.workers[worker].forwards.remove(which);
            self.recall_behind(worker, &pending);
            let result = ForwardResult::Failed(Failure::new(ErrorClass::ForwardFailed, "as planned"));
            failed.push(Forwarded { id: pending.id, result });
        }
        self.coverage.reach(Reached::ProducerRebuilt);
        self.on(worker, Event::Forwarded(failed))
    }

    pub(super) fn answer_forward(&mut self, worker: usize) -> Checked {
        if self.workers[worker].forwards.is_empty() {
            return Ok(());
        }
        if !self.calm && self.rng.percent(3) {
            return self.fail_forwards(worker);
        }
        let which = self.rng.below(self.workers[worker].forwards.len());
        let which = self.first_of_its_partition(worker, which);
        let pending = self.workers[worker].forwards.remove(which);
        let PendingForward { id, ref to, tp, index, seq, parked, .. } = pending;
        let is_output = matches!(to, Destination::Output(_));
        let is_delay = matches!(to, Destination::Delay { .. });
        if !self.calm && !pending.alone && self.rng.percent(5) {
            self.coverage.reach(Reached::RefusedInCompany);
            self.recall_behind(worker, &pending);
            return self.on(worker, Event::Forwarded(vec![Forwarded { id, result: ForwardResult::RefusedInCompany }]));
        }
        let failure = || Failure::new(ErrorClass::ForwardFailed, "as planned");
        let result = match self.rng.below(20) {
            0..3 if !self.calm => {
                self.coverage.reach(Reached::ForwardRepeated);
                if is_delay && self.rng.percent(30) {
                    self.coverage.reach(Reached::DelayedTwice);
                    self.delay(&pending); // written, and nobody knows
                }
                if is_output && self.rng.percent(30) {
                    self.truth.put_out(tp, index, worker); // the same
                }
                self.recall_behind(worker, &pending);
                ForwardResult::Failed(failure())
            }
            3 if !self.calm && is_output && self.config.policy.on_exhausted != OnExhausted::Block => {
                self.coverage.reach(Reached::OutputRefused);
                self.truth.fates[tp][index].rejected = true;
                self.verdict(worker, tp, index, seq);
                if self.workers[worker].held[tp].seq == Some(seq) {
                    self.workers[worker].held[tp].answered.remove(&index);
                }
                if self.config.policy.on_exhausted == OnExhausted::Discard {
                    self.workers[worker].held[tp].output_pending.remove(&index);
                }
                self.recall_behind(worker, &pending);
                ForwardResult::Refused(failure())
            }
            4 if !self.calm && !is_output => {
                self.coverage.reach(if is_delay { Reached::DelayRefused } else { Reached::DeadLetterRefused });
                ForwardResult::Refused(failure())
            }
            _ => {
                if is_delay {
                    self.coverage.reach(if tp < SOURCES { Reached::Delayed } else { Reached::DelayedAgain });
                    self.delay(&pending);
                } else if !is_output {
                    self.coverage.reach(Reached::DeadLetter);
                }
                if is_output {
                    self.written(worker, &pending);
                    return self.on(worker, Event::Forwarded(vec![Forwarded { id, result: ForwardResult::Confirmed }]));
                }
                if !is_delay {
                    self.truth.settle(tp, index, true);
                    self.lettered(tp, index, parked);
                }
                self.workers[worker].held[tp].output_pending.remove(&index);
                self.settle_written(worker, tp);
                if parked.is_none() || self.workers[worker].held[tp].seq == Some(seq) {
                    self.answered(worker, tp, index, seq);
                }
                ForwardResult::Confirmed
            }
        };
        self.on(worker, Event::Forwarded(vec![Forwarded { id, result }]))
    }
}
