//! What is said about rounds: one line each, the evidence of what went wrong, and a summary.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use crate::error::Error;
use crate::plan::Plan;
use crate::round::{Counts, Outcome};

/// All rounds together.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    rounds: usize,
    failed: Vec<u64>,
    broken: Vec<u64>,
    counts: Counts,
    violations: BTreeMap<&'static str, usize>,
    took: Duration,
}

/// One line about a round, and its violations with the way to see them again.
pub fn of_round(plan: &Plan, outcome: &Outcome, folder: &Path) -> String {
    let counts = &outcome.counts;
    let verdict = if outcome.findings.is_empty() { "ok" } else { "FAILED" };
    let mut text = format!(
        "seed {}: {verdict} ({plan}): {} records, {} calls ({} repeated), {} commits, {} dead letters, {} outputs; {} workers, {} losses; \
         {}; caught up after {:.1} s; {:.0} s",
        plan.seed,
        counts.records,
        counts.calls,
        counts.repeated,
        counts.commits,
        counts.letters,
        counts.outputs,
        counts.workers,
        counts.losses,
        kinds(&counts.faults),
        counts.caught_up_after.as_secs_f64(),
        outcome.took.as_secs_f64(),
    );
    for violation in &outcome.findings.violations {
        text.push_str(&format!("\n  {violation}"));
    }
    if !outcome.findings.is_empty() {
        let found: Vec<_> = outcome.findings.counts.iter().map(|(name, count)| format!("{name} ×{count}")).collect();
        text.push_str(&format!("\n  in all: {}", found.join(", ")));
        for timed in &plan.faults {
            text.push_str(&format!("\n  fault: {timed}"));
        }
        text.push_str(&format!("\n  logs: {}\n  again: make chaos SEED={} ROUNDS=1", folder.display(), plan.seed));
    }
    text
}

fn kinds(faults: &BTreeMap<&'static str, usize>) -> String {
    let kinds: Vec<_> = faults.iter().map(|(kind, count)| format!("{kind} ×{count}")).collect();
    kinds.join(", ")
}

impl Totals {
    /// Adds a round.
    pub fn add(&mut self, plan: &Plan, result: &Result<Outcome, Error>) {
        self.rounds += 1;
        let Ok(outcome) = result else { return self.broken.push(plan.seed) };
        let (sum, counts) = (&mut self.counts, &outcome.counts);
        sum.records += counts.records;
        sum.calls += counts.calls;
        sum.repeated += counts.repeated;
        sum.commits += counts.commits;
        sum.letters += counts.letters;
        sum.outputs += counts.outputs;
        sum.workers += counts.workers;
        sum.losses += counts.losses;
        for (kind, count) in &counts.faults {
            *sum.faults.entry(kind).or_default() += count;
        }
        for (name, count) in &outcome.findings.counts {
            *self.violations.entry(name).or_default() += count;
        }
        if !outcome.findings.is_empty() {
            self.failed.push(plan.seed);
        }
        self.took += outcome.took;
    }

    /// Whether every round was carried out and nothing was found.
    pub fn is_clean(&self) -> bool {
        self.failed.is_empty() && self.broken.is_empty()
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = &self.counts;
        write!(
            f,
            "chaos: {} rounds in {:.0} s, {} records, {} calls ({} repeated), {} commits, {} dead letters, {} outputs, {} workers; {}; ",
            self.rounds,
            self.took.as_secs_f64(),
            counts.records,
            counts.calls,
            counts.repeated,
            counts.commits,
            counts.letters,
            counts.outputs,
            counts.workers,
            kinds(&counts.faults),
        )?;
        if self.failed.is_empty() {
            write!(f, "0 violations")?;
        } else {
            write!(f, "violations: {} in seeds {:?}", kinds(&self.violations), self.failed)?;
        }
        if !self.broken.is_empty() {
            write!(f, "; not carried out: seeds {:?}", self.broken)?;
        }
        Ok(())
    }
}
