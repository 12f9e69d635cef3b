//! What may happen next, and the scheduler that picks.

use core::time::Duration;

use super::broker::Plan;
use super::config::{SOURCES, WORKERS};
use super::truth::{Checked, Violation, violated};
use super::world::World;
use crate::seam::{Event, Tp};

/// After this many steps without faults, what is not done never will be.
const CALM_STEPS_MAX: usize = 4000;

/// Letters that fail go round: a log must not grow for ever.
const RECORDS_MAX: usize = 60;

impl World {
    /// A whole schedule: faults, then calm, then the books are checked.
    pub(super) fn run(&mut self) -> Checked {
        for worker in 0..WORKERS {
            self.boot(worker)?;
        }
        for step in 0..self.config.steps {
            self.change_limit(step)?;
            self.step()?;
        }
        self.calm_down()?;
        self.truth.check_order(&self.config, &self.logs)?;
        self.truth.check_end(&self.config, &self.logs)
    }

    pub(super) fn boot(&mut self, worker: usize) -> Checked {
        let slots = u32::try_from(1 + self.rng.below(4)).unwrap() * self.rng.pick(&[1, 1, 4]);
        self.workers[worker].forward_room = if self.config.policy.forwards() { slots } else { u32::MAX };
        self.on(worker, Event::ForwardRoom { slots })?;
        self.tell_limit(worker)?;
        if self.rng.percent(70) { self.probe_answer(worker, true) } else { Ok(()) }
    }

    fn step(&mut self) -> Checked {
        let worker = self.rng.below(WORKERS);
        let tp = self.rng.below(self.config.partitions());
        match self.rng.below(100) {
            0..18 => self.hand_over(worker, tp),
            18..22 => self.tell_position(worker, tp),
            22..48 if !self.rng.percent(self.config.sluggish) => self.finish_some(worker),
            48..58 => self.answer_commit(worker),
            58..66 => self.answer_forward(worker),
            66..72 => self.answer_fetch(worker),
            72..79 => self.look_at_control(worker),
            79..82 => {
                self.assign_somebody(tp);
                Ok(())
            }
            82 if self.workers[worker].probes > 0 => self.probe_answer(worker, true),
            83 if self.rng.percent(self.config.restless * 5) => {
                self.revoke(tp);
                Ok(())
            }
            84 if self.rng.percent(self.config.restless * 4) => {
                self.lose(tp);
                Ok(())
            }
            85 if self.rng.percent(self.config.restless * 2) => self.crash(worker),
            86 if self.rng.percent(self.config.restless * 2) => self.terminate(worker),
            87 if self.rng.percent(self.config.restless * 3) => self.pause_or_resume(worker),
            88 if self.rng.percent(self.config.restless * 3) => {
                self.workers[worker].down = !self.workers[worker].down;
                Ok(())
            }
            89 if self.rng.percent(self.config.restless * 2) => {
                self.retain_less(tp % SOURCES);
                Ok(())
            }
            90..93 if self.parks() => {
                let most = 1 + self.rng.below(4);
                self.redrive(tp, most);
                Ok(())
            }
            93 if self.parks() && self.logs[tp].records.len() < RECORDS_MAX => {
                self.produce(tp);
                Ok(())
            }
            _ => self.pass_time(),
        }
    }

    /// The faults end; whatever is pending is answered well until nothing is left to do.
    fn calm_down(&mut self) -> Checked {
        self.calm = true;
        if self.config.fuse().is_some() || self.parks() {
            self.mend_processor(); // a fuse stays blown while whatever it sees fails
        }
        for step in 0..CALM_STEPS_MAX {
            let mut moved = false;
            for worker in 0..WORKERS {
                moved |= self.calm_worker(worker)?;
            }
            for tp in 0..self.config.partitions() {
                if self.logs[tp].owner.is_none() {
                    self.assign_somebody(tp);
                    moved |= self.logs[tp].owner.is_some(); // nobody can have it while all are leaving
                }
            }
            if moved {
                continue;
            }
            let wake = self.workers.iter().filter_map(|worker| worker.engine.next_wake()).min();
            let Some(wake) = wake else {
                if self.redrive_the_rest() {
                    continue;
                }
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

    fn mend_processor(&mut self) {
        for record in self.logs.iter_mut().flat_map(|log| &mut log.records) {
            if matches!(record.plan, Plan::Rejects | Plan::Fails(_)) {
                record.plan = Plan::Good;
            }
        }
    }

    fn calm_worker(&mut self, worker: usize) -> Result<bool, Violation> {
        self.workers[worker].down = false;
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
        for tp in 0..self.config.partitions() {
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
        // Rarely all of them sleep, for more than half of what a call may take; never while somebody has to be done by a deadline.
        let drains = self.workers.iter().flat_map(|worker| &worker.held).any(|held| held.drain.is_some());
        let jump = if !drains && self.rng.percent(2) { 4_000 } else { self.rng.pick(&[1, 20, 100, 400, 1500]) };
        let jump = Duration::from_millis(jump);
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

    pub(super) fn probe_answer(&mut self, worker: usize, ready: bool) -> Checked {
        let ready = ready && (self.calm || self.rng.percent(90));
        self.workers[worker].probes = 0;
        self.workers[worker].ready = ready;
        self.on(worker, Event::ProcessorHealth { ready })
    }
}

pub(super) fn number(tp: usize) -> Tp {
    Tp(u32::try_from(tp).unwrap())
}
