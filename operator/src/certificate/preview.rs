//! What an edit would do, before it is applied: today's shards beside those that are to be. Pure.

use jiff::Timestamp;
use kube::ResourceExt;
use sancho_core::plan::PlannedShard;
use sancho_crds::{
    Acme, Allowed, Certificate, CertificateShard, CertificateShardSpec, IssuerStatus, condition,
};
use sancho_limiter::Cost;

use super::cap::IssuerCap;
use super::wanted::{assignment, clash, is_owned, not_allowed, wanted};
use crate::queue::Priority;
use crate::quotas::HeldBack;
use crate::quotas::published::{Granted, Quota, quotas};
use crate::shard::decide::{cost, is_elsewhere, is_renewed_by_hand};
use crate::shard::quarantine::{is_wanted, order_names, order_target};
use crate::shard::revocation;
use crate::target::target;

/// What applying a Certificate would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preview {
    /// The shards that are to be.
    pub shards: Vec<PreviewedShard>,
    /// The shards that are no longer to be.
    pub retired: Vec<Retired>,
    /// About how much its orders take.
    pub cost: Cost,
    /// The names of each of its orders that counts toward the CA's quotas: renewals do not.
    pub counted: Vec<Vec<String>>,
    /// The quotas that the CA publishes for these, if it does.
    pub quotas: Vec<Quota>,
}

/// A shard that is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreviewedShard {
    /// Its object.
    pub name: String,
    /// Its Secret.
    pub secret_name: String,
    /// How many names it has.
    pub names: usize,
    /// What becomes of it.
    pub fate: Fate,
    /// Names that it does not have today.
    pub added: Vec<String>,
    /// Names that it has today.
    pub removed: Vec<String>,
    /// What else is different, in words.
    pub because: Vec<&'static str>,
    /// The quota that its order waits for, if one is used up.
    pub held_back: Option<HeldBack>,
}

/// What becomes of a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// It keeps its certificate: nothing is asked of the CA.
    Kept,
    /// It gets a certificate in place of the one that it has.
    Reissued,
    /// It has no certificate yet, and waits for one whatever becomes of the edit.
    Open,
    /// It is not there yet.
    New,
}

/// A shard that is no longer to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retired {
    /// Its object.
    pub name: String,
    /// Its Secret.
    pub secret_name: String,
}

/// The Certificate's surroundings.
#[derive(Clone, Copy)]
pub struct Around<'a> {
    /// The Certificates of the namespace.
    pub certificates: &'a [Certificate],
    /// The shards of the namespace.
    pub shards: &'a [CertificateShard],
    /// The assignment in Secrets that are there already, for a Certificate without shards.
    pub in_secrets: &'a [PlannedShard],
    /// What the issuer says, if it is known. If not, it is taken for the one that today's shards were issued by.
    pub acme: Option<&'a Acme>,
    /// Which Certificates may use it, if it says so.
    pub allowed: Option<&'a Allowed>,
    /// Its status.
    pub issuer: Option<&'a IssuerStatus>,
    /// What the CA has granted already, as far as it is known.
    pub granted: &'a [Granted],
    /// The quota that holds an order of these names back, given whether it is a renewal.
    pub holding_back: &'a dyn Fn(&[String], bool) -> Option<HeldBack>,
}

/// What applying `certificate` would do, as things are `now`. It has the metadata of the one that is there today, if one is.
///
/// # Errors
/// Why the operator would refuse it, and how to mend that.
pub fn preview(certificate: &Certificate, around: &Around<'_>, now: Timestamp) -> Result<Preview, String> {
    let server = around.acme.map(|acme| acme.server.as_str());
    if let Some(words) = not_allowed(certificate, around.allowed) {
        return Err(words);
    }
    let cap = cap(certificate, around);
    let all: Vec<&CertificateShard> = around.shards.iter().collect();
    let own: Vec<&CertificateShard> = around
        .shards
        .iter()
        .filter(|shard| is_owned(shard, certificate))
        .collect();
    let today = match own.is_empty() {
        true => around.in_secrets.to_vec(),
        false => assignment(own.iter().copied()),
    };
    let planned = wanted(certificate, cap, &today).map_err(|refused| refused.message)?;
    if let Some(clash) = clash(certificate, &planned, around.certificates, &all) {
        return Err(clash.message);
    }
    let mut shards = Vec::new();
    let mut sum = Cost::default();
    let mut counted: Vec<Vec<String>> = Vec::new();
    for (name, spec) in &planned.shards {
        let before = own.iter().find(|shard| shard.name_any() == *name).copied();
        let (shard, takes) = previewed(name, spec, before, around);
        sum += takes;
        if takes.new_orders > 0 && !is_renewal(&shard) {
            counted.push(spec.names());
        }
        shards.push(shard);
    }
    let is_planned =
        |shard: &&&CertificateShard| planned.shards.iter().any(|(name, _)| *name == shard.name_any());
    let retired = own
        .iter()
        .filter(|shard| !is_planned(shard))
        .map(|shard| Retired {
            name: shard.name_any(),
            secret_name: shard.spec.secret_name.clone(),
        });
    Ok(Preview {
        retired: retired.collect(),
        quotas: server.map_or_else(Vec::new, |server| {
            let orders = counted.iter().map(Vec::as_slice);
            quotas(server, orders, around.granted.iter().cloned(), now)
        }),
        counted,
        cost: sum,
        shards,
    })
}

/// Is the order of a shard one for the names that its certificate has?
fn is_renewal(shard: &PreviewedShard) -> bool {
    let has_one = matches!(shard.fate, Fate::Kept | Fate::Reissued);
    has_one && shard.added.is_empty() && shard.removed.is_empty()
}

/// How many names the issuer takes.
fn cap(certificate: &Certificate, around: &Around<'_>) -> IssuerCap {
    let Some(acme) = around.acme else {
        let mut others = around.certificates.iter();
        let present = others.find(|other| other.metadata.name == certificate.metadata.name);
        return IssuerCap::told_by(present);
    };
    let profile = certificate.spec.profile.as_deref().or(acme.profile.as_deref());
    IssuerCap::of(acme, around.issuer, profile)
}

/// One shard, and what its order takes, if it needs one.
fn previewed(
    name: &str,
    spec: &CertificateShardSpec,
    before: Option<&CertificateShard>,
    around: &Around<'_>,
) -> (PreviewedShard, Cost) {
    let server = around.acme.map(|acme| acme.server.as_str());
    let mut to_be = CertificateShard::new(name, spec.clone());
    to_be.status = before.and_then(|shard| shard.status.clone());
    let issued = to_be.status.as_ref().and_then(|status| status.issued.as_ref());
    let today = before.zip(issued);
    let is_same = today.is_some_and(|(before, issued)| is_as_asked(before, &to_be, &issued.target, server));
    let is_revoked = !revocation::is_settled(&to_be);
    let fate = match (before, issued) {
        (None, _) => Fate::New,
        (Some(_), None) => Fate::Open,
        (Some(_), Some(_)) if is_same && !is_renewed_by_hand(&to_be) && !is_revoked => Fate::Kept,
        (Some(_), Some(_)) => Fate::Reissued,
    };
    let old = before.map(|shard| &shard.spec);
    if let Some(old) = old.filter(|old| *old != spec)
        && let Some(status) = &mut to_be.status
    {
        // It was for something else.
        status.order.take_if(|order| match server {
            Some(server) => order.target != target(spec, server),
            None => target(old, NO_SERVER) != target(spec, NO_SERVER),
        });
    }
    let takes = match fate {
        Fate::Kept => Cost::default(),
        Fate::Reissued | Fate::Open | Fate::New => cost(&to_be, Priority::New),
    };
    // Only what begins is held back.
    let begins = takes.new_orders > 0;
    let shard = PreviewedShard {
        name: name.to_owned(),
        secret_name: spec.secret_name.clone(),
        names: spec.name_count(),
        fate,
        added: old.map_or_else(Vec::new, |old| missing(spec, old)),
        removed: old.map_or_else(Vec::new, |old| missing(old, spec)),
        because: old
            .filter(|_| fate != Fate::Kept)
            .map_or_else(Vec::new, |old| differences(old, spec, is_revoked)),
        held_back: begins
            .then(|| (around.holding_back)(&order_names(&to_be), is_same))
            .flatten(),
    };
    (shard, takes)
}

/// The names that `from` has and `others` has not.
fn missing(from: &CertificateShardSpec, others: &CertificateShardSpec) -> Vec<String> {
    let others = others.own_names();
    let mut names = from.own_names();
    names.retain(|name| !others.contains(name));
    names
}

/// Why what is to be is another certificate, besides its names.
fn differences(
    old: &CertificateShardSpec,
    new: &CertificateShardSpec,
    is_revoked: bool,
) -> Vec<&'static str> {
    let all = [
        (old.issuer_ref != new.issuer_ref, "another issuer"),
        (old.profile != new.profile, "another profile"),
        (old.duration != new.duration, "another duration"),
        (old.private_key != new.private_key, "another kind of key"),
        (old.secret_name != new.secret_name, "another Secret"),
        (old.renew != new.renew, "renewed by hand"),
        (is_revoked, "revoked"),
    ];
    let differing = all.into_iter().filter(|(differs, _)| *differs);
    differing.map(|(_, words)| words).collect()
}

/// Stands for a server that is not known, where hashes are compared that both have it.
const NO_SERVER: &str = "";

/// Is what was `issued` for the shard of today what `to_be` asks for? Of a server that is not known today's shard tells:
/// it is ready, and asks for the same.
fn is_as_asked(
    today: &CertificateShard,
    to_be: &CertificateShard,
    issued: &str,
    server: Option<&str>,
) -> bool {
    if let Some(server) = server {
        return is_wanted(to_be, server, issued);
    }
    let status = today.status.as_ref();
    let ready = status.and_then(|status| condition(&status.conditions, "Ready"));
    ready.is_some_and(|ready| ready.status == "True")
        && order_target(today, NO_SERVER) == order_target(to_be, NO_SERVER)
        && !is_elsewhere(to_be)
}

#[cfg(test)]
mod tests;
