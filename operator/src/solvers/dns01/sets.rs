//! Record sets of which one value is added or removed, at providers that know whole sets alone.
//!
//! guess → compare-and-swap → on a conflict read → compare-and-swap
//!
//! Several values stand under one name: of a domain and its wildcard, of several Certificates, of other clusters. To read
//! a set, add to it and write it back loses what another wrote in between. So a change names the whole set that it takes
//! the place of, and the provider carries it out only if that is what is there. Most often nothing is there before, and
//! nothing but one's own values after; so that is tried first, unread, for all names in one request.

use std::collections::BTreeMap;

use super::TxtRecord;
use super::fault::{DnsFault, PROVIDER_THROTTLES};

/// How long resolvers may keep a record: CAs keep none, and what is answered must not be old for long.
pub(super) const TTL: u32 = 60;
/// How often a change is tried that others are in the way of.
const MOST_ROUNDS: usize = 8;
/// After so many tries nothing is guessed any more.
const QUICK_ROUNDS: usize = 2;

/// The TXT records at a name, as the provider writes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Set {
    pub(super) ttl: u32,
    /// As [`Zone::written`].
    pub(super) values: Vec<String>,
    /// Its version, where the provider has such.
    pub(super) version: Option<String>,
}

/// What takes the place of what at a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SetChange {
    pub(super) name: String,
    /// What is there now; the change is refused if it is something else.
    pub(super) old: Option<Set>,
    pub(super) new: Option<Set>,
}

/// What became of changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Applied {
    /// All of them are carried out.
    Done,
    /// Something else is there at these names; at which, was not said if there are none.
    Differs(Vec<String>),
}

/// What is wanted of values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    /// They are there.
    There,
    /// They are not.
    Gone,
}

/// What is known of the set at a name.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Known {
    /// Nothing: it is taken for what it most often is.
    Guessed,
    /// It was read.
    Read(Option<Set>),
}

/// A zone whose record sets can be read and exchanged.
pub(super) trait Zone {
    /// Whether a set can be removed by its values alone, without being read.
    const REMOVES_UNREAD: bool = true;

    /// A value as the provider writes it: most have it in quotation marks, as zone files do. One of a challenge has no
    /// character that would be escaped (RFC 8555 §8.4).
    fn written(value: &str) -> String {
        format!("\"{value}\"")
    }

    /// The TXT records at `name`.
    async fn read(&self, name: &str) -> Result<Option<Set>, DnsFault>;
    /// Carries all these changes out, or none; those that fit, where a request can have one alone.
    async fn apply(&self, changes: &[SetChange]) -> Result<Applied, DnsFault>;
}

/// Has the values of `records` there or gone in `zone`, whatever else stands under their names.
///
/// # Errors
/// [`DnsFault`] says why some may not be as wanted.
pub(super) async fn bring_about<Z: Zone>(
    zone: &Z,
    wish: Wish,
    records: &[&TxtRecord],
) -> Result<(), DnsFault> {
    let mut values: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for record in records {
        values
            .entry(&record.name)
            .or_default()
            .push(Z::written(&record.value));
    }
    let mut known: BTreeMap<&str, Known> = values.keys().map(|name| (*name, Known::Guessed)).collect();
    if wish == Wish::Gone && !Z::REMOVES_UNREAD {
        for (name, known) in &mut known {
            *known = Known::Read(zone.read(name).await?);
        }
    }
    for round in 0..MOST_ROUNDS {
        let changes: Vec<SetChange> = values
            .iter()
            .filter_map(|(name, values)| change(wish, name, values, &known[name]))
            .collect();
        if changes.is_empty() {
            return Ok(());
        }
        let names = match zone.apply(&changes).await? {
            Applied::Done => return Ok(()),
            Applied::Differs(names) => names,
        };
        let is_told = |name: &str| names.iter().any(|told| told.eq_ignore_ascii_case(name));
        let none_told = !values.keys().any(|name| is_told(name));
        for (name, known) in &mut known {
            // Some providers tell of one at a time.
            let is_doubtful = none_told || (round >= QUICK_ROUNDS && *known == Known::Guessed);
            if is_doubtful || is_told(name) {
                *known = Known::Read(zone.read(name).await?);
            }
        }
    }
    Err(DnsFault::new(
        PROVIDER_THROTTLES,
        "others change the same TXT records all the time: tried again later",
    ))
}

/// What is to be done at a name; nothing if all is as wanted.
fn change(wish: Wish, name: &str, values: &[String], known: &Known) -> Option<SetChange> {
    let own = || Set {
        ttl: TTL,
        values: values.to_vec(),
        version: None,
    };
    let (old, new) = match (wish, known) {
        (Wish::There, Known::Guessed | Known::Read(None)) => (None, Some(own())),
        (Wish::Gone, Known::Guessed) => (Some(own()), None),
        (Wish::Gone, Known::Read(None)) => return None,
        (Wish::There, Known::Read(Some(old))) => {
            let missing: Vec<String> = values
                .iter()
                .filter(|value| !old.values.contains(value))
                .cloned()
                .collect();
            if missing.is_empty() {
                return None;
            }
            let mut new = old.clone();
            new.values.extend(missing);
            (Some(old.clone()), Some(new))
        }
        (Wish::Gone, Known::Read(Some(old))) => {
            let mut new = old.clone();
            new.values.retain(|value| !values.contains(value));
            if new.values.len() == old.values.len() {
                return None;
            }
            let new = (!new.values.is_empty()).then_some(new);
            (Some(old.clone()), new)
        }
    };
    Some(SetChange {
        name: name.to_owned(),
        old,
        new,
    })
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::BTreeSet;

    use futures::FutureExt;
    use proptest::prelude::*;

    use super::*;

    /// A zone that carries out what matches, and in which somebody else does something before each request.
    #[derive(Default)]
    struct Shared {
        sets: RefCell<BTreeMap<String, Set>>,
        others: RefCell<Vec<(String, String, Wish)>>,
        tells_names: bool,
        requests: RefCell<usize>,
    }

    impl Shared {
        fn of_others(&self) {
            *self.requests.borrow_mut() += 1;
            let Some((name, value, wish)) = self.others.borrow_mut().pop() else {
                return;
            };
            let mut sets = self.sets.borrow_mut();
            let set = sets.entry(name.clone()).or_insert(Set {
                ttl: 300,
                values: Vec::new(),
                version: None,
            });
            set.values.retain(|known| *known != value);
            if wish == Wish::There {
                set.values.push(value);
            }
            if set.values.is_empty() {
                sets.remove(&name);
            }
        }
    }

    fn same(a: Option<&Set>, b: Option<&Set>) -> bool {
        let parts = |set: &Set| (set.ttl, set.values.iter().cloned().collect::<BTreeSet<_>>());
        a.map(parts) == b.map(parts)
    }

    impl Zone for Shared {
        async fn read(&self, name: &str) -> Result<Option<Set>, DnsFault> {
            self.of_others();
            Ok(self.sets.borrow().get(name).cloned())
        }

        async fn apply(&self, changes: &[SetChange]) -> Result<Applied, DnsFault> {
            self.of_others();
            let mut sets = self.sets.borrow_mut();
            let differing: Vec<String> = changes
                .iter()
                .filter(|change| !same(sets.get(&change.name), change.old.as_ref()))
                .map(|change| change.name.clone())
                .collect();
            if !differing.is_empty() {
                return Ok(Applied::Differs(if self.tells_names {
                    differing
                } else {
                    Vec::new()
                }));
            }
            for change in changes {
                match &change.new {
                    Some(new) => _ = sets.insert(change.name.clone(), new.clone()),
                    None => _ = sets.remove(&change.name),
                }
            }
            Ok(Applied::Done)
        }
    }

    fn record(name: &str, value: &str) -> TxtRecord {
        TxtRecord {
            zone: "a.example".into(),
            name: name.into(),
            value: value.into(),
            domain: "a.example".into(),
        }
    }

    #[test]
    fn values_that_stand_alone_cost_one_request_each_way_however_many_they_are() {
        let zone = Shared::default();
        let records: Vec<TxtRecord> = (0..50)
            .flat_map(|n| [record(&format!("n{n}"), "one"), record(&format!("n{n}"), "two")])
            .collect();
        let all: Vec<&TxtRecord> = records.iter().collect();
        bring_about(&zone, Wish::There, &all)
            .now_or_never()
            .unwrap()
            .unwrap();
        assert_eq!(zone.sets.borrow().len(), 50);
        assert_eq!(zone.sets.borrow()["n7"].values, ["\"one\"", "\"two\""]);
        bring_about(&zone, Wish::Gone, &all)
            .now_or_never()
            .unwrap()
            .unwrap();
        assert!(zone.sets.borrow().is_empty());
        assert_eq!(*zone.requests.borrow(), 2);
    }

    proptest! {
        #[test]
        fn ones_own_values_come_and_go_and_those_of_others_stay(
            others in prop::collection::vec((0..3_usize, 0..3_usize, any::<bool>()), 0..6),
            there in any::<bool>(),
            before in prop::collection::vec((0..3_usize, 0..2_usize), 0..4),
            tells_names in any::<bool>(),
        ) {
            let zone = Shared { tells_names, ..Shared::default() };
            let wish = if there { Wish::There } else { Wish::Gone };
            let name = |n: usize| format!("n{n}");
            // What others have done by then, in order: a stack is taken from its end.
            let story: Vec<_> = others
                .iter()
                .map(|(n, v, there)| (name(*n), format!("\"other{v}\""), if *there { Wish::There } else { Wish::Gone }))
                .collect();
            *zone.others.borrow_mut() = story.iter().rev().cloned().collect();
            for (n, own) in &before {
                let mut sets = zone.sets.borrow_mut();
                let set = sets.entry(name(*n)).or_insert(Set { ttl: 120, values: Vec::new(), version: None });
                let value = format!("\"own{own}\"");
                if !set.values.contains(&value) {
                    set.values.push(value);
                }
            }
            let records: Vec<TxtRecord> = (0..3)
                .flat_map(|n| [record(&name(n), "own0"), record(&name(n), "own1")])
                .collect();
            let all: Vec<&TxtRecord> = records.iter().collect();
            bring_about(&zone, wish, &all).now_or_never().unwrap().unwrap();
            let done = story.len() - zone.others.borrow().len();
            let mut of_others: BTreeSet<(String, String)> = BTreeSet::new();
            for (name, value, wish) in &story[..done] {
                let key = (name.clone(), value.clone());
                if *wish == Wish::There { of_others.insert(key); } else { of_others.remove(&key); }
            }
            for n in 0..3 {
                let sets = zone.sets.borrow();
                let values: BTreeSet<&str> = sets.get(&name(n))
                    .map(|set| set.values.iter().map(String::as_str).collect()).unwrap_or_default();
                for own in ["\"own0\"", "\"own1\""] {
                    prop_assert_eq!(values.contains(own), there);
                }
                let theirs = values.iter().filter(|v| v.starts_with("\"other")).count();
                prop_assert_eq!(theirs, of_others.iter().filter(|(at, _)| *at == name(n)).count());
                prop_assert!(sets.get(&name(n)).is_none_or(|set| !set.values.is_empty()));
            }
        }
    }
}
