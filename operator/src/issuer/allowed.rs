//! Which Certificates may use a ClusterIssuer. Pure.

use sancho_core::shown::shown_within;
use sancho_crds::Allowed;

use crate::solvers::is_in;

/// The reason of a Certificate that may not use its issuer.
pub const NOT_ALLOWED: &str = "NotAllowedByIssuer";

/// Of a longer list only so many are told.
const SHOWN: usize = 3;

/// Why Certificates in `namespace` may not use an issuer that allows `allowed` for these `names`: what is outside, and
/// how to mend it. Nothing if they may. `issuer`: in words.
#[must_use]
pub fn outside<'a>(
    allowed: Option<&Allowed>,
    issuer: &str,
    namespace: &str,
    names: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    let Allowed { namespaces, domains } = allowed?;
    if !namespaces.is_empty() && !namespaces.iter().any(|pattern| fits(pattern, namespace)) {
        return Some(format!(
            "{issuer} does not allow namespace {namespace}: use another issuer, or have it added to \
             spec.allowed.namespaces there"
        ));
    }
    if domains.is_empty() {
        return None;
    }
    let is_outside = |name: &&str| !domains.iter().any(|domain| is_in(name, domain));
    let outside: Vec<&str> = names.into_iter().filter(is_outside).collect();
    if outside.is_empty() {
        return None;
    }
    let shown = |all: &[&str]| {
        let first: Vec<String> = all
            .iter()
            .take(SHOWN)
            .map(|name| shown_within(name, 80))
            .collect();
        let more = match all.len().saturating_sub(SHOWN) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        format!("{}{more}", first.join(", "))
    };
    let domains: Vec<&str> = domains.iter().map(String::as_str).collect();
    Some(format!(
        "{issuer} does not allow {}: it allows {} and what is below; take these names out, use another issuer, or have \
         their domain added to spec.allowed.domains there",
        shown(&outside),
        shown(&domains),
    ))
}

/// Does `text` fit `pattern`, in which a `*` stands for any number of characters?
fn fits(pattern: &str, text: &str) -> bool {
    let Some((front, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(mut left) = text.strip_prefix(front) else {
        return false;
    };
    let mut parts = rest.split('*').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return left.ends_with(part);
        }
        // The first place is as good as any later one.
        match left.find(part) {
            Some(at) => left = &left[at + part.len()..],
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(namespaces: &[&str], domains: &[&str]) -> Allowed {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        Allowed {
            namespaces: texts(namespaces),
            domains: texts(domains),
        }
    }

    fn told(allowed: &Allowed, namespace: &str, names: &[&str]) -> Option<String> {
        outside(
            Some(allowed),
            "ClusterIssuer ca",
            namespace,
            names.iter().copied(),
        )
    }

    #[test]
    fn a_star_stands_for_any_number_of_characters() {
        for (pattern, fitting, others) in [
            ("shop", &["shop"][..], &["shops", "sho", ""][..]),
            ("team-*", &["team-", "team-a", "team-a-b"], &["team", "a-team-b"]),
            ("*-prod", &["a-prod", "-prod"], &["prod", "a-prod-b"]),
            ("a*b*c", &["abc", "aXbYc", "abcbc"], &["ac", "acb", "ab"]),
            ("*", &["anything"], &[]),
            ("a**b", &["ab", "a-b"], &["a"]),
            ("ab*bc", &["abbc", "ab-bc"], &["abc"]),
        ] {
            for text in fitting {
                assert!(fits(pattern, text), "{pattern} {text}");
            }
            for text in others {
                assert!(!fits(pattern, text), "{pattern} {text}");
            }
        }
    }

    #[test]
    fn who_fits_all_that_is_given_may_use_it() {
        let names = ["a.example.com", "*.example.com", "example.com", "192.0.2.1"];
        assert_eq!(outside(None, "ca", "any", names), None);
        assert_eq!(told(&allowed(&["shop", "team-*"], &[]), "team-a", &names), None);
        assert_eq!(
            told(&allowed(&[], &["example.com", "192.0.2.1"]), "any", &names),
            None
        );
        assert_eq!(
            told(&allowed(&["shop"], &["example.com"]), "shop", &names[..3]),
            None
        );
    }

    #[test]
    fn who_does_not_is_told_what_and_where() {
        let words = told(&allowed(&["shop"], &["example.com"]), "bank", &["a.example.com"]).unwrap();
        assert_eq!(
            words,
            "ClusterIssuer ca does not allow namespace bank: use another issuer, or have it added to \
             spec.allowed.namespaces there"
        );
        let names = [
            "a.example.com",
            "notexample.com",
            "*.com",
            "192.0.2.1",
            "a.b",
            "com",
        ];
        let words = told(&allowed(&[], &["example.com"]), "bank", &names).unwrap();
        assert_eq!(
            words,
            "ClusterIssuer ca does not allow notexample.com, *.com, 192.0.2.1 and 2 more: it allows example.com and what \
             is below; take these names out, use another issuer, or have their domain added to spec.allowed.domains there"
        );
    }
}
