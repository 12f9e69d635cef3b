//! The group: partitions are given, wanted back and lost; workers die and are told to end.

use core::time::Duration;

use super::broker::{Partition, Plan};
use super::config::{DELAYS, PARTITIONS, SOURCES, WORKERS};
use super::coverage::Reached;
use super::steps::number;
use super::truth::Checked;
use super::worker::{Control, Worker};
use super::world::World;
use crate::seam::{Assignment, Destination, Event, PartitionRole};

impl World {
    pub(super) fn assign_somebody(&mut self, tp: usize) {
        let candidates: Vec<usize> = (0..WORKERS).filter(|worker| self.workers[*worker].leaving.is_none()).collect();
        if self.logs[tp].owner.is_some() || candidates.is_empty() {
            return;
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
    }

    /// Retention takes the oldest records.
    pub(super) fn retain_less(&mut self, tp: usize) {
        if self.parks() {
            return; // a letter that retention takes on its way back is a gap that the tool must be told to pass
        }
        let log = &mut self.logs[tp];
        let index = self.rng.below(log.records.len());
        log.start = log.start.max(log.records[index].offset);
    }

    pub(super) fn revoke(&mut self, tp: usize) {
        let Some((worker, assigned)) = self.logs[tp].owner else { return };
        let seq = self.number();
        let deadline_in = self.rng.pick(&[100, 1000, 4000, 20_000]);
        let shell = &self.workers[worker];
        let asked = |control: &Control| matches!(control, Control::Revoking { tp: other, .. } if *other == tp);
        let answered = shell.held[tp].drain.is_none() && !shell.control.iter().any(asked);
        if shell.held[tp].seq == Some(assigned) && answered {
            self.workers[worker].control.push_back(Control::Revoking { tp, seq, deadline_in });
        }
    }

    pub(super) fn lose(&mut self, tp: usize) {
        let Some((worker, _)) = self.logs[tp].owner.take() else { return };
        let seq = self.number();
        self.workers[worker].control.push_back(Control::Lost { tp, seq });
        self.coverage.reach(Reached::Loss);
        if self.workers[worker].held[tp].drain.is_some() {
            self.coverage.reach(Reached::LossWhileDraining);
        }
        if self.rng.percent(50) {
            self.assign_somebody(tp);
        }
    }

    pub(super) fn look_at_control(&mut self, worker: usize) -> Checked {
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
                let delay = tp.checked_sub(SOURCES).map(|tier| PartitionRole::Delay { delay: DELAYS[tier] });
                let role = delay.unwrap_or_default();
                let assignment = Assignment { tp: number(tp), topic: "orders".into(), partition, role };
                self.on(worker, Event::Assigned { partitions: vec![assignment], seq })
            }
            Control::Revoking { tp, seq, deadline_in } => {
                let deadline = self.now + Duration::from_millis(deadline_in);
                let held = &mut self.workers[worker].held[tp];
                if held.seq.is_none() {
                    return Ok(()); // lost in the meantime
                }
                held.last_seq = seq;
                held.drain = Some(deadline);
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
    pub(super) fn crash(&mut self, worker: usize) -> Checked {
        self.coverage.reach(Reached::Crash);
        for call in core::mem::take(&mut self.workers[worker].calls) {
            let plan = self.logs[call.tp].records[call.index].plan;
            if call.ticket.item == 0 && matches!(plan, Plan::Good | Plan::Skip) && self.rng.percent(50) {
                self.truth.settle(call.tp, call.index, false);
            }
        }
        for forward in core::mem::take(&mut self.workers[worker].forwards) {
            if matches!(forward.to, Destination::Delay { .. }) && self.rng.percent(50) {
                self.coverage.reach(Reached::DelayedOnCrash);
                self.delay(&forward);
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

    pub(super) fn replace(&mut self, worker: usize) -> Checked {
        let incarnation = self.number();
        self.workers[worker] = Worker::new(&self.config, incarnation, self.wrong);
        self.boot(worker)
    }

    pub(super) fn terminate(&mut self, worker: usize) -> Checked {
        if self.workers[worker].leaving.is_some() {
            return self.exit(worker);
        }
        self.coverage.reach(Reached::Shutdown);
        self.workers[worker].leaving = Some(false);
        let deadline = self.now + Duration::from_millis(self.rng.pick(&[500, 5000, 30_000]));
        self.on(worker, Event::Drain { deadline })
    }

    /// A drained worker closes its consumer: the group takes its partitions, and the process ends.
    pub(super) fn exit(&mut self, worker: usize) -> Checked {
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
            (held.last_seq, held.drain) = (seq, Some(deadline));
            self.on(worker, Event::Revoking { tps: vec![number(tp)], seq, deadline })?;
        }
        let owns = |log: &Partition| log.owner.is_some_and(|(owner, _)| owner == worker);
        if self.logs.iter().any(owns) {
            return Ok(()); // calls that outlast the drain
        }
        self.workers[worker].calls.clear();
        self.replace(worker)
    }

    pub(super) fn pause_or_resume(&mut self, worker: usize) -> Checked {
        self.coverage.reach(Reached::Pause);
        self.workers[worker].paused = !self.workers[worker].paused;
        let paused = self.workers[worker].paused;
        self.on(worker, if paused { Event::Pause } else { Event::Resume })
    }
}
