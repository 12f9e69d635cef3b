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
use penstock_worker::processor::{Address, Calls, Form, HttpProcessor, Spans};
use tokio::runtime::{Builder, Runtime};

/// Headers of a record.
pub(crate) type Headers<'a> = &'a [(&'a [u8], Option<&'a [u8]>)];

/// A processor client as the loop has it, with the loop's sleeper.
pub(crate) struct Client {
    pub(crate) calls: HttpProcessor,
    sleeper: Sleeper,
    /// The loop's.
    here: Runtime,
    serial: u32,
}

/// Of servers.
pub(crate) fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

impl Client {
    /// A client that sends records one by one.
    #[allow(dead_code, reason = "each test program uses its part")]
    pub(crate) fn of(url: &str) -> Self {
        Self::new(by(url), Form::Single)
    }

    /// A client of the server at this address.
    #[allow(dead_code, reason = "each test program uses its part")]
    pub(crate) fn at(address: &Address, form: Form) -> Self {
        let (endpoint, _) = Endpoint::new("http://localhost/", "shop/orders").unwrap();
        Self::new((endpoint, address.clone()), form)
    }

    /// The same, with spans.
    #[allow(dead_code, reason = "each test program uses its part")]
    pub(crate) fn traced(mut self, spans: Arc<Spans>) -> Self {
        self.calls = self.calls.traced(spans);
        self
    }

    /// A client that sends batches.
    #[allow(dead_code, reason = "each test program uses its part")]
    pub(crate) fn batching(url: &str) -> Self {
        Self::new(by(url), Form::Batch)
    }

    fn new(server: (Endpoint, Address), form: Form) -> Self {
        let (sleeper, waker) = pair();
        let here = Builder::new_current_thread().enable_all().build().unwrap();
        let tasks = (here.handle().clone(), waker);
        let metrics = Arc::new(Metrics::new().unwrap());
        let calls = HttpProcessor::new(server, Duration::from_secs(10), (form, true), tasks, metrics);
        Self { calls, sleeper, here, serial: 0 }
    }

    pub(crate) fn start(&mut self, slot: u32, new: NewRecord<'_>, headers: Headers<'_>) -> CallId {
        self.start_all(slot, &[(new, headers)])
    }

    /// One call with all of them.
    pub(crate) fn start_all(&mut self, slot: u32, records: &[(NewRecord<'_>, Headers<'_>)]) -> CallId {
        start(&mut self.calls, &mut self.serial, slot, records)
    }

    /// A call that the loop begins in the turn in which the socket is found to be readable, and whatever has happened to the
    /// connections of the slots meanwhile: their tasks have not seen it.
    #[allow(dead_code, reason = "each test program uses its part")]
    pub(crate) fn start_when_readable(&mut self, socket: std::net::TcpStream, slot: u32, new: NewRecord<'_>) {
        let Self { calls, here, serial, .. } = self;
        here.block_on(async {
            tokio::net::TcpStream::from_std(socket).unwrap().readable().await.unwrap();
            start(calls, serial, slot, &[(new, &[])]);
        });
    }

    /// Sleeps as the loop does until something has ended. Calls get on meanwhile.
    pub(crate) fn sleep(&mut self) {
        self.sleep_for(Duration::from_secs(20));
    }

    /// The same, for so long at most.
    pub(crate) fn sleep_for(&mut self, most: Duration) {
        let (calls, sleeper) = (&self.calls, &self.sleeper);
        self.here.block_on(sleeper.sleep_unless(|| calls.maybe_ready(), || most));
    }

    /// Sleeps as the loop does until `count` calls have ended.
    pub(crate) fn finished(&mut self, count: usize) -> Vec<Finished> {
        let mut finished = Vec::new();
        while finished.len() < count {
            self.calls.take_finished(&mut finished);
            if finished.len() < count {
                self.sleep();
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

    /// The outcomes of one call with all of them, in their order.
    pub(crate) fn batch(&mut self, records: &[(NewRecord<'_>, Headers<'_>)]) -> Vec<Outcome> {
        self.start_all(0, records);
        let finished = self.finished(records.len());
        assert!(finished.iter().enumerate().all(|(place, one)| one.ticket.item as usize == place), "{finished:?}");
        finished.into_iter().map(|one| one.outcome).collect()
    }
}

#[allow(dead_code, reason = "each test program uses its part")]
fn by(url: &str) -> (Endpoint, Address) {
    let (endpoint, address) = Endpoint::new(url, "shop/orders").unwrap();
    (endpoint, Address::Tcp(address))
}

fn start(calls: &mut HttpProcessor, serial: &mut u32, slot: u32, records: &[(NewRecord<'_>, Headers<'_>)]) -> CallId {
    *serial += 1;
    let call = CallId { slot, serial: *serial };
    let mut arena = ArenaBuilder::default();
    for (new, headers) in records {
        arena.push(*new).unwrap();
        for (name, value) in *headers {
            arena.header(name, *value).unwrap();
        }
    }
    let arena = arena.finish();
    let delivery = |item: usize| Delivery {
        ticket: Ticket { call, item: u32::try_from(item).unwrap() },
        tp: Tp(0),
        attempt: 1,
        owner: 1,
        record: arena.record(item).unwrap(),
    };
    let deliveries = match records.len() {
        1 => DeliveryList::One(delivery(0)),
        count => DeliveryList::Many((0..count).map(delivery).collect()),
    };
    let deadline = Instant::from_millis(10_000);
    let origin = Arc::new(Origin::new("orders".into(), 0, "c", "t"));
    calls.start(Start { call, deadline, deliveries }, Instant::ZERO, &|_| Arc::clone(&origin));
    call
}
