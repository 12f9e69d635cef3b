//! The naive model: what really happened to each record, and the invariants of design.md §7 over it.

use std::collections::BTreeSet;

use penstock_crds::checkpoint::{self, Checkpoint, Place};

use super::broker::{LogRecord, Partition, cluster_id};
use super::config::Config;
use crate::policy::{OnExhausted, Ordering};
use crate::time::Instant;

/// A rule of design.md §7 was broken.
#[derive(Clone, Debug)]
pub(super) struct Violation {
    pub(super) rule: &'static str,
    pub(super) detail: String,
}

pub(super) type Checked = Result<(), Violation>;

pub(super) fn violated(rule: &'static str, detail: String) -> Checked {
    broken(rule, detail)
}

pub(super) fn broken<T>(rule: &'static str, detail: String) -> Result<T, Violation> {
    Err(Violation { rule, detail })
}

/// What happened to one record.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is something that happened, and several may")]
pub(super) struct Fate {
    /// The processor has taken it (and, where it answered with output, that is confirmed).
    pub(super) taken: bool,
    /// Its dead letter is confirmed.
    pub(super) dead_letter: bool,
    /// It goes on as a record of a delay topic.
    pub(super) delayed: bool,
    /// Verdicts against it: answers that may be charged.
    pub(super) verdicts: u32,
    /// Verdicts that a crash or a loss has wiped out before they were committed.
    pub(super) forgiven: u32,
    /// Verdicts of which the engine cannot know that they are: a connection that broke with nothing else in flight.
    pub(super) maybe: u32,
    pub(super) rejected: bool,
    /// When the first verdict came, and the last.
    pub(super) verdicts_at: Option<(Instant, Instant)>,
    /// When it was first taken or dead-lettered, in order of events.
    pub(super) settled_at: Option<u64>,
    /// When the processor first took it, be it that its output was to follow.
    pub(super) succeeded_at: Option<u64>,
    /// When its output was first confirmed.
    pub(super) output_at: Option<u64>,
    /// By which worker its output was written last, and when.
    pub(super) last_output: Option<(usize, u64)>,
    /// Its output could not be written at first: those behind it may have been.
    pub(super) output_failed: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Truth {
    /// By partition and index of the record.
    pub(super) fates: Vec<Vec<Fate>>,
    clock: u64,
}

impl Truth {
    pub(super) fn new(partitions: &[Partition]) -> Self {
        let fates = partitions.iter().map(|partition| vec![Fate::default(); partition.records.len()]).collect();
        Self { fates, clock: 0 }
    }

    /// The processor answered with output, which is not confirmed yet.
    pub(super) fn succeed(&mut self, tp: usize, index: usize) {
        self.clock += 1;
        self.fates[tp][index].settled_at.get_or_insert(self.clock);
        self.fates[tp][index].succeeded_at.get_or_insert(self.clock);
    }

    /// The output of a record is written.
    pub(super) fn put_out(&mut self, tp: usize, index: usize, by: usize) {
        self.settle(tp, index, false);
        let fate = &mut self.fates[tp][index];
        fate.output_at.get_or_insert(self.clock);
        fate.last_output = Some((by, self.clock));
    }

    /// S5: of what a worker put out and says is done, the last copies stand in order.
    pub(super) fn check_output_order(
        &self,
        config: &Config,
        tp: usize,
        log: &Partition,
        by: usize,
        is_done: impl Fn(i64) -> bool,
    ) -> Checked {
        for lane in lanes(config, log) {
            let mut latest = [0; OUTPUT_PARTITIONS];
            let done = |index: &usize| is_done(log.records[*index].offset) && log.records[*index].offset >= log.start;
            for index in lane.into_iter().filter(done) {
                let fate = &self.fates[tp][index];
                if fate.dead_letter || is_discarded(config, fate) {
                    continue; // refused when it was written again: it ended without output
                }
                let last = fate.last_output.filter(|(writer, _)| *writer == by);
                let Some((_, at)) = last else { continue };
                let latest = &mut latest[output_partition(index)];
                if at < *latest {
                    let offset = log.records[index].offset;
                    return violated(
                        "S5",
                        format!("{offset} of {tp} is done, and an earlier output of its key came last"),
                    );
                }
                *latest = at;
            }
        }
        Ok(())
    }

    /// The record was taken, or its dead letter confirmed.
    pub(super) fn settle(&mut self, tp: usize, index: usize, dead_letter: bool) {
        self.clock += 1;
        let fate = &mut self.fates[tp][index];
        if dead_letter {
            fate.dead_letter = true;
        } else {
            fate.taken = true;
            fate.succeeded_at.get_or_insert(self.clock);
        }
        fate.settled_at.get_or_insert(self.clock);
    }

    /// A verdict has come in: under `Discard` it may be the last.
    pub(super) fn judged(&mut self, config: &Config, tp: usize, index: usize, now: Instant) {
        let fate = &mut self.fates[tp][index];
        let (first, _) = fate.verdicts_at.unwrap_or((now, now));
        fate.verdicts_at = Some((first, now));
        if is_discarded(config, &self.fates[tp][index]) {
            self.clock += 1;
            self.fates[tp][index].settled_at.get_or_insert(self.clock);
        }
    }

    pub(super) fn is_settled(&self, config: &Config, tp: usize, log: &Partition, index: usize) -> bool {
        let fate = &self.fates[tp][index];
        let copy = &log.records[index];
        // What was taken before and comes back once more need not be called.
        let before = copy.root != index && self.is_taken(tp, log, copy.root);
        before || fate.taken || fate.dead_letter || fate.delayed || is_discarded(config, fate)
    }

    /// S2, S4: everything below a commit is finished, dead letters and outputs confirmed.
    /// What retention took before this worker had received it is nobody's fault.
    pub(super) fn check_commit(
        &self,
        config: &Config,
        tp: usize,
        log: &Partition,
        held: &super::worker::Held,
        offset: i64,
    ) -> Checked {
        for (index, record) in log.records.iter().enumerate().filter(|(_, record)| record.offset < offset) {
            let gone = record.offset < log.start && !held.received.contains(&index);
            if !gone && !self.is_settled(config, tp, log, index) {
                return violated("S2", format!("offset {offset} of {tp} committed, but {} is not done", record.offset));
            }
        }
        if offset > log.end {
            return violated("S2", format!("offset {offset} of {tp} committed, but the log ends at {}", log.end));
        }
        Ok(())
    }

    /// S8: the checkpoint opens at its place and claims nothing that is not done.
    pub(super) fn check_checkpoint(
        &self,
        config: &Config,
        tp: usize,
        log: &Partition,
        held: &super::worker::Held,
        commit: (i64, i32),
        text: &str,
    ) -> Result<Checkpoint, Violation> {
        if text.is_empty() {
            return Ok(Checkpoint::default());
        }
        let checkpoint = checkpoint::decode(text, &place(tp, log, commit))
            .map_err(|error| Violation { rule: "S8", detail: format!("commit of {} for {tp}: {error}", commit.0) })?;
        for (index, record) in log.records.iter().enumerate() {
            let claimed = checkpoint.done.iter().any(|run| run.contains(&record.offset));
            let gone = record.offset < log.start && !held.received.contains(&index);
            if claimed && !gone && !self.is_settled(config, tp, log, index) {
                violated("S8", format!("checkpoint of {tp} claims {}, which is not done", record.offset))?;
            }
        }
        self.check_parked(tp, log, &checkpoint.parked)?;
        Ok(checkpoint)
    }

    /// S5: what a key's records were first settled in is the order of their offsets.
    pub(super) fn check_order(&self, config: &Config, partitions: &[Partition]) -> Checked {
        for (tp, log) in partitions.iter().enumerate() {
            if config.policy.parks_keys() {
                let place = place(tp, log, (log.committed, log.committed_epoch));
                let parked = checkpoint::decode(&log.metadata, &place).map_or(0, |checkpoint| checkpoint.parked.len());
                self.check_redriven(tp, log, parked)?;
                continue;
            }
            for lane in lanes(config, log) {
                let (mut latest, mut latest_output) = (0, [0; OUTPUT_PARTITIONS]);
                for index in lane {
                    let (fate, offset) = (&self.fates[tp][index], log.records[index].offset);
                    if offset < log.start {
                        continue; // passed over by the next owner; a call of the one before may still take it
                    }
                    if fate.settled_at.is_some_and(|at| at < latest) {
                        return violated(
                            "S5",
                            format!("{offset} of {tp} was done before an earlier record of its key"),
                        );
                    }
                    latest = fate.settled_at.unwrap_or(latest);
                    if fate.dead_letter || is_discarded(config, fate) {
                        continue; // settled without output; what a second owner makes of it may come later
                    }
                    if fate.output_failed {
                        continue; // what its producer got behind it was written before, and once more after it
                    }
                    let latest_output = &mut latest_output[output_partition(index)];
                    if fate.output_at.is_some_and(|at| at < *latest_output) {
                        return violated(
                            "S5",
                            format!("{offset} of {tp} was put out before an earlier record of its key"),
                        );
                    }
                    *latest_output = fate.output_at.unwrap_or(*latest_output);
                }
            }
        }
        Ok(())
    }

    /// S1, S6, L1 at the end of all.
    pub(super) fn check_end(&self, config: &Config, partitions: &[Partition]) -> Checked {
        let attempts_max = config.policy.retry.max_attempts;
        for (tp, log) in partitions.iter().enumerate() {
            for (index, record) in log.records.iter().enumerate() {
                let fate = &self.fates[tp][index];
                let gone = record.offset < log.start;
                if log.committed > record.offset && !gone && !self.is_settled(config, tp, log, index) {
                    return violated("S1", format!("{} of {tp} is lost: {fate:?}", record.offset));
                }
                let bounded = !config.may_block();
                if bounded && fate.verdicts > attempts_max + fate.forgiven + fate.maybe {
                    return violated("S6", format!("{} of {tp}: {fate:?} with {attempts_max} attempts", record.offset));
                }
            }
            if log.committed != log.end {
                return violated("L1", format!("{tp} stands at {} of {}", log.committed, log.end));
            }
        }
        Ok(())
    }
}

/// Partitions of the output topic.
const OUTPUT_PARTITIONS: usize = 2;

/// Where the output of a record goes, for the processor gives it a key of its own: often where that of the one before it goes.
pub(super) fn output_partition(index: usize) -> usize {
    index / 2 % OUTPUT_PARTITIONS
}

/// Under `Discard`, a record that is used up is done without a trace.
fn is_discarded(config: &Config, fate: &Fate) -> bool {
    config.policy.on_exhausted == OnExhausted::Discard && is_used_up(config, fate)
}

/// Whether a record may go the way of `onExhausted`. A worker may know of a shorter age, never of a longer one.
pub(super) fn is_used_up(config: &Config, fate: &Fate) -> bool {
    fate.rejected || is_aged(config, fate) || fate.verdicts >= config.policy.retry.max_attempts
}

/// Whether the last verdict came `retry.maxAge` after the first.
pub(super) fn is_aged(config: &Config, fate: &Fate) -> bool {
    let age = fate.verdicts_at.map(|(first, last)| last.since(first));
    config.policy.retry.max_age.zip(age).is_some_and(|(max, age)| age >= max)
}

pub(super) fn place(tp: usize, log: &Partition, (offset, leader_epoch): (i64, i32)) -> Place<'static> {
    let partition = i32::try_from(tp).unwrap();
    Place { cluster_id: CLUSTER, topic_id: log.topic_id.0, partition, offset, leader_epoch }
}

const CLUSTER: &str = "sim";

/// The records that must not overtake each other, as lists of indexes.
fn lanes(config: &Config, log: &Partition) -> Vec<Vec<usize>> {
    let with = |key: Option<u8>| {
        let same = |(index, record): (usize, &LogRecord)| (record.key == key).then_some(index);
        log.records.iter().enumerate().filter_map(same).collect()
    };
    debug_assert_eq!(&*cluster_id(), CLUSTER);
    match config.policy.ordering {
        Ordering::Unordered => Vec::new(),
        Ordering::Partition => vec![(0..log.records.len()).collect()],
        Ordering::Key => log
            .records
            .iter()
            .filter_map(|record| record.key)
            .collect::<BTreeSet<_>>()
            .into_iter()
            .map(|key| with(Some(key)))
            .collect(),
    }
}

/// Which records of a partition exclude each other in time, as far as the worker sees.
pub(super) fn lane_of(config: &Config, record: &LogRecord) -> Option<u8> {
    match config.policy.ordering {
        Ordering::Unordered => None,
        Ordering::Partition => Some(0),
        Ordering::Key => record.key,
    }
}

/// S6, S7: a release in good order leaves nothing to be done again and forgets no attempt.
pub(super) fn check_kept(
    truth: &Truth,
    config: &Config,
    tp: usize,
    log: &Partition,
    held: &super::worker::Held,
) -> Checked {
    let place = place(tp, log, (log.committed, log.committed_epoch));
    let kept = checkpoint::decode(&log.metadata, &place).unwrap_or_default();
    for index in held.received.intersection(&held.answered) {
        let offset = log.records[*index].offset;
        if offset >= log.committed && !kept.done.iter().any(|run| run.contains(&offset)) {
            return violated("S7", format!("{tp} was released in good order, but {offset} will be done again"));
        }
    }
    for index in &held.received {
        let (fate, offset) = (&truth.fates[tp][*index], log.records[*index].offset);
        let stored = kept.failing.iter().find(|failing| failing.offset == offset).map_or(0, |failing| failing.attempts);
        let stored = stored.max(log.records[*index].attempts);
        let known = fate.verdicts.saturating_sub(fate.forgiven + fate.maybe);
        if config.may_block() && config.policy.on_exhausted != OnExhausted::Block {
            continue; // whether there was room to park its key, and so what was charged, is known to the engine alone
        }
        if offset >= log.committed && known >= 2 && stored < known && !truth.is_settled(config, tp, log, *index) {
            let blocked = format!("{tp} was released in good order, but {offset} keeps {stored} of {fate:?}");
            return if stored == 0 { violated("S6", blocked) } else { Ok(()) };
        }
    }
    Ok(())
}

/// S5: what is done of a key is its first records. What is called again after a crash then ends with the last one that was called.
pub(super) fn check_done_in_order(
    config: &Config,
    log: &Partition,
    held: &super::worker::Held,
    is_done: impl Fn(i64) -> bool,
) -> Checked {
    if config.may_cut() || config.policy.on_exhausted == OnExhausted::Discard {
        return Ok(());
    }
    let mut undone = BTreeSet::new();
    for index in &held.received {
        let record = &log.records[*index];
        let Some(lane) = lane_of(config, record) else { continue };
        if !is_done(record.offset) && record.offset >= log.start {
            undone.insert(lane);
        } else if undone.contains(&lane) && !held.is_known(record.offset) {
            return violated("S5", format!("{} is done before an earlier record of its key", record.offset));
        }
    }
    Ok(())
}
