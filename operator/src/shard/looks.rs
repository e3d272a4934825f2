//! A round of looks at a shard's names, if its issuer has them made.

use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use sancho_core::challenge::{key_authorization, self_check_token};
use sancho_core::check::Finding;
use sancho_crds::{Acme, CertificateShard, IssuerKind, SelfCheck};

use crate::context::Context;
use crate::issuer::ReadyIssuer;

/// One finding for each of `names`, which are the shard's. Its claim has to be recorded: by that every replica knows
/// what to answer.
pub(super) async fn looks(
    context: &Context,
    issuer: &ReadyIssuer,
    shard: &CertificateShard,
    names: &[String],
) -> Vec<Finding> {
    if !is_asked_for(context, shard) {
        return vec![Finding::Unknown("the check is turned off".into()); names.len()];
    }
    let thumbprint = issuer.session.thumbprint();
    let token = self_check_token(&shard.uid().unwrap_or_default(), &thumbprint);
    let answer = key_authorization(&token, &thumbprint);
    let findings = context.self_check.round(names, &token, &answer).await;
    let mut unknown = names
        .iter()
        .zip(&findings)
        .filter_map(|(name, finding)| match finding {
            Finding::Unknown(why) => Some((name, why)),
            Finding::Passed | Finding::Failed(_) => None,
        });
    if context.self_check.is_enabled()
        && let Some((name, why)) = unknown.next()
    {
        let more = unknown.count();
        tracing::warn!(
            shard = crate::context::full_name(shard),
            name,
            why,
            more,
            "cannot be looked at from here; the CA is asked all the same"
        );
    }
    findings
}

/// Does the shard's issuer have names looked at?
fn is_asked_for(context: &Context, shard: &CertificateShard) -> bool {
    let (reference, seen) = (&shard.spec.issuer_ref, &context.seen);
    let says = |acme: &Acme| {
        let mut solvers = acme.solvers.iter();
        !solvers.any(|solver| solver.http01.self_check == Some(SelfCheck::Disabled))
    };
    match reference.kind() {
        IssuerKind::Issuer => {
            let namespace = shard.namespace().unwrap_or_default();
            let key = ObjectRef::new(&reference.name).within(&namespace);
            seen.issuers
                .get(&key)
                .is_none_or(|issuer| says(&issuer.spec.acme))
        }
        IssuerKind::ClusterIssuer => {
            let issuer = seen.cluster_issuers.get(&ObjectRef::new(&reference.name));
            issuer.is_none_or(|issuer| says(&issuer.spec.acme))
        }
    }
}
