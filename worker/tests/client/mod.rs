//! A processor client as the loop has it, for tests.

use std::sync::Arc;
use std::time::Duration;

use penstock_engine::Instant;
use penstock_engine::seam::{
    ArenaBuilder, CallId, Delivery, DeliveryList, Finished, NewRecord, Outcome, Start, Ticket, Tp,
};
use penstock_kafka::wake::{Sleeper, pair};
use penstock_worker::contract::request::{Endpoint, Origin};
use penstock_worker::metrics::Metrics;
use penstock_worker::processor::{Calls, HttpProcessor};
use tokio::runtime::{Builder, Runtime};

/// Headers of a record.
pub(crate) type Headers<'a> = &'a [(&'a [u8], Option<&'a [u8]>)];

/// A processor client as the loop has it, with the loop's sleeper.
pub(crate) struct Client {
    pub(crate) calls: HttpProcessor,
    pub(crate) sleeper: Sleeper,
    serial: u32,
}

pub(crate) fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

impl Client {
    pub(crate) fn of(runtime: &Runtime, url: &str) -> Self {
        let (sleeper, waker) = pair().unwrap();
        let endpoint = Endpoint::new(url, "shop/orders").unwrap();
        let tasks = (runtime.handle().clone(), waker);
        let metrics = Arc::new(Metrics::new().unwrap());
        let calls = HttpProcessor::new(endpoint, Duration::from_secs(10), true, tasks, metrics);
        Self { calls, sleeper, serial: 0 }
    }

    pub(crate) fn start(&mut self, slot: u32, new: NewRecord<'_>, headers: Headers<'_>) -> CallId {
        self.serial += 1;
        let call = CallId { slot, serial: self.serial };
        let mut arena = ArenaBuilder::default();
        arena.push(new).unwrap();
        for (name, value) in headers {
            arena.header(name, *value).unwrap();
        }
        let ticket = Ticket { call, item: 0 };
        let record = arena.finish().record(0).unwrap();
        let delivery = Delivery { ticket, tp: Tp(0), attempt: 1, owner: 1, record };
        let deadline = Instant::from_millis(10_000);
        let origin = Arc::new(Origin::new("orders".into(), 0, "c", "t"));
        let start = Start { call, deadline, deliveries: DeliveryList::One(delivery) };
        self.calls.start(start, Instant::ZERO, &|_| Arc::clone(&origin));
        call
    }

    /// Sleeps as the loop does until `count` calls have ended.
    pub(crate) fn finished(&mut self, count: usize) -> Vec<Finished> {
        let mut finished = Vec::new();
        while finished.len() < count {
            self.calls.take_finished(&mut finished);
            if finished.len() < count {
                self.sleeper.announce();
                if self.calls.maybe_ready() {
                    self.sleeper.cancel();
                } else {
                    self.sleeper.sleep(Duration::from_secs(20));
                }
            }
        }
        finished
    }

    pub(crate) fn call(&mut self, new: NewRecord<'_>, headers: Headers<'_>) -> Outcome {
        self.start(0, new, headers);
        self.finished(1).remove(0).outcome
    }

    pub(crate) fn value(&mut self, value: &[u8]) -> Outcome {
        self.call(NewRecord { key: Some(b"k"), value: Some(value), ..NewRecord::default() }, &[])
    }
}
