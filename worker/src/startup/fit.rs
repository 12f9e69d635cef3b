//! Whether a topic keeps what is entrusted to it, and takes it. Somebody else may have made it.

use penstock_kafka::admin::{AdminClient, ConfigEntry, ConfigResource};

use super::{DEAD_LETTER_EXTRA_BYTES, TIMEOUT};
use crate::failure::{Failure, TOPIC_UNFIT};

/// A topic's settings by name.
pub(super) type Settings<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// Refuses a topic, told of by its role and name, for what is wrong with its settings. Where they may not be read nobody knows.
pub(super) async fn check(
    admin: &AdminClient,
    (role, topic): (&str, &str),
    unfit: impl Fn(&Settings<'_>) -> Option<String>,
) -> Result<(), Failure> {
    let Some(entries) = described(admin, topic).await else {
        tracing::warn!(topic, "its configuration may not be read (ACL DescribeConfigs): taken as right");
        return Ok(());
    };
    let value = |name: &str| value(&entries, name);
    unfit(&value).map_or(Ok(()), |what| Err(Failure::new(TOPIC_UNFIT, format!("the {role} topic {topic} {what}"))))
}

/// Tells in the log of a dead-letter topic that takes no letter as large as a record of the source may be. That stops no worker: such a
/// letter may never come, and one that does is kept until the topic takes it.
pub(super) async fn warn_of_large_letters(admin: &AdminClient, topic: &str, record_bytes: u64) {
    let Some(entries) = described(admin, topic).await else { return };
    let value = |name: &str| value(&entries, name);
    if let Some(what) = too_small(&value, record_bytes) {
        tracing::warn!("the dead-letter topic {topic} {what}");
    }
}

/// What a topic is configured to; `None` where that may not be read.
async fn described(admin: &AdminClient, topic: &str) -> Option<Vec<ConfigEntry>> {
    let resource = [ConfigResource::Topic(topic.to_owned())];
    let answers = admin.describe_configs(&resource, TIMEOUT).await.ok()?;
    answers.into_iter().next().and_then(|(_, entries)| entries.ok())
}

fn value(entries: &[ConfigEntry], name: &str) -> Option<String> {
    entries.iter().find(|entry| entry.name == name).and_then(|entry| entry.value.clone())
}

/// Compaction keeps the last record of a key and takes those before it.
pub(super) fn compacted(value: &Settings<'_>) -> Option<String> {
    let compacted = value("cleanup.policy").is_some_and(|policy| policy.contains("compact"));
    compacted
        .then(|| "is compacted, which takes all but the last record of a key: set cleanup.policy to delete".to_owned())
}

/// A dead letter is its record and what Penstock adds.
fn too_small(value: &Settings<'_>, record_bytes: u64) -> Option<String> {
    let takes: u64 = value("max.message.bytes")?.parse().ok()?;
    let needed = record_bytes.saturating_add(DEAD_LETTER_EXTRA_BYTES);
    (takes < needed).then(|| {
        format!(
            "takes {takes} bytes, and the source topics {record_bytes}: a dead letter that does not fit would hold its key and its \
             offset up. Set max.message.bytes to {needed}, which leaves room for its headers"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_letter_topic_takes_the_largest_record_and_its_headers() {
        let told = |takes: Option<&str>, record_bytes| {
            let value = |name: &str| takes.filter(|_| name == "max.message.bytes").map(str::to_owned);
            too_small(&value, record_bytes)
        };
        let what = told(Some("1048588"), 1_048_588).unwrap();
        assert!(["takes 1048588 bytes", "topics 1048588", "to 1114124"].iter().all(|one| what.contains(one)), "{what}");
        assert_eq!(told(Some("1114124"), 1_048_588), None, "as Penstock makes it");
        assert!(told(Some("1114123"), 1_048_588).is_some_and(|what| what.contains("to 1114124")));
        assert_eq!(told(None, 1_048_588), None, "where nobody knows");
        assert!(told(Some("1114124"), u64::MAX).is_some());
    }
}
