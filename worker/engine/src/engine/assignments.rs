//! Partitions come and go.

use core::ops::Range;
use core::time::Duration;

use penstock_crds::checkpoint::{self, Checkpoint, ErrorClass, Hold, HoldReason, Lost, Place, Rejected};

use super::{Engine, Processor};
use crate::ledger::Ledger;
use crate::parking::Parking;
use crate::partition::{Held, Log, Partition, Phase, of_offset};
use crate::policy::OnOffsetLoss;
use crate::seam::{Assignment, Effect, LoadFailed, Loaded, TopicId, Tp};
use crate::time::Instant;
use crate::timers::Alarm;
use crate::troubles::Troubles;
use crate::wrong::Wrong;

/// Between two tries to read a checkpoint, or two probes of a processor that does not answer.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(1);

impl Engine {
    pub(super) fn assigned(&mut self, assignments: Vec<Assignment>, seq: u64, effects: &mut Vec<Effect>) {
        for assignment in assignments {
            let tp = assignment.tp;
            while self.partitions.len() <= tp.index() {
                self.partitions.push(Partition::unowned());
            }
            // Ours already: the shell overtook a release, which is void now.
            self.forget_drains_of(tp);
            self.give_back(tp);
            self.partitions[tp.index()].assign(assignment, seq);
            if !self.shutting_down {
                effects.push(Effect::FetchCheckpoint { tp, seq });
            }
        }
        self.share_window();
        if self.processor == Processor::Unknown {
            self.probe(effects);
        }
    }

    pub(super) fn checkpoint_loaded(
        &mut self,
        tp: Tp,
        seq: u64,
        result: Result<Loaded, LoadFailed>,
        now: Instant,
        effects: &mut Vec<Effect>,
    ) {
        let forget_attempts = self.breaks(Wrong::AttemptsLostOnRebalance);
        let skip = i64::from(self.breaks(Wrong::SkipOneOnResume));
        let Some(partition) = self.owned(tp, seq, Phase::Loading) else {
            self.counters.stray += 1;
            return;
        };
        let epoch = partition.epoch;
        let Ok(loaded) = result else {
            self.timers.set(now + ASK_AGAIN_AFTER, Alarm::Fetch { tp, epoch });
            return;
        };
        let checkpoint = partition.read_checkpoint(&loaded);
        let made_anew = matches!(checkpoint, Err(Rejected::OtherLog)) && partition.knows_another_log(&loaded);
        self.counters.checkpoints_rejected +=
            u64::from(matches!(&checkpoint, Err(rejected) if *rejected != Rejected::Empty));
        let Checkpoint { owner, done, mut failing, mut parked, hold, .. } = checkpoint.unwrap_or_default();
        if forget_attempts {
            failing.clear();
        }
        // Whoever turns to another policy takes the letters that are out for plain dead letters.
        if !self.policy.parks_keys() || self.breaks(Wrong::ParkedKeysLostOnRebalance) {
            parked.clear();
        }
        // Our own last commit may have come too late for its log: what it says is no place in the one that is there now.
        let (offset, leader_epoch) = if made_anew { (0, -1) } else { (loaded.offset, loaded.leader_epoch) };
        let lost = match hold.filter(|hold| hold.reason == HoldReason::DataLoss) {
            Some(Hold { lost, .. }) => Some(lost.map(|lost| lost.as_of(offset))),
            None => made_anew.then_some(Some(Lost { wanted: loaded.offset, found: 0 })),
        };
        let stopped = lost.filter(|_| self.policy.on_offset_loss == OnOffsetLoss::Stop);
        let partition = &mut self.partitions[tp.index()];
        partition.enter_log(&loaded);
        partition.owner = owner.saturating_add(1);
        partition.open(Ledger::new(offset, leader_epoch, done), Troubles::restore(&failing, now));
        partition.parking = Parking::restore(parked);
        if let Some(lost) = stopped {
            // Nobody has decided yet: who resets the offset leaves no checkpoint, and who says `Resume` has another policy.
            partition.stop(lost, now);
        } else {
            partition.phase = Phase::Flowing;
            effects.push(Effect::Assign { tp, seq, offset: offset + skip, leader_epoch });
            self.consider_credit(tp);
        }
        self.send_commit(tp, now, effects);
    }

    pub(super) fn fetch_again(&mut self, tp: Tp, epoch: u32, effects: &mut Vec<Effect>) {
        let partition = &self.partitions[tp.index()];
        if partition.epoch == epoch && partition.phase == Phase::Loading {
            effects.push(Effect::FetchCheckpoint { tp, seq: partition.seq });
        }
    }

    pub(super) fn lost(&mut self, tps: Vec<Tp>, seq: u64, effects: &mut Vec<Effect>) {
        let gone = self.calls.give_up(|claim| tps.contains(&claim.tp) && !claim.stale);
        effects.extend(gone.into_iter().map(|call| Effect::Cancel { call }));
        for tp in &tps {
            self.forget_drains_of(*tp);
            self.give_back(*tp);
        }
        self.share_window();
        effects.push(Effect::Released { tps, seq });
    }

    /// Ends an assignment: what still runs holds its lane, everything else is forgotten.
    pub(super) fn give_back(&mut self, tp: Tp) {
        let forget = self.breaks(Wrong::LaneForgottenOnGiveBack);
        let Some(partition) = self.partitions.get_mut(tp.index()).filter(|partition| partition.phase != Phase::Unowned)
        else {
            return;
        };
        let old = partition.close();
        let claims = self.calls.claims_mut().filter(|claim| claim.tp == tp).chain(self.forwards.forsake(tp));
        for claim in claims {
            partition.hold_lane(claim, &old);
            if forget {
                partition.lanes.let_go(claim.lane);
                claim.lane = partition.lanes.hold(of_offset(!claim.offset));
            }
        }
    }

    /// The offset to read from is gone. Nothing is skipped without a word, nor against the pipeline's will.
    pub(super) fn offset_lost(
        &mut self,
        tp: Tp,
        seq: u64,
        log: Range<i64>,
        topic_id: TopicId,
        now: Instant,
        effects: &mut Vec<Effect>,
    ) {
        if self.owned(tp, seq, Phase::Flowing).is_none() {
            self.counters.stray += 1;
            return;
        }
        let stops = self.policy.on_offset_loss == OnOffsetLoss::Stop;
        let partition = &mut self.partitions[tp.index()];
        let re_created = topic_id != partition.log.topic_id;
        let next = partition.ledger.next_offset();
        let found = if re_created || log.start > next { log.start } else { log.end };
        let lost = Some(Lost { wanted: next, found });
        if !re_created && log.start >= next {
            // Overtaken by retention: what was received before is still here to be done.
            if stops {
                self.uncommitted = true;
                return partition.hold_for_loss(lost, now);
            }
            self.counters.offsets_lost += (log.start - next).cast_unsigned();
            partition.ledger.position(log.start);
            self.uncommitted = true;
            return effects.push(Effect::Assign { tp, seq, offset: log.start, leader_epoch: -1 });
        }
        // Cut short, the log goes on at its end; made anew, it begins. Offsets mean other records from here on.
        let frontier = partition.ledger.frontier();
        let offset = if re_created { log.start } else { frontier.clamp(log.start, log.end.max(log.start)) };
        // A commit that is under way must not come last, and the shell has the credit still.
        let (under_way, credit) = (partition.commits.under_way.take(), partition.credit);
        self.give_back(tp);
        let partition = &mut self.partitions[tp.index()];
        partition.log = Log { topic_id, generation: partition.log.generation + 1, ..partition.log.clone() };
        partition.open(Ledger::new(offset, -1, Vec::new()), Troubles::default());
        (partition.commits.under_way, partition.credit) = (under_way, credit);
        if stops {
            // What is committed from here on is a place in this log: whoever resumes skips nothing of it.
            partition.stop(lost, now);
        } else {
            partition.phase = Phase::Flowing;
            effects.push(Effect::Assign { tp, seq, offset, leader_epoch: -1 });
            self.consider_credit(tp);
        }
        if self.partitions[tp.index()].may_commit(now) {
            self.send_commit(tp, now, effects);
        } else {
            self.uncommitted = true;
        }
    }

    /// Asks the processor for a sign of life.
    pub(super) fn probe(&mut self, effects: &mut Vec<Effect>) {
        self.processor = Processor::Asked;
        effects.push(Effect::Probe);
    }

    pub(super) fn processor_health(&mut self, ready: bool, now: Instant) {
        if ready != (self.processor == Processor::Ready) {
            self.tell_hold();
        }
        if ready {
            self.processor = Processor::Ready;
        } else {
            self.processor = Processor::Asked;
            self.timers.set(now + ASK_AGAIN_AFTER, Alarm::Probe);
        }
    }
}

impl Partition {
    /// Leaves it alone until a human decides, and says so.
    fn stop(&mut self, lost: Option<Lost>, since: Instant) {
        self.phase = Phase::Stopped;
        self.fresh.seqs.clear();
        self.again.seqs.clear();
        self.hold_for_loss(lost, since);
    }

    /// Says that nothing more is read until a human decides.
    fn hold_for_loss(&mut self, lost: Option<Lost>, since: Instant) {
        self.hold = Some(Held { reason: HoldReason::DataLoss, class: ErrorClass::Unknown, since, lost });
        self.commits.changed = true;
    }

    /// Whether this process has read the topic when it was another one.
    fn knows_another_log(&self, loaded: &Loaded) -> bool {
        let Log { cluster_id, topic_id, .. } = &self.log;
        let known = [*topic_id, loaded.topic_id].iter().all(|id| id.0 != 0);
        known && *cluster_id == loaded.cluster_id && *topic_id != loaded.topic_id
    }

    fn read_checkpoint(&self, loaded: &Loaded) -> Result<Checkpoint, Rejected> {
        let place = Place {
            cluster_id: &loaded.cluster_id,
            topic_id: loaded.topic_id.0,
            partition: self.number,
            offset: loaded.offset,
            leader_epoch: loaded.leader_epoch,
        };
        checkpoint::decode(&loaded.metadata, &place)
    }

    /// Another topic id is another log: what earlier calls did says nothing about its records.
    fn enter_log(&mut self, loaded: &Loaded) {
        let Loaded { cluster_id, topic_id, offset, .. } = loaded;
        if self.log.cluster_id != *cluster_id || self.log.topic_id != *topic_id {
            let generation = self.log.generation + 1;
            self.log = Log { cluster_id: cluster_id.clone(), topic_id: *topic_id, generation };
        }
        let log = self.log.generation;
        self.facts.retain(|fact| fact.log == log && fact.offset >= *offset);
    }
}
