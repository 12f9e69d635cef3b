//! Delay topics: what is forwarded to one is a record of its own from then on, with the troubles that are left to it.

use super::broker::LogRecord;
use super::config::{DELAYS, SOURCES};
use super::truth::{Checked, Fate, violated};
use super::worker::PendingForward;
use super::world::World;
use crate::seam::Destination;

impl World {
    /// The broker appends a record to a delay topic.
    pub(super) fn delay(&mut self, forward: &PendingForward) {
        let Destination::Delay { tier, cause } = &forward.to else { return };
        let (tp, gap) = (SOURCES + tier, i64::from(self.rng.percent(20)));
        let origin = &self.logs[forward.tp].records[forward.index];
        let fate = &mut self.truth.fates[forward.tp][forward.index];
        fate.delayed = true;
        let (verdicts, verdicts_at, now) = (cause.attempts, fate.verdicts_at, self.now);
        let (offset, key, plan) = (self.logs[tp].end + gap, origin.key, origin.plan);
        let failing_since = verdicts_at.map(|(first, _)| first);
        let due = now + DELAYS[*tier];
        let written = LogRecord::new(offset, 0, key, plan, self.logs[tp].records.len());
        let record = LogRecord { attempts: verdicts, due, failing_since, ..written };
        self.logs[tp].records.push(record);
        self.logs[tp].end = offset + 1;
        self.truth.fates[tp].push(Fate { verdicts, verdicts_at, ..Fate::default() });
    }

    /// S6, S12: what goes to a delay topic has failed and is not used up, carries its attempts, and waits as long as those say.
    pub(super) fn check_delay(&self, worker: usize, tp: usize, index: usize, to: &Destination) -> Checked {
        let Destination::Delay { tier, cause } = to else { return Ok(()) };
        let (fate, retry) = (&self.truth.fates[tp][index], &self.config.policy.retry);
        let offset = self.logs[tp].records[index].offset;
        if cause.attempts > fate.verdicts || fate.verdicts == 0 {
            return violated("S12", format!("{offset} of {tp} is delayed: {cause:?} after {fate:?}"));
        }
        let current = self.workers[worker].held[tp].seq.is_some_and(|seq| self.logs[tp].owner == Some((worker, seq)));
        if current && cause.attempts + fate.forgiven + fate.maybe < fate.verdicts {
            return violated("S6", format!("{offset} of {tp} is delayed with {cause:?} after {fate:?}"));
        }
        if cause.attempts >= retry.max_attempts || *tier != (cause.attempts.min(retry.delay_tiers) - 1) as usize {
            return violated("S6", format!("{offset} of {tp} is delayed in {tier} with {cause:?}"));
        }
        Ok(())
    }
}
