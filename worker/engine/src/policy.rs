//! What the pipeline wants, as plain numbers: the shell fills this from the resolved resource.

use core::time::Duration;

/// `spec.delivery` and what else bounds a worker. Build it with `..Policy::default()`, so that new members don't break you.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Which records may overtake each other.
    pub ordering: Ordering,
    /// Calls in progress, ≥ 1.
    pub concurrency: u32,
    /// How many records a call may hold.
    pub batch: Batch,
    /// How long a call may take before it is cancelled and charged.
    pub timeout: Duration,
    /// When and how often a failed record is tried again.
    pub retry: Retry,
    /// What happens to a record that failed for good.
    pub on_exhausted: OnExhausted,
    /// When so many records are dead-lettered that nothing more is; `None` for never.
    pub fuse: Option<Fuse>,
    /// Whether processors answer with records for an output topic: each call then reserves a place in the producer.
    pub output: bool,
    /// Whether the processor answers on the shell's thread: for how long it has that thread is told with records
    /// ([`AtOnce::took`](crate::seam::AtOnce::took)), and how long calls are in progress says nothing.
    pub on_our_thread: bool,
    /// What to do when unread records are gone.
    pub on_offset_loss: OnOffsetLoss,
    /// Bytes of records held at once, over all partitions, ≥ 64 KiB in earnest. Shared by the partitions owned.
    pub window_bytes: u64,
    /// Characters a checkpoint may have at first; `MetadataLimit` may raise it, a refused commit halves it.
    pub checkpoint_bytes: u32,
    /// How often progress is committed; after a fifth of it where nothing is left to do.
    pub commit_interval: Duration,
    /// How often a partition with calls in progress commits at least, if only its metadata.
    pub heartbeat_interval: Duration,
    /// The group's session timeout, as the broker has it. With no commit acknowledged for half of it, nothing is started.
    pub session_timeout: Duration,
    /// Names this process among all: random, from the shell. Readers take differences of counters within one only.
    pub incarnation: u64,
}

/// `delivery.ordering`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ordering {
    /// Records with the same key in the same partition, one at a time; null keys are unordered.
    Key,
    /// One at a time per partition.
    Partition,
    /// Every record on its own.
    Unordered,
}

/// `delivery.batch`: one record per lane in a call, or, under `same_lane`, a lane's next ones too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Records in a call, ≥ 1; 1 for no batches.
    pub max_records: u32,
    /// A call that holds so many bytes takes no further record.
    pub max_bytes: u64,
    /// How long a call waits for more records while others are in flight.
    pub max_wait: Duration,
    /// Whether a call may hold several records of a lane, in order. The processor must stop a lane at its first failure:
    /// answers after it are ignored and charge nothing.
    pub same_lane: bool,
}

/// `delivery.retry`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Charged attempts before `onExhausted`, ≥ 1.
    pub max_attempts: u32,
    /// Wait after the first failure; doubles with each further one, with a jitter of up to a half.
    pub initial_delay: Duration,
    /// Longest wait, also for what a processor asks by `Retry-After`.
    pub max_delay: Duration,
    /// Longest time from the first charged failure to the last, which is then the end of it; `None` bounds by attempts alone.
    pub max_age: Option<Duration>,
    /// How many `retry.delayTopics` there are. With any, a charged failure that is not the last sends the record to one of them: the
    /// first failure to the first, and so on, and those beyond to the last. It is done here when that is confirmed.
    pub delay_tiers: u32,
}

impl Retry {
    /// Where a record waits that has failed so often; `None` where it waits in its worker.
    pub(crate) fn tier(&self, attempts: u32) -> Option<usize> {
        let tiers = attempts.min(self.delay_tiers);
        tiers.checked_sub(1).map(|tier| tier as usize)
    }
}

/// `delivery.onExhausted`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnExhausted {
    /// Write it to the dead-letter topic; done when that is confirmed.
    DeadLetter,
    /// Write it to the dead-letter topic, and those of its key after it, until all of them have come back in order.
    ParkKey,
    /// Keep it, hold its lane, and try again every `maxDelay`, uncharged, until the processor takes it.
    Block,
    /// Count it and move on.
    Discard,
}

/// `deadLetter.maxPercent`: more than that share of a minute's records, of many keys, blows the fuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fuse {
    /// The share that is still right, 1 to 100; 100 never blows.
    pub percent_max: u32,
    /// Distinct keys that must be dead-lettered within the minute, ≥ 1.
    pub keys_min: u32,
    /// Records of each partition that count as taken though none was: where few were seen, a share says little.
    pub head_start: u32,
    /// Of so many last probes, at most `percent_max` must fail for the fuse to be whole again, ≥ 1.
    pub probes: u32,
}

impl Fuse {
    /// The fuse of a pipeline: 100 keys to blow, ten probes to heal. At the usual 20 % a processor that refuses everything costs
    /// 250 dead letters a partition. With no head start the demo blew it: records with a null key overtake all others, since none
    /// waits for the one before it, and there these are the flights that never left.
    pub const fn of(percent_max: u32) -> Self {
        Self { percent_max, keys_min: 100, head_start: 1000, probes: 10 }
    }
}

/// `source.onOffsetLoss`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnOffsetLoss {
    /// Leave the partition alone and say so, until a human decides.
    Stop,
    /// Go on with what is left.
    Resume,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            ordering: Ordering::Key,
            concurrency: 64,
            batch: Batch::default(),
            timeout: Duration::from_secs(30),
            retry: Retry::default(),
            on_exhausted: OnExhausted::DeadLetter,
            fuse: None,
            output: false,
            on_our_thread: false,
            on_offset_loss: OnOffsetLoss::Stop,
            window_bytes: 64 << 20,
            checkpoint_bytes: 1000,
            commit_interval: Duration::from_secs(1),
            heartbeat_interval: Duration::from_secs(5),
            session_timeout: Duration::from_secs(45),
            incarnation: 0,
        }
    }
}

impl Default for Batch {
    fn default() -> Self {
        Self { max_records: 1, max_bytes: 1 << 20, max_wait: Duration::ZERO, same_lane: false }
    }
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            max_attempts: 5,
            initial_delay: Duration::from_millis(200),
            max_delay: Duration::from_mins(1),
            max_age: None,
            delay_tiers: 0,
        }
    }
}

impl Policy {
    /// Whether a record may have to be written somewhere after its call, so that room is reserved before it.
    pub(crate) fn forwards(&self) -> bool {
        self.output || self.dead_letters() || self.retry.delay_tiers > 0
    }

    /// Whether a lane's next record is called while the outputs of those before it are being written. Should one of them be refused for
    /// good, later records of its lane have been called: so this is only where a record that fails for good is passed over anyway, be it that
    /// a blown fuse keeps it and has it called again.
    pub(crate) fn overlaps_writes(&self) -> bool {
        self.output && matches!(self.on_exhausted, OnExhausted::DeadLetter | OnExhausted::Discard)
    }

    /// Whether several outputs of a lane may be on their way.
    pub(crate) fn puts_out_in_rows(&self) -> bool {
        self.output && (self.batch.same_lane || self.overlaps_writes())
    }

    /// Whoever was not heard of for so long may lose its partitions before it is heard of again: the other half is for what is under way.
    pub(crate) fn half_a_session(&self) -> Duration {
        self.session_timeout / 2
    }

    /// Whether a record that failed for good becomes a dead letter.
    pub(crate) fn dead_letters(&self) -> bool {
        self.on_exhausted == OnExhausted::DeadLetter || self.parks_keys()
    }

    /// Whether records follow an earlier one of their key to the dead letters.
    pub(crate) fn parks_keys(&self) -> bool {
        self.on_exhausted == OnExhausted::ParkKey
    }
}
