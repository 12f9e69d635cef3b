//! What the init does first: makes the namespaces it was born into fit for a node.

use std::fs;
use std::path::Path;
use std::process::Command;

use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_bind, mount_change};

use crate::command::run;
use crate::dir::Dir;
use crate::error::{Context, Result};
use crate::layout::{NODE, NODE_CIDR, SERVICE_CIDR};

/// Kernel settings that kubelet insists on and would change for the whole machine. It reads and writes these files instead.
const KUBELET_TUNABLES: [(&str, &str); 6] = [
    ("vm/overcommit_memory", "1"),
    ("vm/panic_on_oom", "0"),
    ("kernel/panic", "10"),
    ("kernel/panic_on_oops", "1"),
    ("kernel/keys/root_maxkeys", "1000000"),
    ("kernel/keys/root_maxbytes", "25000000"),
];

/// Mounts and network. Whatever is mounted here is seen by the lab alone and goes with it.
pub(super) fn prepare(dir: &Dir) -> Result<()> {
    // Only the first line matters if unshare(1) has made the mounts private already; it is cheap, and a leak would not be.
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .during(|| "making mounts private".to_owned())?;
    mount_new("proc", "/proc")?;
    mount_new("tmpfs", "/run")?;
    mount_new("tmpfs", "/var/log")?;
    cover_folder("/var/lib/cni", None)?;
    cover_folder("/var/lib/kubelet", Some(&dir.join("kubelet")))?;
    for (name, value) in KUBELET_TUNABLES {
        cover_tunable(dir, name, value)?;
    }
    make_network()
}

fn mount_new(kind: &str, target: &str) -> Result<()> {
    mount(kind, target, kind, MountFlags::empty(), None).during(|| format!("mounting a {kind} on {target}"))
}

/// Some folders are wired into kubelet and the CNI plugins. The mount point must exist outside too, where it stays empty.
fn cover_folder(target: &str, with: Option<&Path>) -> Result<()> {
    fs::create_dir_all(target).during(|| format!("making the mount point {target}"))?;
    let Some(source) = with else { return mount_new("tmpfs", target) };
    fs::create_dir_all(source).during(|| format!("making {}", source.display()))?;
    mount_bind(source, target).during(|| format!("mounting {} on {target}", source.display()))
}

fn cover_tunable(dir: &Dir, name: &str, value: &str) -> Result<()> {
    let target = Path::new("/proc/sys").join(name);
    if !target.exists() {
        return Ok(());
    }
    let file = dir.join("sysctl").join(name.replace('/', "."));
    fs::create_dir_all(dir.join("sysctl")).during(|| format!("making {}/sysctl", dir.path().display()))?;
    fs::write(&file, format!("{value}\n")).during(|| format!("writing {}", file.display()))?;
    mount_bind(&file, &target).during(|| format!("covering {}", target.display()))
}

/// One bridge carries the node's address and every pod; Services are routed to it so that kube-proxy's rules see them.
fn make_network() -> Result<()> {
    fs::create_dir_all("/run/netns").during(|| "making /run/netns".to_owned())?;
    let steps = [
        "link set lo up".to_owned(),
        "link add lab0 type bridge".to_owned(),
        format!("addr add {NODE_CIDR} dev lab0"),
        "link set lab0 up".to_owned(),
        format!("route add {SERVICE_CIDR} dev lab0 src {NODE}"),
    ];
    for step in steps {
        run(Command::new("ip").args(step.split(' ')))?;
    }
    fs::write("/proc/sys/net/ipv4/ip_forward", "1").during(|| "turning on ip_forward".to_owned())
}
