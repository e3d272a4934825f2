use proptest::prelude::*;

use super::*;

const ACCOUNT: &str = "https://ca.example/acct/123";

fn issuers() -> Vec<String> {
    ["authority.example", "ca.example.net"]
        .map(str::to_owned)
        .to_vec()
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// What is said of these values, for a wildcard or not.
fn judged(values: &[&str], wildcard: bool) -> Result<(), Amiss> {
    let issuers = issuers();
    let standing = Standing::new(&issuers, ACCOUNT).unwrap();
    standing.judge(values, wildcard, at(1_800_000_000))
}

#[test]
fn a_record_that_conforms_does() {
    for value in [
        "authority.example;accounturi=https://ca.example/acct/123",
        "authority.example; accounturi=https://ca.example/acct/123",
        "ca.example.net; accounturi=https://ca.example/acct/123",
        " authority.example \t;  accounturi  =\thttps://ca.example/acct/123  ; policy = wildcard ; persistUntil = 4102444800 ",
        "authority.example;ACCOUNTURI=https://ca.example/acct/123;foo=;x-1=%;pOlIcY=wIlDcArD",
        "authority.example;policy=wildcard;accounturi=https://ca.example/acct/123;persistUntil=1800000000",
        "authority.example;policy=notwildcard;accounturi=https://ca.example/acct/123",
    ] {
        assert_eq!(judged(&[value], false), Ok(()), "{value}");
        let is_wide = value
            .to_ascii_lowercase()
            .replace(' ', "")
            .contains("policy=wildcard");
        let expected = if is_wide { Ok(()) } else { Err(Amiss::NoWildcard) };
        assert_eq!(judged(&[value], true), expected, "{value}");
    }
}

#[test]
fn what_does_not_do_is_told_apart() {
    let of = |rest: &str| format!("authority.example;{rest}");
    let ours = "accounturi=https://ca.example/acct/123";
    for (value, words) in [
        (String::new(), "there is none"),
        (format!(";{ours}"), "there is none"),
        (format!("other.example;{ours}"), "there is none"),
        ("a-value-of-something-else".to_owned(), "there is none"),
        (format!("other.example;{ours};{ours}"), "there is none"),
        (format!("Authority.Example.;{ours}"), "not in lower case"),
        ("authority.example".to_owned(), "no accounturi"),
        (of(""), "a semicolon with nothing after it"),
        (of(&format!("{ours};")), "a semicolon with nothing after it"),
        (of("policy=wildcard"), "no accounturi"),
        (of("accounturi="), "no accounturi"),
        (of(&format!("{ours};wrong")), "wrong is no tag=value"),
        (of(&format!("{ours};=abc")), "is no tag"),
        (of(&format!("{ours};bad tag=abc")), "bad tag is no tag"),
        (of(&format!("{ours};-x=abc")), "-x is no tag"),
        (of(&format!("{ours};policy=wild card")), "the value of policy"),
        (of(&format!("{ours};policy=\u{e9}")), "the value of policy"),
        (of(&format!("{ours};{ours}")), "accounturi stands there twice"),
        (of(&format!("{ours};foo=1;FOO=2")), "foo stands there twice"),
        (
            of(&format!("{ours};persistUntil=")),
            "persistUntil is no whole number",
        ),
        (
            of(&format!("{ours};persistUntil=soon")),
            "persistUntil is no whole number",
        ),
        (
            of(&format!("{ours};persistUntil=+1")),
            "persistUntil is no whole number",
        ),
        (
            of(&format!("{ours};persistUntil=9223372036854775808")),
            "persistUntil is no whole number",
        ),
        (
            of(&format!("{ours};persistUntil=1799999999")),
            "good until 2027-01-15T07:59:59Z",
        ),
        (
            of(&format!("{ours};persistUntil=-1")),
            "good until 1969-12-31T23:59:59Z",
        ),
        (
            of(&format!("{ours};persistUntil=-9223372036854775808")),
            "which is over",
        ),
        (
            of("accounturi=https://ca.example/acct/124"),
            "another account, https://ca.example/acct/124",
        ),
        (of("accounturi=https://ca.example/acct/123/"), "another account"),
    ] {
        let amiss = judged(&[&value], false).unwrap_err().to_string();
        assert!(amiss.contains(words), "{value}: {amiss}");
    }
}

#[test]
fn a_moment_within_the_last_second_is_over() {
    let value = format!("authority.example;accounturi={ACCOUNT};persistUntil=100");
    let issuers = issuers();
    let standing = Standing::new(&issuers, ACCOUNT).unwrap();
    assert_eq!(standing.judge(&[&value], false, at(100)), Ok(()));
    let later = Timestamp::from_millisecond(100_001).unwrap();
    assert_eq!(standing.judge(&[&value], false, later), Err(Amiss::Over(100)));
}

#[test]
fn one_good_record_is_enough_and_of_bad_ones_the_nearest_is_told() {
    let good = "authority.example;accounturi=https://ca.example/acct/123";
    let (other, broken) = ("authority.example;accounturi=x", "authority.example;accounturi");
    assert_eq!(judged(&[broken, other, good], false), Ok(()));
    assert_eq!(judged(&[good, other], true), Err(Amiss::NoWildcard));
    assert_eq!(
        judged(&[broken, other], false),
        Err(Amiss::OtherAccount("x".into()))
    );
    assert!(matches!(judged(&["x", broken], false), Err(Amiss::Unreadable(_))));
    assert_eq!(judged(&[], false), Err(Amiss::Missing));
}

#[test]
fn a_domain_and_its_wildcard_share_a_record() {
    let issuers = issuers();
    let standing = Standing::new(&issuers, ACCOUNT).unwrap();
    let until = Some(at(4_102_444_800));
    let names = [
        "www.shop.example",
        "shop.example",
        "*.shop.example",
        "*.a.example",
    ];
    let lines: Vec<String> = standing
        .records(names.map(|name| (name, until.filter(|_| name.starts_with("www")))))
        .iter()
        .map(StandingRecord::to_string)
        .collect();
    let start = "3600 IN TXT \"authority.example; accounturi=https://ca.example/acct/123";
    assert_eq!(
        lines,
        [
            format!("_validation-persist.a.example. {start}; policy=wildcard\""),
            format!("_validation-persist.shop.example. {start}; policy=wildcard\""),
            format!("_validation-persist.www.shop.example. {start}; persistUntil=4102444800\""),
        ]
    );
}

#[test]
fn a_long_value_is_split_and_what_a_zone_file_reads_is_escaped() {
    let account = format!("https://ca.example/{}\"\\", "a".repeat(300));
    let issuers = issuers();
    let line = Standing::new(&issuers, &account)
        .unwrap()
        .record("shop.example", false, None)
        .to_string();
    let strings: Vec<&str> = line.split("\" \"").collect();
    assert_eq!(strings.len(), 2);
    let first = strings[0].split_once('"').unwrap().1;
    assert_eq!(first.len(), 255);
    assert!(strings[1].ends_with("a\\\"\\\\\""), "{line}");
}

#[test]
fn an_account_that_no_record_can_hold_is_refused() {
    for account in [
        "",
        "https://ca.example/a;b",
        "https://ca.example/a b",
        "https://ca.example/é",
    ] {
        assert!(Standing::new(&issuers(), account).is_err(), "{account}");
    }
}

#[test]
fn the_names_of_a_ca_are_one_to_ten_domains() {
    assert_eq!(check_issuers(&issuers()), Ok(()));
    assert_eq!(check_issuers(&[]), Err(BadIssuers::Number(0)));
    let many = vec!["ca.example".to_owned(); 11];
    assert_eq!(check_issuers(&many), Err(BadIssuers::Number(11)));
    let long = "a.".repeat(127);
    for wrong in [
        "",
        "CA.example",
        "ca.example.",
        "ca..example",
        "-ca.example",
        "ca example",
        "ca;x",
        "\"",
        "é.example",
        &long,
    ] {
        let refused = check_issuers(&[wrong.to_owned()]);
        assert!(matches!(refused, Err(BadIssuers::Name(_))), "{wrong}");
    }
}

/// Values as they come from somebody who knows the syntax and means no good.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"authority.example".to_vec()),
        Just(b";".to_vec()),
        Just(b"=".to_vec()),
        Just(b" \t".to_vec()),
        Just(b"accounturi".to_vec()),
        Just(ACCOUNT.as_bytes().to_vec()),
        Just(b"policy=wildcard".to_vec()),
        Just(b"persistUntil=".to_vec()),
        Just(b"99999999999999999999".to_vec()),
        proptest::collection::vec(any::<u8>(), 0..40),
    ];
    proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn whatever_stands_there_is_judged_in_few_words(
        values in proptest::collection::vec(hostile(), 0..8),
        wildcard: bool,
    ) {
        let issuers = issuers();
        let standing = Standing::new(&issuers, ACCOUNT).unwrap();
        match standing.judge(&values, wildcard, at(1_800_000_000)) {
            Ok(()) => {
                let names_both = |value: &Vec<u8>| {
                    let text = String::from_utf8_lossy(value).to_ascii_lowercase();
                    text.contains("authority.example") && text.contains(ACCOUNT) && text.contains("accounturi")
                };
                prop_assert!(values.iter().any(names_both));
            }
            Err(amiss) => {
                let words = amiss.to_string();
                prop_assert!(words.chars().count() <= 250, "{}", words);
                prop_assert!(!words.chars().any(char::is_control), "{:?}", words);
            }
        }
    }

    #[test]
    fn what_is_printed_is_taken_whatever_else_stands_there(
        account in "[!-:<-~]{1,400}",
        others in proptest::collection::vec(hostile(), 0..4),
        wildcard: bool,
        until in proptest::option::of(1_800_000_000_i64..200_000_000_000),
    ) {
        let issuers = issuers();
        let standing = Standing::new(&issuers, &account).unwrap();
        let record = standing.record("shop.example", wildcard, until.map(at));
        let mut values = others;
        values.push(record.value.into_bytes());
        prop_assert_eq!(standing.judge(&values, wildcard, at(1_800_000_000)), Ok(()));
    }
}
