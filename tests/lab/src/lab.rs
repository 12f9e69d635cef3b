//! A running lab, and what can be done with it.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::artifacts::{Artifacts, class_path};
use crate::broker::Broker;
use crate::dir::{Cache, Dir};
use crate::error::{Context, Error, Result};
use crate::init::{Init, ServiceState};
use crate::layout::{Listener, NODE_NAME};

/// What a lab was brought up with; kept beside it so that a second `up` can tell whether it is the lab that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    /// Kafka nodes, 1 to [`MAX_BROKERS`](crate::MAX_BROKERS).
    pub brokers: u8,
    /// Whether there is a Kubernetes beside them.
    #[serde(default = "yes")] // a lab of an earlier version is up
    pub kubernetes: bool,
}

const fn yes() -> bool {
    true
}

impl Shape {
    /// Brokers alone, for measurements: kubelet and control plane take CPU time, and kube-proxy's rules their share of each packet.
    pub const fn brokers_only(brokers: u8) -> Self {
        Self { brokers, kubernetes: false }
    }
}

impl Default for Shape {
    fn default() -> Self {
        Self { brokers: 1, kubernetes: true }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let node = if self.kubernetes { format!("node {NODE_NAME} and ") } else { String::new() };
        write!(f, "{node}{} broker(s)", self.brokers)
    }
}

/// What a client needs for TLS, as paths of PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificates {
    /// Whom to trust: the lab's authority.
    pub authority: PathBuf,
    /// Who the client is.
    pub certificate: PathBuf,
    /// The key to it.
    pub key: PathBuf,
}

const SHAPE: &str = "lab.json";

/// A lab that is up (or on its way).
#[derive(Debug)]
pub struct Lab {
    pub(crate) dir: Dir,
    pub(crate) init: Init,
    pub(crate) artifacts: Artifacts,
    pub(crate) shape: Shape,
}

impl Lab {
    /// The lab that is up in `LAB_DIR`, or in the folder that `lab up` uses by default.
    pub fn current() -> Result<Self> {
        Self::open(&Dir::resolve(None)?)
    }

    /// The lab that is up in that folder.
    pub fn open(dir: &Dir) -> Result<Self> {
        let init = Init::find(dir)?.ok_or_else(|| Error::NotUp(dir.path().to_owned()))?.understood()?;
        let artifacts = Artifacts::find(&Cache::resolve()?).ok_or_else(|| Error::NotUp(dir.path().to_owned()))?;
        Ok(Self { dir: dir.clone(), init, artifacts, shape: read_shape(dir).unwrap_or_default() })
    }

    /// Its folder.
    pub fn dir(&self) -> &Dir {
        &self.dir
    }

    /// What it was brought up with.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The administrator's kubeconfig; it works inside the lab's network.
    pub fn kubeconfig(&self) -> PathBuf {
        self.dir.kubeconfig()
    }

    /// The brokers as clients name them, inside the lab's network and in its pods alike.
    pub fn bootstrap_servers(&self) -> String {
        self.bootstrap_servers_of(Listener::Plaintext)
    }

    /// The same, for clients that prove who they are: as [`KAFKA_USER`](crate::KAFKA_USER), by password or certificate.
    pub fn bootstrap_servers_of(&self, listener: Listener) -> String {
        listener.bootstrap_servers(self.shape.brokers)
    }

    /// The certificates of that user, as files in PEM.
    pub fn kafka_certificates(&self) -> Certificates {
        let file = |name: &str| self.dir.join("pki").join(name);
        Certificates { authority: file("ca.crt"), certificate: file("kafka-user.crt"), key: file("kafka-user.key") }
    }

    /// One of Kafka's own command-line tools by its class name, such as `AclCommand` or `LeaderElectionCommand`, aimed at the brokers.
    pub fn kafka_tool(&self, class: &str) -> Command {
        let mut command = self.command("java");
        command.args([
            "-XX:-UsePerfData",
            "-XX:TieredStopAtLevel=1",
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=error",
            "-cp",
        ]);
        command.arg(class_path(&self.artifacts.kafka)).arg(format!("org.apache.kafka.tools.{class}"));
        command.args(["--bootstrap-server", &self.bootstrap_servers()]);
        command
    }

    /// Every component with its state.
    pub fn services(&self) -> Result<Vec<ServiceState>> {
        self.init.list()
    }

    /// The Kafka node of that id, from 1.
    pub fn broker(&self, id: u8) -> Broker<'_> {
        Broker { lab: self, id }
    }

    /// Starts brokers together and then waits for each: of several, none is ready before a majority of the controllers is.
    pub fn start_brokers(&self, ids: impl IntoIterator<Item = u8>, limit: Duration) -> Result<()> {
        let ids: Vec<u8> = ids.into_iter().collect();
        ids.iter().try_for_each(|id| self.broker(*id).launch())?;
        ids.iter().try_for_each(|id| self.broker(*id).await_ready(limit))
    }

    /// Moves the calling thread, and every thread it starts from now on, into the lab's network, where the API server, the brokers,
    /// Services and pods are. Files and processes stay as they were. There is no way back for the thread; a test's thread ends with the test.
    ///
    /// Call it before making a tokio runtime or a Kafka client: their threads must be started by this one.
    pub fn enter_network(&self) -> Result<()> {
        self.init.enter_network()
    }

    /// Runs a closure on a thread of its own inside the lab's network.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                self.enter_network()?;
                work()
            });
            thread.join().unwrap_or_else(|cause| std::panic::resume_unwind(cause))
        })
    }

    /// A program to be run inside the lab's network, with KUBECONFIG set. `kubectl` and `helm` are the lab's own.
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        let program = match program.as_ref().to_str() {
            Some("kubectl") => &self.artifacts.kubectl,
            Some("helm") => &self.artifacts.helm,
            _ => program.as_ref(),
        };
        self.enter(&["--net"], program)
    }

    /// A program to be run inside all of the lab's namespaces: it sees the lab's processes and mounts, and dies with the lab.
    pub fn command_in_node(&self, program: impl AsRef<Path>) -> Command {
        self.enter(&["--net", "--mount", "--pid"], program.as_ref())
    }

    /// containerd's own client, aimed at the lab's containerd.
    pub(crate) fn ctr(&self) -> Command {
        let mut command = self.command_in_node("ctr");
        command.arg("--address").arg(self.dir.join("containerd/containerd.sock")).args(["--namespace", "k8s.io"]);
        command
    }

    fn enter(&self, namespaces: &[&str], program: &Path) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.init.pid().to_string()]).args(namespaces);
        if let Some(folder) = std::env::current_dir().ok().filter(|_| namespaces.contains(&"--mount")) {
            // Entering a mount namespace moves to its root; the folder has the same path there.
            command.arg(format!("--wdns={}", folder.display()));
        }
        command.arg("--").arg(program);
        for (name, value) in self.environment() {
            command.env(name, value);
        }
        command
    }

    /// What programs that run in the lab find in their environment.
    pub fn environment(&self) -> [(&'static str, String); 3] {
        [
            ("KUBECONFIG", self.kubeconfig().to_string_lossy().into_owned()),
            ("KAFKA_BOOTSTRAP_SERVERS", self.bootstrap_servers()),
            ("LAB_DIR", self.dir.path().to_string_lossy().into_owned()),
        ]
    }
}

pub(crate) fn read_shape(dir: &Dir) -> Option<Shape> {
    serde_json::from_slice(&fs::read(dir.join(SHAPE)).ok()?).ok()
}

pub(crate) fn write_shape(dir: &Dir, shape: Shape) -> Result<()> {
    let text =
        serde_json::to_vec(&shape).map_err(std::io::Error::other).during(|| "writing the lab's shape".to_owned())?;
    crate::dir::write_atomically(&dir.join(SHAPE), &text)
}
