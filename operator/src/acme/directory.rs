//! A CA's directory (RFC 8555 §7.1.1).

use std::collections::BTreeMap;

use sancho_core::names::NAME_MAX;
use sancho_core::response::{NotJson, Response};
use sancho_core::standing::check_issuers;
use serde::Deserialize;

use crate::acme::origin::{CaUrl, Origin, UrlError};

/// So many names of a CA are believed.
const MOST_IDENTITIES: usize = 32;

/// The URLs of a directory, each of them checked to be on the CA's own origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory {
    /// Where nonces come from.
    pub new_nonce: CaUrl,
    /// Where accounts are made.
    pub new_account: CaUrl,
    /// Where orders are made.
    pub new_order: CaUrl,
    /// Where the CA suggests when to renew (RFC 9773 §3), if it does. A URL that may not be asked counts as
    /// none: renewals do without it.
    pub renewal_info: Option<CaUrl>,
    /// Where an account gets another key, if the CA does that. A URL that may not be asked counts as none.
    pub key_change: Option<CaUrl>,
    /// Where certificates are revoked, if the CA does that. A URL that may not be asked counts as none.
    pub revoke_cert: Option<CaUrl>,
    /// The terms of service, if the CA names any. For people; never asked.
    pub terms_of_service: Option<String>,
    /// Whether accounts need an external account binding.
    pub external_account_required: bool,
    /// The names by which CAA records mean the CA (RFC 8659); none if it publishes none.
    pub caa_identities: Vec<String>,
    /// The profiles that the CA offers, each with its description (draft-ietf-acme-profiles §3); none if it has none.
    pub profiles: BTreeMap<String, String>,
}

/// Why an answer is no directory.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DirectoryError {
    /// The CA answered with an error.
    #[error("the CA's directory cannot be had: {0}")]
    Refused(String),
    /// The body is no directory.
    #[error("what is at spec.acme.server is no ACME directory: {0}")]
    NotADirectory(#[from] NotJson),
    /// The directory points elsewhere.
    #[error("the CA's directory holds a URL that may not be asked: {0}")]
    Url(#[from] UrlError),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    new_nonce: String,
    new_account: String,
    new_order: String,
    renewal_info: Option<String>,
    key_change: Option<String>,
    revoke_cert: Option<String>,
    #[serde(default)]
    meta: Meta,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Meta {
    terms_of_service: Option<String>,
    external_account_required: bool,
    caa_identities: Option<serde_json::Value>,
    profiles: Option<BTreeMap<String, serde_json::Value>>,
}

impl Directory {
    /// Reads the directory in `response`, which came from `origin`.
    ///
    /// # Errors
    /// [`DirectoryError`] says why it is none, or none that may be used.
    pub fn read(response: &Response, origin: &Origin) -> Result<Self, DirectoryError> {
        if !response.is_success() {
            return Err(DirectoryError::Refused(response.problem().message()));
        }
        let Document {
            new_nonce,
            new_account,
            new_order,
            renewal_info,
            key_change,
            revoke_cert,
            meta,
        } = response.json()?;
        let Meta {
            terms_of_service,
            external_account_required,
            caa_identities,
            profiles,
        } = meta;
        Ok(Directory {
            new_nonce: origin.admit(&new_nonce)?,
            new_account: origin.admit(&new_account)?,
            new_order: origin.admit(&new_order)?,
            renewal_info: renewal_info.and_then(|url| origin.admit(&url).ok()),
            key_change: key_change.and_then(|url| origin.admit(&url).ok()),
            revoke_cert: revoke_cert.and_then(|url| origin.admit(&url).ok()),
            terms_of_service,
            external_account_required,
            caa_identities: identities(caa_identities.as_ref()),
            profiles: profiles.unwrap_or_default().into_iter().map(described).collect(),
        })
    }
}

impl Directory {
    /// The names that the CA goes by in standing records; none if those that it publishes cannot stand in one.
    #[must_use]
    pub fn issuer_domain_names(&self) -> Vec<String> {
        match check_issuers(&self.caa_identities) {
            Ok(()) => self.caa_identities.clone(),
            Err(_) => Vec::new(),
        }
    }
}

/// The texts of the list that can be a DNS name. What is none is left out: a directory is of use without it.
fn identities(list: Option<&serde_json::Value>) -> Vec<String> {
    let list = list.and_then(serde_json::Value::as_array);
    let texts = list.into_iter().flatten().filter_map(serde_json::Value::as_str);
    texts
        .filter(|text| (1..=NAME_MAX).contains(&text.len()) && text.is_ascii())
        .take(MOST_IDENTITIES)
        .map(str::to_owned)
        .collect()
}

/// A profile and its description. One that is described by something else than a text is offered all the same.
fn described((name, description): (String, serde_json::Value)) -> (String, String) {
    let description = description.as_str().unwrap_or_default().to_owned();
    (name, description)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(status: u16, body: &str) -> Result<Directory, DirectoryError> {
        let response = Response {
            status,
            body: body.as_bytes().to_vec(),
            ..Response::default()
        };
        Directory::read(&response, &Origin::of("https://ca.example/directory").unwrap())
    }

    #[test]
    fn a_directory_is_read_with_its_meta() {
        let directory = read(
            200,
            r#"{"newNonce":"https://ca.example/nonce","newAccount":"https://ca.example/account",
                "newOrder":"https://ca.example/order","keyChange":"https://ca.example/key",
                "renewalInfo":"https://ca.example/renewal",
                "meta":{"termsOfService":"https://elsewhere.example/tos","externalAccountRequired":true,
                "caaIdentities":["ca.example","",7,"other.example"],"profiles":{"classic":"as ever","odd":null}}}"#,
        )
        .unwrap();
        assert_eq!(directory.new_order.as_str(), "https://ca.example/order");
        assert_eq!(
            directory.terms_of_service.as_deref(),
            Some("https://elsewhere.example/tos")
        );
        assert!(directory.external_account_required);
        assert_eq!(directory.caa_identities, ["ca.example", "other.example"]);
        assert_eq!(directory.issuer_domain_names(), directory.caa_identities);
        assert_eq!(directory.key_change.unwrap().as_str(), "https://ca.example/key");
        let profiles =
            [("classic", "as ever"), ("odd", "")].map(|(name, text)| (name.to_owned(), text.to_owned()));
        assert_eq!(directory.profiles, BTreeMap::from(profiles));
        let renewal_info = directory.renewal_info.unwrap();
        assert_eq!(renewal_info.as_str(), "https://ca.example/renewal");
    }

    #[test]
    fn a_ca_without_renewal_info_or_with_one_elsewhere_has_none() {
        for entry in [
            "",
            r#","renewalInfo":"https://elsewhere.example/renewal","meta":{"caaIdentities":"ca.example"}"#,
        ] {
            let directory = read(
                200,
                &format!(
                    r#"{{"newNonce":"https://ca.example/nonce","newAccount":"https://ca.example/account",
                        "newOrder":"https://ca.example/order"{entry}}}"#
                ),
            );
            let directory = directory.unwrap();
            assert_eq!(directory.renewal_info, None);
            assert!(directory.profiles.is_empty());
            assert!(directory.caa_identities.is_empty());
        }
    }

    #[test]
    fn names_of_a_ca_that_can_stand_in_no_record_count_for_nothing_there() {
        for identities in ["null", "7", "[]", "[7]", r#"["CA.example"]"#, r#"["x y"]"#] {
            let directory = read(
                200,
                &format!(
                    r#"{{"newNonce":"https://ca.example/nonce","newAccount":"https://ca.example/account",
                        "newOrder":"https://ca.example/order","meta":{{"caaIdentities":{identities}}}}}"#
                ),
            );
            let names = directory.unwrap().issuer_domain_names();
            assert!(names.is_empty(), "{identities}: {names:?}");
        }
    }

    #[test]
    fn a_directory_that_points_elsewhere_is_refused() {
        let error = read(
            200,
            r#"{"newNonce":"https://ca.example/nonce","newAccount":"https://ca.example/account",
                "newOrder":"https://evil.example/order"}"#,
        )
        .unwrap_err();
        assert!(
            matches!(error, DirectoryError::Url(UrlError::OtherOrigin { .. })),
            "{error}"
        );
    }

    proptest! {
        #[test]
        fn whatever_stands_in_its_place_is_refused_in_few_words(
            status in 100u16..600,
            body in prop_oneof![
                any::<String>(),
                (any::<String>(), "[\\PC]{0,3000}").prop_map(|(new_nonce, new_order)| {
                    serde_json::json!({
                        "newNonce": new_nonce, "newAccount": "https://ca.example/", "newOrder": new_order,
                    })
                    .to_string()
                }),
                "[\\PC]{0,3000}".prop_map(|meta| serde_json::json!({ "meta": meta }).to_string()),
            ],
        ) {
            let words = read(status, &body).unwrap_err().to_string();
            prop_assert!(words.chars().count() <= 1000, "{}", words);
        }
    }

    #[test]
    fn a_web_page_in_its_place_is_named() {
        let error = read(200, "<title>Welcome</title>").unwrap_err();
        assert!(matches!(error, DirectoryError::NotADirectory(_)));
        assert!(error.to_string().ends_with("Welcome"), "{error}");
        assert!(matches!(read(404, ""), Err(DirectoryError::Refused(_))));
    }
}
