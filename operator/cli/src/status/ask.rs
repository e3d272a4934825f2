//! Asks the API server for all that `status` tells, once or again and again.

use anyhow::Result;
use jiff::{SignedDuration, Timestamp};

use super::{CertificateView, views_beside};
use crate::cluster::{Cluster, Scope, if_allowed};
use crate::editions::Editions;
use crate::quotas::Told;

/// So long what the other shards were told of quotas is taken as it was. Between two looks at all shards only those of the
/// Certificate are read, if one is named.
const QUOTAS_AGE: SignedDuration = SignedDuration::from_secs(60);

/// What is looked at.
pub struct Looker<'a> {
    cluster: &'a Cluster,
    scope: &'a Scope,
    name: Option<&'a str>,
    /// What the shards were told of quotas, once all of them were read, and when that was.
    told: Option<(Told, Timestamp)>,
}

impl<'a> Looker<'a> {
    /// Looks at the Certificates of `scope`, or at those of this name.
    pub fn new(cluster: &'a Cluster, scope: &'a Scope, name: Option<&'a str>) -> Self {
        Self {
            cluster,
            scope,
            name,
            told: None,
        }
    }

    /// Is it a Certificate that is looked at, and not all of them?
    pub fn is_at_one(&self) -> bool {
        self.name.is_some()
    }

    /// How they are now.
    ///
    /// # Errors
    /// When what cannot be done without may not be read, or the Certificate is not there.
    pub async fn look(&mut self, now: Timestamp) -> Result<Vec<CertificateView>> {
        let certificates = self.cluster.certificates(self.scope, self.name).await?;
        let editions = self.editions().await?;
        let fresh = self.told.take_if(|(_, at)| now.duration_since(*at) < QUOTAS_AGE);
        let (shards, told) = match (self.name, fresh) {
            (Some(name), Some((mut told, at))) => {
                let own = self.cluster.shards_of(self.scope, name).await?;
                told.note(&own);
                (own, (told, at))
            }
            _ => {
                let all = self.cluster.shards(self.scope).await?;
                let told = Told::to(&all);
                (all, (told, now))
            }
        };
        let (told, _) = self.told.insert(told);
        Ok(views_beside(told, &certificates, &shards, &editions, now))
    }

    /// The editions of the issuers, as far as they may be read.
    async fn editions(&self) -> Result<Editions> {
        let of_cluster = if_allowed(self.cluster.cluster_issuers().await)?.unwrap_or_default();
        let issuers = if_allowed(self.cluster.issuers(self.scope).await)?.unwrap_or_default();
        Ok(Editions::of(&of_cluster, &issuers))
    }
}
