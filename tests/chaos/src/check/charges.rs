//! S12: what is charged to a record befell that record, and it alone.
//!
//! A call that broke before anybody saw it may have been charged: when the processor goes down, to whoever was alone in flight. So each
//! time that it goes down may be the reason for one record.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::Findings;
use super::facts::{Facts, How, PartitionFacts, RecordFacts, clock};
use crate::history::{Answer, Fate, Micros, OnExhausted, Tp, end_of};

/// Somebody says that so many attempts had been charged to a record by then.
struct Claim {
    charged: u32,
    by: Micros,
    said: Said,
}

#[derive(Clone, Copy)]
enum Said {
    /// The next attempt's number.
    Next,
    /// A checkpoint.
    Checkpoint,
    /// It was given up.
    GivenUp,
}

/// A record that was charged for what nobody saw.
struct Need<'a> {
    tp: Tp,
    record: &'a RecordFacts<'a>,
    /// The times that the processor went down which may be the reason.
    downs: BTreeSet<usize>,
}

pub(super) fn check(facts: &Facts<'_>, findings: &mut Findings) {
    let mut needs = Vec::new();
    for partition in &facts.partitions {
        let mut told = told_by_checkpoints(partition);
        for record in &partition.records {
            let mut claims = told.remove(&record.record.offset).unwrap_or_default();
            claims.extend(told_by_calls(record));
            claims.extend(told_by_its_end(facts, partition, record));
            let mut downs = BTreeSet::new();
            let wrong = claims.iter().find_map(|claim| missing(facts, record, claim, &mut downs));
            if let Some(what) = wrong {
                findings.add("S12", || format!("partition {}: {what}: {}", partition.tp, record.story()));
            } else if !downs.is_empty() {
                needs.push(Need { tp: partition.tp, record, downs });
            }
        }
    }
    for need in without_reason(&needs) {
        let (tp, story) = (need.tp, need.record.story());
        findings.add("S12", || {
            format!("partition {tp}: charged for a break that is another's: a processor goes down on one call alone: {story}")
        });
    }
}

fn told_by_checkpoints(partition: &PartitionFacts<'_>) -> BTreeMap<i64, Vec<Claim>> {
    let mut told: BTreeMap<i64, Vec<Claim>> = BTreeMap::new();
    for (commit, checkpoint) in &partition.commits {
        for failing in checkpoint.iter().flat_map(|checkpoint| &checkpoint.failing) {
            let claim = Claim { charged: failing.attempts, by: end_of(commit.at), said: Said::Checkpoint };
            told.entry(failing.offset).or_default().push(claim);
        }
    }
    told
}

/// What was charged since its first call.
fn told_by_calls(record: &RecordFacts<'_>) -> impl Iterator<Item = Claim> {
    let before = record.calls.first().map_or(1, |call| call.attempt);
    record.calls.iter().skip(1).map(move |call| Claim {
        charged: call.attempt.saturating_sub(before),
        by: call.start.saturating_sub(1),
        said: Said::Next,
    })
}

/// A record that was not refused by a verdict of its own is never given up before it had all its attempts to itself.
fn told_by_its_end(facts: &Facts<'_>, partition: &PartitionFacts<'_>, record: &RecordFacts<'_>) -> Option<Claim> {
    let rules = facts.rules();
    let given_up = record.settled.is_some_and(|settled| settled.how == How::GivenUp);
    let taken = record.calls.iter().any(|call| call.answer.is_final());
    let refused = record.record.fate == Fate::Refused && record.calls.iter().any(|call| call.answer == Answer::Reject);
    let at = match record.letters.first() {
        Some(letter) if !refused => letter.appended,
        // What is dropped leaves no other trace than the commit that passes it.
        None if rules.on_exhausted == OnExhausted::Discard && given_up && !taken => {
            let mut commits = partition.commits.iter().map(|(commit, _)| commit);
            commits.find(|commit| commit.offset > record.record.offset)?.at
        }
        _ => return None,
    };
    Some(Claim { charged: rules.max_attempts, by: end_of(at), said: Said::GivenUp })
}

/// Says what is wrong with a claim, or which breaks that nobody saw it needs.
fn missing(facts: &Facts<'_>, record: &RecordFacts<'_>, claim: &Claim, downs: &mut BTreeSet<usize>) -> Option<String> {
    let own = record.chargeable(facts.history, claim.by);
    if claim.charged <= own {
        return None;
    }
    let unseen = record.unseen(facts.history, claim.by);
    if usize::try_from(claim.charged - own).is_ok_and(|more| more <= unseen.len()) {
        downs.extend(unseen);
        return None;
    }
    let (charged, by, said, unseen) = (claim.charged, clock(claim.by), claim.said, unseen.len());
    Some(format!("at {by} {said} {charged} attempts, of {own} that it failed by itself and {unseen} breaks unseen"))
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Next => "it was called again after",
            Self::Checkpoint => "a checkpoint charged",
            Self::GivenUp => "it was given up after",
        })
    }
}

/// The records for which none of their reasons is left, when each is one record's only.
fn without_reason<'a, 'b>(needs: &'b [Need<'a>]) -> impl Iterator<Item = &'b Need<'a>> {
    let mut taken = BTreeMap::new();
    (0..needs.len()).filter(move |one| !finds(needs, *one, &mut taken, &mut BTreeSet::new())).map(|one| &needs[one])
}

/// Finds a reason for a record; whoever has it may take another one.
fn finds(needs: &[Need<'_>], one: usize, taken: &mut BTreeMap<usize, usize>, tried: &mut BTreeSet<usize>) -> bool {
    for down in &needs[one].downs {
        if !tried.insert(*down) {
            continue;
        }
        let free = taken.get(down).copied().is_none_or(|other| finds(needs, other, taken, tried));
        if free {
            taken.insert(*down, one);
            return true;
        }
    }
    false
}
