//! Delay topics at start-up: made where they are absent, and looked at before a record is entrusted to them.

use std::collections::BTreeMap;
use std::time::Duration;

use penstock_crds::pipeline::DelayTopic;
use penstock_kafka::admin::{AdminClient, AdminError};

use super::{count, create_topic, describe_one, fit, found};
use crate::config::Config;
use crate::failure::Failure;

/// The delay topics with their partitions.
pub(super) async fn topics(
    config: &Config,
    admin: &AdminClient,
    largest: i32,
) -> Result<BTreeMap<String, i32>, Failure> {
    let mut topics = BTreeMap::new();
    for delay in &config.pipeline.delivery.retry.delay_topics {
        let name = &delay.topic;
        let mut topic = describe_one(admin, name).await?;
        if matches!(topic, Err(AdminError::NotFound(_))) {
            create_topic(config, admin, (name, largest), Some(delay.retention_min())).await?;
            topic = describe_one(admin, name).await?;
        }
        let topic = found(name, topic, "it was made just now and is not visible yet")?;
        fit::check(admin, ("delay", name), |settings| unfit(delay, settings)).await?;
        topics.insert(name.clone(), count(&topic));
    }
    Ok(topics)
}

/// Why a record that waits in the topic may not be there when it is due, or is due at another time.
fn unfit(delay: &DelayTopic, value: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    if let Some(compacted) = fit::compacted(value) {
        return Some(compacted);
    }
    if value("message.timestamp.type").is_some_and(|kind| kind != "LogAppendTime") {
        return Some("keeps the time of producers: set message.timestamp.type to LogAppendTime".to_owned());
    }
    let least = delay.retention_min();
    let retention = value("retention.ms").and_then(|millis| millis.parse::<i64>().ok());
    let short = |millis: i64| u64::try_from(millis).is_ok_and(|millis| Duration::from_millis(millis) < least);
    retention.filter(|millis| short(*millis)).map(|millis| {
        format!(
            "keeps records for {millis} ms, and its delay plus 7 days are {}: set retention.ms to that",
            least.as_millis()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(given: &[(&str, &str)]) -> Option<String> {
        let delay = DelayTopic { topic: "g.retry.1m".to_owned(), delay: Duration::from_secs(60) };
        unfit(&delay, &|name| given.iter().find(|(one, _)| *one == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn a_topic_that_loses_records_or_their_time_is_unfit() {
        let right =
            [("cleanup.policy", "delete"), ("message.timestamp.type", "LogAppendTime"), ("retention.ms", "604860000")];
        assert_eq!(judged(&right), None);
        assert_eq!(judged(&[("retention.ms", "-1")]), None, "for ever");
        assert!(judged(&[("retention.ms", "604800000")]).unwrap().contains("set retention.ms"));
        assert!(judged(&[("cleanup.policy", "compact,delete")]).unwrap().contains("compacted"));
        assert!(judged(&[("message.timestamp.type", "CreateTime")]).unwrap().contains("LogAppendTime"));
    }
}
