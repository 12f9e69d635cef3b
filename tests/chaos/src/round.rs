//! A plan carried out on a cluster, and judged.

mod aside;
mod conductor;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::check::{Findings, check};
use crate::cluster::{COMPACTED, Cluster, STAMPED, Topic};
use crate::error::{Error, Result};
use crate::fleet::{Fleet, GRACE, MEMORY_BYTES, Names};
use crate::history::{History, OnExhausted, Rules, explained};
use crate::plan::Plan;
use crate::processor::{Processor, now};
use crate::produce::Producer;
use conductor::{Conducted, Conductor};

/// How long after the last fault everything must be done, beside what so many records take.
const CATCH_UP: Duration = Duration::from_secs(60);
/// At this pace, records a second, the slowest of rounds gets on.
const SLOWEST: u64 = 150;
/// Between looks at the group's offsets.
const PAUSE: Duration = Duration::from_millis(100);
/// A worker commits every second; the rest is for a busy machine.
const COMMIT_WITHIN: Duration = Duration::from_secs(4);

/// What came of a round.
#[derive(Debug)]
pub struct Outcome {
    /// What must never be, and was.
    pub findings: Findings,
    /// What was seen.
    pub counts: Counts,
    /// How long it took.
    pub took: Duration,
}

/// How much was seen.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// Records in the source topic that a consumer may see.
    pub records: usize,
    /// Calls of the processor.
    pub calls: usize,
    /// Calls of records that had been done before.
    pub repeated: usize,
    /// Commits.
    pub commits: usize,
    /// Dead letters.
    pub letters: usize,
    /// Outputs.
    pub outputs: usize,
    /// Workers that were started.
    pub workers: usize,
    /// Times that a worker said it had lost partitions unasked.
    pub losses: usize,
    /// Of those, times that nothing explains.
    pub unexplained: usize,
    /// Faults by kind.
    pub faults: BTreeMap<&'static str, usize>,
    /// What the processor did with calls, by kind.
    pub answers: BTreeMap<&'static str, usize>,
    /// From the last fault to the last commit.
    pub caught_up_after: Duration,
}

/// Carries out a plan. Topics are named after the seed and the time, so that no round meets another's.
///
/// # Errors
/// The harness's own; what is wrong with Penstock is in the outcome.
pub fn run(cluster: &Cluster, plan: &Plan, folder: &Path) -> Result<Outcome> {
    let began = Instant::now();
    let names = names(plan);
    let source = cluster.create(&names.source, plan.partitions, if plan.compacted { &COMPACTED } else { &[] })?;
    if plan.output {
        cluster.create(&names.output, plan.partitions, &STAMPED)?;
    }
    let commits_begin = cluster.commits_begin()?;
    let processor = Processor::new(plan.mix, plan.ordering, plan.output)?;
    let producer = Producer::new(plan, &cluster.bootstrap, &names.source)?;
    producer.write_backlog()?;
    if plan.compacted {
        cluster.end_compaction(Topic { name: &names.source, partitions: plan.partitions, committed: false })?;
    }

    if plan.has_user() {
        cluster.grant(&names.group)?;
    }
    let fleet = Fleet::new(plan, &names, &processor, cluster, folder)?;
    let conductor = Conductor::new(cluster, plan, &names, &processor, fleet);
    let conducted = std::thread::scope(|scope| {
        let rest = scope.spawn(|| producer.write_rest());
        conductor.conduct(scope, rest)
    })?;
    let Conducted { mut fleet, letters_refused, letters_deleted, more } = conducted;

    let healed = now();
    let limit = CATCH_UP + Duration::from_secs(plan.records / SLOWEST);
    let partitions = cluster.describe(&names.source)?.partitions;
    let caught_up = await_caught_up(cluster, &names, partitions, &mut fleet, limit).then(now);
    let watched_until = now();
    stop(&mut fleet)?;
    let lives = fleet.finish()?;
    let calls = processor.finish();
    let mut disturbances = [lives.disturbances, more].concat();
    let losses = lives.losses.len();
    let explained = explained(lives.losses, &disturbances);
    let unexplained = losses - explained.len();
    disturbances.extend(explained);

    let topic = |name, partitions, committed| Topic { name, partitions, committed };
    let letters_there = plan.on_exhausted == OnExhausted::DeadLetter;
    let history = History {
        rules: rules(plan),
        cluster_id: cluster.id.clone(),
        topic_id: source.id,
        logs: cluster.read_source(topic(&names.source, partitions, true), plan)?,
        calls,
        letters: if letters_there {
            let partitions = cluster.describe(&names.letters)?.partitions;
            cluster.read_forwarded(topic(&names.letters, partitions, false), false)?
        } else {
            Vec::new()
        },
        outputs: if plan.output {
            cluster.read_forwarded(topic(&names.output, plan.partitions, false), true)?
        } else {
            Vec::new()
        },
        commits: cluster.read_commits(&names.group, &names.source, &commits_begin)?,
        workers: lives.workers,
        disturbances,
        letters_refused,
        letters_deleted,
        healed,
        caught_up,
        watched_until,
    };
    if history.commits.is_empty() {
        return Err(Error::Evidence(format!("no commit of {} was found: see the workers' logs", names.group)));
    }
    let findings = check(&history);
    let counts = Counts { losses, unexplained, ..counts(&history, plan) };
    let mut used = vec![&names.source];
    used.extend(letters_there.then_some(&names.letters));
    used.extend(plan.output.then_some(&names.output));
    if findings.is_empty() {
        used.into_iter().try_for_each(|topic| cluster.delete(topic))?;
    }
    Ok(Outcome { findings, counts, took: began.elapsed() })
}

fn names(plan: &Plan) -> Names {
    let group = format!("chaos-{}-{}", plan.seed, now() / 1_000_000);
    Names { source: format!("{group}-in"), letters: format!("{group}-dlq"), output: format!("{group}-out"), group }
}

fn rules(plan: &Plan) -> Rules {
    Rules {
        ordering: plan.ordering,
        on_exhausted: plan.on_exhausted,
        max_attempts: plan.mix.max_attempts,
        timeout: plan.timeout,
        drain: plan.drain,
        grace: GRACE,
        output: plan.output,
        memory_bytes: MEMORY_BYTES,
        commit_within: COMMIT_WITHIN,
    }
}

/// Waits until everything is committed, at most so long.
fn await_caught_up(cluster: &Cluster, names: &Names, partitions: i32, fleet: &mut Fleet<'_>, limit: Duration) -> bool {
    let end = Instant::now() + limit;
    while Instant::now() < end {
        let (ends, committed) =
            (cluster.ends(&names.source, partitions), cluster.committed(&names.group, &names.source, partitions));
        if ends.ok().is_some_and(|ends| committed.as_ref() == Some(&ends)) {
            return true;
        }
        fleet.look();
        std::thread::sleep(PAUSE);
    }
    false
}

/// Tells everybody to stop and waits for their ends.
fn stop(fleet: &mut Fleet<'_>) -> Result<()> {
    fleet.scale(0)?;
    let end = Instant::now() + GRACE + CATCH_UP;
    while !fleet.is_empty() && Instant::now() < end {
        fleet.look();
        std::thread::sleep(PAUSE / 10);
    }
    Ok(())
}

fn counts(history: &History, plan: &Plan) -> Counts {
    let facts = crate::check::Facts::of(history);
    let records = || facts.partitions.iter().flat_map(|partition| &partition.records);
    let repeated = records().map(|record| {
        let settled = record.settled.map_or(u64::MAX, |settled| settled.at);
        record.calls.iter().filter(|call| call.start > settled).count()
    });
    let mut faults = BTreeMap::new();
    for timed in &plan.faults {
        *faults.entry(timed.fault.kind()).or_default() += 1;
    }
    let mut answers = BTreeMap::new();
    for call in &history.calls {
        *answers.entry(call.answer.kind()).or_default() += 1;
    }
    Counts {
        answers,
        records: records().count(),
        calls: history.calls.len(),
        repeated: repeated.sum(),
        commits: history.commits.len(),
        letters: history.letters.len(),
        outputs: history.outputs.len(),
        workers: history.workers.len(),
        faults,
        caught_up_after: Duration::from_micros(history.watched_until.saturating_sub(history.healed)),
        ..Counts::default()
    }
}
