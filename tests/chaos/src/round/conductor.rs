//! The faults of a plan, at their times.

use std::thread::{Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

use super::aside::{self, Aside};
use crate::cluster::{Cluster, STAMPED};
use crate::error::{Error, Result};
use crate::fleet::{Fleet, Names};
use crate::history::{Disturbance, Injected, Micros, micros};
use crate::plan::{Fault, Plan};
use crate::processor::{Processor, now};

/// Between looks at the clock.
const TICK: Duration = Duration::from_millis(5);
/// After a change of a topic, until brokers and producers go by it.
pub(super) const HEARD: Duration = Duration::from_secs(3);
/// After a topic was deleted, until no broker takes a record for it any more.
const GONE: Duration = Duration::from_secs(1);

/// After partitions were added, until every client has noticed: `topic.metadata.refresh.interval.ms` of the workers, and a join.
const NOTICED: Duration = Duration::from_secs(6);

/// Runs a plan's faults on a cluster, a processor and a fleet.
pub(super) struct Conductor<'a> {
    cluster: &'a Cluster,
    plan: &'a Plan,
    names: &'a Names,
    processor: &'a Processor,
    fleet: Fleet<'a>,
    /// What has to be undone, and when.
    later: Vec<(Duration, Undo)>,
    injected: Injected,
}

/// What was done.
pub(super) struct Conducted<'a> {
    pub(super) fleet: Fleet<'a>,
    pub(super) injected: Injected,
    /// Disturbances beside the fleet's own.
    pub(super) more: Vec<Disturbance>,
}

#[derive(Clone, Copy, Debug)]
enum Undo {
    Start(usize),
    Resume(usize),
    EndOutage,
    TakeLetters(Micros),
    MakeLetters(Micros),
}

type AsideThread<'scope> = ScopedJoinHandle<'scope, Result<Aside>>;

impl<'a> Conductor<'a> {
    pub(super) fn new(
        cluster: &'a Cluster,
        plan: &'a Plan,
        names: &'a Names,
        processor: &'a Processor,
        fleet: Fleet<'a>,
    ) -> Self {
        Self { cluster, plan, names, processor, fleet, later: Vec::new(), injected: Injected::default() }
    }

    /// Starts the workers, lets everything befall them, and heals.
    pub(super) fn conduct<'scope, 'env>(
        mut self,
        scope: &'scope Scope<'scope, 'env>,
        producing: ScopedJoinHandle<'scope, Result<()>>,
    ) -> Result<Conducted<'a>>
    where
        'a: 'scope,
    {
        let began = Instant::now();
        self.fleet.scale(self.plan.workers)?;
        let mut faults = self.plan.faults.iter().copied().peekable();
        let mut asides: Vec<AsideThread<'scope>> = Vec::new();
        loop {
            let elapsed = began.elapsed();
            while let Some(timed) = faults.next_if(|timed| timed.at <= elapsed) {
                asides.extend(self.begin(timed.fault, elapsed, scope)?);
            }
            self.undo(elapsed)?;
            self.fleet.look();
            let waiting = faults.peek().is_some() || !self.later.is_empty();
            if !waiting && producing.is_finished() && asides.iter().all(ScopedJoinHandle::is_finished) {
                break;
            }
            std::thread::sleep(TICK);
        }
        joined(producing)?;
        let mut more = Vec::new();
        for aside in asides {
            let aside = joined(aside)?;
            more.extend(aside.disturbance);
            self.injected.letters_refused.extend(aside.letters_refused);
        }
        // Whoever was killed last is replaced, as a Deployment would.
        self.fleet.scale(self.plan.workers)?;
        Ok(Conducted { fleet: self.fleet, injected: self.injected, more })
    }

    fn begin<'scope, 'env>(
        &mut self,
        fault: Fault,
        at: Duration,
        scope: &'scope Scope<'scope, 'env>,
    ) -> Result<Option<AsideThread<'scope>>>
    where
        'a: 'scope,
    {
        match fault {
            Fault::Kill { slot, vacant } => {
                self.fleet.kill(slot)?;
                self.later.push((at + vacant, Undo::Start(slot)));
            }
            Fault::Replace { slot } => {
                self.fleet.tell_to_stop(slot)?;
                self.fleet.start(slot)?;
            }
            Fault::Pause { slot, lasting } => {
                self.fleet.pause(slot)?;
                self.later.push((at + lasting, Undo::Resume(slot)));
            }
            Fault::Scale { to } => self.fleet.scale(to)?,
            Fault::Broker { id, how, lasting } => {
                let cluster = self.cluster;
                return Ok(Some(scope.spawn(move || aside::broker_away(cluster, id, how, lasting))));
            }
            Fault::Outage { how, lasting } => {
                self.injected.outages.push((now(), now() + micros(lasting)));
                self.processor.outage(Some(how));
                self.later.push((at + lasting, Undo::EndOutage));
            }
            Fault::LettersRefused { lasting } => {
                let from = now();
                let more_than_all = (self.plan.brokers + 1).to_string();
                self.cluster.set(&self.names.letters, "min.insync.replicas", &more_than_all)?;
                self.later.push((at + lasting, Undo::TakeLetters(from)));
            }
            Fault::LettersDeleted { lasting } => {
                let from = now();
                self.cluster.delete(&self.names.letters)?;
                self.injected.letters_deleted.push(now() + micros(GONE));
                self.later.push((at + lasting, Undo::MakeLetters(from)));
            }
            Fault::LeadersMoved { turn } => {
                let (cluster, names, plan) = (self.cluster, self.names, self.plan);
                let topics = names.sources.iter().map(String::as_str).zip(plan.topics()).collect::<Vec<_>>();
                return Ok(Some(scope.spawn(move || aside::leaders_moved(cluster, &topics, turn))));
            }
            Fault::LettersForbidden { lasting } => {
                let (cluster, letters) = (self.cluster, &self.names.letters);
                return Ok(Some(scope.spawn(move || aside::letters_forbidden(cluster, letters, lasting))));
            }
            Fault::Grow { to } => {
                let from = now();
                self.cluster.grow(self.names.first_source(), to)?;
                let (until, what) = (now() + micros(NOTICED), "partitions added".to_owned());
                let growth = Disturbance { worker: None, from, until, what };
                self.injected.growths.extend(self.plan.classic.then_some(growth));
            }
        }
        Ok(None)
    }

    fn undo(&mut self, elapsed: Duration) -> Result<()> {
        for (_, undo) in self.later.extract_if(.., |(at, _)| *at <= elapsed).collect::<Vec<_>>() {
            match undo {
                Undo::Start(slot) => self.fleet.fill(slot)?,
                Undo::Resume(slot) => self.fleet.resume(slot)?,
                Undo::EndOutage => self.processor.outage(None),
                Undo::TakeLetters(from) => {
                    self.cluster.set(&self.names.letters, "min.insync.replicas", "1")?;
                    self.injected.letters_refused.push((from, now() + micros(HEARD)));
                }
                Undo::MakeLetters(from) => {
                    let most = self.plan.topics().max().unwrap_or(1);
                    self.cluster.create(&self.names.letters, most, &STAMPED)?;
                    self.injected.letters_refused.push((from, now() + micros(HEARD)));
                }
            }
        }
        Ok(())
    }
}

fn joined<T>(thread: ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    thread.join().unwrap_or_else(|_| Err(Error::Evidence("a thread of the harness panicked".to_owned())))
}
