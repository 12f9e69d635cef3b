//! Whether a topic keeps what is entrusted to it. Somebody else may have made it.

use penstock_kafka::admin::{AdminClient, ConfigResource};

use super::TIMEOUT;
use crate::failure::{Failure, TOPIC_UNFIT};

/// A topic's settings by name.
pub(super) type Settings<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// Refuses a topic, told of by its role and name, for what is wrong with its settings. Where they may not be read nobody knows.
pub(super) async fn check(
    admin: &AdminClient,
    (role, topic): (&str, &str),
    unfit: impl Fn(&Settings<'_>) -> Option<String>,
) -> Result<(), Failure> {
    let resource = [ConfigResource::Topic(topic.to_owned())];
    let entries = match admin.describe_configs(&resource, TIMEOUT).await {
        Ok(answers) => answers.into_iter().next().and_then(|(_, entries)| entries.ok()),
        Err(_) => None,
    };
    let Some(entries) = entries else {
        tracing::warn!(topic, "its configuration may not be read (ACL DescribeConfigs): taken as right");
        return Ok(());
    };
    let value = |name: &str| entries.iter().find(|entry| entry.name == name).and_then(|entry| entry.value.clone());
    unfit(&value).map_or(Ok(()), |what| Err(Failure::new(TOPIC_UNFIT, format!("the {role} topic {topic} {what}"))))
}

/// Compaction keeps the last record of a key and takes those before it.
pub(super) fn compacted(value: &Settings<'_>) -> Option<String> {
    let compacted = value("cleanup.policy").is_some_and(|policy| policy.contains("compact"));
    compacted
        .then(|| "is compacted, which takes all but the last record of a key: set cleanup.policy to delete".to_owned())
}
