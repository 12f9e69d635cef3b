//! The chart, by the real Helm.

use std::fs;
use std::path::{Path, PathBuf};

use penstock_e2e::run::run;
use serde_json::Value;

use crate::stage::Stage;

fn chart() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../charts/penstock").canonicalize().unwrap()
}

fn values() -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(chart().join("ci")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    assert!(files.len() >= 3);
    files
}

fn render(stage: &Stage, values: &Path) -> String {
    let mut helm = stage.cluster().lab().command("helm");
    helm.args(["template", "penstock"]).arg(chart()).args(["--namespace", "penstock-system", "--values"]).arg(values);
    run(&mut helm).unwrap()
}

fn objects(text: &str) -> Vec<Value> {
    let documents = text.split("\n---\n").map(|document| serde_norway::from_str::<Value>(document).unwrap());
    documents.filter(Value::is_object).collect()
}

#[test]
fn helm_finds_nothing_to_complain_about() {
    let stage = Stage::beside_others("lint");
    for values in values() {
        let mut helm = stage.cluster().lab().command("helm");
        run(helm.args(["lint", "--strict"]).arg(chart()).arg("--values").arg(&values)).unwrap();
    }
}

#[test]
fn every_set_of_values_renders_to_what_the_api_server_takes() {
    let stage = Stage::beside_others("rendered");
    for values in values() {
        for object in objects(&render(&stage, &values)) {
            // The Prometheus Operator is not installed, and namespaces of other people are not here.
            let elsewhere =
                object["metadata"]["namespace"].as_str().is_some_and(|namespace| namespace != "penstock-system");
            if object["apiVersion"] == "monitoring.coreos.com/v1" || elsewhere {
                continue;
            }
            let file = format!("{}: {} {}", values.display(), object["kind"], object["metadata"]["name"]);
            let applied = penstock_e2e::run::run_with_input(
                stage.cluster().lab().command("kubectl").args([
                    "--namespace",
                    "penstock-system",
                    "apply",
                    "--server-side",
                    "--force-conflicts",
                    "--dry-run=server",
                    "--validate=strict",
                    "--filename",
                    "-",
                ]),
                &object.to_string(),
            );
            assert!(applied.is_ok(), "{file}: {}", applied.unwrap_err());
        }
    }
}

#[test]
fn the_operator_has_no_right_that_it_need_not_have() {
    let stage = Stage::beside_others("rights");
    for values in values() {
        let rendered = objects(&render(&stage, &values));
        let named = |object: &&Value, suffix: &str| {
            object["metadata"]["name"].as_str().is_some_and(|name| name.ends_with(suffix))
        };
        let granting = rendered.iter().filter(|object| object["kind"] == "Role" || object["kind"] == "ClusterRole");
        let rules: Vec<&Value> = granting
            .filter(|role| named(role, "-operator") || named(role, "-leader"))
            .flat_map(|role| role["rules"].as_array().unwrap())
            .collect();
        let text = serde_json::to_string(&rules).unwrap();
        for forbidden in ["\"*\"", "escalate", "bind", "impersonate", "pods/exec"] {
            assert!(!text.contains(&format!("\"{}\"", forbidden.trim_matches('"'))), "{forbidden} in {text}");
        }
        let secrets = rules.iter().filter(|rule| rule["resources"].to_string().contains("\"secrets\""));
        for rule in secrets {
            assert_eq!(rule["verbs"], serde_json::json!(["get"]), "{}", values.display());
        }
        let watched = rendered.iter().any(|object| object["kind"] == "ClusterRole" && named(&object, "-operator"));
        assert_eq!(
            watched,
            !values.ends_with("namespaced-values.yaml"),
            "with watchNamespaces there is no ClusterRole"
        );
    }
}

#[test]
fn a_wrong_value_is_refused_by_its_name() {
    let stage = Stage::beside_others("values");
    for (wrong, said) in [("replicacount=2", "replicacount"), ("image.pullPolicy=Sometimes", "pullPolicy")] {
        let mut helm = stage.cluster().lab().command("helm");
        let refusal =
            run(helm.args(["template", "penstock"]).arg(chart()).args(["--set", wrong])).unwrap_err().to_string();
        assert!(refusal.contains(said), "{refusal}");
    }
    // Helm and parent charts hand these to every chart.
    let mut helm = stage.cluster().lab().command("helm");
    run(helm.args(["template", "penstock"]).arg(chart()).args(["--set", "global.a.b=1,enabled=true"])).unwrap();
}
