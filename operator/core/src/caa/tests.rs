use proptest::prelude::*;

use super::*;

const ACCOUNT: &str = "https://ca.example/acct/1";

fn record(tag: &str, value: &str) -> Record {
    Record {
        critical: false,
        tag: tag.to_owned(),
        value: value.into(),
    }
}

fn critical(tag: &str, value: &str) -> Record {
    Record {
        critical: true,
        ..record(tag, value)
    }
}

/// The verdict on a name in `example.com` of the CA `ca.example`, also known as `other-name.example`.
fn judged(name: &str, kind: ChallengeKind, records: &[Record]) -> Verdict {
    let identities = ["ca.example", "other-name.example"].map(str::to_owned);
    let asker = Asker {
        identities: &identities,
        account: ACCOUNT,
    };
    let mut looks = Looks::default();
    looks.learn("www.example.com", Look::Nothing);
    looks.learn(
        "example.com",
        Look::Records {
            owner: "example.com".to_owned(),
            records: records.to_vec(),
        },
    );
    looks.verdict(name, kind, asker)
}

fn bar(verdict: &Verdict) -> Option<Bar> {
    match verdict {
        Verdict::Allowed => None,
        Verdict::Forbidden { bar, .. } => Some(*bar),
        Verdict::Unknown(why) => panic!("unknown: {why}"),
    }
}

#[test]
fn each_set_of_records_is_judged_as_the_rfcs_have_it() {
    use Bar::{Account, Critical, Everybody, Method, Others};
    let http = ChallengeKind::Http01;
    let long = format!("ca.example; accounturi={ACCOUNT}");
    let both = format!("ca.example ; validationmethods=dns-01,http-01 ;accounturi = {ACCOUNT}");
    let twice = format!("ca.example; accounturi={ACCOUNT}; accounturi={ACCOUNT}");
    // Each record as flags, tag and value; what forbids a host; what forbids a wildcard, which is validated by dns-01.
    type Row<'a> = (&'a [(u8, &'a str, &'a str)], Option<Bar>, Option<Bar>);
    let rows: &[Row<'_>] = &[
        (&[], None, None),
        (&[(0, "issue", "ca.example")], None, None),
        (&[(0, "ISSUE", "CA.Example")], None, None),
        (&[(0, "issue", "\tca.example ")], None, None),
        (&[(0, "issue", "ca.example;")], None, None),
        (&[(0, "issue", "ca.example; policy=ev")], None, None),
        (&[(0, "issue", "other-name.example")], None, None),
        (&[(128, "issue", "ca.example")], None, None),
        (&[(0, "issue", "else.example")], Some(Others), Some(Others)),
        (&[(0, "issue", "sub.ca.example")], Some(Others), Some(Others)),
        (
            &[(0, "issue", "else.example"), (0, "issue", "ca.example")],
            None,
            None,
        ),
        (&[(0, "issue", ";")], Some(Everybody), Some(Everybody)),
        (&[(0, "issue", "")], Some(Everybody), Some(Everybody)),
        (&[(0, "issue", "%%%%%")], Some(Everybody), Some(Everybody)),
        (&[(0, "issue", "ca.example.")], Some(Everybody), Some(Everybody)),
        (&[(0, "issue", "-ca.example")], Some(Everybody), Some(Everybody)),
        (
            &[(0, "issue", "ca.example; a=b;")],
            Some(Everybody),
            Some(Everybody),
        ),
        (
            &[(0, "issue", "ca.example; junk")],
            Some(Everybody),
            Some(Everybody),
        ),
        (&[(0, "issue", ";"), (0, "issue", "ca.example")], None, None),
        // Wildcards have properties of their own, if there are any.
        (&[(0, "issuewild", ";")], None, Some(Everybody)),
        (&[(0, "issuewild", "ca.example")], None, None),
        (
            &[(0, "issue", "ca.example"), (0, "issuewild", "else.example")],
            None,
            Some(Others),
        ),
        (
            &[(0, "issue", ";"), (0, "issuewild", "ca.example")],
            Some(Everybody),
            None,
        ),
        // What is neither restricts nobody, unless it has to be understood.
        (&[(0, "iodef", "mailto:a@example.com")], None, None),
        (&[(0, "unheard-of", "x")], None, None),
        (&[(128, "iodef", "mailto:a@example.com")], None, None),
        (&[(128, "issuemail", ";")], None, None),
        (
            &[(0, "issue", "ca.example"), (128, "tbs", "Unknown")],
            Some(Critical),
            Some(Critical),
        ),
        // RFC 8657.
        (&[(0, "issue", &long)], None, None),
        (&[(0, "issue", &both)], None, None),
        (
            &[(0, "issue", "ca.example; accounturi=https://ca.example/acct/2")],
            Some(Account),
            Some(Account),
        ),
        (&[(0, "issue", &twice)], Some(Account), Some(Account)),
        (
            &[
                (0, "issue", "ca.example; accounturi=https://ca.example/acct/2"),
                (0, "issue", &long),
            ],
            None,
            None,
        ),
        (
            &[(0, "issue", "ca.example; validationmethods=dns-01")],
            Some(Method),
            None,
        ),
        (
            &[(0, "issue", "ca.example; validationmethods=unheard-of,http-01")],
            None,
            Some(Method),
        ),
        (
            &[(0, "issue", "ca.example; validationmethods=")],
            Some(Method),
            Some(Method),
        ),
        (
            &[(0, "issue", "else.example; validationmethods=http-01")],
            Some(Others),
            Some(Others),
        ),
    ];
    for (records, host, wildcard) in rows {
        let set: Vec<Record> = records
            .iter()
            .map(|(flags, tag, value)| Record {
                critical: flags & 128 != 0,
                ..record(tag, value)
            })
            .collect();
        let of = |name, kind| bar(&judged(name, kind, &set));
        assert_eq!(of("www.example.com", http), *host, "{records:?}");
        assert_eq!(
            of("*.example.com", ChallengeKind::Dns01),
            *wildcard,
            "{records:?}"
        );
    }
}

fn words(name: &str, kind: ChallengeKind, records: &[Record]) -> String {
    match judged(name, kind, records) {
        Verdict::Forbidden { words, .. } => words,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_forbids_is_told_with_where_it_stands_and_the_record_that_mends_it() {
    let (http, dns) = (ChallengeKind::Http01, ChallengeKind::Dns01);
    assert_eq!(
        words(
            "www.example.com",
            http,
            &[record("issue", "else.example"), record("issue", "third.example")]
        ),
        "CAA lets other CAs alone issue for it (example.com. CAA 0 issue \"else.example\", and 1 more): add example.com. \
         CAA 0 issue \"ca.example\", or choose an issuer whose CA is let"
    );
    let of = |name, kind, record| words(name, kind, &[record]);
    for (told, parts) in [
        (
            of("*.example.com", dns, record("issuewild", ";")),
            [
                "lets nobody issue wildcards",
                "add example.com. CAA 0 issuewild \"ca.example\"",
            ],
        ),
        (
            of("www.example.com", http, record("issue", "%%%%%")),
            ["malformed", "\"%%%%%\""],
        ),
        (
            of(
                "www.example.com",
                http,
                record(
                    "issue",
                    "ca.example; accounturi=https://ca.example/acct/2; validationmethods=dns-01",
                ),
            ),
            [
                "lets another account alone",
                "replace it by example.com. CAA 0 issue \"ca.example; accounturi=https://ca.example/acct/1; \
                 validationmethods=dns-01,http-01\"",
            ],
        ),
        (
            of(
                "www.example.com",
                http,
                record("issue", "ca.example; validationmethods=dns-01"),
            ),
            [
                "other ways of validation alone",
                "CAA 0 issue \"ca.example; validationmethods=dns-01,http-01\"",
            ],
        ),
        (
            of("www.example.com", http, critical("tbs", "Unknown")),
            [
                "example.com. CAA 128 tbs \"Unknown\" is critical",
                "write 0 in the place of its flags",
            ],
        ),
    ] {
        for part in parts {
            assert!(told.contains(part), "{part:?} is not in {told:?}");
        }
    }
}

#[test]
fn the_nearest_domain_with_records_counts_and_each_is_looked_at_once() {
    let identities = ["ca.example".to_owned()];
    let asker = Asker {
        identities: &identities,
        account: ACCOUNT,
    };
    let names = [
        "a.shop.example.com",
        "b.shop.example.com",
        "*.shop.example.com",
        "192.0.2.1",
        "2001:db8::1",
    ];
    let mut looks = Looks::default();
    let mut rounds = Vec::new();
    loop {
        let missing = looks.missing(names);
        if missing.is_empty() {
            break;
        }
        for domain in &missing {
            let look = match *domain {
                "b.shop.example.com" => Look::Records {
                    owner: "elsewhere.example".to_owned(),
                    records: vec![record("issue", "ca.example")],
                },
                "example.com" => Look::Records {
                    owner: "example.com".to_owned(),
                    records: vec![record("issue", ";")],
                },
                _ => Look::Nothing,
            };
            looks.learn(domain, look);
        }
        rounds.push(missing.into_iter().collect::<Vec<_>>());
    }
    assert_eq!(
        rounds,
        [
            vec!["a.shop.example.com", "b.shop.example.com", "shop.example.com"],
            vec!["example.com"],
        ]
    );
    let verdicts = names.map(|name| bar(&looks.verdict(name, ChallengeKind::Http01, asker)));
    let nobody = Some(Bar::Everybody);
    assert_eq!(verdicts, [nobody, None, nobody, None, None]);
}

#[test]
fn what_cannot_be_looked_up_is_unknown_and_the_walk_ends_there() {
    let identities = ["ca.example".to_owned()];
    let asker = Asker {
        identities: &identities,
        account: ACCOUNT,
    };
    let mut looks = Looks::default();
    looks.learn("www.example.com", Look::Unknown("SERVFAIL".to_owned()));
    assert!(looks.missing(["www.example.com"]).is_empty());
    let verdict = looks.verdict("www.example.com", ChallengeKind::Http01, asker);
    assert_eq!(verdict, Verdict::Unknown("SERVFAIL".to_owned()));
    let verdict = looks.verdict("never.example.com", ChallengeKind::Http01, asker);
    assert!(matches!(verdict, Verdict::Unknown(_)));
}

fn some_record() -> impl Strategy<Value = Record> {
    let value = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..300),
        "[ \t]{0,2}(ca|else|-)?\\.?(example)?[ \t]{0,2}(;[ a-z=,;:/.0-9-]{0,40})?"
            .prop_map(String::into_bytes),
    ];
    let tag = prop_oneof![
        Just("issue".to_owned()),
        Just("issuewild".to_owned()),
        Just("iodef".to_owned()),
        any::<String>(),
    ];
    (any::<bool>(), tag, value).prop_map(|(critical, tag, value)| Record { critical, tag, value })
}

proptest! {
    #[test]
    fn the_order_of_records_does_not_matter_and_words_are_few(
        records in prop::collection::vec(some_record(), 0..12),
        rotated in 0usize..12,
        is_wildcard in any::<bool>(),
    ) {
        let (name, kind) = match is_wildcard {
            true => ("*.example.com", ChallengeKind::Dns01),
            false => ("www.example.com", ChallengeKind::Http01),
        };
        let verdict = judged(name, kind, &records);
        let mut other = records.clone();
        other.rotate_left(rotated % records.len().max(1));
        other.reverse();
        let again = judged(name, kind, &other);
        let is_ours = |bar: Option<Bar>| bar.is_some_and(is_of_us);
        // Of two records that name this CA in vain either may be told.
        if is_ours(bar(&verdict)) {
            prop_assert!(is_ours(bar(&again)));
        } else {
            prop_assert_eq!(bar(&verdict), bar(&again));
        }
        if let Verdict::Forbidden { words, .. } = verdict {
            prop_assert!(words.chars().count() <= 900, "{}", words);
            prop_assert!(!words.chars().any(char::is_control), "{}", words);
        }
    }

    #[test]
    fn one_more_record_that_names_this_ca_lets_it_issue_unless_one_is_critical(
        records in prop::collection::vec(some_record(), 0..12),
    ) {
        let mut records = records;
        records.push(record("issue", "ca.example"));
        let verdict = judged("www.example.com", ChallengeKind::Http01, &records);
        prop_assert!(matches!(bar(&verdict), None | Some(Bar::Critical)));
    }

    #[test]
    fn what_the_advice_says_mends_it(records in prop::collection::vec(some_record(), 1..8)) {
        let verdict = judged("www.example.com", ChallengeKind::Http01, &records);
        let Verdict::Forbidden { bar: told, words } = verdict else { return Ok(()) };
        prop_assume!(told != Bar::Critical);
        // The record stands at the end, in quotes.
        let (_, advised) = words.rsplit_once("CAA 0 issue \"").unwrap();
        let (value, _) = advised.rsplit_once('"').unwrap();
        prop_assume!(!value.contains('…'));
        let mended = [&records[..], &[record("issue", value)]].concat();
        prop_assert_eq!(bar(&judged("www.example.com", ChallengeKind::Http01, &mended)), None);
    }

    #[test]
    fn the_walk_goes_up_by_one_label_and_ends(labels in prop::collection::vec("[a-z0-9]{1,9}", 1..130)) {
        let name = labels.join(".");
        let walk: Vec<&str> = domains(&name).collect();
        prop_assume!(name.parse::<IpAddr>().is_err());
        prop_assert_eq!(walk.len(), labels.len().min(MOST_LEVELS));
        for (index, domain) in walk.iter().enumerate() {
            let expected = labels[index..].join(".");
            prop_assert_eq!(*domain, expected.as_str());
        }
    }
}
