//! Processes end without grace, in the middle of a burst.

use std::collections::BTreeSet;

use penstock_e2e::cluster::RELEASE;
use penstock_e2e::failure::Failure;
use penstock_e2e::flight::Flight;
use penstock_e2e::pipeline::Pipeline;
use penstock_e2e::read::read_back;
use penstock_e2e::verdict::{Sent, Verdict, judge};
use penstock_e2e::wait::until;
use serde_json::json;

use crate::stage::{RECOVERY, START, Stage};

/// A pipeline with a burst in front of it, and what it does with it.
pub(crate) struct Burst<'a> {
    stage: &'a Stage,
    pub(crate) pipeline: Pipeline<'static>,
    source: String,
    output: String,
    flights: Vec<Flight<'static>>,
}

impl<'a> Burst<'a> {
    /// A Ready pipeline of `replicas` workers, and `count` flights in its topic.
    pub(crate) fn begin(stage: &'a Stage, replicas: usize, count: usize) -> Self {
        let (source, output) = (stage.new_topic("flights", 4), stage.new_topic("delays", 4));
        stage.brokers().delete(&format!("{}.flights.dlq", stage.namespace)).unwrap();
        let mut manifest = stage.flying("flights", &source, &output);
        manifest["spec"]["delivery"] = json!({"concurrency": 4, "timeout": "5s"});
        manifest["spec"]["scaling"] = json!({"minReplicas": replicas, "maxReplicas": replicas});
        let pipeline = stage.ready(&manifest);
        let burst = Self { stage, pipeline, source, output, flights: stage.flights(count) };
        burst.produce();
        burst
    }

    fn produce(&self) {
        let records =
            self.flights.iter().map(|flight| (flight.tailnum.as_deref(), serde_json::to_vec(flight).unwrap()));
        self.stage.brokers().produce(&self.source, records).unwrap();
    }

    fn lag(&self) -> penstock_e2e::failure::Result<i64> {
        let group = format!("{}.flights", self.stage.namespace);
        Ok(self.stage.brokers().progress(&group, &self.source)?.lag())
    }

    /// Waits until some of the burst is done, and not all of it.
    pub(crate) fn await_midway(&self) {
        let all = i64::try_from(self.flights.len()).unwrap();
        let lag = until("the burst is under way", START, || Ok(Some(self.lag()?).filter(|lag| *lag < all))).unwrap();
        assert!(lag > 0, "the burst was over before anything could happen to it");
    }

    /// Waits until all is done, and counts.
    pub(crate) fn finish(&self) -> Verdict {
        until("all flights done", RECOVERY, || match self.lag()? {
            0 => Ok(Some(())),
            lag => Err(Failure::new(format!("{lag} are not"))),
        })
        .unwrap();
        let dead_letters = format!("{}.flights.dlq", self.stage.namespace);
        let seen = read_back(self.stage.brokers(), &self.output, &dead_letters, &self.flights).unwrap().seen;
        let sent: Vec<_> = self.flights.iter().map(Sent::of).collect();
        judge(&sent, &seen)
    }
}

/// Nothing lost, nothing where it does not belong, every key in order.
pub(crate) fn assert_kept(verdict: &Verdict) {
    assert_eq!(verdict.lost, 0);
    assert!(verdict.problems.is_empty(), "{:#?}", verdict.problems);
    assert_eq!(verdict.keys_in_order, verdict.keys);
}

#[test]
fn a_worker_killed_in_a_burst_loses_nothing() {
    let stage = Stage::beside_others("worker-killed");
    let burst = Burst::begin(&stage, 2, 40_000);
    burst.await_midway();
    let victim = burst.pipeline.workers().unwrap().into_iter().find(|pod| pod.ready).unwrap();
    stage.cluster().kill(&stage.namespace, &victim).unwrap();
    let verdict = burst.finish();
    assert_kept(&verdict);
    // Done since the last commit, a second ago at most, by one of two workers: 4 calls of 5 ms each.
    assert!(verdict.duplicates.len() <= 2_000, "{} duplicates", verdict.duplicates.len());
}

#[test]
fn an_operator_killed_in_a_burst_is_missed_by_nobody() {
    let stage = Stage::alone("operator-killed");
    let burst = Burst::begin(&stage, 2, 40_000);
    burst.await_midway();
    let (namespace, _) = RELEASE;
    let workers = burst.pipeline.workers().unwrap();
    let operators = stage.cluster().pods(namespace, "app.kubernetes.io/component=operator").unwrap();
    for pod in &operators {
        stage.cluster().crash(pod, &BTreeSet::from(["operator"])).unwrap();
    }
    let verdict = burst.finish();
    assert_kept(&verdict);
    assert_eq!(verdict.duplicates.len(), 0, "no worker had a reason to repeat anything");
    let names = |pods: Vec<penstock_e2e::cluster::Pod>| pods.into_iter().map(|pod| pod.name).collect::<BTreeSet<_>>();
    assert_eq!(names(burst.pipeline.workers().unwrap()), names(workers), "a new operator keeps the pods");
    // It leads again and looks after its pipelines: an edit is carried out.
    burst.pipeline.patch(&json!({"scaling": {"minReplicas": 3, "maxReplicas": 3}})).unwrap();
    burst.pipeline.until("3 workers", START, |status| status.ready_replicas() == 3).unwrap();
}
