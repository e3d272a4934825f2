//! Certificates that are revoked because a user asks for it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::{Deserialize, Serialize};

/// On a Certificate (then all its certificates) or on one of its Secrets: what is served is revoked at the CA for the
/// reason that is the value ([`RevocationReason`]), once, and issued anew. Removed when it is revoked.
pub const REVOKE_ANNOTATION: &str = "sancho.dev/revoke";

/// Why a certificate is revoked (RFC 5280 §5.3.1). `certificateHold` and `removeFromCRL` are missing, which end
/// nothing for good.
#[derive(schemars::JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub enum RevocationReason {
    /// No reason is given.
    Unspecified,
    /// Somebody else has, or may have, the private key.
    KeyCompromise,
    /// The CA's own key is not safe any more.
    #[serde(rename = "cACompromise")]
    CaCompromise,
    /// The names belong to somebody else, or under another name.
    AffiliationChanged,
    /// Another certificate takes its place.
    Superseded,
    /// The names are not used any more.
    CessationOfOperation,
    /// The right to the certificate was withdrawn.
    PrivilegeWithdrawn,
    /// The key of an attribute authority is not safe any more.
    #[serde(rename = "aACompromise")]
    AaCompromise,
}

impl RevocationReason {
    /// All of them, by their codes.
    pub const ALL: [Self; 8] = [
        Self::Unspecified,
        Self::KeyCompromise,
        Self::CaCompromise,
        Self::AffiliationChanged,
        Self::Superseded,
        Self::CessationOfOperation,
        Self::PrivilegeWithdrawn,
        Self::AaCompromise,
    ];

    /// Its name in RFC 5280.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::KeyCompromise => "keyCompromise",
            Self::CaCompromise => "cACompromise",
            Self::AffiliationChanged => "affiliationChanged",
            Self::Superseded => "superseded",
            Self::CessationOfOperation => "cessationOfOperation",
            Self::PrivilegeWithdrawn => "privilegeWithdrawn",
            Self::AaCompromise => "aACompromise",
        }
    }

    /// Its code in RFC 5280.
    pub fn code(self) -> u8 {
        match self {
            Self::Unspecified => 0,
            Self::KeyCompromise => 1,
            Self::CaCompromise => 2,
            Self::AffiliationChanged => 3,
            Self::Superseded => 4,
            Self::CessationOfOperation => 5,
            Self::PrivilegeWithdrawn => 9,
            Self::AaCompromise => 10,
        }
    }

    /// The reason of that name. Case does not matter.
    ///
    /// # Errors
    /// Lists those that there are.
    pub fn parse(text: &str) -> Result<Self, UnknownReason> {
        let is_it = |reason: &Self| reason.as_str().eq_ignore_ascii_case(text.trim());
        Self::ALL.into_iter().find(is_it).ok_or_else(|| UnknownReason {
            given: text.chars().filter(|c| !c.is_control()).take(60).collect(),
        })
    }
}

impl std::fmt::Display for RevocationReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that is no reason to revoke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownReason {
    given: String,
}

impl std::fmt::Display for UnknownReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let all = RevocationReason::ALL.map(RevocationReason::as_str).join(", ");
        write!(
            f,
            "{:?} is no reason to revoke a certificate: write one of {all}",
            self.given
        )
    }
}

impl std::error::Error for UnknownReason {}

/// A certificate that is, or is to be, revoked. Recorded before the CA is asked, so that no other one is.
#[derive(schemars::JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct RevocationStatus {
    /// Its serial number, hexadecimal.
    pub serial: String,
    /// Hexadecimal SHA-256 of the `tls.crt` that it stood in.
    pub fingerprint: String,
    /// Why.
    pub reason: RevocationReason,
    /// What had the annotation.
    pub asked_by: RevocationAskedBy,
    /// When it was asked for.
    pub asked: Time,
    /// When the CA had revoked it; absent until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<Time>,
    /// How often the CA was asked in vain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failures: Option<u32>,
    /// When the CA is asked again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_try: Option<Time>,
    /// Why it was in vain, bounded and escaped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What had the annotation `sancho.dev/revoke`.
#[derive(schemars::JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum RevocationAskedBy {
    /// The Certificate.
    Certificate,
    /// The Secret.
    Secret,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_read_as_rfc_5280_writes_them_and_as_people_do() {
        for reason in RevocationReason::ALL {
            assert_eq!(RevocationReason::parse(reason.as_str()), Ok(reason));
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.as_str());
        }
        assert_eq!(
            RevocationReason::parse(" keycompromise"),
            Ok(RevocationReason::KeyCompromise)
        );
        assert_eq!(RevocationReason::KeyCompromise.code(), 1);
        assert_eq!(RevocationReason::AaCompromise.code(), 10);
    }

    #[test]
    fn what_is_no_reason_is_told_with_those_that_are() {
        for text in ["", "compromised", "certificateHold", "1"] {
            let words = RevocationReason::parse(text).unwrap_err().to_string();
            assert!(
                words.contains("keyCompromise, cACompromise, affiliationChanged"),
                "{words}"
            );
        }
        let long = RevocationReason::parse(&"x".repeat(5000))
            .unwrap_err()
            .to_string();
        assert!(long.len() < 400, "{long}");
    }
}
