//! Brokers that tell how long a commit's metadata may be: to each worker as it begins, and again when they came back with another limit.

use super::config::{Config, WORKERS};
use super::coverage::Reached;
use super::rng::Rng;
use super::truth::{Checked, violated};
use super::worker::PendingCommit;
use super::world::World;
use crate::seam::Event;

/// What is drawn here is drawn apart, so that every other schedule is what it was.
const APART: u64 = 0x6c69_6d69_7473;
/// A change is heard of within so many steps.
const HEARD: usize = 60;
/// What the brokers may take, characters. The first few are what these small logs fill.
const LIMITS: [usize; 5] = [60, 100, 200, 1000, 4096];
/// A parked key that is left out is an order that is lost.
const LIMITS_OF_PARKED_KEYS: [usize; 2] = [1000, 4096];

/// From a step on the brokers have another limit, and each worker hears of it so many steps later.
#[derive(Clone, Copy, Debug)]
pub(super) struct Change {
    step: usize,
    to: usize,
    heard_after: [usize; WORKERS],
}

impl Config {
    /// In some schedules the brokers tell their limit.
    pub(super) fn draw_limits(&mut self, seed: u64) {
        let mut rng = Rng::new(seed ^ APART);
        self.limit_told = rng.percent(20);
        if !self.limit_told {
            return;
        }
        if self.policy.parks_keys() {
            self.metadata_limit = rng.pick(&LIMITS_OF_PARKED_KEYS);
            return;
        }
        self.metadata_limit = rng.pick(&LIMITS);
        if rng.percent(40) {
            let (step, to) = (rng.below(self.steps), rng.pick(&LIMITS));
            let heard_after = core::array::from_fn(|_| rng.below(HEARD));
            self.limit_change = Some(Change { step, to, heard_after });
        }
    }
}

impl World {
    /// A worker is told the limit, if the brokers tell it.
    pub(super) fn tell_limit(&mut self, worker: usize) -> Checked {
        if !self.config.limit_told {
            return Ok(());
        }
        self.coverage.reach(Reached::MetadataLimitTold);
        let (limit, shell) = (self.metadata_limit, &mut self.workers[worker]);
        shell.told = Some(limit);
        let before = shell.engine.view().checkpoint_chars;
        if limit != before && !shell.calls.is_empty() {
            let lowered = limit < before;
            self.coverage.reach(if lowered { Reached::MetadataLimitLowered } else { Reached::MetadataLimitRaised });
        }
        self.on(worker, Event::MetadataLimit { bytes: u32::try_from(limit).unwrap() })
    }

    /// The brokers come back with another limit, and sooner or later each worker hears of it.
    pub(super) fn change_limit(&mut self, step: usize) -> Checked {
        let Some(change) = self.config.limit_change else { return Ok(()) };
        if step == change.step {
            self.metadata_limit = change.to;
        }
        for worker in (0..WORKERS).filter(|worker| step == change.step + change.heard_after[*worker]) {
            self.tell_limit(worker)?;
        }
        Ok(())
    }

    /// S8: whoever was told the limit sends nothing that is refused for its size.
    pub(super) fn check_refused(&mut self, commit: &PendingCommit) -> Checked {
        let Some(told) = commit.told else { return Ok(()) };
        if told <= self.metadata_limit {
            let (chars, offset, tp) = (commit.text.len(), commit.offset, commit.tp);
            return violated("S8", format!("{offset} of {tp} is refused: {chars} characters, and {told} were told"));
        }
        self.coverage.reach(Reached::MetadataLimitToldLate);
        Ok(())
    }
}
