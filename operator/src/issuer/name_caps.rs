//! How many names a CA turned out to take in one certificate, kept in the issuer's status.
//!
//! The shard that was refused has it in its failure; its planner writes it here before it plans anew. So it is known
//! to every later Certificate of the issuer, and not lost when that shard changes.

use kube::ResourceExt;
use kube::api::PostParams;
use sancho_crds::{Acme, ClusterIssuer, Issuer, IssuerStatus, NameCap};

use super::{AnyIssuer, IssuerKey};
use crate::context::{Context, full_name};

/// The caps that count: those of the issuer's present CA, under its present `maxNames`. Who edits one of them has
/// the CA asked anew.
pub fn in_force<'a>(acme: &'a Acme, status: Option<&'a IssuerStatus>) -> impl Iterator<Item = &'a NameCap> {
    let caps = status.into_iter().flat_map(|status| &status.name_caps);
    caps.filter(|cap| cap.server == acme.server && cap.given == acme.max_names)
}

/// The cap of `profile` among these.
pub fn of_profile<'a>(mut caps: impl Iterator<Item = &'a NameCap>, profile: Option<&str>) -> Option<u32> {
    caps.find(|cap| cap.profile.as_deref() == profile)
        .map(|cap| cap.max_names)
}

/// Writes down that the CA takes at most `most` names in a certificate of `profile`, and tells it by an event, unless
/// the issuer says so already. `message`: the CA's words. Says whether it stands there; if not, somebody else wrote
/// in between, or the issuer is gone.
///
/// # Errors
/// What the API server answered.
pub async fn keep(
    context: &Context,
    issuer: &IssuerKey,
    profile: Option<&str>,
    most: u32,
    message: &str,
) -> Result<bool, kube::Error> {
    match issuer.namespace {
        Some(_) => keep_in::<Issuer>(context, issuer, profile, most, message).await,
        None => keep_in::<ClusterIssuer>(context, issuer, profile, most, message).await,
    }
}

async fn keep_in<K: AnyIssuer>(
    context: &Context,
    key: &IssuerKey,
    profile: Option<&str>,
    most: u32,
    message: &str,
) -> Result<bool, kube::Error> {
    let Some(seen) = K::seen(context, key) else {
        return Ok(false);
    };
    let api = seen.api(context);
    let Some(issuer) = api.get_opt(&key.name).await? else {
        return Ok(false);
    };
    let Some(status) = with(issuer.acme(), issuer.status(), profile, most, message) else {
        return Ok(true);
    };
    let with_status = issuer.with_status(status);
    match api
        .replace_status(&issuer.name_any(), &PostParams::default(), &with_status)
        .await
    {
        Ok(_) => {}
        Err(kube::Error::Api(status)) if status.code == 409 || status.code == 404 => return Ok(false),
        Err(error) => return Err(error),
    }
    let note = format!(
        "the CA takes at most {most} names in a certificate: more are split from now on, until spec.acme.maxNames is \
         edited; its words: {message}"
    );
    tracing::warn!(issuer = full_name(&issuer), note);
    context
        .events
        .warning(&issuer, "NamesLimited", "Plan", note)
        .await;
    Ok(true)
}

/// The status with the cap in it, and without those that do not count any more. Nothing if one as low is there.
fn with(
    acme: &Acme,
    status: Option<&IssuerStatus>,
    profile: Option<&str>,
    most: u32,
    message: &str,
) -> Option<IssuerStatus> {
    if of_profile(in_force(acme, status), profile).is_some_and(|present| present <= most) {
        return None;
    }
    let others = in_force(acme, status).filter(|cap| cap.profile.as_deref() != profile);
    let mut name_caps: Vec<NameCap> = others.cloned().collect();
    name_caps.push(NameCap {
        profile: profile.map(str::to_owned),
        max_names: most,
        message: message.to_owned(),
        server: acme.server.clone(),
        given: acme.max_names,
    });
    Some(IssuerStatus {
        name_caps,
        ..status.cloned().unwrap_or_default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use sancho_crds::SecretRef;

    fn acme(max_names: Option<u32>) -> Acme {
        Acme {
            server: "https://ca.example/dir".into(),
            email: None,
            private_key_secret_ref: SecretRef {
                name: "account".into(),
            },
            external_account_binding: None,
            ca_bundle: None,
            profile: None,
            max_names,
            solvers: Vec::new(),
        }
    }

    fn cap(acme: &Acme, status: &IssuerStatus, profile: Option<&str>) -> Option<u32> {
        of_profile(in_force(acme, Some(status)), profile)
    }

    #[test]
    fn a_cap_is_kept_for_its_profile_and_only_lowered() {
        let acme = acme(None);
        let first = with(&acme, None, None, 50, "no").unwrap();
        assert_eq!(cap(&acme, &first, None), Some(50));
        assert_eq!(cap(&acme, &first, Some("tlsserver")), None);
        assert_eq!(with(&acme, Some(&first), None, 50, "no"), None);
        assert_eq!(with(&acme, Some(&first), None, 60, "no"), None);
        let lower = with(&acme, Some(&first), None, 20, "no").unwrap();
        let both = with(&acme, Some(&lower), Some("tlsserver"), 10, "no").unwrap();
        assert_eq!(both.name_caps.len(), 2);
        assert_eq!(cap(&acme, &both, None), Some(20));
        assert_eq!(cap(&acme, &both, Some("tlsserver")), Some(10));
    }

    #[test]
    fn another_ca_and_an_edited_max_names_begin_anew() {
        let told = with(&acme(None), None, None, 20, "no").unwrap();
        assert_eq!(cap(&acme(Some(50)), &told, None), None);
        let elsewhere = Acme {
            server: "https://other.example/dir".into(),
            ..acme(None)
        };
        assert_eq!(cap(&elsewhere, &told, None), None);
        // What does not count any more goes with the next one.
        let next = with(&elsewhere, Some(&told), None, 30, "no").unwrap();
        assert_eq!(next.name_caps.len(), 1);
    }
}
