//! Which fields a CustomResourceDefinition has. Pure.

use std::collections::BTreeSet;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray,
};
use sancho_crds::VERSION;

/// The paths of all fields of this version's schema, such as `spec.acme.server`. Empty if it is not there.
pub fn fields(crd: &CustomResourceDefinition) -> BTreeSet<String> {
    let version = crd.spec.versions.iter().find(|version| version.name == VERSION);
    let schema = version
        .and_then(|version| version.schema.as_ref())
        .and_then(|schema| schema.open_api_v3_schema.as_ref());
    let mut found = BTreeSet::new();
    if let Some(schema) = schema {
        walk(schema, "", &mut found);
    }
    found
}

fn walk(schema: &JSONSchemaProps, path: &str, found: &mut BTreeSet<String>) {
    for (name, inner) in schema.properties.iter().flatten() {
        let path = if path.is_empty() {
            name.clone()
        } else {
            format!("{path}.{name}")
        };
        walk(inner, &path, found);
        found.insert(path);
    }
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &schema.items {
        walk(items, path, found);
    }
}

#[cfg(test)]
mod tests {
    use kube::CustomResourceExt;
    use sancho_crds::Certificate;

    use super::*;

    #[test]
    fn fields_of_objects_and_lists_are_found() {
        let found = fields(&Certificate::crd());
        for field in ["spec.dnsNames", "spec.sharding.groups.name", "status.plan.hash"] {
            assert!(found.contains(field), "no {field} in {found:?}");
        }
    }
}
