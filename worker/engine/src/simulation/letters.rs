//! The dead letters of a pipeline that parks keys, whoever redrives them, and what must be true of both.

use penstock_crds::checkpoint::ParkedKey;

use super::broker::{LogRecord, Partition, Plan};
use super::config::PARTITIONS;
use super::coverage::Reached;
use super::truth::{Checked, Fate, Truth, violated};
use super::world::World;
use crate::seam::{LetterNumber, Undelivered};

/// A record of the dead-letter topic.
#[derive(Clone, Debug)]
pub(super) struct Letter {
    /// The record that it is a copy of, as it was produced first.
    root: usize,
    leader_epoch: i32,
    key: Option<u8>,
    number: Option<LetterNumber>,
}

impl World {
    pub(super) fn parks(&self) -> bool {
        self.config.policy.parks_keys()
    }

    /// A dead letter is confirmed.
    pub(super) fn lettered(&mut self, tp: usize, index: usize, number: Option<LetterNumber>) {
        if !self.parks() {
            return;
        }
        let LogRecord { root, leader_epoch, key, .. } = self.logs[tp].records[index];
        self.logs[tp].letters.push(Letter { root, leader_epoch, key, number });
        if number.is_some_and(|number| number.number == 1) {
            self.coverage.reach(Reached::KeyParked);
        }
    }

    /// A letter is decided. One that nobody tried follows others of its parking, without a gap.
    pub(super) fn check_letter(
        &mut self,
        tp: usize,
        index: usize,
        cause: &Undelivered,
        number: Option<LetterNumber>,
    ) -> Checked {
        let record = &self.logs[tp].records[index];
        let offset = record.offset;
        if number.is_some() != (self.parks() && record.key.is_some()) {
            return violated("S4", format!("{offset} of {tp} is dead-lettered with number {number:?}"));
        }
        let Some(number) = number else { return Ok(()) };
        let back = record.number.is_some_and(|own| own == number);
        let written = |number: LetterNumber| self.logs[tp].letters.iter().any(|letter| letter.number == Some(number));
        let follows = match number.number {
            1 => back || number.generation == offset,
            before => written(LetterNumber { number: before - 1, ..number }),
        };
        if !follows {
            return violated("S4", format!("{offset} of {tp} is letter {number}, and there is none before it"));
        }
        let untried = cause.attempts == 0;
        match (back, untried) {
            (true, true) => self.coverage.reach(Reached::PutBack),
            (true, false) => self.coverage.reach(Reached::LetterFailedAgain),
            (false, true) => self.coverage.reach(Reached::ParkedAfter),
            (false, false) => {}
        }
        Ok(())
    }

    /// The tool copies some letters back, in their order, and sometimes dies before it has written down how far it came.
    pub(super) fn redrive(&mut self, tp: usize, most: usize) -> bool {
        let from = self.logs[tp].redriven;
        let letters: Vec<Letter> = self.logs[tp].letters.iter().skip(from).take(most).cloned().collect();
        for letter in &letters {
            self.send_back(tp, letter);
        }
        let forgets = !self.calm && self.rng.percent(20);
        let copied = if forgets { self.rng.below(letters.len() + 1) } else { letters.len() };
        self.logs[tp].redriven = from + copied;
        !letters.is_empty()
    }

    fn send_back(&mut self, tp: usize, letter: &Letter) {
        let plan = match self.rng.below(6) {
            _ if self.calm => Plan::Good,
            0 => Plan::Rejects,
            1 => Plan::Fails(2),
            2 => Plan::Hangs(1),
            3 if self.config.policy.output => Plan::Outputs,
            _ => Plan::Good,
        };
        let log = &mut self.logs[tp];
        let Letter { root, leader_epoch, key, number } = letter.clone();
        let leader_epoch = leader_epoch.max(log.records.last().map_or(0, |last| last.leader_epoch));
        log.records.push(LogRecord { number, ..LogRecord::new(log.end, leader_epoch, key, plan, root) });
        log.end += 1;
        self.truth.fates[tp].push(Fate::default());
        for worker in &mut self.workers {
            worker.held[tp].position_told = false;
        }
    }

    /// A producer writes one more record while letters are on their way round.
    pub(super) fn produce(&mut self, tp: usize) {
        let key = self.rng.pick(&[Some(1), Some(2), Some(3)]);
        let log = &mut self.logs[tp];
        let leader_epoch = log.records.last().map_or(0, |last| last.leader_epoch);
        let (offset, root) = (log.end, log.records.len());
        log.records.push(LogRecord::new(offset, leader_epoch, key, Plan::Good, root));
        log.end += 1;
        self.truth.fates[tp].push(Fate::default());
        for worker in &mut self.workers {
            worker.held[tp].position_told = false;
        }
    }

    /// Nothing is left to do but what lies among the dead letters. Returns whether anything did.
    pub(super) fn redrive_the_rest(&mut self) -> bool {
        let mut any = false;
        for tp in 0..PARTITIONS {
            any |= self.parks() && self.redrive(tp, usize::MAX);
        }
        any
    }
}

impl Truth {
    /// S8: what a checkpoint says of parked keys is so.
    pub(super) fn check_parked(&self, tp: usize, log: &Partition, parked: &[ParkedKey]) -> Checked {
        for key in parked {
            let of = |number| Some(LetterNumber { generation: key.generation, number });
            if let Some(number) = (1..=key.letters).find(|n| log.letters.iter().all(|one| one.number != of(*n))) {
                return violated(
                    "S8",
                    format!("the checkpoint of {tp} counts letter {number} of {key:?}, which is not there"),
                );
            }
            let taken =
                |number| log.letters.iter().any(|one| one.number == of(number) && self.is_taken(tp, log, one.root));
            if let Some(number) = (1..key.expected).find(|number| !taken(*number)) {
                return violated(
                    "S8",
                    format!("the checkpoint of {tp} has letter {number} of {key:?} back, which is not"),
                );
            }
        }
        Ok(())
    }

    /// Whether some copy of the record was taken.
    pub(super) fn is_taken(&self, tp: usize, log: &Partition, root: usize) -> bool {
        log.records.iter().zip(&self.fates[tp]).any(|(record, fate)| record.root == root && fate.taken)
    }

    /// S5 and S1 where keys are parked and all letters were sent back: every record was taken, and those of a key in the order
    /// in which they were produced.
    pub(super) fn check_redriven(&self, tp: usize, log: &Partition, parked: usize) -> Checked {
        let first = |root: usize| {
            let copies = log.records.iter().zip(&self.fates[tp]).filter(|(record, _)| record.root == root);
            copies.filter_map(|(_, fate)| fate.succeeded_at).min()
        };
        let mut latest = [0; 4];
        for (root, record) in log.records.iter().enumerate().filter(|(index, record)| record.root == *index) {
            if !self.is_taken(tp, log, root) {
                return violated("S1", format!("{} of {tp} was dead-lettered and never taken", record.offset));
            }
            let (Some(key), Some(at)) = (record.key, first(root)) else { continue };
            if at < latest[usize::from(key)] {
                return violated(
                    "S5",
                    format!("{} of {tp} was taken before an earlier record of its key", record.offset),
                );
            }
            latest[usize::from(key)] = at;
        }
        if parked > 0 {
            return violated("L1", format!("{parked} keys of {tp} stay parked, though all letters came back"));
        }
        Ok(())
    }
}
