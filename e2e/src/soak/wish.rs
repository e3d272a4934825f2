//! What a user of the soak asks for, and how they change their mind. Pure: the same random numbers, the same edits.

use std::collections::BTreeSet;
use std::fmt;

use fastrand::Rng;
use serde_json::{Value, json};

/// The label that edits put on Secrets.
pub const LABEL: &str = "soak.example/label";

/// So many names there are for each Certificate, of which it has some.
const NAMES: u32 = 14;
/// So few names a shard may have, and so many.
const MAX_NAMES: std::ops::RangeInclusive<u32> = 2..=6;

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
    /// `spec.privateKey`.
    pub key: Key,
    /// Whether `spec.policy` is `Strict`.
    pub is_strict: bool,
    /// The label of `spec.secretTemplate`, if it has one.
    pub label: Option<u32>,
    /// The annotation `sancho.dev/paused`.
    pub is_paused: bool,
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

/// One change of mind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    /// So many names more.
    AddNames(usize),
    /// So many names fewer.
    RemoveNames(usize),
    /// Another `secretName`.
    SecretName(String),
    /// Another kind of key.
    Key(Key),
    /// Another `maxNames`.
    MaxNames(u32),
    /// The other policy.
    Policy,
    /// Another label on the Secrets, or none.
    Label(Option<u32>),
    /// Paused, or no longer.
    Pause(bool),
    /// A renewal by hand.
    Renew,
    /// What failed is tried again.
    Retry,
    /// What is served is revoked, for this reason.
    Revoke(&'static str),
    /// The Certificate is deleted.
    Delete,
    /// It is applied again.
    ApplyAgain,
}

impl Edit {
    /// What is counted together.
    pub fn kind(&self) -> &'static str {
        match self {
            Edit::AddNames(_) => "names added",
            Edit::RemoveNames(_) => "names removed",
            Edit::SecretName(_) => "secretName changed",
            Edit::Key(_) => "kind of key changed",
            Edit::MaxNames(_) => "maxNames changed",
            Edit::Policy => "policy changed",
            Edit::Label(_) => "secretTemplate changed",
            Edit::Pause(_) => "paused or resumed",
            Edit::Renew => "renewed by hand",
            Edit::Retry => "retried by hand",
            Edit::Revoke(_) => "revoked",
            Edit::Delete => "deleted",
            Edit::ApplyAgain => "applied again",
        }
    }
}

impl fmt::Display for Edit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Edit::AddNames(count) => write!(f, "{count} names more"),
            Edit::RemoveNames(count) => write!(f, "{count} names fewer"),
            Edit::SecretName(name) => write!(f, "secretName {name}"),
            Edit::Key(key) => write!(f, "key {key:?}"),
            Edit::MaxNames(most) => write!(f, "maxNames {most}"),
            Edit::Policy => write!(f, "the other policy"),
            Edit::Label(Some(label)) => write!(f, "label {label}"),
            Edit::Label(None) => write!(f, "no label"),
            Edit::Pause(true) => write!(f, "paused"),
            Edit::Pause(false) => write!(f, "resumed"),
            Edit::Renew => write!(f, "renew"),
            Edit::Retry => write!(f, "retry"),
            Edit::Revoke(reason) => write!(f, "revoke: {reason}"),
            Edit::Delete => write!(f, "deleted"),
            Edit::ApplyAgain => write!(f, "applied again"),
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
            key: Key::P256,
            is_strict: false,
            label: None,
            is_paused: false,
            secret: 0,
            renew: 0,
            retry: 0,
        };
        let count = random.usize(1..=8);
        wish.add(count, random);
        wish
    }

    /// `spec.secretName`.
    pub fn secret_name(&self) -> String {
        format!("{}-{}-tls", self.name, ["a", "b", "c"][self.secret as usize])
    }

    /// Changes its mind: what it asks for from now on differs from before by the edit that comes back.
    pub fn edit(&mut self, random: &mut Rng) -> Edit {
        if !self.is_there {
            self.is_there = true;
            return Edit::ApplyAgain;
        }
        // Names come and go most often.
        match random.u32(0..20) {
            0..=4 if self.dns_names.len() < NAMES as usize => {
                let free = NAMES as usize - self.dns_names.len();
                let count = random.usize(1..=free.min(4));
                self.add(count, random);
                Edit::AddNames(count)
            }
            0..=8 if self.dns_names.len() > 1 => {
                let count = random.usize(1..=(self.dns_names.len() - 1).min(4));
                let mut names: Vec<String> = self.dns_names.iter().cloned().collect();
                random.shuffle(&mut names);
                for name in &names[..count] {
                    self.dns_names.remove(name);
                }
                Edit::RemoveNames(count)
            }
            9 => {
                self.secret = (self.secret + random.u32(1..=2)) % 3;
                Edit::SecretName(self.secret_name())
            }
            10 | 11 => {
                let others: Vec<Key> = Key::ALL.into_iter().filter(|key| *key != self.key).collect();
                self.key = others[random.usize(..others.len())];
                Edit::Key(self.key)
            }
            12 => {
                let before = self.max_names;
                while self.max_names == before {
                    self.max_names = random.u32(MAX_NAMES);
                }
                Edit::MaxNames(self.max_names)
            }
            13 => {
                self.is_strict = !self.is_strict;
                Edit::Policy
            }
            14 => {
                self.label = match self.label {
                    None => Some(random.u32(0..100)),
                    Some(_) => None,
                };
                Edit::Label(self.label)
            }
            15 => {
                self.is_paused = !self.is_paused;
                Edit::Pause(self.is_paused)
            }
            16 => Edit::Revoke(["superseded", "keyCompromise", "cessationOfOperation"][random.usize(0..3)]),
            17 => {
                self.is_there = false;
                Edit::Delete
            }
            18 => {
                self.retry += 1;
                Edit::Retry
            }
            _ => {
                self.renew += 1;
                Edit::Renew
            }
        }
    }

    fn add(&mut self, count: usize, random: &mut Rng) {
        let mut free: Vec<String> = (1..=NAMES)
            .map(|n| format!("n{n}.{}.example", self.name))
            .filter(|name| !self.dns_names.contains(name))
            .collect();
        random.shuffle(&mut free);
        self.dns_names.extend(free.into_iter().take(count));
    }

    /// It as a user applies it.
    pub fn manifest(&self, issuer: &str) -> Value {
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
                "secretName": self.secret_name(),
                "issuerRef": { "name": issuer, "kind": "ClusterIssuer" },
                "dnsNames": self.dns_names,
                "sharding": { "maxNames": self.max_names },
                "privateKey": self.key.manifest(),
                "policy": if self.is_strict { "Strict" } else { "Quarantine" },
            },
        });
        if let Some(label) = self.label {
            manifest["spec"]["secretTemplate"] = json!({ "labels": { LABEL: label.to_string() } });
        }
        if self.is_paused {
            manifest["metadata"]["annotations"]["sancho.dev/paused"] = "true".into();
        }
        manifest
    }
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
                manifests.push(wish.manifest("ca"));
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
        assert_eq!(kinds.len(), 13, "{kinds:?}");
        for manifest in manifests {
            let names = manifest["spec"]["dnsNames"].as_array().unwrap().len();
            assert!((1..=NAMES as usize).contains(&names), "{manifest}");
            let most = manifest["spec"]["sharding"]["maxNames"].as_u64().unwrap();
            assert!(MAX_NAMES.contains(&u32::try_from(most).unwrap()));
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
                Edit::SecretName(name) => assert_ne!(name, before.secret_name()),
                // It is an annotation beside the manifest, which Sancho removes.
                Edit::Revoke(_) => assert_eq!(wish, before),
                _ => assert_ne!(wish, before),
            }
        }
    }
}
