//! Running other programs.

use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::failure::{Context as _, Failure, Result};

/// Runs a program to its end and gives what it printed.
///
/// # Errors
/// When it cannot be started or does not end well; what it printed is in the failure.
pub fn run(command: &mut Command) -> Result<String> {
    run_with_input(command, "")
}

/// Runs a program to its end, with that text as its standard input.
///
/// # Errors
/// As [`run`].
pub fn run_with_input(command: &mut Command, input: &str) -> Result<String> {
    let words = words(command);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context(format!("starting {words}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that does not read its input has closed it; how it ends tells whether that was right.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().context(format!("waiting for {words}"))?;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(stdout);
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    Err(Failure::new(format!("{words} ({}):\n{stdout}{stderr}", output.status)))
}

fn words(command: &Command) -> String {
    let arguments = command.get_args().map(|argument| argument.to_string_lossy().into_owned());
    let all = std::iter::once(command.get_program().to_string_lossy().into_owned()).chain(arguments);
    all.collect::<Vec<_>>().join(" ")
}
