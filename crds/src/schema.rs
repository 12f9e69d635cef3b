//! The CRD as it is served: what kube derives from the types, with every string and list bounded, and no way to name another
//! namespace.

mod unknown;
mod words;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::CustomResourceExt as _;

pub use self::unknown::{nearest, parse};
pub(crate) use self::words::tell_words;
use crate::spec::ConsumerPipeline;

/// Bound of a string that has none of its own: etcd holds 1.5 MB an object, and CEL estimates its cost from this.
const STRING_MAX: i64 = 4096;
/// Bound of a list that has none of its own.
const LIST_MAX: i64 = 64;
/// Bound of a map that has none of its own.
const MAP_MAX: i64 = 64;

/// The CustomResourceDefinition, ready to apply.
pub fn crd() -> CustomResourceDefinition {
    let mut crd = ConsumerPipeline::crd();
    for version in &mut crd.spec.versions {
        if let Some(schema) = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut()) {
            bound(schema);
        }
    }
    crd
}

/// The manifest of `crds/manifests`, generated.
///
/// # Errors
/// Never, for a schema that serialises.
pub fn manifest() -> Result<String, serde_norway::Error> {
    let yaml = serde_norway::to_string(&crd())?;
    Ok(format!("# Generated from crds/src/spec by `make generate`. Do not edit.\n{yaml}"))
}

/// Bounds what Kubernetes' own types leave open, and removes the fields by which an affinity could name other namespaces.
fn bound(schema: &mut JSONSchemaProps) {
    match schema.type_.as_deref() {
        Some("string") if schema.max_length.is_none() && schema.enum_.is_none() => schema.max_length = Some(STRING_MAX),
        Some("array") if schema.max_items.is_none() => schema.max_items = Some(LIST_MAX),
        Some("object") if schema.additional_properties.is_some() && schema.max_properties.is_none() => {
            schema.max_properties = Some(MAP_MAX);
        }
        _ => {}
    }
    if let Some(properties) = &mut schema.properties {
        properties.remove("namespaces");
        properties.remove("namespaceSelector");
        properties.values_mut().for_each(bound);
    }
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
        bound(items);
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &mut schema.additional_properties {
        bound(values);
    }
}

#[cfg(test)]
mod tests;
