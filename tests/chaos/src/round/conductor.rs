//! The faults of a plan, at their times.

use std::thread::{Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

use crate::cluster::{BROKER_UP, Cluster};
use crate::error::{Error, Result};
use crate::fleet::{Fleet, Names};
use crate::history::{Disturbance, Micros, micros};
use crate::plan::{BrokerFault, Fault, Plan, SESSION_TIMEOUT};
use crate::processor::{Processor, now};

/// Between looks at the clock.
const TICK: Duration = Duration::from_millis(5);
/// What a broker's absence leads to is over so long after its return: sessions, rejoining, retried requests.
const AFTERMATH: Duration = Duration::from_secs(15);
/// After a change of a topic's configuration, until brokers and producers go by it.
const HEARD: Duration = Duration::from_secs(3);

/// Runs a plan's faults on a cluster, a processor and a fleet.
pub(super) struct Conductor<'a> {
    cluster: &'a Cluster,
    plan: &'a Plan,
    names: &'a Names,
    processor: &'a Processor,
    fleet: Fleet<'a>,
    /// What has to be undone, and when.
    later: Vec<(Duration, Undo)>,
    letters_refused: Vec<(Micros, Micros)>,
}

/// What was done.
pub(super) struct Conducted<'a> {
    pub(super) fleet: Fleet<'a>,
    pub(super) letters_refused: Vec<(Micros, Micros)>,
    /// Disturbances beside the fleet's own.
    pub(super) more: Vec<Disturbance>,
}

#[derive(Clone, Copy, Debug)]
enum Undo {
    Start(usize),
    Resume(usize),
    EndOutage,
    TakeLetters(Micros),
}

type BrokerThread<'scope> = ScopedJoinHandle<'scope, Result<Disturbance>>;

impl<'a> Conductor<'a> {
    pub(super) fn new(
        cluster: &'a Cluster,
        plan: &'a Plan,
        names: &'a Names,
        processor: &'a Processor,
        fleet: Fleet<'a>,
    ) -> Self {
        Self { cluster, plan, names, processor, fleet, later: Vec::new(), letters_refused: Vec::new() }
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
        let mut brokers: Vec<BrokerThread<'scope>> = Vec::new();
        loop {
            let elapsed = began.elapsed();
            while let Some(timed) = faults.next_if(|timed| timed.at <= elapsed) {
                brokers.extend(self.begin(timed.fault, elapsed, scope)?);
            }
            self.undo(elapsed)?;
            self.fleet.look();
            let waiting = faults.peek().is_some() || !self.later.is_empty();
            if !waiting && producing.is_finished() && brokers.iter().all(ScopedJoinHandle::is_finished) {
                break;
            }
            std::thread::sleep(TICK);
        }
        joined(producing)?;
        let more = brokers.into_iter().map(joined).collect::<Result<Vec<_>>>()?;
        // Whoever was killed last is replaced, as a Deployment would.
        self.fleet.scale(self.plan.workers)?;
        Ok(Conducted { fleet: self.fleet, letters_refused: self.letters_refused, more })
    }

    fn begin<'scope, 'env>(
        &mut self,
        fault: Fault,
        at: Duration,
        scope: &'scope Scope<'scope, 'env>,
    ) -> Result<Option<BrokerThread<'scope>>>
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
                return Ok(Some(scope.spawn(move || broker_away(cluster, id, how, lasting))));
            }
            Fault::Outage { how, lasting } => {
                self.processor.outage(Some(how));
                self.later.push((at + lasting, Undo::EndOutage));
            }
            Fault::LettersRefused { lasting } => {
                let from = now();
                let more_than_all = (self.plan.brokers + 1).to_string();
                self.cluster.set(&self.names.letters, "min.insync.replicas", &more_than_all)?;
                self.later.push((at + lasting, Undo::TakeLetters(from)));
            }
            Fault::Grow { to } => self.cluster.grow(&self.names.source, to)?,
        }
        Ok(None)
    }

    fn undo(&mut self, elapsed: Duration) -> Result<()> {
        for (_, undo) in self.later.extract_if(.., |(at, _)| *at <= elapsed).collect::<Vec<_>>() {
            match undo {
                Undo::Start(slot) => self.fleet.start(slot)?,
                Undo::Resume(slot) => self.fleet.resume(slot)?,
                Undo::EndOutage => self.processor.outage(None),
                Undo::TakeLetters(from) => {
                    self.cluster.set(&self.names.letters, "min.insync.replicas", "1")?;
                    self.letters_refused.push((from, now() + micros(HEARD)));
                }
            }
        }
        Ok(())
    }
}

fn joined<T>(thread: ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    thread.join().unwrap_or_else(|_| Err(Error::Evidence("a thread of the harness panicked".to_owned())))
}

/// A broker goes away and returns.
fn broker_away(cluster: &Cluster, id: u8, how: BrokerFault, lasting: Duration) -> Result<Disturbance> {
    let from = now();
    let broker = cluster.lab.broker(id);
    match how {
        BrokerFault::Stop => broker.stop()?,
        BrokerFault::Kill => broker.kill()?,
        BrokerFault::Pause => broker.pause()?,
    }
    std::thread::sleep(lasting);
    match how {
        BrokerFault::Stop | BrokerFault::Kill => broker.start(BROKER_UP)?,
        BrokerFault::Pause => {
            broker.resume()?;
            broker.await_ready(BROKER_UP)?;
        }
    }
    let until = now() + micros(AFTERMATH + SESSION_TIMEOUT);
    Ok(Disturbance { worker: None, from, until, what: format!("broker {id}: {how:?}") })
}
