//! Asks the API server for all that a plan needs. What may not be read is assumed, and said.

use anyhow::Result;
use jiff::Timestamp;
use kube::ResourceExt;
use sancho::certificate::preview::{Around, preview};
use sancho::issuer::IssuerKey;
use sancho_core::plan::PlannedShard;
use sancho_crds::{Certificate, IssuerKind, IssuerStatus};
use sancho_limiter::{Cost, Record};

use super::file::{File, Manifest};
use super::{PlanView, refused, view};
use crate::cluster::{Cluster, Forbidden, Scope, Verdict, if_allowed, no_namespace};
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
) -> Result<Vec<PlanView>> {
    // A ClusterIssuer has one account, and its quotas, for all namespaces.
    let is_by_one = |edited: &Manifest| edited.object["spec"]["issuerRef"]["kind"] == "ClusterIssuer";
    let everywhere = match file.certificates.iter().any(is_by_one) {
        true => if_allowed(cluster.shards(&Scope::All).await)?.map(|shards| Some(Told::to(&shards))),
        false => Ok(None),
    };
    let mut views = Vec::new();
    for edited in &file.certificates {
        views.push(planned(cluster, operator_namespace, file, edited, &everywhere, now).await?);
    }
    Ok(views)
}

/// A Certificate as it would be.
struct Applied {
    certificate: Certificate,
    /// What has to be done before.
    needs: Vec<String>,
    /// What is to be known of it.
    remarks: Vec<String>,
}

/// What `edited` becomes in the place of `present`; or why the API server would refuse it.
async fn applied(
    cluster: &Cluster,
    file: &File,
    edited: &Manifest,
    present: Option<&Certificate>,
    now: Timestamp,
) -> Result<Result<Applied, String>> {
    let (mut needs, mut remarks) = (Vec::new(), Vec::new());
    let before = present.map(|present| &present.metadata);
    let judged = cluster
        .judge::<Certificate>(&edited.object, edited.namespace.as_deref(), before)
        .await?;
    let certificate = match judged {
        Ok(certificate) => Ok(certificate),
        Err(Verdict::Refused(words)) => Err(words),
        Err(Verdict::NoNamespace(name)) => {
            match file.namespaces.contains(&name) {
                true => remarks.push(format!("the API server judges it once namespace {name} is there")),
                false => needs.push(no_namespace(&name)),
            }
            edited.unjudged(present, now)
        }
        Err(Verdict::NoDryRun(words)) => {
            remarks.push(format!("the API server has not judged it: {words}"));
            edited.unjudged(present, now)
        }
    };
    Ok(certificate.map(|certificate| Applied {
        certificate,
        needs,
        remarks,
    }))
}

fn is_by_cluster_issuer(certificate: &Certificate) -> bool {
    certificate.spec.issuer_ref.kind() == IssuerKind::ClusterIssuer
}

/// The same for one. `everywhere`: what the shards of all namespaces were told, if that is of use.
async fn planned(
    cluster: &Cluster,
    operator_namespace: &str,
    file: &File,
    edited: &Manifest,
    everywhere: &Result<Option<Told>, Forbidden>,
    now: Timestamp,
) -> Result<PlanView> {
    let scope = Scope::Namespace(edited.namespace.clone().unwrap_or_default());
    let certificates = cluster.certificates(&scope, None).await?;
    let present = certificates
        .iter()
        .find(|present| present.name_any() == edited.name);
    let exists = present.is_some();
    let Applied {
        certificate: applied,
        needs,
        mut remarks,
    } = match applied(cluster, file, edited, present, now).await? {
        Ok(applied) => applied,
        Err(no) => return Ok(refused(edited, exists, no)),
    };
    let issuer = match if_allowed(cluster.issuer(&applied).await)? {
        Ok(Some(issuer)) => Some(issuer),
        Ok(None) => {
            let name = &applied.spec.issuer_ref.name;
            let why = format!("its issuer {name} is not there: apply that first");
            return Ok(refused(edited, exists, why));
        }
        Err(forbidden) => {
            remarks.push(assumed(&applied, &forbidden));
            None
        }
    };
    let issuer = issuer.as_ref();
    let status = issuer.and_then(|issuer| issuer.status.as_ref());
    let shards = cluster.shards(&scope).await?;
    let in_secrets = in_secrets(cluster, &scope, &edited.name, &mut remarks).await;
    let of_namespace = Told::to(&shards);
    let told = match everywhere {
        Ok(Some(everywhere)) => everywhere,
        Ok(None) | Err(_) => &of_namespace,
    };
    let key = key(&applied);
    let account = status.and_then(|status| status.account_url.as_deref());
    let holding_back =
        |names: &[String], is_renewal: bool| told.holding_back(&key, account, names, is_renewal, now);
    let around = Around {
        certificates: &certificates,
        shards: &shards,
        in_secrets: &in_secrets,
        acme: issuer.map(|issuer| &issuer.acme),
        allowed: issuer.and_then(|issuer| issuer.allowed.as_ref()),
        issuer: status,
        holding_back: &holding_back,
    };
    let preview = match preview(&applied, &around, now) {
        Ok(preview) => preview,
        Err(no) => return Ok(refused(edited, exists, no)),
    };
    let record = match issuer {
        Some(_) => budget(cluster, operator_namespace, status, preview.cost, &mut remarks).await,
        None => None,
    };
    if let Err(forbidden) = everywhere
        && preview.cost.new_orders > 0
        && is_by_cluster_issuer(&applied)
    {
        remarks.push(format!(
            "quotas that shards of other namespaces were told of are not known: {forbidden}"
        ));
    }
    Ok(PlanView {
        needs,
        remarks,
        ..view(edited, exists, &applied, &preview, record.as_ref())
    })
}

/// The issuer of a Certificate.
fn key(certificate: &Certificate) -> IssuerKey {
    IssuerKey::of(
        &certificate.spec.issuer_ref,
        &certificate.namespace().unwrap_or_default(),
    )
}

/// What is assumed of an issuer that may not be read.
fn assumed(applied: &Certificate, forbidden: &Forbidden) -> String {
    let issuer = key(applied);
    format!(
        "{issuer} cannot be read. It is assumed to be there, to allow this, to be at the same server as before, and to take \
         as many names in a certificate as it did (100, if nothing is known): {forbidden}"
    )
}

async fn in_secrets(
    cluster: &Cluster,
    scope: &Scope,
    name: &str,
    remarks: &mut Vec<String>,
) -> Vec<PlannedShard> {
    let read = cluster.assignment_in_secrets(scope, name).await;
    read.unwrap_or_else(|error| {
        remarks.push(format!(
            "Secrets that are there already are not taken into account: {error:#}"
        ));
        Vec::new()
    })
}

/// The budget of an issuer with this status, for requests of this cost.
async fn budget(
    cluster: &Cluster,
    operator_namespace: &str,
    status: Option<&IssuerStatus>,
    cost: Cost,
    remarks: &mut Vec<String>,
) -> Option<Record> {
    let lease = status.and_then(|status| status.budget_lease.as_deref());
    let read = match lease {
        Some(lease) => cluster.budget(operator_namespace, lease).await,
        None => Ok(None),
    };
    let words = match read {
        Ok(Some(record)) => return Some(record),
        Ok(None) if cost == Cost::default() => return None,
        Ok(None) => {
            "the CA has no budget yet: it gets one when it is asked for the first certificate".to_owned()
        }
        Err(error) => format!("the budget cannot be read: {error:#}"),
    };
    remarks.push(words);
    None
}
