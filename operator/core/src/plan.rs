//! The sticky planner: names + policy + today's assignment → shards.
//!
//! policy → what stays → where the rest goes → the first shard of each part → plan
//!
//! # Guarantees
//! - Every name is in exactly one shard, and no shard is over the cap.
//! - It is a pure function: the same input gives the same plan, and the plan of a plan is itself.
//! - Under an unchanged policy, *k* names added and removed change at most *k* shards.
//! - As long as a part (the ungrouped names, or a group) has a name, it has a shard 0.
//!
//! # What stays
//! A name stays in its shard, unless its group changed, its shard is over a lowered cap, or
//! [`Strategy::RegisteredDomain`] forbids its company. A name that stands in several shards stays
//! in the first. A shard over the cap keeps the first names by registered domain; one that mixes
//! domains keeps the domain with most names.
//!
//! # Where the rest goes
//! Into a shard with its registered domain and room, else (under [`Strategy::Fill`]) into any with
//! room, else into a new one with the lowest free index. Where several will do, one that changes
//! anyway is preferred, then the lowest index.
//!
//! # The first shard
//! `secretName` is what a user's Ingress or Gateway names, so it must not be the Secret that is
//! left to expire. If shard 0 of a part has lost all its names, the part's last shard becomes
//! shard 0 as a whole: one order, and the Secret with the highest number goes. Other empty shards
//! disappear. Only when the ungrouped part has no name at all (all are in groups) does nobody
//! write the Secret `secretName`.

mod part;
mod policy;

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};

use crate::names::Name;
use part::Part;

pub use policy::{Group, Policy, PolicyError, Strategy};

/// A shard and its names; a list of them is an assignment, today's or planned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedShard {
    /// The group, if it belongs to one.
    pub group: Option<String>,
    /// Its number within the ungrouped names or the group, from 0.
    pub index: u32,
    /// Its names; sorted in a plan.
    pub names: Vec<Name>,
}

/// Which names sit in which shard. Sorted: ungrouped first, then by group and index.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The shards; none is empty.
    pub shards: Vec<PlannedShard>,
}

/// Plans `names` under `policy`, given `today`'s assignment: an earlier plan, or what was rebuilt
/// from CertificateShards or Secrets, in any order, with gaps, duplicates and names that are not
/// asked for any more.
pub fn plan(names: &BTreeSet<Name>, policy: &Policy, today: &[PlannedShard]) -> Plan {
    let mut parts: BTreeMap<Option<&str>, Part<'_>> = BTreeMap::new();
    let mut wanted: BTreeMap<Option<&str>, BTreeSet<&Name>> = BTreeMap::new();
    for name in names {
        wanted.entry(policy.group_of(name)).or_default().insert(name);
    }
    let mut existing: BTreeMap<(Option<&str>, u32), Vec<&Name>> = BTreeMap::new();
    for PlannedShard { group, index, names } in today {
        existing
            .entry((group.as_deref(), *index))
            .or_default()
            .extend(names);
    }
    for ((group, index), names) in existing {
        let Some(open) = wanted.get_mut(&group) else {
            continue;
        };
        let part = parts.entry(group).or_insert_with(|| Part::new(policy));
        part.resume(index, &names, open);
    }
    for (group, rest) in wanted {
        parts
            .entry(group)
            .or_insert_with(|| Part::new(policy))
            .settle(rest);
    }
    let shards = parts
        .into_iter()
        .flat_map(|(group, part)| {
            part.into_shards().map(move |(index, names)| PlannedShard {
                group: group.map(str::to_owned),
                index,
                names: names.into_iter().cloned().collect(),
            })
        })
        .collect();
    Plan { shards }
}

impl Plan {
    /// Hexadecimal SHA-256 of the whole assignment: groups, indices and names.
    pub fn hash(&self) -> String {
        let mut hash = Sha256::new();
        let mut put = |text: &str| {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text);
        };
        for PlannedShard { group, index, names } in &self.shards {
            // A group's name is never empty, so the two cannot be taken for one another.
            put(group.as_deref().unwrap_or_default());
            put(&index.to_string());
            put(&names.len().to_string());
            for name in names {
                put(name.as_str());
            }
        }
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
