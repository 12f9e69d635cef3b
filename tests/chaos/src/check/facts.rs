//! The history sorted by partition and record, with what follows from it.

use std::collections::{BTreeMap, BTreeSet};

use penstock_crds::checkpoint::{self, Checkpoint, Place, Rejected};

use crate::history::{
    Answer, Call, Commit, Forwarded, History, Log, Micros, OnExhausted, Record, Rules, Tp, end_of, start_of,
};

/// A processor that is busy so often in a row for one record, while it takes others, is believed no longer.
const OVERLOADS_UNCHARGED: usize = 16;
/// Whoever's call broke when the processor went down waits for 25 ms, half of `retry.initialDelay`, and by then nothing more breaks with
/// it: connections that are still taken are dropped within milliseconds. So a call breaks unseen only with a later one.
const SAME_BREAK: Micros = 1_000;

/// The history, sorted.
#[derive(Debug)]
pub struct Facts<'a> {
    /// As it was seen.
    pub history: &'a History,
    /// In the order of the history's logs.
    pub partitions: Vec<PartitionFacts<'a>>,
    /// Calls, dead letters and outputs of offsets that hold no record a consumer may see.
    pub strays: Vec<String>,
}

/// One partition.
#[derive(Debug)]
pub struct PartitionFacts<'a> {
    /// Which.
    pub tp: Tp,
    /// One behind the last offset.
    pub end: i64,
    /// By ascending offset.
    pub records: Vec<RecordFacts<'a>>,
    /// In the order of `__consumer_offsets`, each with what its metadata says.
    pub commits: Vec<(&'a Commit, Result<Checkpoint, Rejected>)>,
    /// Where in their order each owner begins.
    firsts: BTreeMap<u64, usize>,
}

/// One record.
#[derive(Debug)]
pub struct RecordFacts<'a> {
    /// The record.
    pub record: &'a Record,
    /// Its calls, by start.
    pub calls: Vec<&'a Call>,
    /// Its dead letters, by time.
    pub letters: Vec<&'a Forwarded>,
    /// Its outputs, by time.
    pub outputs: Vec<&'a Forwarded>,
    /// When its processing had come to an end, and how.
    pub settled: Option<Settled>,
    /// It was given up before the dead-letter topic was deleted: its dead letter may have gone with the topic.
    pub letter_gone: bool,
}

/// The end of a record's processing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settled {
    /// When the deciding call ended.
    pub at: Micros,
    /// How.
    pub how: How,
}

/// How a record's processing came to an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Acknowledged.
    Acknowledged,
    /// Skipped.
    Skipped,
    /// Refused, or its attempts were used up.
    GivenUp,
}

impl<'a> Facts<'a> {
    /// Sorts a history.
    pub fn of(history: &'a History) -> Self {
        let mut strays = Vec::new();
        let mut partitions: Vec<_> = history.logs.iter().map(|log| PartitionFacts::new(history, log)).collect();
        let places: BTreeMap<Tp, usize> = history.logs.iter().map(|log| log.tp).zip(0..).collect();
        let mut place = |what: &str, tp: Tp, offset: i64, put: &mut dyn FnMut(&mut RecordFacts<'a>)| {
            let partition = places.get(&tp).and_then(|index| partitions.get_mut(*index));
            match partition.and_then(|partition| partition.record_mut(offset)) {
                Some(record) => put(record),
                None => strays.push(format!("{what} of partition {tp} offset {offset}, where no record is")),
            }
        };
        for call in &history.calls {
            place("a call", call.tp, call.offset, &mut |record| record.calls.push(call));
        }
        for letter in &history.letters {
            place("a dead letter", letter.tp, letter.offset, &mut |record| record.letters.push(letter));
        }
        for output in &history.outputs {
            place("an output", output.tp, output.offset, &mut |record| record.outputs.push(output));
        }
        for record in partitions.iter_mut().flat_map(|partition| &mut partition.records) {
            record.calls.sort_by_key(|call| call.start);
            record.letters.sort_by_key(|letter| letter.appended);
            record.outputs.sort_by_key(|output| output.appended);
            record.settled = record.settle(history);
            record.letter_gone = record.settled.is_some_and(|settled| history.letter_may_be_gone(settled.at));
        }
        Self { history, partitions, strays }
    }

    /// The pipeline's wishes.
    pub fn rules(&self) -> &'a Rules {
        &self.history.rules
    }
}

impl<'a> PartitionFacts<'a> {
    fn new(history: &'a History, log: &'a Log) -> Self {
        let records = log.records.iter().map(|record| RecordFacts {
            record,
            calls: Vec::new(),
            letters: Vec::new(),
            outputs: Vec::new(),
            settled: None,
            letter_gone: false,
        });
        let topic_id = history.topic_ids.get(log.tp.topic).copied().unwrap_or_default();
        let commits = history.commits.iter().filter(|commit| commit.tp == log.tp);
        let commits = commits.map(|commit| {
            let place = Place {
                cluster_id: &history.cluster_id,
                topic_id,
                partition: log.tp.partition,
                offset: commit.offset,
                leader_epoch: commit.leader_epoch,
            };
            (commit, checkpoint::decode(&commit.metadata, &place))
        });
        let commits: Vec<_> = commits.collect();
        let mut firsts = BTreeMap::new();
        for (index, (_, checkpoint)) in commits.iter().enumerate() {
            if let Ok(checkpoint) = checkpoint {
                firsts.entry(checkpoint.owner).or_insert(index);
            }
        }
        Self { tp: log.tp, end: log.end, records: records.collect(), commits, firsts }
    }

    /// What an owner read before its own first commit, if that can be told.
    pub fn read_by(&self, owner: u64) -> Option<(&Commit, &Checkpoint)> {
        let before = self.firsts.get(&owner)?.checked_sub(1)?;
        let (commit, checkpoint) = self.commits.get(before)?;
        Some((commit, checkpoint.as_ref().ok()?))
    }

    fn record_mut(&mut self, offset: i64) -> Option<&mut RecordFacts<'a>> {
        let index = self.records.binary_search_by_key(&offset, |record| record.record.offset).ok()?;
        self.records.get_mut(index)
    }

    /// The record at an offset.
    pub fn record(&self, offset: i64) -> Option<&RecordFacts<'a>> {
        let index = self.records.binary_search_by_key(&offset, |record| record.record.offset).ok()?;
        self.records.get(index)
    }

    /// The records of a span of offsets.
    pub fn span(&self, from: i64, to: i64) -> &[RecordFacts<'a>] {
        let start = self.records.partition_point(|record| record.record.offset < from);
        let end = self.records.partition_point(|record| record.record.offset < to);
        self.records.get(start..end).unwrap_or_default()
    }

    /// The records of each lane, by ascending offset. Without an order between records, each is its own.
    pub fn lanes(&self, ordering: crate::history::Ordering) -> Vec<Vec<&RecordFacts<'a>>> {
        use crate::history::Ordering;
        let mut lanes: BTreeMap<(bool, u64), Vec<&RecordFacts<'a>>> = BTreeMap::new();
        for record in &self.records {
            let alone = (true, record.record.offset.cast_unsigned());
            let lane = match (ordering, record.record.key) {
                (Ordering::Partition, _) => (false, 0),
                (Ordering::Key, Some(key)) => (false, key),
                (Ordering::Key, None) | (Ordering::Unordered, _) => alone,
            };
            lanes.entry(lane).or_default().push(record);
        }
        lanes.into_values().collect()
    }
}

impl RecordFacts<'_> {
    fn settle(&self, history: &History) -> Option<Settled> {
        let rules = &history.rules;
        let last_word = |call: &&&Call| match call.answer {
            Answer::Reject => rules.on_exhausted != OnExhausted::Block,
            answer => answer.is_final(),
        };
        let said = self.calls.iter().filter(last_word).min_by_key(|call| call.end).map(|call| Settled {
            at: call.end,
            how: match call.answer {
                Answer::Ack => How::Acknowledged,
                Answer::Skip => How::Skipped,
                _ => How::GivenUp,
            },
        });
        let exhausted = (rules.on_exhausted != OnExhausted::Block)
            .then(|| self.calls.iter().filter(|call| self.may_be_the_last(call, history)).min_by_key(|call| call.end))
            .flatten()
            .map(|call| Settled { at: self.given_up_at(call), how: How::GivenUp });
        said.into_iter().chain(exhausted).min_by_key(|settled| settled.at)
    }

    /// Whether the record may have been given up after this call: it has the last attempt's number and can have been charged.
    ///
    /// Whoever calls a record again had not given it up. Where the answer leaves open whether the attempt was charged, that holds
    /// for the next owner too, unless the one before it could not tell, or had written the dead letter.
    fn may_be_the_last(&self, call: &Call, history: &History) -> bool {
        if call.attempt < history.rules.max_attempts || !self.may_be_charged(call, history) {
            return false;
        }
        let Some(next) = self.calls.iter().find(|next| next.start > call.start) else { return true };
        let given_up = |letter: &&Forwarded| (call.start..=next.start).contains(&end_of(letter.appended));
        let next_of_owner = self.calls.iter().any(|next| next.owner == call.owner && next.start > call.start);
        !next_of_owner
            && (call.answer.is_charged()
                || self.letters.iter().any(given_up)
                || history.disturbed(call.worker, call.start, next.start).is_some())
    }

    /// Whether a call that ended so, and did not settle the record, can have cost an attempt.
    pub fn may_be_charged(&self, call: &Call, history: &History) -> bool {
        let timed_out = call.is_alone() && history.may_time_out(call);
        match call.answer {
            answer if answer.is_final() => false,
            _ if timed_out => true,
            Answer::Gone => false, // the worker ended or gave its partition back: no verdict
            Answer::Overload => self.overloads(Micros::MAX) > OVERLOADS_UNCHARGED,
            _ => call.may_be_charged(),
        }
    }

    fn overloads(&self, by: Micros) -> usize {
        self.calls.iter().filter(|call| call.start <= by && call.answer == Answer::Overload).count()
    }

    /// When a worker that hung up gave up: it knew before we noticed, and what it wrote then may be older than our notice.
    fn given_up_at(&self, last: &Call) -> Micros {
        let written = self.letters.first().map_or(last.start, |letter| start_of(letter.appended).max(last.start));
        if last.answer == Answer::Gone { written.min(last.end) } else { last.end }
    }

    /// The most attempts that can have been charged to it by then for calls that were seen, or came too late to be read. Whoever is
    /// caught in another's trouble is charged only when caught again, alone; what befell a batch is charged to none of its records.
    pub fn chargeable(&self, history: &History, by: Micros) -> u32 {
        let begun = || self.calls.iter().filter(|call| call.start <= by);
        let timed_out = |call: &Call| call.is_alone() && history.may_time_out(call);
        let counted = |call: &Call| timed_out(call) || !matches!(call.answer, Answer::Caught | Answer::Overload);
        let own = begun().filter(|call| call.answer.is_final() || self.may_be_charged(call, history));
        let own = own.filter(|call| counted(call)).count();
        let caught = || begun().filter(|call| call.answer == Answer::Caught && !timed_out(call));
        let first = usize::from(caught().all(|call| call.is_alone()));
        let caught = caught().filter(|call| call.is_alone()).count();
        let busy = self.overloads(by) / (OVERLOADS_UNCHARGED + 1);
        let unread = self.calls.first().map_or(0, |call| history.unread(call.tp, call.offset));
        u32::try_from(own + caught.saturating_sub(first) + busy).unwrap_or(u32::MAX).saturating_add(unread)
    }

    /// When by then the processor of one of its workers went down while no call of the record was seen: one of its own may have broken
    /// there alone, and been charged. By their places among all such times.
    pub fn unseen(&self, history: &History, by: Micros) -> Vec<usize> {
        let next = self.calls.iter().skip(1).map(|call| call.start).chain([Micros::MAX]);
        let gaps = self.calls.iter().zip(next);
        gaps.flat_map(|(call, next)| self.unseen_between(history, call, next.min(by))).collect()
    }

    /// The same between a call and the next one.
    pub fn unseen_between(&self, history: &History, call: &Call, until: Micros) -> Vec<usize> {
        let from = call.end.saturating_add(SAME_BREAK);
        let workers: BTreeSet<u32> = self.calls.iter().map(|call| call.worker).collect();
        let here = |down: &(u32, Micros)| workers.contains(&down.0) && (from..=until).contains(&down.1);
        history.downs.iter().enumerate().filter(|(_, down)| here(down)).map(|(place, _)| place).collect()
    }

    /// Whether its processing had come to an end by then.
    pub fn is_settled(&self, by: Micros) -> bool {
        self.settled.is_some_and(|settled| settled.at <= by)
    }

    /// When it was done: settled, and what has to be written of it appended. None if that never came.
    pub fn done_at(&self, rules: &Rules) -> Option<Micros> {
        let settled = self.settled?;
        match settled.how {
            How::Acknowledged if rules.output => Some(settled.at.max(end_of(self.outputs.first()?.appended))),
            How::GivenUp if rules.on_exhausted == OnExhausted::DeadLetter && !self.letter_gone => {
                Some(settled.at.max(end_of(self.letters.first()?.appended)))
            }
            How::Acknowledged | How::Skipped | How::GivenUp => Some(settled.at),
        }
    }

    /// Whether what has to be written of it had been appended by that millisecond.
    pub fn is_forwarded(&self, rules: &Rules, by: i64) -> bool {
        let Some(settled) = self.settled else { return false };
        let appended = |forwarded: &[&Forwarded]| forwarded.first().is_some_and(|first| first.appended <= by);
        match settled.how {
            How::Acknowledged if rules.output => appended(&self.outputs),
            How::GivenUp if rules.on_exhausted == OnExhausted::DeadLetter => {
                self.letter_gone || appended(&self.letters)
            }
            How::Acknowledged | How::Skipped | How::GivenUp => true,
        }
    }

    /// Whether it was done by that millisecond, as far as anybody can have known.
    pub fn is_done(&self, rules: &Rules, by: i64) -> bool {
        self.is_settled(end_of(by)) && self.is_forwarded(rules, by)
    }

    /// Its life in one line, for evidence.
    pub fn story(&self) -> String {
        use std::fmt::Write as _;
        let mut story = format!("offset {}", self.record.offset);
        for call in &self.calls {
            let (worker, owner, attempt, answer) = (call.worker, call.owner, call.attempt, call.answer);
            let (start, end) = (clock(call.start), clock(call.end));
            let _ = write!(story, "; worker {worker} owner {owner} attempt {attempt} {start} to {end} {answer:?}");
            if !call.is_alone() {
                let (item, company, request) = (call.item, call.company, call.request);
                let _ = write!(story, " (item {item} of {company} in request {request})");
            }
        }
        for (what, forwarded) in [("dead letter", &self.letters), ("output", &self.outputs)] {
            for one in forwarded {
                let _ = write!(story, "; {what} {}", clock(end_of(one.appended) - 999));
            }
        }
        story
    }
}

/// Seconds and microseconds within the hour: enough to follow a round of seconds.
pub(super) fn clock(at: Micros) -> String {
    let seconds = at / 1_000_000 % 3600;
    format!("{:02}:{:02}.{:06}", seconds / 60, seconds % 60, at % 1_000_000)
}
