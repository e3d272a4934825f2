//! How a Certificate's names may be split.

use std::collections::HashMap;

use crate::names::{LABEL_MAX, Name};
use crate::secret_name::{SecretClash, secret_clash};
use crate::shown::shown_within;

/// How a new name finds its shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strategy {
    /// A shard with its registered domain and room, else any with room, else a new one.
    #[default]
    Fill,
    /// Only shards of its registered domain: no shard mixes two.
    RegisteredDomain,
}

/// Names that are kept together, apart from the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Part of its Secrets' names.
    pub name: String,
    /// Its names. Those that the Certificate does not have are not heeded.
    pub names: Vec<Name>,
}

/// How names are split. Guarantees: a cap of at least 1; groups with fit and different names that
/// share no name, and whose Secrets' names cannot meet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    cap: usize,
    strategy: Strategy,
    group_of: HashMap<Name, String>,
}

/// Why a policy cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// No name fits into a shard.
    #[error("a shard must take at least one name: set maxNames to 1 or more")]
    NoRoom,
    /// A group's name is not fit to be part of a Secret's name.
    #[error(
        "the group name \"{0}\" is not fit for a Secret's name: use 1 to {LABEL_MAX} lower-case letters, digits and inner hyphens"
    )]
    GroupName(String),
    /// Two groups with one name.
    #[error("there are two groups called \"{0}\": join them, or rename one")]
    GroupTwice(String),
    /// A name in two groups.
    #[error("{name} is in the groups \"{one}\" and \"{other}\": remove it from one of them")]
    NameTwice {
        /// The name.
        name: Name,
        /// The group that has it first.
        one: String,
        /// The other group.
        other: String,
    },
    /// Two parts that would write one Secret.
    #[error(transparent)]
    Secret(#[from] SecretClash),
}

impl Policy {
    /// A policy of at most `cap` names in a shard.
    pub fn new(cap: usize, strategy: Strategy, groups: &[Group]) -> Result<Self, PolicyError> {
        if cap == 0 {
            return Err(PolicyError::NoRoom);
        }
        let mut group_of: HashMap<Name, String> = HashMap::new();
        for (position, group) in groups.iter().enumerate() {
            if !is_label(&group.name) {
                return Err(PolicyError::GroupName(shown_within(&group.name, 80)));
            }
            if groups[..position]
                .iter()
                .any(|earlier| earlier.name == group.name)
            {
                return Err(PolicyError::GroupTwice(group.name.clone()));
            }
            for name in &group.names {
                let earlier = group_of.insert(name.clone(), group.name.clone());
                if let Some(one) = earlier.filter(|earlier| *earlier != group.name) {
                    return Err(PolicyError::NameTwice {
                        name: name.clone(),
                        one,
                        other: group.name.clone(),
                    });
                }
            }
        }
        match secret_clash(groups.iter().map(|group| group.name.as_str())) {
            Some(clash) => Err(PolicyError::Secret(clash)),
            None => Ok(Self {
                cap,
                strategy,
                group_of,
            }),
        }
    }

    /// The most names in a shard.
    pub fn cap(&self) -> usize {
        self.cap
    }

    /// How a new name finds its shard.
    pub fn strategy(&self) -> Strategy {
        self.strategy
    }

    /// The group of a name, if it is in one.
    pub fn group_of(&self, name: &Name) -> Option<&str> {
        self.group_of.get(name).map(String::as_str)
    }
}

fn is_label(text: &str) -> bool {
    (1..=LABEL_MAX).contains(&text.len())
        && text
            .bytes()
            .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
        && !text.starts_with('-')
        && !text.ends_with('-')
}
