//! A CA's directory (RFC 8555 §7.1.1).

use sancho_core::response::{NotJson, Response};
use serde::Deserialize;

use crate::acme::origin::{CaUrl, Origin, UrlError};

/// The URLs of a directory, each of them checked to be on the CA's own origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory {
    /// Where nonces come from.
    pub new_nonce: CaUrl,
    /// Where accounts are made.
    pub new_account: CaUrl,
    /// Where orders are made.
    pub new_order: CaUrl,
    /// The terms of service, if the CA names any. For people; never asked.
    pub terms_of_service: Option<String>,
    /// Whether accounts need an external account binding.
    pub external_account_required: bool,
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
    #[serde(default)]
    meta: Meta,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Meta {
    terms_of_service: Option<String>,
    external_account_required: bool,
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
            meta,
        } = response.json()?;
        let Meta {
            terms_of_service,
            external_account_required,
        } = meta;
        Ok(Directory {
            new_nonce: origin.admit(&new_nonce)?,
            new_account: origin.admit(&new_account)?,
            new_order: origin.admit(&new_order)?,
            terms_of_service,
            external_account_required,
        })
    }
}

#[cfg(test)]
mod tests {
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
                "meta":{"termsOfService":"https://elsewhere.example/tos","externalAccountRequired":true}}"#,
        )
        .unwrap();
        assert_eq!(directory.new_order.as_str(), "https://ca.example/order");
        assert_eq!(
            directory.terms_of_service.as_deref(),
            Some("https://elsewhere.example/tos")
        );
        assert!(directory.external_account_required);
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

    #[test]
    fn a_web_page_in_its_place_is_named() {
        let error = read(200, "<title>Welcome</title>").unwrap_err();
        assert!(matches!(error, DirectoryError::NotADirectory(_)));
        assert!(error.to_string().ends_with("Welcome"), "{error}");
        assert!(matches!(read(404, ""), Err(DirectoryError::Refused(_))));
    }
}
