//! One account at one CA: what the order machine asks for is signed and sent here.

mod registration;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use sancho_core::order::Request;
use sancho_core::renewal::CertId;
use sancho_core::response::Response;
use serde_json::json;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::acme::account::AccountKey;
use crate::acme::directory::{Directory, DirectoryError};
use crate::acme::error::SendError;
use crate::acme::jws::Signer;
use crate::acme::origin::{CaUrl, UrlError};
use crate::acme::transport::{Post, Transport};

pub use self::registration::{KeyChangeError, RegisterError};

/// How long a directory is believed. CAs change theirs once in years.
const DIRECTORY_LIFETIME: Duration = Duration::from_secs(24 * 3600);
/// A profile that a directory lacks which is older than this may be offered by now.
const PROFILES_LIFETIME: Duration = Duration::from_secs(10 * 60);

/// An account that requests can be made with. Cheap to clone; clones share the directory.
#[derive(Clone)]
pub struct Session {
    authority: Authority,
    key: Arc<AccountKey>,
    kid: CaUrl,
}

/// What requests say beside what the order machine knows. Each request looks at its own part.
#[derive(Debug, Clone, Copy, Default)]
pub struct Terms<'a> {
    /// The CA's profile, for newOrder (draft-ietf-acme-profiles §4).
    pub profile: Option<&'a str>,
    /// Until when the certificate is to be valid, for newOrder (RFC 8555 §7.4); in whole seconds, since not every CA
    /// reads fractions.
    pub not_after: Option<Timestamp>,
    /// The CSR as DER, for finalize.
    pub csr: &'a [u8],
}

/// How far [`Session::warm`] has got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Warmed {
    /// The directory is there, and the profile is in it.
    Ready,
    /// The CA wants to be left alone; this is its answer.
    Throttled(Response),
    /// The CA offers these profiles, by name and description, and not the one that is asked for.
    NotOffered(BTreeMap<String, String>),
}

/// A CA: its transport and its directory.
#[derive(Clone)]
struct Authority {
    transport: Transport,
    url: CaUrl,
    directory: Arc<Mutex<Option<(Directory, Instant)>>>,
    /// The directory was read, and has no `renewalInfo`.
    lacks_renewal_info: Arc<AtomicBool>,
}

/// Why there is no directory yet.
enum Unavailable {
    Throttled(Response),
    Failed(SendError),
}

impl Session {
    /// A session with the account at `kid`, which an earlier [`Session::register`] gave. Sends
    /// nothing; if the CA no longer knows the account, the first request is refused with
    /// `accountDoesNotExist`.
    ///
    /// # Errors
    /// [`UrlError`] if one of the URLs may not be asked.
    pub fn resume(
        transport: Transport,
        directory_url: &str,
        key: Arc<AccountKey>,
        kid: &str,
    ) -> Result<Self, UrlError> {
        let kid = transport.admit(kid)?;
        Ok(Session {
            authority: Authority::new(transport, directory_url)?,
            key,
            kid,
        })
    }

    /// The same, for requests on behalf of this tenant; see [`crate::gate::Gate::for_tenant`].
    #[must_use]
    pub fn for_tenant(&self, tenant: &str) -> Self {
        let mut session = self.clone();
        session.authority.transport = session.authority.transport.for_tenant(tenant);
        session
    }

    /// The account's URL.
    #[must_use]
    pub fn kid(&self) -> &str {
        self.kid.as_str()
    }

    /// The account key's thumbprint, for key authorizations.
    #[must_use]
    pub fn thumbprint(&self) -> String {
        self.key.thumbprint()
    }

    /// The transport underneath.
    #[must_use]
    pub fn transport(&self) -> &Transport {
        &self.authority.transport
    }

    /// Performs one of the order machine's requests. That an order replaces a certificate is said only to a CA whose
    /// directory has `renewalInfo` (RFC 9773 §5).
    ///
    /// # Errors
    /// [`SendError`] if there is no whole answer; [`SendError::reply`] is what the order machine
    /// is told then.
    pub async fn perform(&self, request: &Request, terms: Terms<'_>) -> Result<Response, SendError> {
        let directory = match self.authority.directory().await {
            Ok(directory) => directory,
            // The request was not sent, and the CA wants none: a throttle like any other.
            Err(Unavailable::Throttled(answer)) => return Ok(answer),
            Err(Unavailable::Failed(error)) => return Err(error),
        };
        let (url, payload) = match request {
            Request::NewOrder { names, replaces } => {
                let identifiers: Vec<_> = names
                    .iter()
                    .map(|name| json!({ "type": name.kind(), "value": name.as_str() }))
                    .collect();
                let mut order = json!({ "identifiers": identifiers });
                if let (Some(replaced), Some(_)) = (replaces, &directory.renewal_info) {
                    order["replaces"] = replaced.as_str().into();
                }
                if let Some(profile) = terms.profile {
                    order["profile"] = profile.into();
                }
                if let Some(not_after) = terms.not_after {
                    order["notAfter"] = not_after.to_string().into();
                }
                (directory.new_order.as_str(), order.to_string())
            }
            // POST-as-GET (RFC 8555 §6.3).
            Request::FetchAuthorization { index: _, url }
            | Request::PollOrder { url }
            | Request::DownloadCertificate { url } => (url.as_str(), String::new()),
            Request::AnswerChallenge { index: _, url } => (url.as_str(), "{}".to_owned()),
            Request::Finalize { url } => {
                let body = json!({ "csr": URL_SAFE_NO_PAD.encode(terms.csr) });
                (url.as_str(), body.to_string())
            }
        };
        let accept = matches!(request, Request::DownloadCertificate { .. })
            .then_some("application/pem-certificate-chain");
        let post = Post {
            kind: request.kind(),
            new_nonce: &directory.new_nonce,
            url: &self.authority.transport.admit(url)?,
            signer: Signer::Account {
                key: &self.key,
                kid: self.kid.as_str(),
            },
            payload: payload.as_bytes(),
            accept,
        };
        self.authority.transport.post(post).await
    }

    /// Asks what the CA suggests for the renewal of a certificate (RFC 9773 §4.1): an unsigned GET. Nothing
    /// comes back if the CA does not do that.
    ///
    /// # Errors
    /// [`SendError`] if there is no whole answer; [`SendError::reply`] is what it amounts to then.
    pub async fn renewal_info(&self, certificate: &CertId) -> Result<Option<Response>, SendError> {
        let directory = match self.authority.directory().await {
            Ok(directory) => directory,
            Err(Unavailable::Throttled(answer)) => return Ok(Some(answer)),
            Err(Unavailable::Failed(error)) => return Err(error),
        };
        let Some(base) = directory.renewal_info else {
            return Ok(None);
        };
        let url = format!("{}/{certificate}", base.as_str().trim_end_matches('/'));
        let transport = &self.authority.transport;
        let answer = transport.get("renewalInfo", &transport.admit(&url)?).await?;
        Ok(Some(answer))
    }

    /// Asks the CA to revoke a certificate, which is given as DER, for the reason with this code (RFC 8555 §7.6), signed
    /// by the account. Nothing comes back if the CA does not do that.
    ///
    /// # Errors
    /// [`SendError`] if there is no whole answer; [`SendError::reply`] is what it amounts to then.
    pub async fn revoke(&self, certificate: &[u8], reason: u8) -> Result<Option<Response>, SendError> {
        let directory = match self.authority.directory().await {
            Ok(directory) => directory,
            Err(Unavailable::Throttled(answer)) => return Ok(Some(answer)),
            Err(Unavailable::Failed(error)) => return Err(error),
        };
        let Some(url) = directory.revoke_cert else {
            return Ok(None);
        };
        let certificate = URL_SAFE_NO_PAD.encode(certificate);
        let payload = json!({ "certificate": certificate, "reason": reason }).to_string();
        let post = Post {
            kind: "revokeCert",
            new_nonce: &directory.new_nonce,
            url: &url,
            signer: Signer::Account {
                key: &self.key,
                kid: self.kid.as_str(),
            },
            payload: payload.as_bytes(),
            accept: None,
        };
        Ok(Some(self.authority.transport.post(post).await?))
    }

    /// Is it known that the CA suggests nothing for renewals? Not before the directory was read.
    #[must_use]
    pub fn lacks_renewal_info(&self) -> bool {
        self.authority.lacks_renewal_info.load(Ordering::Relaxed)
    }

    /// Sees to it that the directory is there, so that [`Session::perform`] waits for nothing but its own
    /// permits, and looks whether it has `profile`, if one is asked for. A directory without it is read again, but
    /// not more often than every ten minutes.
    ///
    /// # Errors
    /// [`SendError`] if there is no directory to be had.
    pub async fn warm(&self, profile: Option<&str>) -> Result<Warmed, SendError> {
        let lacks =
            |directory: &Directory| profile.is_some_and(|profile| !directory.profiles.contains_key(profile));
        let mut directory = self.authority.directory().await;
        if directory.as_ref().is_ok_and(lacks) {
            directory = self.authority.directory_within(PROFILES_LIFETIME).await;
        }
        match directory {
            Ok(directory) if lacks(&directory) => Ok(Warmed::NotOffered(directory.profiles)),
            Ok(_) => Ok(Warmed::Ready),
            Err(Unavailable::Throttled(answer)) => Ok(Warmed::Throttled(answer)),
            Err(Unavailable::Failed(error)) => Err(error),
        }
    }

    /// The names that the CA goes by in DNS, as its directory has them.
    ///
    /// # Errors
    /// [`SendError`] if there is no directory to be had; nothing comes back if the CA wants to be left alone.
    pub async fn issuer_domain_names(&self) -> Result<Option<Vec<String>>, SendError> {
        match self.authority.directory().await {
            Ok(directory) => Ok(Some(directory.issuer_domain_names())),
            Err(Unavailable::Throttled(_)) => Ok(None),
            Err(Unavailable::Failed(error)) => Err(error),
        }
    }

    /// The same as far as the directory was read already.
    pub async fn known_issuer_domain_names(&self) -> Option<Vec<String>> {
        let cached = self.authority.directory.lock().await;
        let directory = cached.as_ref().map(|(directory, _)| directory);
        directory.map(Directory::issuer_domain_names)
    }

    /// The names by which CAA records mean this CA, as its directory has them; none if it says none. The directory is asked
    /// for if it is not there yet: nothing comes back if it cannot be had.
    pub async fn caa_identities(&self) -> Option<Vec<String>> {
        let directory = self.authority.directory().await.ok()?;
        Some(directory.caa_identities)
    }

    /// The profiles that the directory had when it was read last.
    pub async fn known_profiles(&self) -> BTreeMap<String, String> {
        let cached = self.authority.directory.lock().await;
        let directory = cached.as_ref().map(|(directory, _)| directory);
        directory
            .map(|directory| directory.profiles.clone())
            .unwrap_or_default()
    }
}

impl Authority {
    fn new(transport: Transport, directory_url: &str) -> Result<Self, UrlError> {
        let url = transport.admit(directory_url)?;
        Ok(Authority {
            transport,
            url,
            directory: Arc::default(),
            lacks_renewal_info: Arc::default(),
        })
    }

    async fn directory(&self) -> Result<Directory, Unavailable> {
        self.directory_within(DIRECTORY_LIFETIME).await
    }

    /// The directory, from memory if it is not older than `lifetime`. Callers that come while it is fetched
    /// wait for that one request.
    async fn directory_within(&self, lifetime: Duration) -> Result<Directory, Unavailable> {
        let mut cached = self.directory.lock().await;
        if let Some((directory, since)) = &*cached
            && since.elapsed() < lifetime
        {
            return Ok(directory.clone());
        }
        let answer = self
            .transport
            .get("directory", &self.url)
            .await
            .map_err(Unavailable::Failed)?;
        if answer.throttle(Timestamp::now()).is_some() {
            return Err(Unavailable::Throttled(answer));
        }
        let directory = Directory::read(&answer, self.transport.origin())
            .map_err(|error: DirectoryError| Unavailable::Failed(error.into()))?;
        self.transport.keep_nonce(&directory.new_nonce, &answer);
        self.lacks_renewal_info
            .store(directory.renewal_info.is_none(), Ordering::Relaxed);
        *cached = Some((directory.clone(), Instant::now()));
        Ok(directory)
    }
}

#[cfg(test)]
mod tests;
