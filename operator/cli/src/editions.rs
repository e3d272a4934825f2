//! Which editions of issuers there are: an issuer that was edited, or made anew, ends the waits of its shards. Pure.

use std::collections::BTreeMap;

use sancho::issuer::{AnyIssuer, Edition, IssuerKey};
use sancho_crds::{CertificateShard, ClusterIssuer, Issuer};

use crate::quotas::issuer;

/// The editions of those issuers that may be read.
#[derive(Debug, Default)]
pub struct Editions {
    by_issuer: BTreeMap<IssuerKey, Edition>,
}

impl Editions {
    /// Those of these issuers.
    pub fn of(cluster_issuers: &[ClusterIssuer], issuers: &[Issuer]) -> Self {
        let of_cluster = cluster_issuers.iter().map(edition);
        Self {
            by_issuer: of_cluster.chain(issuers.iter().map(edition)).collect(),
        }
    }

    /// That of the shard's issuer; one that ends no wait, if it may not be read.
    pub fn for_shard(&self, shard: &CertificateShard) -> Edition {
        self.by_issuer.get(&issuer(shard)).copied().unwrap_or_default()
    }
}

fn edition<K: AnyIssuer>(issuer: &K) -> (IssuerKey, Edition) {
    (issuer.key(), Edition::of(issuer.meta()))
}

#[cfg(test)]
pub mod tests {
    use sancho_crds::IssuerKind;
    use serde_json::json;

    use super::*;
    use crate::status::tests::new_shard;

    /// An issuer of either kind that was edited so often, without a namespace.
    pub fn edited<K: serde::de::DeserializeOwned>(name: &str, generation: i64) -> K {
        let issuer = json!({
            "metadata": {
                "name": name, "generation": generation, "creationTimestamp": "2026-01-01T00:00:00Z",
            },
            "spec": { "acme": {
                "server": "https://ca.example", "privateKeySecretRef": { "name": "a" }, "solvers": [],
            } },
        });
        serde_json::from_value(issuer).unwrap()
    }

    #[test]
    fn a_shard_has_the_edition_of_its_issuer_if_that_may_be_read() {
        let of_cluster: [ClusterIssuer; 1] = [edited("ca", 2)];
        let mut issuers: [Issuer; 1] = [edited("ca", 7)];
        issuers[0].metadata.namespace = Some("default".into());
        let editions = Editions::of(&of_cluster, &issuers);
        let mut shard = new_shard("shop-0", &["a.example"]);
        assert_eq!(editions.for_shard(&shard), Edition::of(&of_cluster[0].metadata));
        shard.spec.issuer_ref.kind = Some(IssuerKind::Issuer);
        assert_eq!(editions.for_shard(&shard), Edition::of(&issuers[0].metadata));
        shard.metadata.namespace = Some("shop".into());
        assert_eq!(editions.for_shard(&shard), Edition::default());
    }
}
