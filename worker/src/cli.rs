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
