//! lego's httpreq: one's own HTTPS server writes the records. <https://go-acme.github.io/lego/dns/httpreq/>
//!
//! `POST ENDPOINT/present` and `POST ENDPOINT/cleanup` with `{"fqdn": "_acme-challenge.NAME.", "value": …}`, one value at a
//! time, in its default mode. Where it is stands in the Secret, beside what it is let in by: whoever may write an issuer and
//! read no Secret is not to have one sent to a place of their choice. That may be any HTTPS server, inside the cluster too, so that
//! of its answers nothing is shown but the status.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::Method;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use sancho_crds::{HttpReq as Settings, SecretKeySelector};
use serde_json::json;
use zeroize::Zeroizing;

use super::TxtRecord;
use super::api::{Account, ApiRequest, header};
use super::credentials::Credentials;
use super::fault::{CREDENTIALS_MISSING, DnsFault, UPDATE_REFUSED};
use super::sets::Wish;
use crate::acme::origin::Origin;

/// A server that speaks httpreq.
pub(super) struct HttpReq {
    account: Account,
    origin: String,
    /// Where below it, without a slash at the end.
    path: String,
    auth: Option<(HeaderName, HeaderValue)>,
}

impl HttpReq {
    /// The server of `settings`.
    ///
    /// # Errors
    /// [`DnsFault`] says what is missing or wrong in the Secret.
    pub(super) async fn new(settings: &Settings, credentials: &Credentials<'_>) -> Result<Self, DnsFault> {
        let name = &settings.secret_ref.name;
        let field = |key: &str| SecretKeySelector {
            name: name.clone(),
            key: key.to_owned(),
        };
        let path = "httpreq.secretRef";
        let endpoint = credentials
            .text(&field("endpoint"), "the server's URL", path)
            .await?;
        let username = credentials.optional(&field("username")).await?;
        let password = credentials.optional(&field("password")).await?;
        let (username, password) = (username.unwrap_or_default(), password.unwrap_or_default());
        let roots = credentials.optional(&field("ca.crt")).await?;
        let words = [endpoint.as_str(), username.as_str(), password.as_str()];
        let account = credentials
            .account(super::Provider::HttpReq, words)
            .await?
            .with_roots(roots.filter(|pem| !pem.is_empty()));
        let origin = Origin::of(&endpoint).map_err(|error| {
            DnsFault::new(
                CREDENTIALS_MISSING,
                &format!(
                    "field endpoint of Secret {name}: {error}: write the server's URL, https://HOST/PATH"
                ),
            )
        })?;
        let auth = if username.is_empty() && password.is_empty() {
            None
        } else {
            let both = Zeroizing::new(format!("{}:{}", *username, *password));
            let basic = Zeroizing::new(format!("Basic {}", STANDARD.encode(both.as_bytes())));
            Some((AUTHORIZATION, header(&basic)?))
        };
        let below = endpoint.trim_start_matches("https://");
        let path = below.find('/').map_or("", |at| below[at..].trim_end_matches('/'));
        Ok(Self {
            account,
            origin: origin.to_string(),
            path: path.to_owned(),
            auth,
        })
    }

    /// Has these records there or gone, one request each.
    pub(super) async fn change(&self, wish: Wish, records: &[&TxtRecord]) -> Result<(), DnsFault> {
        let what = match wish {
            Wish::There => "present",
            Wish::Gone => "cleanup",
        };
        for record in records {
            let mut headers = vec![(CONTENT_TYPE, HeaderValue::from_static("application/json"))];
            headers.extend(self.auth.clone());
            let body = json!({ "fqdn": format!("{}.", record.name), "value": record.value });
            let request = ApiRequest {
                kind: "changeRecords",
                method: Method::POST,
                host: &self.origin,
                path: format!("{}/{what}", self.path),
                headers,
                body: body.to_string().into_bytes(),
            };
            let response = self.account.send(request, |_| false).await?;
            match response.status {
                _ if response.is_success() => {}
                401 | 403 => {
                    return Err(self.account.refused(
                        &format!("HTTP status {}", response.status),
                        "put its user name and password into the fields username and password of the Secret",
                    ));
                }
                status => {
                    return Err(DnsFault::new(
                        UPDATE_REFUSED,
                        &format!(
                            "{} refuses to write the TXT record {} (HTTP status {status}): see its log",
                            self.origin, record.name
                        ),
                    ));
                }
            }
        }
        Ok(())
    }
}
