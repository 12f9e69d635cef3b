//! L1–L5: it goes on, it ends in time, and it fits.

use std::collections::BTreeMap;

use super::Findings;
use super::facts::{Facts, PartitionFacts, RecordFacts, clock};
use crate::history::{Answer, Call, Disturbance, Fate, History, Micros, Ordering, Worker, end_of, start_of};

/// How long nothing may happen to a partition that has something left to do.
const STANDSTILL: Micros = 30_000_000;
/// A worker that was killed is given up after a session, and its partitions are read elsewhere soon after.
const MOURNING: Micros = 15_000_000;
/// A record that holds its key for so long shows whether it holds others.
const BLOCKED: Micros = 5_000_000;
/// Others are those not far behind the first record that is not done: the window that a partition may hold is bounded, and begins there.
const NEAR: i64 = 200;
/// A request to a broker that a late machine left unanswered is waited for so long (`socket.timeout.ms`), and others behind it.
const UNANSWERED: Micros = 30_000_000;
/// A process that is loaded and linked in so long listens to signals.
const NEWBORN: Micros = 3_000_000;
/// Pages of the program's own file, which Linux counts too and can take back: it has its symbols here.
const MEMORY_SLACK: u64 = 16 << 20;
/// Stopped before everything was finished.
const EXIT_CUT_SHORT: i32 = 3;

pub(super) fn check_partition(facts: &Facts<'_>, partition: &PartitionFacts<'_>, findings: &mut Findings) {
    behind(facts, partition, findings);
    standstill(facts, partition, findings);
    held_up(facts, partition, findings);
}

/// L1: once all faults are over, everything is committed.
fn behind(facts: &Facts<'_>, partition: &PartitionFacts<'_>, findings: &mut Findings) {
    let history = facts.history;
    let committed = partition.commits.iter().map(|(commit, _)| commit.offset).max().unwrap_or_default();
    if history.caught_up.is_some() || committed >= partition.end {
        return;
    }
    findings.add("L1", || {
        let waited = history.watched_until.saturating_sub(history.healed) / 1_000_000;
        let first = partition.records.iter().find(|record| record.record.offset >= committed);
        let story = first.map_or_else(|| "no record is left".to_owned(), RecordFacts::story);
        format!(
            "partition {}: {committed} of {} committed {waited} s after the last fault; next is {story}",
            partition.tp, partition.end
        )
    });
}

/// L2: a partition with something left to do does not stand still.
fn standstill(facts: &Facts<'_>, partition: &PartitionFacts<'_>, findings: &mut Findings) {
    let history = facts.history;
    let Some(last_done) = partition.records.iter().filter_map(|record| record.settled.map(|settled| settled.at)).max()
    else {
        return; // nothing was done at all: L1 says so
    };
    let first = partition.records.first().map(|record| start_of(record.record.timestamp));
    let calls = partition.records.iter().flat_map(|record| &record.calls);
    let mut events: Vec<Micros> = calls.flat_map(|call| [call.start, call.end]).chain(first).collect();
    events.extend(partition.commits.iter().map(|(commit, _)| end_of(commit.at)));
    events.sort_unstable();
    for pair in events.windows(2) {
        let [from, to] = pair else { continue };
        let overlapping = history.disturbances.iter().filter(|one| one.from <= *to && one.until >= *from);
        let excused = overlapping.map(|one| excused_until(history, one)).max();
        let begun = excused.unwrap_or(0).max(*from);
        let too_long = |begun: Micros| to.saturating_sub(begun) > STANDSTILL + history.late.within(*from, *to);
        if *from >= last_done || !too_long(begun) {
            continue;
        }
        if left_since(partition, *from).is_some_and(|left| too_long(begun.max(left))) {
            findings.add("L2", || {
                let (number, from, to) = (partition.tp, clock(*from), clock(*to));
                format!("partition {number}: nothing happened from {from} to {to}, although records were left")
            });
        }
    }
}

/// Until when something excuses that nothing happens to a partition. Whoever is gone, or stands still, is given up after a session, and if
/// anybody else is there reads on.
fn excused_until(history: &History, one: &Disturbance) -> Micros {
    let given_up = one.from.saturating_add(MOURNING);
    let Some(worker) = one.worker else { return one.until };
    if one.until == Micros::MAX || others_live(history, worker, one.from, given_up) {
        return one.until.min(given_up);
    }
    one.until
}

/// Whether another worker than that one lived all the time.
fn others_live(history: &History, worker: u32, from: Micros, until: Micros) -> bool {
    let lives = |life: &Worker| {
        let ends = [life.killed, life.told, life.ended.map(|(ended, _)| ended)];
        let stopped = life.stops.iter().any(|(stopped, woken)| *stopped <= until && *woken >= from);
        life.started <= from && !stopped && ends.into_iter().flatten().all(|end| end > until)
    };
    (0..).zip(&history.workers).any(|(number, life)| number != worker && lives(life))
}

/// Since when, by the records' own times, something has been left of what was not committed at a time: a producer may be slower than the plan,
/// above all in transactions.
fn left_since(partition: &PartitionFacts<'_>, at: Micros) -> Option<Micros> {
    let by_then = partition.commits.iter().filter(|(commit, _)| end_of(commit.at) <= at);
    let committed = by_then.map(|(commit, _)| commit.offset).max().unwrap_or_default();
    partition.span(committed, i64::MAX).iter().map(|one| start_of(one.record.timestamp)).min()
}

/// L4: a record that holds its key holds no other.
fn held_up(facts: &Facts<'_>, partition: &PartitionFacts<'_>, findings: &mut Findings) {
    let calm = facts.history.disturbances.is_empty() && facts.history.late.is_empty();
    if facts.rules().ordering == Ordering::Partition || !calm {
        return;
    }
    let free_at = free_at(facts, partition);
    let done_up_to = done_up_to(partition);
    for blocker in &partition.records {
        // By owner: a partition that changes hands stands still for a drain, and that is no key's doing.
        for calls in blocker.calls.chunk_by(|one, next| one.owner == next.owner) {
            let (Some(first), Some(last)) = (calls.first(), calls.last()) else { continue };
            // While the processor is away nobody is called, whatever holds what, nor until it is seen to be back. And behind a dead letter
            // that cannot be written the checkpoint fills up, until nothing of its partition may start.
            let injected = &facts.history.injected;
            let mut outages = injected.outages.iter().chain(&injected.letters_refused);
            let outage = outages.any(|(from, until)| *from <= last.end && *until >= first.end);
            if first.end.saturating_add(BLOCKED) >= last.end || outage {
                continue;
            }
            let undone = done_up_to.partition_point(|at| *at <= first.end);
            let offset = blocker.record.offset;
            let window = partition.records.get(undone).map_or(offset, |record| record.record.offset);
            for record in partition.span(offset + 1, window + NEAR) {
                let same_key = record.record.key.is_some() && record.record.key == blocker.record.key;
                let healthy = record.record.fate == Fate::Done && record.calls.len() == 1;
                let here = record.calls.iter().all(|call| call.owner == first.owner);
                let there = start_of(record.record.timestamp) < first.end;
                let free = free_at.get(&record.record.offset).is_none_or(|free| *free < first.end);
                let held = !same_key && healthy && here && there && free && !record.is_settled(last.end);
                if held && !may_be_suspected(facts, partition, record) {
                    findings.add("L4", || {
                        let (number, held, holder) = (partition.tp, record.story(), blocker.story());
                        format!("partition {number}: {held} WAITED FOR {holder}")
                    });
                }
            }
        }
    }
}

/// Whether the record may have been on its way, unseen, when the processor went down, and so waited its turn as a suspect: others that
/// stand behind it went ahead of it.
fn may_be_suspected(facts: &Facts<'_>, partition: &PartitionFacts<'_>, record: &RecordFacts<'_>) -> bool {
    let Some(call) = record.calls.first() else { return false };
    let offset = record.record.offset;
    let behind = partition.span(offset + 1, offset + NEAR);
    let overtaken = behind.iter().any(|other| other.calls.first().is_some_and(|first| first.start < call.start));
    overtaken && facts.history.unseen(call.worker, start_of(record.record.timestamp), call.start) > 0
}

/// For each record, when it and all before it were done.
fn done_up_to(partition: &PartitionFacts<'_>) -> Vec<Micros> {
    let settled = partition.records.iter().map(|record| record.settled.map_or(Micros::MAX, |settled| settled.at));
    let latest = settled.scan(0, |latest, at| {
        *latest = at.max(*latest);
        Some(*latest)
    });
    latest.collect()
}

/// When the record before it in its lane came to an end, by offset.
fn free_at(facts: &Facts<'_>, partition: &PartitionFacts<'_>) -> BTreeMap<i64, Micros> {
    let lanes = partition.lanes(facts.rules().ordering);
    let pairs = lanes.iter().flat_map(|lane| lane.windows(2));
    let settled = |record: &RecordFacts<'_>| record.settled.map_or(Micros::MAX, |settled| settled.at);
    pairs.filter_map(|pair| Some((pair.get(1)?.record.offset, settled(pair.first()?)))).collect()
}

/// L3 and L5: workers end in time and in order, and within their memory.
pub(super) fn check_workers(history: &History, findings: &mut Findings) {
    for (number, worker) in history.workers.iter().enumerate() {
        let may_be_cut_short = may_be_cut_short(history, number, worker);
        match (worker.told, worker.killed, worker.ended) {
            (_, Some(_), _) | (None, None, None) => {}
            (Some(told), None, None) => {
                findings.add("L3", || format!("worker {number} was told to stop at {} and never ended", clock(told)));
            }
            (Some(told), None, Some((ended, code))) => {
                let grace = crate::history::micros(history.rules.grace);
                if ended.saturating_sub(told) > grace + history.late.within(told, ended) {
                    let took = (ended - told) / 1000;
                    findings.add("L3", || format!("worker {number} took {took} ms to stop"));
                }
                // A signal that comes before the program has said what to do with it ends it, as it ends any program.
                let newborn = code.is_none() && told.saturating_sub(worker.started) < NEWBORN;
                if !(code == Some(0) || newborn || (code == Some(EXIT_CUT_SHORT) && may_be_cut_short)) {
                    findings.add("L3", || format!("worker {number} was told to stop and ended with {code:?}"));
                }
            }
            (None, None, Some((ended, code))) => {
                findings.add("L3", || format!("worker {number} ended by itself at {} with {code:?}", clock(ended)));
            }
        }
        // Of one that was stopped, or on a machine that was late, nobody can tell.
        let watched = worker.stops.is_empty() && history.late.is_empty();
        let slept = worker.metrics.map_or(0, |metrics| metrics.woken_by_cap);
        if slept > 0 && watched {
            let what = || {
                format!("worker {number} slept {slept} times to the end although there was work, and nobody woke it")
            };
            findings.add("L2", what);
        }
        if worker.memory_peak > history.rules.memory_bytes + MEMORY_SLACK {
            let (peak, budget) = (worker.memory_peak >> 20, history.rules.memory_bytes >> 20);
            findings.add("L5", || format!("worker {number} had {peak} MiB of {budget} MiB"));
        }
    }
}

/// Whether something kept it from finishing what it had: a broker away, a dead letter that nobody takes, a call that hangs, a machine
/// that is late.
fn may_be_cut_short(history: &History, number: usize, worker: &Worker) -> bool {
    let (Ok(number), Some(told)) = (u32::try_from(number), worker.told) else { return false };
    let until = worker.ended.map_or(Micros::MAX, |(ended, _)| ended);
    let hung = |call: &Call| call.worker == number && call.answer == Answer::Gone && call.end >= told;
    history.disturbed(number, told, until).is_some()
        || history.late.within(told.saturating_sub(UNANSWERED), until) > 0
        || history.injected.letters_refused.iter().any(|(from, to)| *from <= until && *to >= told)
        || history.calls.iter().any(hung)
}
