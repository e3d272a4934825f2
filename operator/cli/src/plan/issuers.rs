//! The issuers that stand in the same file as Certificates: what they become once it is applied.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use sancho::issuer::{AnyIssuer, IssuerKey};
use sancho_crds::IssuerStatus;

use super::file::{File, Manifest};
use crate::cluster::{AnIssuer, Cluster, Forbidden, Scope, Verdict, if_allowed};

/// An issuer of the file.
pub struct OfFile {
    /// What it becomes; or why the API server would refuse it.
    pub issuer: Result<AnIssuer, String>,
    /// What could not be found out, and what is assumed instead.
    pub remarks: Vec<String>,
}

/// The issuers of `file` that its Certificates name.
///
/// # Errors
/// When the API server cannot be asked.
pub async fn issuers(cluster: &Cluster, file: &File) -> Result<BTreeMap<IssuerKey, OfFile>> {
    let named: BTreeSet<IssuerKey> = file.certificates.iter().filter_map(Manifest::issuer).collect();
    let mut found = BTreeMap::new();
    for manifest in file
        .cluster_issuers
        .iter()
        .filter(|one| named.contains(&one.key()))
    {
        let present = if_allowed(cluster.cluster_issuers().await)?;
        found.insert(manifest.key(), judged(cluster, manifest, present).await?);
    }
    for manifest in file.issuers.iter().filter(|one| named.contains(&one.key())) {
        let scope = Scope::Namespace(manifest.namespace.clone().unwrap_or_default());
        let present = if_allowed(cluster.issuers(&scope).await)?;
        found.insert(manifest.key(), judged(cluster, manifest, present).await?);
    }
    Ok(found)
}

/// One of them, which may be among those that are `present`.
async fn judged<K: AnyIssuer>(
    cluster: &Cluster,
    manifest: &Manifest,
    present: Result<Vec<K>, Forbidden>,
) -> Result<OfFile> {
    let key = manifest.key();
    let present = present
        .unwrap_or_default()
        .into_iter()
        .find(|one| one.key() == key);
    let before = present.as_ref().map(K::meta);
    let judged = cluster
        .judge::<K>(&manifest.object, manifest.namespace.as_deref(), before)
        .await;
    let mut remarks = Vec::new();
    let issuer = match if_allowed(judged)? {
        Ok(Ok(issuer)) => Ok(issuer),
        Ok(Err(Verdict::Refused(words))) => Err(words),
        // That is said of the Certificate.
        Ok(Err(Verdict::NoNamespace(_))) => unjudged(manifest, present.as_ref()),
        Ok(Err(Verdict::NoDryRun(words))) => {
            remarks.push(format!("the API server has not judged {key}: {words}"));
            unjudged(manifest, present.as_ref())
        }
        Err(forbidden) => {
            remarks.push(format!("the API server has not judged {key}: {forbidden}"));
            unjudged(manifest, present.as_ref())
        }
    };
    Ok(OfFile {
        issuer: issuer.map(|issuer| known(&issuer)),
        remarks,
    })
}

/// What the manifest itself says, where the API server has not judged it.
fn unjudged<K: AnyIssuer>(manifest: &Manifest, present: Option<&K>) -> Result<K, String> {
    let written: K = serde_json::from_value(manifest.object.clone()).map_err(|error| error.to_string())?;
    Ok(match present.and_then(K::status) {
        Some(status) => written.with_status(status.clone()),
        None => written,
    })
}

/// What matters of it to a plan.
fn known<K: AnyIssuer>(issuer: &K) -> AnIssuer {
    let acme = issuer.acme();
    // What it knows of a CA that it is no longer for is of no use.
    let is_of_ca = |status: &&IssuerStatus| {
        let server = status.account_server.as_ref();
        server.is_none_or(|server| *server == acme.server)
    };
    AnIssuer {
        acme: acme.clone(),
        allowed: issuer.allowed().cloned(),
        status: issuer.status().filter(is_of_ca).cloned(),
    }
}

#[cfg(test)]
mod tests {
    use sancho_crds::ClusterIssuer;
    use serde_json::{Value, json};

    use super::*;

    fn manifest(server: &Value) -> Manifest {
        Manifest {
            namespace: None,
            name: "ca".into(),
            object: json!({
                "apiVersion": "sancho.dev/v1alpha1", "kind": "ClusterIssuer", "metadata": { "name": "ca" },
                "spec": { "acme": {
                    "server": server, "privateKeySecretRef": { "name": "a" }, "solvers": [],
                } },
            }),
        }
    }

    #[test]
    fn an_edited_issuer_keeps_what_it_knows_unless_it_is_for_another_ca() {
        let server = "https://ca.example/dir";
        let mut present: ClusterIssuer = unjudged(&manifest(&json!(server)), None).unwrap();
        assert!(known(&present).status.is_none());
        present.status = Some(IssuerStatus {
            account_server: Some(server.into()),
            account_url: Some("https://ca.example/acct/1".into()),
            ..Default::default()
        });
        let same: ClusterIssuer = unjudged(&manifest(&json!(server)), Some(&present)).unwrap();
        let account = known(&same).status.and_then(|status| status.account_url);
        assert_eq!(account.as_deref(), Some("https://ca.example/acct/1"));
        let other = manifest(&json!("https://other.example/dir"));
        let other: ClusterIssuer = unjudged(&other, Some(&present)).unwrap();
        assert_eq!(known(&other).acme.server, "https://other.example/dir");
        assert!(known(&other).status.is_none());
        let wrong = unjudged::<ClusterIssuer>(&manifest(&json!(7)), None).unwrap_err();
        assert!(wrong.contains("expected a string"), "{wrong}");
    }
}
