//! The commands of `lab`.

mod images;
mod kafka;
mod status;

use std::ffi::OsString;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use clap::{Parser, Subcommand};
use penstock_lab::{Dir, Error, Lab, Progress, Result, Shape};

/// A real Kubernetes cluster (etcd, API server, controllers, scheduler, kubelet with containerd, kube-proxy) and a real Kafka on this
/// machine, in namespaces of their own.
#[derive(Debug, Parser)]
#[command(name = "lab", version, max_term_width = 120)]
pub(crate) struct Cli {
    /// The lab's folder; labs in different folders run side by side. [default: $LAB_DIR, else ~/.cache/penstock/lab]
    #[arg(long, global = true)]
    dir: Option<PathBuf>,
    #[command(subcommand)]
    command: Commands,
}

#[derive(Debug, Subcommand)]
enum Commands {
    /// Bring the lab up and wait until it is ready; quick if it is up already
    Up {
        /// Kafka nodes, 1 to 5; 3 survive the loss of one [default: what runs, else 1]
        #[arg(long)]
        brokers: Option<u8>,
        /// No Kubernetes: for measurements that nothing else is to disturb [brokers: 1, unless said]
        #[arg(long)]
        brokers_only: bool,
    },
    /// End everything in the lab and remove what it left
    Down,
    /// Show what runs; exit code 1 unless all of it is well
    Status,
    /// Print the lab's variables for a shell: eval "$(lab env)"
    Env,
    /// Run the lab's kubectl as cluster administrator
    #[command(disable_help_flag = true)]
    Kubectl(Passed),
    /// Run the lab's Helm as cluster administrator
    #[command(disable_help_flag = true)]
    Helm(Passed),
    /// Run a program of this machine in the lab's network, with KUBECONFIG set: lab run -- cargo test
    Run(Passed),
    /// Run a program in all of the lab's namespaces: it sees the lab's processes and mounts, and dies with the lab
    Exec(Passed),
    /// Topics, records and groups of the lab's Kafka, and faults for its brokers
    #[command(subcommand)]
    Kafka(kafka::KafkaCommand),
    /// Make an image of a few files and put it into the lab's containerd
    LoadImage(images::LoadImage),
    /// Build Penstock's own images from its release binaries and put them into the lab's containerd
    Images(images::Images),
    /// The lab's first process; started by `up`
    #[command(hide = true)]
    Init,
}

/// Everything after the command's name.
#[derive(Debug, clap::Args)]
struct Passed {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

/// Carries out a command.
pub(crate) fn run(cli: Cli) -> Result<ExitCode> {
    let dir = Dir::resolve(cli.dir)?;
    let progress = Progress::new();
    match cli.command {
        Commands::Up { brokers, brokers_only } => {
            let shape = Shape { brokers: brokers.unwrap_or(1), kubernetes: !brokers_only };
            Lab::up(&dir, (brokers.is_some() || brokers_only).then_some(shape), &progress).map(drop)?;
        }
        Commands::Down => penstock_lab::down(&dir, &progress)?,
        Commands::Status => return status::show(&dir),
        Commands::Env => {
            for (name, value) in Lab::open(&dir)?.environment() {
                print(&format!("export {name}='{value}'"))?;
            }
        }
        Commands::Kubectl(passed) => return become_program(Lab::open(&dir)?.command("kubectl"), &passed.arguments),
        Commands::Helm(passed) => return become_program(Lab::open(&dir)?.command("helm"), &passed.arguments),
        Commands::Run(passed) => {
            let (program, arguments) = split(&passed.arguments)?;
            return become_program(Lab::open(&dir)?.command(program), arguments);
        }
        Commands::Exec(passed) => {
            let (program, arguments) = split(&passed.arguments)?;
            return become_program(Lab::open(&dir)?.command_in_node(program), arguments);
        }
        Commands::Kafka(command) => kafka::run(&Lab::open(&dir)?, command)?,
        Commands::LoadImage(command) => images::load(&Lab::open(&dir)?, command, &progress)?,
        Commands::Images(command) => images::build(&Lab::open(&dir)?, &command, &progress)?,
        Commands::Init => penstock_lab::run_init(&dir)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn split(arguments: &[OsString]) -> Result<(&OsString, &[OsString])> {
    arguments.split_first().ok_or_else(|| Error::Conflict("which program? lab run -- PROGRAM ARGUMENTS".to_owned()))
}

/// Replaces this process, so that signals, exit code and terminal are the program's own.
fn become_program(mut command: Command, arguments: &[OsString]) -> Result<ExitCode> {
    let source = command.args(arguments).exec();
    Err(Error::Io { what: "starting nsenter (of util-linux)".to_owned(), source })
}

/// One line of an answer.
fn print(line: &str) -> Result<()> {
    writeln!(std::io::stdout(), "{line}").map_err(|source| Error::Io { what: "printing".to_owned(), source })
}
