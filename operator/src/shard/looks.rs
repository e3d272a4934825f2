//! A round of looks at a shard's names, as far as their solvers have it.

use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use sancho_core::challenge::{key_authorization, self_check_token};
use sancho_core::check::{Fault, Finding};
use sancho_crds::{CertificateShard, IssuerKind, SelfCheck, Solver};

use crate::context::{Context, full_name};
use crate::issuer::ReadyIssuer;
use crate::solvers::{Labels, solver_for};

/// One finding for each of `names`, which are the shard's. Its claim has to be recorded: by that every replica knows
/// what to answer. A name that no solver is for fails without a look.
pub(super) async fn looks(
    context: &Context,
    issuer: &ReadyIssuer,
    shard: &CertificateShard,
    names: &[String],
) -> Vec<Finding> {
    let (solvers, labels) = (solvers(context, shard), labels(context, shard));
    let ways: Vec<Way> = names.iter().map(|name| way(&solvers, name, &labels)).collect();
    let looked_at: Vec<String> = names
        .iter()
        .zip(&ways)
        .filter_map(|(name, way)| (*way == Way::Look).then(|| name.clone()))
        .collect();
    let thumbprint = issuer.session.thumbprint();
    let token = self_check_token(&shard.uid().unwrap_or_default(), &thumbprint);
    let answer = key_authorization(&token, &thumbprint);
    let found = context.self_check.round(&looked_at, &token, &answer).await;
    if context.self_check.is_enabled() {
        warn_of_unknown(shard, &looked_at, &found);
    }
    let mut found = found.into_iter();
    let findings = ways.into_iter().map(|way| match way {
        Way::Look => found.next(),
        Way::Trust => None,
        Way::None => Some(Finding::Failed(Fault::NoSolver)),
    });
    findings
        .map(|finding| finding.unwrap_or_else(|| Finding::Unknown("the check is turned off".into())))
        .collect()
}

/// How it is found out whether a name can be validated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Its path is looked at.
    Look,
    /// The CA is asked without a look.
    Trust,
    /// It cannot be.
    None,
}

fn way(solvers: &[Solver], name: &str, labels: &Labels) -> Way {
    let Some(solver) = solver_for(solvers, name, labels) else {
        return Way::None;
    };
    match &solver.http01 {
        Some(http01) if http01.self_check != Some(SelfCheck::Disabled) => Way::Look,
        _ => Way::Trust,
    }
}

fn warn_of_unknown(shard: &CertificateShard, names: &[String], findings: &[Finding]) {
    let mut unknown = names
        .iter()
        .zip(findings)
        .filter_map(|(name, finding)| match finding {
            Finding::Unknown(why) => Some((name, why)),
            Finding::Passed | Finding::Failed(_) => None,
        });
    if let Some((name, why)) = unknown.next() {
        let more = unknown.count();
        tracing::warn!(
            shard = full_name(shard),
            name,
            why,
            more,
            "cannot be looked at from here; the CA is asked all the same"
        );
    }
}

/// The solvers of the shard's issuer, as the watch shows them; none if it is gone.
pub(super) fn solvers(context: &Context, shard: &CertificateShard) -> Vec<Solver> {
    let (reference, seen) = (&shard.spec.issuer_ref, &context.seen);
    let solvers = match reference.kind() {
        IssuerKind::Issuer => {
            let namespace = shard.namespace().unwrap_or_default();
            let key = ObjectRef::new(&reference.name).within(&namespace);
            let issuer = seen.issuers.get(&key);
            issuer.map(|issuer| issuer.spec.acme.solvers.clone())
        }
        IssuerKind::ClusterIssuer => {
            let issuer = seen.cluster_issuers.get(&ObjectRef::new(&reference.name));
            issuer.map(|issuer| issuer.spec.acme.solvers.clone())
        }
    };
    solvers.unwrap_or_default()
}

/// The labels of the shard's Certificate, as the watch shows them.
pub(super) fn labels(context: &Context, shard: &CertificateShard) -> Labels {
    let namespace = shard.namespace().unwrap_or_default();
    let key = ObjectRef::new(&shard.spec.certificate).within(&namespace);
    let certificate = context.seen.certificates.get(&key);
    certificate
        .and_then(|certificate| certificate.metadata.labels.clone())
        .unwrap_or_default()
}
