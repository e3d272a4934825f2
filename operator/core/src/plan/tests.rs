use super::*;

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn set<'a>(names: impl IntoIterator<Item = &'a str>) -> BTreeSet<Name> {
    names.into_iter().map(name).collect()
}

fn policy(cap: usize, strategy: Strategy) -> Policy {
    Policy::new(cap, strategy, &[]).unwrap()
}

fn shard(index: u32, names: &[&str]) -> PlannedShard {
    PlannedShard {
        group: None,
        index,
        names: names.iter().map(|text| name(text)).collect(),
    }
}

fn group(group: &str, index: u32, names: &[&str]) -> PlannedShard {
    PlannedShard {
        group: Some(group.to_owned()),
        ..shard(index, names)
    }
}

fn hosts(count: usize) -> BTreeSet<Name> {
    (0..count)
        .map(|i| name(&format!("host-{i}.example.com")))
        .collect()
}

fn sizes(plan: &Plan) -> Vec<usize> {
    plan.shards.iter().map(|shard| shard.names.len()).collect()
}

/// The shards that need an order: those of `after` that are not the same in `before`.
fn reissued<'a>(before: &Plan, after: &'a Plan) -> Vec<&'a PlannedShard> {
    after
        .shards
        .iter()
        .filter(|shard| !before.shards.contains(shard))
        .collect()
}

#[test]
fn forty_two_names_at_twenty_a_shard_are_three_shards() {
    assert_eq!(
        sizes(&plan(&hosts(42), &policy(20, Strategy::Fill), &[])),
        [20, 20, 2]
    );
}

#[test]
fn a_fresh_plan_keeps_registered_domains_together_and_fills_to_the_cap() {
    let names = set(["a.one.com", "b.two.com", "b.one.com", "a.two.com", "c.two.com"]);
    assert_eq!(
        plan(&names, &policy(3, Strategy::Fill), &[]).shards,
        [
            shard(0, &["a.one.com", "a.two.com", "b.one.com"]),
            shard(1, &["b.two.com", "c.two.com"])
        ]
    );
}

#[test]
fn by_registered_domain_no_shard_mixes_two() {
    let names = set(["a.one.com", "b.one.com", "c.one.com", "a.two.com"]);
    assert_eq!(
        plan(&names, &policy(2, Strategy::RegisteredDomain), &[]).shards,
        [
            shard(0, &["a.one.com", "b.one.com"]),
            shard(1, &["c.one.com"]),
            shard(2, &["a.two.com"])
        ]
    );
}

#[test]
fn a_new_name_goes_to_its_domain_then_to_any_room_then_to_a_new_shard() {
    let today = [shard(0, &["a.one.com", "b.one.com"]), shard(1, &["a.two.com"])];
    let mut names = set(["a.one.com", "b.one.com", "a.two.com", "b.two.com"]);
    let fill = policy(3, Strategy::Fill);
    let with_two = plan(&names, &fill, &today);
    assert_eq!(with_two.shards[1].names.len(), 2);
    names.insert(name("a.three.com"));
    let with_three = plan(&names, &fill, &with_two.shards);
    assert_eq!(with_three.shards[0].names.len(), 3);
    names.extend(set(["b.three.com", "c.three.com"]));
    assert_eq!(sizes(&plan(&names, &fill, &with_three.shards)), [3, 3, 1]);
}

#[test]
fn a_new_name_prefers_a_shard_that_changes_anyway() {
    let today = [
        shard(0, &["a.one.com"]),
        shard(1, &["a.two.com", "b.two.com"]),
        shard(2, &["a.three.com"]),
    ];
    let names = set([
        "a.one.com",
        "a.two.com",
        "a.three.com",
        "a.four.com",
        "a.five.com",
    ]);
    let before = Plan {
        shards: today.to_vec(),
    };
    let after = plan(&names, &policy(3, Strategy::Fill), &today);
    assert_eq!(
        reissued(&before, &after),
        [&shard(1, &["a.five.com", "a.four.com", "a.two.com"])]
    );
}

#[test]
fn a_new_shard_takes_the_lowest_free_index() {
    let today = [shard(0, &["a.one.com"]), shard(2, &["b.one.com"])];
    let names = set(["a.one.com", "b.one.com", "c.one.com"]);
    assert_eq!(
        plan(&names, &policy(1, Strategy::Fill), &today).shards[1],
        shard(1, &["c.one.com"])
    );
}

#[test]
fn a_lowered_cap_moves_only_what_is_over_it() {
    let today = plan(&hosts(10), &policy(5, Strategy::Fill), &[]);
    let lower = plan(&hosts(10), &policy(4, Strategy::Fill), &today.shards);
    assert_eq!(sizes(&lower), [4, 4, 2]);
    for (before, after) in today.shards.iter().zip(&lower.shards) {
        assert!(after.names.iter().all(|name| before.names.contains(name)));
    }
}

#[test]
fn a_raised_cap_moves_nothing() {
    let today = plan(&hosts(10), &policy(4, Strategy::Fill), &[]);
    assert_eq!(
        plan(&hosts(10), &policy(100, Strategy::Fill), &today.shards),
        today
    );
}

#[test]
fn a_change_to_registered_domain_leaves_the_larger_domain_where_it_is() {
    let today = [shard(0, &["a.one.com", "a.two.com", "b.two.com"])];
    let names = set(["a.one.com", "a.two.com", "b.two.com"]);
    assert_eq!(
        plan(&names, &policy(9, Strategy::RegisteredDomain), &today).shards,
        [shard(0, &["a.two.com", "b.two.com"]), shard(1, &["a.one.com"])]
    );
}

#[test]
fn a_name_that_stands_in_two_shards_stays_in_the_lower() {
    let today = [
        shard(1, &["a.one.com", "c.one.com"]),
        shard(0, &["a.one.com", "b.one.com"]),
    ];
    let names = set(["a.one.com", "b.one.com", "c.one.com"]);
    assert_eq!(
        plan(&names, &policy(2, Strategy::Fill), &today).shards,
        [shard(0, &["a.one.com", "b.one.com"]), shard(1, &["c.one.com"])]
    );
}

#[test]
fn when_the_first_shard_empties_the_last_takes_its_place_as_a_whole() {
    let today = [
        shard(0, &["a.one.com"]),
        shard(1, &["b.one.com"]),
        shard(2, &["c.one.com"]),
    ];
    let names = set(["b.one.com", "c.one.com"]);
    assert_eq!(
        plan(&names, &policy(1, Strategy::Fill), &today).shards,
        [shard(0, &["c.one.com"]), shard(1, &["b.one.com"])]
    );
}

#[test]
fn another_empty_shard_disappears() {
    let today = [
        shard(0, &["a.one.com"]),
        shard(1, &["b.one.com"]),
        shard(2, &["c.one.com"]),
    ];
    let names = set(["a.one.com", "c.one.com"]);
    assert_eq!(
        plan(&names, &policy(1, Strategy::Fill), &today).shards,
        [today[0].clone(), today[2].clone()]
    );
}

#[test]
fn a_group_has_shards_of_its_own_and_a_name_moves_when_its_group_changes() {
    let names = set(["a.one.com", "b.one.com", "c.one.com"]);
    let eu = Group {
        name: "eu".to_owned(),
        names: vec![name("b.one.com"), name("stranger.com")],
    };
    let grouped = Policy::new(9, Strategy::Fill, &[eu]).unwrap();
    let ungrouped = plan(&names, &policy(9, Strategy::Fill), &[]);
    let after = plan(&names, &grouped, &ungrouped.shards);
    assert_eq!(
        after.shards,
        [
            shard(0, &["a.one.com", "c.one.com"]),
            group("eu", 0, &["b.one.com"])
        ]
    );
    assert_eq!(plan(&names, &policy(9, Strategy::Fill), &after.shards), ungrouped);
}

#[test]
fn no_names_are_no_shards() {
    assert_eq!(
        plan(
            &BTreeSet::new(),
            &policy(1, Strategy::Fill),
            &[shard(0, &["a.one.com"])]
        ),
        Plan::default()
    );
}

#[test]
fn bad_policies_are_refused_with_the_way_to_mend_them() {
    let of = |name: &str, names: &[&str]| Group {
        name: name.to_owned(),
        names: names.iter().map(|text| Name::parse(text).unwrap()).collect(),
    };
    let refusal = |groups: &[Group]| Policy::new(1, Strategy::Fill, groups).unwrap_err().to_string();
    assert!(
        Policy::new(0, Strategy::Fill, &[])
            .unwrap_err()
            .to_string()
            .contains("maxNames")
    );
    for bad in ["", "EU", "a.b", "-a", "a-", &"a".repeat(64)] {
        assert!(refusal(&[of(bad, &[])]).contains("not fit"), "{bad:?}");
    }
    assert!(refusal(&[of("a", &[]), of("a", &[])]).contains("two groups called \"a\""));
    assert!(
        refusal(&[of("a", &["x.com"]), of("b", &["x.com"])])
            .contains("x.com is in the groups \"a\" and \"b\"")
    );
    assert!(refusal(&[of("1", &[])]).contains("shard 1"));
    assert!(Policy::new(1, Strategy::Fill, &[of("a", &["x.com", "x.com"])]).is_ok());
}

#[test]
fn the_hash_tells_plans_apart_and_is_stable() {
    let one = Plan {
        shards: vec![shard(0, &["a.one.com", "b.one.com"])],
    };
    let two = Plan {
        shards: vec![shard(0, &["a.one.com"]), shard(1, &["b.one.com"])],
    };
    let grouped = Plan {
        shards: vec![group("g", 0, &["a.one.com", "b.one.com"])],
    };
    let hashes: BTreeSet<String> = [&one, &two, &grouped, &Plan::default()]
        .iter()
        .map(|plan| plan.hash())
        .collect();
    assert_eq!(hashes.len(), 4);
    assert!(hashes.iter().all(|hash| hash.len() == 64));
    assert_eq!(one.hash(), one.clone().hash());
}
