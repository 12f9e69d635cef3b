//! What Kafka says about every pipeline, asked at a steady pace and kept with the time at which it was true.
//!
//! One client per cluster and credential, shared by all its pipelines. Each tick of a client asks for all pipelines that are due at
//! once: ListOffsets in one request per leader broker, OffsetFetch one per group. [`book::Book`] knows who is due and holds the newest
//! [`Sample`]s; [`tick`] is the I/O; [`Sampler::run`] is the loop around both. A failed or partial answer never removes what an earlier
//! one said: a value keeps its age, and whoever reads it decides when it is too old.

pub mod book;
pub mod density;
pub mod pool;
pub mod sample;
mod tick;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::channel::mpsc::UnboundedSender;
use futures::stream::{FuturesUnordered, StreamExt as _};
use kube::runtime::reflector::ObjectRef;
use penstock_crds::ConsumerPipeline;
use penstock_kafka::admin::{AdminClient, AdminError};
use penstock_kafka::settings::ClientConfig;
use tokio::sync::Notify;

use self::book::Book;
pub use self::book::{Pace, Subscription, of_delays};
use self::pool::Pool;
pub use self::sample::{GroupFact, PartitionFact, Sample, TopicFact, Trouble, TroubleKind};
pub use self::tick::Asked;
use crate::clock::Clock;

/// How long one admin call may take: below the pace of active pipelines, so that ticks do not pile up.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(4);

/// Asks Kafka, and keeps the newest answers. Clones share them.
#[derive(Clone)]
pub struct Sampler {
    shared: Arc<Shared>,
}

struct Shared {
    book: Mutex<Book>,
    pool: Mutex<Pool>,
    wake: Notify,
    clock: Clock,
}

/// A panic in another task leaves plain data behind that is still whole: every change to it is one assignment.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Sampler {
    /// A sampler that follows nothing yet.
    pub fn new(clock: Clock) -> Self {
        let shared =
            Shared { book: Mutex::new(Book::default()), pool: Mutex::new(Pool::default()), wake: Notify::new(), clock };
        Self { shared: Arc::new(shared) }
    }

    /// Follows a pipeline from now on, or changes how. The same subscription again changes nothing.
    pub fn follow(&self, subscription: Subscription) {
        if lock(&self.shared.book).follow(subscription, self.shared.clock.now()) {
            self.shared.wake.notify_one();
        }
    }

    /// Asks everything about a pipeline again, now: after something was changed in Kafka on its behalf.
    pub fn hurry(&self, uid: &str) {
        lock(&self.shared.book).hurry(uid);
        self.shared.wake.notify_one();
    }

    /// Forgets a pipeline, and closes its client if nobody else uses it.
    pub fn forget(&self, uid: &str) {
        let clients = {
            let mut book = lock(&self.shared.book);
            book.forget(uid);
            book.clients()
        };
        lock(&self.shared.pool).keep_only(&clients);
    }

    /// The newest sample of a pipeline; `None` while it is not followed.
    pub fn newest(&self, uid: &str) -> Option<Arc<Sample>> {
        lock(&self.shared.book).sample(uid)
    }

    /// The client that samples this cluster, for the rare call that changes something.
    pub fn client(&self, config: &ClientConfig) -> Result<AdminClient, AdminError> {
        lock(&self.shared.pool).client(config)
    }

    /// Asks until it is dropped, and sends every pipeline with a new sample to `changed`.
    pub async fn run(&self, changed: UnboundedSender<ObjectRef<ConsumerPipeline>>) {
        let mut ticks = FuturesUnordered::new();
        // Ticks that an earlier leadership left behind are gone with it.
        lock(&self.shared.book).abandon();
        loop {
            let (rounds, sleep) = lock(&self.shared.book).due(self.shared.clock.now());
            for round in rounds {
                let client = self.client(&round.config);
                ticks.push(tick::ask(client, round, self.shared.clock));
            }
            tokio::select! {
                Some(answers) = ticks.next() => {
                    let fresh = lock(&self.shared.book).note(&answers);
                    for pipeline in fresh {
                        // The receiver lives as long as the controller; without one there is nobody to tell.
                        let _ = changed.unbounded_send(pipeline);
                    }
                }
                () = self.shared.wake.notified() => {}
                () = tokio::time::sleep(sleep) => {}
            }
        }
    }
}
