//! The circuit: when what the processor depends on is down, nothing is started but a probe now and then (S11).
//!
//! It trips on failures of *distinct* lanes, so that one record with an address of its own cannot hold up the others. The
//! probes are records, taken in turn from the lanes; any answer that is not an outage closes it.

use core::time::Duration;

use penstock_crds::checkpoint::ErrorClass;

use crate::seam::CallId;
use crate::time::Instant;

/// Lanes that must fail, with no other answer in between.
const LANES_TO_TRIP: usize = 3;
/// Wait before the first probe; doubles up to [`PROBE_MAX`].
const PROBE_INITIAL: Duration = Duration::from_millis(500);
/// Longest wait between probes, and longest wait of a record that met an outage: recovery is noticed within it.
pub(crate) const PROBE_MAX: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
pub(crate) struct Circuit {
    /// Distinct lanes of the outages since the last other answer.
    lanes: Vec<u64>,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    since: Instant,
    class: ErrorClass,
    probes: u32,
    next_probe: Instant,
    probe: Option<CallId>,
}

impl Circuit {
    /// An answer that speaks of an outage.
    pub(crate) fn outage(&mut self, call: CallId, lane: u64, class: ErrorClass, now: Instant) {
        if let Some(open) = &mut self.open {
            if open.probe == Some(call) {
                open.class = class;
                open.try_again(now);
            }
            return;
        }
        if !self.lanes.contains(&lane) {
            self.lanes.push(lane);
        }
        if self.lanes.len() >= LANES_TO_TRIP {
            self.open = Some(Open { since: now, class, probes: 0, next_probe: now + PROBE_INITIAL, probe: None });
        }
    }

    /// Any other answer of the processor.
    pub(crate) fn answered(&mut self) {
        self.lanes.clear();
        self.open = None;
    }

    /// A call ended without an answer of the processor.
    pub(crate) fn unanswered(&mut self, call: CallId, now: Instant) {
        if let Some(open) = self.probed_by(call) {
            open.try_again(now);
        }
    }

    /// A call's connection broke. That may be about its record: the next probe is another one, and comes as soon as the first did.
    pub(crate) fn broke(&mut self, call: CallId, now: Instant) {
        if let Some(open) = self.probed_by(call) {
            (open.probe, open.next_probe) = (None, now + PROBE_INITIAL);
        }
    }

    fn probed_by(&mut self, call: CallId) -> Option<&mut Open> {
        self.open.as_mut().filter(|open| open.probe == Some(call))
    }

    /// Whether a call may be started: any while closed, one at a time and not too often while open.
    pub(crate) fn admits(&self, now: Instant) -> bool {
        self.open.as_ref().is_none_or(|open| open.probe.is_none() && now >= open.next_probe)
    }

    /// A call was started.
    pub(crate) fn started(&mut self, call: CallId) {
        if let Some(open) = &mut self.open {
            open.probe = Some(call);
        }
    }

    /// When the next probe may start.
    pub(crate) fn next_probe(&self) -> Option<Instant> {
        self.open.as_ref().filter(|open| open.probe.is_none()).map(|open| open.next_probe)
    }

    /// Why and since when it is open.
    pub(crate) fn is_open(&self) -> Option<(ErrorClass, Instant)> {
        self.open.as_ref().map(|open| (open.class, open.since))
    }
}

impl Open {
    fn try_again(&mut self, now: Instant) {
        let wait = PROBE_INITIAL.saturating_mul(1 << self.probes.min(8)).min(PROBE_MAX);
        (self.probe, self.probes, self.next_probe) = (None, self.probes.saturating_add(1), now + wait);
    }
}
