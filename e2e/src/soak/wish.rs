//! What a user of the soak asks for, and how they change their mind. Pure: the same random numbers, the same edits.

use std::collections::{BTreeMap, BTreeSet};

use fastrand::Rng;
use serde_json::{Value, json};

use super::edit::Edit;

/// The issuers: two accounts of one CA.
pub const ISSUERS: [&str; 2] = ["ca", "other"];

/// The label that edits put on Secrets.
pub const LABEL: &str = "soak.example/label";

/// So many names there are for each Certificate, of which it has some.
const NAMES: u32 = 14;
/// So few names a shard may have, and so many.
const MAX_NAMES: std::ops::RangeInclusive<u32> = 2..=6;
/// The groups that there may be.
const GROUPS: [&str; 2] = ["front", "back"];
/// So many names a group has at most.
const GROUPED: usize = 5;
/// `spec.renewBefore`, in seconds. Certificates are valid for five minutes.
const RENEW_BEFORE: [Option<u32>; 4] = [None, Some(60), Some(90), Some(120)];

/// The last manifest of a Certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// `metadata.name`.
    pub name: String,
    /// Whether it is applied, and not deleted.
    pub is_there: bool,
    /// `spec.dnsNames`.
    pub dns_names: BTreeSet<String>,
    /// `spec.sharding.maxNames`.
    pub max_names: u32,
    /// Whether `spec.sharding.strategy` is `RegisteredDomain`.
    pub is_by_domain: bool,
    /// `spec.privateKey`.
    pub key: Key,
    /// Whether its `rotationPolicy` is `Never`.
    pub is_key_kept: bool,
    /// Whether `spec.policy` is `Strict`.
    pub is_strict: bool,
    /// The label of `spec.secretTemplate`, if it has one.
    pub label: Option<u32>,
    /// `spec.additionalOutputFormats`.
    pub formats: BTreeSet<Format>,
    /// `spec.renewBefore`, in seconds.
    pub renew_before: Option<u32>,
    /// Whether `spec.secretDeletionPolicy` is `Delete`.
    pub is_deleting: bool,
    /// `spec.issuerRef.name`.
    pub issuer: &'static str,
    /// The annotation `sancho.dev/paused`.
    pub is_paused: bool,
    /// `spec.sharding.groups`, with names that the Certificate may not have.
    groups: BTreeMap<&'static str, BTreeSet<String>>,
    /// Which of its names for Secrets it uses: `spec.secretName`.
    secret: u32,
    /// The annotation `sancho.dev/renew`.
    renew: u32,
    /// The annotation `sancho.dev/retry`.
    retry: u32,
}

/// A kind of private key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// ECDSA on P-256.
    P256,
    /// ECDSA on P-384.
    P384,
    /// RSA of 2048 bits.
    Rsa,
}

impl Key {
    const ALL: [Key; 3] = [Key::P256, Key::P384, Key::Rsa];

    /// How long its SubjectPublicKeyInfo is as DER, in bytes.
    pub fn der_length(self) -> usize {
        match self {
            Key::P256 => 91,
            Key::P384 => 120,
            Key::Rsa => 294,
        }
    }

    fn manifest(self) -> Value {
        match self {
            Key::P256 => json!({ "algorithm": "ECDSA", "size": 256 }),
            Key::P384 => json!({ "algorithm": "ECDSA", "size": 384 }),
            Key::Rsa => json!({ "algorithm": "RSA", "size": 2048 }),
        }
    }
}

/// A further form of certificate and key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Format {
    /// `CombinedPEM`.
    CombinedPem,
    /// `DER`.
    Der,
}

impl Format {
    const ALL: [Format; 2] = [Format::CombinedPem, Format::Der];

    fn manifest(self) -> Value {
        match self {
            Format::CombinedPem => json!({ "type": "CombinedPEM" }),
            Format::Der => json!({ "type": "DER" }),
        }
    }
}

impl Wish {
    /// The first manifest of the Certificate with this number.
    pub fn first(number: usize, random: &mut Rng) -> Self {
        let mut wish = Wish {
            name: format!("soak-{number}"),
            is_there: true,
            dns_names: BTreeSet::new(),
            max_names: random.u32(MAX_NAMES),
            is_by_domain: false,
            key: Key::P256,
            is_key_kept: false,
            is_strict: false,
            label: None,
            formats: BTreeSet::new(),
            renew_before: None,
            is_deleting: false,
            issuer: ISSUERS[0],
            is_paused: false,
            groups: BTreeMap::new(),
            secret: 0,
            renew: 0,
            retry: 0,
        };
        let count = random.usize(1..=8);
        wish.add(count, random);
        wish
    }

    /// The Secret of the shard with this index, ungrouped or in a group.
    pub fn secret_name(&self, group: Option<&str>, index: u32) -> String {
        let mut name = self.base();
        for part in [group.map(str::to_owned), (index > 0).then(|| index.to_string())] {
            name.extend(part.map(|part| format!("-{part}")));
        }
        name
    }

    /// Is, or was, this one of its Secrets?
    pub fn has_secret(&self, secret: &str) -> bool {
        let rest = secret.strip_prefix(&self.name);
        rest.is_some_and(|rest| rest.starts_with('-'))
    }

    /// The group of a name, if it is in one.
    pub fn group_of(&self, name: &str) -> Option<&str> {
        let mut groups = self.groups.iter();
        groups.find_map(|(group, names)| names.contains(name).then_some(*group))
    }

    /// Changes its mind: what it asks for from now on differs from before by the edit that comes back.
    pub fn edit(&mut self, random: &mut Rng) -> Edit {
        if !self.is_there {
            self.is_there = true;
            return Edit::ApplyAgain;
        }
        // Names come and go most often.
        match random.u32(0..33) {
            0..=6 if self.dns_names.len() < NAMES as usize => {
                let free = NAMES as usize - self.dns_names.len();
                let count = random.usize(1..=free.min(4));
                self.add(count, random);
                Edit::AddNames(count)
            }
            0..=13 if self.dns_names.len() > 1 => {
                let count = random.usize(1..=(self.dns_names.len() - 1).min(4));
                let mut names: Vec<String> = self.dns_names.iter().cloned().collect();
                random.shuffle(&mut names);
                for name in &names[..count] {
                    self.dns_names.remove(name);
                }
                Edit::RemoveNames(count)
            }
            14 => {
                self.is_paused = !self.is_paused;
                Edit::Pause(self.is_paused)
            }
            15 => Edit::Revoke(["superseded", "keyCompromise", "cessationOfOperation"][random.usize(0..3)]),
            16 => {
                self.is_there = false;
                Edit::Delete
            }
            17 => {
                self.retry += 1;
                Edit::Retry
            }
            19.. => self.edit_field(random),
            _ => {
                self.renew += 1;
                Edit::Renew
            }
        }
    }

    /// Another value in a field beside the names.
    fn edit_field(&mut self, random: &mut Rng) -> Edit {
        match random.u32(0..14) {
            0 => {
                self.secret = (self.secret + random.u32(1..=2)) % 3;
                Edit::SecretName(self.base())
            }
            1 | 2 => {
                self.key = another(random, &Key::ALL, self.key);
                Edit::Key(self.key)
            }
            3 => {
                let all: Vec<u32> = MAX_NAMES.collect();
                self.max_names = another(random, &all, self.max_names);
                Edit::MaxNames(self.max_names)
            }
            4 => {
                self.is_strict = !self.is_strict;
                Edit::Policy
            }
            5 => {
                self.label = match self.label {
                    None => Some(random.u32(0..100)),
                    Some(_) => None,
                };
                Edit::Label(self.label)
            }
            6 | 7 => {
                self.regroup(random);
                Edit::Groups(self.groups.len())
            }
            8 => {
                self.is_by_domain = !self.is_by_domain;
                Edit::Strategy
            }
            9 => {
                self.is_key_kept = !self.is_key_kept;
                Edit::Rotation(self.is_key_kept)
            }
            10 => {
                let format = Format::ALL[random.usize(..Format::ALL.len())];
                if !self.formats.remove(&format) {
                    self.formats.insert(format);
                }
                Edit::Formats(self.formats.clone())
            }
            11 => {
                self.renew_before = another(random, &RENEW_BEFORE, self.renew_before);
                Edit::RenewBefore(self.renew_before)
            }
            12 => {
                self.is_deleting = !self.is_deleting;
                Edit::Deletion(self.is_deleting)
            }
            _ => {
                self.issuer = another(random, &ISSUERS, self.issuer);
                Edit::Issuer(self.issuer)
            }
        }
    }

    fn base(&self) -> String {
        format!("{}-{}-tls", self.name, ["a", "b", "c"][self.secret as usize])
    }

    /// All names that it may have, of two registered domains.
    fn universe(&self) -> impl Iterator<Item = String> {
        (1..=NAMES).map(|n| format!("n{n}.{}-{}.example", self.name, ["even", "odd"][n as usize % 2]))
    }

    fn add(&mut self, count: usize, random: &mut Rng) {
        let mut free: Vec<String> = self.universe().collect();
        free.retain(|name| !self.dns_names.contains(name));
        random.shuffle(&mut free);
        self.dns_names.extend(free.into_iter().take(count));
    }

    /// Other groups, of names that it has and of others: two, one or none.
    fn regroup(&mut self, random: &mut Rng) {
        let before = self.groups.clone();
        while self.groups == before {
            let mut names: Vec<String> = self.universe().collect();
            random.shuffle(&mut names);
            self.groups.clear();
            for group in GROUPS.into_iter().take(random.usize(0..=GROUPS.len())) {
                let count = random.usize(1..=GROUPED);
                self.groups.insert(group, names.drain(..count).collect());
            }
        }
    }

    /// It as a user applies it.
    pub fn manifest(&self) -> Value {
        let mut private_key = self.key.manifest();
        private_key["rotationPolicy"] = if self.is_key_kept { "Never" } else { "Always" }.into();
        let groups: Vec<Value> = self
            .groups
            .iter()
            .map(|(name, dns_names)| json!({ "name": name, "dnsNames": dns_names }))
            .collect();
        let formats: Vec<Value> = self.formats.iter().map(|format| format.manifest()).collect();
        let mut manifest = json!({
            "apiVersion": "sancho.dev/v1alpha1",
            "kind": "Certificate",
            "metadata": {
                "name": self.name,
                "namespace": "default",
                "annotations": {
                    "sancho.dev/renew": self.renew.to_string(),
                    "sancho.dev/retry": self.retry.to_string(),
                },
            },
            "spec": {
                "secretName": self.base(),
                "issuerRef": { "name": self.issuer, "kind": "ClusterIssuer" },
                "dnsNames": self.dns_names,
                "sharding": {
                    "maxNames": self.max_names,
                    "strategy": if self.is_by_domain { "RegisteredDomain" } else { "Fill" },
                    "groups": groups,
                },
                "privateKey": private_key,
                "policy": if self.is_strict { "Strict" } else { "Quarantine" },
                "additionalOutputFormats": formats,
                "secretDeletionPolicy": if self.is_deleting { "Delete" } else { "Retain" },
            },
        });
        if let Some(seconds) = self.renew_before {
            manifest["spec"]["renewBefore"] = format!("{seconds}s").into();
        }
        if let Some(label) = self.label {
            manifest["spec"]["secretTemplate"] = json!({ "labels": { LABEL: label.to_string() } });
        }
        if self.is_paused {
            manifest["metadata"]["annotations"]["sancho.dev/paused"] = "true".into();
        }
        manifest
    }
}

/// One of `all`, and not this one.
fn another<T: Copy + PartialEq>(random: &mut Rng, all: &[T], this: T) -> T {
    let others: Vec<T> = all.iter().copied().filter(|one| *one != this).collect();
    others[random.usize(..others.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(seed: u64) -> (Vec<Edit>, Vec<Value>) {
        let mut random = Rng::with_seed(seed);
        let mut wish = Wish::first(0, &mut random);
        let mut manifests = Vec::new();
        let edits = (0..500)
            .map(|_| {
                let edit = wish.edit(&mut random);
                manifests.push(wish.manifest());
                edit
            })
            .collect();
        (edits, manifests)
    }

    #[test]
    fn the_same_seed_gives_the_same_edits_and_another_one_others() {
        assert_eq!(told(1), told(1));
        assert_ne!(told(1).0, told(2).0);
    }

    #[test]
    fn every_kind_of_edit_comes_and_every_manifest_has_names_and_a_cap() {
        let (edits, manifests) = told(3);
        let kinds: BTreeSet<&str> = edits.iter().map(Edit::kind).collect();
        assert_eq!(kinds.len(), 20, "{kinds:?}");
        for manifest in manifests {
            let names = manifest["spec"]["dnsNames"].as_array().unwrap().len();
            assert!((1..=NAMES as usize).contains(&names), "{manifest}");
            let most = manifest["spec"]["sharding"]["maxNames"].as_u64().unwrap();
            assert!(MAX_NAMES.contains(&u32::try_from(most).unwrap()));
            let groups = manifest["spec"]["sharding"]["groups"].as_array().unwrap();
            let grouped: Vec<&Value> = groups
                .iter()
                .flat_map(|group| group["dnsNames"].as_array().unwrap())
                .collect();
            let different: BTreeSet<&str> = grouped.iter().filter_map(|name| name.as_str()).collect();
            assert_eq!(grouped.len(), different.len(), "a name in two groups: {manifest}");
        }
    }

    #[test]
    fn an_edit_changes_what_it_says() {
        let mut random = Rng::with_seed(4);
        let mut wish = Wish::first(0, &mut random);
        for _ in 0..500 {
            let before = wish.clone();
            let edit = wish.edit(&mut random);
            match edit {
                Edit::AddNames(count) => assert_eq!(wish.dns_names.len(), before.dns_names.len() + count),
                Edit::RemoveNames(count) => assert_eq!(wish.dns_names.len(), before.dns_names.len() - count),
                Edit::SecretName(name) => assert_ne!(name, before.base()),
                // It is an annotation beside the manifest, which Sancho removes.
                Edit::Revoke(_) => assert_eq!(wish, before),
                _ => assert_ne!(wish, before),
            }
        }
    }

    #[test]
    fn a_secret_is_named_by_its_group_and_index() {
        let wish = Wish::first(1, &mut Rng::with_seed(5));
        let names = [(None, 0), (None, 2), (Some("front"), 0), (Some("front"), 1)]
            .map(|(group, index)| wish.secret_name(group, index));
        assert_eq!(
            names,
            [
                "soak-1-a-tls",
                "soak-1-a-tls-2",
                "soak-1-a-tls-front",
                "soak-1-a-tls-front-1"
            ]
        );
        assert!(names.iter().all(|name| wish.has_secret(name)));
        assert!(!wish.has_secret("soak-10-a-tls"));
    }
}
