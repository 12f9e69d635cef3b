//! Whether a client has a broker to talk to, and when to help one that has none.
//!
//! librdkafka forgets the brokers that an answer does not list, those that it was configured with among them. Where an answer lists topics and
//! no broker at all, it forgets every one: so answers the broker of a cluster whose brokers are all fenced, for a moment. What was to begin
//! anew then (KIP-899) is called off by that very answer, and its mark stays, so that nothing else begins anew either (`rd_kafka_rebootstrap`
//! in rdkafka.c, 2.12.1; librdkafka #5301, vector #25375, open). Nobody is asked any more, for as long as the client lives. So we count
//! the connections that are up, by what its log tells, and where there has been none for a while it is told of its bootstrap servers once more.
//!
//! An interceptor would tell the same. But librdkafka frees a configuration's interceptors twice where it refuses the configuration.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a client may be without a broker until it is helped; reconnecting takes less, where there is anything to connect to.
const FIRST: Duration = Duration::from_secs(2);
/// The longest time between helps. The client keeps each of them (`additional_brokerlists`) and goes through all when it begins anew. A
/// server that was added stays until a broker has answered, so that more of them are of little use.
const LONGEST: Duration = Duration::from_mins(5);

/// A client's connections to brokers, counted from its threads.
#[derive(Debug, Default)]
pub(crate) struct Brokers {
    up: AtomicUsize,
    search: Mutex<Search>,
}

/// When to help a client that has no broker.
#[derive(Debug, Default)]
struct Search(Option<Planned>);

#[derive(Debug)]
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

impl Brokers {
    /// There has been no broker for long enough. To be asked at least every few seconds; costs a load while there is one.
    pub(crate) fn are_to_be_searched(&self, now: impl FnOnce() -> Instant) -> bool {
        self.up.load(SeqCst) == 0 && self.search().is_due(now())
    }

    /// A connection went from one state to another: `[thrd:…]: localhost:9092/1: Broker changed state APIVERSION_QUERY -> UP`. Those to a
    /// coordinator (`GroupCoordinator/1`) serve its group alone; the internal one (`:0/internal`) is none.
    pub(crate) fn line(&self, line: &str) {
        let Some((name, states)) = line.split_once(": Broker changed state ") else { return };
        let name = name.split_once("]: ").map_or(name, |(_thread, name)| name);
        let Some((before, after)) = states.split_once(" -> ") else { return };
        if name.contains(':') && !name.ends_with("/internal") {
            self.changed(before == "UP", after == "UP");
        }
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

    #[cfg(test)]
    pub(crate) fn any_up(&self) -> bool {
        self.up.load(SeqCst) > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_no_broker_is_helped_after_a_while_and_then_less_and_less() {
        let (mut search, began) = (Search::default(), Instant::now());
        let due = (0..1_300).filter(|second| search.is_due(began + Duration::from_secs(*second)));
        assert_eq!(due.collect::<Vec<_>>(), [2, 6, 14, 30, 62, 126, 254, 510, 810, 1_110]);
    }

    #[test]
    fn whoever_had_one_meanwhile_has_time_again() {
        let (brokers, began) = (Brokers::default(), Instant::now());
        let due = |seconds| brokers.are_to_be_searched(|| began + Duration::from_secs(seconds));
        assert_eq!([due(0), due(2), due(5)], [false, true, false]);
        brokers.changed(false, true);
        assert!(!due(60));
        brokers.changed(true, false);
        assert_eq!([due(61), due(62), due(63)], [false, false, true]);
    }

    #[test]
    fn connections_to_brokers_count_and_others_do_not() {
        let brokers = Brokers::default();
        let line = |name, states| brokers.line(&format!("[thrd:{name}]: {name}: Broker changed state {states}"));
        for other in ["GroupCoordinator", "GroupCoordinator/1", "TxnCoordinator", ":0/internal", "ssl://:0/internal"] {
            line(other, "TRY_CONNECT -> UP");
            assert!(!brokers.any_up(), "{other}");
        }
        for name in ["[::1]:9092/2", "sasl_ssl://coordinator.example:9092/bootstrap"] {
            line(name, "APIVERSION_QUERY -> UP");
            assert!(brokers.any_up(), "{name}");
            line(name, "UP -> DOWN");
            line(name, "DOWN -> INIT");
            assert!(!brokers.any_up(), "{name}");
        }
    }
}
