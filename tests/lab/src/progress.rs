//! What the lab is doing, on stderr, so that stdout stays free for what a command answers.

use std::io::Write;
use std::time::Instant;

/// Tells a person what goes on, each line with the seconds since the command began.
#[derive(Debug)]
pub struct Progress {
    start: Instant,
    quiet: bool,
}

impl Progress {
    /// Prints to stderr.
    pub fn new() -> Self {
        Self { start: Instant::now(), quiet: false }
    }

    /// Prints nothing: for tests that bring up a lab of their own.
    pub fn quiet() -> Self {
        Self { start: Instant::now(), quiet: true }
    }

    /// One line of progress.
    pub fn say(&self, line: impl AsRef<str>) {
        if !self.quiet {
            // A closed stderr must not stop the lab from being taken down.
            let _ = writeln!(std::io::stderr(), "[{:6.1}s] {}", self.start.elapsed().as_secs_f64(), line.as_ref());
        }
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}
