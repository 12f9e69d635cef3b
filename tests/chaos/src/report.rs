//! What is said about rounds: one line each, the evidence of what went wrong, and a summary.

mod page;

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::path::Path;
use std::time::Duration;

use crate::error::Error;
use crate::plan::Plan;
use crate::round::{Counts, Laps, Outcome};

pub use page::{PageError, rewritten};

/// All rounds together.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    rounds: usize,
    failed: Vec<u64>,
    broken: Vec<u64>,
    counts: Counts,
    violations: BTreeMap<&'static str, usize>,
    took: Duration,
    laps: Laps,
}

/// One line about a round, and its violations with the way to see them again.
pub fn of_round(plan: &Plan, outcome: &Outcome, folder: &Path) -> String {
    let counts = &outcome.counts;
    let verdict = if outcome.findings.is_empty() { "ok" } else { "FAILED" };
    let mut text = format!(
        "seed {}: {verdict} ({plan}): {} records, {} calls in {} requests ({} repeated), {} commits, {} dead letters, {} outputs; {} \
         workers ({} told their metrics: woken by the cap with work ×{}), {} losses ({} unexplained), slow ×{}; {}; {:.0} s: {}",
        plan.seed,
        counts.records,
        counts.calls,
        counts.requests,
        counts.repeated,
        counts.commits,
        counts.letters,
        counts.outputs,
        counts.workers,
        counts.scraped,
        counts.woken_by_cap,
        counts.losses,
        counts.unexplained,
        counts.slow,
        kinds(&counts.faults),
        outcome.laps.total().as_secs_f64(),
        outcome.laps,
    );
    for mute in &counts.mute {
        let _ = write!(text, "\n  {mute}");
    }
    for violation in &outcome.findings.violations {
        let _ = write!(text, "\n  {violation}");
    }
    if !outcome.findings.is_empty() {
        let found: Vec<_> = outcome.findings.counts.iter().map(|(name, count)| format!("{name} ×{count}")).collect();
        let _ = write!(text, "\n  in all: {}", found.join(", "));
        for timed in &plan.faults {
            let _ = write!(text, "\n  fault: {timed}");
        }
        let _ = write!(text, "\n  logs: {}", folder.display());
        let _ = write!(text, "\n  again: make chaos CHAOS=\"{}\"", plan.asked);
    }
    text
}

/// A round as a line of JSON, to be summed up over many runs (docs/reliability.md).
///
/// `revision` says of which commit the worker is.
pub fn record_of(plan: &Plan, result: &Result<Outcome, Error>, revision: Option<&str>) -> String {
    let mut line = serde_json::json!({
        "seed": plan.seed,
        "brokers": plan.brokers,
        "theme": format!("{:?}", plan.theme),
        "plan": plan.to_string(),
    });
    if let Some(revision) = revision {
        line["revision"] = revision.into();
    }
    match result {
        Err(error) => line["not_carried_out"] = error.to_string().into(),
        Ok(Outcome { findings, counts, laps }) => {
            line["violations"] = serde_json::json!(findings.counts);
            line["counts"] = serde_json::json!({
                "records": counts.records, "calls": counts.calls, "requests": counts.requests, "repeated": counts.repeated,
                "commits": counts.commits, "slow": counts.slow,
                "letters": counts.letters, "outputs": counts.outputs, "workers": counts.workers, "losses": counts.losses,
                "unexplained": counts.unexplained, "scraped": counts.scraped, "mute": counts.mute.len(),
                "woken_by_cap": counts.woken_by_cap,
            });
            line["faults"] = serde_json::json!(counts.faults);
            line["answers"] = serde_json::json!(counts.answers);
            line["seconds"] = laps.total().as_secs().into();
        }
    }
    line.to_string()
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
        sum.requests += counts.requests;
        sum.slow += counts.slow;
        sum.repeated += counts.repeated;
        sum.commits += counts.commits;
        sum.letters += counts.letters;
        sum.outputs += counts.outputs;
        sum.workers += counts.workers;
        sum.scraped += counts.scraped;
        sum.woken_by_cap += counts.woken_by_cap;
        sum.mute.extend_from_slice(&counts.mute);
        sum.losses += counts.losses;
        sum.unexplained += counts.unexplained;
        for (kind, count) in &counts.faults {
            *sum.faults.entry(kind).or_default() += count;
        }
        for (kind, count) in &counts.answers {
            *sum.answers.entry(kind).or_default() += count;
        }
        for (name, count) in &outcome.findings.counts {
            *self.violations.entry(name).or_default() += count;
        }
        if !outcome.findings.is_empty() {
            self.failed.push(plan.seed);
        }
        self.took += outcome.laps.total();
        self.laps.add(&outcome.laps);
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
            "chaos: {} rounds in {:.0} s ({}), {} records, {} calls in {} requests ({} repeated), {} commits, {} dead letters, {} \
             outputs, {} workers ({} told their metrics, {} did not answer: woken by the cap with work ×{}), {} losses ({} \
             unexplained), slow ×{}; calls: {}; faults: {}; ",
            self.rounds,
            self.took.as_secs_f64(),
            self.laps,
            counts.records,
            counts.calls,
            counts.requests,
            counts.repeated,
            counts.commits,
            counts.letters,
            counts.outputs,
            counts.workers,
            counts.scraped,
            counts.mute.len(),
            counts.woken_by_cap,
            counts.losses,
            counts.unexplained,
            counts.slow,
            kinds(&counts.answers),
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
