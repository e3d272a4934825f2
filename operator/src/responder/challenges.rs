//! What a shard's recorded order has handed out, and what is asked by a look at its names' own paths, as questions and
//! answers.

use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use sancho_core::challenge::{ChallengeKind, Token, key_authorization, self_check_token};
use sancho_crds::{CertificateShard, ClusterIssuer, Issuer, IssuerKind};

use super::{Challenge, ChallengeTable};
use crate::watching::Seen;

/// From now on `table` has what `shard` has handed out, and no more of it. `issuers` and
/// `cluster_issuers` are what the watches have seen of them: their status has what an answer is made
/// of, so that no key is read for it.
pub fn serve(
    shard: &CertificateShard,
    issuers: &Seen<Issuer>,
    cluster_issuers: &Seen<ClusterIssuer>,
    table: &ChallengeTable,
) {
    let thumbprint = thumbprint(shard, issuers, cluster_issuers);
    let challenges = thumbprint.map(|thumbprint| challenges(shard, &thumbprint));
    table.set(&shard.uid().unwrap_or_default(), challenges.unwrap_or_default());
}

/// The thumbprint of the account key that `shard` orders with (RFC 7638), as its issuer publishes it.
fn thumbprint(
    shard: &CertificateShard,
    issuers: &Seen<Issuer>,
    cluster_issuers: &Seen<ClusterIssuer>,
) -> Option<String> {
    let reference = &shard.spec.issuer_ref;
    match reference.kind() {
        IssuerKind::Issuer => {
            let named = ObjectRef::new(&reference.name).within(&shard.namespace()?);
            issuers.get(&named)?.status.as_ref()?.thumbprint.clone()
        }
        IssuerKind::ClusterIssuer => {
            let named = ObjectRef::new(&reference.name);
            cluster_issuers.get(&named)?.status.as_ref()?.thumbprint.clone()
        }
    }
}

/// The challenges of the shard's order, for its own names only; and the self-check's, as long as somebody holds the
/// claim and may look.
fn challenges(shard: &CertificateShard, thumbprint: &str) -> Vec<Challenge> {
    let names = shard.spec.names();
    let order = shard.status.as_ref().and_then(|status| status.order.as_ref());
    let authorizations = order.into_iter().flat_map(|order| &order.authorizations);
    let challenges = authorizations.filter_map(|authorization| {
        if authorization
            .kind
            .as_deref()
            .is_some_and(|kind| kind != ChallengeKind::Http01.as_str())
        {
            return None;
        }
        let host = authorization.name.as_ref().filter(|name| names.contains(name))?;
        let token = Token::parse(authorization.token.as_deref()?).ok()?;
        let key_authorization = key_authorization(&token, thumbprint);
        Some(Challenge {
            host: host.clone(),
            token,
            key_authorization,
        })
    });
    let is_claimed = shard.status.as_ref().is_some_and(|status| status.claim.is_some());
    let check = is_claimed.then(|| self_check_token(&shard.uid().unwrap_or_default(), thumbprint));
    let looks = check.iter().flat_map(|token| {
        names.iter().map(|host| Challenge {
            host: host.clone(),
            token: token.clone(),
            key_authorization: key_authorization(token, thumbprint),
        })
    });
    challenges.chain(looks).collect()
}
