//! A round of looks at a shard's names, as far as their solvers have it.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use sancho_core::caa::{Asker, Verdict};
use sancho_core::challenge::{ChallengeKind, dns01_record, key_authorization, self_check_token};
use sancho_core::check::{Fault, Finding};
use sancho_crds::{CertificateShard, Dns01, DnsPersist01, IssuerKind, SelfCheck, Solver};
use tokio::time::timeout;

use super::present::{dns01, secrets};
use super::standing::{self, Asked, dns_persist01, until};
use crate::context::{Context, full_name};
use crate::issuer::ReadyIssuer;
use crate::routes::{self, write::Written};
use crate::solvers::dns01::{By, Patience, Place};
use crate::solvers::{Labels, can_validate, solver_for};

/// A route that nobody looks at gets so long to count: nothing tells when an Ingress does.
const UNSEEN_ROUTE: Duration = Duration::from_secs(5);
/// So long a CA's directory is waited for, for the names by which CAA records mean it.
const DIRECTORY_WITHIN: Duration = Duration::from_secs(10);

/// Writes the routes that `names` of the shard need. Its claim has to be recorded.
pub(super) async fn route(
    context: &Context,
    shard: &CertificateShard,
    names: &[String],
) -> Result<Written, kube::Error> {
    let (solvers, labels) = (solvers(context, shard), labels(context, shard));
    routes::write::write(context, shard, &solvers, &labels, names).await
}

/// One finding for each of `names`, which are the shard's. Its claim has to be recorded: by that every replica knows
/// what to answer. A name that no solver is for fails without a look, and so does one that cannot have the route that
/// its solver wants; routes have to be `written`.
pub(super) async fn looks(
    context: &Context,
    issuer: &ReadyIssuer,
    shard: &CertificateShard,
    names: &[String],
    written: &Written,
) -> Vec<Finding> {
    let (solvers, labels) = (solvers(context, shard), labels(context, shard));
    let ways: Vec<Way<'_>> = names
        .iter()
        .map(|name| match written.of(name) {
            Some(Err(_)) => Way::Unrouted,
            Some(Ok(_)) | None => way(&solvers, name, &labels),
        })
        .collect();
    let looked_at: Vec<String> = names
        .iter()
        .zip(&ways)
        .filter(|(_, way)| **way == Way::Look)
        .map(|(name, _)| name.clone())
        .collect();
    let is_routed = |name: &str| matches!(written.of(name), Some(Ok(_)));
    let is_unseen = |name: &str, way: &Way<'_>| {
        is_routed(name) && (*way == Way::Trust || !context.self_check.is_enabled())
    };
    if names.iter().zip(&ways).any(|(name, way)| is_unseen(name, way)) {
        tokio::time::sleep(UNSEEN_ROUTE).await;
    }
    let thumbprint = issuer.session.thumbprint();
    let token = self_check_token(&shard.uid().unwrap_or_default(), &thumbprint);
    let answer = key_authorization(&token, &thumbprint);
    if let Some(first) = looked_at.first()
        && context.self_check.is_enabled()
    {
        context.challenges.heard(first, &token).await;
    }
    let (found, mut barred) = tokio::join!(
        context.self_check.round(&looked_at, &token, &answer, is_routed),
        barred(context, issuer, shard, names, &ways),
    );
    if context.self_check.is_enabled() {
        warn_of_unknown(shard, &looked_at, &found);
    }
    let mut allowed = may_write(context, shard, names, &ways).await;
    let mut standing = stand(context, issuer, names, &ways).await;
    let mut found = found.into_iter();
    let findings = names.iter().zip(ways).map(|(name, way)| match way {
        Way::Look => found.next().map(|finding| with_route(finding, written.of(name))),
        Way::Write(_) => allowed.remove(name.as_str()),
        Way::Stand(_) => standing.remove(name.as_str()),
        Way::Trust => None,
        Way::Unrouted => written
            .of(name)
            .and_then(|route| route.clone().err())
            .map(Finding::Failed),
        Way::None(fault) => Some(Finding::Failed(fault)),
    });
    let findings =
        findings.map(|finding| finding.unwrap_or_else(|| Finding::Unknown("the check is turned off".into())));
    // What is wrong with the path comes first: it may be another's name.
    let with_caa = findings.zip(names).map(|(finding, name)| match finding {
        failed @ Finding::Failed(_) => failed,
        other => barred.remove(name.as_str()).map_or(other, Finding::Failed),
    });
    with_caa.collect()
}

/// The names for which CAA records do not let the CA issue, of those that are looked at.
async fn barred<'a>(
    context: &Context,
    issuer: &ReadyIssuer,
    shard: &CertificateShard,
    names: &'a [String],
    ways: &[Way<'_>],
) -> HashMap<&'a str, Fault> {
    let by_way = names.iter().zip(ways);
    let asked: Vec<(&str, ChallengeKind)> = by_way
        .filter_map(|(name, way)| Some((name.as_str(), way.challenge()?)))
        .collect();
    if asked.is_empty() || !context.self_check.is_enabled() {
        return HashMap::new();
    }
    // Whoever waits for the directory has to be let go at some time: nothing is known without it, and the CA says so itself.
    let identities = timeout(DIRECTORY_WITHIN, issuer.session.caa_identities()).await;
    let identities = identities.ok().flatten().unwrap_or_default();
    let asker = Asker {
        identities: &identities,
        account: issuer.session.kid(),
    };
    let verdicts = context.self_check.caa(&asked, asker).await;
    let mut barred = HashMap::new();
    let mut unknown = Vec::new();
    for ((name, _), verdict) in asked.into_iter().zip(verdicts) {
        match verdict {
            Verdict::Allowed => {}
            Verdict::Forbidden { words, bar: _ } => {
                barred.insert(name, Fault::CaaForbids { words });
            }
            Verdict::Unknown(why) => unknown.push((name, why)),
        }
    }
    // The CA asks other resolvers, and says itself whether it could look them up. It would be wrong to leave a name out for
    // a resolver of ours that does not know the type, say.
    if let Some((name, why)) = unknown.first() {
        tracing::warn!(
            shard = full_name(shard),
            name,
            why,
            more = unknown.len() - 1,
            "CAA records cannot be looked up from here; the CA is asked all the same, and refuses if it cannot either"
        );
    }
    barred
}

/// One finding for each name whose TXT record is to be written: whether it could be.
async fn may_write<'a>(
    context: &Context,
    shard: &CertificateShard,
    names: &'a [String],
    ways: &[Way<'_>],
) -> HashMap<&'a str, Finding> {
    let mut by_way: BTreeMap<&Dns01, Vec<&str>> = BTreeMap::new();
    for (name, way) in names.iter().zip(ways) {
        if let Way::Write(settings) = way {
            by_way.entry(settings).or_default().push(name);
        }
    }
    let secrets = secrets(context, shard);
    let tenant = shard.namespace().unwrap_or_default();
    let looks = by_way.into_iter().map(|(settings, names)| {
        let by = By {
            settings,
            secrets: &secrets,
            tenant: &tenant,
            patience: Patience::OfDrive,
        };
        async move {
            let places = names.iter().map(|name| async {
                let record = dns01_record(name);
                context.dns.place(&record, settings.cname_strategy).await
            });
            let places = futures::future::join_all(places).await;
            let known: Vec<Place> = places.iter().flatten().cloned().collect();
            let mut allowed = context.dns.may_write(by, &known).await.into_iter();
            let findings = names.into_iter().zip(places).map(|(name, place)| {
                let outcome = place.and_then(|_| allowed.next().unwrap_or(Ok(())));
                let finding = match outcome {
                    Ok(()) => Finding::Passed,
                    // It is written when there is leave to.
                    Err(fault) if fault.is_of_pace() => Finding::Unknown(fault.words),
                    Err(fault) => Finding::Failed(fault.into()),
                };
                (name, finding)
            });
            findings.collect::<Vec<_>>()
        }
    });
    futures::future::join_all(looks)
        .await
        .into_iter()
        .flatten()
        .collect()
}

/// One finding for each name whose TXT record is to stand: whether it does.
async fn stand<'a>(
    context: &Context,
    issuer: &ReadyIssuer,
    names: &'a [String],
    ways: &[Way<'_>],
) -> HashMap<&'a str, Finding> {
    let standing = names.iter().zip(ways).filter_map(|(name, way)| match way {
        Way::Stand(settings) => Some((name.as_str(), until(settings))),
        _ => None,
    });
    let standing: Vec<(&str, Option<Timestamp>)> = standing.collect();
    let issuers = issuer.terms.issuer_domain_names.as_deref().unwrap_or_default();
    if issuers.is_empty() {
        // The challenge will say it.
        let unknown = || Finding::Unknown("the CA's directory has no caaIdentities".into());
        return standing.into_iter().map(|(name, _)| (name, unknown())).collect();
    }
    let asked: Vec<Asked<'_>> = standing
        .iter()
        .map(|&(name, until)| Asked { name, issuers, until })
        .collect();
    let mut faults = standing::looks(context, issuer.session.kid(), &asked).await;
    let finding = |(name, _)| match faults.remove(name) {
        Some(fault) => (name, Finding::Failed(fault.into())),
        None => (name, Finding::Passed),
    };
    standing.into_iter().map(finding).collect()
}

/// How it is found out whether a name can be validated.
#[derive(Debug, Clone, PartialEq)]
enum Way<'a> {
    /// Its path is looked at.
    Look,
    /// Whether its TXT record could be written is tried.
    Write(&'a Dns01),
    /// Its standing TXT record is looked at.
    Stand(&'a DnsPersist01),
    /// The CA is asked without a look.
    Trust,
    /// It has no route.
    Unrouted,
    /// It cannot be.
    None(Fault),
}

impl Way<'_> {
    /// By which challenge a name that is looked at is validated.
    fn challenge(&self) -> Option<ChallengeKind> {
        match self {
            Self::Look => Some(ChallengeKind::Http01),
            Self::Write(_) => Some(ChallengeKind::Dns01),
            Self::Stand(_) => Some(ChallengeKind::DnsPersist01),
            Self::Trust | Self::Unrouted | Self::None(_) => None,
        }
    }
}

fn way<'a>(solvers: &'a [Solver], name: &str, labels: &Labels) -> Way<'a> {
    let Some(solver) = solver_for(solvers, name, labels) else {
        return Way::None(Fault::NoSolver);
    };
    if !can_validate(solver, name) {
        return Way::None(if name.starts_with("*.") {
            Fault::WildcardByHttp
        } else {
            Fault::NoSolver
        });
    }
    if let Some(settings) = dns01(solvers, name, labels) {
        return Way::Write(settings);
    }
    if let Some(settings) = dns_persist01(solvers, name, labels) {
        return Way::Stand(settings);
    }
    match &solver.http01 {
        Some(http01) if http01.self_check != Some(SelfCheck::Disabled) => Way::Look,
        _ => Way::Trust,
    }
}

/// Says of which route it is that somebody else answers.
fn with_route(finding: Finding, route: Option<&Result<String, Fault>>) -> Finding {
    match (finding, route) {
        (Finding::Failed(Fault::Foreign { address, status }), Some(Ok(route))) => {
            Finding::Failed(Fault::RouteNotServed {
                address,
                status,
                route: route.clone(),
            })
        }
        (finding, _) => finding,
    }
}

fn warn_of_unknown(shard: &CertificateShard, names: &[String], findings: &[Finding]) {
    let mut unknown = names
        .iter()
        .zip(findings)
        .filter_map(|(name, finding)| match finding {
            Finding::Unknown(why) => Some((name, why)),
            Finding::Passed | Finding::Failed(_) => None,
        });
    if let Some((name, why)) = unknown.next() {
        let more = unknown.count();
        tracing::warn!(
            shard = full_name(shard),
            name,
            why,
            more,
            "cannot be looked at from here; the CA is asked all the same"
        );
    }
}

/// The solvers of the shard's issuer, as the watch shows them; none if it is gone.
pub(super) fn solvers(context: &Context, shard: &CertificateShard) -> Vec<Solver> {
    let (reference, seen) = (&shard.spec.issuer_ref, &context.seen);
    let solvers = match reference.kind() {
        IssuerKind::Issuer => {
            let namespace = shard.namespace().unwrap_or_default();
            let key = ObjectRef::new(&reference.name).within(&namespace);
            let issuer = seen.issuers.get(&key);
            issuer.map(|issuer| issuer.spec.acme.solvers.clone())
        }
        IssuerKind::ClusterIssuer => {
            let issuer = seen.cluster_issuers.get(&ObjectRef::new(&reference.name));
            issuer.map(|issuer| issuer.spec.acme.solvers.clone())
        }
    };
    solvers.unwrap_or_default()
}

/// Is the shard's issuer deleted, as the watch shows it? Nothing if that is not known yet.
pub(super) fn is_issuer_gone(context: &Context, shard: &CertificateShard) -> Option<bool> {
    let (reference, seen) = (&shard.spec.issuer_ref, &context.seen);
    let (is_known, is_there) = match reference.kind() {
        IssuerKind::Issuer => {
            let namespace = shard.namespace().unwrap_or_default();
            let key = ObjectRef::new(&reference.name).within(&namespace);
            (seen.issuers.is_ready(), seen.issuers.get(&key).is_some())
        }
        IssuerKind::ClusterIssuer => {
            let key = ObjectRef::new(&reference.name);
            let issuers = &seen.cluster_issuers;
            (issuers.is_ready(), issuers.get(&key).is_some())
        }
    };
    (is_known || is_there).then_some(!is_there)
}

/// The labels of the shard's Certificate, as the watch shows them.
pub(super) fn labels(context: &Context, shard: &CertificateShard) -> Labels {
    known_labels(context, shard).unwrap_or_default()
}

/// The same, if the watch shows such a Certificate.
pub(super) fn known_labels(context: &Context, shard: &CertificateShard) -> Option<Labels> {
    let namespace = shard.namespace().unwrap_or_default();
    let key = ObjectRef::new(&shard.spec.certificate).within(&namespace);
    let certificate = context.seen.certificates.get(&key)?;
    Some(certificate.metadata.labels.clone().unwrap_or_default())
}
