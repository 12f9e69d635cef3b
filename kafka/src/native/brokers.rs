//! Whether a client has a broker to talk to, and its way back when it has none.
//!
//! librdkafka forgets the brokers that an answer does not list, those that it was configured with among them. Where an answer lists topics and
//! no broker at all, it forgets every one: so answers the broker of a cluster whose brokers are all fenced, for a moment. What was to begin
//! anew then (KIP-899) is called off by that very answer, and its mark stays, so that nothing else begins anew either (`rd_kafka_rebootstrap`
//! in rdkafka.c, 2.12.1; librdkafka #5301, vector #25375, open). Nobody is asked any more, for as long as the client lives. So we count
//! the connections that are up, and where there has been none for a while we tell the client of its bootstrap servers once more.
#![expect(unsafe_code, reason = "librdkafka tells of connections by calling back")]

use std::cell::Cell;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka_sys::bindings as sys;

use super::client::{Client, c_string};
use crate::error::KafkaError;

/// How long a client may be without a broker until it is reminded; reconnecting takes less, where there is anything to connect to.
const FIRST: Duration = Duration::from_secs(2);
/// The longest time between reminders. The client keeps each of them (`additional_brokerlists`), so there must not be many.
const LONGEST: Duration = Duration::from_secs(30);

/// A client's connections to brokers, counted by its own threads.
#[derive(Debug)]
pub(crate) struct Brokers {
    bootstrap: CString,
    up: AtomicUsize,
    search: Mutex<Search>,
}

/// When to remind a client that has no broker.
#[derive(Debug, Default, PartialEq, Eq)]
struct Search(Option<Planned>);

#[derive(Debug, PartialEq, Eq)]
struct Planned {
    at: Instant,
    then: Duration,
}

impl Search {
    /// Asked while there is no broker: whether it is time.
    fn is_due(&mut self, now: Instant) -> bool {
        let planned = self.0.get_or_insert(Planned { at: now + FIRST, then: FIRST * 2 });
        if now < planned.at {
            return false;
        }
        *planned = Planned { at: now + planned.then, then: (planned.then * 2).min(LONGEST) };
        true
    }
}

thread_local! {
    /// Whether the connection that this thread of librdkafka's serves, its one and only, is up.
    static UP: Cell<bool> = const { Cell::new(false) };
}

impl Brokers {
    pub(crate) fn new(bootstrap: &str) -> Result<Self, KafkaError> {
        Ok(Self { bootstrap: c_string(bootstrap)?, up: AtomicUsize::new(0), search: Mutex::default() })
    }

    /// To be called at least every few seconds; costs a load while there is a broker.
    pub(crate) fn look_after(&self, client: &Client, now: impl FnOnce() -> Instant) {
        if self.up.load(SeqCst) > 0 || !self.search().is_due(now()) {
            return;
        }
        // SAFETY: a valid client and a C string. Those that it knows already it leaves as they are.
        unsafe { sys::rd_kafka_brokers_add(client.ptr(), self.bootstrap.as_ptr()) };
        tracing::debug!("no broker is connected: the bootstrap servers are tried again");
    }

    fn changed(&self, was_up: bool, is_up: bool) {
        match (was_up, is_up) {
            (false, true) => {
                self.up.fetch_add(1, SeqCst);
                *self.search() = Search::default();
            }
            (true, false) => {
                self.up.fetch_sub(1, SeqCst);
            }
            _ => {}
        }
    }

    fn search(&self) -> MutexGuard<'_, Search> {
        self.search.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the client that is made from this configuration count its connections.
    ///
    /// # Safety
    /// A valid configuration, and `self` outlives the client.
    pub(crate) unsafe fn watch(self: &Arc<Self>, conf: *mut sys::rd_kafka_conf_t) {
        let opaque = Arc::as_ptr(self).cast_mut().cast();
        // SAFETY: the caller's promise; a name that lives for ever, and a function with the signature asked for.
        unsafe { sys::rd_kafka_conf_interceptor_add_on_new(conf, NAME.as_ptr(), Some(on_new), opaque) };
    }
}

const NAME: &CStr = c"penstock";
const DONE: sys::rd_kafka_resp_err_t = sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;

/// A client has been made and has no threads yet.
unsafe extern "C" fn on_new(
    client: *mut sys::rd_kafka_t,
    _conf: *const sys::rd_kafka_conf_t,
    brokers: *mut c_void,
    _text: *mut c_char,
    _bytes: usize,
) -> sys::rd_kafka_resp_err_t {
    // SAFETY: librdkafka passes a valid client, and what `watch` gave it.
    unsafe { sys::rd_kafka_interceptor_add_on_broker_state_change(client, NAME.as_ptr(), Some(on_change), brokers) }
}

/// A connection's state has changed; called by its own thread.
unsafe extern "C" fn on_change(
    _client: *mut sys::rd_kafka_t,
    _broker: i32,
    _protocol: *const c_char,
    _name: *const c_char,
    port: c_int,
    state: *const c_char,
    brokers: *mut c_void,
) -> sys::rd_kafka_resp_err_t {
    // Those to a coordinator are only used for its group, and have no address to begin with; nor has the internal one.
    if port != 0 {
        // SAFETY: librdkafka passes a C string for the time of the call, and what `watch` was promised to outlive the client.
        let (state, brokers) = unsafe { (CStr::from_ptr(state), &*brokers.cast::<Brokers>()) };
        let is_up = state == c"UP";
        brokers.changed(UP.replace(is_up), is_up);
    }
    DONE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_no_broker_is_reminded_after_a_while_and_then_less_and_less() {
        let (mut search, began) = (Search::default(), Instant::now());
        let due = (0..120).filter(|second| search.is_due(began + Duration::from_secs(*second)));
        assert_eq!(due.collect::<Vec<_>>(), [2, 6, 14, 30, 60, 90]);
    }

    #[test]
    fn whoever_had_one_meanwhile_has_time_again() {
        let (brokers, began) = (Brokers::new("").unwrap(), Instant::now());
        let due = |seconds| brokers.search().is_due(began + Duration::from_secs(seconds));
        assert_eq!([due(0), due(2), due(5)], [false, true, false]);
        brokers.changed(false, true);
        brokers.changed(true, true);
        brokers.changed(true, false);
        assert_eq!(brokers.up.load(SeqCst), 0);
        assert_eq!([due(7), due(8), due(9)], [false, false, true]);
    }
}
