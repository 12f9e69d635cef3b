//! Whether fewer calls at once would bring as much: found out by trying.
//!
//! Latency alone cannot tell a queue of our own making from work that takes long. Throughput beside it can: with all slots
//! busy, Little's law makes latency = calls in progress ÷ throughput, so where a third of the calls brings the same
//! throughput, latency falls to a third, and two thirds of the calls only waited for each other. So this goes the way of BBR
//! (Cardwell et al., ACM Queue 2016), which lowers and raises what is in flight for a moment to see what the path does, and not
//! that of Vegas or of Gradient2 (Netflix concurrency-limits), which compare latency with the lowest or the mean one seen
//! before: they take a slower kind of records, or a neighbour that takes the CPU, for a queue.
//!
//! A trial *down* lets a third of the calls run, and if that is enough, half of them stay: one and a half times what was proven.
//! A trial *up* doubles them, and keeps that where it brings more. Throughput is measured before, during and after, so that a
//! processor that changes meanwhile is not believed. A trial that fails costs work, so the pause after it is 64 times
//! what it cost, and more after each further failure.

use core::time::Duration;

use crate::time::{Instant, nanos};

/// Waiting in a queue of ours is of no consequence below this mean latency: fast processors are left alone.
const WORTH_A_TRIAL: Duration = Duration::from_millis(50);
/// How often the books are looked at.
const LOOK: Duration = Duration::from_millis(20);
/// Before a round of calls has ended, slots that are free for a moment say nothing.
const ROUND_MAX: Duration = Duration::from_secs(1);
/// Calls that make a rate: with latencies as scattered as an exponential distribution, 1,024 give it to 3 %.
const CALLS: u64 = 1024;
/// After this time fewer calls must do …
const LONG: Duration = Duration::from_secs(20);
/// … but not fewer than this.
const CALLS_MIN: u64 = 128;
/// Pause after a failed trial: doubles with each, and begins anew after one that succeeds.
const PAUSE_MIN: Duration = Duration::from_secs(10);
/// Longest pause: a processor that has become faster is noticed within two of them (trials go up and down in turn).
const PAUSE_MAX: Duration = Duration::from_secs(40);
/// Of all work, trials may cost one part in so many.
const COST: u32 = 64;
/// … and of all time they may take about one part in so many: one up that fails lengthens calls for its while.
const REST: u32 = 8;
/// Without all slots busy for this long, what was learned is forgotten.
const FORGOTTEN: Duration = Duration::from_secs(60);
/// The limit is never lowered below this part of the configured one: however wrong the measurements, no more is lost.
const FLOOR: u32 = 8;
/// How long a trial waits for calls to end, in mean latencies: a few that hang must not hold up the others.
const PATIENCE: u32 = 4;

/// Rates scatter by some 4 % against each other: a trial down must bring this part of what there was …
const NO_LESS: f64 = 15.0 / 16.0;
/// … and one up, with twice the calls, this much more.
const MORE: f64 = 9.0 / 8.0;

/// Slot weights are in units of 1/1024.
pub(crate) const WHOLE: u64 = 1024;

#[derive(Debug)]
pub(super) struct Trials {
    configured: u32,
    /// In force between trials.
    settled: u32,
    /// In force now.
    limit: u32,
    step: Step,
    window: Window,
    records: u64,
    last: Instant,
    look_at: Instant,
    /// When all slots were last seen busy for long enough to measure.
    bound_at: Instant,
    due: Instant,
    pause: Duration,
    up_next: bool,
}

/// What has been going on since it began.
#[derive(Clone, Copy, Debug)]
struct Window {
    began: Instant,
    /// Calls in progress × nanoseconds.
    busy: u64,
    calls: u64,
    records: u64,
}

/// What a window came to.
#[derive(Clone, Copy, Debug)]
struct Measured {
    records_per_second: f64,
    latency: Duration,
    calls: u64,
    elapsed: Duration,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Watching,
    /// What was started under the old limit ends.
    Settling {
        trial: Trial,
        since: Instant,
    },
    Measuring(Trial),
}

#[derive(Clone, Copy, Debug)]
struct Trial {
    up: bool,
    began: Instant,
    before: Measured,
    /// Its result; from then on the old limit is in force again.
    tried: Option<Measured>,
}

impl Trials {
    pub(super) fn new(configured: u32) -> Self {
        Self {
            configured,
            settled: configured,
            limit: configured,
            step: Step::Watching,
            window: Window { began: Instant::ZERO, busy: 0, calls: 0, records: 0 },
            records: 0,
            last: Instant::ZERO,
            look_at: Instant::ZERO,
            bound_at: Instant::ZERO,
            due: Instant::ZERO,
            pause: PAUSE_MIN,
            up_next: false,
        }
    }

    pub(super) fn limit(&self) -> u32 {
        self.limit
    }

    /// For how much a busy slot counts, [`WHOLE`] being one slot. Slots that are held back count as busy with those that work, so
    /// that a worker with all its calls in progress is a full one to whoever reads its checkpoints, as it would be if these
    /// calls waited in the processor.
    pub(super) fn slot_weight(&self) -> u64 {
        WHOLE * u64::from(self.configured) / u64::from(self.limit)
    }

    pub(super) fn answered(&mut self) {
        self.records += 1;
    }

    pub(super) fn turn(&mut self, in_flight: u32, calls: u64, now: Instant) -> bool {
        let elapsed = nanos(now.since(self.last));
        self.last = now;
        self.window.busy = self.window.busy.saturating_add(elapsed.saturating_mul(u64::from(in_flight)));
        if now < self.look_at {
            return false;
        }
        self.look_at = now + LOOK;
        let before = self.limit;
        self.look(in_flight, calls, now);
        self.limit != before
    }

    /// The processor speaks for itself.
    pub(super) fn interrupt(&mut self, now: Instant) {
        self.due = self.due.max(now + PAUSE_MIN);
        if !matches!(self.step, Step::Watching) {
            self.step = Step::Watching;
            self.limit = self.settled;
            self.look_at = now; // begins another window
            self.window.began = now;
            self.window.busy = 0;
        }
    }

    fn look(&mut self, in_flight: u32, calls: u64, now: Instant) {
        if let Step::Settling { trial, since } = self.step {
            return self.settle(trial, since, in_flight, calls, now);
        }
        let measured = self.window.measured(self.records, calls, now);
        if measured.calls < u64::from(self.limit) && measured.elapsed < ROUND_MAX {
            return;
        }
        if !self.window.is_bound(self.limit, now) {
            return self.unbound(calls, now);
        }
        if let Step::Measuring(trial) = self.step
            && trial.is_hopeless(&measured, self.limit)
        {
            return self.conclude(Trial { tried: Some(measured), ..trial }, false, calls, now);
        }
        let enough = measured.calls >= CALLS || (measured.calls >= CALLS_MIN && measured.elapsed >= LONG);
        if !enough {
            return;
        }
        self.bound_at = now;
        match self.step {
            Step::Measuring(trial) => match trial.tried {
                None => {
                    self.limit = self.settled;
                    self.step = Step::Settling { trial: Trial { tried: Some(measured), ..trial }, since: now };
                }
                Some(tried) => {
                    let reference = trial.before.records_per_second.max(measured.records_per_second);
                    let enough = if trial.up { MORE } else { NO_LESS };
                    self.conclude(trial, tried.records_per_second >= enough * reference, calls, now);
                }
            },
            _ => self.begin(measured, now),
        }
        self.restart(calls, now);
    }

    /// Calls are too few to fill the slots: the limit does not matter, and nothing can be learned.
    fn unbound(&mut self, calls: u64, now: Instant) {
        if !matches!(self.step, Step::Watching) {
            (self.step, self.due) = (Step::Watching, now + PAUSE_MIN);
        }
        if now.since(self.bound_at) >= FORGOTTEN {
            self.settled = self.configured;
        }
        self.limit = self.settled;
        self.restart(calls, now);
    }

    fn begin(&mut self, before: Measured, now: Instant) {
        if now < self.due {
            return;
        }
        let down = (self.settled / 3 >= 1 && self.lower() < self.settled && before.latency >= WORTH_A_TRIAL)
            .then_some(self.settled / 3);
        let up = (self.settled < self.configured).then(|| self.higher());
        let (up, limit) = match (down, up) {
            (Some(down), None) => (false, down),
            (Some(down), Some(_)) if !self.up_next => (false, down),
            (_, Some(up)) => (true, up),
            (None, None) => return,
        };
        self.limit = limit;
        let trial = Trial { up, began: now, before, tried: None };
        self.step = Step::Settling { trial, since: now };
    }

    fn settle(&mut self, trial: Trial, since: Instant, in_flight: u32, calls: u64, now: Instant) {
        let latency = trial.before.latency;
        if now >= since + latency && in_flight <= self.limit {
            self.step = Step::Measuring(trial);
            self.restart(calls, now);
        } else if now >= since + latency * PATIENCE + LOOK {
            self.conclude(trial, false, calls, now);
        }
    }

    fn conclude(&mut self, trial: Trial, success: bool, calls: u64, now: Instant) {
        if success {
            self.settled = if trial.up { self.higher() } else { self.lower() };
            (self.pause, self.due) = (PAUSE_MIN, now);
        } else {
            let tried = trial.tried.map_or(0.0, |tried| tried.records_per_second);
            let lost = (1.0 - tried / trial.before.records_per_second.max(f64::MIN_POSITIVE)).clamp(0.0, 1.0);
            let took = now.since(trial.began);
            self.due = now + self.pause.max(took.mul_f64(lost) * COST).max(took * REST);
            self.pause = (self.pause * 2).min(PAUSE_MAX);
        }
        self.up_next = trial.up == success;
        self.limit = self.settled;
        self.step = Step::Watching;
        self.restart(calls, now);
    }

    fn restart(&mut self, calls: u64, now: Instant) {
        self.window = Window { began: now, busy: 0, calls, records: self.records };
    }

    /// The limit after a trial down that succeeds.
    fn lower(&self) -> u32 {
        (self.settled / 2).max(self.configured / FLOOR).max(2)
    }

    /// The limit of a trial up, and after it.
    fn higher(&self) -> u32 {
        self.settled.saturating_mul(2).min(self.configured)
    }
}

impl Window {
    fn measured(&self, records: u64, calls: u64, now: Instant) -> Measured {
        let elapsed = now.since(self.began);
        let calls = calls - self.calls;
        Measured {
            records_per_second: (records - self.records) as f64 / elapsed.as_secs_f64().max(1e-9),
            latency: Duration::from_nanos(self.busy / calls.max(1)),
            calls,
            elapsed,
        }
    }

    /// The limit was what kept more calls from being in progress: seven eighths of the slots were busy.
    fn is_bound(&self, limit: u32, now: Instant) -> bool {
        let elapsed = nanos(now.since(self.began));
        self.busy / 7 >= elapsed.saturating_mul(u64::from(limit)) / 8
    }
}

impl Trial {
    /// It is plain early on that so few calls bring less: two rounds of them, and not even three fifths of the work.
    fn is_hopeless(&self, measured: &Measured, limit: u32) -> bool {
        let rounds = measured.calls >= 2 * u64::from(limit);
        let worse = measured.records_per_second < 0.6 * self.before.records_per_second;
        !self.up && self.tried.is_none() && rounds && worse
    }
}
