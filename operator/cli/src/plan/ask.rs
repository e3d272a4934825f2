//! Asks the API server for all that a plan needs. What may not be read is assumed, and said.

use anyhow::Result;
use jiff::Timestamp;
use kube::ResourceExt;
use sancho::certificate::preview::{Around, preview};
use sancho::issuer::IssuerKey;
use sancho_core::plan::PlannedShard;
use sancho_crds::{Certificate, IssuerStatus};
use sancho_limiter::{Cost, Record};

use super::{PlanView, applied, refused, view};
use crate::cluster::{Cluster, Forbidden, Scope, if_allowed};

/// What applying `edited` would do.
///
/// # Errors
/// When what cannot be done without may not be read.
pub async fn planned(cluster: &Cluster, operator_namespace: &str, edited: &Certificate) -> Result<PlanView> {
    let scope = Scope::Namespace(edited.namespace().unwrap_or_default());
    let certificates = cluster.certificates(&scope, None).await?;
    let name = edited.name_any();
    let present = certificates.iter().find(|present| present.name_any() == name);
    let exists = present.is_some();
    let applied = applied(edited, present);
    if let Some(no) = cluster.refusal(&applied, exists).await? {
        return Ok(refused(edited, exists, no));
    }
    let mut remarks = Vec::new();
    let issuer = match if_allowed(cluster.issuer(&applied).await)? {
        Ok(Some(issuer)) => Some(issuer),
        Ok(None) => {
            let why = format!(
                "its issuer {} is not there: apply that first",
                edited.spec.issuer_ref.name
            );
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
    let in_secrets = in_secrets(cluster, &scope, &name, &mut remarks).await;
    let around = Around {
        certificates: &certificates,
        shards: &shards,
        in_secrets: &in_secrets,
        acme: issuer.map(|issuer| &issuer.acme),
        allowed: issuer.and_then(|issuer| issuer.allowed.as_ref()),
        issuer: status,
    };
    let preview = match preview(&applied, &around, Timestamp::now()) {
        Ok(preview) => preview,
        Err(no) => return Ok(refused(edited, exists, no)),
    };
    let record = match issuer {
        Some(_) => budget(cluster, operator_namespace, status, preview.cost, &mut remarks).await,
        None => None,
    };
    Ok(PlanView {
        remarks,
        ..view(edited, exists, &preview, record.as_ref())
    })
}

/// What is assumed of an issuer that may not be read.
fn assumed(applied: &Certificate, forbidden: &Forbidden) -> String {
    let namespace = applied.namespace().unwrap_or_default();
    let issuer = IssuerKey::of(&applied.spec.issuer_ref, &namespace);
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
