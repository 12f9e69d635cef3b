//! `penstock-worker`.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser as _;
use penstock_worker::cli::{Cli, Command, Run};
use penstock_worker::config::{Config, invalid};
use penstock_worker::worker::{self, Ended};

/// The pipeline or the command line is wrong.
const EXIT_WRONG: u8 = 2;
/// Stopped before everything was finished.
const EXIT_CUT_SHORT: u8 = 3;

fn main() -> ExitCode {
    let cli = Cli::parse();
    penstock_worker::init_logs(cli.log_format);
    match cli.command {
        Command::Check { pipeline } => check(&pipeline),
        Command::Run(args) => run(&args),
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

fn run(args: &Run) -> ExitCode {
    let config = match Config::read(&args.pipeline) {
        Ok(config) => config,
        Err(violations) => {
            let failure = invalid(&violations);
            failure.report(&args.termination_log);
            tracing::error!(reason = failure.reason, "{}", failure.message);
            return ExitCode::from(EXIT_WRONG);
        }
    };
    match worker::run(args, &config) {
        Ok(Ended::InOrder) => ExitCode::SUCCESS,
        Ok(Ended::CutShort) => ExitCode::from(EXIT_CUT_SHORT),
        Err(failure) => {
            failure.report(&args.termination_log);
            tracing::error!(reason = failure.reason, "{}", failure.message);
            ExitCode::FAILURE
        }
    }
}
