//! Waiting for something to become true, with a limit.

use std::time::{Duration, Instant};

use crate::dir::Dir;
use crate::error::{Error, Result};

/// Between two looks. Each look may cost a process, and the machine is busy starting what is waited for.
const INTERVAL: Duration = Duration::from_millis(100);

/// Looks until `ready` says yes; the error shows the end of the component's log.
pub(crate) fn until(
    component: &str,
    limit: Duration,
    dir: &Dir,
    mut ready: impl FnMut() -> Result<bool>,
) -> Result<()> {
    let end = Instant::now() + limit;
    while !ready()? {
        if Instant::now() > end {
            return Err(Error::NotReady { what: component.to_owned(), limit, log: dir.log_tail(component) });
        }
        std::thread::sleep(INTERVAL);
    }
    Ok(())
}
