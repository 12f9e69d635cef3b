//! What is committed is what would be generated. `PENSTOCK_GENERATE=1` (`make generate`) writes it instead.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use penstock_crds::schema;
use penstock_generated::{Family, crd_template, label_values, metrics, reference, table, undocumented, untold, values};
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

/// A page with what stands between two marks replaced.
fn between(page: &str, (begin, end): (&str, &str), text: &str) -> String {
    let (head, rest) = page.split_once(begin).unwrap_or_else(|| panic!("{begin} is missing"));
    let (_, tail) = rest.split_once(end).unwrap_or_else(|| panic!("{end} is missing"));
    format!("{head}{begin}{text}{end}{tail}")
}

#[test]
fn the_chart_installs_the_crd_of_the_types() {
    is_committed("charts/penstock/templates/crd.yaml", &crd_template(&schema::manifest().unwrap()));
}

#[test]
fn the_charts_readme_lists_the_values() {
    let marks = ("<!-- values: generated from values.yaml by `make generate` -->\n", "<!-- end of values -->");
    let table = table(&values(&read("charts/penstock/values.yaml")).unwrap());
    is_committed("charts/penstock/README.md", &between(&read("charts/penstock/README.md"), marks, &table));
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

/// All families, by whose they are.
fn families() -> [(&'static str, Vec<Family>); 3] {
    let workers = penstock_worker::metrics::Metrics::new().unwrap().families().to_vec();
    let others = penstock_operator::metrics::Metrics::new().unwrap().families();
    let of_pipelines = |(desc, _): &Family| desc.fq_name.starts_with("penstock_pipeline_");
    let (pipelines, operator): (Vec<Family>, Vec<Family>) = others.into_iter().partition(of_pipelines);
    [("workers", workers), ("pipelines", pipelines), ("the operator", operator)]
}

#[test]
fn the_reference_of_metrics_has_every_family() {
    let mut page = read("docs/reference/metrics.md");
    for (whose, families) in families() {
        let begin = format!("<!-- metrics of {whose}: generated from the code by `make generate` -->\n");
        let end = format!("<!-- end of metrics of {whose} -->");
        page = between(&page, (&begin, &end), &metrics(&families));
    }
    is_committed("docs/reference/metrics.md", &page);
    assert_eq!(not_there(&page), Vec::<&str>::new(), "the page tells of what is no metric");
}

#[test]
fn what_labels_may_say_is_told_and_is_in_the_code() {
    let families = families().map(|(_, families)| families).concat();
    assert_eq!(untold(&families), Vec::<String>::new(), "see VALUES in tests/generated/src/metrics.rs");
    let mut code = String::new();
    for folder in ["crds/src", "operator/src", "worker/src"] {
        read_rust(&root().join(folder), &mut code);
    }
    let gone: Vec<_> = label_values().filter(|value| !code.contains(&format!("\"{value}\""))).collect();
    assert_eq!(gone, Vec::<&str>::new(), "in VALUES of tests/generated/src/metrics.rs, but not in the code");
}

fn read_rust(folder: &Path, text: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_rust(&path, text);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&fs::read_to_string(&path).unwrap());
        }
    }
}

#[test]
fn the_docs_name_no_metric_that_is_not_there() {
    for path in ["docs/concepts.md", "docs/operations.md"] {
        assert_eq!(not_there(&read(path)), Vec::<&str>::new(), "{path} tells of what is no metric");
    }
}

/// Words of a text that look like metrics and are none.
fn not_there(text: &str) -> Vec<&str> {
    let families = families().map(|(_, families)| families).concat();
    let known: BTreeSet<&str> = families.iter().map(|(desc, _)| desc.fq_name.as_str()).collect();
    let words = text.split(|letter: char| !letter.is_ascii_lowercase() && letter != '_');
    let ours = ["penstock_worker_", "penstock_pipeline_", "penstock_operator_"];
    let named = words.filter(|word| ours.iter().any(|prefix| word.starts_with(prefix)) && !word.ends_with('_'));
    let of_histograms = ["_bucket", "_count", "_sum"];
    named
        .filter(|word| {
            let family = of_histograms.iter().find_map(|end| word.strip_suffix(*end));
            !known.contains(family.unwrap_or(word))
        })
        .collect()
}
