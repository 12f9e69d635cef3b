//! Waiting for something to become true, with a deadline; never for time to pass.

use std::time::{Duration, Instant};

use crate::failure::{Failure, Result};

/// Between two looks; most looks start a process.
const INTERVAL: Duration = Duration::from_millis(250);

/// Looks until `look` has an answer. `None` and failures mean "not yet".
///
/// # Errors
/// When the time is over; the last thing that stood in the way is in the failure.
pub fn until<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let start = Instant::now();
    loop {
        let last = match look() {
            Ok(Some(found)) => return Ok(found),
            Ok(None) => String::new(),
            Err(failure) => format!("; last: {failure}"),
        };
        if start.elapsed() > limit {
            return Err(Failure::new(format!("{what}: not within {}s{last}", limit.as_secs())));
        }
        std::thread::sleep(INTERVAL);
    }
}

/// Looks until `holds` says yes, and says what it saw when the time is over.
///
/// # Errors
/// As [`until`].
pub fn until_true(what: &str, limit: Duration, mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
    until(what, limit, || holds().map(|yes| yes.then_some(())))
}

/// Looks for a whole span of time and fails as soon as something that must stay true is not.
///
/// # Errors
/// What was seen when it was not true.
pub fn throughout(span: Duration, mut holds: impl FnMut() -> Result<()>) -> Result<()> {
    let start = Instant::now();
    while start.elapsed() < span {
        holds()?;
        std::thread::sleep(INTERVAL);
    }
    Ok(())
}
