//! S7: what is done twice, and whether it had to be.

use std::collections::BTreeSet;

use penstock_crds::checkpoint::Checkpoint;

use super::Findings;
use super::facts::{Facts, PartitionFacts, RecordFacts};
use crate::history::{Answer, Call, Disturbance, Forwarded, History, Micros, OnExhausted, end_of, micros, start_of};

/// So soon after it goes on, a worker that was stopped cannot know yet that its group gave it up: it wakes, on a machine that others use
/// too, and sends a heartbeat, and a broker answers. What it had decided to call by then is called.
const ON_ITS_WAY: Micros = 100_000;
/// A broker's clock and ours, and what was on its way, differ by less.
const NEARLY: Micros = 1_000_000;

pub(super) fn check(facts: &Facts<'_>, partition: &PartitionFacts<'_>, findings: &mut Findings) {
    let calls = partition.records.iter().flat_map(|record| &record.calls);
    let workers: BTreeSet<u32> = calls.map(|call| call.worker).collect();
    for lane in partition.lanes(facts.rules().ordering) {
        for (place, record) in lane.iter().enumerate() {
            let ahead = lane.get(..place).unwrap_or_default();
            let repeated = repeated_call(facts, record, ahead).or_else(|| forgotten(partition, record));
            for what in repeated.into_iter().chain(repeated_forward(facts, record, &workers)) {
                findings.add("S7", || format!("partition {}: {what}: {}", partition.tp, record.story()));
            }
        }
    }
}

/// A call after the record was done must have a reason: the worker that knew could not tell. That holds for each time that it was done.
fn repeated_call(facts: &Facts<'_>, record: &RecordFacts<'_>, ahead: &[&RecordFacts<'_>]) -> Option<String> {
    if record.calls.len() < 2 {
        return None;
    }
    // Exhausted by attempts: which call was the last one is the worker's knowledge.
    record.calls.iter().filter(|call| call.answer.is_final()).find_map(|knew| unreasoned(facts, record, ahead, knew))
}

/// Says what is wrong if the record was called again after this call had done it, for no reason.
fn unreasoned(facts: &Facts<'_>, record: &RecordFacts<'_>, ahead: &[&RecordFacts<'_>], knew: &Call) -> Option<String> {
    let history = facts.history;
    let done = done_by(facts, record, knew)?;
    let done = done.max(turn_of(facts, ahead, knew).unwrap_or_default());
    let again = record.calls.iter().find(|call| call.start > done && !was_on_its_way(history, call, knew))?;
    // What was written may be of a later call: then that one is judged.
    let later = |call: &&Call| call.answer.is_final() && (knew.end + 1..=done).contains(&call.end);
    // What waited to be written for longer than a drain lasts may be written just when the partition is given up.
    let drained = done.saturating_sub(knew.end) >= micros(facts.rules().drain) && again.owner > knew.owner;
    let too_late = drained && again.start.saturating_sub(done) < NEARLY;
    if may_be_unheard(facts, knew) || too_late || record.calls.iter().copied().any(|call| later(&call)) {
        return None;
    }
    let disturbed = history.disturbances_of(knew.worker, knew.end, again.start);
    let Some(disturbance) = disturbed.min_by_key(|disturbance| disturbance.from) else {
        return Some("called again although the worker that had its answer was not disturbed".to_owned());
    };
    let unsaid = disturbance.from.saturating_sub(done);
    let waited = history.waits_to_join(knew.worker, done, disturbance.from);
    let limit = micros(facts.rules().commit_within) + waited + history.late.within(done, disturbance.from);
    (unsaid > limit)
        .then(|| format!("called again although {} ms passed between its end and {}", unsaid / 1000, disturbance.what))
}

/// Whether a call was decided before another worker's, by a worker that was stopped before it was out and woke behind that one's end.
fn was_on_its_way(history: &History, call: &Call, knew: &Call) -> bool {
    let begun = call.start.saturating_sub(ON_ITS_WAY);
    let mut stops = history.workers.get(call.worker as usize).into_iter().flat_map(|life| &life.stops);
    let stopped = stops.any(|(from, woken)| *from <= knew.end && (begun..=call.start).contains(woken));
    stopped && call.worker != knew.worker
}

/// When the record was done by that call: once what it made of it was written. None if that never came, or it did not settle it.
fn done_by(facts: &Facts<'_>, record: &RecordFacts<'_>, call: &Call) -> Option<Micros> {
    let rules = facts.rules();
    let written = |forwarded: &[&Forwarded]| {
        let appended = forwarded.iter().map(|one| end_of(one.appended));
        appended.filter(|appended| *appended >= call.end).min()
    };
    match (call.answer, rules.on_exhausted) {
        (Answer::Reject, OnExhausted::Block) => None,
        (Answer::Reject, OnExhausted::DeadLetter) if !facts.history.letter_may_be_gone(call.end) => {
            written(&record.letters)
        }
        (Answer::Ack, _) if rules.output => written(&record.outputs),
        _ => Some(call.end),
    }
}

/// When what the same worker's calls of records ahead of it in its lane have put out was written: nothing is done before that.
fn turn_of(facts: &Facts<'_>, ahead: &[&RecordFacts<'_>], knew: &Call) -> Option<Micros> {
    let puts_out = facts.rules().output;
    let before = |call: &&&Call| call.worker == knew.worker && call.answer == Answer::Ack && call.end <= knew.end;
    let written = |record: &&RecordFacts<'_>| {
        let call = record.calls.iter().filter(before).max_by_key(|call| call.end)?;
        done_by(facts, record, call)
    };
    ahead.iter().filter(|_| puts_out).filter_map(written).max()
}

/// The answer came so late that the worker may have hung up at the same moment.
fn may_be_unheard(facts: &Facts<'_>, call: &Call) -> bool {
    let rules = facts.rules();
    let limit = micros(rules.timeout.min(rules.drain));
    let late = facts.history.late.within(call.start, call.end.saturating_add(limit));
    (call.end - call.start).saturating_add(late) >= limit / 2
}

/// A call by an owner who could read in the checkpoint before its own first commit that the record is done.
fn forgotten(partition: &PartitionFacts<'_>, record: &RecordFacts<'_>) -> Option<String> {
    let settled: Micros = record.settled?.at;
    let again = record.calls.iter().filter(|call| call.start > settled);
    for call in again {
        let Some((commit, read)) = partition.read_by(call.owner) else { continue };
        if commit.offset > record.record.offset || claims(read, record.record.offset) {
            let owner = call.owner;
            return Some(format!("owner {owner} called again what it had read as done"));
        }
    }
    None
}

fn claims(checkpoint: &Checkpoint, offset: i64) -> bool {
    checkpoint.done.iter().any(|run| run.contains(&offset))
}

/// A second dead letter or output must have a reason too: each comes of a call of its own, or of a worker that was lost before it could
/// tell of the one it had written. Only brokers that fail make one write many.
fn repeated_forward(facts: &Facts<'_>, record: &RecordFacts<'_>, workers: &BTreeSet<u32>) -> Option<String> {
    let last = facts.rules().max_attempts;
    let count = |cause: fn(&Call, u32) -> bool| record.calls.iter().filter(|call| cause(call, last)).count();
    let gives_up = |call: &Call, last| match call.answer {
        Answer::Ack | Answer::Skip => false,
        Answer::Reject => true,
        _ => call.attempt >= last,
    };
    let refused = &facts.history.injected.letters_refused;
    let one_each = |what: &str, forwarded: &[&Forwarded], causes: usize, refused: &[(Micros, Micros)]| {
        let [first, .., last] = forwarded else { return None };
        let span = (start_of(first.appended).saturating_sub(NEARLY), start_of(last.appended) + NEARLY);
        let losses = losses(facts.history, workers, span)?;
        let refused = refused.iter().any(|(from, until)| *from <= span.1 && *until >= span.0);
        (!refused && forwarded.len() > causes.max(1) + losses)
            .then(|| format!("{} {what}s of {causes} calls and {losses} losses of a worker", forwarded.len()))
    };
    one_each("dead letter", &record.letters, count(gives_up), refused)
        .or_else(|| one_each("output", &record.outputs, count(|call, _| call.answer == Answer::Ack), &[]))
}

/// How often something befell one of those workers within the span. None if something befell everybody, brokers above all.
fn losses(history: &History, workers: &BTreeSet<u32>, (from, until): (Micros, Micros)) -> Option<usize> {
    let over = |one: &Disturbance, worker: u32| match history.workers.get(worker as usize).and_then(|life| life.killed)
    {
        Some(killed) if one.until == Micros::MAX => killed,
        _ => one.until,
    };
    let mut losses = 0;
    for one in history.disturbances.iter().filter(|one| one.from <= until) {
        match one.worker {
            None if one.until >= from => return None,
            Some(worker) if workers.contains(&worker) && over(one, worker) >= from => losses += 1,
            _ => {}
        }
    }
    Some(losses)
}
