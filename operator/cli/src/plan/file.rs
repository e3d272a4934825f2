//! What a file has for a plan: Certificates, and the issuers and namespaces beside them. Pure.

use std::collections::BTreeSet;

use anyhow::{Result, anyhow};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use sancho::issuer::IssuerKey;
use sancho_crds::{Certificate, GROUP};
use serde_json::Value;

use crate::cluster::in_place_of;

/// An object of the file.
#[derive(Debug)]
pub struct Manifest {
    /// The namespace that it is for, if its kind has namespaces.
    pub namespace: Option<String>,
    /// Its name; empty if it has none.
    pub name: String,
    /// As it is written.
    pub object: Value,
}

/// What matters in it.
#[derive(Debug, Default)]
pub struct File {
    /// The Certificates.
    pub certificates: Vec<Manifest>,
    /// The ClusterIssuers.
    pub cluster_issuers: Vec<Manifest>,
    /// The Issuers.
    pub issuers: Vec<Manifest>,
    /// The namespaces that it makes.
    pub namespaces: BTreeSet<String>,
}

impl Manifest {
    fn of(object: &Value, namespace: Option<String>) -> Self {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        Self {
            namespace,
            name: name.to_owned(),
            object: object.clone(),
        }
    }

    /// The issuer that it is.
    pub fn key(&self) -> IssuerKey {
        IssuerKey {
            namespace: self.namespace.clone(),
            name: self.name.clone(),
        }
    }

    /// The issuer that it names, if it is a Certificate that names one.
    pub fn issuer(&self) -> Option<IssuerKey> {
        let reference = &self.object["spec"]["issuerRef"];
        let is_of_cluster = reference["kind"] == "ClusterIssuer";
        Some(IssuerKey {
            namespace: self.namespace.clone().filter(|_| !is_of_cluster),
            name: reference["name"].as_str()?.to_owned(),
        })
    }

    /// The Certificate that it becomes in the place of `present`, where the API server has not judged it.
    ///
    /// # Errors
    /// Why it is none.
    pub fn unjudged(&self, present: Option<&Certificate>, now: Timestamp) -> Result<Certificate, String> {
        let object = in_place_of(&self.object, present.map(|present| &present.metadata));
        let mut certificate: Certificate =
            serde_json::from_value(object).map_err(|error| error.to_string())?;
        certificate.metadata.namespace.clone_from(&self.namespace);
        certificate.metadata.creation_timestamp.get_or_insert(Time(now));
        certificate.status = present.and_then(|present| present.status.clone());
        Ok(certificate)
    }
}

/// What the objects of a file are; those without a namespace are for `home`.
///
/// # Errors
/// When there is no Certificate among them.
pub fn read(objects: &[Value], home: &str) -> Result<File> {
    let mut file = File::default();
    for object in objects {
        let version = object["apiVersion"].as_str().unwrap_or_default();
        let is_ours = version.split('/').next() == Some(GROUP);
        match object["kind"].as_str() {
            Some("Certificate") if is_ours => {
                file.certificates
                    .push(Manifest::of(object, Some(namespace(object, home))));
            }
            Some("Issuer") if is_ours => {
                file.issuers
                    .push(Manifest::of(object, Some(namespace(object, home))));
            }
            Some("ClusterIssuer") if is_ours => file.cluster_issuers.push(Manifest::of(object, None)),
            Some("Namespace") if version == "v1" => {
                let name = object["metadata"]["name"].as_str();
                file.namespaces.extend(name.map(str::to_owned));
            }
            _ => {}
        }
    }
    if file.certificates.is_empty() {
        return Err(anyhow!("there is no Certificate of sancho.dev in it"));
    }
    Ok(file)
}

fn namespace(object: &Value, home: &str) -> String {
    let own = object["metadata"]["namespace"].as_str();
    own.filter(|own| !own.is_empty()).unwrap_or(home).to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_file_has_certificates_issuers_and_namespaces_and_what_is_of_others_is_passed_over() {
        let ours = "sancho.dev/v1alpha1";
        let file = read(
            &[
                json!({ "apiVersion": "cert-manager.io/v1", "kind": "Certificate", "metadata": { "name": "x" } }),
                json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "web" } }),
                json!({ "apiVersion": ours, "kind": "Certificate", "metadata": { "name": "shop" } }),
                json!({
                    "apiVersion": ours, "kind": "Certificate",
                    "metadata": { "name": "shop", "namespace": "web" },
                    "spec": { "issuerRef": { "name": "own" } },
                }),
                json!({
                    "apiVersion": ours, "kind": "Certificate", "metadata": { "name": "front" },
                    "spec": { "issuerRef": { "name": "ca", "kind": "ClusterIssuer" } },
                }),
                json!({
                    "apiVersion": ours, "kind": "Issuer", "metadata": { "name": "own", "namespace": "web" },
                }),
                json!({ "apiVersion": ours, "kind": "ClusterIssuer", "metadata": { "name": "ca" } }),
                json!("no object"),
            ],
            "home",
        )
        .unwrap();
        let found = file.certificates.iter();
        let found: Vec<(Option<&str>, &str)> = found
            .map(|found| (found.namespace.as_deref(), found.name.as_str()))
            .collect();
        assert_eq!(
            found,
            [
                (Some("home"), "shop"),
                (Some("web"), "shop"),
                (Some("home"), "front")
            ]
        );
        let named: Vec<Option<IssuerKey>> = file.certificates.iter().map(Manifest::issuer).collect();
        let there = [&file.issuers[0], &file.cluster_issuers[0]].map(Manifest::key);
        let [own, ca] = there.map(Some);
        assert_eq!(named, [None, own, ca]);
        assert_eq!(file.namespaces, BTreeSet::from(["web".to_owned()]));
        let none = read(&[json!({ "kind": "Secret" })], "web").unwrap_err();
        assert!(
            none.to_string().contains("no Certificate of sancho.dev"),
            "{none}"
        );
    }

    #[test]
    fn what_was_not_judged_is_read_here() {
        let manifest = |names: Value| Manifest {
            namespace: Some("web".into()),
            name: "shop".into(),
            object: json!({
                "apiVersion": "sancho.dev/v1alpha1", "kind": "Certificate", "metadata": { "name": "shop" },
                "spec": { "secretName": "shop", "issuerRef": { "name": "ca" }, "dnsNames": names },
            }),
        };
        let read = manifest(json!(["a.example"])).unjudged(None, Timestamp::UNIX_EPOCH);
        let read = read.unwrap();
        assert_eq!(read.metadata.namespace.as_deref(), Some("web"));
        assert_eq!(
            read.metadata.creation_timestamp,
            Some(Time(Timestamp::UNIX_EPOCH))
        );
        let wrong = manifest(json!("a.example")).unjudged(None, Timestamp::UNIX_EPOCH);
        assert!(wrong.unwrap_err().contains("expected a sequence"));
        let mut present = read;
        present.metadata.uid = Some("u".into());
        let again = manifest(json!(["b.example"])).unjudged(Some(&present), Timestamp::MAX);
        let again = again.unwrap();
        assert_eq!(again.metadata.uid.as_deref(), Some("u"));
        assert_eq!(again.spec.dns_names, ["b.example"]);
        assert_eq!(
            again.metadata.creation_timestamp,
            present.metadata.creation_timestamp
        );
    }
}
