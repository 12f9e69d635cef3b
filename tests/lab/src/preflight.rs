//! What the lab needs of the machine, checked before anything is started, so that the first error names the remedy.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::run;
use crate::error::{Error, Result};
use crate::progress::Progress;

/// Where Debian's package and upstream's archive put the CNI plugins.
const CNI_FOLDERS: [&str; 2] = ["/usr/lib/cni", "/opt/cni/bin"];

/// A program the lab runs, and the Debian package that brings it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Need {
    program: &'static str,
    package: &'static str,
}

const fn need(program: &'static str, package: &'static str) -> Need {
    Need { program, package }
}

/// Needed by every `lab up`.
const NODE: [Need; 12] = [
    need("containerd", "containerd"),
    need("ctr", "containerd"),
    need("runc", "runc"),
    need("bridge", "containernetworking-plugins"),
    need("iptables", "iptables"),
    need("conntrack", "conntrack"),
    need("ip", "iproute2"),
    need("unshare", "util-linux"),
    need("nsenter", "util-linux"),
    need("setpriv", "util-linux"),
    need("strip", "binutils"),
    need("java", "openjdk-17-jre-headless"),
];

/// Needed only while the cache lacks something.
const BUILD: [Need; 3] = [need("mvn", "maven"), need("gcc", "gcc"), need("python3", "python3-pip")];

/// Checks what a lab needs, and installs the Debian packages that are missing. `build` says that the cache is not complete.
pub(crate) fn check(build: bool, progress: &Progress) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Err(Error::Missing {
            what: "the lab makes namespaces, mounts and a bridge, which only root may".to_owned(),
            remedy: "sudo -E lab up".to_owned(),
        });
    }
    let wanted = NODE.iter().chain(if build { &BUILD[..] } else { &[] });
    let missing: Vec<Need> = wanted.copied().filter(|need| !is_there(need.program)).collect();
    if !missing.is_empty() {
        install(&missing, progress)?;
    }
    if build { check_go() } else { Ok(()) }
}

/// Debian 12 packages Go 1.19, which cannot build Kubernetes 1.35; so Go is asked for, not installed.
fn check_go() -> Result<()> {
    let remedy = "install Go 1.26 or newer and put its bin folder on PATH";
    if find_program("go").is_none() {
        return Err(Error::Missing { what: "Go is not on PATH".to_owned(), remedy: remedy.to_owned() });
    }
    let version = run(Command::new("go").args(["env", "GOVERSION"]))?;
    if go_minor(&version).is_some_and(|minor| minor < 26) {
        return Err(Error::Missing { what: format!("Go is too old: {}", version.trim()), remedy: remedy.to_owned() });
    }
    Ok(())
}

fn go_minor(version: &str) -> Option<u32> {
    version.trim().strip_prefix("go1.")?.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

fn install(missing: &[Need], progress: &Progress) -> Result<()> {
    let mut packages: Vec<&str> = missing.iter().map(|need| need.package).collect();
    packages.sort_unstable();
    packages.dedup();
    let list = packages.join(" ");
    progress.say(format!("installing Debian packages (once, under a minute): {list}"));
    let apt = |arguments: &[&str]| {
        run(Command::new("apt-get").args(arguments).env("DEBIAN_FRONTEND", "noninteractive")).map(drop)
    };
    let install = [&["install", "-y", "-qq", "--no-install-recommends"], &packages[..]].concat();
    // A machine fresh from its image has no package lists, or old ones: then fetch them and try once more.
    let installed = apt(&install).or_else(|_| apt(&["update", "-qq"]).and_then(|()| apt(&install)));
    installed.map_err(|error| Error::Missing {
        what: format!("not on this machine, and apt-get could not install them: {list}\n{error}"),
        remedy: format!(
            "install them by hand (apt-get update && apt-get install {list}), or their equals on another system"
        ),
    })?;
    match missing.iter().find(|need| !is_there(need.program)) {
        None => Ok(()),
        Some(need) => Err(Error::Missing {
            what: format!("{} is not on PATH although {} is installed", need.program, need.package),
            remedy: "put its folder on PATH".to_owned(),
        }),
    }
}

fn is_there(program: &str) -> bool {
    if program == "bridge" { cni_folder().is_some() } else { find_program(program).is_some() }
}

/// The folder of the CNI plugins. (iproute2 has a `bridge` too, so PATH is not asked.)
pub(crate) fn cni_folder() -> Option<&'static str> {
    CNI_FOLDERS.into_iter().find(|folder| Path::new(folder).join("bridge").exists())
}

/// A program on PATH, or in the folders that a login without root's PATH leaves out.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(["/usr/sbin", "/sbin", "/usr/bin", "/bin"].map(PathBuf::from));
    folders.map(|folder| folder.join(name)).find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_age_of_go_is_read_from_what_go_says() {
        assert_eq!(go_minor("go1.26.8\n"), Some(26));
        assert_eq!(go_minor("go1.27rc1"), Some(27));
        assert_eq!(go_minor("devel go1.30-abcdef"), None);
    }

    #[test]
    fn programs_are_found_on_path_only() {
        assert!(find_program("sh").is_some());
        assert!(find_program("no-such-program-anywhere").is_none());
    }
}
