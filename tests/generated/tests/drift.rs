//! What is committed is what would be generated. `PENSTOCK_GENERATE=1` (`make generate`) writes it instead.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use penstock_crds::schema;
use penstock_generated::{crd_template, reference, table, undocumented, values};
use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn is_committed(path: &str, generated: &str) {
    if std::env::var_os("PENSTOCK_GENERATE").is_some() {
        fs::write(root().join(path), generated).unwrap();
    }
    assert!(
        read(path) == generated,
        "{path} has drifted from what it is generated from: run `make generate` and commit"
    );
}

#[test]
fn the_chart_installs_the_crd_of_the_types() {
    is_committed("charts/penstock/templates/crd.yaml", &crd_template(&schema::manifest().unwrap()));
}

#[test]
fn the_charts_readme_lists_the_values() {
    let readme = read("charts/penstock/README.md");
    let (begin, end) = ("<!-- values: generated from values.yaml by `make generate` -->\n", "<!-- end of values -->");
    let (head, rest) = readme.split_once(begin).unwrap();
    let (_, tail) = rest.split_once(end).unwrap();
    let table = table(&values(&read("charts/penstock/values.yaml")).unwrap());
    is_committed("charts/penstock/README.md", &format!("{head}{begin}{table}{end}{tail}"));
}

#[test]
fn every_value_is_documented() {
    assert_eq!(undocumented(&read("charts/penstock/values.yaml")).unwrap(), Vec::<String>::new());
}

/// Paths of all keys that have no keys below them; `$ref`s and open objects count as such.
fn leaves(path: &str, keys: &Value, below: fn(&Value) -> Option<&Value>) -> BTreeSet<String> {
    match below(keys).and_then(Value::as_object).filter(|fields| !fields.is_empty()) {
        None => BTreeSet::from([path.to_owned()]),
        Some(fields) => fields
            .iter()
            .flat_map(|(name, value)| leaves(format!("{path}.{name}").trim_start_matches('.'), value, below))
            .collect(),
    }
}

#[test]
fn the_schema_of_the_values_knows_each_value_and_no_other() {
    let values: Value = serde_norway::from_str(&read("charts/penstock/values.yaml")).unwrap();
    let schema: Value = serde_json::from_str(&read("charts/penstock/values.schema.json")).unwrap();
    let declared = leaves("", &schema, |schema| schema.get("properties"));
    let given = leaves("", &values, |value| Some(value));
    // Accepted because Helm and parent charts pass them on; not values of this chart.
    let passed_on = ["enabled", "global"].map(str::to_owned);
    let unknown: Vec<_> = declared
        .iter()
        .filter(|key| !given.iter().any(|value| value == *key || value.starts_with(&format!("{key}."))))
        .collect();
    assert_eq!(unknown, passed_on.iter().collect::<Vec<_>>(), "in the schema, but not in values.yaml");
    let undeclared: Vec<_> = given
        .iter()
        .filter(|value| !declared.iter().any(|key| *value == key || value.starts_with(&format!("{key}."))))
        .collect();
    assert!(undeclared.is_empty(), "in values.yaml, but not in the schema: {undeclared:?}");
}

#[test]
fn the_reference_is_that_of_the_types() {
    let mut crd = schema::crd();
    let schema = crd.spec.versions.remove(0).schema.unwrap().open_api_v3_schema.unwrap();
    is_committed("docs/reference/consumerpipeline.md", &reference(&schema));
}
