//! Running other programs, with their words in the error when they fail.

use std::process::{Command, Output, Stdio};

use crate::error::{Context, Error, Result};

/// Runs a program to its end and gives what it printed to stdout; what it printed at all is in the error if it fails.
pub(crate) fn run(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output().during(|| format!("starting {}", words(command)))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(failure(command, &output))
}

/// Whether a program ends well; what it prints is nobody's concern.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// A program for a step of minutes that ends with this one, even if this one is killed: a build must not go on unseen.
pub(crate) fn tied(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--", program]);
    command
}

fn failure(command: &Command, output: &Output) -> Error {
    let printed = [&output.stdout[..], &output.stderr[..]].concat();
    let text = String::from_utf8_lossy(&printed);
    let lines: Vec<&str> = text.lines().collect();
    Error::Command {
        command: words(command),
        status: output.status.to_string(),
        output: lines[lines.len().saturating_sub(20)..].join("\n"),
    }
}

fn words(command: &Command) -> String {
    let arguments = command.get_args().map(|argument| argument.to_string_lossy().into_owned());
    std::iter::once(command.get_program().to_string_lossy().into_owned()).chain(arguments).collect::<Vec<_>>().join(" ")
}
