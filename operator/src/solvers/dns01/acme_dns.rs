//! acme-dns: a DNS server for challenges alone, to which CNAMEs lead. <https://github.com/joohoi/acme-dns>
//!
//! `POST HOST/update` with `{"subdomain": …, "txt": …}`, let in by `X-Api-User` and `X-Api-Key`. It keeps the two values that
//! came last under each of its names, which is enough for a domain and its wildcard, and removes none: a third value
//! pushes the first one out.
//!
//! Whoever writes an issuer may have any HTTPS server asked, inside the cluster too. So nothing of an answer is shown but its
//! status, and the words that acme-dns has for what is wrong.

use std::collections::BTreeMap;

use hyper::Method;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use sancho_core::response::Response;
use sancho_crds::AcmeDns as Settings;
use serde::Deserialize;
use serde_json::json;
use zeroize::Zeroizing;

use super::TxtRecord;
use super::api::{Account, ApiRequest, header};
use super::credentials::Credentials;
use super::fault::{CREDENTIALS_MISSING, DnsFault, UPDATE_REFUSED, ZONE_REFUSED};
use super::sets::Wish;
use crate::acme::origin::Origin;

const X_API_USER: HeaderName = HeaderName::from_static("x-api-user");
const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// What acme-dns says of updates that it refuses.
const REFUSALS: [&str; 3] = ["bad_subdomain", "bad_txt", "forbidden"];

/// A server of acme-dns, and the accounts there.
pub(super) struct AcmeDns {
    account: Account,
    origin: String,
    /// As acme-dns registers them; of cert-manager's and lego's files the domains they are for do not matter here.
    accounts: Vec<Registered>,
}

#[derive(Deserialize)]
struct Registered {
    fulldomain: String,
    subdomain: String,
    #[serde(deserialize_with = "super::credentials::zeroizing")]
    username: Zeroizing<String>,
    #[serde(deserialize_with = "super::credentials::zeroizing")]
    password: Zeroizing<String>,
}

#[derive(Deserialize)]
struct Refusal {
    error: String,
}

impl AcmeDns {
    /// The server and accounts of `settings`.
    ///
    /// # Errors
    /// [`DnsFault`] says what is missing or wrong.
    pub(super) async fn new(settings: &Settings, credentials: &Credentials<'_>) -> Result<Self, DnsFault> {
        let Settings {
            host,
            account_secret_ref,
        } = settings;
        let path = "acmeDNS.accountSecretRef";
        let file = credentials
            .text(account_secret_ref, "the accounts at acme-dns", path)
            .await?;
        // Its error may quote a password.
        let accounts: BTreeMap<String, Registered> = serde_json::from_str(&file).map_err(|_| {
            DnsFault::new(
                CREDENTIALS_MISSING,
                &format!(
                    "field {} of Secret {} has no accounts of acme-dns: put JSON there that has for each domain what \
                     /register answered: {{\"example.com\": {{\"fulldomain\": …, \"subdomain\": …, \"username\": …, \
                     \"password\": …}}}}",
                    account_secret_ref.key, account_secret_ref.name
                ),
            )
        })?;
        let url = if host.contains("://") {
            host.clone()
        } else {
            format!("https://{host}")
        };
        let origin = Origin::of(&url)
            .map_err(|error| DnsFault::new(CREDENTIALS_MISSING, &format!("dns01.acmeDNS.host: {error}")))?
            .to_string();
        let words = [origin.as_str(), file.as_str()];
        let account = credentials.account(super::Provider::AcmeDns, words).await?;
        Ok(Self {
            account,
            origin,
            accounts: accounts.into_values().collect(),
        })
    }

    /// Could a record of this name be written? Asks nobody.
    pub(super) fn check(&self, name: &str) -> Result<(), DnsFault> {
        self.at(name).map(drop)
    }

    /// Has these records there. None is removed.
    pub(super) async fn change(&self, wish: Wish, records: &[&TxtRecord]) -> Result<(), DnsFault> {
        if wish == Wish::Gone {
            return Ok(());
        }
        for record in records {
            let registered = self.at(&record.name)?;
            let body = json!({ "subdomain": registered.subdomain, "txt": record.value });
            let request = ApiRequest {
                kind: "changeRecords",
                method: Method::POST,
                host: &self.origin,
                path: "/update".into(),
                headers: vec![
                    (CONTENT_TYPE, HeaderValue::from_static("application/json")),
                    (X_API_USER, header(&registered.username)?),
                    (X_API_KEY, header(&registered.password)?),
                ],
                body: body.to_string().into_bytes(),
            };
            let response = self.account.send(request, |_| false).await?;
            match response.status {
                _ if response.is_success() => {}
                401 | 403 => {
                    return Err(self.account.refused(
                        &format!("HTTP status {}", response.status),
                        "put what /register answered into the Secret of dns01.acmeDNS.accountSecretRef, and see that its \
                         allowfrom has the operator's address",
                    ));
                }
                _ => {
                    return Err(DnsFault::new(
                        UPDATE_REFUSED,
                        &format!(
                            "acme-dns at {} refuses an update ({})",
                            self.origin,
                            said(&response)
                        ),
                    ));
                }
            }
        }
        Ok(())
    }

    /// The account that writes the records at `name`.
    fn at(&self, name: &str) -> Result<&Registered, DnsFault> {
        let is_it = |account: &&Registered| {
            account
                .fulldomain
                .trim_end_matches('.')
                .eq_ignore_ascii_case(name)
        };
        self.accounts.iter().find(is_it).ok_or_else(|| {
            DnsFault::new(
                ZONE_REFUSED,
                &format!(
                    "no account in the Secret of dns01.acmeDNS.accountSecretRef has {name} as its fulldomain: let a CNAME \
                     at _acme-challenge of the name lead to the fulldomain of an account, or add the account"
                ),
            )
        })
    }
}

/// Status of an answer, and what it says is wrong, if those are words of acme-dns.
fn said(response: &Response) -> String {
    let status = format!("HTTP status {}", response.status);
    let refusal: Option<Refusal> = serde_json::from_slice(&response.body).ok();
    let known = refusal.and_then(|refusal| REFUSALS.into_iter().find(|known| *known == refusal.error));
    match known {
        Some(words) => format!("{status}: {words}"),
        None => status,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_an_answer_nothing_is_shown_that_is_not_of_acme_dns() {
        let said = |body: &str| {
            said(&Response {
                status: 400,
                body: body.into(),
                ..Response::default()
            })
        };
        assert_eq!(said(r#"{"error": "bad_txt"}"#), "HTTP status 400: bad_txt");
        for other in [
            r#"{"error": "the password is 1234"}"#,
            r#"{"token": "secret"}"#,
            "<html>internal</html>",
            "",
        ] {
            assert_eq!(said(other), "HTTP status 400", "{other}");
        }
    }
}
