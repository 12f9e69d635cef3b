//! Where a lab keeps what it runs with, and where all labs keep what they were built from.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::digest::sha256;
use crate::error::{Context, Error, Result};
use crate::progress::Progress;

/// A Unix socket's address holds 107 bytes, and the longest below the folder takes 34 of them.
const LONGEST_DIR: usize = 72;

/// The file that says that a folder is a lab's.
const MARK: &str = ".penstock-lab";
const LOCK: &str = "lock";

/// Folders that the lab covers with mounts of its own, so that nothing below them would be seen from inside.
const COVERED: [&str; 6] = ["/run", "/var/run", "/var/log", "/var/lib/kubelet", "/var/lib/cni", "/proc"];

/// The folder that holds everything one lab writes. Two labs with two folders do not know of each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dir(PathBuf);

impl Dir {
    /// The folder given, else that of `LAB_DIR`, else `lab` in the cache.
    pub fn resolve(given: Option<PathBuf>) -> Result<Self> {
        let path = match given.or_else(|| std::env::var_os("LAB_DIR").map(PathBuf::from)) {
            Some(path) => std::path::absolute(&path).during(|| format!("finding {}", path.display()))?,
            None => Cache::resolve()?.0.join("lab"),
        };
        Self::checked(path)
    }

    fn checked(path: PathBuf) -> Result<Self> {
        let refuse =
            |what: String| Err(Error::Missing { what, remedy: "choose another with --dir or LAB_DIR".to_owned() });
        if path.as_os_str().len() > LONGEST_DIR {
            return refuse(format!(
                "{} is longer than {LONGEST_DIR} bytes, too long for the sockets in it",
                path.display()
            ));
        }
        if let Some(covered) = COVERED.iter().find(|covered| path.starts_with(covered)) {
            return refuse(format!(
                "{} is below {covered}, which the lab covers with a mount of its own",
                path.display()
            ));
        }
        if path.to_str().is_none_or(|text| text.contains(|c: char| c.is_whitespace() || "\"'\\{}:,#@".contains(c))) {
            return refuse(format!("{} has characters that do not fit the components' configuration", path.display()));
        }
        Ok(Self(path))
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// A file or folder in it.
    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.join(name)
    }

    /// The administrator's kubeconfig. Its server is reachable from inside the lab's network only.
    pub fn kubeconfig(&self) -> PathBuf {
        self.join("admin.conf")
    }

    /// Where a component's output goes.
    pub fn log(&self, component: &str) -> PathBuf {
        self.join("log").join(component)
    }

    /// The end of a component's log, for an error message.
    pub(crate) fn log_tail(&self, component: &str) -> String {
        let path = self.log(component);
        let text = fs::read(&path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let tail = lines[lines.len().saturating_sub(12)..].join("\n");
        format!("{tail}\n(whole log: {})", path.display())
    }

    /// The cgroup below which this lab's pods live: one name per folder, so that labs do not share one.
    pub fn cgroup(&self) -> String {
        format!("penstock-lab-{}", &sha256(self.0.as_os_str().as_encoded_bytes())[..8])
    }

    /// Makes the folder the lab's own. A lab removes what is in its folder, so one that holds anything else is refused.
    pub(crate) fn claim(&self) -> Result<()> {
        let made = || format!("making {}", self.0.display());
        fs::create_dir_all(&self.0).during(made)?;
        if self.is_claimed() {
            return Ok(());
        }
        // Whoever claims it at the same moment puts the mark there first.
        if fs::read_dir(&self.0).during(made)?.next().is_some() && !self.is_claimed() {
            return Err(Error::Missing {
                what: format!("{} holds files that are not of a lab, and a lab clears its folder", self.0.display()),
                remedy: "choose a new or empty folder with --dir or LAB_DIR".to_owned(),
            });
        }
        fs::write(self.join(MARK), "This folder belongs to the `lab` program of Penstock, which clears it.\n")
            .during(made)
    }

    /// Whether the folder is a lab's.
    pub(crate) fn is_claimed(&self) -> bool {
        self.join(MARK).exists()
    }

    /// Holds off every other command that changes this lab. The kernel lets go when the holder ends, however it ends.
    pub(crate) fn lock(&self, progress: &Progress) -> Result<File> {
        lock(&self.join(LOCK), progress)
    }

    /// What stays in the folder of a lab that is down: why something failed is often asked afterwards.
    pub(crate) fn is_kept(name: &std::ffi::OsStr) -> bool {
        [MARK, LOCK, "log"].iter().any(|kept| name == *kept)
    }
}

/// The folder of what is built once and shared by all labs of this user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cache(PathBuf);

impl Cache {
    /// `PENSTOCK_CACHE`, else `penstock` in `XDG_CACHE_HOME`, else `~/.cache/penstock`.
    pub fn resolve() -> Result<Self> {
        let named = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        named("PENSTOCK_CACHE")
            .or_else(|| named("XDG_CACHE_HOME").map(|base| base.join("penstock")))
            .or_else(|| named("HOME").map(|home| home.join(".cache/penstock")))
            .filter(|path| path.is_absolute())
            .map(Self)
            .ok_or_else(|| Error::Missing {
                what: "no place for the cache".to_owned(),
                remedy: "set PENSTOCK_CACHE to an absolute path".to_owned(),
            })
    }

    /// Where the item of that name is, or would be.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The finished item of that name, made by `make` in a folder that gets the name only when all of it is there.
    pub(crate) fn item(
        &self,
        name: &str,
        progress: &Progress,
        make: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<PathBuf> {
        let done = self.0.join(name);
        if done.is_dir() {
            return Ok(done);
        }
        let partial = self.0.join(format!("{name}.partial"));
        fs::create_dir_all(&self.0).during(|| format!("making {}", self.0.display()))?;
        let _guard = lock(&self.0.join(format!("{name}.lock")), progress)?;
        if !done.is_dir() {
            remove_tree(&partial)?;
            fs::create_dir_all(&partial).during(|| format!("making {}", partial.display()))?;
            make(&partial)?;
            fs::rename(&partial, &done).during(|| format!("naming {}", done.display()))?;
        }
        Ok(done)
    }
}

fn lock(path: &Path, progress: &Progress) -> Result<File> {
    let file = File::options().create(true).append(true).open(path).during(|| format!("opening {}", path.display()))?;
    if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        progress.say(format!("waiting for another lab command that holds {}", path.display()));
        flock(&file, FlockOperation::LockExclusive).during(|| format!("locking {}", path.display()))?;
    }
    Ok(file)
}

/// Removes a folder with all in it, or a file; nothing there is fine too.
pub(crate) fn remove_tree(path: &Path) -> Result<()> {
    let gone = match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match gone {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::Io { what: format!("removing {}", path.display()), source: error })
        }
        _ => Ok(()),
    }
}

/// Writes a file so that a reader sees the old content or all of the new.
pub(crate) fn write_atomically(path: &Path, content: &[u8]) -> Result<()> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    fs::write(&partial, content).during(|| format!("writing {}", path.display()))?;
    fs::rename(&partial, path).during(|| format!("naming {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_that_cannot_work_are_refused_with_a_remedy() {
        for bad in
            ["/run/lab", "/var/lib/kubelet/x", "/tmp/with space", "/tmp/a{b}", &format!("/tmp/{}", "x".repeat(80))]
        {
            let error = Dir::checked(PathBuf::from(bad)).expect_err(bad).to_string();
            assert!(error.contains("LAB_DIR"), "{error}");
        }
        assert!(Dir::checked(PathBuf::from("/running/lab")).is_ok());
    }

    #[test]
    fn a_folder_with_files_of_others_is_never_taken() {
        let base = std::env::temp_dir().join(format!("lab-claim-{}", std::process::id()));
        let dir = Dir::checked(base.clone()).unwrap();
        fs::create_dir_all(&base).unwrap();
        fs::write(base.join("thesis.txt"), "ten years").unwrap();
        assert!(dir.claim().is_err() && !dir.is_claimed());
        fs::remove_file(base.join("thesis.txt")).unwrap();
        dir.claim().unwrap();
        fs::write(base.join("etcd"), "").unwrap();
        dir.claim().unwrap();
        remove_tree(&base).unwrap();
    }

    #[test]
    fn each_folder_has_a_cgroup_of_its_own() {
        let [a, b] = ["/tmp/a", "/tmp/b"].map(|path| Dir::checked(PathBuf::from(path)).unwrap().cgroup());
        assert_ne!(a, b);
        assert_eq!(a.len(), "penstock-lab-".len() + 8);
    }

    #[test]
    fn a_cache_item_is_made_once_and_never_half() {
        let base = std::env::temp_dir().join(format!("lab-cache-{}", std::process::id()));
        let cache = Cache(base.clone());
        let quiet = Progress::quiet();
        let broken = cache.item("thing", &quiet, |partial| {
            fs::write(partial.join("half"), "x").unwrap();
            Err(Error::Refused("stopped midway".to_owned()))
        });
        assert!(broken.is_err() && !base.join("thing").exists());
        let made =
            cache.item("thing", &quiet, |partial| fs::write(partial.join("whole"), "x").during(String::new)).unwrap();
        assert!(made.join("whole").exists() && !made.join("half").exists());
        cache.item("thing", &quiet, |_| Err(Error::Refused("made twice".to_owned()))).unwrap();
        remove_tree(&base).unwrap();
    }
}
