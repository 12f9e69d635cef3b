//! The year in a burst, replicas up, a worker killed, the backlog done, replicas down.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use penstock_lab::Progress;

use super::screen::Screen;
use super::stage::Stage;
use crate::cluster::Cluster;
use crate::failure::{Context as _, Failure, Result};
use crate::flight::Flight;
use crate::pipeline::Pipeline;
use crate::verdict::Crash;
use crate::wait::until;

/// From the first flight to twelve ready workers.
const CLIMB: Duration = Duration::from_secs(60);
/// From the crash to the last flight done: a session timeout (45 s) and the backlog of one partition after it. A minute on a machine that
/// has its two cores to itself; with less than half of them 150 s were too few.
const DRAIN: Duration = Duration::from_secs(300);
/// From the last flight done to fewer workers: a window of 15 s, a sample, a drain.
const FALL: Duration = Duration::from_secs(60);
/// A worker commits every second; with the reply, twice that.
const COMMIT: Duration = Duration::from_secs(2);
/// Share of the flights to be done before the crash.
const MIDWAY: f64 = 0.3;

/// What happened.
#[derive(Clone, Debug)]
pub(super) struct Run {
    pub(super) stage: Stage,
    pub(super) crash: Crash,
    /// The most workers that were ready at once.
    pub(super) peak: usize,
    /// From the first flight to all workers ready.
    pub(super) climb: Option<Duration>,
    /// Workers that were ready when it was over.
    pub(super) rest: usize,
}

pub(super) fn run(cluster: &Cluster, stage: &Stage, flights: &[Flight<'_>], progress: &Arc<Progress>) -> Result<Run> {
    progress.say("$ kubectl get consumerpipelines --watch");
    let screen = Screen::show(cluster, &stage.namespace, progress)?;
    let start = Instant::now();
    produce(cluster, stage, flights)?;
    progress.say(format!("{} flights produced in {:.1}s", flights.len(), start.elapsed().as_secs_f64()));

    let limit = CLIMB.saturating_sub(start.elapsed());
    let climbed = until("all workers ready", limit, || Ok((screen.ready().peak >= stage.partitions).then_some(())));
    let climb = screen.ready().peaked.filter(|_| climbed.is_ok()).map(|at| at.duration_since(start));
    progress.say(format!(
        "{} workers ready {:.0}s after the first flight",
        screen.ready().peak,
        start.elapsed().as_secs_f64()
    ));

    await_midway(cluster, stage, flights.len())?;
    let crash = kill_one(cluster, stage, screen.ready().now, progress)?;
    until("all flights done", DRAIN, || {
        let behind = cluster.brokers().progress(&stage.group, &stage.source)?.lag();
        if behind == 0 { Ok(Some(())) } else { Err(Failure::new(format!("{behind} are not"))) }
    })?;
    progress
        .say(format!("all done {:.0}s after the first flight; now the workers may go", start.elapsed().as_secs_f64()));

    let peak = screen.ready().peak;
    let fell = until("fewer workers", FALL, || Ok(Some(screen.ready().now).filter(|now| *now < peak / 2)));
    let rest = fell.unwrap_or_else(|_| screen.ready().now);
    Ok(Run { stage: stage.clone(), crash, peak, climb, rest })
}

fn produce(cluster: &Cluster, stage: &Stage, flights: &[Flight<'_>]) -> Result<()> {
    let records = flights.iter().map(|flight| {
        // A flight holds words and numbers: there is nothing in it that JSON could refuse.
        (flight.tailnum.as_deref(), serde_json::to_vec(flight).unwrap_or_default())
    });
    cluster.brokers().produce(&stage.source, records).map(drop)
}

fn await_midway(cluster: &Cluster, stage: &Stage, flights: usize) -> Result<()> {
    until("half of the way", DRAIN, || {
        let behind = cluster.brokers().progress(&stage.group, &stage.source)?.lag();
        Ok((behind as f64 <= flights as f64 * (1.0 - MIDWAY)).then_some(()))
    })
}

fn kill_one(cluster: &Cluster, stage: &Stage, ready: usize, progress: &Progress) -> Result<Crash> {
    let pods = Pipeline::new(cluster, &stage.namespace, &stage.pipeline).workers()?;
    let victim =
        pods.iter().find(|pod| pod.ready).ok_or_else(|| Failure::new("no worker is ready, so none can be killed"))?;
    progress.say(format!("killing {} without grace: SIGKILL, and off the API server by force", victim.name));
    cluster.kill(&stage.namespace, victim)?;
    let at = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).context("reading the clock")?;
    Ok(Crash {
        at: millis(at),
        commit: millis(COMMIT),
        partitions: stage.partitions.div_ceil(ready.max(1)),
        calls: stage.concurrency,
    })
}

fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}
