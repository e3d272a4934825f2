//! Looks at standing TXT records (dns-persist-01): place → what its zone's servers have → does it do for the name.
//!
//! # Guarantees
//! Nothing is written to DNS, and no CA is asked. Names that share a place are looked at together.

use std::collections::BTreeMap;

use jiff::Timestamp;
use sancho_core::challenge::ChallengeKind;
use sancho_core::order::OrderState;
use sancho_core::standing::{Amiss, Standing, StandingRecord, place};
use sancho_crds::{DnsPersist01, Solver};

use super::quarantine::Finding;
use crate::clock;
use crate::context::Context;
use crate::solvers::dns01::{DnsFault, Found, Read, STANDING_RECORD_MISSING, STANDING_RECORD_WRONG};
use crate::solvers::{Labels, solver_for};

/// How `name` is validated by a standing record, if it is at all.
pub(super) fn dns_persist01<'a>(
    solvers: &'a [Solver],
    name: &str,
    labels: &Labels,
) -> Option<&'a DnsPersist01> {
    solver_for(solvers, name, labels)?.dns_persist01.as_ref()
}

/// A name, and what its record has to say.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    /// The name.
    pub(super) name: &'a str,
    /// The names that the CA goes by.
    pub(super) issuers: &'a [String],
    /// Until when its record is to be good, where one is to be made.
    pub(super) until: Option<Timestamp>,
}

/// Those names of an order that wait for their standing records to be seen.
pub(super) fn of_order<'a>(state: &'a OrderState, solvers: &[Solver], labels: &Labels) -> Vec<Asked<'a>> {
    let waiting = state.to_present();
    let standing = waiting.filter(|(_, authorization)| authorization.kind == ChallengeKind::DnsPersist01);
    let asked = standing.filter_map(|(_, authorization)| {
        let name = authorization.name.as_deref()?;
        Some(Asked {
            name,
            issuers: &authorization.issuer_domain_names,
            until: dns_persist01(solvers, name, labels).and_then(until),
        })
    });
    asked.collect()
}

/// Until when records of this solver are to be good.
pub(super) fn until(settings: &DnsPersist01) -> Option<Timestamp> {
    settings.persist_until.as_ref().map(|until| until.0)
}

/// Those of `asked` whose standing records for `account` are not as they have to be, by name.
pub(super) async fn looks(
    context: &Context,
    account: &str,
    asked: &[Asked<'_>],
) -> BTreeMap<String, DnsFault> {
    let mut by_place: BTreeMap<String, Vec<Asked<'_>>> = BTreeMap::new();
    for one in asked {
        by_place.entry(place(one.name)).or_default().push(*one);
    }
    let looks = by_place.into_iter().map(|(place, sharing)| async move {
        let found = context.dns.read(&place).await;
        let now = clock::now();
        let is_wide = sharing.iter().any(|one| one.name.starts_with("*."));
        let judge = |one: &Asked<'_>| {
            let outcome = match &found {
                Ok(found) => judged(one, account, is_wide, found, now),
                Err(fault) => Err(fault.clone()),
            };
            Some((one.name.to_owned(), outcome.err()?))
        };
        sharing.iter().filter_map(judge).collect::<Vec<_>>()
    });
    let faults = futures::future::join_all(looks).await;
    faults.into_iter().flatten().collect()
}

/// Is it a standing record that a name lacks?
pub(super) fn is_about(finding: &Finding) -> bool {
    [STANDING_RECORD_MISSING, STANDING_RECORD_WRONG].contains(&finding.reason.as_str())
}

/// Does what was `found` do for this name? Servers that do not answer do not count: whoever asks turns to the others.
/// `is_wide`: the record serves a wildcard, too.
fn judged(
    asked: &Asked<'_>,
    account: &str,
    is_wide: bool,
    found: &Found,
    now: Timestamp,
) -> Result<(), DnsFault> {
    let Found { record, servers } = found;
    let standing = match Standing::new(asked.issuers, account) {
        Ok(standing) => standing,
        Err(unwritable) => return Err(DnsFault::unwritable(&unwritable.to_string())),
    };
    let wildcard = asked.name.starts_with("*.");
    let amiss = |server: &Read| standing.judge(&server.values, wildcard, now).err();
    let bad: Vec<(&Read, Amiss)> = servers
        .iter()
        .filter_map(|server| Some((server, amiss(server)?)))
        .collect();
    let Some((first, why)) = bad.first() else {
        return Ok(());
    };
    let reason = match why {
        Amiss::Missing => STANDING_RECORD_MISSING,
        Amiss::Unreadable(_) | Amiss::OtherAccount(_) | Amiss::NoWildcard | Amiss::Over(_) => {
            STANDING_RECORD_WRONG
        }
    };
    let mut words = why.to_string();
    if bad.len() < servers.len() {
        words = format!("at {} {words}", first.server);
    }
    if asked.until.is_some_and(|until| until <= now) {
        words.push_str("; and give the solver a later persistUntil: its own is over");
    }
    let wanted = StandingRecord {
        name: record.clone(),
        ..standing.record(asked.name, is_wide, asked.until)
    };
    Err(DnsFault::standing(reason, &wanted, &place(asked.name), &words))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCOUNT: &str = "https://ca.example/acct/1";
    const GOOD: &str = "ca.example; accounturi=https://ca.example/acct/1";
    const WIDE: &str = "ca.example; accounturi=https://ca.example/acct/1; policy=wildcard";

    fn now() -> Timestamp {
        Timestamp::from_second(1_800_000_000).unwrap()
    }

    /// What is said of `name` when the servers have these values.
    fn said(name: &str, until: Option<i64>, servers: &[&[&str]]) -> Result<(), DnsFault> {
        let read = |(number, values): (usize, &&[&str])| Read {
            server: format!("ns{number}.example"),
            values: values.iter().map(|value| value.as_bytes().to_vec()).collect(),
        };
        let found = Found {
            record: "_validation-persist.shop.example".into(),
            servers: servers.iter().enumerate().map(read).collect(),
        };
        let issuers = ["ca.example".to_owned()];
        let asked = Asked {
            name,
            issuers: &issuers,
            until: until.map(|second| Timestamp::from_second(second).unwrap()),
        };
        judged(&asked, ACCOUNT, name.starts_with("*."), &found, now())
    }

    #[test]
    fn a_record_that_all_who_answer_have_does() {
        assert_eq!(said("shop.example", None, &[&[GOOD]]), Ok(()));
        assert_eq!(said("shop.example", None, &[&["x", GOOD], &[WIDE]]), Ok(()));
        assert_eq!(said("*.shop.example", None, &[&[GOOD, WIDE]]), Ok(()));
    }

    #[test]
    fn the_record_to_create_is_told_whole_and_what_is_wrong() {
        let start = "create the TXT record _validation-persist.shop.example. 3600 IN TXT \"ca.example; \
                     accounturi=https://ca.example/acct/1";
        for (name, until, servers, reason, words) in [
            (
                "shop.example",
                None,
                &[&[][..], &[]][..],
                STANDING_RECORD_MISSING,
                "\" (there is none of this CA)",
            ),
            (
                "shop.example",
                Some(1_900_000_000),
                &[&[GOOD][..], &["x"]],
                STANDING_RECORD_MISSING,
                "; persistUntil=1900000000\" (at ns1.example there is none of this CA)",
            ),
            (
                "*.shop.example",
                None,
                &[&[GOOD][..], &[GOOD]],
                STANDING_RECORD_WRONG,
                "; policy=wildcard\" (the one that is there lacks policy=wildcard)",
            ),
            (
                "shop.example",
                None,
                &[&["ca.example; accounturi=https://ca.example/acct/2"][..]],
                STANDING_RECORD_WRONG,
                "\" (the one that is there is for another account, https://ca.example/acct/2)",
            ),
            (
                "shop.example",
                Some(1_700_000_000),
                &[&[][..]],
                STANDING_RECORD_MISSING,
                "; persistUntil=1700000000\" (there is none of this CA; and give the solver a later persistUntil: its \
                 own is over)",
            ),
        ] {
            let fault = said(name, until, servers).unwrap_err();
            assert_eq!(fault.reason, reason);
            assert_eq!(fault.words, format!("{start}{words}"));
            assert!(!fault.is_passing());
        }
    }

    /// What is said of `shop.example` when its record is to stand at this place, and nothing does.
    fn of_nothing_at(place: &str, account: &str) -> DnsFault {
        let found = Found {
            record: place.into(),
            servers: vec![Read {
                server: "ns.example".into(),
                values: Vec::new(),
            }],
        };
        let issuers = ["ca.example".to_owned()];
        let asked = Asked {
            name: "shop.example",
            issuers: &issuers,
            until: None,
        };
        judged(&asked, account, false, &found, now()).unwrap_err()
    }

    #[test]
    fn where_a_cname_leads_is_told() {
        let words = of_nothing_at("shop.standing.example", ACCOUNT).words;
        assert!(
            words.starts_with("create the TXT record shop.standing.example. 3600 IN TXT"),
            "{words}"
        );
        assert!(
            words.contains("(the CNAME at _validation-persist.shop.example leads there; there is none"),
            "{words}"
        );
        let unwritable = of_nothing_at("shop.standing.example", "https://ca.example/a;b");
        assert_eq!(unwritable.reason, STANDING_RECORD_WRONG);
    }

    #[test]
    fn a_record_that_is_too_long_to_be_told_is_not_cut() {
        let account = format!("https://ca.example/{}", "a".repeat(700));
        let words = of_nothing_at("_validation-persist.shop.example", &account).words;
        assert_eq!(
            words,
            "create the TXT record at _validation-persist.shop.example, as `kubectl sancho dns-records` prints it (there is \
             none of this CA)"
        );
    }
}
