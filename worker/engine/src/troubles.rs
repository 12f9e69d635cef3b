//! What is known of records that failed: attempts, since when, why. Survives in the checkpoint (S6).

use core::time::Duration;
use std::collections::BTreeMap;

use penstock_crds::checkpoint::{ErrorClass, Failing};

use crate::policy::Retry;
use crate::seam::{Failure, Undelivered};
use crate::time::Instant;

/// One record's history of failure.
#[derive(Clone, Debug)]
pub(crate) struct Trouble {
    /// Charged attempts.
    pub(crate) attempts: u32,
    /// Of those, how many the record itself tells, in the headers of a delay topic.
    told: u32,
    /// Uncharged back-offs in a row.
    pub(crate) patience: u32,
    /// Answers in a row that the processor is busy.
    pub(crate) overloads: u32,
    /// How often it was in flight when a connection broke, since it last ran to an end.
    pub(crate) suspicion: u32,
    /// Records that had been acknowledged when this one was last told that the processor is busy.
    pub(crate) others: u64,
    /// It failed for good: nothing is charged any more.
    pub(crate) exhausted: bool,
    class: ErrorClass,
    failure: Option<Box<Failure>>,
    /// When it failed first: charged, where any failure was.
    first_failed: Instant,
    /// For how long it had failed before this owner.
    before: Duration,
}

/// The troubled records of a partition, by offset.
#[derive(Debug, Default)]
pub(crate) struct Troubles {
    by_offset: BTreeMap<i64, Trouble>,
    /// How many have two or more charged attempts: those must find room in the checkpoint.
    often: usize,
}

impl Trouble {
    fn new(now: Instant) -> Self {
        Self {
            attempts: 0,
            told: 0,
            patience: 0,
            overloads: 0,
            suspicion: 0,
            others: 0,
            exhausted: false,
            class: ErrorClass::Unknown,
            failure: None,
            first_failed: now,
            before: Duration::ZERO,
        }
    }

    /// Whether it has so many attempts that they must find room in the checkpoint: nobody else remembers them.
    fn is_often(&self) -> bool {
        self.attempts >= 2 && self.attempts > self.told
    }

    /// Whether its attempts are used up.
    pub(crate) fn is_spent(&self, retry: &Retry) -> bool {
        self.exhausted || self.attempts >= retry.max_attempts
    }

    /// Whether the failure that was charged last was the last one. Age counts only beside a fresh failure: what an outage
    /// kept waiting is called once more.
    pub(crate) fn is_over(&self, retry: &Retry, now: Instant) -> bool {
        let too_old = |max: Duration| self.attempts > 0 && self.age(now) >= max;
        self.is_spent(retry) || retry.max_age.is_some_and(too_old)
    }

    /// For how long it may go on failing.
    pub(crate) fn time_left(&self, retry: &Retry, now: Instant) -> Duration {
        retry.max_age.map_or(Duration::MAX, |max| max.saturating_sub(self.age(now)))
    }

    /// The class of an outage that it has met more than once in a row.
    pub(crate) fn outage(&self) -> Option<ErrorClass> {
        let outage = matches!(self.class, ErrorClass::Unreachable | ErrorClass::Misconfigured);
        (outage && self.attempts == 0 && self.patience > 1).then_some(self.class)
    }

    /// What a dead letter says.
    pub(crate) fn undelivered(&self, now: Instant) -> Undelivered {
        let unknown = || Failure { class: self.class, detail: "failed under an earlier owner".into(), after: None };
        let failure = self.failure.as_deref().cloned().unwrap_or_else(unknown);
        Undelivered { attempts: self.attempts, failing_for: self.age(now), failure }
    }

    /// For how long it has been failing, over all owners.
    pub(crate) fn age(&self, now: Instant) -> Duration {
        self.before + now.since(self.first_failed)
    }
}

impl Troubles {
    /// From a checkpoint.
    pub(crate) fn restore(failing: &[Failing], now: Instant) -> Self {
        let mut troubles = Self::default();
        for record in failing {
            let before = Duration::from_secs(u64::from(record.seconds));
            let trouble = Trouble { attempts: record.attempts, class: record.class, before, ..Trouble::new(now) };
            troubles.often += usize::from(trouble.is_often());
            troubles.by_offset.insert(record.offset, trouble);
        }
        troubles
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_offset.is_empty()
    }

    pub(crate) fn get(&self, offset: i64) -> Option<&Trouble> {
        self.by_offset.get(&offset)
    }

    /// The trouble of a record, begun now if it has none.
    pub(crate) fn entry(&mut self, offset: i64, now: Instant) -> &mut Trouble {
        self.by_offset.entry(offset).or_insert_with(|| Trouble::new(now))
    }

    /// A record comes from a delay topic with attempts. What a checkpoint says beside is newer.
    pub(crate) fn travelled(&mut self, offset: i64, attempts: u32, failing_for: Duration, now: Instant) {
        let trouble = self.by_offset.entry(offset).or_insert_with(|| Trouble::new(now));
        let often = trouble.is_often();
        if trouble.attempts <= attempts {
            (trouble.attempts, trouble.before, trouble.first_failed) = (attempts, failing_for, now);
        }
        trouble.told = attempts;
        self.often -= usize::from(often && !trouble.is_often());
    }

    /// Charges nothing. Returns how often that was so in a row.
    pub(crate) fn put_off(&mut self, offset: i64, failure: Option<&Failure>, now: Instant) -> u32 {
        let trouble = self.entry(offset, now);
        trouble.patience = trouble.patience.saturating_add(1);
        trouble.overloads = 0;
        if let Some(failure) = failure.filter(|_| trouble.attempts == 0) {
            trouble.class = failure.class;
        }
        trouble.patience
    }

    /// Charges an attempt.
    pub(crate) fn charge(&mut self, offset: i64, failure: Box<Failure>, now: Instant) -> &mut Trouble {
        let trouble = self.by_offset.entry(offset).or_insert_with(|| Trouble::new(now));
        let often = trouble.is_often();
        if trouble.attempts == 0 {
            (trouble.first_failed, trouble.before) = (now, Duration::ZERO);
        }
        trouble.attempts += 1;
        (trouble.patience, trouble.overloads, trouble.suspicion) = (0, 0, 0);
        trouble.class = failure.class;
        trouble.failure = Some(failure);
        self.often += usize::from(!often && trouble.is_often());
        trouble
    }

    /// Whether a failure that is charged now would be the last.
    pub(crate) fn is_last(&self, offset: i64, retry: &Retry, now: Instant) -> bool {
        let Some(trouble) = self.by_offset.get(&offset) else { return retry.max_attempts <= 1 };
        trouble.attempts + 1 >= retry.max_attempts || trouble.is_over(retry, now)
    }

    /// The record is done.
    pub(crate) fn remove(&mut self, offset: i64) {
        if self.by_offset.remove(&offset).is_some_and(|trouble| trouble.is_often()) {
            self.often -= 1;
        }
    }

    /// Forgets records that never came: compacted away, or done by others.
    pub(crate) fn forget_below(&mut self, frontier: i64) {
        while let Some((offset, _)) = self.by_offset.first_key_value() {
            if *offset >= frontier {
                return;
            }
            let offset = *offset;
            self.remove(offset);
        }
    }

    /// How many records have two or more charged attempts that only the checkpoint remembers.
    pub(crate) fn often(&self) -> usize {
        self.often
    }

    /// How many records have charged attempts that only the checkpoint remembers.
    pub(crate) fn charged(&self) -> usize {
        self.by_offset.values().filter(|trouble| trouble.attempts > trouble.told).count()
    }

    /// For the checkpoint: those with charged attempts of which the records themselves say nothing.
    pub(crate) fn failing(&self, now: Instant) -> Vec<Failing> {
        let charged = self.by_offset.iter().filter(|(_, trouble)| trouble.attempts > trouble.told);
        charged
            .map(|(offset, trouble)| Failing {
                offset: *offset,
                attempts: trouble.attempts,
                class: trouble.class,
                seconds: u32::try_from(trouble.age(now).as_secs()).unwrap_or(u32::MAX),
            })
            .collect()
    }
}
