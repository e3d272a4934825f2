//! An issuer whose spec names another account Secret: its account gets the key in there (RFC 8555 §7.3.5).
//!
//! has the new key an account? → it is used
//! no, and the key that the account has is at hand → keyChange → the same account, with the new key
//! no, or the CA refuses → a new account, and an event says why
//!
//! # Guarantees
//! The new key stands in its Secret before the CA is asked. A crash after that finds the account by its new key. The
//! Secret with the old key is left as it is.

use std::sync::Arc;

use sancho_crds::{Acme, IssuerStatus};

use super::IssuerKey;
use super::account::{NotReady, Retry, not_registered};
use crate::acme::account::AccountKey;
use crate::acme::session::{KeyChangeError, Session};
use crate::acme::transport::Transport;
use crate::context::Context;
use crate::secrets::{self, SecretError};

/// The key that would have to agree is not at hand.
const LOST: &str = "AccountKeyLost";
/// The CA does not change it.
const REFUSED: &str = "AccountKeyChangeRefused";

/// What became of the account's key.
pub(super) enum RolledOver {
    /// The session is the account's, by its new key. Whether it is the account that was there is told by its URL.
    Done(Session),
    /// The account cannot get the key, for this reason, a CamelCase word and in words: the key needs an account of its
    /// own.
    No(&'static str, String),
}

/// The Secret that holds the key of the issuer's account, if that is another one than `acme` names, and the account is
/// of the same CA.
pub(super) fn present_secret<'a>(acme: &Acme, status: Option<&'a IssuerStatus>) -> Option<&'a str> {
    let status = status?;
    let secret = status.account_key_secret.as_deref()?;
    let is_same_ca = status.account_server.as_deref() == Some(acme.server.as_str());
    (is_same_ca && status.account_url.is_some() && secret != acme.private_key_secret_ref.name)
        .then_some(secret)
}

/// Gives the account that `status` speaks of the key `new`, in place of the one in the Secret `present`.
///
/// # Errors
/// [`NotReady`] if the CA did not say yes or no: the next attempt finds out.
pub(super) async fn roll_over(
    context: &Context,
    issuer: &IssuerKey,
    transport: &Transport,
    acme: &Acme,
    status: &IssuerStatus,
    present: &str,
    new: &Arc<AccountKey>,
) -> Result<RolledOver, NotReady> {
    let found = Session::find(transport.clone(), &acme.server, new.clone()).await;
    if let Some(session) = found.map_err(not_registered)? {
        return Ok(RolledOver::Done(session));
    }
    let namespace = issuer.namespace.as_deref().unwrap_or(&context.namespace);
    let place = format!("Secret {namespace}/{present}, which has the account's key");
    let lost = |why: &str| Ok(RolledOver::No(LOST, format!("{place}, {why}")));
    let pem = match secrets::keys::present_account_key(&context.secrets(namespace), present).await {
        Ok(Some(pem)) => pem,
        Ok(None) => return lost("does not exist"),
        Err(error @ SecretError::NotOurs { .. }) => return lost(&error.to_string()),
        Err(error) => {
            let message = format!("{place}, cannot be read: {error}");
            return Err(NotReady::new("AccountKeyUnavailable", message, Retry::Backoff));
        }
    };
    let old = match AccountKey::from_pem(pem.as_bytes()) {
        Ok(old) if Some(old.thumbprint()) == status.thumbprint => old,
        Ok(_) => return lost("holds another one by now"),
        Err(error) => return lost(&format!("cannot be used: {error}")),
    };
    let kid = status.account_url.as_deref().unwrap_or_default();
    let refused = |why: String| Ok(RolledOver::No(REFUSED, why));
    let session = match Session::resume(transport.clone(), &acme.server, Arc::new(old), kid) {
        Ok(session) => session,
        Err(error) => return refused(error.to_string()),
    };
    match session.change_key(new.clone()).await {
        Ok(session) => Ok(RolledOver::Done(session)),
        Err(error @ (KeyChangeError::NotOffered | KeyChangeError::Refused { .. })) => {
            refused(error.to_string())
        }
        Err(KeyChangeError::Unclear(error)) => Err(not_registered(error)),
    }
}
