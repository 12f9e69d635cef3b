//! A librdkafka poll loop that does nothing with its records: the ceiling. `bench-raw BOOTSTRAP TOPIC GROUP RECORDS`.
//!
//! It says `first` before it begins, as Penstock's arm does: joining the group counts for both.

use std::time::Duration;

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};

/// As in the worker, for librdkafka allocates on one thread what the loop frees on another.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Failure = Box<dyn std::error::Error>;

#[expect(clippy::print_stdout, reason = "the harness reads these two words")]
fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [bootstrap, topic, group, records] = arguments.as_slice() else {
        return Err("usage: bench-raw BOOTSTRAP TOPIC GROUP RECORDS".into());
    };
    let mut left: u64 = records.parse()?;
    println!("first");
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", group)
        .set("group.protocol", "consumer")
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "false")
        .set("fetch.queue.backoff.ms", "2")
        .set("queued.min.messages", "100000")
        .set("fetch.wait.max.ms", "100")
        .create()?;
    consumer.subscribe(&[topic])?;
    while left > 0 {
        if let Some(message) = consumer.poll(Duration::from_millis(100)) {
            message?;
            left -= 1;
        }
    }
    println!("done");
    Ok(())
}
