//! An Ingress or a Gateway, reduced to the Secrets that it names, with their host names. Pure.

use std::collections::BTreeMap;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::networking::v1::Ingress;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{Resource, ResourceExt};
use sancho_core::shown::shown_within;
use sancho_crds::{CLUSTER_ISSUER_ANNOTATION, ISSUER_ANNOTATION};

use super::gateway::{CertificateRef, Gateway, Listener};
use crate::found_by;
use crate::watching::Kept;

/// Something that is wrong in an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Complaint {
    /// A CamelCase reason.
    pub(super) reason: &'static str,
    /// What is wrong, where, and how to mend it.
    pub(super) message: String,
}

impl Complaint {
    pub(super) fn new(reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
        }
    }
}

/// A Secret that an object names, and the host names that it is to be for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// Where it stands.
    pub(super) place: String,
    /// The Secret; empty if none is named.
    pub(super) secret: String,
    /// The host names, as they are written.
    pub(super) hosts: Vec<String>,
}

/// A kind of object that has Certificates made for it.
pub(super) trait Annotated: Kept + Resource<Scope = NamespaceResourceScope> {
    /// The kind.
    const KIND: Kind;

    /// The Secrets that it names, and what cannot be read as one.
    fn entries(&self) -> (Vec<Entry>, Vec<Complaint>);
}

/// The kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// `networking.k8s.io/v1`.
    Ingress,
    /// `gateway.networking.k8s.io/v1`.
    Gateway,
}

impl Kind {
    /// As manifests write it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Ingress => "Ingress",
            Self::Gateway => "Gateway",
        }
    }

    /// The group of its API.
    pub(super) fn group(self) -> &'static str {
        match self {
            Self::Ingress => "networking.k8s.io",
            Self::Gateway => "gateway.networking.k8s.io",
        }
    }

    /// What names Secrets in it, for messages.
    pub(super) fn entries(self) -> &'static str {
        match self {
            Self::Ingress => "entries of spec.tls",
            Self::Gateway => "listeners",
        }
    }
}

/// An object, reduced to what matters here.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Source {
    pub(super) kind: Kind,
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) uid: String,
    /// It goes already.
    pub(super) is_going: bool,
    pub(super) annotations: BTreeMap<String, String>,
    pub(super) entries: Vec<Entry>,
    /// What could not be read as an entry.
    pub(super) unread: Vec<Complaint>,
    /// What events are about.
    pub(super) about: ObjectReference,
    /// What Certificates are owned by. It does not hold the object's own deletion up, for which a right of its own would
    /// be needed.
    pub(super) owner: Option<OwnerReference>,
}

impl Source {
    pub(super) fn of<K: Annotated>(object: &K) -> Self {
        let (entries, unread) = object.entries();
        Self {
            kind: K::KIND,
            namespace: object.namespace().unwrap_or_default(),
            name: object.name_any(),
            uid: object.uid().unwrap_or_default(),
            is_going: object.meta().deletion_timestamp.is_some(),
            annotations: object.annotations().clone(),
            entries,
            unread,
            about: object.object_ref(&()),
            owner: object.controller_owner_ref(&()),
        }
    }

    /// In words.
    pub(super) fn words(&self) -> String {
        format!("{} {}", self.kind.word(), self.name)
    }
}

/// What an object is found by besides its name: the Secrets that it names, if it is annotated.
pub(super) fn secrets_of<K: Annotated>(object: &K) -> Vec<String> {
    let annotations = object.annotations();
    if ![CLUSTER_ISSUER_ANNOTATION, ISSUER_ANNOTATION]
        .iter()
        .any(|key| annotations.contains_key(*key))
    {
        return Vec::new();
    }
    let (entries, _) = object.entries();
    let mut keys: Vec<String> = entries
        .iter()
        .map(|entry| found_by::of_secret(object, &entry.secret))
        .collect();
    keys.sort();
    keys.dedup();
    keys
}

impl Annotated for Ingress {
    const KIND: Kind = Kind::Ingress;

    fn entries(&self) -> (Vec<Entry>, Vec<Complaint>) {
        let tls = self.spec.as_ref().and_then(|spec| spec.tls.as_deref());
        let entries = tls
            .unwrap_or_default()
            .iter()
            .enumerate()
            .map(|(number, tls)| Entry {
                place: format!("spec.tls[{number}]"),
                secret: tls.secret_name.clone().unwrap_or_default(),
                hosts: tls.hosts.clone().unwrap_or_default(),
            });
        (entries.collect(), Vec::new())
    }
}

impl Annotated for Gateway {
    const KIND: Kind = Kind::Gateway;

    fn entries(&self) -> (Vec<Entry>, Vec<Complaint>) {
        let (mut entries, mut unread) = (Vec::new(), Vec::new());
        let own = self.namespace().unwrap_or_default();
        for listener in &self.spec.listeners {
            let Some(refs) = terminated(listener) else {
                continue;
            };
            let place = format!("listener {}", shown_within(&listener.name, 63));
            for reference in refs.iter().filter(|reference| is_secret(reference)) {
                match reference.namespace.as_deref() {
                    Some(other) if other != own => {
                        let (secret, other) = (shown_within(&reference.name, 80), shown_within(other, 63));
                        let message = format!(
                            "{place}: certificateRefs names Secret {secret} in namespace {other}, and Sancho writes no \
                             Secret across namespaces: name one in {own}, or write a Certificate in {other} yourself"
                        );
                        unread.push(Complaint::new("SecretInAnotherNamespace", message));
                    }
                    _ => entries.push(Entry {
                        place: place.clone(),
                        secret: reference.name.clone(),
                        hosts: listener
                            .hostname
                            .iter()
                            .filter(|host| !host.is_empty())
                            .cloned()
                            .collect(),
                    }),
                }
            }
        }
        (entries, unread)
    }
}

/// What holds the certificates of a listener that ends TLS itself; nothing for one that does not.
fn terminated(listener: &Listener) -> Option<&[CertificateRef]> {
    let tls = listener.tls.as_ref()?;
    let ends = matches!(listener.protocol.as_str(), "HTTPS" | "TLS");
    let mode = tls.mode.as_deref().unwrap_or("Terminate");
    (ends && mode == "Terminate").then_some(tls.certificate_refs.as_slice())
}

/// Anything else that holds certificates is not ours to write.
fn is_secret(reference: &CertificateRef) -> bool {
    reference.group.as_deref().unwrap_or_default().is_empty()
        && reference.kind.as_deref().unwrap_or("Secret") == "Secret"
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_ingress_names_secrets_by_its_tls_entries() {
        let ingress: Ingress = serde_json::from_value(json!({
            "metadata": {
                "name": "web", "namespace": "shop", "uid": "u",
                "annotations": { ISSUER_ANNOTATION: "ca" },
            },
            "spec": { "tls": [
                { "secretName": "a", "hosts": ["a.example", "b.example"] },
                { "secretName": "b" },
                { "hosts": ["c.example"] },
            ] },
        }))
        .unwrap();
        let entry = |place: &str, secret: &str, hosts: &[&str]| Entry {
            place: place.into(),
            secret: secret.into(),
            hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
        };
        let source = Source::of(&ingress);
        assert_eq!(
            source.entries,
            [
                entry("spec.tls[0]", "a", &["a.example", "b.example"]),
                entry("spec.tls[1]", "b", &[]),
                entry("spec.tls[2]", "", &["c.example"]),
            ]
        );
        assert_eq!(source.words(), "Ingress web");
        let owner = source.owner.unwrap();
        assert_eq!(
            (owner.kind.as_str(), owner.controller, owner.block_owner_deletion),
            ("Ingress", Some(true), None)
        );
        assert_eq!(
            secrets_of(&ingress),
            ["Secret shop/", "Secret shop/a", "Secret shop/b"]
        );
        let mut plain = ingress;
        plain.metadata.annotations = None;
        assert!(secrets_of(&plain).is_empty());
    }

    #[test]
    fn a_gateway_names_secrets_by_the_listeners_that_end_tls() {
        let listener = |name: &str, protocol: &str, tls: serde_json::Value| json!({ "name": name, "hostname": "a.example", "port": 443, "protocol": protocol, "tls": tls });
        let refs = |name: &str| json!({ "certificateRefs": [{ "name": name }] });
        let gateway: Gateway = serde_json::from_value(json!({
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "Gateway",
            "metadata": { "name": "front", "namespace": "infra", "uid": "u" },
            "spec": { "gatewayClassName": "test", "listeners": [
                { "name": "plain", "protocol": "HTTP", "port": 80 },
                listener("https", "HTTPS", refs("a")),
                listener("tls", "TLS", json!({ "mode": "Terminate", "certificateRefs": [
                    { "name": "b", "group": "", "kind": "Secret", "namespace": "infra" },
                    { "name": "c", "namespace": "vault" },
                    { "name": "d", "kind": "Other", "group": "example.com" },
                ] })),
                listener("through", "TLS", json!({ "mode": "Passthrough" })),
                { "name": "any", "protocol": "HTTPS", "port": 444, "tls": refs("e") },
            ] },
        }))
        .unwrap();
        let (entries, unread) = gateway.entries();
        let found: Vec<(&str, &str, usize)> = entries
            .iter()
            .map(|entry| (entry.place.as_str(), entry.secret.as_str(), entry.hosts.len()))
            .collect();
        assert_eq!(
            found,
            [
                ("listener https", "a", 1),
                ("listener tls", "b", 1),
                ("listener any", "e", 0)
            ]
        );
        let words: Vec<&str> = unread
            .iter()
            .map(|complaint| complaint.message.as_str())
            .collect();
        assert_eq!(
            words,
            [
                "listener tls: certificateRefs names Secret c in namespace vault, and Sancho writes no Secret across \
                 namespaces: name one in infra, or write a Certificate in vault yourself"
            ]
        );
    }
}
