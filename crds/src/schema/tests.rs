//! The manifest does not drift, everything is bounded, and each CEL rule has a manifest that breaks it.

use std::fs;
use std::path::Path;

use kube::core::cel;
use serde_json::Value;

use super::*;

fn open_api() -> JSONSchemaProps {
    crd().spec.versions.remove(0).schema.unwrap().open_api_v3_schema.unwrap()
}

#[test]
fn the_manifest_is_what_the_types_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests/consumerpipelines.penstock.dev.yaml");
    let generated = manifest().unwrap();
    if std::env::var_os("PENSTOCK_GENERATE").is_some() {
        fs::write(&path, &generated).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == generated, "{} has drifted from the types: run `make generate` and commit", path.display());
}

/// Visits every schema node with its path.
fn visit(path: &str, schema: &JSONSchemaProps, f: &mut impl FnMut(&str, &JSONSchemaProps)) {
    f(path, schema);
    for (name, child) in schema.properties.iter().flatten() {
        visit(&format!("{path}.{name}"), child, f);
    }
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &schema.items {
        visit(&format!("{path}[]"), items, f);
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &schema.additional_properties {
        visit(&format!("{path}{{}}"), values, f);
    }
}

#[test]
fn every_list_map_and_string_is_bounded() {
    visit("", &open_api(), &mut |path, schema| match schema.type_.as_deref() {
        Some("string") => assert!(schema.max_length.is_some() || schema.enum_.is_some(), "{path}"),
        Some("array") => assert!(schema.max_items.is_some(), "{path}"),
        Some("object") if schema.additional_properties.is_some() => assert!(schema.max_properties.is_some(), "{path}"),
        _ => {}
    });
}

#[test]
fn no_field_names_another_namespace() {
    visit("", &open_api(), &mut |path, _| {
        let field = path.rsplit('.').next().unwrap_or_default().to_lowercase();
        assert!(!field.starts_with("namespace"), "{path}");
    });
}

#[test]
fn no_field_has_a_default_that_gitops_would_see_as_drift() {
    visit("", &open_api(), &mut |path, schema| {
        assert!(schema.default.is_none() || !path.starts_with(".spec"), "{path}");
    });
}

#[test]
fn every_field_of_ours_is_explained() {
    visit("", &open_api(), &mut |path, schema| {
        let ours = path.starts_with(".spec.") && path.matches(['.', '[', '{']).count() <= 3;
        assert!(!ours || schema.description.is_some() || path.contains(['[', '{']), "{path} has no description");
    });
}

#[test]
fn a_field_of_words_tells_what_each_means_and_which_holds_unless_given() {
    let mut optional = 0;
    visit("", &open_api(), &mut |path, schema| {
        let Some(words) = schema.enum_.as_ref().filter(|_| !path.ends_with("[]")) else { return };
        let told = schema.description.as_deref().unwrap_or_default();
        for word in words {
            let word = word.0.as_str().unwrap();
            assert!(told.contains(&format!("`{word}`: ")), "{path} does not tell what {word} means: {told}");
        }
        if path.starts_with(".spec.") && schema.nullable == Some(true) {
            optional += 1;
            assert!(told.contains("default") || told.contains("nless given"), "{path} tells no default: {told}");
        }
    });
    assert!(optional > 0, "optional fields of words are not found any more");
}

/// The documents of a manifest under tests/broken: one, or the old and the new one of an update.
fn documents(text: &str) -> Vec<Value> {
    text.split("\n---\n").map(|document| serde_norway::from_str(document).unwrap()).collect()
}

fn violations(schema: &Value, documents: &[Value]) -> Vec<String> {
    let (new, old) = match documents {
        [new] => (new, None),
        [old, new] => (new, Some(old)),
        _ => panic!("one or two documents expected"),
    };
    match cel::Validator::new().validate(schema, new, old) {
        Ok(()) => vec![],
        Err(errors) => errors.into_vec().iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn each_rule_is_broken_by_a_manifest_of_its_own() {
    let schema = serde_json::to_value(open_api()).unwrap();
    let mut messages = Vec::new();
    visit("", &open_api(), &mut |_, schema| {
        messages.extend(schema.x_kubernetes_validations.iter().flatten().filter_map(|rule| rule.message.clone()));
    });
    let mut unbroken: std::collections::BTreeSet<String> = messages.into_iter().collect();
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/broken")).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let found = violations(&schema, &documents(&text));
        assert_eq!(found.len(), 1, "{} should break one rule: {found:?}", path.display());
        unbroken.retain(|message| !found[0].contains(message.as_str()));
    }
    assert!(unbroken.is_empty(), "no manifest under crds/tests/broken breaks: {unbroken:#?}");
}
