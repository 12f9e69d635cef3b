//! L4: what may run runs.

use super::truth::{Checked, lane_of, violated};
use super::worker::{PendingForward, Worker};
use super::world::World;
use crate::seam::{Destination, Tp};

impl World {
    /// With a free slot, no fresh record waits but for one before it in its lane.
    pub(super) fn check_idle_slots(&self, worker: usize) -> Checked {
        let shell = &self.workers[worker];
        let room = shell.forward_room as usize;
        let waits = !self.config.policy.batch.max_wait.is_zero() && !shell.calls.is_empty();
        let free = shell.calls_in_progress() < shell.engine.view().concurrency as usize
            && !waits
            && shell.engine.view().circuit_open.is_none()
            && !shell.fuse.blown
            && shell.calls.len() + shell.engine.forwards_out() < room
            && shell.calls.iter().all(|call| call.cancelled.is_none())
            && self.config.checkpoint_chars() >= 1000
            && !self.config.may_cut();
        let allowed = shell.ready && !shell.paused && shell.leaving.is_none() && !shell.engine.is_the_suspects_turn();
        if !free || !allowed {
            return Ok(());
        }
        for (tp, held) in shell.held.iter().enumerate().filter(|(_, held)| held.drain.is_none() && held.seq.is_some()) {
            let owner_known = shell.engine.is_flowing(Tp(u32::try_from(tp).unwrap()));
            for index in held.received.iter().filter(|_| owner_known) {
                let record = &self.logs[tp].records[*index];
                let fresh = !held.started.contains(index) && !held.answered.contains(index);
                let tried = self.truth.fates[tp][*index].verdicts > 0;
                if fresh
                    && record.due <= self.now
                    && !tried
                    && !held.is_known(record.offset)
                    && (!self.parks() || record.key.is_none()) // one that was parked may be known to be done
                    && self.is_lane_free(shell, tp, *index)
                {
                    return violated(
                        "L4",
                        format!("{} of {tp} waits, though its lane and a slot are free", record.offset),
                    );
                }
            }
        }
        Ok(())
    }

    /// Whether nothing of a record's lane is under way, and all before it there are done; of a record without a lane, whether it is not
    /// under way itself.
    fn is_lane_free(&self, shell: &Worker, tp: usize, index: usize) -> bool {
        let records = &self.logs[tp].records;
        let lane = |index: usize| lane_of(&self.config, &records[index]);
        let mine = |other: usize| other == index || (lane(index).is_some() && lane(other) == lane(index));
        let held = &shell.held[tp];
        // Where writes are overlapped, an output need only be with the producer, unless there were many.
        let on_its_way = |one: &PendingForward| {
            let plain = matches!(one.to, Destination::Output(_)) && !one.recalled && !one.alone;
            self.config.policy.overlaps_writes() && !shell.crowded && plain && Some(one.seq) == held.seq
        };
        let forwards = || shell.forwards.iter().filter(|one| one.tp == tp && mine(one.index));
        let is_done = |other: &usize| {
            held.is_done(*other, records[*other].offset)
                || held.written.contains(other)
                || held.in_turn.contains(other)
                || forwards().any(|one| one.index == *other && on_its_way(one))
        };
        let called = shell.calls.iter().any(|call| call.tp == tp && mine(call.index));
        let before = held.received.range(..index).filter(|other| mine(**other));
        !called && forwards().all(on_its_way) && before.copied().all(|other| is_done(&other))
    }
}
