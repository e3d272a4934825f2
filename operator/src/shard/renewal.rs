//! When a shard's certificate is renewed.

use jiff::Timestamp;
use kube::ResourceExt;
use sancho_core::renewal::{parse_go_duration, renewal_time};
use sancho_crds::{CertificateShard, CertificateShardStatus, IssuedStatus, condition, set_condition};

use crate::clock;
use crate::target::target;

/// The moment, by the shard's `renewBefore` as it is now; the jitter is the shard's own.
#[must_use]
pub fn renewal_of(shard: &CertificateShard, not_before: Timestamp, not_after: Timestamp) -> Timestamp {
    // The planner refuses a duration that cannot be read.
    let before = shard
        .spec
        .renew_before
        .as_deref()
        .and_then(|text| parse_go_duration(text).ok());
    renewal_time(not_before, not_after, before, &seed(shard))
}

/// The status of a shard that rests, once its `renewBefore` has been edited: the planned moment as it is now.
/// Nothing if it says so already. `server` is the issuer's directory URL, as far as it is known.
///
/// A shard that is claimed does not rest: whoever drives it writes the moment when it is done.
#[must_use]
pub fn replanned(shard: &CertificateShard, server: Option<&str>) -> Option<CertificateShardStatus> {
    let mut status = shard.status.clone().filter(|status| status.claim.is_none())?;
    let was = status.issued.as_ref()?.renewal_time.clone();
    let issued = plan_renewal(&mut status, shard)?;
    if issued.renewal_time == was {
        return None;
    }
    let spec = &shard.spec;
    let is_wanted =
        server.is_some_and(|server| issued.target == target(&spec.dns_names, &spec.issuer_ref, server));
    let is_ready = condition(&status.conditions, "Ready").is_some_and(|ready| ready.status == "True");
    if is_wanted && is_ready {
        show_planned(&mut status, shard);
    }
    Some(status)
}

/// Plans the renewal of what is issued, if anything is, by the shard's `renewBefore` as it is now.
pub(super) fn plan_renewal(
    status: &mut CertificateShardStatus,
    shard: &CertificateShard,
) -> Option<IssuedStatus> {
    let issued = status.issued.as_mut()?;
    issued.renewal_time = clock::time(renewal_of(shard, issued.not_before.0, issued.not_after.0));
    Some(issued.clone())
}

/// Says in the conditions until when the certificate is valid and when it is renewed.
pub(super) fn show_planned(status: &mut CertificateShardStatus, shard: &CertificateShard) {
    let Some(issued) = &status.issued else { return };
    let message = format!(
        "valid until {}, renewed from {} on",
        issued.not_after.0, issued.renewal_time.0
    );
    status.observed_generation = shard.metadata.generation;
    set_condition(
        &mut status.conditions,
        "Ready",
        true,
        "Issued",
        &message,
        shard.metadata.generation,
        &clock::time(clock::now()),
    );
}

/// What fixes a shard's jitters.
#[must_use]
pub fn seed(shard: &CertificateShard) -> String {
    format!("{}/{}", shard.namespace().unwrap_or_default(), shard.name_any())
}

#[cfg(test)]
mod tests {
    use super::*;
    use sancho_crds::{CertificateShardSpec, Claim, IssuerRef};

    const SERVER: &str = "https://ca/dir";

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// An issued shard, valid from 0 to 900, whose `renewBefore` is then edited.
    fn edited(renew_before: Option<&str>) -> CertificateShard {
        let spec = CertificateShardSpec {
            certificate: "shop".into(),
            group: None,
            index: 0,
            secret_name: "shop-tls".into(),
            issuer_ref: IssuerRef {
                name: "ca".into(),
                kind: None,
            },
            dns_names: vec!["a.example".into()],
            renew_before: None,
        };
        let mut shard = CertificateShard::new("shop-0", spec);
        let mut status = CertificateShardStatus {
            issued: Some(IssuedStatus {
                target: target(&shard.spec.dns_names, &shard.spec.issuer_ref, SERVER),
                fingerprint: "00".into(),
                not_before: clock::time(at(0)),
                not_after: clock::time(at(900)),
                renewal_time: clock::time(at(0)),
            }),
            ..Default::default()
        };
        plan_renewal(&mut status, &shard);
        show_planned(&mut status, &shard);
        shard.status = Some(status);
        shard.spec.renew_before = renew_before.map(str::to_owned);
        shard.metadata.generation = Some(2);
        shard
    }

    #[test]
    fn an_edited_renew_before_is_shown_as_the_planned_moment() {
        let shard = edited(Some("500s"));
        let status = replanned(&shard, Some(SERVER)).unwrap();
        let renewal = renewal_of(&shard, at(0), at(900));
        assert!(renewal <= at(400));
        assert_eq!(status.issued.unwrap().renewal_time.0, renewal);
        assert_eq!(status.observed_generation, Some(2));
        let ready = condition(&status.conditions, "Ready").unwrap();
        assert!(ready.message.ends_with(&format!("renewed from {renewal} on")));
    }

    #[test]
    fn what_says_so_already_is_not_written_again() {
        assert_eq!(replanned(&edited(None), Some(SERVER)), None);
        let mut shard = edited(Some("500s"));
        shard.status = replanned(&shard, Some(SERVER));
        assert_eq!(replanned(&shard, Some(SERVER)), None);
    }

    #[test]
    fn a_shard_that_is_driven_is_left_to_its_driver() {
        let mut shard = edited(Some("500s"));
        let claim = Claim { holder: "me".into() };
        shard.status.as_mut().unwrap().claim = Some(claim);
        assert_eq!(replanned(&shard, Some(SERVER)), None);
    }

    #[test]
    fn other_names_are_not_called_ready() {
        let mut shard = edited(Some("500s"));
        shard.spec.dns_names = vec!["b.example".into()];
        let status = replanned(&shard, Some(SERVER)).unwrap();
        assert_eq!(status.observed_generation, None);
    }
}
