//! Everything before the flights: chart, topics, pipeline.

use std::time::Duration;

use penstock_lab::Progress;
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::failure::{Context as _, Failure, Result};
use crate::pipeline::Pipeline;

/// The file that a user would apply.
const SAMPLE: &str = include_str!("../../../../deploy/samples/flights.yaml");
/// Namespace, and name of the pipeline.
const NAME: &str = "flights";
/// Image, two containers, joining the group: seconds. Twice that on a machine that compiles beside.
const READY: Duration = Duration::from_secs(60);

/// What the demo plays on.
#[derive(Clone, Debug)]
pub(super) struct Stage {
    pub(super) namespace: String,
    pub(super) pipeline: String,
    pub(super) group: String,
    /// Where flights go in.
    pub(super) source: String,
    /// Where delays come out.
    pub(super) output: String,
    /// Where flights without a delay go.
    pub(super) dead_letters: String,
    /// The pipeline's most replicas.
    pub(super) partitions: usize,
    /// Calls in progress per worker.
    pub(super) concurrency: usize,
}

pub(super) fn set(cluster: &Cluster, progress: &Progress) -> Result<Stage> {
    progress.say("helm upgrade --install penstock charts/penstock --wait (10 s)");
    let images = cluster.install()?;
    let manifest = manifest(cluster.brokers().bootstrap_servers(), &images.flight_delays)?;
    let stage = Stage::of(&manifest)?;
    progress.say(format!("topic {}, namespace {}", stage.output, stage.namespace));
    cluster.delete_namespace(&stage.namespace)?;
    for topic in [&stage.source, &stage.output, &stage.dead_letters] {
        cluster.brokers().delete(topic)?;
    }
    let partitions = i32::try_from(stage.partitions).context("counting partitions")?;
    // By the broker's clock the order of records can be told across topics.
    cluster.brokers().create(&stage.output, partitions, &[("message.timestamp.type", "LogAppendTime")])?;
    cluster.namespace(&stage.namespace)?;
    progress.say("kubectl apply --filename deploy/samples/flights.yaml");
    cluster.apply(&manifest.to_string())?;
    Pipeline::new(cluster, &stage.namespace, &stage.pipeline).until(
        "Ready",
        READY,
        super::super::pipeline::Status::is_ready,
    )?;
    progress.say("Ready: one worker, waiting for flights");
    Ok(stage)
}

/// The sample with this cluster's brokers and image.
fn manifest(bootstrap_servers: &str, image: &str) -> Result<Value> {
    let mut manifest: Value = serde_norway::from_str(SAMPLE).context("reading deploy/samples/flights.yaml")?;
    manifest["spec"]["kafka"]["bootstrapServers"] = json!(bootstrap_servers);
    manifest["spec"]["processor"]["container"]["image"] = json!(image);
    Ok(manifest)
}

impl Stage {
    fn of(manifest: &Value) -> Result<Self> {
        let resource = serde_json::from_value(manifest.clone()).context("deploy/samples/flights.yaml")?;
        let pipeline =
            penstock_crds::resolve(&resource).map_err(|violations| Failure::new(format!("{violations:?}")))?;
        let missing = |what: &str| Failure::new(format!("deploy/samples/flights.yaml has no {what}"));
        let topic = pipeline.source.topics.first().ok_or_else(|| missing("topic"))?;
        let partitions = topic.ensure.as_ref().ok_or_else(|| missing("ensure"))?.partitions;
        Ok(Self {
            namespace: NAME.to_owned(),
            pipeline: NAME.to_owned(),
            group: pipeline.source.group_id.clone(),
            source: topic.name.clone(),
            output: pipeline.output.clone().ok_or_else(|| missing("output"))?,
            dead_letters: pipeline.delivery.dead_letter.ok_or_else(|| missing("dead letters"))?.topic,
            partitions: usize::try_from(partitions).context("counting partitions")?,
            concurrency: usize::try_from(pipeline.delivery.concurrency).context("counting calls")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_is_a_pipeline_with_all_that_the_demo_needs() {
        let stage = Stage::of(&manifest("10.0.0.1:9092", "flight-delays:x").unwrap()).unwrap();
        assert_eq!(
            (stage.partitions, stage.namespace.as_str(), stage.group.as_str()),
            (12, "flights", "flights.flights")
        );
        assert_eq!(stage.dead_letters, "flights.flights.dlq");
    }

    #[test]
    fn every_sample_is_accepted() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/samples");
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let resource = penstock_crds::schema::parse(&std::fs::read_to_string(&path).unwrap()).unwrap();
            assert_eq!(penstock_crds::resolve(&resource).err(), None, "{}", path.display());
        }
    }
}
