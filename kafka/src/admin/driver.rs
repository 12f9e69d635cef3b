//! One thread takes a client's answers and gives each to the task that waits for it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka_sys::bindings as sys;
use tokio::sync::oneshot;

use super::error::{AdminError, Trouble};
use crate::error::{ErrorCode, KafkaError};
use crate::native::admin::Call;
use crate::native::client::{Client, Kind};
use crate::native::event::Event;
use crate::native::queue::Queue;
use crate::settings::ClientConfig;
use crate::wake::Waker;

/// How long the thread waits for an answer at a time, and between looks after its brokers. It is interrupted when the client goes.
const WAIT: Duration = Duration::from_secs(2);

/// What the connections last complained about, kept from one client to the next.
pub(super) type Complaint = Arc<Mutex<Option<Trouble>>>;

/// Reads an answer and sends it to its task.
type Reader = Box<dyn FnOnce(&Event<'_>) + Send>;

/// A client and the thread that takes its answers; both end with it.
#[derive(Debug)]
pub(super) struct Driver {
    shared: Arc<Shared>,
}

struct Shared {
    queue: Queue,
    client: Arc<Client>,
    next: AtomicU64,
    waiting: Mutex<HashMap<u64, Reader>>,
    trouble: Complaint,
    ended: AtomicBool,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("client", &self.client).finish_non_exhaustive()
    }
}

impl Driver {
    pub(super) fn new(config: &ClientConfig, trouble: Complaint) -> Result<Self, AdminError> {
        // A consumer that joins nothing, see `Connection::admin`. Its events and the answers come on one queue.
        let client = Client::new(Kind::Consumer, config.iter(), sys::RD_KAFKA_EVENT_ERROR, Waker::of_nobody());
        let client = client.map_err(AdminError::Kafka)?;
        let queue = Queue::consumer_unsignalled(&client).map_err(AdminError::Kafka)?;
        let shared = Arc::new(Shared {
            queue,
            client,
            next: AtomicU64::new(1),
            waiting: Mutex::default(),
            trouble,
            ended: AtomicBool::new(false),
        });
        let taker = Arc::clone(&shared);
        let spawned = std::thread::Builder::new().name("kafka-admin".to_owned()).spawn(move || taker.take_answers());
        spawned.map_err(|error| {
            let text = format!("no thread for the client's answers: {error}");
            AdminError::Kafka(KafkaError { code: ErrorCode::INVALID_ARGUMENT, text, fatal: true })
        })?;
        Ok(Self { shared })
    }

    /// Sends a call and waits for its answer, read by `read` on the driver's thread.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        timeout: Duration,
        send: impl FnOnce(&Call<'_>) -> Result<(), KafkaError>,
        read: impl FnOnce(&Event<'_>) -> Result<T, KafkaError> + Send + 'static,
    ) -> Result<Result<T, KafkaError>, AdminError> {
        let (answer, answered) = oneshot::channel();
        let number = self.shared.next.fetch_add(1, Ordering::Relaxed);
        let reader: Reader = Box::new(move |event| {
            // A task that no longer waits is not told.
            let _gone = answer.send(read(event));
        });
        lock(&self.shared.waiting).insert(number, reader);
        let call = Call { client: &self.shared.client, replies: &self.shared.queue, timeout, number };
        if let Err(error) = send(&call) {
            lock(&self.shared.waiting).remove(&number);
            return Ok(Err(error));
        }
        answered.await.map_err(|_gone| AdminError::Closed)
    }

    /// A broker that this client talked to offers KIP-848.
    pub(super) fn consumer_protocol_offered(&self) -> bool {
        self.shared.client.overheard().protocol_offered()
    }

    /// What the connections last complained about, if recently: a call that ends in a timeout does not say why.
    pub(super) fn trouble(&self) -> Option<Trouble> {
        lock(&self.shared.trouble).clone().filter(Trouble::is_recent)
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        self.shared.queue.interrupt();
    }
}

impl Shared {
    fn take_answers(&self) {
        while !self.ended.load(Ordering::SeqCst) {
            self.client.look_after_brokers();
            let Some(event) = self.queue.wait(WAIT) else { continue };
            if event.kind() == sys::RD_KAFKA_EVENT_ERROR {
                if let Some(error) = event.error().filter(|error| is_about_connections(error.code)) {
                    let mut trouble = lock(&self.trouble);
                    // "All brokers are down" follows the complaint that says why: that one is kept.
                    let at = Instant::now();
                    match trouble.as_mut().filter(|trouble| trouble.is_recent()) {
                        Some(why) if error.code == ErrorCode::ALL_BROKERS_DOWN => why.at = at,
                        _ => *trouble = Some(Trouble { error, at }),
                    }
                }
                continue;
            }
            let reader = lock(&self.waiting).remove(&event.opaque());
            if let Some(reader) = reader {
                if event.error().is_none() {
                    *lock(&self.trouble) = None;
                }
                reader(&event);
            }
        }
        // Whoever still waits is told that the client is closed.
        lock(&self.waiting).clear();
    }
}

/// Others, such as a right that is missing for the group that this client never joins, say nothing about calls.
fn is_about_connections(code: ErrorCode) -> bool {
    let broken = [ErrorCode::TRANSPORT, ErrorCode::RESOLVE, ErrorCode::ALL_BROKERS_DOWN, ErrorCode::TLS];
    broken.contains(&code) || code.is_authentication()
}

/// A panic elsewhere leaves these maps whole: every change to them is one call.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
