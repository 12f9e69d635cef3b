//! Penstock's worker as an arm: writes a pipeline and becomes `penstock-worker`. `bench-worker BOOTSTRAP TOPIC GROUP`.
//!
//! It says `first` before it begins, so that joining the group and asking for offsets count against it.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

type Failure = Box<dyn std::error::Error>;

#[expect(clippy::print_stdout, reason = "the harness reads this word")]
fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [bootstrap, topic, group, ..] = arguments.as_slice() else {
        return Err("usage: bench-worker BOOTSTRAP TOPIC GROUP".into());
    };
    let pipeline = serde_json::json!({
        "apiVersion": "penstock.dev/v1alpha1",
        "kind": "ConsumerPipeline",
        "metadata": {"name": "bench"},
        "spec": {
            "kafka": {"bootstrapServers": bootstrap},
            "source": {"topics": [{"name": topic}], "groupId": group},
            "processor": {"type": "discard"},
            "delivery": {"ordering": "Key", "onExhausted": "Discard"},
        },
    });
    let file = std::env::temp_dir().join(format!("{group}.yaml"));
    std::fs::write(&file, pipeline.to_string())?;
    let worker = std::env::current_exe()?.with_file_name("penstock-worker");
    println!("first");
    Err(Command::new(worker).arg("run").arg(file).args(["--http", "127.0.0.1:0"]).exec().into())
}
