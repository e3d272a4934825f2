use sancho_crds::{CertificateShardSpec, IssuedStatus, IssuerRef};

use super::*;

const OLD: &str = "old";
const NEW: &str = "new";
const COMPROMISE: RevocationReason = RevocationReason::KeyCompromise;
const BY_CERTIFICATE: Step = Step::Revoke {
    reason: COMPROMISE,
    asked_by: RevocationAskedBy::Certificate,
};
const BY_SECRET: Step = Step::Revoke {
    reason: COMPROMISE,
    asked_by: RevocationAskedBy::Secret,
};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// A shard whose Certificate asks for that, with this chain recorded as issued.
fn shard(revoke: Option<RevocationReason>, issued: Option<&str>) -> CertificateShard {
    let spec = CertificateShardSpec {
        certificate: "shop".into(),
        secret_name: "shop-tls".into(),
        issuer_ref: IssuerRef {
            name: "ca".into(),
            kind: None,
        },
        dns_names: vec!["a.example".into()],
        revoke,
        ..Default::default()
    };
    let mut shard = CertificateShard::new("shop-0", spec);
    shard.status = Some(CertificateShardStatus {
        issued: issued.map(|fingerprint| IssuedStatus {
            target: "target".into(),
            fingerprint: fingerprint.into(),
            not_before: clock::time(at(0)),
            not_after: clock::time(at(900)),
            renewal_time: clock::time(at(600)),
            account_url: None,
            cert_id: None,
            renewal_info: None,
        }),
        ..Default::default()
    });
    shard
}

fn with(shard: &CertificateShard, status: CertificateShardStatus) -> CertificateShard {
    CertificateShard {
        status: Some(status),
        ..shard.clone()
    }
}

fn record(shard: &CertificateShard, step: &Step, served: &str) -> CertificateShard {
    let Step::Revoke { reason, asked_by } = step else {
        panic!("nothing to revoke: {step:?}")
    };
    with(shard, recorded(shard, ("01", served), (*reason, *asked_by)))
}

/// What finish does when another certificate is published.
fn issue(shard: &CertificateShard) -> CertificateShard {
    let mut issued = self::shard(shard.spec.revoke, Some(NEW));
    let status = issued.status.as_mut().unwrap();
    let before = shard.status.clone().unwrap();
    status.revocation = before.revocation;
    status.revoke_seen = shard.spec.revoke;
    issued
}

#[test]
fn what_the_certificate_asks_for_is_done_once_and_not_to_the_next_one() {
    let asked = shard(Some(COMPROMISE), Some(OLD));
    assert_eq!(due(&asked, None, at(5)), Some(at(5)));
    assert!(!is_settled(&asked));
    let step_ = step(&asked, None, Some(OLD));
    assert_eq!(step_, BY_CERTIFICATE);

    // Whoever takes over before the CA's answer was recorded asks about the same one.
    let open = record(&asked, &step_, OLD);
    assert_eq!(step(&open, None, Some(OLD)), BY_CERTIFICATE);
    assert!(!is_settled(&open));

    let done = with(&open, revoked(&open));
    assert_eq!(due(&done, None, at(5)), None);
    assert!(is_settled(&done) && is_revoked(&done, OLD) && is_compromised(&done, OLD));
    let next = issue(&done);
    assert_eq!(
        (due(&next, None, at(5)), step(&next, None, Some(NEW))),
        (None, Step::Nothing)
    );
    assert!(is_settled(&next) && !is_revoked(&next, NEW) && !is_compromised(&next, NEW));

    // Once the annotation has gone away, another one is another request.
    let mut again = next.clone();
    again.status.as_mut().unwrap().revoke_seen = None;
    assert_eq!(step(&again, None, Some(NEW)), BY_CERTIFICATE);
}

#[test]
fn what_a_secret_asks_for_is_done_once_and_its_annotation_goes_before_the_next_one_comes() {
    let asked = shard(None, Some(OLD));
    let annotation = Some("keyCompromise");
    assert_eq!(due(&asked, annotation, at(5)), Some(at(5)));
    assert!(is_unseen(&asked, annotation, OLD));
    let step_ = step(&asked, annotation, Some(OLD));
    assert_eq!(step_, BY_SECRET);
    let open = record(&asked, &step_, OLD);
    assert!(!is_unseen(&open, annotation, OLD));

    let done = with(&open, revoked(&open));
    // The annotation was not removed yet.
    assert_eq!(due(&done, annotation, at(5)), Some(at(5)));
    assert_eq!(step(&done, annotation, Some(OLD)), Step::Finish);
    assert_eq!(
        (due(&done, None, at(5)), step(&done, None, Some(OLD))),
        (None, Step::Nothing)
    );
    // One that comes later is about the certificate that is there then.
    assert_eq!(step(&issue(&done), annotation, Some(NEW)), BY_SECRET);
}

#[test]
fn a_refusal_waits_unless_the_request_changes_and_ends_when_it_goes_or_the_certificate_does() {
    let asked = shard(Some(COMPROMISE), Some(OLD));
    let open = record(&asked, &BY_CERTIFICATE, OLD);
    let vain = with(&open, refused(&open, at(70), "unauthorized", true));
    assert_eq!(due(&vain, None, at(5)), Some(at(70)));
    let revoking = condition(&vain.status.as_ref().unwrap().conditions, REVOKING).unwrap();
    assert_eq!(
        (revoking.status.as_str(), revoking.reason.as_str()),
        ("True", REFUSED)
    );

    let mut other = vain.clone();
    other.spec.revoke = Some(RevocationReason::Superseded);
    assert_eq!(due(&other, None, at(5)), Some(at(5)));
    let step_ = step(&other, None, Some(OLD));
    let again = record(&other, &step_, OLD);
    let revocation = again.status.as_ref().unwrap().revocation.clone().unwrap();
    assert_eq!(
        (revocation.reason, revocation.failures),
        (RevocationReason::Superseded, None)
    );

    let mut withdrawn = vain.clone();
    withdrawn.spec.revoke = None;
    assert_eq!(due(&withdrawn, None, at(5)), Some(at(5)));
    assert!(matches!(step(&withdrawn, None, Some(OLD)), Step::Drop(_)));

    // A renewal came first: what was asked for was not about the new one.
    let renewed = issue(&vain);
    let dropped_ = step(&renewed, None, Some(NEW));
    assert!(matches!(dropped_, Step::Drop(_)));
    let dropped = with(&renewed, dropped(&renewed, Some("why")));
    assert_eq!((due(&dropped, None, at(5)), is_settled(&dropped)), (None, true));
}

#[test]
fn a_secret_whose_reason_is_none_is_told_once_and_no_longer_once_it_is_mended() {
    let asked = shard(None, Some(OLD));
    let annotation = Some("oops");
    assert!(!is_unseen(&asked, annotation, OLD));
    let Step::Show(words) = step(&asked, annotation, Some(OLD)) else {
        panic!("not shown")
    };
    assert!(
        words.contains("\"oops\"") && words.contains("keyCompromise"),
        "{words}"
    );
    let shown = with(&asked, showing(&asked, Some(&words)));
    assert_eq!(
        (
            due(&shown, annotation, at(5)),
            step(&shown, annotation, Some(OLD))
        ),
        (None, Step::Nothing)
    );
    assert!(matches!(step(&shown, Some("alas"), Some(OLD)), Step::Show(_)));
    assert_eq!(due(&shown, None, at(5)), Some(at(5)));
    assert_eq!(step(&shown, None, Some(OLD)), Step::Unshow);
    let unshown = with(&shown, showing(&shown, None));
    assert_eq!(due(&unshown, None, at(5)), None);
}

#[test]
fn where_there_is_no_certificate_there_is_nothing_to_revoke() {
    let new = shard(Some(COMPROMISE), None);
    assert_eq!((due(&new, None, at(5)), is_settled(&new)), (None, true));
    // The one that comes is not meant.
    assert_eq!(due(&issue(&new), None, at(5)), None);
    // The Secret was deleted.
    let gone = shard(Some(COMPROMISE), Some(OLD));
    assert_eq!(step(&gone, None, None), Step::Finish);
    let finished = with(&gone, dropped(&gone, None));
    assert_eq!((due(&finished, None, at(5)), is_settled(&finished)), (None, true));
}
