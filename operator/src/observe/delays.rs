//! Whether records wait in delay topics. Pure.

use std::time::Duration;

use penstock_crds::Pipeline;
use penstock_scaling::{PartitionSample, Timestamp};

use super::kafka::partition_sample;
use crate::sampling::Sample;

/// Samples that are older say nothing; no more than this share of `scaling.idle` either, for what left the source within it may not
/// be in them.
const FRESH: Duration = Duration::from_secs(60);

/// What is remembered of the delay topics.
#[derive(Clone, Copy, Debug, Default)]
pub struct Delays {
    /// When a record waited there last, or nobody knew.
    waited_at: Option<Timestamp>,
}

impl Delays {
    /// Whether somebody must be there for records that wait: while there are some, or nobody knows, and for `scaling.idle` after. A
    /// record on its way from one topic to the next is for a moment in neither of two answers.
    pub fn wait(&mut self, pipeline: &Pipeline, sample: Option<&Sample>, now: Timestamp) -> bool {
        if pipeline.delivery.retry.delay_topics.is_empty() {
            return false;
        }
        let idle = pipeline.scaling.idle;
        if sample.and_then(|sample| waiting(sample, FRESH.min(idle * 4 / 5), now)) != Some(0) {
            self.waited_at = Some(now);
        }
        // A fresh operator looks on for as long as one that has just seen the last record go.
        now.since(*self.waited_at.get_or_insert(now)) < idle
    }
}

/// Records that are in the delay topics and not done; `None` when that is not known now.
fn waiting(sample: &Sample, fresh: Duration, now: Timestamp) -> Option<u64> {
    let samples = sample
        .partitions
        .iter()
        .map(|(partition, fact)| partition_sample(partition, fact, None).filter(|one| now.since(one.log_at) <= fresh));
    let samples: Vec<PartitionSample> = samples.collect::<Option<_>>()?;
    (!samples.is_empty()).then(|| samples.iter().map(PartitionSample::unread).sum())
}

#[cfg(test)]
mod tests {
    use penstock_crds::{resolve, schema};
    use penstock_kafka::TopicPartition;

    use super::*;
    use crate::sampling::PartitionFact;

    fn pipeline(retry: &str) -> Pipeline {
        let text = format!(
            "apiVersion: penstock.dev/v1alpha1\nkind: ConsumerPipeline\nmetadata: {{name: orders}}\nspec:\n  kafka: {{bootstrapServers: 'k:1'}}\n  source: {{topics: [{{name: orders}}]}}\n  processor: {{type: discard}}\n  scaling: {{minReplicas: 0, idle: 100s}}\n  delivery: {{ordering: Unordered, retry: {{{retry}}}}}\n"
        );
        resolve(&schema::parse(&text).unwrap()).unwrap()
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    /// One partition of a delay topic with so many records, of which so many are done.
    fn sample(end: i64, committed: i64, seconds: u64) -> Sample {
        let fact = PartitionFact {
            log_start: Some(0),
            end: Some(end),
            stable_end: Some(end),
            committed: Some(Some(committed)),
            log_at: at(seconds),
            committed_at: at(seconds),
            ..PartitionFact::default()
        };
        let mut sample = Sample::empty(at(0));
        sample.partitions.insert(TopicPartition::new("g.retry.1m", 0), fact);
        sample
    }

    #[test]
    fn somebody_stays_while_records_wait_and_for_the_idle_time_after() {
        let (pipeline, mut delays) = (pipeline("delayTopics: [1m]"), Delays::default());
        assert!(delays.wait(&pipeline, Some(&sample(7, 6, 1000)), at(1000)));
        assert!(delays.wait(&pipeline, Some(&sample(7, 7, 1005)), at(1005)));
        assert!(delays.wait(&pipeline, Some(&sample(7, 7, 1099)), at(1099)));
        assert!(!delays.wait(&pipeline, Some(&sample(7, 7, 1100)), at(1100)));
        assert!(delays.wait(&pipeline, Some(&sample(8, 7, 1101)), at(1101)), "also from zero");
    }

    #[test]
    fn what_is_not_known_is_not_empty() {
        let (pipeline, mut delays) = (pipeline("delayTopics: [1m]"), Delays::default());
        assert!(delays.wait(&pipeline, None, at(0)));
        assert!(delays.wait(&pipeline, Some(&sample(7, 7, 0)), at(500)), "an old answer");
        assert!(delays.wait(&pipeline, Some(&Sample::empty(at(0))), at(1000)), "no partition is known");
        assert!(!delays.wait(&pipeline, Some(&sample(7, 7, 1200)), at(1200)));
    }

    #[test]
    fn without_delay_topics_nothing_waits() {
        assert!(!Delays::default().wait(&pipeline("maxAttempts: 3"), None, at(0)));
    }
}
