//! Delay topics at start-up: made where they are absent, and looked at before a record is entrusted to them.

use std::collections::BTreeMap;
use std::time::Duration;

use penstock_crds::pipeline::DelayTopic;
use penstock_kafka::admin::{AdminClient, AdminError, ConfigResource};

use super::{TIMEOUT, count, create_topic, describe_one, found};
use crate::config::Config;
use crate::failure::{Failure, TOPIC_UNFIT};

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
        fits(admin, delay).await?;
        topics.insert(name.clone(), count(&topic));
    }
    Ok(topics)
}

/// Whether a record that waits in the topic will still be there when it is due, and is due when it should be. Where the configuration
/// may not be read nobody knows.
async fn fits(admin: &AdminClient, delay: &DelayTopic) -> Result<(), Failure> {
    let resource = [ConfigResource::Topic(delay.topic.clone())];
    let entries = match admin.describe_configs(&resource, TIMEOUT).await {
        Ok(answers) => answers.into_iter().next().and_then(|(_, entries)| entries.ok()),
        Err(_) => None,
    };
    let Some(entries) = entries else {
        tracing::warn!(topic = delay.topic, "its configuration may not be read (ACL DescribeConfigs): taken as right");
        return Ok(());
    };
    let value = |name: &str| entries.iter().find(|entry| entry.name == name).and_then(|entry| entry.value.as_deref());
    unfit(delay, value)
        .map_or(Ok(()), |what| Err(Failure::new(TOPIC_UNFIT, format!("the delay topic {} {what}", delay.topic))))
}

/// What is wrong with the configuration of a topic, and what would be right.
fn unfit<'a>(delay: &DelayTopic, value: impl Fn(&str) -> Option<&'a str>) -> Option<String> {
    if value("cleanup.policy").is_some_and(|policy| policy.contains("compact")) {
        return Some("is compacted, which takes records that wait: set cleanup.policy to delete".to_owned());
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

    fn judged(given: &[(&str, &'static str)]) -> Option<String> {
        let delay = DelayTopic { topic: "g.retry.1m".to_owned(), delay: Duration::from_secs(60) };
        unfit(&delay, |name| given.iter().find(|(one, _)| *one == name).map(|(_, value)| *value))
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
