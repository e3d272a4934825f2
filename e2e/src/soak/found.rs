//! What is there, and what of it is not as the last manifests ask for. The judgement is pure.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, ensure};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client, ResourceExt};
use sancho_crds::{Certificate, CertificateShard, REVOKE_ANNOTATION, condition};

use super::wish::{LABEL, Wish};
use crate::certificates::Leaf;
use crate::end_state::fits;

/// All that Sancho has in the namespace `default`.
pub struct Found {
    certificates: BTreeMap<String, Certificate>,
    shards: Vec<CertificateShard>,
    secrets: BTreeMap<String, Secret>,
}

impl Found {
    /// Looks.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn look(client: &Client) -> Result<Self> {
        let certificates: Api<Certificate> = Api::namespaced(client.clone(), "default");
        let shards: Api<CertificateShard> = Api::namespaced(client.clone(), "default");
        let secrets: Api<Secret> = Api::namespaced(client.clone(), "default");
        let all = Default::default();
        let named = |certificate: Certificate| (certificate.name_any(), certificate);
        Ok(Found {
            certificates: certificates.list(&all).await?.into_iter().map(named).collect(),
            shards: shards.list(&all).await?.items,
            secrets: secrets
                .list(&all)
                .await?
                .into_iter()
                .map(|secret| (secret.name_any(), secret))
                .collect(),
        })
    }

    /// How many shards there are.
    pub fn shards(&self) -> usize {
        self.shards.len()
    }

    /// The certificates that are served, by their Secrets.
    pub fn served(&self) -> BTreeMap<String, Leaf> {
        let names = self.shards.iter().map(|shard| &shard.spec.secret_name);
        names
            .filter_map(|name| Some((name.clone(), self.leaf(name).ok()?)))
            .collect()
    }

    /// What is not as the last manifests ask for, or has not come to rest; one line each.
    pub fn problems(&self, wishes: &[Wish], now: Timestamp) -> Vec<String> {
        let mut problems = Vec::new();
        for wish in wishes {
            let name = &wish.name;
            match (wish.is_there, self.certificates.get(name)) {
                (true, Some(certificate)) => problems.extend(self.of_certificate(wish, certificate)),
                (true, None) => problems.push(format!("{name}: it is not there")),
                (false, Some(_)) => problems.push(format!("{name}: it was deleted, and is there")),
                (false, None) => {}
            }
        }
        for shard in &self.shards {
            let owner = wishes.iter().find(|wish| wish.name == shard.spec.certificate);
            match owner.filter(|wish| wish.is_there) {
                Some(wish) => problems.extend(self.of_shard(wish, shard, now)),
                None => problems.push(format!("{}: a shard of nobody", shard.name_any())),
            }
        }
        for (name, secret) in &self.secrets {
            let is_tls = secret.type_.as_deref() == Some("kubernetes.io/tls");
            if !is_tls {
                problems.push(format!("Secret {name}: it holds no certificate, and is left"));
            }
            if secret.annotations().contains_key(REVOKE_ANNOTATION) {
                problems.push(format!("Secret {name}: it is still to be revoked"));
            }
        }
        problems
    }

    fn of_certificate(&self, wish: &Wish, certificate: &Certificate) -> Vec<String> {
        let mut problems = Vec::new();
        let mut expect = |holds: bool, what: String| {
            if !holds {
                problems.push(format!("{}: {what}", wish.name));
            }
        };
        let status = certificate.status.clone().unwrap_or_default();
        let ready = condition(&status.conditions, "Ready");
        expect(
            status.observed_generation == certificate.metadata.generation
                && ready.is_some_and(|ready| ready.status == "True"),
            format!(
                "generation {:?}, observed {:?}, {ready:?}",
                certificate.metadata.generation, status.observed_generation
            ),
        );
        let asked = u32::try_from(wish.dns_names.len()).ok();
        expect(
            status.names == asked && status.ready_names == asked,
            format!(
                "{:?} of {:?} names ready, {asked:?} asked for",
                status.ready_names, status.names
            ),
        );
        expect(
            status.plan.is_some_and(|plan| plan.settled),
            "its plan is not settled".into(),
        );
        expect(
            !certificate.annotations().contains_key(REVOKE_ANNOTATION),
            "it is still to be revoked".into(),
        );
        let uid = certificate.uid();
        let own = self
            .shards
            .iter()
            .filter(|shard| shard.spec.certificate == wish.name);
        let mut names = BTreeSet::new();
        for shard in own {
            expect(
                shard
                    .owner_references()
                    .iter()
                    .any(|owner| Some(&owner.uid) == uid.as_ref()),
                format!("shard {} belongs to another one of that name", shard.name_any()),
            );
            for name in &shard.spec.dns_names {
                expect(names.insert(name.clone()), format!("{name} is in two shards"));
            }
        }
        expect(
            names == wish.dns_names,
            format!("its shards have {names:?}, and {:?} is asked for", wish.dns_names),
        );
        problems
    }

    fn of_shard(&self, wish: &Wish, shard: &CertificateShard, now: Timestamp) -> Vec<String> {
        let mut problems = Vec::new();
        let mut expect = |holds: bool, what: String| {
            if !holds {
                problems.push(format!("{}: {what}", shard.name_any()));
            }
        };
        let status = shard.status.clone().unwrap_or_default();
        let spec = &shard.spec;
        expect(
            status.order.is_none(),
            format!("an order is under way: {:?}", status.order),
        );
        expect(
            status.claim.is_none(),
            format!("it is claimed: {:?}", status.claim),
        );
        expect(
            status.quarantine.is_empty(),
            format!("names are left out: {:?}", status.quarantine),
        );
        expect(
            status.failure.is_none(),
            format!("it has failed: {:?}", status.failure),
        );
        expect(
            status.renewed == spec.renew,
            format!("renewed for {:?}, asked {:?}", status.renewed, spec.renew),
        );
        expect(
            spec.revoke.is_none() && status.revoke_seen.is_none(),
            format!("to be revoked: {:?}, seen {:?}", spec.revoke, status.revoke_seen),
        );
        expect(
            spec.dns_names.len() <= wish.max_names as usize,
            format!("{} names, {} allowed", spec.dns_names.len(), wish.max_names),
        );
        expect(
            spec.secret_name.starts_with(&wish.secret_name()),
            format!(
                "its Secret is {}, {} is asked for",
                spec.secret_name,
                wish.secret_name()
            ),
        );
        let secrets: Vec<_> = self.secrets.get(&spec.secret_name).into_iter().collect();
        if let Err(error) = serde_json::to_value(shard)
            .map_err(anyhow::Error::from)
            .and_then(|shard| fits(&shard, &[serde_json::to_value(secrets.first())?]))
        {
            expect(false, format!("{error:#}"));
        }
        match self.leaf(&spec.secret_name) {
            Err(error) => expect(false, format!("{error:#}")),
            Ok(leaf) => {
                let names: BTreeSet<&String> = leaf.dns_names.iter().collect();
                expect(
                    names == spec.dns_names.iter().collect(),
                    format!(
                        "its certificate has {names:?}, and {:?} is asked for",
                        spec.dns_names
                    ),
                );
                expect(now < leaf.not_after, format!("it expired at {}", leaf.not_after));
                expect(
                    leaf.public_key.len() == wish.key.der_length(),
                    format!(
                        "its key has {} bytes, {:?} is asked for",
                        leaf.public_key.len(),
                        wish.key
                    ),
                );
            }
        }
        let label = secrets
            .first()
            .and_then(|secret| secret.labels().get(LABEL).cloned());
        expect(
            label == wish.label.map(|label| label.to_string()),
            format!("its Secret's label is {label:?}, {:?} is asked for", wish.label),
        );
        problems
    }

    fn leaf(&self, name: &str) -> Result<Leaf> {
        let data = self.secrets.get(name).and_then(|secret| secret.data.as_ref());
        let field = |field: &str| data.and_then(|data| data.get(field)).map(|bytes| bytes.0.clone());
        let leaf = Leaf::read(&field("tls.crt").unwrap_or_default())?;
        ensure!(
            leaf.is_of_key(&field("tls.key").unwrap_or_default())?,
            "Secret {name}: the key is not its certificate's"
        );
        Ok(leaf)
    }
}
