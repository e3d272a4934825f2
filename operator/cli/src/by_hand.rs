//! What a user has Sancho do with a Certificate, by an annotation on it. Pure.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::core::PartialObjectMeta;
use sancho_crds::{
    Certificate, PAUSED_ANNOTATION, RENEW_ANNOTATION, RETRY_ANNOTATION, REVOKE_ANNOTATION, RevocationReason,
};
use serde::Serialize;

/// On a Secret that Sancho wrote: the name of its Certificate.
const CERTIFICATE_NAME: &str = "sancho.dev/certificate-name";

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Renew now what is valid.
    Renew(Timestamp),
    /// Try again now what has failed.
    Retry(Timestamp),
    /// Have all certificates revoked, and issued anew.
    Revoke(RevocationReason),
    /// Begin no order.
    Pause,
    /// Begin orders again.
    Resume,
}

/// An annotation that was written, or removed.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Written {
    /// The namespace.
    pub namespace: String,
    /// The Certificate, or the one that the Secret is of.
    pub certificate: String,
    /// The Secret, if it has the annotation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// The annotation.
    pub annotation: &'static str,
    /// Its value; absent if it was removed.
    pub value: Option<String>,
    /// What comes of it.
    #[serde(skip)]
    consequence: &'static str,
}

impl Change {
    /// The annotation that is to be written to `certificate`.
    ///
    /// # Errors
    /// Why it would be of no use, and what to do.
    pub fn on(self, certificate: &Certificate) -> Result<Written, String> {
        let name = certificate.name_any();
        let annotations = certificate.annotations();
        let is_paused = annotations.get(PAUSED_ANNOTATION).map(String::as_str) == Some("true");
        let (annotation, value, consequence) = match self {
            Change::Renew(_) | Change::Retry(_) if is_paused => {
                return Err(format!(
                    "Certificate {name} is paused: kubectl sancho resume {name} first"
                ));
            }
            Change::Renew(now) => (
                RENEW_ANNOTATION,
                Some(now.to_string()),
                "is renewed now; the present certificates stay in use until the new ones are there",
            ),
            Change::Retry(now) => (
                RETRY_ANNOTATION,
                Some(now.to_string()),
                "has what failed tried again now, and names in quarantine; a quota of the CA keeps its time",
            ),
            Change::Revoke(reason) => (
                REVOKE_ANNOTATION,
                Some(reason.to_string()),
                "has all its certificates revoked and issued anew; the annotation goes away when they are revoked",
            ),
            Change::Pause => (
                PAUSED_ANNOTATION,
                Some("true".to_owned()),
                "is paused: no order is begun, not even for a renewal; what is under way is finished",
            ),
            Change::Resume => (PAUSED_ANNOTATION, None, "goes on"),
        };
        Ok(Written {
            namespace: certificate.namespace().unwrap_or_default(),
            certificate: name,
            secret: None,
            annotation,
            value,
            consequence,
        })
    }
}

/// The annotation that is to be written to `secret`, whose certificate is to be revoked for this reason.
///
/// # Errors
/// If it is no Secret of a Certificate of Sancho.
pub fn revoke_secret(
    reason: RevocationReason,
    secret: &PartialObjectMeta<Secret>,
) -> Result<Written, String> {
    let name = secret.name_any();
    let Some(certificate) = secret.annotations().get(CERTIFICATE_NAME) else {
        return Err(format!(
            "Secret {name} was not made by Sancho: revoke its certificate by the program that asked for it"
        ));
    };
    Ok(Written {
        namespace: secret.namespace().unwrap_or_default(),
        certificate: certificate.clone(),
        secret: Some(name),
        annotation: REVOKE_ANNOTATION,
        value: Some(reason.to_string()),
        consequence: "has its certificate revoked and issued anew; the annotation goes away when it is revoked",
    })
}

/// A line that says what comes of it.
pub fn text(written: &Written) -> String {
    let Written {
        namespace,
        certificate,
        secret,
        consequence,
        ..
    } = written;
    match secret {
        Some(secret) => format!("Secret {namespace}/{secret} {consequence}\n"),
        None => format!("Certificate {namespace}/{certificate} {consequence}\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::tests::{NOW, at, certificate};

    #[test]
    fn a_renewal_carries_its_moment_and_a_pause_goes_away_again() {
        let certificate = certificate(None);
        let written = |change: Change| {
            let written = change.on(&certificate).unwrap();
            (written.annotation, written.value)
        };
        assert_eq!(
            written(Change::Renew(at(NOW))),
            ("sancho.dev/renew", Some("2027-01-15T08:00:00Z".into()))
        );
        let (retry, moment) = written(Change::Retry(at(NOW)));
        assert_eq!((retry, moment.is_some()), ("sancho.dev/retry", true));
        assert_eq!(written(Change::Pause), ("sancho.dev/paused", Some("true".into())));
        assert_eq!(written(Change::Resume), ("sancho.dev/paused", None));
    }

    #[test]
    fn a_reason_is_written_to_a_certificate_or_to_a_secret_of_sanchos() {
        let reason = RevocationReason::KeyCompromise;
        let written = Change::Revoke(reason).on(&certificate(None)).unwrap();
        assert_eq!(written.value.as_deref(), Some("keyCompromise"));
        let mut secret = PartialObjectMeta::<Secret>::default();
        secret.metadata.name = Some("shop-tls".into());
        let refused = revoke_secret(reason, &secret).unwrap_err();
        assert!(refused.contains("not made by Sancho"), "{refused}");
        secret.metadata.annotations = Some([(CERTIFICATE_NAME.into(), "shop".into())].into());
        let written = revoke_secret(reason, &secret).unwrap();
        assert_eq!(
            (written.annotation, written.secret.as_deref()),
            ("sancho.dev/revoke", Some("shop-tls"))
        );
    }

    #[test]
    fn what_is_paused_is_not_renewed() {
        let mut certificate = certificate(None);
        certificate.metadata.annotations = Some([(PAUSED_ANNOTATION.into(), "true".into())].into());
        let refused = Change::Renew(at(NOW)).on(&certificate).unwrap_err();
        assert!(refused.contains("kubectl sancho resume shop"), "{refused}");
        assert!(Change::Resume.on(&certificate).is_ok());
    }
}
