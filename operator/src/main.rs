//! The program: see `penstock-operator --help`.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::Parser as _;
use penstock_operator::args::{Arguments, Command, LogFormat, Run};
use penstock_operator::run::run;
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> ExitCode {
    let Arguments { command, run: flags } = Arguments::parse();
    let result = match command {
        Some(Command::Crd) => print_crd(),
        Some(Command::Run(flags)) => start(*flags).await,
        None => start(flags).await,
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("penstock-operator: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn start(flags: Run) -> Result<(), Box<dyn std::error::Error>> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match flags.log_format {
        LogFormat::Text => log.with_ansi(std::io::stderr().is_terminal()).init(),
        LogFormat::Json => log.json().init(),
    }
    run(flags).await?;
    Ok(())
}

#[expect(clippy::print_stdout, reason = "printing is what was asked for")]
fn print_crd() -> Result<(), Box<dyn std::error::Error>> {
    print!("{}", penstock_crds::schema::manifest()?);
    Ok(())
}
