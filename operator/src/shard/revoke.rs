//! A certificate is revoked because a user asks for it (RFC 8555 §7.6): look at the Secret → record what is to be
//! revoked → ask the CA → record → remove the annotation. What is to be done says [`super::revocation`].

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, ResourceExt};
use sancho_core::order::Reply;
use sancho_core::renewal::retry_time;
use sancho_core::revocation::{Outcome, heard};
use sancho_crds::{
    CertificateShard, Claim, REVOKE_ANNOTATION, RevocationAskedBy, RevocationReason, RevocationStatus,
};

use super::drive::Stop;
use super::record::Recorder;
use super::renewal::seed;
use super::revocation::{self, Step};
use crate::acme::session::Warmed;
use crate::chain::{self, Leaf};
use crate::clock;
use crate::context::{Context, full_name};
use crate::issuer::ReadyIssuer;
use crate::secrets::{self, keys};

/// The reason of the event that a certificate was not revoked.
const NOT_REVOKED: &str = "NotRevoked";
/// What is said of a CA that cannot do it.
const NOT_OFFERED: &str = "the CA's directory has no revokeCert: it revokes no certificates";

/// Does what is due about revoking the certificate of the shard in `recorder`.
///
/// # Errors
/// [`Stop`] if it ended early; what is due stays due.
pub(super) async fn revoke(
    context: &Context,
    issuer: &ReadyIssuer,
    mut recorder: Recorder,
) -> Result<(), Stop> {
    let shard = recorder.shard();
    let api = context.secrets(&shard.namespace().unwrap_or_default());
    let secret = secrets::read(&api, shard).await;
    let secret = match secret {
        Ok(secret) => secret,
        // What is not ours is not revoked.
        Err(secrets::SecretError::NotOurs { .. }) => None,
        Err(error) => return Err(Stop::Secret(error)),
    };
    let annotation = secret.as_ref().and_then(annotation).map(str::to_owned);
    let (served, not_served) = match secret.as_ref().map(Served::of) {
        Some(Ok(served)) => (Some(served), None),
        Some(Err(why)) => (None, Some(why)),
        None => (None, None),
    };
    let fingerprint = served.as_ref().map(|served| served.fingerprint.as_str());
    match revocation::step(shard, annotation.as_deref(), fingerprint) {
        Step::Nothing => Err(Stop::Nothing),
        Step::Show(words) => {
            let status = revocation::showing(shard, Some(&words));
            recorder.record(status).await?;
            let reason = revocation::INVALID_REASON;
            let words = format!("Secret {}: {words}", recorder.shard().spec.secret_name);
            tell(context, recorder.shard(), reason, words).await;
            Ok(())
        }
        Step::Unshow => {
            let status = revocation::showing(shard, None);
            Ok(recorder.record(status).await?)
        }
        Step::Finish => {
            let status = revocation::dropped(shard, None);
            recorder.record(status).await?;
            if let Some(why) = not_served {
                let secret = &recorder.shard().spec.secret_name;
                let words = format!("what is in Secret {secret} is not revoked: {why}");
                tell(context, recorder.shard(), NOT_REVOKED, words).await;
            }
            withdraw(&api, recorder.shard(), annotation.as_deref()).await
        }
        Step::Drop(why) => {
            let pending = revocation::pending(shard);
            let is_of_secret = pending.is_some_and(|p| p.asked_by == RevocationAskedBy::Secret);
            if is_of_secret {
                // First: once it is not recorded any more, the annotation would be a request about the next one.
                withdraw(&api, shard, annotation.as_deref()).await?;
            }
            let status = revocation::dropped(shard, Some(why));
            let serial = pending.map(|pending| pending.serial.clone()).unwrap_or_default();
            recorder.record(status).await?;
            let words = format!("the certificate {serial} was not revoked: {why}");
            tell(context, recorder.shard(), NOT_REVOKED, words).await;
            Ok(())
        }
        Step::Revoke { reason, asked_by } => {
            let Some(served) = served else {
                return Err(Stop::Nothing);
            };
            ask(context, issuer, &mut recorder, &served, (reason, asked_by)).await?;
            match revocation::pending(recorder.shard()) {
                None => withdraw(&api, recorder.shard(), annotation.as_deref()).await,
                Some(_) => Ok(()),
            }
        }
    }
}

/// The certificate in a Secret.
struct Served {
    leaf: Leaf,
    fingerprint: String,
}

impl Served {
    /// Nothing else is revoked: the account may have got other people's certificates, and anybody can have these.
    fn of(secret: &Secret) -> Result<Self, String> {
        let (chain, key) = secrets::contents(secret).ok_or("it has no tls.crt or no tls.key")?;
        Ok(Self {
            leaf: chain::leaf(&chain, &key).map_err(|error| error.to_string())?,
            fingerprint: chain::fingerprint(&chain),
        })
    }
}

/// What the Secret's annotation says.
pub(super) fn annotation(secret: &Secret) -> Option<&str> {
    secret.annotations().get(REVOKE_ANNOTATION).map(String::as_str)
}

/// Records what is to be revoked, asks the CA, and records what came of it.
async fn ask(
    context: &Context,
    issuer: &ReadyIssuer,
    recorder: &mut Recorder,
    served: &Served,
    request: (RevocationReason, RevocationAskedBy),
) -> Result<(), Stop> {
    let warmed = tokio::select! {
        biased;
        warmed = issuer.session.warm(None) => warmed,
        () = issuer.budget.lost() => return Err(Stop::SlotsLost),
    };
    let certificate = (served.leaf.serial.as_str(), served.fingerprint.as_str());
    let is_first = revocation::pending(recorder.shard()).is_none_or(|pending| pending.failures.is_none());
    let mut status = revocation::recorded(recorder.shard(), certificate, request);
    status.claim = Some(Claim {
        holder: context.replica.clone(),
        busy_until: None,
    });
    recorder.record(status).await?;
    if is_first && request.0 == RevocationReason::KeyCompromise {
        // Made for an order that was under way; whoever had one key may have had the other, or it is the same.
        let api = context.secrets(&recorder.shard().namespace().unwrap_or_default());
        keys::forget_next_key(&api, recorder.shard())
            .await
            .map_err(Stop::Secret)?;
    }
    // Ends when the answer is recorded: until then no slot is released.
    let _unrecorded = issuer.budget.unrecorded().begin();
    let answer = match warmed {
        Ok(Warmed::Ready) => tokio::select! {
            biased;
            answer = issuer.session.revoke(&served.leaf.der, request.0.code()) => answer,
            () = issuer.budget.lost() => return Err(Stop::SlotsLost),
        },
        Ok(Warmed::Throttled(answer)) => Ok(Some(answer)),
        // No profile was asked for.
        Ok(Warmed::NotOffered(_)) => Ok(None),
        Err(error) => Err(error),
    };
    let reply = match answer {
        Ok(Some(response)) => Reply::Response(response),
        Ok(None) => {
            let at = clock::now().saturating_add(jiff::SignedDuration::from_hours(1));
            return vain(
                context,
                recorder,
                at.unwrap_or(jiff::Timestamp::MAX),
                NOT_OFFERED,
                true,
            )
            .await;
        }
        Err(error) if !error.is_about_the_ca() => return Err(Stop::SlotsLost),
        Err(error) => error.reply().unwrap_or(Reply::NotSent),
    };
    let before = revocation::pending(recorder.shard()).and_then(|pending| pending.failures);
    let seed = seed(recorder.shard());
    match heard(&reply, before.unwrap_or_default(), clock::now(), &seed) {
        Outcome::Revoked => {
            // First: a CA that is asked once more says that it is revoked already.
            let (name, namespace) = (&recorder.shard().spec.secret_name, recorder.shard().namespace());
            let api = context.secrets(&namespace.unwrap_or_default());
            if let Err(error) = secrets::mark_revoked(&api, name, &served.fingerprint, request.0).await {
                let failures = before.unwrap_or_default().saturating_add(1);
                let at = retry_time(clock::now(), failures, None, &seed);
                return vain(context, recorder, at, &error.to_string(), false).await;
            }
            let status = revocation::revoked(recorder.shard());
            recorder.record(status).await?;
            let (name, serial) = (full_name(recorder.shard()), &served.leaf.serial);
            let secret = &recorder.shard().spec.secret_name;
            let note = format!(
                "the certificate {serial} in Secret {secret} is revoked: {}",
                request.0
            );
            tracing::info!(shard = name, note, "revoked");
            let events = &context.events;
            events
                .warning(recorder.shard(), revocation::REVOKED, "Revoke", note)
                .await;
            Ok(())
        }
        Outcome::Again {
            at,
            message,
            is_refused,
        } => vain(context, recorder, at, &message, is_refused).await,
    }
}

/// Records that the CA was asked in vain, and tells it if that is news.
async fn vain(
    context: &Context,
    recorder: &mut Recorder,
    at: jiff::Timestamp,
    words: &str,
    is_refused: bool,
) -> Result<(), Stop> {
    let is_news = is_refused
        && revocation::pending(recorder.shard())
            .is_some_and(|RevocationStatus { error, .. }| error.as_deref() != Some(words));
    tracing::warn!(
        shard = full_name(recorder.shard()),
        words,
        "a certificate is not revoked yet"
    );
    let status = revocation::refused(recorder.shard(), at, words, is_refused);
    recorder.record(status).await?;
    if is_news {
        let words = format!("the CA does not revoke the certificate: {words}");
        tell(context, recorder.shard(), NOT_REVOKED, words).await;
    }
    Ok(())
}

async fn tell(context: &Context, shard: &CertificateShard, reason: &str, words: String) {
    context.events.warning(shard, reason, "Revoke", words).await;
}

/// Removes the annotation from the Secret, unless it says something else by now or is none to act on.
async fn withdraw(api: &Api<Secret>, shard: &CertificateShard, annotation: Option<&str>) -> Result<(), Stop> {
    match annotation {
        Some(text) if RevocationReason::parse(text).is_ok() => {
            secrets::unannotate(api, &shard.spec.secret_name, REVOKE_ANNOTATION, text).await?;
            Ok(())
        }
        _ => Ok(()),
    }
}
