//! The recording processor: a server of its own for each worker, so that a call tells who made it, with one log for all.
//!
//! HTTP is spoken by hand, for a processor that answers with garbage, with half an answer or not at all is what it is for.

mod batch;
mod door;
mod http;
mod recorder;
mod reply;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;

use crate::behaviour::Mix;
use crate::error::{During as _, Result};
use crate::history::{Call, micros};
use crate::plan::{Outage, Plan};
use door::Door;
use recorder::Recorder;

pub(crate) use http::record_digest;
pub(crate) use recorder::{Unseen, now};

/// What all doors share.
#[derive(Debug)]
struct Shared {
    mix: Mix,
    output: bool,
    /// Whether a batch may hold several records of a lane.
    same_lane: bool,
    /// The source topics, by their places.
    topics: Vec<String>,
    recorder: Recorder,
    /// Answers that do not depend on the record.
    outage: watch::Sender<Option<Outage>>,
}

/// The processor of a round.
#[derive(Debug)]
pub struct Processor {
    shared: Arc<Shared>,
    doors: Mutex<Vec<Arc<Door>>>,
    runtime: Runtime,
}

impl Processor {
    /// The processor of a plan, for records of those topics.
    ///
    /// # Errors
    /// No thread can be had.
    pub fn new(plan: &Plan, topics: &[String]) -> Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let shared = Shared {
            mix: plan.mix,
            output: plan.output,
            same_lane: plan.has_same_lane(),
            topics: topics.to_vec(),
            recorder: Recorder::new(plan.ordering),
            outage: watch::Sender::new(None),
        };
        let (shared, runtime) = (Arc::new(shared), runtime.during("making a runtime")?);
        runtime.spawn(watch_itself(Arc::clone(&shared)));
        Ok(Self { shared, doors: Mutex::default(), runtime })
    }

    /// Opens a door for a worker; it is told apart by the port.
    ///
    /// # Errors
    /// No port can be had.
    pub fn open(&self, worker: u32) -> Result<u16> {
        let door = self.runtime.block_on(Door::open(worker, Arc::clone(&self.shared))).during("opening a port")?;
        let port = door.port();
        if *self.shared.outage.borrow() == Some(Outage::Refuses) {
            door.close();
        }
        self.doors.lock().unwrap_or_else(PoisonError::into_inner).push(door);
        Ok(port)
    }

    /// Begins an outage, or ends it.
    pub fn outage(&self, outage: Option<Outage>) {
        let before = self.shared.outage.send_replace(outage);
        let refuses = |outage| outage == Some(Outage::Refuses);
        for door in self.doors.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            match (refuses(before), refuses(outage)) {
                (false, true) => door.close(),
                (true, false) => door.reopen(),
                _ => {}
            }
        }
    }

    /// Calls begun so far.
    pub fn calls(&self) -> usize {
        self.shared.recorder.len()
    }

    /// Ends, and gives the log, and what is known of calls that are not in it. A call that still runs is one whose worker is gone.
    pub(crate) fn finish(self) -> (Vec<Call>, Unseen) {
        self.runtime.shutdown_timeout(Duration::from_secs(2));
        self.shared.recorder.take()
    }
}

/// Between looks at the clock, by the thread that reads requests.
const LOOK: Duration = Duration::from_millis(50);
/// Whoever reads so late has answered too late for timeouts of a second, though the log shows a call that took no time.
const LATE: Duration = Duration::from_millis(250);

async fn watch_itself(shared: Arc<Shared>) {
    loop {
        let since = now();
        tokio::time::sleep(LOOK).await;
        if now().saturating_sub(since) > micros(LOOK + LATE) {
            shared.recorder.late(since);
        }
    }
}
