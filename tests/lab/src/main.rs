//! `lab`: brings up the real thing on this machine, and takes it down again without a trace.

mod cli;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    cli::run(cli::Cli::parse()).unwrap_or_else(|error| {
        // Nobody reads a closed stderr; the exit code says the same.
        let _ = std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("lab: {error}\n"));
        ExitCode::FAILURE
    })
}
