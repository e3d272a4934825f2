//! The issuers of both kinds, and how several are named. Pure.

use kube::ResourceExt;
use sancho_crds::Acme;

use super::SHOWN;
use crate::doctor::survey::Facts;

/// An Issuer or a ClusterIssuer.
pub struct AnyIssuer<'a> {
    /// `ClusterIssuer ca`, or `Issuer shop/ca`.
    pub words: String,
    /// Its name.
    pub name: String,
    /// An Issuer's namespace.
    pub namespace: Option<String>,
    /// Where it gets certificates.
    pub acme: &'a Acme,
}

/// All that could be read.
pub fn issuers(facts: &Facts) -> impl Iterator<Item = AnyIssuer<'_>> {
    let of_cluster = facts.cluster_issuers.iter().flatten().map(|issuer| {
        let name = issuer.name_any();
        AnyIssuer {
            words: format!("ClusterIssuer {name}"),
            name,
            namespace: None,
            acme: &issuer.spec.acme,
        }
    });
    let of_namespaces = facts.issuers.iter().flatten().map(|issuer| {
        let (name, namespace) = (issuer.name_any(), issuer.namespace().unwrap_or_default());
        AnyIssuer {
            words: format!("Issuer {namespace}/{name}"),
            name,
            namespace: Some(namespace),
            acme: &issuer.spec.acme,
        }
    });
    of_cluster.chain(of_namespaces)
}

/// `ClusterIssuer ca, Issuer shop/ca and more`.
pub fn together(issuers: &[String]) -> String {
    match issuers.get(..SHOWN) {
        Some(shown) if issuers.len() > SHOWN => format!("{} and more", shown.join(", ")),
        _ => issuers.join(", "),
    }
}
