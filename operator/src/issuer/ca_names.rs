//! By which names an issuer's CA goes in DNS: read from its directory, and from then on from the issuer's status.

use std::time::Duration;

use sancho_crds::{Acme, IssuerStatus};

use super::account::{NotReady, Retry};
use super::any::AnyIssuer;
use crate::acme::session::Session;
use crate::budget::Budget;
use crate::context::Context;

/// How often a wait for a slot looks whether another replica has read the directory meanwhile.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Those that `status` has, if it speaks of the CA of `acme`.
pub(super) fn recorded(acme: &Acme, status: Option<&IssuerStatus>) -> Option<Vec<String>> {
    let status = status?;
    let is_same_ca = status.account_server.as_deref() == Some(acme.server.as_str());
    status.issuer_domain_names.clone().filter(|_| is_same_ca)
}

/// Those that are known of the CA of `issuer`, whose status has none. Where one of its solvers needs them the directory is
/// read for it, by a request on a permit; else they may stay unknown.
///
/// # Errors
/// [`NotReady`] if they are needed, and the CA does not give its directory.
pub(super) async fn find<K: AnyIssuer>(
    context: &Context,
    issuer: &K,
    session: &Session,
    budget: &Budget,
) -> Result<Option<Vec<String>>, NotReady> {
    let acme = issuer.acme();
    let seen = || K::seen(context, &issuer.key()).and_then(|seen| recorded(acme, seen.status()));
    if let Some(known) = session.known_issuer_domain_names().await.or_else(seen) {
        return Ok(Some(known));
    }
    let present = context.issuers.get(&issuer.key());
    if let Some(present) = present.filter(|present| present.server == acme.server) {
        let known = match present.terms.issuer_domain_names {
            Some(known) => Some(known),
            None => present.session.known_issuer_domain_names().await,
        };
        if known.is_some() {
            return Ok(known);
        }
    }
    if !acme.solvers.iter().any(|solver| solver.dns_persist01.is_some()) {
        return Ok(None);
    }
    loop {
        tokio::select! {
            () = budget.want_slot() => break,
            () = tokio::time::sleep(LOOK_AGAIN) => {}
        }
        if let Some(known) = seen() {
            return Ok(Some(known));
        }
    }
    let not_read = |reason, words: &str| {
        let message = format!(
            "the CA's directory, which says how its standing TXT records look (dnsPersist01), cannot be had: {words}"
        );
        NotReady::new(reason, message, Retry::Backoff)
    };
    match session.issuer_domain_names().await {
        Ok(Some(names)) => Ok(Some(names)),
        Ok(None) => Err(not_read("CaThrottles", "it wants to be asked later")),
        Err(error) => Err(not_read(error.reason(), &error.to_string())),
    }
}
