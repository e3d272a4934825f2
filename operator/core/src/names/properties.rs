//! What holds of every text that is taken for a name, and of every one that is not.

use std::net::IpAddr;

use proptest::prelude::{Just, Strategy, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};

use super::{LABEL_MAX, NAME_MAX, Name, is_of_registry, registered_domain};

/// Anything; what looks like a name, a wildcard, a URL or an address; and what is long.
fn some_text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[a-zA-Z0-9.*_:/\\[\\] é-]{0,40}",
        "(\\*\\.)?[a-z0-9-]{0,6}(\\.[a-z0-9-]{0,6}){0,4}\\.?",
        "[0-9a-fA-F:.]{2,40}",
        any::<IpAddr>().prop_map(|address| address.to_string()),
        "[a-z]{60,70}(\\.[a-z-]{55,66}){0,4}",
    ]
}

/// A name as it is to be.
fn good_name() -> impl Strategy<Value = String> {
    let label = "[a-z0-9]([a-z0-9-]{0,12}[a-z0-9])?";
    let last = "[a-z]([a-z0-9-]{0,12}[a-z0-9])?";
    let wildcard = prop_oneof![Just(""), Just("*.")];
    (wildcard, prop::collection::vec(label, 1..6), last)
        .prop_map(|(wildcard, labels, last)| format!("{wildcard}{}.{last}", labels.join(".")))
}

proptest! {
    #[test]
    fn a_text_is_a_name_as_it_stands_there_or_refused_in_few_words(text in some_text()) {
        match Name::parse(&text) {
            Ok(name) => {
                prop_assert_eq!(name.as_str(), &text);
                prop_assert_eq!(Name::parse(name.as_ref()), Ok(name.clone()));
                let json = serde_json::to_string(&name).unwrap();
                prop_assert_eq!(serde_json::from_str::<Name>(&json).unwrap(), name);
            }
            Err(error) => {
                let words = error.to_string();
                prop_assert!(words.chars().count() < 600, "{}", words);
                prop_assert!(!words.chars().any(char::is_control), "{:?}", words);
            }
        }
        prop_assert!(Name::dns(&text).is_err() || Name::ip(&text).is_err(), "{} is both", text);
        is_of_registry(&text);
    }

    #[test]
    fn what_is_taken_for_a_dns_name_is_one(text in prop_oneof![some_text(), good_name()]) {
        let Ok(name) = Name::dns(&text) else { return Ok(()) };
        prop_assert!((1..=NAME_MAX).contains(&text.len()));
        prop_assert_eq!((name.address(), name.kind()), (None, "dns"));
        prop_assert!(name.is("dns", &text.to_ascii_uppercase()));
        let host = text.strip_prefix("*.").unwrap_or(&text);
        prop_assert_eq!(name.is_wildcard(), host != text);
        let labels: Vec<&str> = host.split('.').collect();
        prop_assert!(labels.len() >= 2);
        for label in labels {
            prop_assert!((1..=LABEL_MAX).contains(&label.len()));
            prop_assert!(label.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-')));
            prop_assert!(!label.starts_with('-') && !label.ends_with('-'));
        }
        let domain = registered_domain(&name);
        prop_assert!(!domain.is_empty() && text.ends_with(domain), "{}", domain);
    }

    #[test]
    fn a_name_as_it_is_to_be_is_taken(text in good_name()) {
        prop_assert!(Name::dns(&text).is_ok(), "{:?}", Name::dns(&text));
    }

    #[test]
    fn an_address_is_taken_in_one_form_alone(address in any::<IpAddr>()) {
        let canonical = address.to_canonical();
        let name = Name::ip(&canonical.to_string()).unwrap();
        prop_assert_eq!((name.address(), name.kind()), (Some(canonical), "ip"));
        prop_assert_eq!(Name::ip(&address.to_string()).is_ok(), address == canonical);
    }
}
