//! The reference of the resource for people: what `kubectl explain` says, on one page.

use std::fmt::Write as _;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};

/// Fields whose type is Kubernetes' own, which is documented there.
const KUBERNETES: [(&str, &str); 20] = [
    ("affinity", "Affinity"),
    ("conditions", "[]Condition"),
    ("configMap", "ConfigMapVolumeSource"),
    ("emptyDir", "EmptyDirVolumeSource"),
    ("env", "[]EnvVar"),
    ("envFrom", "[]EnvFromSource"),
    ("imagePullSecrets", "[]LocalObjectReference"),
    ("livenessProbe", "Probe"),
    ("nodeSelector", "map of string"),
    ("podAnnotations", "map of string"),
    ("podLabels", "map of string"),
    ("properties", "map of string"),
    ("readinessProbe", "Probe"),
    ("resources", "ResourceRequirements"),
    ("secret", "SecretVolumeSource"),
    ("startupProbe", "Probe"),
    ("timestamp", "time (RFC 3339)"),
    ("tolerations", "[]Toleration"),
    ("topologySpreadConstraints", "[]TopologySpreadConstraint"),
    ("volumeMounts", "[]VolumeMount"),
];

const HEAD: &str = "<!-- Generated from the CRD by `make generate`. Do not edit. -->
# ConsumerPipeline (`penstock.dev/v1alpha1`, short name `cpl`)

The same words are in `kubectl explain consumerpipeline.spec`. Types named like `Probe` or `[]EnvVar` are Kubernetes' own.
Durations are one number and one unit: `500ms`, `30s`, `10m`, `2h`. No field has a default in the schema; what holds unless you
write something is told with each field. Unknown fields are refused by `kubectl apply --validate=strict`.
";

/// Fields of the spec in the order a person thinks; what is not listed comes after, by name.
const ORDER: [&str; 9] =
    ["kafka", "source", "processor", "delivery", "output", "scaling", "worker", "replicas", "paused"];

/// The page, from the schema of one version.
pub fn reference(schema: &JSONSchemaProps) -> String {
    let mut page = HEAD.to_owned();
    for (name, part) in
        schema.properties.iter().flatten().filter(|(name, _)| ["spec", "status"].contains(&name.as_str()))
    {
        section(name, part, &mut page);
    }
    page
}

/// A table of an object's fields, then one section for each field that is an object of ours.
fn section(path: &str, schema: &JSONSchemaProps, page: &mut String) {
    let _ = write!(page, "\n## {path}\n\n");
    if let Some(description) = &schema.description {
        let _ = write!(page, "{description}\n\n");
    }
    page.push_str("| field | type | meaning |\n|---|---|---|\n");
    let required = schema.required.as_deref().unwrap_or_default();
    for (name, field) in fields(schema) {
        let must = if required.contains(name) { " **required**" } else { "" };
        let words = field.description.as_deref().unwrap_or_default();
        let notes = limits(field);
        let _ = writeln!(page, "| `{name}`{must} | {} | {} |", type_of(name, field), cell(&[words, &notes].join(" ")));
    }
    let rules = schema.x_kubernetes_validations.iter().flatten().filter_map(|rule| rule.message.as_deref());
    let rules: Vec<&str> = rules.collect();
    if !rules.is_empty() {
        page.push_str("\nRefused at once:\n\n");
        for rule in rules {
            let _ = writeln!(page, "- {rule}");
        }
    }
    for (name, field) in fields(schema).into_iter().filter(|(name, _)| kubernetes(name).is_none()) {
        let (path, inner) = match (&field.items, field.type_.as_deref()) {
            (Some(JSONSchemaPropsOrArray::Schema(items)), _) => (format!("{path}.{name}[]"), items.as_ref()),
            _ => (format!("{path}.{name}"), field),
        };
        if inner.properties.is_some() {
            section(&path, inner, page);
        }
    }
}

fn fields(schema: &JSONSchemaProps) -> Vec<(&String, &JSONSchemaProps)> {
    let mut fields: Vec<_> = schema.properties.iter().flatten().collect();
    fields.sort_by_key(|(name, _)| ORDER.iter().position(|known| known == name).unwrap_or(ORDER.len()));
    fields
}

fn kubernetes(name: &str) -> Option<&'static str> {
    KUBERNETES.iter().find(|(field, _)| *field == name).map(|(_, type_)| *type_)
}

fn type_of(name: &str, schema: &JSONSchemaProps) -> String {
    if let Some(type_) = kubernetes(name) {
        return type_.to_owned();
    }
    let of = |schema: &JSONSchemaProps| schema.type_.clone().unwrap_or_else(|| "object".to_owned());
    match (&schema.items, &schema.additional_properties) {
        (Some(JSONSchemaPropsOrArray::Schema(items)), _) => format!("[]{}", of(items)),
        (_, Some(JSONSchemaPropsOrBool::Schema(values))) => format!("map of {}", of(values)),
        _ if schema.pattern.as_deref().is_some_and(|pattern| pattern.ends_with("(ms|s|m|h)$")) => "duration".to_owned(),
        _ => of(schema),
    }
}

/// Bounds and words that are allowed.
fn limits(schema: &JSONSchemaProps) -> String {
    if let Some(words) = &schema.enum_ {
        let words: Vec<String> = words.iter().filter_map(|word| Some(format!("`{}`", word.0.as_str()?))).collect();
        return format!("({})", words.join(", "));
    }
    match (schema.minimum, schema.maximum, schema.max_items) {
        (Some(least), Some(most), _) => format!("({least} to {most})"),
        (_, _, Some(most)) if schema.items.is_some() => format!("(at most {most})"),
        _ => String::new(),
    }
}

fn cell(text: &str) -> String {
    text.trim().replace('|', "\\|").replace('\n', " ")
}
