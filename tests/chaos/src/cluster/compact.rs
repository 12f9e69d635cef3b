//! Holes in a log, made by compaction before the first worker reads it.

use std::time::{Duration, Instant};

use super::{Cluster, Topic};
use crate::error::{Error, Result};

/// How old a segment may become before the next record opens another: the last one is never compacted.
pub const SEGMENT: Duration = Duration::from_millis(300);
/// Between looks at what compaction has left.
const LOOK: Duration = Duration::from_millis(1_500);
/// How long the cleaner may take on a busy machine.
const CLEANED: Duration = Duration::from_secs(60);

/// What a topic is made with to be compacted at once.
pub const COMPACTED: [(&str, &str); 4] = [
    ("cleanup.policy", "compact"),
    ("segment.ms", "300"),
    ("min.cleanable.dirty.ratio", "0.001"),
    ("delete.retention.ms", "0"),
];

impl Cluster {
    /// Waits until compaction has taken records out of the middle of the topic, then ends it: what workers see stays as it is, so that
    /// it can be compared afterwards.
    ///
    /// # Errors
    /// Nothing was compacted.
    pub fn end_compaction(&self, topic: Topic<'_>) -> Result<()> {
        let end = Instant::now() + CLEANED;
        while self.left(topic)?.is_none() {
            if Instant::now() > end {
                return Err(Error::Evidence(format!("{} was not compacted within {CLEANED:?}", topic.name)));
            }
            std::thread::sleep(LOOK);
        }
        self.set(topic.name, "cleanup.policy", "delete")?;
        self.set(topic.name, "segment.ms", "604800000")?;
        // A cleaning that had begun goes on to its end.
        let mut before = None;
        loop {
            let left = self.left(topic)?;
            if left == before {
                return Ok(());
            }
            before = left;
            std::thread::sleep(LOOK);
        }
    }

    /// How many records are left; none if no offset is missing.
    fn left(&self, topic: Topic<'_>) -> Result<Option<i64>> {
        let mut records = 0;
        let ends = self.read(topic, &[], &mut |_| {
            records += 1;
            Ok(())
        })?;
        Ok((records < ends.iter().sum()).then_some(records))
    }
}
