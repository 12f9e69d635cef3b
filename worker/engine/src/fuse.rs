//! The fuse: where so many records fail for good, something else than records must be wrong, and nothing more is
//! dead-lettered. One record is tried now and then, a fresh one if there is any; when most of the last probes are taken, it goes on.
//!
//! It counts records, so that a few busy keys that fail are what they are, a small share; and it wants many distinct keys,
//! so that one poison key never blows it, however often it comes.

use core::time::Duration;
use std::collections::VecDeque;

use penstock_crds::checkpoint::ErrorClass;

use crate::policy;
use crate::seam::CallId;
use crate::time::Instant;

/// Seconds that it looks back.
const WINDOW_SECONDS: u32 = 60;
/// Wait before the first probe; doubles with each one that fails, up to [`PROBE_MAX`].
const PROBE_INITIAL: Duration = Duration::from_millis(500);
const PROBE_MAX: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(crate) struct Fuse {
    /// `None` never blows.
    limits: Option<policy::Fuse>,
    /// Partitions owned: each has a head start.
    partitions: u64,
    seconds: [Second; WINDOW_SECONDS as usize],
    /// The latest distinct keys that were dead-lettered, as many as it takes, the longest ago first.
    keys: VecDeque<(u64, Instant)>,
    blown: Option<Blown>,
}

/// Records that ended in one second.
#[derive(Clone, Copy, Debug, Default)]
struct Second {
    number: u64,
    taken: u64,
    dead: u64,
}

#[derive(Debug)]
struct Blown {
    since: Instant,
    class: ErrorClass,
    /// Whether the last probes were taken, the newest last.
    outcomes: VecDeque<bool>,
    refusals: u32,
    next_probe: Instant,
    probe: Option<CallId>,
    /// The call that is being judged is the probe.
    hears: bool,
    /// The probe's record was taken.
    taken: bool,
}

impl Fuse {
    pub(crate) fn new(limits: Option<policy::Fuse>) -> Self {
        let seconds = [Second::default(); WINDOW_SECONDS as usize];
        Self { limits, partitions: 1, seconds, keys: VecDeque::new(), blown: None }
    }

    /// The worker owns so many partitions from now on.
    pub(crate) fn owns(&mut self, partitions: usize) {
        self.partitions = partitions.max(1) as u64;
    }

    /// Records were taken.
    pub(crate) fn taken(&mut self, records: u64, now: Instant) {
        if self.limits.is_some() {
            self.second(now).taken += records;
            self.probed(true);
        }
    }

    /// Whether a record that failed for good may be dead-lettered. `key` tells keys apart; a record without one has its own.
    pub(crate) fn admits_dead_letter(&mut self, key: u64, class: ErrorClass, now: Instant) -> bool {
        let Some(limits) = self.limits else { return true };
        if self.blown.is_some() {
            self.probed(false);
            return self.blown.is_none();
        }
        self.second(now).dead += 1;
        self.keys.retain(|(other, _)| *other != key);
        self.keys.push_back((key, now));
        while self.keys.len() > limits.keys_min as usize {
            self.keys.pop_front();
        }
        if self.is_too_much(limits, now) {
            self.blown = Some(Blown {
                since: now,
                class,
                outcomes: VecDeque::new(),
                refusals: 0,
                next_probe: now + PROBE_INITIAL,
                probe: None,
                hears: false,
                taken: false,
            });
        }
        self.blown.is_none()
    }

    /// A record failed, and will be tried again. A probe that did so was not taken: were fresh records judged by their last failures
    /// alone, those that are taken would be all that counts.
    pub(crate) fn failed(&mut self) {
        self.probed(false);
    }

    /// A call's records are about to be judged.
    pub(crate) fn hears(&mut self, call: CallId) {
        if let Some(blown) = &mut self.blown {
            blown.hears = blown.probe == Some(call);
        }
    }

    /// A call has ended.
    pub(crate) fn ended(&mut self, call: CallId, now: Instant) {
        if let Some(blown) = self.blown.as_mut().filter(|blown| blown.probe == Some(call)) {
            let wait = PROBE_INITIAL.saturating_mul(1 << blown.refusals.min(8)).min(PROBE_MAX);
            blown.next_probe = if blown.taken { now } else { now + wait };
            blown.refusals = if blown.taken { 0 } else { blown.refusals.saturating_add(1) };
            (blown.probe, blown.hears, blown.taken) = (None, false, false);
        }
    }

    /// Whether a call may be started: any while whole, one at a time and not too often while blown.
    pub(crate) fn admits(&self, now: Instant) -> bool {
        self.blown.as_ref().is_none_or(|blown| blown.probe.is_none() && now >= blown.next_probe)
    }

    /// A call was started.
    pub(crate) fn started(&mut self, call: CallId) {
        if let Some(blown) = &mut self.blown {
            blown.probe = Some(call);
        }
    }

    /// When the next probe may start.
    pub(crate) fn next_probe(&self) -> Option<Instant> {
        self.blown.as_ref().filter(|blown| blown.probe.is_none()).map(|blown| blown.next_probe)
    }

    /// What the failures look like and since when it is blown.
    pub(crate) fn is_blown(&self) -> Option<(ErrorClass, Instant)> {
        self.blown.as_ref().map(|blown| (blown.class, blown.since))
    }

    fn is_too_much(&self, limits: policy::Fuse, now: Instant) -> bool {
        let number = now.as_millis() / 1000;
        let recent = |second: &&Second| second.number + u64::from(WINDOW_SECONDS) > number;
        let (taken, dead) = self
            .seconds
            .iter()
            .filter(recent)
            .fold((0, 0), |(taken, dead), second| (taken + second.taken, dead + second.dead));
        let oldest = self.keys.front().filter(|_| self.keys.len() >= limits.keys_min as usize);
        let many = oldest.is_some_and(|(_, at)| now.since(*at) < Duration::from_secs(u64::from(WINDOW_SECONDS)));
        many && dead * 100
            > u64::from(limits.percent_max) * (u64::from(limits.head_start) * self.partitions + taken + dead)
    }

    /// A probe was taken, or not: after enough of them it is whole again, and counts anew.
    fn probed(&mut self, taken: bool) {
        let Some(limits) = self.limits else { return };
        let Some(blown) = self.blown.as_mut().filter(|blown| blown.hears) else { return };
        blown.taken = taken;
        blown.outcomes.push_back(taken);
        if blown.outcomes.len() > limits.probes as usize {
            blown.outcomes.pop_front();
        }
        let full = blown.outcomes.len() >= limits.probes as usize;
        let refused = blown.outcomes.iter().filter(|taken| !**taken).count() as u64;
        if full && refused * 100 <= u64::from(limits.percent_max) * u64::from(limits.probes) {
            *self = Self { partitions: self.partitions, ..Self::new(self.limits) };
        }
    }

    fn second(&mut self, now: Instant) -> &mut Second {
        let number = now.as_millis() / 1000;
        let index = usize::try_from(number % u64::from(WINDOW_SECONDS)).unwrap_or_default(); // below 60
        let second = &mut self.seconds[index];
        if second.number != number {
            *second = Second { number, taken: 0, dead: 0 };
        }
        second
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: policy::Fuse = policy::Fuse::of(20);

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    fn call(serial: u32) -> CallId {
        CallId { slot: 0, serial }
    }

    /// So many records over that time, `dead` of each hundred dead letters of `keys` keys in turn. Whether it blows.
    fn blows(records: u64, millis: u64, dead: u64, keys: u64) -> bool {
        let mut fuse = Fuse::new(Some(LIMITS));
        let mut letters = 0;
        for record in 0..records {
            let now = at(1000 + record * millis / records);
            if record * 7 % 100 < dead {
                letters += 1;
                fuse.admits_dead_letter(letters % keys, ErrorClass::Rejected, now);
            } else {
                fuse.taken(1, now);
            }
        }
        fuse.is_blown().is_some()
    }

    #[test]
    fn it_takes_many_keys_a_large_share_and_a_minute() {
        assert!(blows(4_000, 10_000, 30, 4_000));
        assert!(!blows(100_000, 60_000, 19, 100_000), "a share below");
        assert!(!blows(10_000, 10_000, 100, 99), "a few keys, however often");
        assert!(!blows(99, 1_000, 100, 1_000), "a few records");
        assert!(!blows(300, 600_000, 100, 1_000), "not within a minute");
        assert!(!blows(250, 50_000, 100, 1_000));
        assert!(blows(251, 50_000, 100, 1_000), "all that there is");
        assert!(!blows(300, 1_000, 50, 1_000), "a bad day at the beginning");
    }

    #[test]
    fn each_partition_has_a_head_start() {
        let mut fuse = Fuse::new(Some(LIMITS));
        fuse.owns(12);
        let admitted = (0..5_000).filter(|key| fuse.admits_dead_letter(*key, ErrorClass::Rejected, at(1000))).count();
        assert_eq!(admitted, 12 * 250);
    }

    #[test]
    fn what_is_more_than_a_minute_old_does_not_count() {
        let mut fuse = Fuse::new(Some(LIMITS));
        (0..10_000).for_each(|_| fuse.taken(1, at(1000)));
        let blew = |fuse: &mut Fuse, second: u64| {
            (0..251).any(|key| !fuse.admits_dead_letter(key, ErrorClass::Rejected, at(second * 1000)))
        };
        assert!(!blew(&mut fuse, 59), "two in a hundred");
        assert!(blew(&mut fuse, 62), "all of the minute");
    }

    fn blown() -> Fuse {
        let mut fuse = Fuse::new(Some(LIMITS));
        assert_eq!((0..300).filter(|key| fuse.admits_dead_letter(*key, ErrorClass::Rejected, at(1000))).count(), 250);
        assert_eq!(fuse.is_blown(), Some((ErrorClass::Rejected, at(1000))));
        fuse
    }

    /// Runs one probe as soon as it may. Returns when that was.
    fn probe(fuse: &mut Fuse, serial: u32, taken: bool) -> Instant {
        let now = fuse.next_probe().unwrap();
        assert!(fuse.admits(now));
        fuse.started(call(serial));
        assert!(!fuse.admits(now), "one at a time");
        fuse.hears(call(serial));
        if taken {
            fuse.taken(1, now);
        } else {
            assert!(!fuse.admits_dead_letter(1, ErrorClass::Rejected, now));
        }
        fuse.ended(call(serial), now);
        now
    }

    #[test]
    fn blown_it_probes_ever_more_seldom_and_heals_when_probes_are_taken() {
        let mut fuse = blown();
        assert!(!fuse.admits(at(1_400)) && fuse.admits(at(1_500)));
        let times: Vec<u64> = (0..6).map(|serial| probe(&mut fuse, serial, false).as_millis()).collect();
        assert_eq!(times, [1_500, 2_000, 3_000, 5_000, 9_000, 14_000]);
        let mut healed = 0;
        while fuse.is_blown().is_some() {
            healed += 1;
            probe(&mut fuse, 10 + healed, true);
        }
        assert_eq!(healed, 8, "two of the last ten may fail");
        assert!(fuse.admits_dead_letter(1, ErrorClass::Rejected, at(20_000)), "and counts anew");
    }

    #[test]
    fn calls_that_were_in_progress_when_it_blew_prove_nothing() {
        let mut fuse = blown();
        for serial in 0..50 {
            fuse.hears(call(serial));
            fuse.taken(1, at(1_100));
            fuse.ended(call(serial), at(1_100));
        }
        assert!(fuse.is_blown().is_some());
    }

    #[test]
    fn at_a_hundred_per_cent_or_without_limits_it_never_blows() {
        for limits in [None, Some(policy::Fuse::of(100))] {
            let mut fuse = Fuse::new(limits);
            assert!((0..1_000).all(|key| fuse.admits_dead_letter(key, ErrorClass::Rejected, at(1000))));
        }
    }
}
