//! Penstock's worker as an arm: writes a pipeline and becomes `penstock-worker`, or, where a record makes work or with `HANDLER=quick` or
//! `HANDLER=async`, which make none, `bench-handler`.
//! `bench-worker BOOTSTRAP TOPIC GROUP MICROS [CONCURRENCY [SERVER [BATCH]]]`: it calls the server at that port or, if it is a path, at that
//! Unix socket, with a batch (the JSON of `delivery.batch`) by batches. With `OUTPUT=TOPIC` each record gives one for that topic, in the order of its partition, with
//! `PUT_OUT=batches` a lane's next ones in one call, with `PUT_OUT=each` one record a call.
//!
//! It says `first` before it begins, so that joining the group and asking for offsets count against it.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use serde_json::json;

type Failure = Box<dyn std::error::Error>;

/// Calls in progress unless given: all of the topic's keys.
const CONCURRENCY: u32 = 1024;

#[expect(clippy::print_stdout, reason = "the harness reads this word")]
fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [bootstrap, topic, group, micros, more @ ..] = arguments.as_slice() else {
        return Err("usage: bench-worker BOOTSTRAP TOPIC GROUP MICROS [CONCURRENCY [SERVER [BATCH]]]".into());
    };
    let (program, processor) = match (more.get(1), micros.as_str()) {
        (Some(socket), _) if socket.starts_with('/') => {
            ("penstock-worker", json!({"type": "container", "container": {"image": "bench", "socket": socket}}))
        }
        (Some(port), _) => {
            ("penstock-worker", json!({"type": "http", "http": {"url": format!("http://127.0.0.1:{port}/")}}))
        }
        (None, "0") if ["OUTPUT", "HANDLER"].iter().all(|name| std::env::var_os(name).is_none()) => {
            ("penstock-worker", json!({"type": "discard"}))
        }
        (None, _) => ("bench-handler", json!({"type": "embedded"})),
    };
    let concurrency: u32 = more.first().map_or(Ok(CONCURRENCY), |text| text.parse())?;
    let mut delivery = json!({"ordering": "Key", "concurrency": concurrency, "onExhausted": "Discard"});
    if let Some(batch) = more.get(2) {
        delivery["batch"] = serde_json::from_str(batch)?;
    }
    let output = std::env::var("OUTPUT").ok();
    if output.is_some() {
        delivery["ordering"] = json!("Partition");
        if std::env::var("PUT_OUT").is_ok_and(|calls| calls == "batches") {
            delivery["batch"] = json!({"maxRecords": 500, "sameLane": true});
        }
    }
    let mut pipeline = json!({
        "apiVersion": "penstock.dev/v1alpha1",
        "kind": "ConsumerPipeline",
        "metadata": {"name": "bench"},
        "spec": {
            "kafka": {"bootstrapServers": bootstrap},
            "source": {"topics": [{"name": topic}], "groupId": group},
            "processor": processor,
            "delivery": delivery,
            "worker": {"image": "bench"},
        },
    });
    if let Some(topic) = &output {
        pipeline["spec"]["output"] = json!({"topic": topic});
    }
    let file = std::env::temp_dir().join(format!("{group}.yaml"));
    std::fs::write(&file, pipeline.to_string())?;
    let program = std::env::current_exe()?.with_file_name(program);
    println!("first");
    let mut worker = Command::new(program);
    worker.arg("run").arg(file).args(["--http", "127.0.0.1:0"]).env("WORK_MICROS", micros);
    Err(worker.exec().into())
}
