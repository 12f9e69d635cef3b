//! The one thing of a lab that no namespace takes away: the cgroups that kubelet makes for pods.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::error::{Context, Error, Result};

const ROOT: &str = "/sys/fs/cgroup";

/// The dead of a killed PID namespace leave their cgroups a moment after they have ended.
const PATIENCE: Duration = Duration::from_secs(10);

/// Makes the cgroup below which kubelet puts all pods. It wants to find it in every hierarchy.
pub(crate) fn make(name: &str) -> Result<()> {
    for hierarchy in hierarchies()? {
        let folder = hierarchy.join(name);
        fs::create_dir_all(&folder).during(|| format!("making the cgroup {}", folder.display()))?;
        for parent in [&hierarchy, &folder] {
            pass_on_controllers(parent);
        }
        // In cgroup v1 a new cpuset is empty and would admit no process.
        for file in ["cpuset.cpus", "cpuset.mems"] {
            if let Ok(value) = fs::read(hierarchy.join(file)) {
                let target = folder.join(file);
                fs::write(&target, value).during(|| format!("writing {}", target.display()))?;
            }
        }
    }
    Ok(())
}

/// In cgroup v2 a group's controllers reach its children only if it says so; in v1 there is no such file. What cannot be passed on, kubelet
/// names itself if it needs it.
fn pass_on_controllers(folder: &Path) {
    let controllers = fs::read_to_string(folder.join("cgroup.controllers")).unwrap_or_default();
    for controller in controllers.split_whitespace() {
        let _ = fs::write(folder.join("cgroup.subtree_control"), format!("+{controller}"));
    }
}

/// Removes the cgroup and all below it, once no process is left in them.
pub(crate) fn remove(name: &str) -> Result<()> {
    let end = Instant::now() + PATIENCE;
    for hierarchy in hierarchies()? {
        let folder = hierarchy.join(name);
        while let Err(error) = remove_below(&folder) {
            if Instant::now() > end {
                return Err(Error::Io { what: format!("removing the cgroup {}", folder.display()), source: error });
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    Ok(())
}

/// Where the cgroup exists.
pub(crate) fn remains(name: &str) -> Result<Vec<PathBuf>> {
    Ok(hierarchies()?.into_iter().map(|hierarchy| hierarchy.join(name)).filter(|folder| folder.exists()).collect())
}

/// Roots of all mounted hierarchies: one with cgroup v2, one per controller with v1, both on hybrid systems.
fn hierarchies() -> Result<Vec<PathBuf>> {
    let root = Path::new(ROOT);
    if root.join("cgroup.controllers").exists() {
        return Ok(vec![root.to_owned()]);
    }
    let entries = fs::read_dir(root).during(|| format!("reading {ROOT}"))?;
    // Links such as cpu -> cpu,cpuacct lead to hierarchies that are listed by their own name too.
    let folders =
        entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path());
    let mut found: Vec<PathBuf> = folders.filter(|folder| folder.join("cgroup.procs").exists()).collect();
    found.sort();
    Ok(found)
}

/// A cgroup folder is removed by rmdir alone, children first; the files in it are the kernel's.
fn remove_below(folder: &Path) -> std::io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_below(&entry.path())?;
        }
    }
    match fs::remove_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
