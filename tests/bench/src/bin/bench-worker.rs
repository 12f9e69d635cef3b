//! Penstock's worker as an arm: writes a pipeline and becomes `penstock-worker`, or, where a record makes work, `bench-handler`.
//! `bench-worker BOOTSTRAP TOPIC GROUP MICROS [CONCURRENCY]`.
//!
//! It says `first` before it begins, so that joining the group and asking for offsets count against it.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

type Failure = Box<dyn std::error::Error>;

/// Calls in progress unless given: all of the topic's keys.
const CONCURRENCY: u32 = 1024;

#[expect(clippy::print_stdout, reason = "the harness reads this word")]
fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [bootstrap, topic, group, micros, concurrency @ ..] = arguments.as_slice() else {
        return Err("usage: bench-worker BOOTSTRAP TOPIC GROUP MICROS [CONCURRENCY]".into());
    };
    let (program, processor) = match micros.as_str() {
        "0" => ("penstock-worker", "discard"),
        _ => ("bench-handler", "embedded"),
    };
    let concurrency = concurrency.first().map_or(Ok(CONCURRENCY), |text| text.parse())?;
    let pipeline = serde_json::json!({
        "apiVersion": "penstock.dev/v1alpha1",
        "kind": "ConsumerPipeline",
        "metadata": {"name": "bench"},
        "spec": {
            "kafka": {"bootstrapServers": bootstrap},
            "source": {"topics": [{"name": topic}], "groupId": group},
            "processor": {"type": processor},
            "delivery": {"ordering": "Key", "concurrency": concurrency, "onExhausted": "Discard"},
            "worker": {"image": "bench"},
        },
    });
    let file = std::env::temp_dir().join(format!("{group}.yaml"));
    std::fs::write(&file, pipeline.to_string())?;
    let program = std::env::current_exe()?.with_file_name(program);
    println!("first");
    let mut worker = Command::new(program);
    Err(worker.arg("run").arg(file).args(["--http", "127.0.0.1:0"]).env("WORK_MICROS", micros).exec().into())
}
