//! Giving partitions back in good order: no new starts, finish, commit, release.

use core::time::Duration;

use super::Engine;
use crate::partition::{Partition, Phase};
use crate::seam::{Effect, Tp};
use crate::time::Instant;
use crate::wrong::Wrong;

/// What follows the deadline: half of it for cancelled calls to end, the rest for the last commit.
const TAIL: Duration = Duration::from_secs(5);

/// Partitions that are wanted back, or a shutdown.
#[derive(Debug)]
pub(super) struct Drain {
    /// The revoke to answer; none for a shutdown.
    seq: Option<u64>,
    tps: Vec<Tp>,
    stage: Stage,
    /// When calls still running are cancelled.
    cancel_at: Instant,
    /// When nobody waits any longer for cancelled calls to end.
    commit_at: Instant,
    /// When it is over, whatever is missing.
    end: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Finishing,
    Cancelled,
    Committing,
}

impl Engine {
    pub(super) fn revoking(&mut self, tps: Vec<Tp>, seq: u64, deadline: Instant) {
        for tp in &tps {
            self.stop_starting(*tp);
        }
        self.drains.push(Drain::new(Some(seq), tps, deadline));
    }

    pub(super) fn drain(&mut self, deadline: Instant) {
        self.shutting_down = true;
        let owned = (0..).zip(&self.partitions).filter(|(_, partition)| partition.phase != Phase::Unowned);
        let tps: Vec<Tp> = owned.map(|(index, _)| Tp(index)).collect();
        for tp in &tps {
            self.stop_starting(*tp);
        }
        self.drains.push(Drain::new(None, tps, deadline));
    }

    /// Brings every drain as far as it goes now.
    pub(super) fn advance_drains(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        if self.drains.is_empty() {
            return;
        }
        for mut drain in core::mem::take(&mut self.drains) {
            self.advance_stage(&mut drain, now, effects);
            let mut clean = true;
            for tp in &drain.tps {
                clean &= self.settle(*tp, drain.stage, now, effects);
            }
            if clean || now >= drain.end {
                self.finish_drain(drain, effects);
            } else {
                self.drains.push(drain);
            }
        }
    }

    /// When a drain has to be looked at again, answers aside.
    pub(super) fn next_of_drain(&self, drain: &Drain) -> Instant {
        let stage = match drain.stage {
            Stage::Finishing => drain.cancel_at,
            Stage::Cancelled => drain.commit_at,
            Stage::Committing => drain.end,
        };
        let partitions = drain.tps.iter().filter_map(|tp| self.partitions.get(tp.index()));
        let owing = partitions.filter(|partition| partition.owes_last_commit(drain.stage));
        owing.map(|partition| partition.commits.not_before).fold(stage, Instant::min)
    }

    /// A later assignment or a loss has overtaken what was asked before.
    pub(super) fn forget_drains_of(&mut self, tp: Tp) {
        if self.breaks(Wrong::StaleUnassign) {
            return;
        }
        for drain in &mut self.drains {
            drain.tps.retain(|other| *other != tp);
        }
        self.drains.retain(|drain| drain.seq.is_none() || !drain.tps.is_empty());
    }

    fn stop_starting(&mut self, tp: Tp) {
        let Some(partition) = self.partitions.get_mut(tp.index()) else { return };
        match partition.phase {
            Phase::Unowned | Phase::Draining => {}
            Phase::Loading => self.give_back(tp), // nothing was started: there is nothing to commit
            Phase::Flowing | Phase::Stopped => {
                partition.phase = Phase::Draining;
                partition.fresh.seqs.clear();
                partition.again.seqs.clear();
            }
        }
    }

    fn advance_stage(&mut self, drain: &mut Drain, now: Instant, effects: &mut Vec<Effect>) {
        if drain.stage == Stage::Finishing && now >= drain.cancel_at {
            let calls = self.calls.give_up(|claim| drain.tps.contains(&claim.tp) && !claim.stale);
            effects.extend(calls.into_iter().map(|call| Effect::Cancel { call }));
            drain.stage = Stage::Cancelled;
        }
        if drain.stage == Stage::Cancelled && now >= drain.commit_at {
            drain.stage = Stage::Committing;
        }
    }

    /// Whether nothing more is to be done for a partition; sends the commit that is still missing.
    fn settle(&mut self, tp: Tp, stage: Stage, now: Instant, effects: &mut Vec<Effect>) -> bool {
        let Some(partition) = self.partitions.get(tp.index()) else { return true };
        if partition.phase != Phase::Draining {
            return !self.breaks(Wrong::StaleUnassign);
        }
        if partition.owes_last_commit(stage) {
            if partition.may_commit(now) {
                self.send_commit(tp, now, effects);
            }
            return false;
        }
        partition.commits.under_way.is_none() && partition.has_ended(stage)
    }

    fn finish_drain(&mut self, drain: Drain, effects: &mut Vec<Effect>) {
        let Some(seq) = drain.seq else {
            effects.push(Effect::Drained);
            return;
        };
        for tp in &drain.tps {
            self.give_back(*tp);
        }
        self.share_window();
        effects.push(Effect::Released { tps: drain.tps, seq });
    }
}

impl Partition {
    /// Whether nobody waits for calls and forwards of it any more.
    fn has_ended(&self, stage: Stage) -> bool {
        self.is_quiet() || stage == Stage::Committing
    }

    /// Whether the last commit is still to be sent. Where our owner number is unknown, nothing was started, and only a call
    /// of an earlier assignment can have changed anything.
    fn owes_last_commit(&self, stage: Stage) -> bool {
        let something = self.commits.owner_known || self.usage.processed > 0;
        let open = self.phase == Phase::Draining && something && self.commits.under_way.is_none();
        open && self.has_ended(stage) && self.wants_commit()
    }
}

impl Drain {
    fn new(seq: Option<u64>, tps: Vec<Tp>, deadline: Instant) -> Self {
        let (commit_at, end) = (deadline + TAIL / 2, deadline + TAIL);
        Self { seq, tps, stage: Stage::Finishing, cancel_at: deadline, commit_at, end }
    }
}
