//! What a Certificate says of the revocation that its annotation asks for, and the annotation's end.

use kube::ResourceExt;
use kube::api::PatchParams;
use sancho_crds::{
    Certificate, CertificateShard, CertificateStatus, REVOKE_ANNOTATION, RevocationReason, condition,
};

use crate::context::{Context, full_name};
use crate::secrets::removal;
use crate::shard::revocation::{
    ASKING, INVALID_REASON, NOT_ASKED, REFUSED, REVOKED, REVOKING, is_settled, pending,
};

/// So many shards' words a condition's message takes.
const SHOWN: usize = 3;

/// Removes the Certificate's annotation once every shard has done what it asks for, or had nothing to revoke.
///
/// # Errors
/// What the API server answered; everything can be repeated.
pub(super) async fn withdraw(
    context: &Context,
    certificate: &Certificate,
    own: &[&CertificateShard],
) -> Result<(), kube::Error> {
    let Some((text, reason)) = asked(certificate) else {
        return Ok(());
    };
    let is_done = |shard: &&CertificateShard| shard.spec.revoke == Some(reason) && is_settled(shard);
    if !own.iter().all(is_done) {
        return Ok(());
    }
    let api = context.certificates(&certificate.namespace().unwrap_or_default());
    let patch = removal(REVOKE_ANNOTATION, text);
    match api
        .patch_metadata(&certificate.name_any(), &PatchParams::default(), &patch)
        .await
    {
        Ok(_) => {
            tracing::info!(
                certificate = full_name(certificate),
                "what was to be revoked is revoked"
            );
            Ok(())
        }
        // Another replica was first, or the annotation is another one by now.
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409 | 422) => Ok(()),
        Err(error) => Err(error),
    }
}

/// The annotation as it stands there, and as it is read.
fn asked(certificate: &Certificate) -> Option<(&str, RevocationReason)> {
    let text = certificate.annotations().get(REVOKE_ANNOTATION)?;
    Some((text, RevocationReason::parse(text).ok()?))
}

/// The condition `Revoking`: its value, reason and message. Nothing if there is nothing to say, and never was.
pub(super) fn revoking(
    certificate: &Certificate,
    shards: &[&CertificateShard],
) -> Option<(bool, &'static str, String)> {
    let annotation = certificate.annotations().get(REVOKE_ANNOTATION);
    if let Some(Err(unknown)) = annotation.map(|text| RevocationReason::parse(text)) {
        return Some((
            false,
            INVALID_REASON,
            format!("annotation {REVOKE_ANNOTATION}: {unknown}"),
        ));
    }
    let words: Vec<&str> = shards
        .iter()
        .filter(|shard| pending(shard).is_some())
        .filter_map(|shard| condition(&shard.status.as_ref()?.conditions, REVOKING))
        .map(|revoking| revoking.message.as_str())
        .collect();
    if !words.is_empty() {
        let is_refused = shards.iter().any(|shard| {
            let revocation = pending(shard).and_then(|pending| pending.error.as_ref());
            revocation.is_some()
        });
        let reason = if is_refused { REFUSED } else { ASKING };
        let shown = words.iter().take(SHOWN).copied().collect::<Vec<_>>().join("; ");
        return Some((
            true,
            reason,
            format!("{} of {} certificates: {shown}", words.len(), shards.len()),
        ));
    }
    if annotation.is_some() {
        return Some((true, ASKING, String::new()));
    }
    let conditions = &certificate.status.as_ref()?.conditions;
    condition(conditions, REVOKING)?;
    let is_revoked = |shard: &&CertificateShard| {
        let revocation = shard
            .status
            .as_ref()
            .and_then(|status| status.revocation.as_ref());
        revocation.is_some_and(|revocation| revocation.revoked.is_some())
    };
    let reason = if shards.iter().any(is_revoked) {
        REVOKED
    } else {
        NOT_ASKED
    };
    Some((false, reason, String::new()))
}

/// The message of a bad reason that was not told before.
pub(super) fn news(was: Option<&CertificateStatus>, is: &CertificateStatus) -> Option<String> {
    let said = |status: &CertificateStatus| {
        condition(&status.conditions, REVOKING)
            .filter(|revoking| revoking.reason == INVALID_REASON)
            .map(|revoking| revoking.message.clone())
    };
    said(is).filter(|message| was.and_then(said).as_ref() != Some(message))
}

#[cfg(test)]
mod tests {
    use sancho_crds::{CertificateShardStatus, RevocationAskedBy, RevocationStatus, set_condition};

    use super::*;
    use crate::clock;

    fn certificate(revoke: Option<&str>) -> Certificate {
        let mut certificate = Certificate::new("shop", Default::default());
        let annotation = revoke.map(|text| (REVOKE_ANNOTATION.to_owned(), text.to_owned()));
        certificate.metadata.annotations = Some(annotation.into_iter().collect());
        certificate
    }

    /// A shard whose certificate is to be revoked.
    fn shard(error: Option<&str>) -> CertificateShard {
        let now = clock::time(clock::now());
        let mut status = CertificateShardStatus {
            revocation: Some(RevocationStatus {
                serial: "01".into(),
                fingerprint: "00".into(),
                reason: RevocationReason::Superseded,
                asked_by: RevocationAskedBy::Certificate,
                asked: now.clone(),
                revoked: None,
                failures: None,
                next_try: None,
                error: error.map(str::to_owned),
            }),
            ..Default::default()
        };
        let words = error.unwrap_or("01 is to be revoked");
        set_condition(
            &mut status.conditions,
            REVOKING,
            true,
            "Asking",
            words,
            None,
            &now,
        );
        let mut shard = CertificateShard::new("shop-0", Default::default());
        shard.status = Some(status);
        shard
    }

    fn said(certificate: &Certificate, shards: &[&CertificateShard]) -> Option<(bool, &'static str)> {
        revoking(certificate, shards).map(|(value, reason, _)| (value, reason))
    }

    #[test]
    fn a_certificate_says_what_becomes_of_its_revocation_and_nothing_if_there_was_never_one() {
        let done = CertificateShard::new("shop-1", Default::default());
        let (asking, refused) = (shard(None), shard(Some("it is not yours")));
        let mut plain = certificate(None);
        assert_eq!(said(&plain, &[&done]), None);
        assert_eq!(
            said(&certificate(Some("oops")), &[&asking]),
            Some((false, INVALID_REASON))
        );
        let asked = certificate(Some("superseded"));
        assert_eq!(said(&asked, &[&done, &asking]), Some((true, "Asking")));
        let (_, reason, words) = revoking(&asked, &[&done, &refused]).unwrap();
        assert_eq!(
            (reason, words.as_str()),
            (REFUSED, "1 of 2 certificates: it is not yours")
        );
        let mut status = CertificateStatus::default();
        let now = clock::time(clock::now());
        set_condition(&mut status.conditions, REVOKING, true, "Asking", "", None, &now);
        plain.status = Some(status);
        assert_eq!(said(&plain, &[&done]), Some((false, NOT_ASKED)));
    }
}
