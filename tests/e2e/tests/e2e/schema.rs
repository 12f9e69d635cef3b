//! The CRD in a real API server.

use std::fs;
use std::path::Path;

use kube::core::cel;
use serde_json::Value;

use crate::stage::Stage;

fn crds() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../crds"))
}

/// What kube-cel says of one document, or of an update from the first to the second.
fn offline(documents: &[Value]) -> Vec<String> {
    let crd = penstock_crds::schema::crd();
    let schema =
        serde_json::to_value(crd.spec.versions[0].schema.clone().unwrap().open_api_v3_schema.unwrap()).unwrap();
    let (new, old) = match documents {
        [new] => (new, None),
        [old, new] => (new, Some(old)),
        _ => panic!("one or two documents expected"),
    };
    let outcome = cel::Validator::new().validate(&schema, new, old);
    outcome
        .err()
        .map(|errors| errors.into_vec().iter().map(|error| error.message.clone()).collect())
        .unwrap_or_default()
}

#[test]
fn each_broken_manifest_is_refused_with_the_words_of_its_rule() {
    let stage = Stage::beside_others("broken");
    for entry in fs::read_dir(crds().join("tests/broken")).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let parse = |document: &str| {
            let mut document: Value = serde_norway::from_str(document).unwrap();
            document["metadata"]["namespace"] = stage.namespace.clone().into();
            document
        };
        let documents: Vec<Value> = text.split("\n---\n").map(parse).collect();
        let expected = offline(&documents);
        let (last, first) = documents.split_last().unwrap();
        for document in first {
            stage.cluster().apply(&document.to_string()).unwrap();
        }
        let refusal = stage.cluster().apply(&last.to_string()).unwrap_err().to_string();
        for message in expected {
            assert!(
                refusal.contains(&message),
                "{}: kube-cel says {message:?}, the API server {refusal}",
                path.display()
            );
        }
    }
}

#[test]
fn every_field_of_ours_is_explained() {
    let stage = Stage::beside_others("explained");
    let explain = |path: &str| stage.cluster().kubectl(["explain", &format!("consumerpipeline.{path}")]).unwrap();
    let groups = ["kafka", "source", "processor", "delivery", "output", "scaling", "worker", "replicas", "paused"];
    let spec = explain("spec");
    for group in groups {
        assert!(spec.contains(&format!("  {group}\t")), "{spec}");
        let text = explain(&format!("spec.{group}"));
        assert!(!text.contains("<empty>"), "{text}");
    }
    assert!(explain("spec.scaling.catchUp").contains("2m unless given"));
}

#[test]
fn an_unknown_field_is_refused_by_its_name() {
    let stage = Stage::beside_others("unknown");
    let mut manifest = stage.discarding("orders", "orders");
    manifest["spec"]["scaling"] = serde_json::json!({"maxReplica": 3});
    let refusal = stage.cluster().apply(&manifest.to_string()).unwrap_err().to_string();
    assert!(refusal.contains("spec.scaling.maxReplica"), "{refusal}");
}

#[test]
fn a_pod_that_is_not_restricted_is_refused_here() {
    // Without this, that workers run in such a namespace would prove nothing.
    let stage = Stage::beside_others("restricted");
    let pod = format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: root, namespace: {}}}, spec: {{containers: [{{name: a, image: a}}]}}}}",
        stage.namespace
    );
    let refusal = stage.cluster().apply(&pod).unwrap_err().to_string();
    assert!(refusal.contains("violates PodSecurity"), "{refusal}");
}
