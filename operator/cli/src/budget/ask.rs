//! Asks the API server for the budgets and for who uses them.

use anyhow::{Result, anyhow};
use jiff::Timestamp;
use sancho_crds::{CertificateShard, Issuer};

use super::{BudgetView, Known, Wanted, views};
use crate::cluster::{Cluster, Scope, if_allowed};

/// All budgets, or those of the issuers of this name: the ClusterIssuer, and Issuers in `scope`. What may not be read of
/// issuers and shards is said.
///
/// # Errors
/// When the budgets may not be read, or there is no such issuer.
pub async fn budgets(
    cluster: &Cluster,
    scope: &Scope,
    operator_namespace: &str,
    name: Option<&str>,
    now: Timestamp,
) -> Result<Vec<BudgetView>> {
    let leases = cluster.budget_leases(operator_namespace).await?;
    let mut remarks = Vec::new();
    let cluster_issuers = if_allowed(cluster.cluster_issuers().await)?.unwrap_or_else(|forbidden| {
        remarks.push(format!("ClusterIssuers are not known: {forbidden}"));
        Vec::new()
    });
    let (issuers, unread) = cluster.widest::<Issuer>(scope).await?;
    remarks.extend(unread.map(|forbidden| format!("other Issuers are not known: {forbidden}")));
    let (shards, unread) = cluster.widest::<CertificateShard>(scope).await?;
    remarks.extend(unread.map(|forbidden| format!("other shards are not counted: {forbidden}")));
    let known = Known {
        cluster_issuers,
        issuers,
        shards,
        remarks,
    };
    let wanted = name.map(|name| Wanted { name, scope });
    let issuers = known.of_budgets();
    match wanted {
        Some(wanted) if !issuers.iter().any(|of| wanted.fits(&of.issuer)) => Err(none(wanted, &known)),
        _ => Ok(views(&leases, &known, wanted, now)),
    }
}

/// There is no such issuer, as far as is known.
fn none(wanted: Wanted<'_>, known: &Known) -> anyhow::Error {
    let name = wanted.name;
    let place = match wanted.scope {
        Scope::All => "in any namespace".to_owned(),
        Scope::Namespace(namespace) => format!("in namespace {namespace}: name another by -n"),
    };
    let remarks: String = known
        .remarks
        .iter()
        .map(|remark| format!("\n  {remark}"))
        .collect();
    anyhow!("there is no ClusterIssuer {name}, and no Issuer {name} {place}{remarks}")
}
