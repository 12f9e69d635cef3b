//! The whole program, from the command line to an exit code: Penstock's own worker, and those that users compile.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser as _;

use crate::cli::{Cli, Command, Redrive, Run};
use crate::config::{Config, invalid};
use crate::handler::{BatchHandler, BlockingHandler, Handler, QuickHandler};
use crate::processor::{Batches, Blocking, Each, Embedded, Quick};
use crate::worker::{self, Ended};

/// For the whole process, librdkafka and handlers included: the reason is in the workspace's Cargo.toml.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The command line or the pipeline is wrong.
const EXIT_WRONG: u8 = 2;
/// Stopped before everything was finished.
const EXIT_CUT_SHORT: u8 = 3;

/// A worker, perhaps with a handler compiled in.
#[derive(Debug)]
pub struct Program {
    handler: Option<Arc<dyn Embedded>>,
}

impl Program {
    /// Penstock's own worker: calls processors over HTTP, or discards.
    pub fn without_handler() -> Self {
        Self { handler: None }
    }

    /// A worker that gives each record to `handler`.
    pub fn each(handler: impl Handler) -> Self {
        Self { handler: Some(Arc::new(Each(Arc::new(handler)))) }
    }

    /// A worker that gives batches to `handler`.
    pub fn batches(handler: impl BatchHandler) -> Self {
        Self { handler: Some(Arc::new(Batches(Arc::new(handler)))) }
    }

    /// A worker that gives each record to `handler`, on a thread that may block.
    pub fn blocking(handler: impl BlockingHandler) -> Self {
        Self { handler: Some(Arc::new(Blocking(Arc::new(handler)))) }
    }

    /// A worker that gives each record to `handler`, on the thread that reads.
    pub fn quick(handler: impl QuickHandler) -> Self {
        Self { handler: Some(Arc::new(Quick(Arc::new(handler)))) }
    }

    /// Does what the command line says. Takes over logging and the signals SIGTERM and SIGINT.
    pub fn main(self) -> ExitCode {
        let cli = Cli::parse();
        crate::logs::init(cli.log_format);
        match cli.command {
            Command::Check { pipeline } => check(&pipeline),
            Command::Run(args) => self.run(&args),
            Command::Redrive(args) => redrive(&args),
        }
    }

    fn run(self, args: &Run) -> ExitCode {
        let config = match Config::read(&args.pipeline) {
            Ok(config) => config,
            Err(violations) => {
                let failure = invalid(&violations);
                failure.report(&args.termination_log);
                tracing::error!(reason = failure.reason, "{}", failure.message);
                return ExitCode::from(EXIT_WRONG);
            }
        };
        match worker::run(args, &config, self.handler) {
            Ok(Ended::InOrder) => ExitCode::SUCCESS,
            Ok(Ended::CutShort) => ExitCode::from(EXIT_CUT_SHORT),
            Err(failure) => {
                failure.report(&args.termination_log);
                tracing::error!(reason = failure.reason, "{}", failure.message);
                ExitCode::FAILURE
            }
        }
    }
}

fn redrive(args: &Redrive) -> ExitCode {
    let config = match Config::read(&args.pipeline) {
        Ok(config) => config,
        Err(violations) => {
            tracing::error!("{}", invalid(&violations).message);
            return ExitCode::from(EXIT_WRONG);
        }
    };
    match crate::redrive::redrive(args, &config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            tracing::error!(reason = failure.reason, "{}", failure.message);
            ExitCode::FAILURE
        }
    }
}

fn check(pipeline: &Path) -> ExitCode {
    let (text, code) = match Config::read(pipeline) {
        Ok(config) => (format!("{} is right\n", config.pipeline_name()), ExitCode::SUCCESS),
        Err(violations) => {
            let lines: Vec<String> = violations.iter().map(ToString::to_string).collect();
            (lines.join("\n") + "\n", ExitCode::from(EXIT_WRONG))
        }
    };
    // Whoever closed the pipe has read enough.
    let _closed = std::io::stdout().write_all(text.as_bytes());
    code
}
