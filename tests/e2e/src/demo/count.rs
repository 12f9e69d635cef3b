//! Reads what came out, and counts.

use super::Report;
use super::burst::Run;
use crate::cluster::Cluster;
use crate::dataset::TAILNUMS;
use crate::failure::Result;
use crate::flight::Flight;
use crate::read::read_back;
use crate::verdict::{Sent, Verdict, judge};

pub(super) fn count(cluster: &Cluster, flights: &[Flight<'_>], run: &Run) -> Result<Report> {
    let read = read_back(cluster.brokers(), &run.stage.output, &run.stage.dead_letters, flights)?;
    let sent: Vec<_> = flights.iter().map(Sent::of).collect();
    let (seen, changed) = (read.seen, read.changed);
    let mut verdict = judge(&sent, &seen);
    let bound = verdict.explain(&run.crash, &seen);
    let mut problems = std::mem::take(&mut verdict.problems);
    problems.extend(broken_promises(&verdict, run, changed));
    Ok(Report {
        line: line(flights.len(), &verdict, run),
        notes: format!("duplicates: at most {bound} were in flight at the kill"),
        problems,
    })
}

fn line(sent: usize, verdict: &Verdict, run: &Run) -> String {
    format!(
        "demo: {sent} in, {} out, {} dead letters, {} lost, {} duplicates, order kept for {} keys, peak {} replicas of {}",
        verdict.out,
        verdict.dead,
        verdict.lost,
        verdict.duplicates.len(),
        verdict.keys_in_order,
        run.peak,
        run.stage.partitions
    )
}

/// What the issue promises beside what [`judge`] looks at.
fn broken_promises(verdict: &Verdict, run: &Run, changed: usize) -> Vec<String> {
    let promises = [
        (verdict.lost == 0, format!("{} flights are lost", verdict.lost)),
        (verdict.keys_in_order == TAILNUMS, format!("order is kept for {} of {TAILNUMS} keys", verdict.keys_in_order)),
        (
            run.peak == run.stage.partitions,
            format!("{} workers were ready at once, of {}", run.peak, run.stage.partitions),
        ),
        (run.climb.is_some(), "the workers were not all ready within 60 s of the burst".to_owned()),
        (run.rest < run.peak, format!("{} workers were still there at the end", run.rest)),
        (changed == 0, format!("{changed} dead letters differ from the flights that they were")),
    ];
    promises.into_iter().filter(|(kept, _)| !kept).map(|(_, words)| words).collect()
}
