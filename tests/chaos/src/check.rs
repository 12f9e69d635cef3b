//! The invariants of design.md §7, each by its name, over what was seen of a round.
//!
//! Every check is one-sided: what it reports cannot have an innocent explanation in the history, as far as that can be known from
//! outside of a worker. Where an explanation exists (a kill, a pause, a broker away: [`Disturbance`]s), it is asked for by name.
//!
//! [`Disturbance`]: crate::history::Disturbance

mod attempts;
mod charges;
mod checkpoints;
mod commits;
mod duplicates;
mod facts;
mod fidelity;
mod liveness;
mod order;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use crate::history::History;
pub use facts::{Facts, PartitionFacts, RecordFacts};
pub use fidelity::{output_body, output_digest};

/// Evidence is shown for so many violations of one invariant; the rest is counted.
const SHOWN_EACH: usize = 5;

/// Something that must never be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Its name in design.md §7.
    pub invariant: &'static str,
    /// What was seen, with the evidence.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant, self.what)
    }
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// The first few of each invariant.
    pub violations: Vec<Violation>,
    /// How many there are of each.
    pub counts: BTreeMap<&'static str, usize>,
}

impl Findings {
    /// Adds one.
    pub(crate) fn add(&mut self, invariant: &'static str, what: impl FnOnce() -> String) {
        let count = self.counts.entry(invariant).or_default();
        *count += 1;
        if *count <= SHOWN_EACH {
            self.violations.push(Violation { invariant, what: what() });
        }
    }

    /// Whether everything held.
    pub fn is_empty(&self) -> bool {
        self.violations.is_empty()
    }
}

/// Checks everything.
pub fn check(history: &History) -> Findings {
    let facts = Facts::of(history);
    let mut findings = Findings::default();
    for partition in &facts.partitions {
        commits::check(&facts, partition, &mut findings);
        checkpoints::check(&facts, partition, &mut findings);
        order::check(&facts, partition, &mut findings);
        attempts::check(&facts, partition, &mut findings);
        duplicates::check(&facts, partition, &mut findings);
        fidelity::check(&facts, partition, &mut findings);
        liveness::check_partition(&facts, partition, &mut findings);
    }
    charges::check(&facts, &mut findings);
    fidelity::check_strays(&facts, &mut findings);
    checkpoints::check_workers(history, &mut findings);
    liveness::check_workers(history, &mut findings);
    findings
}
