//! The lab with Penstock installed in it, as tests and demo use it.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use penstock_lab::{Dir, Lab, Progress};
use serde_json::Value;

use crate::failure::{Context as _, Failure, Result};
use crate::images::Images;
use crate::run::{run, run_with_input};
use crate::topic::Brokers;
use crate::wait::until_true;

/// Namespace and name of the chart's release.
pub const RELEASE: (&str, &str) = ("penstock-system", "penstock");
/// A namespace ends when all that was in it has; workers get their grace.
const NAMESPACE_END: Duration = Duration::from_secs(90);

/// A cluster, seen by a thread in its network.
#[derive(Debug)]
pub struct Cluster {
    lab: Lab,
    brokers: Brokers,
}

/// A pod, in brief.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Its name.
    pub name: String,
    /// Whether its Ready condition holds and nobody is deleting it.
    pub ready: bool,
    /// Containers that run: name and containerd's id. Native sidecars are among them.
    pub containers: Vec<(String, String)>,
}

impl Cluster {
    /// The lab, brought up if it is not, and whether it was.
    ///
    /// # Errors
    /// What the lab says; it names a remedy.
    pub fn up(progress: &Progress) -> Result<(Self, bool)> {
        let was_up = Lab::current().is_ok();
        let dir = Dir::resolve(None).context("the lab's folder")?;
        let lab = Lab::up(&dir, None, progress).context("bringing the lab up")?;
        let brokers = Brokers::new(&lab.bootstrap_servers());
        Ok((Self { lab, brokers }, was_up))
    }

    /// Takes the lab down.
    ///
    /// # Errors
    /// What the lab says.
    pub fn down(&self, progress: &Progress) -> Result<()> {
        penstock_lab::down(self.lab.dir(), progress).context("taking the lab down")
    }

    /// Moves the calling thread into the lab's network. Kafka's clients work there only.
    ///
    /// # Errors
    /// What the lab says.
    pub fn enter(&self) -> Result<()> {
        self.lab.enter_network().context("entering the lab's network")
    }

    /// The lab itself.
    pub fn lab(&self) -> &Lab {
        &self.lab
    }

    /// Its brokers.
    pub fn brokers(&self) -> &Brokers {
        &self.brokers
    }

    /// Loads the images and installs the chart, or upgrades what is installed.
    ///
    /// # Errors
    /// What Helm says; where pods do not become ready, with their last words.
    pub fn install(&self) -> Result<Images> {
        let images = Images::load(&self.lab)?;
        let (namespace, release) = RELEASE;
        self.namespace(namespace)?;
        let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../charts/penstock");
        let tags =
            [format!("image.tag={}", images.operator_tag), format!("workerImage.tag={}", images.worker_tag)].join(",");
        let mut helm = self.lab.command("helm");
        helm.args(["upgrade", "--install", release]).arg(chart).args(["--namespace", namespace]);
        helm.args(["--set", &tags, "--set", "log.format=text", "--wait", "--timeout", "90s"]);
        match run(&mut helm) {
            Ok(_) => Ok(images),
            Err(failure) => Err(Failure::new(format!("{failure}\n{}", self.operator_log(40)))),
        }
    }

    /// The operator's last lines, for a failure.
    pub fn operator_log(&self, lines: u32) -> String {
        let tail = format!("--tail={lines}");
        let (namespace, release) = RELEASE;
        let deployment = format!("deployment/{release}");
        self.kubectl(["--namespace", namespace, "logs", &deployment, &tail])
            .unwrap_or_else(|failure| failure.to_string())
    }

    /// Runs kubectl and gives what it printed.
    ///
    /// # Errors
    /// What kubectl says.
    pub fn kubectl<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Result<String> {
        run(self.command().args(arguments))
    }

    /// One object or a list, as `kubectl get … --output json` has it.
    ///
    /// # Errors
    /// What kubectl says.
    pub fn get<'a>(&self, namespace: &'a str, what: impl IntoIterator<Item = &'a str>) -> Result<Value> {
        let text = run(self.command().args(["--namespace", namespace, "get", "--output", "json"]).args(what))?;
        serde_json::from_str(&text).context("reading what kubectl printed")
    }

    /// Applies a manifest, with unknown fields refused.
    ///
    /// # Errors
    /// What the API server says.
    pub fn apply(&self, manifest: &str) -> Result<String> {
        run_with_input(self.command().args(["apply", "--validate=strict", "--filename", "-"]), manifest)
    }

    /// Changes an object by a JSON merge patch.
    ///
    /// # Errors
    /// What the API server says.
    pub fn patch(&self, namespace: &str, object: &str, patch: &Value) -> Result<String> {
        let patch = patch.to_string();
        self.kubectl(["--namespace", namespace, "patch", object, "--type", "merge", "--patch", &patch])
    }

    /// Makes a namespace that enforces the restricted Pod Security Standard.
    ///
    /// # Errors
    /// What the API server says.
    pub fn namespace(&self, name: &str) -> Result<()> {
        self.apply(&format!(
            "{{apiVersion: v1, kind: Namespace, metadata: {{name: {name}, labels: {{pod-security.kubernetes.io/enforce: restricted}}}}}}"
        ))
        .map(drop)
    }

    /// Deletes a namespace if it is there, and waits for its end.
    ///
    /// # Errors
    /// When it does not end in time.
    pub fn delete_namespace(&self, name: &str) -> Result<()> {
        self.kubectl(["delete", "namespace", name, "--ignore-not-found", "--wait=false"])?;
        until_true(&format!("the end of namespace {name}"), NAMESPACE_END, || {
            Ok(self.kubectl(["get", "namespace", name, "--ignore-not-found", "--output", "name"])?.is_empty())
        })
    }

    /// Pods by their labels.
    ///
    /// # Errors
    /// What kubectl says.
    pub fn pods(&self, namespace: &str, selector: &str) -> Result<Vec<Pod>> {
        let list = self.get(namespace, ["pods", "--selector", selector])?;
        Ok(list["items"].as_array().into_iter().flatten().map(pod).collect())
    }

    /// Kills a pod without grace: SIGKILL to each container at once, then the pod is deleted from the API by force.
    ///
    /// # Errors
    /// What containerd and the API server say.
    pub fn kill(&self, namespace: &str, pod: &Pod) -> Result<()> {
        self.crash(pod, &pod.containers.iter().map(|(name, _)| name.as_str()).collect())?;
        self.kubectl(["--namespace", namespace, "delete", "pod", &pod.name, "--grace-period=0", "--force"]).map(drop)
    }

    /// SIGKILL to the named containers of a pod. The kubelet starts them again.
    ///
    /// # Errors
    /// What containerd says.
    pub fn crash(&self, pod: &Pod, containers: &BTreeSet<&str>) -> Result<()> {
        for (_, id) in pod.containers.iter().filter(|(name, _)| containers.contains(name.as_str())) {
            let mut ctr = self.lab.command_in_node("ctr");
            ctr.arg("--address").arg(self.lab.dir().join("containerd/containerd.sock"));
            run(ctr.args(["--namespace", "k8s.io", "tasks", "kill", "--signal", "SIGKILL", id]))?;
        }
        Ok(())
    }

    fn command(&self) -> Command {
        self.lab.command("kubectl")
    }
}

fn pod(value: &Value) -> Pod {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let status = &value["status"];
    let holds = |condition: &Value| condition["type"] == "Ready" && condition["status"] == "True";
    let ready = status["conditions"].as_array().is_some_and(|all| all.iter().any(holds));
    let containers = ["initContainerStatuses", "containerStatuses"].iter().filter_map(|list| status[*list].as_array());
    let running = containers.flatten().filter(|container| container["state"]["running"].is_object());
    Pod {
        name: text(&value["metadata"]["name"]),
        ready: ready && value["metadata"]["deletionTimestamp"].is_null(),
        containers: running
            .map(|container| {
                let id = text(&container["containerID"]);
                (text(&container["name"]), id.trim_start_matches("containerd://").to_owned())
            })
            .collect(),
    }
}
