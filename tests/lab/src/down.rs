//! Taking a lab down, also one whose `up` was killed or whose init has died.

use std::fs;

use crate::cgroup;
use crate::dir::{Dir, remove_tree};
use crate::error::{Context, Result};
use crate::init::Init;
use crate::progress::Progress;

/// Ends everything that runs in the lab and removes what it left; with nothing there, does nothing.
pub fn down(dir: &Dir, progress: &Progress) -> Result<()> {
    if !dir.is_claimed() {
        progress.say(format!("nothing is up in {}", dir.path().display()));
        return Ok(());
    }
    let _lock = dir.lock(progress)?;
    match Init::find(dir)? {
        Some(init) => {
            progress.say(format!(
                "ending the lab's init (PID {}) and with it all processes, mounts and interfaces",
                init.pid()
            ));
            init.end()?;
        }
        None => progress.say(format!("nothing is running in {}", dir.path().display())),
    }
    sweep(dir, progress)?;
    progress.say(format!("down; logs are kept in {}", dir.join("log").display()));
    Ok(())
}

/// Removes what a lab without an init has left: its cgroups and its files.
pub(crate) fn sweep(dir: &Dir, progress: &Progress) -> Result<()> {
    if !cgroup::remains(&dir.cgroup())?.is_empty() {
        progress.say(format!("removing the cgroup {}", dir.cgroup()));
        cgroup::remove(&dir.cgroup())?;
    }
    let entries = fs::read_dir(dir.path()).during(|| format!("reading {}", dir.path().display()))?;
    for entry in entries.flatten().filter(|entry| !Dir::is_kept(&entry.file_name())) {
        remove_tree(&entry.path())?;
    }
    Ok(())
}
