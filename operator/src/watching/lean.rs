//! Objects as a watch shows them, without their `managedFields`.

use std::borrow::Cow;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// An object whose `managedFields` are passed over when it is read. They are half of its text and of no use here, and to
/// read them as the tree that they are takes longer than all the rest.
#[derive(Debug, Clone)]
pub struct Lean<K>(pub(super) K);

impl<'de, K: DeserializeOwned> Deserialize<'de> for Lean<K> {
    /// From JSON alone.
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = Box::<RawValue>::deserialize(from)?;
        read(text.get()).map(Self).map_err(D::Error::custom)
    }
}

#[derive(Deserialize)]
struct Object<'t> {
    #[serde(borrow)]
    metadata: Option<Metadata<'t>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata<'t> {
    #[serde(borrow)]
    managed_fields: Option<&'t RawValue>,
}

fn read<K: DeserializeOwned>(text: &str) -> serde_json::Result<K> {
    let object: Object = serde_json::from_str(text)?;
    let fields = object.metadata.and_then(|metadata| metadata.managed_fields);
    let Some(fields) = fields.map(RawValue::get) else {
        return serde_json::from_str(text);
    };
    // They are a part of the text.
    let begin = fields.as_ptr().addr() - text.as_ptr().addr();
    let (before, behind) = (&text[..begin], &text[begin + fields.len()..]);
    serde_json::from_str(&[before, "null", behind].concat())
}

impl<K: Resource> Resource for Lean<K> {
    type DynamicType = K::DynamicType;
    type Scope = K::Scope;

    fn kind(of: &Self::DynamicType) -> Cow<'_, str> {
        K::kind(of)
    }

    fn group(of: &Self::DynamicType) -> Cow<'_, str> {
        K::group(of)
    }

    fn version(of: &Self::DynamicType) -> Cow<'_, str> {
        K::version(of)
    }

    fn plural(of: &Self::DynamicType) -> Cow<'_, str> {
        K::plural(of)
    }

    fn metadata_api() -> bool {
        K::metadata_api()
    }

    fn meta(&self) -> &ObjectMeta {
        self.0.meta()
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        self.0.meta_mut()
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::{ConfigMap, Secret};
    use kube::ResourceExt;
    use kube::api::{ObjectList, PartialObjectMeta, WatchEvent};
    use serde_json::{Value, json};

    use super::*;

    fn object(managed_fields: &Value) -> Value {
        json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "annotations": { "managedFields": "\"managedFields\":[1]" },
                "managedFields": managed_fields,
                "name": "shop",
                "namespace": "default",
            },
            "data": { "managedFields": "{\"metadata\":{\"managedFields\":[]}}" },
        })
    }

    fn some() -> Value {
        json!([{ "manager": "sancho", "fieldsV1": { "f:data": { ".": {}, "f:managedFields": {} } } }])
    }

    /// As it is read whole, and without them then.
    fn expected(object: &Value) -> ConfigMap {
        let mut whole: ConfigMap = serde_json::from_value(object.clone()).unwrap();
        whole.metadata.managed_fields = None;
        whole
    }

    #[test]
    fn all_but_the_managed_fields_is_read() {
        for fields in [some(), json!([]), json!(null)] {
            let object = object(&fields);
            let Lean(read) = serde_json::from_str::<Lean<ConfigMap>>(&object.to_string()).unwrap();
            assert_eq!(read, expected(&object));
        }
        for text in [r#"{"metadata":{"name":"a"}}"#, "{}", r#"{"metadata":null}"#] {
            let Lean(read) = serde_json::from_str::<Lean<ConfigMap>>(text).unwrap();
            assert_eq!(read, serde_json::from_str(text).unwrap());
        }
        for text in ["", "[", "1", r#"{"data":1}"#] {
            assert!(serde_json::from_str::<Lean<ConfigMap>>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn it_is_read_in_lists_and_events_and_of_metadata_alone() {
        let object = object(&some());
        let list =
            json!({ "apiVersion": "v1", "kind": "ConfigMapList", "metadata": {}, "items": [object, object] });
        let list: ObjectList<Lean<ConfigMap>> = serde_json::from_slice(list.to_string().as_bytes()).unwrap();
        let read: Vec<ConfigMap> = list.items.into_iter().map(|Lean(object)| object).collect();
        assert_eq!(read, [expected(&object), expected(&object)]);
        let event = format!(r#"{{"type":"ADDED","object":{object}}}"#);
        let WatchEvent::Added(Lean(read)) = serde_json::from_str(&event).unwrap() else {
            panic!("another event");
        };
        assert_eq!(expected(&object), read);
        let meta: Lean<PartialObjectMeta<Secret>> = serde_json::from_str(&object.to_string()).unwrap();
        assert_eq!(
            (meta.name_any().as_str(), &meta.meta().managed_fields),
            ("shop", &None)
        );
        assert!(Lean::<PartialObjectMeta<Secret>>::metadata_api());
        assert!(!Lean::<Secret>::metadata_api());
    }
}
