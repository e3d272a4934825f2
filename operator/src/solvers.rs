//! Which of an issuer's solvers answers for a name, and in `dns01` how TXT records are written and read.

pub mod dns01;

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::IpAddr;

use sancho_crds::{Dns01, Solver, SolverSelector};

/// The labels of a Certificate.
pub type Labels = BTreeMap<String, String>;

/// The solver among `solvers` that answers for `name` (a DNS name, a wildcard or an address, as it stands in a
/// Certificate with these `labels`): the one whose selector is the most specific, as cert-manager has it. One that lists
/// the name goes before one that has a zone above it, a longer zone before a shorter one, both before one that has
/// neither; then more labels before fewer; among equals the first. One that cannot validate such a name (a wildcard by HTTP, an
/// address by DNS) comes after all that can. `None` if no solver is for the name.
#[must_use]
pub fn solver_for<'a>(solvers: &'a [Solver], name: &str, labels: &Labels) -> Option<&'a Solver> {
    let fitting = solvers.iter().enumerate().filter_map(|(number, solver)| {
        let fit = match &solver.selector {
            Some(selector) => fit(selector, name, Some(labels))?,
            None => Fit::default(),
        };
        Some(((can_validate(solver, name), fit, Reverse(number)), solver))
    });
    fitting.max_by_key(|(rank, _)| *rank).map(|(_, solver)| solver)
}

/// How a TXT record for `name` that was written once is removed: as one would be written now, else as by the
/// other solvers with `dns01` whose selectors are for the name, whatever the labels if these do not fit, or
/// are not known.
#[must_use]
pub fn remover<'a>(solvers: &'a [Solver], name: &str, labels: Option<&Labels>) -> Option<&'a Dns01> {
    let most_specific = |labels: Option<&Labels>| {
        let fitting = solvers.iter().enumerate().filter_map(|(number, solver)| {
            let settings = solver.dns01.as_ref()?;
            let fit = match &solver.selector {
                Some(selector) => fit(selector, name, labels)?,
                None => Fit::default(),
            };
            Some(((fit, Reverse(number)), settings))
        });
        let first = fitting.max_by_key(|(rank, _)| *rank);
        first.map(|(_, settings)| settings)
    };
    let by_labels = labels.and_then(|labels| {
        let solver = solver_for(solvers, name, labels);
        let settings = solver.and_then(|solver| solver.dns01.as_ref());
        settings.or_else(|| most_specific(Some(labels)))
    });
    by_labels.or_else(|| most_specific(None))
}

/// Can a solver of this kind validate such a name? RFC 8555 §7.1.3 has wildcards by DNS alone, RFC 8738 §4 addresses by
/// HTTP.
#[must_use]
pub fn can_validate(solver: &Solver, name: &str) -> bool {
    let is_address = name.parse::<IpAddr>().is_ok();
    let is_by_dns = solver.dns01.is_some() || solver.dns_persist01.is_some();
    (!name.starts_with("*.") || is_by_dns) && (!is_address || solver.http01.is_some())
}

/// How specific a selector is; the greater, the more so.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Fit {
    is_listed: bool,
    /// The length of the longest zone above the name, in bytes.
    zone: usize,
    labels: usize,
}

/// `labels`: any, if there are none.
fn fit(selector: &SolverSelector, name: &str, labels: Option<&Labels>) -> Option<Fit> {
    let mut wanted = selector.match_labels.iter();
    let has_all = labels.is_none_or(|labels| wanted.all(|(key, value)| labels.get(key) == Some(value)));
    if !has_all {
        return None;
    }
    let is_listed = selector
        .dns_names
        .iter()
        .any(|listed| listed.eq_ignore_ascii_case(name));
    let zones = selector.dns_zones.iter().filter(|zone| is_in(name, zone));
    let zone = zones.map(String::len).max();
    if !is_listed && zone.is_none() && !(selector.dns_names.is_empty() && selector.dns_zones.is_empty()) {
        return None;
    }
    Some(Fit {
        is_listed,
        zone: zone.unwrap_or_default(),
        labels: selector.match_labels.len(),
    })
}

/// Is `name` the domain `zone` or below it? A wildcard is where the names are that it stands for.
pub(crate) fn is_in(name: &str, zone: &str) -> bool {
    let name = name.strip_prefix("*.").unwrap_or(name);
    let Some(split) = name.len().checked_sub(zone.len()) else {
        return false;
    };
    let is_end = |at: usize| name.get(at..).is_some_and(|end| end.eq_ignore_ascii_case(zone));
    is_end(split) && (split == 0 || name.as_bytes()[split - 1] == b'.')
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn solver(selector: &Value) -> Solver {
        serde_json::from_value(json!({ "selector": selector, "http01": { "external": {} } })).unwrap()
    }

    /// Which of the solvers with these selectors answers for `name` of a Certificate with the label `team: shop`.
    fn chosen(selectors: &[Value], name: &str) -> Option<usize> {
        let solvers: Vec<Solver> = selectors.iter().map(solver).collect();
        let labels = Labels::from([("team".to_owned(), "shop".to_owned())]);
        let chosen = solver_for(&solvers, name, &labels)?;
        solvers.iter().position(|solver| std::ptr::eq(solver, chosen))
    }

    #[test]
    fn the_most_specific_selector_answers_and_among_equals_the_first() {
        let selectors = [
            json!(null),
            json!({}),
            json!({ "dnsZones": ["example.com"] }),
            json!({ "dnsZones": ["shop.example.com", "example.com"] }),
            json!({ "dnsNames": ["a.shop.example.com"] }),
            json!({ "matchLabels": { "team": "shop" } }),
            json!({ "dnsNames": ["a.shop.example.com"], "matchLabels": { "team": "shop" } }),
        ];
        for (name, answers) in [
            ("a.shop.example.com", 6),
            ("A.Shop.Example.com", 6),
            ("b.shop.example.com", 3),
            ("*.shop.example.com", 3),
            ("shop.example.com", 3),
            ("example.com", 2),
            ("*.example.com", 2),
            ("notexample.com", 5),
            ("10.0.0.1", 5),
        ] {
            assert_eq!(chosen(&selectors, name), Some(answers), "{name}");
        }
        assert_eq!(chosen(&selectors[..2], "example.com"), Some(0));
    }

    #[test]
    fn a_wildcard_goes_to_a_solver_by_dns_and_an_address_to_one_by_http() {
        let by_http = || json!({ "http01": { "external": {} } });
        let by_dns = |selector: Value| {
            let dns01 = json!({ "rfc2136": { "nameserver": "192.0.2.53" } });
            json!({ "selector": selector, "dns01": dns01 })
        };
        let solvers = |values: [Value; 2]| values.map(|value| serde_json::from_value(value).unwrap());
        let both: [Solver; 2] = solvers([by_http(), by_dns(json!({}))]);
        let chosen = |name: &str| solver_for(&both, name, &Labels::new()).unwrap();
        assert!(chosen("*.example.com").dns01.is_some());
        assert!(chosen("example.com").http01.is_some());

        let zoned: [Solver; 2] = solvers([by_http(), by_dns(json!({ "dnsZones": ["example.com"] }))]);
        let chosen = |name: &str| solver_for(&zoned, name, &Labels::new()).unwrap();
        assert!(chosen("www.example.com").dns01.is_some());
        assert!(chosen("192.0.2.1").http01.is_some());
        let standing = json!({ "selector": { "dnsNames": ["*.example.org"] }, "dnsPersist01": {} });
        let standing: [Solver; 2] = solvers([by_http(), standing]);
        let chosen_there = |name: &str| solver_for(&standing, name, &Labels::new()).unwrap();
        assert!(chosen_there("*.example.org").dns_persist01.is_some());
        assert!(chosen_there("example.org").http01.is_some());
        assert!(!can_validate(&standing[1], "192.0.2.1"));
        // None that is for it can: which one cannot is told.
        assert!(!can_validate(chosen("*.example.org"), "*.example.org"));
    }

    #[test]
    fn a_name_that_no_selector_is_for_has_no_solver() {
        let selectors = [
            json!({ "dnsZones": ["example.com"] }),
            json!({ "matchLabels": { "team": "other" } }),
            json!({ "dnsNames": ["example.org"], "dnsZones": ["a.example.org"] }),
        ];
        for name in ["example.net", "b.example.org", "com", "e.com", "*.com"] {
            assert_eq!(chosen(&selectors, name), None, "{name}");
        }
        assert_eq!(chosen(&selectors, "b.a.example.org"), Some(2));
    }

    #[test]
    fn a_record_is_removed_by_a_solver_with_dns_01_although_another_kind_answers_or_labels_are_gone() {
        let by_dns = |server: &str, selector: Value| {
            let rfc2136 = json!({ "nameserver": server });
            json!({ "selector": selector, "dns01": { "rfc2136": rfc2136 } })
        };
        let solvers: Vec<Solver> = [
            by_dns("any", json!({})),
            by_dns("shop", json!({ "matchLabels": { "team": "shop" } })),
            by_dns("zone", json!({ "dnsZones": ["example.org"] })),
            json!({ "selector": { "dnsNames": ["a.example.org"] }, "http01": { "external": {} } }),
        ]
        .map(|value| serde_json::from_value::<Solver>(value).unwrap())
        .into();
        let by = |solvers: &[Solver], name: &str, labels: Option<&Labels>| {
            let rfc2136 = remover(solvers, name, labels).and_then(|settings| settings.rfc2136.clone());
            rfc2136.map(|rfc2136| rfc2136.nameserver)
        };
        let labels = Labels::from([("team".to_owned(), "shop".to_owned())]);
        let others = Labels::new();
        for (name, labels, server) in [
            ("example.com", Some(&labels), "shop"),
            ("example.com", Some(&others), "any"),
            ("b.example.org", Some(&labels), "zone"),
            // Others answer for it now.
            ("a.example.org", Some(&labels), "zone"),
            // Nobody knows the labels any more.
            ("a.example.org", None, "zone"),
            ("example.com", None, "shop"),
        ] {
            assert_eq!(by(&solvers, name, labels).as_deref(), Some(server), "{name}");
        }
        assert_eq!(
            by(&solvers[1..2], "example.com", Some(&others)).as_deref(),
            Some("shop")
        );
        assert_eq!(by(&solvers[2..], "example.com", None), None);
    }
}
