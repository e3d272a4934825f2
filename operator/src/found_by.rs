//! What objects are found by in the watches' stores, besides their names.
//!
//! A replica sees tens of thousands of objects, and each change of one brings a look at a few others: nothing that is
//! done for each of them may look at all of them.

use k8s_openapi::api::core::v1::Secret;
use kube::core::PartialObjectMeta;
use kube::{Resource, ResourceExt};
use sancho_crds::{Certificate, CertificateShard, PresentedRecord};

use crate::secrets::CERTIFICATE_LABEL;

/// A shard: by the Certificate that owns it, by its Secret, by who drives it, by its TXT records.
pub(crate) fn shard(shard: &CertificateShard) -> Vec<String> {
    let owners = shard.owner_references().iter().map(|owner| owned_by(&owner.uid));
    let status = shard.status.as_ref();
    let claim = status.and_then(|status| status.claim.as_ref());
    let driver = claim.map(|claim| driven_by(&claim.holder));
    let records = status.map_or(&[][..], |status| &status.dns_records);
    owners
        .chain([of_secret(shard, &shard.spec.secret_name)])
        .chain(driver)
        .chain(records.iter().map(listing))
        .collect()
}

/// A Certificate: by the Secret that its first shard writes, by the object that owns it.
pub(crate) fn certificate(certificate: &Certificate) -> Vec<String> {
    let owners = certificate
        .owner_references()
        .iter()
        .map(|owner| owned_by(&owner.uid));
    owners
        .chain([of_secret(certificate, &certificate.spec.secret_name)])
        .collect()
}

/// A Secret: by the Certificate whose label it carries.
pub(crate) fn secret(secret: &PartialObjectMeta<Secret>) -> Vec<String> {
    let label = secret.labels().get(CERTIFICATE_LABEL);
    let namespace = secret.namespace().unwrap_or_default();
    label
        .map(|label| labelled(&namespace, label))
        .into_iter()
        .collect()
}

/// Shards of the Certificate with this UID, or Certificates of the Ingress or Gateway with it.
pub(crate) fn owned_by(uid: &str) -> String {
    format!("owned by {uid}")
}

/// Shards or Certificates that write the Secret `name` in the namespace of `beside`, or Ingresses and Gateways that name it.
pub(crate) fn of_secret(beside: &impl Resource, name: &str) -> String {
    secret_of(beside.meta().namespace.as_deref().unwrap_or_default(), name)
}

/// The same of a namespace.
pub(crate) fn secret_of(namespace: &str, name: &str) -> String {
    format!("Secret {namespace}/{name}")
}

/// Shards that this replica drives.
pub(crate) fn driven_by(replica: &str) -> String {
    format!("driven by {replica}")
}

/// Shards that list this TXT record, whichever of their names it is for.
pub(crate) fn listing(record: &PresentedRecord) -> String {
    format!("TXT {} {}", record.record, record.value)
}

/// Secrets of a namespace with this value of [`CERTIFICATE_LABEL`].
pub(crate) fn labelled(namespace: &str, label: &str) -> String {
    format!("of {namespace}/{label}")
}
