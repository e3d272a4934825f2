//! What is there, and what of it is not as the last manifests ask for. The judgement is pure.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client, ResourceExt};
use sancho_crds::{
    Certificate, CertificateShard, ClusterIssuer, REVOKE_ANNOTATION, SecretDeletionPolicy, condition,
};
use x509_parser::pem::parse_x509_pem;

use super::window::Window;
use super::wish::{Format, LABEL, Wish};
use crate::certificates::Leaf;
use crate::end_state::fits;

/// How long after a renewal is due at the latest it may still not be there, once nothing hinders it.
const LATE: SignedDuration = SignedDuration::from_secs(30);

/// All that Sancho has in the namespace `default`.
#[derive(Default)]
pub struct Found {
    certificates: BTreeMap<String, Certificate>,
    shards: Vec<CertificateShard>,
    secrets: BTreeMap<String, Secret>,
    /// The issuers' accounts at the CA.
    accounts: BTreeMap<String, Option<String>>,
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
        let issuers: Api<ClusterIssuer> = Api::all(client.clone());
        let all = Default::default();
        let named = |certificate: Certificate| (certificate.name_any(), certificate);
        let account =
            |issuer: ClusterIssuer| (issuer.name_any(), issuer.status.unwrap_or_default().account_url);
        Ok(Found {
            certificates: certificates.list(&all).await?.into_iter().map(named).collect(),
            shards: shards.list(&all).await?.items,
            secrets: secrets
                .list(&all)
                .await?
                .into_iter()
                .map(|secret| (secret.name_any(), secret))
                .collect(),
            accounts: issuers.list(&all).await?.into_iter().map(account).collect(),
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
            let name = shard.name_any();
            let Some(wish) = owner.filter(|wish| wish.is_there) else {
                problems.push(format!("{name}: a shard of nobody"));
                continue;
            };
            let found = [
                of_status(shard),
                self.of_plan(wish, shard),
                self.of_secret(wish, shard, now),
            ];
            problems.extend(found.concat().iter().map(|what| format!("{name}: {what}")));
        }
        for (name, secret) in &self.secrets {
            let is_tls = secret.type_.as_deref() == Some("kubernetes.io/tls");
            if !is_tls {
                problems.push(format!("Secret {name}: it holds no certificate, and is left"));
            }
            if secret.annotations().contains_key(REVOKE_ANNOTATION) {
                problems.push(format!("Secret {name}: it is still to be revoked"));
            }
            problems.extend(
                self.of_owners(secret)
                    .map(|what| format!("Secret {name}: {what}")),
            );
        }
        problems
    }

    /// What is not as `rotationPolicy` has it of certificates that took the place of those in `before`.
    pub fn problems_of_keys(&self, before: &Found, wishes: &[Wish], windows: &[Window]) -> Vec<String> {
        let mut problems = Vec::new();
        for (wish, window) in wishes.iter().zip(windows) {
            let Some(is_kept) = window.is_key_kept() else {
                continue;
            };
            for secret in self.secrets_of(wish).intersection(&before.secrets_of(wish)) {
                let uid = |found: &Found| found.secrets.get(*secret).and_then(ResourceExt::uid);
                let (Ok(was), Ok(is)) = (before.leaf(secret), self.leaf(secret)) else {
                    continue;
                };
                let is_same = was.public_key == is.public_key;
                if uid(self) == uid(before) && was.serial != is.serial && is_same != is_kept {
                    let kept = if is_same { "the same key" } else { "another key" };
                    problems.push(format!("Secret {secret}: its next certificate has {kept}"));
                }
            }
        }
        problems
    }

    /// The Secrets of a Certificate's shards.
    fn secrets_of(&self, wish: &Wish) -> BTreeSet<&str> {
        let shards = self.shards.iter();
        shards
            .filter(|shard| shard.spec.certificate == wish.name)
            .map(|shard| shard.spec.secret_name.as_str())
            .collect()
    }

    /// A Secret goes with a shard only if that is there and says so.
    fn of_owners(&self, secret: &Secret) -> Option<String> {
        let is_tls = secret.type_.as_deref() == Some("kubernetes.io/tls");
        let owners = secret.owner_references().iter().filter(|_| is_tls);
        let mut shards = owners.filter(|owner| owner.kind == "CertificateShard");
        let is_right = |uid: &String| {
            let shard = self.shards.iter().find(|shard| shard.uid().as_ref() == Some(uid));
            shard.is_some_and(is_deleting)
        };
        let wrong = shards.find(|owner| !is_right(&owner.uid))?;
        Some(format!(
            "it goes with shard {}, which is gone or lets it stay",
            wrong.name
        ))
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

    /// Is the shard's spec as the manifest has it?
    fn of_plan(&self, wish: &Wish, shard: &CertificateShard) -> Vec<String> {
        let mut expect = Expect::default();
        let spec = &shard.spec;
        let count = spec.dns_names.len();
        expect.that(count <= wish.max_names as usize, || {
            format!("{count} names, {} allowed", wish.max_names)
        });
        expect.that(spec.kept_names.is_empty(), || {
            format!("it keeps {:?} for others", spec.kept_names)
        });
        let group = spec.group.as_deref();
        let name = wish.secret_name(group, spec.index);
        expect.that(spec.secret_name == name, || {
            format!("its Secret is {}, {name} is asked for", spec.secret_name)
        });
        for name in &spec.dns_names {
            let wanted = wish.group_of(name);
            expect.that(wanted == group, || {
                format!("{name} is in group {group:?}, not {wanted:?}")
            });
        }
        let domains: BTreeSet<&str> = spec
            .dns_names
            .iter()
            .filter_map(|name| Some(name.split_once('.')?.1))
            .collect();
        expect.that(!wish.is_by_domain || domains.len() <= 1, || {
            format!("it mixes {domains:?}")
        });
        expect.that(is_deleting(shard) == wish.is_deleting, || {
            format!("its Secret's end is {:?}", spec.secret_deletion_policy)
        });
        let issued = shard.status.as_ref().and_then(|status| status.issued.as_ref());
        let account = issued.and_then(|issued| issued.account_url.as_ref());
        let wanted = self.accounts.get(wish.issuer).and_then(Option::as_ref);
        expect.that(wanted.is_some() && account == wanted, || {
            format!("its certificate is of {account:?}, {wanted:?} is asked for")
        });
        expect.not
    }

    /// Does its Secret hold what the manifest asks for?
    fn of_secret(&self, wish: &Wish, shard: &CertificateShard, now: Timestamp) -> Vec<String> {
        let mut expect = Expect::default();
        let spec = &shard.spec;
        let secret = self.secrets.get(&spec.secret_name);
        let fitting = serde_json::to_value(shard)
            .map_err(anyhow::Error::from)
            .and_then(|shard| fits(&shard, &[serde_json::to_value(secret)?]));
        expect.well(fitting);
        match self.leaf(&spec.secret_name) {
            Err(error) => expect.well(Err(error)),
            Ok(leaf) => {
                let names: BTreeSet<&String> = leaf.dns_names.iter().collect();
                expect.that(names == spec.dns_names.iter().collect(), || {
                    format!(
                        "its certificate has {names:?}, and {:?} is asked for",
                        spec.dns_names
                    )
                });
                expect.that(now < leaf.not_after, || {
                    format!("it expired at {}", leaf.not_after)
                });
                let before = wish
                    .renew_before
                    .map(|seconds| SignedDuration::from_secs(seconds.into()));
                let latest = before.map(|before| leaf.not_after - before + LATE);
                expect.that(latest.is_none_or(|latest| now < latest), || {
                    format!("it was to be renewed by {latest:?}")
                });
                let length = leaf.public_key.len();
                expect.that(length == wish.key.der_length(), || {
                    format!("its key has {length} bytes, {:?} is asked for", wish.key)
                });
            }
        }
        let Some(secret) = secret else {
            return expect.not;
        };
        let label = secret.labels().get(LABEL).cloned();
        expect.that(label == wish.label.map(|label| label.to_string()), || {
            format!("its Secret's label is {label:?}, {:?} is asked for", wish.label)
        });
        let owners = secret.owner_references();
        let is_owned = owners
            .iter()
            .any(|owner| Some(&owner.uid) == shard.uid().as_ref());
        expect.that(is_owned == wish.is_deleting, || {
            format!("its Secret is owned by {owners:?}")
        });
        expect.well(has_forms(secret, &wish.formats));
        expect.not
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

/// What does not hold.
#[derive(Default)]
struct Expect {
    not: Vec<String>,
}

impl Expect {
    /// This is to hold; if not, `what` says what is so.
    fn that(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.not.push(what());
        }
    }

    /// This is to be well.
    fn well(&mut self, result: Result<()>) {
        self.not.extend(result.err().map(|error| format!("{error:#}")));
    }
}

/// Has the shard come to rest?
fn of_status(shard: &CertificateShard) -> Vec<String> {
    let mut expect = Expect::default();
    let status = shard.status.clone().unwrap_or_default();
    let spec = &shard.spec;
    expect.that(status.order.is_none(), || {
        format!("an order is under way: {:?}", status.order)
    });
    expect.that(status.claim.is_none(), || {
        format!("it is claimed: {:?}", status.claim)
    });
    expect.that(status.quarantine.is_empty(), || {
        format!("names are left out: {:?}", status.quarantine)
    });
    expect.that(status.failure.is_none(), || {
        format!("it has failed: {:?}", status.failure)
    });
    expect.that(status.renewed == spec.renew, || {
        format!("renewed for {:?}, asked {:?}", status.renewed, spec.renew)
    });
    expect.that(spec.revoke.is_none() && status.revoke_seen.is_none(), || {
        format!("to be revoked: {:?}, seen {:?}", spec.revoke, status.revoke_seen)
    });
    expect.not
}

/// Is its Secret deleted with it?
fn is_deleting(shard: &CertificateShard) -> bool {
    shard.spec.secret_deletion_policy == Some(SecretDeletionPolicy::Delete)
}

/// Has the Secret certificate and key in these further forms, and in no other?
fn has_forms(secret: &Secret, formats: &BTreeSet<Format>) -> Result<()> {
    let data = secret.data.as_ref().context("holds nothing")?;
    let field = |field: &str| data.get(field).map(|bytes| bytes.0.as_slice());
    let (key, chain) = (
        field("tls.key").context("no tls.key")?,
        field("tls.crt").context("no tls.crt")?,
    );
    let (_, pem) = parse_x509_pem(key).context("tls.key is no PEM")?;
    for (format, name, expected) in [
        (
            Format::CombinedPem,
            "tls-combined.pem",
            [key, b"\n", chain].concat(),
        ),
        (Format::Der, "key.der", pem.contents),
    ] {
        let expected = formats.contains(&format).then_some(expected.as_slice());
        ensure!(field(name) == expected, "{name} is not as {formats:?} has it");
    }
    Ok(())
}

#[cfg(test)]
mod tests;
