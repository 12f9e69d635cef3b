//! Reads a pipeline from a file, where no API server names unknown fields.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use serde_json::Value;

use super::crd;
use crate::resolve::Violation;
use crate::spec::ConsumerPipeline;

/// The largest pipeline file, bytes: what etcd takes for one object.
const FILE_MAX: usize = 1_500_000;

/// Reads a pipeline from YAML or JSON. Unknown fields are violations, with the nearest right name.
///
/// # Errors
/// What is wrong with the text: its form, its kind, unknown fields, or the type of a field.
pub fn parse(text: &str) -> Result<ConsumerPipeline, Vec<Violation>> {
    let one = |path: &str, message: String| vec![Violation { path: path.to_owned(), message }];
    if text.len() > FILE_MAX {
        return Err(one("(file)", format!("is {} bytes long; a resource has at most {FILE_MAX}", text.len())));
    }
    let value: Value = serde_norway::from_str(text).map_err(|error| one("(file)", format!("is not YAML: {error}")))?;
    match value.get("kind").and_then(Value::as_str) {
        Some("ConsumerPipeline") => {}
        kind => return Err(one("kind", format!("is {}; ConsumerPipeline is expected", kind.unwrap_or("missing")))),
    }
    let unknown = unknown_fields(&value);
    if !unknown.is_empty() {
        return Err(unknown);
    }
    serde_json::from_value(value).map_err(|error| one("(file)", error.to_string()))
}

fn unknown_fields(value: &Value) -> Vec<Violation> {
    let crd = crd();
    let mut found = Vec::new();
    for version in &crd.spec.versions {
        if let Some(schema) = version.schema.as_ref().and_then(|schema| schema.open_api_v3_schema.as_ref()) {
            for (field, schema) in schema.properties.iter().flatten().filter(|(field, _)| *field == "spec") {
                walk(field, schema, value.get(field), &mut found);
            }
        }
    }
    found
}

fn walk(path: &str, schema: &JSONSchemaProps, value: Option<&Value>, found: &mut Vec<Violation>) {
    match (value, &schema.properties, &schema.items, &schema.additional_properties) {
        (Some(Value::Object(fields)), Some(properties), _, _) => {
            for (name, value) in fields {
                let path = format!("{path}.{name}");
                match properties.get(name) {
                    Some(schema) => walk(&path, schema, Some(value), found),
                    None => found.push(unknown(path, name, properties.keys().map(String::as_str))),
                }
            }
        }
        (Some(Value::Object(fields)), None, _, Some(JSONSchemaPropsOrBool::Schema(schema))) => {
            fields.iter().for_each(|(name, value)| walk(&format!("{path}.{name}"), schema, Some(value), found));
        }
        (Some(Value::Array(items)), _, Some(JSONSchemaPropsOrArray::Schema(schema)), _) => {
            items.iter().enumerate().for_each(|(i, item)| walk(&format!("{path}[{i}]"), schema, Some(item), found));
        }
        _ => {}
    }
}

fn unknown<'a>(path: String, name: &str, known: impl IntoIterator<Item = &'a str>) -> Violation {
    let hint = nearest(name, known).map_or_else(|| "remove it".to_owned(), |near| format!("did you mean {near}?"));
    Violation { path, message: format!("is not a field of ConsumerPipeline v1alpha1; {hint}") }
}

/// The known word nearest to `word`, if one is near: at most a third of its letters differ.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word: String = word.chars().take(64).collect();
    known
        .into_iter()
        .map(|candidate| (distance(&word.to_lowercase(), &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= candidate.len().div_ceil(3))
        .min()
        .map(|(_, candidate)| candidate)
}

/// Levenshtein's distance, in one row.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let above = row[j + 1];
            row[j + 1] = (diagonal + usize::from(x != *y)).min(above + 1).min(row[j] + 1);
            diagonal = above;
        }
    }
    row[b.len()]
}
