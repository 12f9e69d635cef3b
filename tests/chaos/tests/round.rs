//! One short round with a fixed seed, on the lab that all tests share (`LAB_DIR`): kill -9, SIGTERM, scaling, an outage and a
//! dead-letter topic that takes nothing. `make chaos` runs as many as one likes.

use penstock_chaos::cluster::Cluster;
use penstock_chaos::plan::Plan;
use penstock_chaos::report::of_round;
use penstock_chaos::round;

const SEED: u64 = 4;

#[test]
fn a_short_round_finds_nothing() {
    let cluster = Cluster::shared().unwrap();
    let plan = Plan::short(SEED);
    let logs = std::env::temp_dir().join(format!("penstock-chaos-test-{}", std::process::id()));
    let outcome = round::run(&cluster, &plan, &logs).unwrap_or_else(|error| panic!("{plan}: {error}"));
    assert!(outcome.findings.is_empty(), "{}", of_round(&plan, &outcome, &logs));
    let counts = outcome.counts;
    assert!(counts.records > 2_000 && counts.calls > counts.records && counts.commits > 0, "{counts:?}");
    assert!(counts.letters > 0 && counts.outputs > 0 && counts.workers >= 5, "{counts:?}: it had little to do");
    std::fs::remove_dir_all(logs).unwrap();
}
