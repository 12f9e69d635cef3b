//! A plan carried out on a cluster, and judged.

mod aside;
mod conductor;
mod counts;
mod healing;
mod laps;
mod pulse;

use std::fmt::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::check::{Findings, check};
use crate::cluster::{COMPACTED, Cluster, STAMPED, Topic};
use crate::error::{During as _, Error, Result};
use crate::fleet::{Fleet, GRACE, Lives, MEMORY_BYTES, Names};
use crate::history::{Call, Disturbance, History, Injected, Late, Micros, OnExhausted, Rules, explained};
use crate::plan::{Plan, SESSION_TIMEOUT};
use crate::processor::{Processor, Unseen, now};
use crate::produce::Producer;
use conductor::{Conducted, Conductor};

pub use counts::Counts;
pub use laps::Laps;

/// A worker commits every second; the rest is for a busy machine.
const COMMIT_WITHIN: Duration = Duration::from_secs(4);

/// What came of a round.
#[derive(Debug)]
pub struct Outcome {
    /// What must never be, and was.
    pub findings: Findings,
    /// What was seen.
    pub counts: Counts,
    /// How long each part of it took.
    pub laps: Laps,
}

/// Carries out a plan. Topics are named after the seed and the time, so that no round meets another's.
///
/// # Errors
/// The harness's own; what is wrong with Penstock is in the outcome.
pub fn run(cluster: &Cluster, plan: &Plan, folder: &Path) -> Result<Outcome> {
    let mut laps = Laps::default();
    let mut since = Instant::now();
    let names = names(plan);
    let topic_ids = create(cluster, plan, &names)?;
    let commits_begin = cluster.commits_begin()?;
    let processor = Processor::new(plan, &names.sources)?;
    let producer = Producer::new(plan, &cluster.bootstrap, &names.sources)?;
    producer.write_backlog()?;
    if plan.compacted {
        for (source, partitions) in names.sources.iter().zip(plan.topics()) {
            cluster.end_compaction(Topic { name: source, partitions, committed: false })?;
        }
    }
    if plan.has_user() {
        cluster.grant(&names.group)?;
    }
    since = laps.end("backlog", since);

    let fleet = Fleet::new(plan, &names, &processor, cluster, folder)?;
    let live = live(cluster, plan, &names, (&processor, &producer, fleet), (&mut laps, &mut since))?;
    let seen = processor.finish();
    let slow = live.slow.len() + seen.1.late.len();
    let (history, (losses, unexplained)) =
        Evidence { cluster, plan, names: &names, topic_ids, commits_begin }.read(live, seen)?;
    since = laps.end("reading", since);

    let findings = check(&history);
    let counts = Counts { losses, unexplained, slow, ..Counts::of(&history, plan) };
    since = laps.end("judging", since);
    if findings.is_empty() {
        let mut used: Vec<&String> = names.sources.iter().collect();
        used.extend((plan.on_exhausted == OnExhausted::DeadLetter).then_some(&names.letters));
        used.extend(plan.output.then_some(&names.output));
        used.into_iter().try_for_each(|topic| cluster.delete(topic))?;
    } else {
        leave_calls(&history.calls, folder)?;
    }
    laps.end("clearing up", since);
    Ok(Outcome { findings, counts, laps })
}

/// Leaves every call beside the workers' logs, for whoever looks for the cause.
fn leave_calls(calls: &[Call], folder: &Path) -> Result<()> {
    let mut text = "request\titem\tof\tworker\tpartition\toffset\tattempt\towner\tstart\tend\tanswer\n".to_owned();
    for call in calls {
        let Call { request, item, company, worker, tp, offset, attempt, owner, start, end, answer, .. } = call;
        let place = format!("{request}\t{item}\t{company}\t{worker}\t{tp}\t{offset}\t{attempt}\t{owner}");
        let _ = writeln!(text, "{place}\t{start}\t{end}\t{answer:?}");
    }
    std::fs::write(folder.join("calls.tsv"), text).during("leaving the calls")
}

/// Makes the topics; gives the sources' ids.
fn create(cluster: &Cluster, plan: &Plan, names: &Names) -> Result<Vec<u128>> {
    let mut ids = Vec::new();
    for (source, partitions) in names.sources.iter().zip(plan.topics()) {
        ids.push(cluster.create(source, partitions, if plan.compacted { &COMPACTED } else { &[] })?.id);
    }
    if plan.output {
        cluster.create(&names.output, plan.partitions, &STAMPED)?;
    }
    Ok(ids)
}

/// What was seen while workers lived.
struct Live {
    lives: Lives,
    disturbances: Vec<Disturbance>,
    injected: Injected,
    healed: Micros,
    caught_up: Option<Micros>,
    watched_until: Micros,
    partitions: Vec<i32>,
    /// When the machine was.
    slow: Vec<(Micros, Micros)>,
}

/// Workers, faults, and what is to come after them, watched by a pulse.
fn live(
    cluster: &Cluster,
    plan: &Plan,
    names: &Names,
    stage: (&Processor, &Producer<'_>, Fleet<'_>),
    (laps, since): (&mut Laps, &mut Instant),
) -> Result<Live> {
    let ended = &AtomicBool::new(false);
    std::thread::scope(|scope| {
        let pulse = scope.spawn(|| pulse::watch(cluster, names.first_source(), ended));
        let live = unwatched(cluster, plan, names, stage, (laps, since));
        ended.store(true, Ordering::Relaxed);
        let slow = pulse.join().map_err(|_| Error::Evidence("a thread of the harness panicked".to_owned()))?;
        let mut live = live?;
        live.slow = slow;
        Ok(live)
    })
}

fn unwatched(
    cluster: &Cluster,
    plan: &Plan,
    names: &Names,
    (processor, producer, fleet): (&Processor, &Producer<'_>, Fleet<'_>),
    (laps, since): (&mut Laps, &mut Instant),
) -> Result<Live> {
    let conductor = Conductor::new(cluster, plan, names, processor, fleet);
    let conducted = std::thread::scope(|scope| {
        let rest = scope.spawn(|| producer.write_rest());
        conductor.conduct(scope, rest)
    })?;
    let Conducted { mut fleet, injected, more } = conducted;
    *since = laps.end("faults", *since);
    let healed = now();
    let mut sources = Vec::new();
    for name in &names.sources {
        sources.push((name.as_str(), cluster.describe(name)?.partitions));
    }
    let caught_up = healing::await_caught_up(cluster, names, &sources, &mut fleet, plan).then(now);
    let watched_until = now();
    *since = laps.end("healing", *since);
    healing::stop(&mut fleet)?;
    *since = laps.end("stopping", *since);
    Ok(Live {
        lives: fleet.finish()?,
        disturbances: more,
        injected,
        healed,
        caught_up,
        watched_until,
        partitions: sources.into_iter().map(|(_, partitions)| partitions).collect(),
        slow: Vec::new(),
    })
}

/// Where a round's evidence lies.
struct Evidence<'a> {
    cluster: &'a Cluster,
    plan: &'a Plan,
    names: &'a Names,
    topic_ids: Vec<u128>,
    commits_begin: Vec<i64>,
}

impl Evidence<'_> {
    /// Reads all of it; and says how often partitions were lost, and how often of that for no reason.
    fn read(self, live: Live, (calls, unseen): (Vec<Call>, Unseen)) -> Result<(History, (usize, usize))> {
        let Self { cluster, plan, names, topic_ids, commits_begin } = self;
        let late = Late::of([live.slow, unseen.late].concat());
        let mut disturbances = [live.lives.disturbances, live.disturbances].concat();
        disturbances.extend(late.standstills());
        let losses = live.lives.losses.len();
        let causes = [disturbances.as_slice(), &live.injected.growths].concat();
        let explained = explained(live.lives.losses, &causes);
        let unexplained = losses - explained.len();
        disturbances.extend(explained);
        let topic = |name, partitions, committed| Topic { name, partitions, committed };
        let mut logs = Vec::new();
        for (place, (name, partitions)) in names.sources.iter().zip(live.partitions).enumerate() {
            logs.extend(cluster.read_source(topic(name, partitions, true), place, plan)?);
        }
        let (mut letters, mut outputs, mut letter_partitions) = (Vec::new(), Vec::new(), 0);
        if plan.on_exhausted == OnExhausted::DeadLetter {
            letter_partitions = cluster.describe(&names.letters)?.partitions;
            letters = cluster.read_forwarded(topic(&names.letters, letter_partitions, false), names, false)?;
        }
        if plan.output {
            outputs = cluster.read_forwarded(topic(&names.output, plan.partitions, false), names, true)?;
        }
        let history = History {
            rules: rules(plan),
            cluster_id: cluster.id.clone(),
            topic_ids,
            logs,
            calls,
            letters,
            letter_partitions,
            outputs,
            commits: cluster.read_commits(names, &commits_begin)?,
            workers: live.lives.workers,
            disturbances,
            late,
            downs: unseen.downs,
            unread: unseen.unread,
            injected: live.injected,
            healed: live.healed,
            caught_up: live.caught_up,
            watched_until: live.watched_until,
        };
        if history.commits.is_empty() {
            return Err(Error::Evidence(format!("no commit of {} was found: see the workers' logs", names.group)));
        }
        Ok((history, (losses, unexplained)))
    }
}

fn names(plan: &Plan) -> Names {
    let group = format!("chaos-{}-{}", plan.seed, now() / 1_000_000);
    let sources = (0..plan.topics().count()).map(|place| format!("{group}-in-{place}")).collect();
    Names { sources, letters: format!("{group}-dlq"), output: format!("{group}-out"), group }
}

fn rules(plan: &Plan) -> Rules {
    Rules {
        ordering: plan.ordering,
        on_exhausted: plan.on_exhausted,
        max_attempts: plan.mix.max_attempts,
        same_lane: plan.has_same_lane(),
        timeout: plan.timeout,
        drain: plan.drain,
        grace: GRACE,
        output: plan.output,
        memory_bytes: MEMORY_BYTES,
        commit_within: COMMIT_WITHIN,
        joins_wait: plan.classic.then_some(SESSION_TIMEOUT),
    }
}
