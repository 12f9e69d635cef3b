//! What was seen of a round. Times are microseconds since the epoch by the machine's one clock, which harness and brokers share;
//! what comes from a broker is known to the millisecond.

mod calls;
mod late;
mod rules;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

pub use calls::{Answer, Call};
pub use late::Late;
pub use rules::{OnExhausted, Ordering, Rules};

/// Microseconds since the epoch.
pub type Micros = u64;

/// The last microsecond of a millisecond that a broker wrote down: whatever was before it may count as before.
pub fn end_of(millis: i64) -> Micros {
    u64::try_from(millis).unwrap_or_default().saturating_mul(1000).saturating_add(999)
}

/// From the end of a dead member's session until the others' commits are taken again.
const JOIN: Micros = 1_000_000;

/// The first microsecond of a millisecond that a broker wrote down.
pub fn start_of(millis: i64) -> Micros {
    u64::try_from(millis).unwrap_or_default().saturating_mul(1000)
}

/// A duration in microseconds.
pub fn micros(duration: Duration) -> Micros {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// A partition of one of the source topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tp {
    /// The topic's place among the pipeline's sources.
    pub topic: usize,
    /// The partition's number in it.
    pub partition: i32,
}

impl Tp {
    /// Its number, for draws.
    pub(crate) fn drawn(self) -> u64 {
        (self.topic as u64) << 32 | u64::from(self.partition.cast_unsigned())
    }
}

impl fmt::Display for Tp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.partition)
    }
}

/// Everything that is known of a round.
#[derive(Clone, Debug)]
pub struct History {
    /// What was asked for.
    pub rules: Rules,
    /// The cluster's id, for checkpoints.
    pub cluster_id: String,
    /// The source topics' ids, for checkpoints.
    pub topic_ids: Vec<u128>,
    /// What lies in the source topics.
    pub logs: Vec<Log>,
    /// Every call of every record, in the order of their starts.
    pub calls: Vec<Call>,
    /// What lies in the dead-letter topic.
    pub letters: Vec<Forwarded>,
    /// How many partitions the dead-letter topic has; 0 where there is none.
    pub letter_partitions: i32,
    /// What lies in the output topic.
    pub outputs: Vec<Forwarded>,
    /// Every commit of the group to the source topics, in the order of `__consumer_offsets`.
    pub commits: Vec<Commit>,
    /// Every worker process that was ever started; a worker's number is its place.
    pub workers: Vec<Worker>,
    /// What befell workers and brokers that excuses them for a while.
    pub disturbances: Vec<Disturbance>,
    /// When the machine or the harness was late: that stretches what is told by the clock, and nothing else.
    pub late: Late,
    /// When the processor of a worker went down, all its connections with it: what was on its way then broke, and was not seen.
    pub downs: Vec<(u32, Micros)>,
    /// Calls of one record whose worker had hung up before the harness came to read them: by partition, offset and how many. The worker
    /// charged them at a time that nobody saw; the processor did nothing.
    pub unread: BTreeMap<(Tp, i64), u32>,
    /// What was done to the pipeline's surroundings.
    pub injected: Injected,
    /// The last fault was over.
    pub healed: Micros,
    /// Everything was committed to the end of every partition; `None` if that never came.
    pub caught_up: Option<Micros>,
    /// When it was given up waiting for that, or when it came.
    pub watched_until: Micros,
}

/// When faults that befall no worker and no broker were in force, each until everybody has heard of its end.
#[derive(Clone, Debug, Default)]
pub struct Injected {
    /// The dead-letter topic took nothing: what was settled then could not be finished.
    pub letters_refused: Vec<(Micros, Micros)>,
    /// The dead-letter topic was deleted, with all that was in it: whatever was settled by then may have its dead letter lost.
    pub letters_deleted: Vec<Micros>,
    /// The processor as a whole was away or busy.
    pub outages: Vec<(Micros, Micros)>,
    /// Partitions were added. That disturbs nobody by itself, but may cost a member of the classic protocol its partitions: see
    /// `Theme::GrowthInDrains`.
    pub growths: Vec<Disturbance>,
}

/// What lies in a partition of a source topic.
#[derive(Clone, Debug)]
pub struct Log {
    /// Which.
    pub tp: Tp,
    /// Records that a consumer of the pipeline's isolation may see, by ascending offset.
    pub records: Vec<Record>,
    /// One behind the last offset, control records included.
    pub end: i64,
}

/// A record of a source topic.
#[derive(Clone, Debug)]
pub struct Record {
    /// Its offset.
    pub offset: i64,
    /// A digest of its key, none for a null key.
    pub key: Option<u64>,
    /// A digest of key, value and headers.
    pub digest: u64,
    /// When it was produced, milliseconds.
    pub timestamp: i64,
    /// What its processor makes of it in the end.
    pub fate: Fate,
}

/// What a record's processor makes of it in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It answers well within `maxAttempts` calls.
    Done,
    /// It refuses the record, or never answers well.
    Refused,
}

/// A dead letter or an output.
#[derive(Clone, Debug)]
pub struct Forwarded {
    /// Partition of the record that it is of.
    pub tp: Tp,
    /// Offset of the record that it is of.
    pub offset: i64,
    /// When the broker appended it, milliseconds.
    pub appended: i64,
    /// A digest of key, value and the headers that are not Penstock's.
    pub digest: u64,
    /// `penstock.error.class`; empty for outputs.
    pub class: String,
    /// `penstock.origin.timestamp`, milliseconds; none for outputs.
    pub timestamp: Option<i64>,
    /// The partition that it lies in.
    pub landed: i32,
    /// Its offset there.
    pub at: i64,
}

/// One offset commit as it lies in `__consumer_offsets`.
#[derive(Clone, Debug)]
pub struct Commit {
    /// Partition of a source topic.
    pub tp: Tp,
    /// The offset.
    pub offset: i64,
    /// The leader epoch, −1 for none.
    pub leader_epoch: i32,
    /// The metadata: a checkpoint.
    pub metadata: String,
    /// When the coordinator took it, milliseconds.
    pub at: i64,
}

/// A worker process.
#[derive(Clone, Debug, Default)]
pub struct Worker {
    /// It was started.
    pub started: Micros,
    /// It was told to stop.
    pub told: Option<Micros>,
    /// It was killed.
    pub killed: Option<Micros>,
    /// It was stopped, and woken.
    pub stops: Vec<(Micros, Micros)>,
    /// It ended, and with what code; none for a signal.
    pub ended: Option<(Micros, Option<i32>)>,
    /// The most memory it had, bytes.
    pub memory_peak: u64,
    /// What it counted until it was told to stop, if it was asked and answered.
    pub metrics: Option<Metrics>,
    /// Why it did not answer, although it ran.
    pub mute: Option<String>,
}

/// What a worker counts itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Metrics {
    /// Commits that the broker refused, for their metadata was too long.
    pub metadata_too_large: u64,
    /// Sleeps that ended by their longest although there was work: lost wake-ups, or a worker that was stopped while it slept.
    pub woken_by_cap: u64,
}

/// Something that takes a worker's partitions without asking, or keeps it from committing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disturbance {
    /// Whom it befell; everybody if none.
    pub worker: Option<u32>,
    /// From when.
    pub from: Micros,
    /// Until its consequences are over.
    pub until: Micros,
    /// What it was.
    pub what: String,
}

impl History {
    /// A disturbance of that worker that overlaps the span.
    pub fn disturbed(&self, worker: u32, from: Micros, until: Micros) -> Option<&Disturbance> {
        self.disturbances_of(worker, from, until).next()
    }

    /// All of them.
    pub fn disturbances_of(&self, worker: u32, from: Micros, until: Micros) -> impl Iterator<Item = &Disturbance> {
        self.disturbances.iter().filter(move |one| one.befell(worker) && one.from <= until && one.until >= from)
    }

    /// How long, within the span, that worker's commits may have waited for another member: see [`Rules::joins_wait`].
    pub fn waits_to_join(&self, worker: u32, from: Micros, until: Micros) -> Micros {
        let Some(session) = self.rules.joins_wait.map(micros) else { return 0 };
        let others = self.disturbances.iter().filter(|one| one.worker.is_some_and(|other| other != worker));
        let mut spans: Vec<_> = others.map(|one| (one.from, one.until.min(one.from + session + JOIN))).collect();
        spans.sort_unstable();
        // Two that are dead at once are waited for once.
        let (mut waited, mut end) = (0, from);
        for (begin, over) in spans {
            waited += over.min(until).saturating_sub(begin.max(end));
            end = end.max(over);
        }
        waited
    }

    /// How often the processor of that worker went down within the span: so many calls may have broken there unseen.
    pub fn unseen(&self, worker: u32, from: Micros, until: Micros) -> u32 {
        let downs = self.downs.iter().filter(|(one, at)| *one == worker && (from..=until).contains(at));
        u32::try_from(downs.count()).unwrap_or(u32::MAX)
    }

    /// Whether a call may have run into `delivery.timeout` where its worker was, whatever its answer: that is half of it long, as far as
    /// anybody knows, or the worker was stopped meanwhile.
    pub fn may_time_out(&self, call: &Call) -> bool {
        let timeout = micros(self.rules.timeout);
        let until = call.start.saturating_add(timeout);
        // Who was killed charges nothing any more.
        let stops = |one: &Disturbance| one.worker == Some(call.worker) && one.until != Micros::MAX;
        let stopped = self.disturbances.iter().any(|one| stops(one) && one.from <= until && one.until >= call.start);
        let took = (call.end - call.start).saturating_add(self.late.within(call.start, until));
        stopped || took >= timeout / 2
    }

    /// How many calls of that record alone were hung up before they were read.
    pub fn unread(&self, tp: Tp, offset: i64) -> u32 {
        self.unread.get(&(tp, offset)).copied().unwrap_or_default()
    }

    /// Whether a dead letter of a record that was given up then may have been in the topic when that was deleted.
    pub fn letter_may_be_gone(&self, given_up: Micros) -> bool {
        self.injected.letters_deleted.iter().any(|deleted| given_up <= *deleted)
    }
}

impl Disturbance {
    fn befell(&self, worker: u32) -> bool {
        self.worker.is_none_or(|one| one == worker)
    }
}

/// Of the times that workers lost partitions unasked, those that something explains: only these are excuses. A worker that loses
/// its partitions for no reason has none for what follows.
pub fn explained(losses: Vec<Disturbance>, causes: &[Disturbance]) -> Vec<Disturbance> {
    let because = |loss: &Disturbance| {
        causes.iter().any(|cause| {
            loss.worker.is_some_and(|worker| cause.befell(worker))
                && cause.from <= loss.until
                && cause.until >= loss.from
        })
    };
    losses.into_iter().filter(because).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_without_a_cause_excuses_nothing() {
        let of = |worker, from, until| Disturbance { worker, from, until, what: String::new() };
        let loss = || vec![of(Some(1), 10, 20)];
        assert_eq!(explained(loss(), &[of(Some(1), 5, 12)]), loss(), "its own pause");
        assert_eq!(explained(loss(), &[of(None, 5, 12)]), loss(), "a broker away");
        assert_eq!(explained(loss(), &[of(Some(2), 5, 12)]), [], "another's pause");
        assert_eq!(explained(loss(), &[of(Some(1), 1, 9)]), [], "long ago");
        assert_eq!(explained(loss(), &[]), []);
    }
}
