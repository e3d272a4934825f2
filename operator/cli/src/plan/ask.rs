//! Asks the API server for all that a plan needs. What may not be read is assumed, and said.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use jiff::Timestamp;
use kube::ResourceExt;
use sancho::certificate::preview::{Around, preview};
use sancho::issuer::IssuerKey;
use sancho::quotas::published::{Granted, Orderer, granted_beside};
use sancho_core::plan::PlannedShard;
use sancho_crds::{Certificate, CertificateShard, IssuerStatus};
use sancho_limiter::{Cost, Record};

use super::file::{File, Manifest};
use super::issuers::{OfFile, issuers};
use super::together::{Part, Together};
use super::{PlanView, Plans, refused, view};
use crate::cluster::{AnIssuer, Cluster, Forbidden, Scope, Verdict, if_allowed, no_namespace};
use crate::quotas::Told;

/// What applying each Certificate of `file` would do.
///
/// # Errors
/// When what cannot be done without may not be read.
pub async fn plans(
    cluster: &Cluster,
    operator_namespace: &str,
    file: &File,
    now: Timestamp,
) -> Result<Plans> {
    let asker = Asker {
        cluster,
        operator_namespace,
        file,
        known: Known::read(cluster, file).await?,
        now,
    };
    let mut together = Together::default();
    let mut views = Vec::new();
    let mut order: Vec<(usize, &Manifest)> = file.certificates.iter().enumerate().collect();
    // Who is there already has the older right to a Secret.
    order.sort_by_key(|(_, edited)| asker.known.present(edited).is_none());
    for (place, edited) in order {
        views.push((place, asker.planned(&mut together, edited).await?));
    }
    views.sort_by_key(|(place, _)| *place);
    Ok(Plans {
        views: views.into_iter().map(|(_, view)| view).collect(),
        total: together.total(),
    })
}

/// What was read for all of them.
struct Known {
    /// The issuers of the file.
    issuers: BTreeMap<IssuerKey, OfFile>,
    /// The Certificates of each namespace.
    certificates: BTreeMap<String, Vec<Certificate>>,
    /// The shards that may be read.
    shards: Vec<CertificateShard>,
    /// What these were told of quotas.
    told: Told,
    /// Why those of other namespaces are not among them, although that matters.
    unread: Option<Forbidden>,
}

impl Known {
    async fn read(cluster: &Cluster, file: &File) -> Result<Self> {
        let namespaces = file.certificates.iter();
        let namespaces: BTreeSet<String> = namespaces.filter_map(|edited| edited.namespace.clone()).collect();
        let mut certificates = BTreeMap::new();
        for namespace in &namespaces {
            let scope = Scope::Namespace(namespace.clone());
            certificates.insert(namespace.clone(), cluster.certificates(&scope, None).await?);
        }
        // A ClusterIssuer has one account, and its quotas, for all namespaces.
        let is_by_one = |edited: &Manifest| edited.issuer().is_some_and(|issuer| issuer.namespace.is_none());
        let (everywhere, unread) = match file.certificates.iter().any(is_by_one) {
            true => match if_allowed(cluster.shards(&Scope::All).await)? {
                Ok(shards) => (Some(shards), None),
                Err(forbidden) => (None, Some(forbidden)),
            },
            false => (None, None),
        };
        let shards = match everywhere {
            Some(shards) => shards,
            None => {
                let mut own = Vec::new();
                for namespace in namespaces {
                    own.extend(cluster.shards(&Scope::Namespace(namespace)).await?);
                }
                own
            }
        };
        Ok(Self {
            issuers: issuers(cluster, file).await?,
            certificates,
            told: Told::to(&shards),
            shards,
            unread,
        })
    }

    /// The Certificates of the namespace of `edited`.
    fn beside(&self, edited: &Manifest) -> &[Certificate] {
        let namespace = edited.namespace.as_deref().unwrap_or_default();
        let there = self.certificates.get(namespace);
        there.map(Vec::as_slice).unwrap_or_default()
    }

    /// What `edited` is today.
    fn present(&self, edited: &Manifest) -> Option<&Certificate> {
        let mut there = self.beside(edited).iter();
        there.find(|present| present.name_any() == edited.name)
    }
}

/// A Certificate as it would be.
struct Applied {
    certificate: Certificate,
    /// What has to be done before.
    needs: Vec<String>,
    /// What is to be known of it.
    remarks: Vec<String>,
}

struct Asker<'a> {
    cluster: &'a Cluster,
    operator_namespace: &'a str,
    file: &'a File,
    known: Known,
    now: Timestamp,
}

impl Asker<'_> {
    /// What applying `edited` would do, beside those of the file that were planned before.
    async fn planned(&self, together: &mut Together, edited: &Manifest) -> Result<PlanView> {
        let present = self.known.present(edited);
        let exists = present.is_some();
        let Applied {
            certificate: applied,
            needs,
            mut remarks,
        } = match self.applied(edited, present).await? {
            Ok(applied) => applied,
            Err(no) => return Ok(refused(edited, exists, no)),
        };
        let key = key(&applied);
        let issuer = match self.issuer(&applied, &key, &mut remarks).await? {
            Ok(issuer) => issuer,
            Err(no) => return Ok(refused(edited, exists, no)),
        };
        let issuer = issuer.as_ref();
        let status = issuer.and_then(|issuer| issuer.status.as_ref());
        let account = status.and_then(|status| status.account_url.as_deref());
        let orderer = issuer.map(|issuer| Orderer {
            server: &issuer.acme.server,
            issuer: &key,
            account,
        });
        let granted = orderer.map_or_else(Vec::new, |orderer| self.granted(together, orderer));
        let in_secrets = self.in_secrets(edited, &mut remarks).await;
        let (told, now) = (&self.known.told, self.now);
        let holding_back =
            |names: &[String], is_renewal: bool| told.holding_back(&key, account, names, is_renewal, now);
        let around = Around {
            certificates: self.known.beside(edited),
            shards: &self.known.shards,
            in_secrets: &in_secrets,
            acme: issuer.map(|issuer| &issuer.acme),
            allowed: issuer.and_then(|issuer| issuer.allowed.as_ref()),
            issuer: status,
            granted: &granted,
            holding_back: &holding_back,
        };
        let preview = match preview(&applied, &around, now) {
            Ok(preview) => preview,
            Err(no) => return Ok(refused(edited, exists, no)),
        };
        if let Some(clash) = together.clash(edited, &preview) {
            return Ok(refused(edited, exists, clash));
        }
        let budget = match issuer {
            Some(_) => self.budget(status, preview.cost, &mut remarks).await,
            None => None,
        };
        if let Some(forbidden) = &self.known.unread
            && preview.cost.new_orders > 0
            && key.namespace.is_none()
        {
            remarks.push(format!(
                "quotas that shards of other namespaces were told of are not known, nor what these take of them: {forbidden}"
            ));
        }
        let record = budget.as_ref().map(|(_, record)| record);
        let view = PlanView {
            needs,
            remarks,
            ..view(edited, exists, &applied, &preview, record)
        };
        let cost = preview.cost;
        together.take(edited, orderer, &preview, Part { cost, budget });
        Ok(view)
    }

    /// What `edited` becomes in the place of `present`; or why the API server would refuse it.
    async fn applied(
        &self,
        edited: &Manifest,
        present: Option<&Certificate>,
    ) -> Result<Result<Applied, String>> {
        let (mut needs, mut remarks) = (Vec::new(), Vec::new());
        let before = present.map(|present| &present.metadata);
        let judged = self
            .cluster
            .judge::<Certificate>(&edited.object, edited.namespace.as_deref(), before)
            .await?;
        let certificate = match judged {
            Ok(certificate) => Ok(certificate),
            Err(Verdict::Refused(words)) => Err(words),
            Err(Verdict::NoNamespace(name)) => {
                match self.file.namespaces.contains(&name) {
                    true => remarks.push(format!("the API server judges it once namespace {name} is there")),
                    false => needs.push(no_namespace(&name)),
                }
                edited.unjudged(present, self.now)
            }
            Err(Verdict::NoDryRun(words)) => {
                remarks.push(format!("the API server has not judged it: {words}"));
                edited.unjudged(present, self.now)
            }
        };
        Ok(certificate.map(|certificate| Applied {
            certificate,
            needs,
            remarks,
        }))
    }

    /// Its issuer: that of the file, else the one that is there; nothing if it may not be read. Or why it is of no use.
    async fn issuer(
        &self,
        applied: &Certificate,
        key: &IssuerKey,
        remarks: &mut Vec<String>,
    ) -> Result<Result<Option<AnIssuer>, String>> {
        let name = &key.name;
        if let Some(of_file) = self.known.issuers.get(key) {
            remarks.extend(of_file.remarks.iter().cloned());
            let refused = |words| format!("its issuer {name}, in the same file, would be refused: {words}");
            return Ok(of_file.issuer.clone().map(Some).map_err(refused));
        }
        match if_allowed(self.cluster.issuer(applied).await)? {
            Ok(Some(issuer)) => Ok(Ok(Some(issuer))),
            Ok(None) => Ok(Err(format!("its issuer {name} is not there: apply that first"))),
            Err(forbidden) => {
                remarks.push(assumed(key, &forbidden));
                Ok(Ok(None))
            }
        }
    }

    /// What the CA has granted and will have granted, as far as it counts toward the quotas of `orderer`.
    fn granted(&self, together: &Together, orderer: Orderer<'_>) -> Vec<Granted> {
        let mut granted = granted_beside(orderer, &self.known.shards, self.now);
        granted.extend(together.granted(orderer, self.now));
        granted
    }

    async fn in_secrets(&self, edited: &Manifest, remarks: &mut Vec<String>) -> Vec<PlannedShard> {
        let scope = Scope::Namespace(edited.namespace.clone().unwrap_or_default());
        let read = self.cluster.assignment_in_secrets(&scope, &edited.name).await;
        read.unwrap_or_else(|error| {
            remarks.push(format!(
                "Secrets that are there already are not taken into account: {error:#}"
            ));
            Vec::new()
        })
    }

    /// The budget of an issuer with this status, for requests of this cost, with its Lease.
    async fn budget(
        &self,
        status: Option<&IssuerStatus>,
        cost: Cost,
        remarks: &mut Vec<String>,
    ) -> Option<(String, Record)> {
        let lease = status.and_then(|status| status.budget_lease.as_deref());
        let read = match lease {
            Some(lease) => self.cluster.budget(self.operator_namespace, lease).await,
            None => Ok(None),
        };
        let words = match read {
            Ok(Some(record)) => return Some((lease.unwrap_or_default().to_owned(), record)),
            Ok(None) if cost == Cost::default() => return None,
            Ok(None) => {
                "the CA has no budget yet: it gets one when it is asked for the first certificate".to_owned()
            }
            Err(error) => format!("the budget cannot be read: {error:#}"),
        };
        remarks.push(words);
        None
    }
}

/// The issuer of a Certificate.
fn key(certificate: &Certificate) -> IssuerKey {
    IssuerKey::of(
        &certificate.spec.issuer_ref,
        &certificate.namespace().unwrap_or_default(),
    )
}

/// What is assumed of an issuer that may not be read.
fn assumed(issuer: &IssuerKey, forbidden: &Forbidden) -> String {
    format!(
        "{issuer} cannot be read. It is assumed to be there, to allow this, to be at the same server as before, and to take \
         as many names in a certificate as it did (100, if nothing is known): {forbidden}"
    )
}
