//! Where a TXT record is to be written: CNAMEs are followed, then the zone is found by its SOA.
//!
//! A wildcard (`*.example.com CNAME …`) answers for `_acme-challenge.www.example.com` as well, and nobody means it to: most often
//! it leads to a load balancer, in a zone of somebody else's. The record can stand at the name itself, which is the wildcard's
//! no more from then on (RFC 4592 §2.2.1). So a CNAME that a wildcard makes is not followed, unless that is wanted.

use hickory_proto::op::Message;
use hickory_proto::rr::{Name, RData, RecordType};
use sancho_core::names::is_of_registry;
use sancho_crds::CnameStrategy;

use super::Inner;
use super::fault::{CNAME_LOOP, DnsFault, ZONE_NOT_FOUND};
use crate::dns_answer::cname_of;

/// The most CNAMEs that are followed.
pub(super) const MOST_CNAMES: usize = 8;
/// A label that nobody has. It is no longer than that of a challenge, so that it fits wherever such a one does.
const UNUSED: &str = "_sancho-nobody";

/// Where a TXT record is to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The name that it stands at, without a final dot.
    pub record: String,
    /// The zone that this is in, without a final dot.
    pub zone: String,
}

/// Where the record that is looked for at `record` is to be written. `cnames`: which CNAMEs are followed.
///
/// # Errors
/// [`DnsFault`] if CNAMEs lead nowhere, if the domain does not exist, or if no server answers.
pub(super) async fn place(
    inner: &Inner,
    record: &str,
    cnames: Option<CnameStrategy>,
) -> Result<Place, DnsFault> {
    let asked = absolute(record).ok_or_else(|| {
        DnsFault::new(
            ZONE_NOT_FOUND,
            &format!("{record} is longer than a DNS name can be: take the name out of spec.dnsNames"),
        )
    })?;
    let name = end_of_chain(inner, asked, cnames).await?;
    let zone = zone_of(inner, &name).await?;
    if is_public(&zone) {
        let told = text(&name);
        return Err(DnsFault::new(
            ZONE_NOT_FOUND,
            &format!(
                "the domain of {told} does not exist in DNS (NXDOMAIN): register or delegate it, mend the CNAME that \
                 leads there, or take the name out of spec.dnsNames"
            ),
        ));
    }
    Ok(Place {
        record: text(&name),
        zone: text(&zone),
    })
}

/// Where the CNAMEs at `name` lead, as far as they are to be followed.
async fn end_of_chain(inner: &Inner, name: Name, cnames: Option<CnameStrategy>) -> Result<Name, DnsFault> {
    if cnames == Some(CnameStrategy::Never) {
        return Ok(name);
    }
    let mut chain = vec![name];
    loop {
        let at = &chain[chain.len() - 1];
        let answer = inner.recursive.ask(at, RecordType::CNAME).await?;
        let Some(target) = cname_of(&answer.answers, at).cloned() else {
            return Ok(at.clone());
        };
        if cnames.is_none() && is_of_wildcard(inner, at, &target).await? {
            return Ok(at.clone());
        }
        if chain.contains(&target) || chain.len() > MOST_CNAMES {
            let links: Vec<String> = chain.iter().chain([&target]).map(text).collect();
            return Err(DnsFault::new(
                CNAME_LOOP,
                &format!(
                    "the CNAMEs of {} lead round in a circle, or on for more than {MOST_CNAMES}: mend them ({})",
                    links[0],
                    links.join(" -> ")
                ),
            ));
        }
        chain.push(target);
    }
}

/// Is it a wildcard that has the CNAME at `name` lead to `target`? Asks for a name beside it that nobody has.
pub(super) async fn is_of_wildcard(inner: &Inner, name: &Name, target: &Name) -> Result<bool, DnsFault> {
    let Some(unused) = unused_beside(name) else {
        return Ok(false);
    };
    let answer = inner.recursive.ask(&unused, RecordType::CNAME).await?;
    Ok(leads_to(&answer, &unused, target))
}

/// A name with the same parent: what a wildcard answers for the one, it answers for the other (RFC 4592 §3.3.1).
fn unused_beside(name: &Name) -> Option<Name> {
    name.base_name().prepend_label(UNUSED).ok()
}

/// Does an answer have a CNAME from `unused` to `target`?
fn leads_to(answer: &Message, unused: &Name, target: &Name) -> bool {
    cname_of(&answer.answers, unused) == Some(target)
}

/// The zone that `name` is in: the nearest name above it, or itself, with an SOA record.
async fn zone_of(inner: &Inner, name: &Name) -> Result<Name, DnsFault> {
    let mut at = name.clone();
    loop {
        let answer = inner.recursive.ask(&at, RecordType::SOA).await?;
        // Beside a CNAME that is not followed stands the SOA of where it leads.
        let is_elsewhere = cname_of(&answer.answers, &at).is_some();
        if let Some(zone) = zone_in(&answer, &at).filter(|_| !is_elsewhere) {
            return Ok(zone);
        }
        if at.is_root() {
            return Ok(at);
        }
        at = at.base_name();
    }
}

/// The zone of `at` that an answer tells: of several the nearest, in whatever order they come.
pub(super) fn zone_in(answer: &Message, at: &Name) -> Option<Name> {
    // A negative answer has the zone's SOA beside it (RFC 2308 §3), which saves the walk.
    let records = answer.answers.iter().chain(&answer.authorities);
    let zones = records.filter_map(|record| match record.data {
        RData::SOA(_) if record.name.zone_of(at) => Some(&record.name),
        _ => None,
    });
    zones.max_by_key(|zone| zone.num_labels()).cloned()
}

/// The root, or a domain of a registry: nobody has their records written there.
fn is_public(zone: &Name) -> bool {
    zone.is_root() || is_of_registry(&text(zone))
}

/// The name with its root.
pub(super) fn absolute(name: &str) -> Option<Name> {
    let mut parsed = Name::from_ascii(name).ok()?;
    parsed.set_fqdn(true);
    Some(parsed)
}

/// The name in lower case, without a final dot.
pub(super) fn text(name: &Name) -> String {
    let text = name.to_ascii().to_ascii_lowercase();
    match text.strip_suffix('.') {
        Some(short) if !short.is_empty() => short.to_owned(),
        _ => text,
    }
}

/// A name of `zone` without that, and `@` for the zone itself; nothing if it is not in the zone. Letters' case and a final dot
/// make no difference.
pub(super) fn relative<'n>(name: &'n str, zone: &str) -> Option<&'n str> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let zone = zone.strip_suffix('.').unwrap_or(zone);
    if name.eq_ignore_ascii_case(zone) {
        return Some("@");
    }
    let (below, rest) = name.split_at_checked(name.len().checked_sub(zone.len() + 1)?)?;
    let is_in = rest.strip_prefix('.')?.eq_ignore_ascii_case(zone);
    is_in.then_some(below)
}

#[cfg(test)]
mod tests {
    use super::super::hostile::{inner, soa};
    use super::*;
    use crate::dns_server::{DnsServer, cname};

    const RECORD: &str = "_acme-challenge.www.shop.example";

    /// Where [`RECORD`] is to be written, and how often CNAMEs were asked for. It is in the zone `www.shop.example`, where a
    /// wildcard leads to `lb.shop.example`, in the zone above; `own` is where a CNAME of its own leads.
    async fn beside_a_wildcard(
        own: Option<&'static str>,
        cnames: Option<CnameStrategy>,
    ) -> (String, String, usize) {
        let server = DnsServer::with(move |at, kind| {
            let own = own.filter(|_| at.trim_end_matches('.') == RECORD);
            let alias = || cname(at, own.unwrap_or("lb.shop.example."));
            match kind {
                RecordType::CNAME if at.ends_with(".www.shop.example.") => vec![alias()],
                RecordType::SOA if at.ends_with(".www.shop.example.") => vec![alias(), soa("shop.example.")],
                RecordType::SOA if at == "www.shop.example." => vec![soa(at)],
                RecordType::SOA => vec![soa("shop.example.")],
                _ => Vec::new(),
            }
        })
        .await;
        let Place { record, zone } = place(&inner(server.address), RECORD, cnames).await.unwrap();
        let asked = server.asked().into_iter();
        let of_cname = asked.filter(|(.., kind)| *kind == RecordType::CNAME).count();
        (record, zone, of_cname)
    }

    #[tokio::test]
    async fn a_cname_of_a_wildcard_is_followed_only_if_that_is_wanted() {
        for (own, cnames, record, zone, asked) in [
            (None, None, RECORD, "www.shop.example", 2),
            (None, Some(CnameStrategy::Never), RECORD, "www.shop.example", 0),
            (
                None,
                Some(CnameStrategy::Follow),
                "lb.shop.example",
                "shop.example",
                2,
            ),
            (
                Some("acme.shop.example."),
                None,
                "acme.shop.example",
                "shop.example",
                3,
            ),
            (
                Some("acme.shop.example."),
                Some(CnameStrategy::Never),
                RECORD,
                "www.shop.example",
                0,
            ),
        ] {
            let found = beside_a_wildcard(own, cnames).await;
            let expected = (record.to_owned(), zone.to_owned(), asked);
            assert_eq!(found, expected, "{own:?} {cnames:?}");
        }
    }

    #[test]
    fn a_wildcard_is_told_by_a_name_that_nobody_has() {
        let name = |text: &str| absolute(text).unwrap();
        let unused = unused_beside(&name(RECORD)).unwrap();
        assert_eq!(unused, name("_sancho-nobody.www.shop.example"));
        let mut answer = Message::query();
        assert!(!leads_to(&answer, &unused, &name("lb.example")));
        answer.answers = vec![cname("_sancho-nobody.www.shop.example.", "LB.example.")];
        assert!(leads_to(&answer, &unused, &name("lb.example")));
        // The wildcard leads elsewhere, so that the CNAME in question is one of its own.
        assert!(!leads_to(&answer, &unused, &name("acme.example")));
        assert_eq!(unused_beside(&name(&"a.".repeat(126))), None, "it is too long");
    }

    #[test]
    fn records_are_not_written_to_the_zones_of_registries() {
        for (zone, public) in [
            (".", true),
            ("com.", true),
            ("co.uk.", true),
            ("example.com.", false),
            ("internal.", false),
            ("example.co.uk.", false),
            // Private suffixes, whose owners have the zone.
            ("github.io.", false),
            ("s3.amazonaws.com.", false),
            ("pages.github.io.", false),
        ] {
            assert_eq!(is_public(&Name::from_ascii(zone).unwrap()), public, "{zone}");
        }
    }

    #[test]
    fn a_name_is_told_from_its_zone_whatever_its_letters_case() {
        for (name, zone, expected) in [
            (
                "_acme-challenge.www.shop.example",
                "shop.example",
                Some("_acme-challenge.www"),
            ),
            (
                "_acme-challenge.www.shop.example",
                "Shop.EXAMPLE.",
                Some("_acme-challenge.www"),
            ),
            ("Shop.example.", "shop.example", Some("@")),
            ("_acme-challenge.shop.example", "blog.example", None),
            ("_acme-challenge.workshop.example", "shop.example", None),
            ("example", "shop.example", None),
            ("ä.shop.example", "xshop.example", None),
        ] {
            assert_eq!(relative(name, zone), expected, "{name} {zone}");
        }
    }

    #[test]
    fn a_name_is_told_in_lower_case_and_without_its_root() {
        assert_eq!(text(&Name::from_ascii("A.Example.").unwrap()), "a.example");
        assert_eq!(text(&Name::root()), ".");
        assert_eq!(absolute("a.example").unwrap().to_ascii(), "a.example.");
        assert!(absolute(&format!("_acme-challenge.{}", "a.".repeat(124))).is_none());
    }
}
