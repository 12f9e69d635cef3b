//! How much was seen of a round.

use std::collections::{BTreeMap, BTreeSet};

use crate::history::History;
use crate::plan::Plan;

/// How much was seen.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// Records in the source topics that a consumer may see.
    pub records: usize,
    /// Calls of the processor, one for each record of a request.
    pub calls: usize,
    /// Requests.
    pub requests: usize,
    /// Calls of records that had been done before.
    pub repeated: usize,
    /// Commits.
    pub commits: usize,
    /// Dead letters.
    pub letters: usize,
    /// Outputs.
    pub outputs: usize,
    /// Workers that were started.
    pub workers: usize,
    /// Times that a worker said it had lost partitions unasked.
    pub losses: usize,
    /// Of those, times that nothing explains.
    pub unexplained: usize,
    /// Times that the machine was too slow for the limits.
    pub slow: usize,
    /// Workers that were asked for their metrics before they were told to stop, and answered.
    pub scraped: usize,
    /// Sleeps of theirs that ended by their longest although there was work.
    pub woken_by_cap: u64,
    /// Workers that ran and did not answer, and why: no word on the worker's promises.
    pub mute: Vec<String>,
    /// Faults by kind.
    pub faults: BTreeMap<&'static str, usize>,
    /// What the processor did with calls, by kind.
    pub answers: BTreeMap<&'static str, usize>,
}

impl Counts {
    /// What a history tells of it.
    pub(super) fn of(history: &History, plan: &Plan) -> Self {
        let facts = crate::check::Facts::of(history);
        let records = || facts.partitions.iter().flat_map(|partition| &partition.records);
        let repeated = records().map(|record| {
            let settled = record.settled.map_or(u64::MAX, |settled| settled.at);
            record.calls.iter().filter(|call| call.start > settled).count()
        });
        let mut faults = BTreeMap::new();
        for timed in &plan.faults {
            *faults.entry(timed.fault.kind()).or_default() += 1;
        }
        let mut answers = BTreeMap::new();
        for call in &history.calls {
            *answers.entry(call.answer.kind()).or_default() += 1;
        }
        let metrics = || history.workers.iter().filter_map(|worker| worker.metrics);
        let mute = history.workers.iter().enumerate().filter_map(|(number, worker)| {
            worker.mute.as_ref().map(|why| format!("worker {number} did not tell its metrics: {why}"))
        });
        Self {
            records: records().count(),
            calls: history.calls.len(),
            requests: history.calls.iter().map(|call| call.request).collect::<BTreeSet<_>>().len(),
            repeated: repeated.sum(),
            commits: history.commits.len(),
            letters: history.letters.len(),
            outputs: history.outputs.len(),
            workers: history.workers.len(),
            scraped: metrics().count(),
            woken_by_cap: metrics().map(|metrics| metrics.woken_by_cap).sum(),
            mute: mute.collect(),
            faults,
            answers,
            ..Self::default()
        }
    }
}
