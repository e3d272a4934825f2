//! From a spec to a session: origin, key Secret, account.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use sancho_core::response::kind;
use sancho_crds::{Acme, ExternalAccountBinding, IssuerStatus};

use super::{AnyIssuer, IssuerKey, IssuerTerms, ReadyIssuer};
use crate::acme::account::{AccountKey, NewAccount};
use crate::acme::binding::ExternalAccount;
use crate::acme::origin::Origin;
use crate::acme::session::{RegisterError, Session};
use crate::acme::transport::{Transport, TransportConfig};
use crate::budget::Budget;
use crate::context::Context;
use crate::secrets::{self, SecretError};

/// Connections that are kept open between requests are never more than this.
const MOST_IDLE: usize = 32;

/// Why an issuer is not ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NotReady {
    /// A CamelCase word.
    pub(super) reason: &'static str,
    /// What to do about it.
    pub(super) message: String,
    /// When to try again.
    pub(super) retry: Retry,
}

/// When to try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Retry {
    /// Only an edit can help.
    Edit,
    /// After the usual backoff.
    Backoff,
    /// Not before that moment.
    At(Timestamp),
}

impl NotReady {
    pub(super) fn new(reason: &'static str, message: impl Into<String>, retry: Retry) -> Self {
        Self {
            reason,
            message: message.into(),
            retry,
        }
    }
}

/// The CA that an issuer speaks of.
pub(super) fn origin(acme: &Acme) -> Result<Origin, NotReady> {
    Origin::of(&acme.server)
        .map_err(|error| NotReady::new("ServerInvalid", format!("spec.acme.server: {error}"), Retry::Edit))
}

/// The account's key: the one in its Secret, else a new one, which is then in its Secret.
pub(super) async fn key(
    context: &Context,
    issuer: &IssuerKey,
    acme: &Acme,
) -> Result<Arc<AccountKey>, NotReady> {
    let namespace = issuer.namespace.as_deref().unwrap_or(&context.namespace);
    let name = &acme.private_key_secret_ref.name;
    let (_, fresh) = AccountKey::generate()
        .map_err(|error| NotReady::new("AccountKeyFailed", error.to_string(), Retry::Backoff))?;
    let pem = secrets::keys::account_key(&context.secrets(namespace), name, &fresh)
        .await
        .map_err(|error| {
            let reason = match error {
                SecretError::NotOurs { .. } => "AccountKeyInvalid",
                SecretError::Conflict { .. } | SecretError::Invalid { .. } | SecretError::Api { .. } => {
                    "AccountKeyUnavailable"
                }
            };
            NotReady::new(reason, error.to_string(), Retry::Backoff)
        })?;
    let key = AccountKey::from_pem(pem.as_bytes()).map_err(|error| {
        NotReady::new(
            "AccountKeyInvalid",
            format!(
                "Secret {namespace}/{name}, field tls.key: {error}. Put the account's key there as PEM (P-256, \
                 P-384 or RSA), or delete the Secret and a new account is made"
            ),
            Retry::Backoff,
        )
    })?;
    Ok(Arc::new(key))
}

/// The connections to the CA, which all its issuers with the same roots share.
pub(super) fn transport(
    context: &Context,
    origin: Origin,
    acme: &Acme,
    budget: &Budget,
) -> Result<Transport, NotReady> {
    budget.transport(acme.ca_bundle.as_deref(), || {
        let config = TransportConfig {
            origin,
            ca_bundle: acme.ca_bundle.as_deref().map(read_bundle).transpose()?,
            proxies: context.proxies.clone(),
            replica: context.replica.clone(),
            most_idle: MOST_IDLE,
            metrics: context.metrics.clone(),
        };
        Transport::new(config, budget.gate()).map_err(|error| {
            NotReady::new(
                "CaBundleInvalid",
                format!("spec.acme.caBundle: {error}"),
                Retry::Edit,
            )
        })
    })
}

/// The bundle as PEM: base64 of PEM as the API conventions have it, or PEM as it is.
fn read_bundle(text: &str) -> Result<Vec<u8>, NotReady> {
    use base64::Engine;
    let text = text.trim();
    if text.starts_with("-----BEGIN") {
        return Ok(text.as_bytes().to_vec());
    }
    let joined: String = text.split_whitespace().collect();
    base64::engine::general_purpose::STANDARD.decode(joined).map_err(|_| {
        NotReady::new(
            "CaBundleInvalid",
            "spec.acme.caBundle is neither PEM nor base64 of PEM: put the output of `base64 -w0 ca.pem` there",
            Retry::Edit,
        )
    })
}

/// A session with the account that `status` speaks of, if it is this key's and not `gone`, which the
/// CA does not know any more. Sends nothing.
pub(super) fn resume(
    transport: &Transport,
    acme: &Acme,
    key: &Arc<AccountKey>,
    status: Option<&IssuerStatus>,
    gone: Option<&str>,
) -> Option<Session> {
    let status = status?;
    if gone.is_some() && status.account_url.as_deref() == gone {
        return None;
    }
    let is_its = status.thumbprint.as_deref() == Some(key.thumbprint().as_str())
        && status.account_server.as_deref() == Some(acme.server.as_str());
    if !is_its {
        return None;
    }
    Session::resume(
        transport.clone(),
        &acme.server,
        key.clone(),
        status.account_url.as_deref()?,
    )
    .ok()
}

/// The account that is there at the CA already and vouches for the new one, if the issuer names any.
pub(super) async fn external(
    context: &Context,
    issuer: &IssuerKey,
    acme: &Acme,
) -> Result<Option<ExternalAccount>, NotReady> {
    let Some(ExternalAccountBinding {
        key_id,
        key_secret_ref,
    }) = &acme.external_account_binding
    else {
        return Ok(None);
    };
    let namespace = issuer.namespace.as_deref().unwrap_or(&context.namespace);
    let field = key_secret_ref.key();
    let place = format!("Secret {namespace}/{}, field {field}", key_secret_ref.name);
    let advice = "put the MAC key there that the CA gave you with the key ID";
    let not_ready = |reason, message| Err(NotReady::new(reason, message, Retry::Backoff));
    let secret = match context.secrets(namespace).get_opt(&key_secret_ref.name).await {
        Ok(secret) => secret,
        Err(error) => {
            return not_ready(
                "ExternalAccountKeyUnavailable",
                format!("{place} cannot be read: {error}"),
            );
        }
    };
    let Some(mac_key) = secret.and_then(|secret| secret.data?.remove(field)) else {
        return not_ready(
            "ExternalAccountKeyMissing",
            format!("{place} does not exist: {advice}"),
        );
    };
    match ExternalAccount::new(key_id, &mac_key.0) {
        Ok(external) => Ok(Some(external)),
        Err(error) => not_ready("ExternalAccountKeyInvalid", format!("{place}: {error}: {advice}")),
    }
}

/// Makes the account at the CA, or finds it: one to three requests.
pub(super) async fn register(
    transport: &Transport,
    acme: &Acme,
    key: &Arc<AccountKey>,
    external: Option<&ExternalAccount>,
) -> Result<Session, NotReady> {
    let account = NewAccount::with_email(acme.email.as_deref());
    Session::register(transport.clone(), &acme.server, key.clone(), account, external)
        .await
        .map_err(not_registered)
}

/// Why an issuer whose account could not be made or found is not ready.
pub(super) fn not_registered(error: RegisterError) -> NotReady {
    let message = error.to_string();
    match error {
        RegisterError::QuotaUsedUp { until, .. } => NotReady::new("RateLimited", message, Retry::At(until)),
        RegisterError::Throttled {
            until: Some(until), ..
        } => NotReady::new("CaThrottles", message, Retry::At(until)),
        RegisterError::Throttled { until: None, .. } => NotReady::new("CaThrottles", message, Retry::Backoff),
        RegisterError::Refused { kind, .. } if kind == kind::EXTERNAL_ACCOUNT_REQUIRED => NotReady::new(
            "ExternalAccountRequired",
            format!(
                "set spec.acme.externalAccountBinding to the key ID and the MAC key that the CA gives its customers; \
                 {message}"
            ),
            Retry::Backoff,
        ),
        RegisterError::Refused { .. } => NotReady::new("AccountRefused", message, Retry::Backoff),
        RegisterError::NotValid { .. } => NotReady::new("AccountNotValid", message, Retry::Backoff),
        RegisterError::Failed { .. } => NotReady::new("AccountFailed", message, Retry::Backoff),
        RegisterError::Send(error) => NotReady::new(error.reason(), message, Retry::Backoff),
    }
}

/// How long to wait after `count` failures in a row: 2 s doubling up to 5 min. A CA that was away
/// for a moment is not left alone for an hour.
pub(super) fn backoff(count: u32) -> Duration {
    Duration::from_secs(2_u64.saturating_mul(1 << count.min(8)).min(300))
}

/// What a ready issuer is made of.
pub(super) fn ready<K: AnyIssuer>(issuer: &K, session: Session, budget: Budget) -> ReadyIssuer {
    ReadyIssuer {
        server: issuer.acme().server.clone(),
        session,
        budget,
        terms: IssuerTerms::of(issuer),
    }
}
