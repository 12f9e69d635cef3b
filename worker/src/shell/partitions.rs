//! The numbers by which the engine knows partitions, and what the shell knows about each.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use penstock_engine::Instant;
use penstock_engine::seam::{RECORD_OVERHEAD_BYTES, Record, Start, Tp};
use penstock_kafka::TopicPartition;
use penstock_kafka::consumer::{FetchLimit, Fetched};

use super::stalls::Watch;
use crate::contract::request::Origin;
use crate::delay::FirstRead;

/// One partition that was ever seen.
#[derive(Debug)]
pub(super) struct Partition {
    pub(super) tp: Tp,
    pub(super) name: TopicPartition,
    /// Known once its identity was loaded, which precedes its first record.
    pub(super) origin: Option<Arc<Origin>>,
    /// The assignment under which it is read.
    pub(super) seq: u64,
    /// The group gave it to us, and the engine has not released it.
    pub(super) owned: bool,
    /// How long records wait in it, for a partition of a delay topic.
    pub(super) delay: Option<Duration>,
    /// librdkafka was told to read it.
    pub(super) reading: bool,
    /// Records and bytes to make room for: as many as the last time.
    pub(super) arena_hint: (usize, usize),
    /// What a record weighed the last time.
    record_weight: usize,
    /// Bytes that may still be handed over, as the engine weighs records.
    credit: u64,
    /// The position that the engine knows.
    position: i64,
    /// It cannot be read on from where it stands: what is known of why.
    pub(super) failed: Option<Gone>,
    pub(super) watch: Watch,
}

/// An offset that is not in the log.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Gone {
    /// The topic is another one by the same name.
    pub(super) made_anew: bool,
    /// The log was cut off here. It may have grown since.
    pub(super) cut_at: Option<i64>,
    /// The brokers did not say where the log begins and ends now, or not all of them knew yet: when to ask again.
    pub(super) ask_at: Option<Instant>,
    /// How often they did not know.
    pub(super) unheard: u32,
}

/// All partitions that this process has ever seen. A number is never given twice.
#[derive(Debug, Default)]
pub(super) struct Partitions {
    all: Vec<Partition>,
    numbers: HashMap<TopicPartition, Tp>,
}

impl Partition {
    pub(super) fn has_credit(&self) -> bool {
        self.credit > 0
    }

    /// Whether it may be read on: there is room, and it stands where its log goes on.
    pub(super) fn may_be_read(&self) -> bool {
        self.failed.is_none() && self.has_credit()
    }

    /// What may be taken now, if anything. A record weighs more than its bytes, by how much in all is known only
    /// afterwards: records as heavy as the last ones are reckoned with.
    pub(super) fn fetch_limit(&self, most: FetchLimit) -> Option<FetchLimit> {
        let credit = usize::try_from(self.credit).ok().filter(|bytes| *bytes > 0)?;
        Some(FetchLimit {
            max_records: (credit / self.record_weight).clamp(1, most.max_records),
            max_bytes: credit.min(most.max_bytes),
        })
    }

    /// Books what was taken, by what it weighs in its arena: that is how the engine counts it. The engine forgets an overdraft, so it
    /// is forgotten here too.
    pub(super) fn took(&mut self, fetched: &Fetched, weight: u64) {
        self.credit = self.credit.saturating_sub(weight);
        if let Some(each) = weight.checked_div(fetched.records as u64) {
            self.arena_hint = (fetched.records, fetched.bytes);
            self.record_weight = usize::try_from(each).unwrap_or(usize::MAX).max(RECORD_OVERHEAD_BYTES as usize);
        }
    }

    pub(super) fn add_credit(&mut self, bytes: u64) {
        self.credit = self.credit.saturating_add(bytes);
    }

    /// Reading begins under this assignment; credit of an older one is void.
    pub(super) fn begin(&mut self, seq: u64, offset: i64, now: Instant) {
        self.seq = seq;
        self.reading = true;
        self.position = -1;
        self.failed = None;
        self.watch.again(offset, now);
    }

    /// Reading ends. The engine gives new credit with the next assignment.
    pub(super) fn end(&mut self) {
        self.owned = false;
        self.reading = false;
        self.credit = 0;
    }
}

impl Partitions {
    /// The partition's number, a new one the first time.
    pub(super) fn number(&mut self, name: &TopicPartition) -> Tp {
        if let Some(tp) = self.numbers.get(name) {
            return *tp;
        }
        let tp = Tp(u32::try_from(self.all.len()).unwrap_or(u32::MAX));
        self.numbers.insert(name.clone(), tp);
        self.all.push(Partition {
            tp,
            name: name.clone(),
            origin: None,
            seq: 0,
            owned: false,
            delay: None,
            reading: false,
            arena_hint: (0, 0),
            record_weight: RECORD_OVERHEAD_BYTES as usize,
            credit: 0,
            position: -1,
            failed: None,
            watch: Watch::at(-1, Instant::ZERO),
        });
        tp
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// The partition of a number that was given out.
    pub(super) fn get(&self, tp: Tp) -> &Partition {
        &self.all[tp.0 as usize]
    }

    pub(super) fn get_mut(&mut self, tp: Tp) -> &mut Partition {
        &mut self.all[tp.0 as usize]
    }

    /// Partitions that are read.
    pub(super) fn reading(&self) -> impl Iterator<Item = &Partition> {
        self.all.iter().filter(|partition| partition.reading)
    }

    /// The numbers of partitions that the group gave to us.
    pub(super) fn owned(&self) -> Vec<Tp> {
        self.all.iter().filter(|partition| partition.owned).map(|partition| partition.tp).collect()
    }

    pub(super) fn reading_at(&mut self, index: usize) -> Option<&mut Partition> {
        self.all.get_mut(index).filter(|partition| partition.reading)
    }

    /// Notes the position; true if it is news.
    pub(super) fn moved(&mut self, tp: Tp, offset: i64) -> bool {
        std::mem::replace(&mut self.get_mut(tp).position, offset) != offset
    }

    /// A record as the source had it, whichever topic it comes from now.
    pub(super) fn first_read(&self, tp: Tp, record: &Record) -> FirstRead {
        let travelled = self.get(tp).delay.and_then(|_| FirstRead::of(record));
        travelled.unwrap_or_else(|| FirstRead { origin: self.origin(tp), record: record.clone() })
    }

    /// The same for the records of a call, with the origins of those that come from a delay topic, by their place in it.
    pub(super) fn first_reads(&self, start: &mut Start) -> Vec<(u32, Arc<Origin>)> {
        let mut origins = Vec::new();
        for delivery in start.deliveries.as_mut_slice() {
            if self.get(delivery.tp).delay.is_some() {
                let FirstRead { origin, record } = self.first_read(delivery.tp, &delivery.record);
                delivery.record = record;
                origins.push((delivery.ticket.item, origin));
            }
        }
        origins
    }

    /// The origin of a partition whose identity was loaded; before that nothing of it can have been read.
    pub(super) fn origin(&self, tp: Tp) -> Arc<Origin> {
        let partition = self.get(tp);
        partition.origin.clone().unwrap_or_else(|| {
            Arc::new(Origin::new(Arc::clone(&partition.name.topic), partition.name.partition, "unknown", "unknown"))
        })
    }
}
