//! What holds of every plan.

use std::collections::BTreeSet;

use proptest::prelude::{
    Just, ProptestConfig, Strategy as Generator, any, prop, prop_assert, prop_assert_eq, prop_assume,
    proptest,
};
use proptest::sample::subsequence;

use super::{Group, Plan, PlannedShard, Policy, Strategy, plan};
use crate::names::Name;

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

/// The shards that need an order: those of `after` that are not the same in `before`.
fn reissued<'a>(before: &Plan, after: &'a Plan) -> Vec<&'a PlannedShard> {
    after
        .shards
        .iter()
        .filter(|shard| !before.shards.contains(shard))
        .collect()
}

/// Forty-eight names under six registered domains.
fn universe() -> Vec<Name> {
    [
        "one.com",
        "two.com",
        "three.co.uk",
        "four.org",
        "five.net",
        "six.de",
    ]
    .iter()
    .flat_map(|domain| (0..8).map(move |i| name(&format!("h{i}.{domain}"))))
    .collect()
}

fn some_names() -> impl Generator<Value = BTreeSet<Name>> {
    subsequence(universe(), 0..=48).prop_map(|names| names.into_iter().collect())
}

fn some_policy() -> impl Generator<Value = Policy> {
    (
        1usize..7,
        any::<bool>(),
        subsequence(universe(), 0..12),
        any::<prop::sample::Index>(),
    )
        .prop_map(|(cap, by_domain, mut grouped, cut)| {
            let rest = grouped.split_off(cut.index(grouped.len() + 1));
            let groups = [
                Group {
                    name: "eu".to_owned(),
                    names: grouped,
                },
                Group {
                    name: "us".to_owned(),
                    names: rest,
                },
            ];
            let strategy = if by_domain {
                Strategy::RegisteredDomain
            } else {
                Strategy::Fill
            };
            Policy::new(cap, strategy, &groups).unwrap()
        })
}

/// Whatever may be found: gaps, duplicates, strangers, shards twice, over any cap, in any order.
fn some_assignment() -> impl Generator<Value = Vec<PlannedShard>> {
    let group = prop::option::of(prop::sample::select(vec!["eu", "us", "gone"]));
    let names = prop::collection::vec(prop::sample::select(universe()), 0..10);
    prop::collection::vec((group, 0u32..6, names), 0..12).prop_map(|shards| {
        shards
            .into_iter()
            .map(|(group, index, names)| PlannedShard {
                group: group.map(str::to_owned),
                index,
                names,
            })
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn every_name_is_in_exactly_one_shard_and_no_shard_is_over_the_cap(
        names in some_names(), policy in some_policy(), today in some_assignment(),
    ) {
        let plan = plan(&names, &policy, &today);
        let planned: Vec<&Name> = plan.shards.iter().flat_map(|shard| &shard.names).collect();
        prop_assert_eq!(planned.len(), names.len());
        prop_assert_eq!(planned.into_iter().cloned().collect::<BTreeSet<_>>(), names);
        let places: BTreeSet<_> = plan.shards.iter().map(|s| (s.group.clone(), s.index)).collect();
        prop_assert_eq!(places.len(), plan.shards.len());
        for shard in &plan.shards {
            prop_assert!(!shard.names.is_empty() && shard.names.len() <= policy.cap());
            prop_assert!(shard.names.is_sorted());
            prop_assert!(shard.names.iter().all(|name| policy.group_of(name) == shard.group.as_deref()));
            prop_assert!(places.contains(&(shard.group.clone(), 0)));
            if policy.strategy() == Strategy::RegisteredDomain {
                let domains: BTreeSet<_> =
                    shard.names.iter().map(crate::names::registered_domain).collect();
                prop_assert_eq!(domains.len(), 1);
            }
        }
    }

    #[test]
    fn the_plan_of_a_plan_is_itself_however_it_is_listed(
        names in some_names(), policy in some_policy(), today in some_assignment(),
    ) {
        let made = plan(&names, &policy, &today);
        let mut listed = made.shards.clone();
        listed.reverse();
        listed.iter_mut().for_each(|shard| shard.names.reverse());
        prop_assert_eq!(plan(&names, &policy, &listed).hash(), made.hash());
        prop_assert_eq!(plan(&names, &policy, &listed), made);
    }

    #[test]
    fn the_order_of_the_assignment_does_not_matter(
        names in some_names(), policy in some_policy(),
        (one, other) in some_assignment().prop_flat_map(|today| (Just(today.clone()), Just(today).prop_shuffle())),
    ) {
        prop_assert_eq!(plan(&names, &policy, &one), plan(&names, &policy, &other));
    }

    #[test]
    fn one_name_more_changes_one_shard(
        names in some_names(), policy in some_policy(), today in some_assignment(), new in prop::sample::select(universe()),
    ) {
        prop_assume!(!names.contains(&new));
        let before = plan(&names, &policy, &today);
        let mut more = names.clone();
        more.insert(new);
        let after = plan(&more, &policy, &before.shards);
        prop_assert_eq!(reissued(&before, &after).len(), 1);
    }

    #[test]
    fn one_name_less_changes_at_most_one_shard(
        names in some_names(), policy in some_policy(), today in some_assignment(), old in any::<prop::sample::Index>(),
    ) {
        prop_assume!(!names.is_empty());
        let before = plan(&names, &policy, &today);
        let mut less = names.clone();
        let old = names.iter().nth(old.index(names.len())).unwrap();
        less.remove(old);
        let after = plan(&less, &policy, &before.shards);
        prop_assert!(reissued(&before, &after).len() <= 1);
    }

    #[test]
    fn k_edits_change_at_most_k_shards(
        names in some_names(), policy in some_policy(), today in some_assignment(), edits in subsequence(universe(), 0..20),
    ) {
        let before = plan(&names, &policy, &today);
        let edited: BTreeSet<Name> = names.symmetric_difference(&edits.iter().cloned().collect()).cloned().collect();
        let after = plan(&edited, &policy, &before.shards);
        prop_assert!(reissued(&before, &after).len() <= edits.len());
    }

    #[test]
    fn a_name_stays_where_it_is_unless_a_rule_moves_it(
        names in some_names(), policy in some_policy(), today in some_assignment(), edits in subsequence(universe(), 0..20),
    ) {
        let before = plan(&names, &policy, &today);
        let edited: BTreeSet<Name> = names.symmetric_difference(&edits.iter().cloned().collect()).cloned().collect();
        let after = plan(&edited, &policy, &before.shards);
        for shard in &after.shards {
            // The last shard may have become the first; every other name stays.
            if shard.index == 0 { continue }
            let old = before.shards.iter().find(|s| (&s.group, s.index) == (&shard.group, shard.index));
            for name in shard.names.iter().filter(|name| names.contains(*name)) {
                prop_assert!(old.is_some_and(|old| old.names.contains(name)), "{} moved", name);
            }
        }
    }
}
