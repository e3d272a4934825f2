//! What an object asks for: its annotations and entries → the Certificates that are to be, and complaints. Pure.

use std::collections::{BTreeMap, BTreeSet};

use sancho_core::names::{Name, NameError};
use sancho_core::shown::shown_within;
use sancho_crds::CertificateSpec;

use super::options::{Options, is_object_name, options};
use super::source::{Complaint, Entry, Kind, Source};

/// The most characters of a Certificate's name and of its `secretName`.
const NAME_MAX: usize = 180;

/// What an object asks for.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Translation {
    /// The Certificates that are to be, by name.
    pub(super) certificates: BTreeMap<String, Wanted>,
    /// Those that stay as they are, since what is said of them cannot be understood.
    pub(super) kept: BTreeSet<String>,
    /// Whether Certificates that are not among these are to go. Not while it is not understood what the object names.
    pub(super) deletes: bool,
    /// What is wrong.
    pub(super) complaints: Vec<Complaint>,
}

/// A Certificate that is to be.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Wanted {
    /// As far as the object says what stands in it.
    pub(super) spec: CertificateSpec,
    /// Secrets that somebody else made may become its own.
    pub(super) adopt: bool,
    /// The Secrets in which the object expects each of its names.
    pub(super) listed: BTreeMap<String, BTreeSet<String>>,
}

/// What `source` asks for. `parts`: Secrets that are known to be further ones of a Certificate of this object, whose
/// names are more than one certificate takes, with that Certificate. An entry for one of these is no Certificate of its
/// own: it is where the object says at last what Sancho has made of its names.
pub(super) fn translation(source: &Source, parts: &BTreeMap<String, String>) -> Translation {
    let options = match options(&source.annotations) {
        Ok(Some(options)) => options,
        Ok(None) => {
            return Translation {
                deletes: true,
                ..Translation::default()
            };
        }
        Err(complaints) => {
            return Translation {
                complaints,
                ..Translation::default()
            };
        }
    };
    let mut translated = Translation {
        deletes: true,
        complaints: source.unread.clone(),
        ..Translation::default()
    };
    let named: BTreeSet<&str> = source.entries.iter().map(|entry| entry.secret.as_str()).collect();
    let certificate_of = |secret: &str| match parts.get(secret) {
        Some(whole) if named.contains(whole.as_str()) => whole.clone(),
        _ => secret.to_owned(),
    };
    for entry in &source.entries {
        if let Err(complaint) = check_secret(source.kind, entry) {
            translated.deletes = false;
            translated.complaints.push(complaint);
            continue;
        }
        let certificate = certificate_of(&entry.secret);
        match names(source.kind, entry) {
            Ok(names) => {
                let wanted = translated
                    .certificates
                    .entry(certificate.clone())
                    .or_insert_with(|| wanted(&certificate, &options));
                for name in names {
                    let listed = wanted.listed.entry(name).or_default();
                    listed.insert(entry.secret.clone());
                }
            }
            Err(complaint) => {
                translated.complaints.push(complaint);
                translated.kept.insert(certificate);
            }
        }
    }
    let kept = &translated.kept;
    translated.certificates.retain(|name, _| !kept.contains(name));
    for wanted in translated.certificates.values_mut() {
        wanted.spec.dns_names = wanted.listed.keys().cloned().collect();
    }
    translated
}

fn wanted(name: &str, options: &Options) -> Wanted {
    let Options {
        issuer,
        duration,
        renew_before,
        profile,
        private_key,
        adopt,
    } = options.clone();
    Wanted {
        spec: CertificateSpec {
            secret_name: name.to_owned(),
            issuer_ref: issuer,
            duration,
            renew_before,
            profile,
            private_key,
            ..CertificateSpec::default()
        },
        adopt,
        listed: BTreeMap::new(),
    }
}

fn check_secret(kind: Kind, entry: &Entry) -> Result<(), Complaint> {
    let Entry { place, secret, .. } = entry;
    let field = match kind {
        Kind::Ingress => "secretName",
        Kind::Gateway => "certificateRefs",
    };
    if secret.is_empty() {
        return Err(Complaint::new(
            "SecretNameMissing",
            format!("{place} has no {field}: name the Secret that the certificate is to be written to"),
        ));
    }
    let shown = shown_within(secret, 80);
    if !is_object_name(secret) {
        return Err(Complaint::new(
            "InvalidSecretName",
            format!(
                "{place}: {field} has \"{shown}\", which is no Secret's name: use lower-case letters, digits, '-' and '.'"
            ),
        ));
    }
    if secret.len() > NAME_MAX {
        return Err(Complaint::new(
            "InvalidSecretName",
            format!("{place}: {field} has more than {NAME_MAX} characters ({shown}): choose a shorter one"),
        ));
    }
    Ok(())
}

/// The names of an entry, each once.
fn names(kind: Kind, entry: &Entry) -> Result<BTreeSet<String>, Complaint> {
    let Entry { place, secret, hosts } = entry;
    if hosts.is_empty() {
        let field = match kind {
            Kind::Ingress => "hosts",
            Kind::Gateway => "hostname",
        };
        return Err(Complaint::new(
            "HostsMissing",
            format!(
                "{place} (Secret {secret}) has no {field}, so that nobody knows which names its certificate is to have: \
                 write them there"
            ),
        ));
    }
    let mut names = BTreeSet::new();
    for host in hosts {
        let name = Name::dns(host).map_err(|error| {
            let words = match error {
                NameError::IpAddress(address) => format!(
                    "{address} is an IP address, for which a certificate is made by a Certificate of your own with \
                     spec.ipAddresses: take it out here"
                ),
                other => other.to_string(),
            };
            Complaint::new("InvalidHost", format!("{place} (Secret {secret}): {words}"))
        })?;
        names.insert(String::from(name));
    }
    Ok(names)
}

#[cfg(test)]
mod tests;
