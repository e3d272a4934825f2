//! An access token for a service account: a statement that its key signs, exchanged for a token (RFC 7523).
//! <https://developers.google.com/identity/protocols/oauth2/service-account#httprest>

use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyper::Method;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;
use sancho_core::shown::shown_within;
use sancho_crds::SecretKeySelector;
use serde::Deserialize;
use serde_json::json;
use zeroize::Zeroizing;

use crate::clock;
use crate::solvers::dns01::api::{Account, ApiRequest};
use crate::solvers::dns01::fault::{CREDENTIALS_MISSING, DnsFault};
use crate::solvers::dns01::session::Granted;

const HOST: &str = "https://oauth2.googleapis.com";
const AUDIENCE: &str = "https://oauth2.googleapis.com/token";
const SCOPE: &str = "https://www.googleapis.com/auth/ndev.clouddns.readwrite";
/// A token is not used in its last minutes.
const MARGIN: Duration = Duration::from_secs(300);

/// A service account and its key.
pub(super) struct ServiceAccount {
    email: String,
    key_id: String,
    key: RsaKeyPair,
}

#[derive(Deserialize)]
struct KeyFile {
    #[serde(rename = "type")]
    kind: String,
    client_email: String,
    private_key_id: String,
    #[serde(deserialize_with = "crate::solvers::dns01::credentials::zeroizing")]
    private_key: Zeroizing<String>,
}

#[derive(Deserialize)]
struct Answered {
    #[serde(deserialize_with = "crate::solvers::dns01::credentials::zeroizing")]
    access_token: Zeroizing<String>,
    expires_in: u64,
}

#[derive(Deserialize)]
struct Refused {
    error: String,
    #[serde(default)]
    error_description: String,
}

impl ServiceAccount {
    /// The account of this key file, which is in the field of a Secret.
    pub(super) fn read(file: &str, reference: &SecretKeySelector) -> Result<Self, DnsFault> {
        let SecretKeySelector { name, key } = reference;
        let unusable = |what: &str| {
            DnsFault::new(
                CREDENTIALS_MISSING,
                &format!(
                    "field {key} of Secret {name} is no key file of a service account ({what}): put the JSON there that \
                     gcloud iam service-accounts keys create writes"
                ),
            )
        };
        // Its error may quote the key.
        let file: KeyFile = serde_json::from_str(file).map_err(|_| unusable("it cannot be read"))?;
        if file.kind != "service_account" {
            return Err(unusable("its type is another"));
        }
        let der = PrivatePkcs8KeyDer::from_pem_slice(file.private_key.as_bytes());
        let pair = der
            .ok()
            .and_then(|der| RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).ok());
        Ok(Self {
            email: file.client_email,
            key_id: file.private_key_id,
            key: pair.ok_or_else(|| unusable("its private_key is no RSA key in PEM"))?,
        })
    }

    /// A new token.
    pub(super) async fn token(&self, account: &Account) -> Result<Granted, DnsFault> {
        let assertion = self.assertion(clock::now().as_second())?;
        let body = format!(
            "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion={}",
            *assertion
        );
        let request = ApiRequest {
            kind: "token",
            method: Method::POST,
            host: HOST,
            path: "/token".into(),
            headers: vec![(
                CONTENT_TYPE,
                HeaderValue::from_static("application/x-www-form-urlencoded"),
            )],
            body: body.into_bytes(),
        };
        let response = account.send(request, |_| false).await?;
        if !response.is_success() {
            let refused: Option<Refused> = serde_json::from_slice(&response.body).ok();
            let words = refused.map_or_else(
                || format!("HTTP status {}", response.status),
                |refused| {
                    format!(
                        "{} {}",
                        refused.error,
                        shown_within(&refused.error_description, 100)
                    )
                },
            );
            return Err(account.refused(
                &words,
                "its key was deleted or disabled, or the clock of this machine is wrong: put the key file of a service \
                 account into the Secret of dns01.cloudDNS.serviceAccountSecretRef",
            ));
        }
        let granted: Answered =
            serde_json::from_slice(&response.body).map_err(|_| account.unreadable(&response))?;
        Ok(Granted {
            token: granted.access_token,
            time: Duration::from_secs(granted.expires_in.min(3600)).saturating_sub(MARGIN),
        })
    }

    fn assertion(&self, now: i64) -> Result<Zeroizing<String>, DnsFault> {
        let head = json!({ "alg": "RS256", "typ": "JWT", "kid": self.key_id });
        let claims = json!({
            "iss": self.email, "scope": SCOPE, "aud": AUDIENCE, "iat": now, "exp": now + 3600,
        });
        let part = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&head), part(&claims));
        let mut signature = vec![0; self.key.public_modulus_len()];
        self.key
            .sign(
                &RSA_PKCS1_SHA256,
                &SystemRandom::new(),
                signed.as_bytes(),
                &mut signature,
            )
            .map_err(|_| {
                DnsFault::new(
                    CREDENTIALS_MISSING,
                    "the key of the service account does not sign",
                )
            })?;
        Ok(Zeroizing::new(format!(
            "{signed}.{}",
            URL_SAFE_NO_PAD.encode(signature)
        )))
    }
}
