//! The cells: how much work a record makes, and how many records are read.

use std::time::Duration;

use crate::topic::KEYS;

/// What a cell asks of its arms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    /// Wait for each record inside the consumer.
    Wait,
    /// Call a server on this machine for each record.
    Http,
    /// Call it with batches.
    HttpBatch,
}

/// One column of the table.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    /// Name on the command line and in tables.
    pub(crate) name: &'static str,
    /// What is done with a record.
    pub(crate) task: Task,
    /// What a record's handler waits for.
    pub(crate) work: Duration,
    /// Records in the topic.
    pub(crate) records: u64,
    /// An arm that is slower than that is measured over this time instead of over all records.
    pub(crate) limit: Duration,
}

impl Cell {
    /// All cells of the table.
    pub(crate) fn all() -> Vec<Self> {
        let cell = |name, micros, records| Self {
            name,
            task: Task::Wait,
            work: Duration::from_micros(micros),
            records,
            limit: Duration::from_secs(12),
        };
        vec![
            // Long enough that joining the group (0.2 s) and the last commit weigh little.
            // A JVM gets faster for some seconds where nothing else takes time.
            Self { limit: Duration::from_secs(30), ..cell("noop", 0, 20_000_000) },
            cell("1ms", 1_000, 2_000_000),
            cell("10ms", 10_000, 1_000_000),
            cell("100ms", 100_000, 100_000),
            Self { task: Task::Http, ..cell("http", 0, 2_000_000) },
            Self { task: Task::HttpBatch, ..cell("http-batch", 0, 5_000_000) },
        ]
    }

    /// Whether its arms call the benchmark's own server, `bench-processor`.
    pub(crate) fn calls(&self) -> bool {
        self.task != Task::Wait
    }

    /// What it is about, for people.
    pub(crate) fn title(&self) -> String {
        match (self.task, self.work.as_millis()) {
            (Task::Http, _) => "A server on this machine, one record a call".to_owned(),
            (Task::HttpBatch, _) => "A server on this machine, batches".to_owned(),
            (Task::Wait, 0) => "No work".to_owned(),
            (Task::Wait, millis) => format!("{millis} ms a record"),
        }
    }

    /// Records per second that key order allows: every key busy all the time. `None` for no work.
    pub(crate) fn ceiling(&self) -> Option<f64> {
        (!self.work.is_zero()).then(|| KEYS as f64 / self.work.as_secs_f64())
    }
}
