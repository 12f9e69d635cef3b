//! What varies from schedule to schedule.

use core::time::Duration;

use super::limits::Change;
use super::rng::Rng;
use crate::policy::{Batch, Fuse, OnExhausted, OnOffsetLoss, Ordering, Policy, Retry};

/// Partitions of the source topic, by number the first.
pub(super) const SOURCES: usize = 2;
/// How long a record waits in each delay topic, which has one partition.
pub(super) const DELAYS: [Duration; 2] = [Duration::from_millis(700), Duration::from_secs(3)];
/// All partitions; those of delay topics last, where there are any.
pub(super) const PARTITIONS: usize = SOURCES + DELAYS.len();
pub(super) const WORKERS: usize = 2;
/// Weight of a small record: the window of four records is four of these.
pub(super) const RECORD_WEIGHT: u64 = 130;

/// A stream of its own: what was drawn before there was such a processor stays as it was.
const APART: u64 = 0x0061_745f_6f6e_6365;

/// Two keys blow it, two good probes heal it.
const SMALL_FUSE: Fuse = Fuse { percent_max: 40, keys_min: 2, head_start: 0, probes: 2 };

#[derive(Clone, Debug)]
pub(super) struct Config {
    pub(super) policy: Policy,
    /// What the brokers take with a commit at first, characters.
    pub(super) metadata_limit: usize,
    /// Whether workers are told.
    pub(super) limit_told: bool,
    /// Another limit in mid-run.
    pub(super) limit_change: Option<Change>,
    /// How far apart offsets are at most: compaction.
    pub(super) offset_step_max: usize,
    pub(super) records: usize,
    /// The processor may answer at once.
    pub(super) at_once: bool,
    /// Steps before the faults end.
    pub(super) steps: usize,
    /// Chances in a hundred.
    pub(super) trouble: usize,
    pub(super) restless: usize,
    pub(super) sluggish: usize,
}

impl Config {
    pub(super) fn new(rng: &mut Rng) -> Self {
        let chars = rng.pick(&[48_u32, 48, 60, 200, 1000]);
        let broker = if rng.percent(10) { rng.pick(&[45, 100, 200]) } else { 4096 };
        let policy = Policy {
            ordering: rng.pick(&[
                Ordering::Key,
                Ordering::Key,
                Ordering::Key,
                Ordering::Partition,
                Ordering::Unordered,
                Ordering::Unordered,
            ]),
            concurrency: rng.pick(&[1, 2, 2, 2, 4]),
            batch: Batch {
                max_records: rng.pick(&[1, 1, 2, 4]),
                max_bytes: RECORD_WEIGHT * rng.pick(&[2, 100]),
                max_wait: Duration::from_millis(rng.pick(&[0, 0, 200])),
                same_lane: rng.percent(50),
            },
            timeout: Duration::from_secs(5),
            retry: Retry {
                max_attempts: rng.pick(&[1, 2, 3]),
                initial_delay: Duration::from_millis(100),
                max_delay: Duration::from_secs(2),
                max_age: rng.pick(&[None, None, None, Some(300), Some(2000)]).map(Duration::from_millis),
                delay_tiers: rng.pick(&[0, 1, 2, 2]),
            },
            on_exhausted: rng.pick(&[
                OnExhausted::DeadLetter,
                OnExhausted::DeadLetter,
                OnExhausted::DeadLetter,
                OnExhausted::ParkKey,
                OnExhausted::ParkKey,
                OnExhausted::Block,
                OnExhausted::Discard,
            ]),
            fuse: rng.pick(&[None, None, None, Some(SMALL_FUSE)]),
            output: rng.percent(30),
            on_our_thread: false,
            on_offset_loss: OnOffsetLoss::Resume,
            window_bytes: 4 * RECORD_WEIGHT * rng.pick(&[1, 2, 4]),
            checkpoint_bytes: chars,
            commit_interval: Duration::from_millis(500),
            heartbeat_interval: Duration::from_secs(2),
            session_timeout: Duration::from_secs(rng.pick(&[4, 45])),
            incarnation: 0,
        };
        let mut policy = policy;
        if policy.parks_keys() {
            policy.ordering = Ordering::Key;
        }
        if policy.ordering != Ordering::Unordered {
            policy.retry.delay_tiers = 0;
        }
        if policy.on_exhausted == OnExhausted::Block {
            policy.retry.max_age = None; // only the engine knows the age by which it stops charging
        }
        let broker = if policy.parks_keys() {
            policy.fuse = policy.fuse.filter(|_| chars >= 1000);
            4096 // a parked key that is left out is an order that is lost
        } else {
            broker
        };
        Self {
            policy,
            metadata_limit: broker,
            limit_told: false,
            limit_change: None,
            offset_step_max: rng.pick(&[1, 1, 2, 300]),
            records: 4 + rng.below(9),
            steps: 60 + rng.below(340),
            trouble: rng.pick(&[0, 20, 50]),
            restless: rng.pick(&[0, 5, 15]),
            sluggish: rng.pick(&[0, 50, 90]),
            at_once: false,
        }
    }

    /// In some schedules the processor answers at once.
    pub(super) fn draw_at_once(&mut self, seed: u64) {
        self.at_once = Rng::new(seed ^ APART).percent(30);
    }

    /// Partitions in use.
    pub(super) fn partitions(&self) -> usize {
        SOURCES + self.policy.retry.delay_tiers as usize
    }

    /// The fuse, where there is one.
    pub(super) fn fuse(&self) -> Option<Fuse> {
        self.policy.fuse.filter(|_| self.policy.dead_letters())
    }

    /// Whether a record that failed for good may be tried again and again: there may be no room to park its key.
    pub(super) fn may_block(&self) -> bool {
        let few = self.policy.parks_keys() && self.checkpoint_chars() < 1000;
        few || self.policy.on_exhausted == OnExhausted::Block
    }

    /// What workers take for the limit as they begin, characters.
    pub(super) fn checkpoint_chars(&self) -> usize {
        if self.limit_told { self.metadata_limit } else { self.policy.checkpoint_bytes as usize }
    }

    /// Whether checkpoints may have to leave things out: commits are refused for their size, or there was more room when records were
    /// started, here or at the partition's owner before.
    pub(super) fn may_cut(&self) -> bool {
        self.limit_change.is_some() || self.metadata_limit < self.checkpoint_chars()
    }
}
