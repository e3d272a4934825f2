//! The shards of one part of a Certificate: of its ungrouped names, or of one group.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::policy::{Policy, Strategy};
use crate::names::{Name, registered_domain};

pub(super) struct Part<'a> {
    cap: usize,
    strategy: Strategy,
    shards: BTreeMap<u32, Shard<'a>>,
    /// Shards that may have room, the best first. An entry may be out of date: a shard that is
    /// full by now, or one that has changed since and stands there once more as changed.
    open: BTreeSet<Candidate>,
    /// The same for each registered domain.
    open_by_domain: HashMap<&'a str, BTreeSet<Candidate>>,
    lowest_free: u32,
}

#[derive(Default)]
struct Shard<'a> {
    names: BTreeSet<&'a Name>,
    domains: BTreeSet<&'a str>,
    /// It will be re-issued anyway.
    changed: bool,
}

/// Ordered by preference: a shard that changes anyway, then the lowest index.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    unchanged: bool,
    index: u32,
}

impl<'a> Part<'a> {
    pub(super) fn new(policy: &Policy) -> Self {
        Self {
            cap: policy.cap(),
            strategy: policy.strategy(),
            shards: BTreeMap::new(),
            open: BTreeSet::new(),
            open_by_domain: HashMap::new(),
            lowest_free: 0,
        }
    }

    /// Leaves in the shard `index` those of its `names` that may stay, and takes them out of
    /// `open`. Comes once for each shard, by ascending index.
    pub(super) fn resume(&mut self, index: u32, names: &[&Name], open: &mut BTreeSet<&'a Name>) {
        // The names of `open` live as long as the plan; those of the assignment need not.
        let mut stay: Vec<(&'a str, &'a Name)> = names
            .iter()
            .filter_map(|name| open.take(*name))
            .map(|name| (registered_domain(name), name))
            .collect();
        stay.sort_unstable();
        let mut leave = Vec::new();
        if self.strategy == Strategy::RegisteredDomain
            && let Some(domain) = most_frequent(&stay)
        {
            leave.extend(stay.extract_if(.., |(own, _)| *own != domain));
        }
        leave.extend(stay.drain(self.cap.min(stay.len())..));
        open.extend(leave.into_iter().map(|(_, name)| name));
        let shard = Shard {
            changed: stay.len() != names.len(),
            names: stay.iter().map(|(_, name)| *name).collect(),
            domains: stay.iter().map(|(domain, _)| *domain).collect(),
        };
        if !shard.names.is_empty() {
            self.shards.insert(index, shard);
        }
    }

    /// Finds a shard for each of `rest`.
    pub(super) fn settle(&mut self, rest: BTreeSet<&'a Name>) {
        for (&index, shard) in &self.shards {
            if shard.names.len() < self.cap {
                let candidate = Candidate {
                    unchanged: !shard.changed,
                    index,
                };
                self.open.insert(candidate);
                for domain in &shard.domains {
                    self.open_by_domain.entry(domain).or_default().insert(candidate);
                }
            }
        }
        let mut rest: Vec<(&'a str, &'a Name)> = rest
            .into_iter()
            .map(|name| (registered_domain(name), name))
            .collect();
        rest.sort_unstable();
        for (domain, name) in rest {
            let index = self.place(domain);
            self.put(index, domain, name);
        }
    }

    /// The part's shards by index, each with its sorted names; shard 0 is among them.
    pub(super) fn into_shards(mut self) -> impl Iterator<Item = (u32, BTreeSet<&'a Name>)> {
        if !self.shards.contains_key(&0)
            && let Some((_, last)) = self.shards.pop_last()
        {
            self.shards.insert(0, last);
        }
        self.shards.into_iter().map(|(index, shard)| (index, shard.names))
    }

    fn place(&mut self, domain: &'a str) -> u32 {
        let of_domain = self.open_by_domain.get_mut(domain);
        if let Some(index) = of_domain.and_then(|open| first_open(open, &self.shards, self.cap)) {
            return index;
        }
        if self.strategy == Strategy::Fill
            && let Some(index) = first_open(&mut self.open, &self.shards, self.cap)
        {
            return index;
        }
        while self.shards.contains_key(&self.lowest_free) {
            self.lowest_free += 1;
        }
        self.lowest_free
    }

    fn put(&mut self, index: u32, domain: &'a str, name: &'a Name) {
        let shard = self.shards.entry(index).or_default();
        shard.names.insert(name);
        let is_new_domain = shard.domains.insert(domain);
        let was_changed = std::mem::replace(&mut shard.changed, true);
        if shard.names.len() >= self.cap {
            return;
        }
        let candidate = Candidate {
            unchanged: false,
            index,
        };
        if !was_changed {
            self.open.insert(candidate);
            for known in &shard.domains {
                self.open_by_domain.entry(known).or_default().insert(candidate);
            }
        } else if is_new_domain {
            self.open_by_domain.entry(domain).or_default().insert(candidate);
        }
    }
}

/// The best shard with room. What has none is dropped for good: no shard loses names any more.
fn first_open(open: &mut BTreeSet<Candidate>, shards: &BTreeMap<u32, Shard<'_>>, cap: usize) -> Option<u32> {
    while let Some(candidate) = open.first() {
        let index = candidate.index;
        if shards.get(&index).is_some_and(|shard| shard.names.len() < cap) {
            return Some(index);
        }
        open.pop_first();
    }
    None
}

/// The registered domain with the most of the sorted `names`, the first one of several.
fn most_frequent<'a>(names: &[(&'a str, &'a Name)]) -> Option<&'a str> {
    let mut best: Option<(usize, &'a str)> = None;
    for run in names.chunk_by(|(one, _), (other, _)| one == other) {
        let Some((domain, _)) = run.first() else { continue };
        if best.is_none_or(|(most, _)| run.len() > most) {
            best = Some((run.len(), domain));
        }
    }
    best.map(|(_, domain)| domain)
}
