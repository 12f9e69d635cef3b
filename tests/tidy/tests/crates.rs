//! The arrows between crates, over `cargo metadata` and `cargo tree`: purity is a property of the dependency tree, not of good intentions.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// What a pure crate must not even be able to call: runtimes, sockets, clients, clocks, randomness.
const IMPURE: [&str; 16] = [
    "tokio",
    "hyper",
    "hyper-util",
    "axum",
    "tower",
    "rdkafka",
    "rdkafka-sys",
    "kube-client",
    "kube-runtime",
    "reqwest",
    "rustls",
    "mio",
    "socket2",
    "rand",
    "getrandom",
    "penstock-kafka",
];
const PURE: [&str; 4] = ["penstock-crds", "penstock-scaling", "penstock-blueprint", "penstock-engine"];

/// The arrows of design.md §2 between workspace members, for ordinary dependencies.
const ARROWS: [(&str, &[&str]); 9] = [
    ("penstock-crds", &[]),
    ("penstock-scaling", &["penstock-crds"]),
    ("penstock-engine", &["penstock-crds"]),
    ("penstock-blueprint", &["penstock-crds", "penstock-scaling"]),
    ("penstock-kafka", &["penstock-crds"]),
    ("penstock-worker", &["penstock-crds", "penstock-engine", "penstock-kafka"]),
    ("penstock-operator", &["penstock-crds", "penstock-blueprint", "penstock-kafka", "penstock-scaling"]),
    ("penstock-lab", &["penstock-kafka"]),
    ("penstock-tidy", &[]),
];

/// Ordinary (not build, not dev) dependencies of each package, by name, as Cargo resolves them for this platform.
struct Graph {
    names: BTreeMap<String, String>,
    arrows: BTreeMap<String, BTreeSet<String>>,
}

impl Graph {
    fn read() -> Self {
        let output = Command::new(env!("CARGO"))
            .args(["metadata", "--format-version", "1", "--locked", "--filter-platform", "x86_64-unknown-linux-gnu"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let packages = metadata["packages"].as_array().unwrap();
        let names = packages.iter().map(|package| (text(&package["id"]), text(&package["name"]))).collect();
        let arrows = metadata["resolve"]["nodes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|node| {
                let ordinary =
                    |dep: &&Value| dep["dep_kinds"].as_array().unwrap().iter().any(|kind| kind["kind"].is_null());
                let deps =
                    node["deps"].as_array().unwrap().iter().filter(ordinary).map(|dep| text(&dep["pkg"])).collect();
                (text(&node["id"]), deps)
            })
            .collect();
        Self { names, arrows }
    }

    fn id(&self, name: &str) -> &str {
        self.names.iter().find(|(_, one)| *one == name).map_or_else(|| panic!("no package {name}"), |(id, _)| id)
    }

    fn direct(&self, name: &str) -> BTreeSet<&str> {
        self.arrows[self.id(name)].iter().map(|id| self.names[id].as_str()).collect()
    }
}

/// Everything that a package can reach when it is built by itself. `cargo metadata` merges the features of the whole workspace, so
/// that `kube` would carry its client everywhere; `cargo tree` resolves one package.
fn reach(package: &str) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--package", package, "--edges", "normal", "--prefix", "none", "--format", "{p}"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

#[test]
fn pure_crates_cannot_reach_a_runtime_a_client_a_clock_or_chance() {
    for pure in PURE {
        let reached: Vec<_> = reach(pure).into_iter().filter(|name| IMPURE.contains(&name.as_str())).collect();
        assert!(reached.is_empty(), "{pure} is pure and must not depend on {reached:?}");
    }
}

#[test]
fn the_test_above_can_fail() {
    assert!(reach("penstock-worker").contains("tokio") && reach("penstock-kafka").contains("rdkafka-sys"));
}

#[test]
fn arrows_go_one_way() {
    let graph = Graph::read();
    for (name, allowed) in ARROWS {
        let ours: Vec<_> = graph.direct(name).into_iter().filter(|one| one.starts_with("penstock-")).collect();
        let wrong: Vec<_> = ours.into_iter().filter(|one| !allowed.contains(one)).collect();
        assert!(wrong.is_empty(), "{name} must not depend on {wrong:?}: see ARCHITECTURE.md");
    }
}

#[test]
fn only_the_kafka_crate_calls_rdkafka_sys() {
    let graph = Graph::read();
    for (name, _) in ARROWS.iter().filter(|(name, _)| *name != "penstock-kafka") {
        assert!(!graph.direct(name).contains("rdkafka-sys"), "{name} calls rdkafka-sys: that is the kafka crate's job");
    }
}

#[test]
fn one_version_of_each_major_crate() {
    let graph = Graph::read();
    for name in [
        "tokio",
        "hyper",
        "kube",
        "k8s-openapi",
        "serde",
        "schemars",
        "rdkafka",
        "axum",
        "prometheus",
        "tracing",
        "jiff",
    ] {
        let versions = graph.names.values().filter(|one| *one == name).count();
        assert_eq!(versions, 1, "{name}");
    }
}
