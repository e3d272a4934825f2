//! When a shard's certificate is renewed.

use jiff::Timestamp;
use kube::ResourceExt;
use sancho_core::renewal::{parse_go_duration, renewal_time, share_of_lifetime, suggested_renewal_time};
use sancho_crds::{
    CertificateShard, CertificateShardStatus, IssuedStatus, RenewalInfoStatus, condition, set_condition,
};

use crate::clock;
use crate::shard::quarantine::{self, entries, is_wanted};

/// The moment, by the shard's `renewBefore` as it is now and what the CA suggests for this certificate; the
/// jitter is the shard's own.
#[must_use]
pub fn renewal_of(
    shard: &CertificateShard,
    not_before: Timestamp,
    not_after: Timestamp,
    suggested: Option<&RenewalInfoStatus>,
) -> Timestamp {
    let spec = &shard.spec;
    // The planner refuses a duration that cannot be read, and one beside a percentage.
    let before = match (&spec.renew_before, spec.renew_before_percentage) {
        (Some(text), _) => parse_go_duration(text).ok(),
        (None, Some(percentage)) => Some(share_of_lifetime(not_before, not_after, percentage)),
        (None, None) => None,
    };
    let seed = seed(shard);
    match suggested.and_then(|info| info.chosen_time.as_ref()) {
        Some(chosen) => suggested_renewal_time(not_before, not_after, before, chosen.0, &seed),
        None => renewal_time(not_before, not_after, before, &seed),
    }
}

/// The same for what is recorded as issued.
#[must_use]
pub fn renewal_of_issued(shard: &CertificateShard, issued: &IssuedStatus) -> Timestamp {
    renewal_of(
        shard,
        issued.not_before.0,
        issued.not_after.0,
        issued.renewal_info.as_ref(),
    )
}

/// Until when a certificate that is asked for at `now` is to be valid, if the Certificate says how long. In whole seconds.
#[must_use]
pub fn not_after(shard: &CertificateShard, now: Timestamp) -> Option<Timestamp> {
    // The planner refuses a duration that cannot be read.
    let duration = parse_go_duration(shard.spec.duration.as_deref()?).ok()?;
    let end = now.checked_add(duration).ok()?;
    Timestamp::from_second(end.as_second()).ok()
}

/// What is known of the CA's suggestion for the certificate with this fingerprint.
pub(super) fn known_suggestion<'a>(
    shard: &'a CertificateShard,
    fingerprint: &str,
) -> Option<&'a RenewalInfoStatus> {
    let issued = shard.status.as_ref()?.issued.as_ref()?;
    issued
        .renewal_info
        .as_ref()
        .filter(|_| issued.fingerprint == fingerprint)
}

/// The page on which the CA says why the certificate in use is to be renewed.
pub(super) fn explanation(status: &CertificateShardStatus) -> Option<&str> {
    let info = status.issued.as_ref()?.renewal_info.as_ref()?;
    info.explanation_url.as_deref()
}

/// The status of a shard that rests, once its `renewBefore` or its names have been edited: the planned moment as it is
/// now, and without names in quarantine that are none of its own any more.
/// Nothing if it says so already. `server` is the issuer's directory URL, as far as it is known.
///
/// A shard that is claimed does not rest: whoever drives it writes the moment when it is done.
#[must_use]
pub fn replanned(shard: &CertificateShard, server: Option<&str>) -> Option<CertificateShardStatus> {
    let mut status = shard.status.clone().filter(|status| status.claim.is_none())?;
    let was = status.issued.as_ref()?.renewal_time.clone();
    let issued = plan_renewal(&mut status, shard)?;
    let quarantine: Vec<_> = entries(shard).into_iter().cloned().collect();
    if issued.renewal_time == was && quarantine == status.quarantine {
        return None;
    }
    // Names that were taken out of the Certificate do not count any more.
    status.quarantine = quarantine;
    quarantine::show(&mut status, shard, clock::now());
    let is_wanted = server.is_some_and(|server| is_wanted(shard, server, &issued.target));
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
    issued.renewal_time = clock::time(renewal_of_issued(shard, issued));
    Some(issued.clone())
}

/// Says in the conditions until when the certificate is valid and when it is renewed.
pub(super) fn show_planned(status: &mut CertificateShardStatus, shard: &CertificateShard) {
    let Some(issued) = &status.issued else { return };
    let mut message = format!(
        "valid until {}, renewed from {} on",
        issued.not_after.0, issued.renewal_time.0
    );
    if let Some(info) = &issued.renewal_info
        && info.chosen_time.as_ref() == Some(&issued.renewal_time)
    {
        message += ", as the CA suggests";
        if let Some(url) = &info.explanation_url {
            message += &format!(" ({url})");
        }
    }
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
    use crate::target::target;
    use sancho_crds::{CertificateShardSpec, Claim, IssuerRef};

    const SERVER: &str = "https://ca/dir";

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// An issued shard, valid from 0 to 900, whose `renewBefore` is then edited.
    fn edited(renew_before: Option<&str>) -> CertificateShard {
        let spec = CertificateShardSpec {
            certificate: "shop".into(),
            secret_name: "shop-tls".into(),
            issuer_ref: IssuerRef {
                name: "ca".into(),
                kind: None,
            },
            dns_names: vec!["a.example".into()],
            ..Default::default()
        };
        let mut shard = CertificateShard::new("shop-0", spec);
        let mut status = CertificateShardStatus {
            issued: Some(IssuedStatus {
                target: target(&shard.spec, SERVER),
                fingerprint: "00".into(),
                not_before: clock::time(at(0)),
                not_after: clock::time(at(900)),
                renewal_time: clock::time(at(0)),
                account_url: None,
                cert_id: None,
                renewal_info: None,
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
        let renewal = renewal_of(&shard, at(0), at(900), None);
        assert!(renewal <= at(400));
        assert_eq!(status.issued.unwrap().renewal_time.0, renewal);
        assert_eq!(status.observed_generation, Some(2));
        let ready = condition(&status.conditions, "Ready").unwrap();
        assert!(ready.message.ends_with(&format!("renewed from {renewal} on")));
    }

    #[test]
    fn a_percentage_of_the_lifetime_counts_like_the_time_that_it_makes() {
        let mut shard = edited(None);
        shard.spec.renew_before_percentage = Some(50);
        let by_time = renewal_of(&edited(Some("450s")), at(0), at(900), None);
        assert_eq!(renewal_of(&shard, at(0), at(900), None), by_time);
        assert!(by_time <= at(450), "{by_time}");
        assert!(replanned(&shard, Some(SERVER)).is_some());
    }

    #[test]
    fn a_duration_counts_from_now() {
        let mut shard = edited(None);
        assert_eq!(not_after(&shard, at(5)), None);
        shard.spec.duration = Some("1h".into());
        let now = Timestamp::from_millisecond(5_900).unwrap();
        assert_eq!(not_after(&shard, now), Some(at(3605)));
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
        let claim = Claim {
            holder: "me".into(),
            busy_until: None,
        };
        shard.status.as_mut().unwrap().claim = Some(claim);
        assert_eq!(replanned(&shard, Some(SERVER)), None);
    }

    #[test]
    fn a_suggestion_counts_and_is_shown_with_its_explanation() {
        let suggested = |chosen, renew_before| {
            let mut shard = edited(renew_before);
            let info = RenewalInfoStatus {
                suggested_window: None,
                chosen_time: Some(clock::time(at(chosen))),
                explanation_url: Some("https://ca.example/why".into()),
                next_look: clock::time(at(0)),
                failures: None,
                error: None,
            };
            shard
                .status
                .as_mut()
                .unwrap()
                .issued
                .as_mut()
                .unwrap()
                .renewal_info = Some(info);
            let status = replanned(&shard, Some(SERVER)).unwrap();
            let moment = status.issued.as_ref().unwrap().renewal_time.0;
            let ready = condition(&status.conditions, "Ready").unwrap();
            (moment, ready.message.clone())
        };
        let (moment, message) = suggested(700, None);
        assert_eq!(moment, at(700));
        assert!(
            message.ends_with("on, as the CA suggests (https://ca.example/why)"),
            "{message}"
        );
        assert_eq!(suggested(100, Some("500s")).0, at(100));
        // A `renewBefore` is the latest moment.
        let (moment, message) = suggested(700, Some("500s"));
        assert!(moment <= at(400), "{moment}");
        assert!(
            message.ends_with(&format!("renewed from {moment} on")),
            "{message}"
        );
    }

    #[test]
    fn other_names_are_not_called_ready() {
        let mut shard = edited(Some("500s"));
        shard.spec.dns_names = vec!["b.example".into()];
        let status = replanned(&shard, Some(SERVER)).unwrap();
        assert_eq!(status.observed_generation, None);
    }
}
