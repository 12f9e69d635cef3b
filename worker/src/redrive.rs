//! `penstock-worker redrive`: sends dead letters back to the partitions that they came from.
//!
//! Letters are read in their order and copied in it, batch by batch: a batch is confirmed, then the position in the dead-letter topic is
//! committed for the group `<groupId>.redrive`. A run that dies in between copies a batch again; what a worker does with the copies of a
//! parked key then is the engine's business (`penstock_engine::seam::Redriven`), and none comes out of order.

mod letter;
mod progress;
mod run;
mod sent;

use std::fmt::Write as _;
use std::io::Write as _;

use penstock_kafka::memory::{Load, RECORD_BYTES, fetch_buffers};
use penstock_kafka::settings::{ConsumerSettings, GroupProtocol};
use penstock_kafka::wake;

use crate::cli::Redrive;
use crate::config::Config;
use crate::failure::{Failure, INVALID_PIPELINE, WORKER_ERROR};
use run::{Clients, Run};

/// Memory that librdkafka may fill with letters.
const BUFFER_BYTES: u64 = 32 << 20;

/// What a run did, or would do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Summary {
    /// Letters copied.
    sent: u64,
    /// Letters of other keys, or beyond the limit: the next run finds them.
    left: u64,
    /// Records without the headers of a dead letter, or of a topic that the pipeline does not read. They stay where they are.
    foreign: u64,
    /// Letters that were dropped here: discarded, and no worker waits for them.
    dropped: u64,
    /// Letters that could not go back, and stay.
    refused: u64,
}

/// Sends the letters of a pipeline back that the arguments choose, and says how many.
///
/// # Errors
/// What is wrong with the pipeline, or what the cluster said.
pub(crate) fn redrive(args: &Redrive, config: &Config) -> Result<(), Failure> {
    let pipeline = &config.pipeline;
    let Some(dead_letter) = &pipeline.delivery.dead_letter else {
        let message = "spec.delivery.onExhausted: neither DeadLetter nor ParkKey, so there are no dead letters";
        return Err(Failure::new(INVALID_PIPELINE, message));
    };
    let group = format!("{}.redrive", pipeline.source.group_id);
    let connection = config.connection(args.secret_dir.as_deref(), &[])?;
    let client_id = penstock_crds::names::client_id(&pipeline.identity.uid);
    let load = Load { partitions: 1, brokers: 1, record_bytes: RECORD_BYTES };
    let settings = ConsumerSettings {
        group_id: group.clone(),
        protocol: GroupProtocol::Classic, // never joined: partitions are assigned by hand
        client_id: client_id.clone(),
        read_committed: true,
        buffers: fetch_buffers(BUFFER_BYTES, &load),
        ..config.consumer(BUFFER_BYTES, &load)
    };
    let no_thread = |error: std::io::Error| Failure::new(WORKER_ERROR, error.to_string());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(no_thread)?;
    let (sleeper, waker) = wake::pair();
    let clients = Clients::new(&connection, &settings, &client_id, &waker)?;
    let sources = pipeline.topic_names().map(str::to_owned).collect();
    let mut run = Run::new(args, clients, sleeper, runtime, group, sources);
    let ended = run.all(&dead_letter.topic);
    if ended.is_ok() || run.summary != Summary::default() {
        run.summary.tell(args);
    }
    ended
}

/// One line for a person. Whether they can read it is their business.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

impl Summary {
    /// What `--limit` counts.
    const fn taken(&self) -> u64 {
        self.sent + self.dropped + self.refused
    }

    /// The last line.
    fn tell(&self, args: &Redrive) {
        let verb = if args.dry_run { "would be sent back" } else { "sent back" };
        let mut line = format!("{} letters {verb}, {} left", self.sent, self.left);
        if self.dropped > 0 {
            let _never_fails = write!(line, ", {} dropped", self.dropped);
        }
        if self.refused > 0 {
            let _never_fails = write!(line, ", {} cannot be sent back", self.refused);
        }
        if self.foreign > 0 {
            let _never_fails = write!(line, ", {} records are no dead letters of this pipeline", self.foreign);
        }
        if self.sent > 0 && !args.dry_run {
            line += ". Records that fail again, or arrived for a parked key meanwhile, are dead letters anew: run again until nothing is sent";
        }
        say(&line);
    }
}
