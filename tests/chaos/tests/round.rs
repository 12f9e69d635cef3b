//! Two short rounds with fixed seeds; `make chaos` runs as many as one likes.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use penstock_chaos::cluster::Cluster;
use penstock_chaos::error::Result;
use penstock_chaos::plan::Plan;
use penstock_chaos::report::of_round;
use penstock_chaos::round::{self, Counts, Outcome};

/// Its keys are few, and a fifth of its values and headers awkward.
const SEED: u64 = 4;
/// A thousand keys, and as awkward.
const SEED_OF_ABSENCES: u64 = 21;

/// One round at a time: what makes the machine late makes the checker lenient.
static TURN: Mutex<()> = Mutex::new(());

fn logs(of: &str) -> PathBuf {
    std::env::temp_dir().join(format!("penstock-chaos-{of}-{}", std::process::id()))
}

/// The round was carried out, there was enough to do, and nothing was found.
fn assert_clean(plan: &Plan, outcome: Result<Outcome>, logs: &Path, enough: impl FnOnce(&Counts) -> bool) {
    let outcome = outcome.unwrap_or_else(|error| panic!("{plan}: {error}; logs are in {}", logs.display()));
    assert!(outcome.findings.is_empty(), "{}", of_round(plan, &outcome, logs));
    let counts = outcome.counts;
    assert!(counts.calls > counts.records && counts.commits > 0 && counts.scraped > 1, "{counts:?}");
    assert!(enough(&counts), "{counts:?}: it had little to do; logs are in {}", logs.display());
    std::fs::remove_dir_all(logs).unwrap();
}

/// On the lab that all tests share (`LAB_DIR`): kill -9, SIGTERM, scaling, an outage and a dead-letter topic that takes nothing, with the
/// classic protocol.
#[test]
fn a_short_round_finds_nothing() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let (plan, logs) = (Plan::short(SEED), logs("test"));
    let cluster = Cluster::shared().unwrap();
    let outcome = round::run(&cluster, &plan, &logs);
    assert_clean(&plan, outcome, &logs, |counts| {
        counts.records > 2_000 && counts.letters > 0 && counts.outputs > 0 && counts.workers >= 5
    });
}

/// On a lab of its own: SIGSTOP past a session, SIGTERM meanwhile, and a broker that is stopped and started, with KIP-848.
#[test]
fn a_short_round_of_absences_finds_nothing() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let (plan, logs) = (Plan::short_of_absences(SEED_OF_ABSENCES), logs("absences"));
    let cluster = Cluster::up(plan.brokers).unwrap();
    let outcome = round::run(&cluster, &plan, &logs);
    let down = cluster.down();
    assert_clean(&plan, outcome, &logs, |counts| {
        // Whoever stood still for so long was given up by its group.
        counts.records >= 4_000 && counts.letters > 0 && counts.outputs > 0 && counts.workers >= 4 && counts.losses > 0
    });
    down.unwrap();
}
