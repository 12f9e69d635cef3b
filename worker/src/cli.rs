//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

/// Penstock's worker: reads a pipeline's topics, calls its processor for each record, keeps every record safe.
#[derive(Debug, Parser)]
#[command(
    name = "penstock-worker",
    version,
    after_help = "\
A pipeline file is the ConsumerPipeline you would give to kubectl. The smallest one:

  apiVersion: penstock.dev/v1alpha1
  kind: ConsumerPipeline
  metadata: {name: orders}
  spec:
    kafka: {bootstrapServers: 'localhost:9092'}
    source: {topics: [{name: orders}]}
    processor: {type: http, http: {url: 'http://localhost:8080/'}}

Try it without a processor of your own: processor: {type: discard}.
What a processor is sent and may answer: docs/processor-contract.md.
SIGTERM or Ctrl-C finishes the calls in progress, commits and leaves the group.

Exit codes: 0 done in order · 1 failed, see the log and the termination message · 2 the pipeline or the command line is wrong ·
3 stopped before everything was finished (nothing is lost: what was unfinished is done again)."
)]
pub struct Cli {
    /// Log lines as text or as JSON objects; JSON unless a terminal reads them.
    #[arg(long, global = true, env = "PENSTOCK_LOG_FORMAT", value_enum)]
    pub log_format: Option<LogFormat>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a pipeline until told to stop
    Run(Run),
    /// Say what is wrong with a pipeline, and what would be right; exit 2 if anything is
    Check {
        /// The pipeline file
        pipeline: PathBuf,
    },
    /// Send dead letters back to the topic that they came from
    ///
    /// Key, value and the record's own headers are copied byte for byte to the partition that each letter names, in the order of the
    /// dead-letter topic; the copy has the present time, for retention goes by it. Everybody who reads the topic sees the copies.
    ///
    /// What was sent back is remembered in the consumer group <groupId>.redrive, so that the next run goes on behind it. A run ends
    /// where the dead-letter topic ended when it began.
    Redrive(Redrive),
}

/// Send dead letters back to the topic that they came from.
#[derive(Debug, clap::Args)]
#[command(
    group(clap::ArgGroup::new("which").required(true).args(["key", "all"])),
    after_help = "\
First look:              penstock-worker redrive pipeline.yaml --all --dry-run
Then, say, ten a second: penstock-worker redrive pipeline.yaml --all --rate 10

With onExhausted: ParkKey a key stays parked until each of its letters was acknowledged, in
order. Records that arrive for it meanwhile are letters, too, so run it again until it says
'0 letters sent back'. Nothing gets out of order, whatever you send.

The record at the head of a parked key will never succeed? Drop it, then send those behind it:
  penstock-worker redrive pipeline.yaml --key K --discard --limit 1
  penstock-worker redrive pipeline.yaml --key K
The letters before it are gone (retention took them)? --past-gaps goes on without them.

Run one at a time for a pipeline. It needs these rights: Read on the dead-letter topic and on
the group <groupId>.redrive, Write on the source topics, Describe on all of them."
)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub struct Redrive {
    /// The pipeline file
    pub pipeline: PathBuf,
    /// Directory with the keys of the Secret that spec.kafka.secretRef names, one file each
    #[arg(long)]
    pub secret_dir: Option<PathBuf>,
    /// Send the letters with this key, as text
    #[arg(long)]
    pub key: Option<String>,
    /// Send all letters
    #[arg(long)]
    pub all: bool,
    /// Say what would be sent, and send nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Send so many letters at most
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: Option<u64>,
    /// Send so many letters a second at most
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub rate: Option<u32>,
    /// Let workers pass the letters over instead of processing them; those that no parked key waits for are not sent at all
    #[arg(long)]
    pub discard: bool,
    /// Let workers give up letters of a parked key that are missing before these
    #[arg(long)]
    pub past_gaps: bool,
}

/// Run a pipeline until told to stop.
#[derive(Debug, clap::Args)]
pub struct Run {
    /// The pipeline file
    pub pipeline: PathBuf,
    /// Directory with the keys of the Secret that spec.kafka.secretRef names, one file each
    #[arg(long)]
    pub secret_dir: Option<PathBuf>,
    /// Where /metrics, /livez and /readyz are served
    #[arg(long, default_value = "0.0.0.0:9790")]
    pub http: SocketAddr,
    /// Memory that this process may use, bytes: records, buffers and the program itself
    #[arg(long, env = "PENSTOCK_MEMORY_BYTES", default_value_t = 256 << 20)]
    pub memory_bytes: u64,
    /// Zone that this worker runs in: where brokers know their racks, it reads from replicas of the same name (KIP-392)
    #[arg(long, env = "PENSTOCK_RACK")]
    pub rack: Option<String>,
    /// Where the reason of a failure is written for Kubernetes, if the file can be written
    #[arg(long, default_value = "/dev/termination-log")]
    pub termination_log: PathBuf,
}

impl Run {
    /// The zone. On a node without one the variable is there, and empty.
    pub fn zone(&self) -> Option<String> {
        self.rack.clone().filter(|rack| !rack.is_empty())
    }
}

/// Form of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines.
    Json,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
