//! Quotas that a CA publishes, and how long they stretch what is still to be issued. Pure.
//!
//! What a CA says is used up is another matter: it is known to the minute, and holds back orders ([`super::Quotas`]).
//! This tells beforehand that a plan takes days. It knows nothing of what else the account has ordered lately, so it
//! is the shortest time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sancho_core::names::{Name, registered_domain};

/// What a CA grants in a time. It grants anew bit by bit, not all at once at the end.
struct Grant {
    count: u32,
    within: Duration,
}

struct Published {
    /// The beginning of the directory's URL.
    origin: &'static str,
    orders_per_account: Grant,
    certificates_per_domain: Grant,
}

const HOUR: Duration = Duration::from_secs(3600);
const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

/// From <https://letsencrypt.org/docs/rate-limits/> as of 2026-09. Renewals are exempt from both. The staging CA has
/// far higher ones.
const TABLE: [Published; 1] = [Published {
    origin: "https://acme-v02.api.letsencrypt.org/",
    orders_per_account: Grant {
        count: 300,
        within: HOUR.saturating_mul(3),
    },
    certificates_per_domain: Grant {
        count: 50,
        within: WEEK,
    },
}];

/// A plan that quotas stretch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stretch {
    /// How long it takes at least.
    pub at_least: Duration,
    /// Which quota it is, in words.
    pub why: String,
}

impl Grant {
    /// How long it takes until `wanted` are granted, from a full allowance on.
    fn time_for(&self, wanted: u32) -> Duration {
        self.within / self.count * wanted.saturating_sub(self.count)
    }
}

/// How long the published quotas of the CA at `server` stretch orders of these sets of names, none of which is a
/// renewal. Nothing if they fit at once, or if nothing is known of the CA.
pub fn stretch<'a>(server: &str, orders: impl IntoIterator<Item = &'a [String]>) -> Option<Stretch> {
    let published = TABLE.iter().find(|known| server.starts_with(known.origin))?;
    let mut count = 0_u32;
    let mut by_domain: BTreeMap<String, u32> = BTreeMap::new();
    for names in orders {
        count += 1;
        let names = names.iter().filter_map(|name| Name::parse(name).ok());
        let domains: BTreeSet<String> = names.map(|name| registered_domain(&name).to_owned()).collect();
        for domain in domains {
            *by_domain.entry(domain).or_default() += 1;
        }
    }
    let Published {
        orders_per_account,
        certificates_per_domain,
        ..
    } = published;
    let account = Stretch {
        at_least: orders_per_account.time_for(count),
        why: format!(
            "the CA grants an account {} new orders in 3 h, and {count} are open",
            orders_per_account.count
        ),
    };
    let domain = by_domain.into_iter().max_by_key(|(_, count)| *count).map(|(domain, count)| Stretch {
        at_least: certificates_per_domain.time_for(count),
        why: format!(
            "the CA grants {} certificates of a registered domain in 7 days, and {count} of {domain} are open",
            certificates_per_domain.count
        ),
    });
    let longest = std::iter::once(account)
        .chain(domain)
        .max_by_key(|stretch| stretch.at_least)?;
    (!longest.at_least.is_zero()).then_some(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVER: &str = "https://acme-v02.api.letsencrypt.org/directory";

    /// 10,000 names in shards of `cap`, the n-th of the domain that `domain` says.
    fn orders(cap: usize, domain: impl Fn(usize) -> String) -> Vec<Vec<String>> {
        let names: Vec<String> = (0..10_000).map(|n| format!("n{n}.{}", domain(n))).collect();
        names.chunks(cap).map(<[String]>::to_vec).collect()
    }

    fn of(server: &str, orders: &[Vec<String>]) -> Option<Stretch> {
        stretch(server, orders.iter().map(Vec::as_slice))
    }

    #[test]
    fn one_registered_domain_takes_weeks_and_fewer_with_larger_shards() {
        let domain = |_: usize| "shop.example".to_owned();
        let small = of(SERVER, &orders(25, domain)).unwrap();
        // 400 certificates, 50 at once and 50 a week after that.
        assert_eq!(small.at_least, 7 * WEEK);
        assert!(
            small.why.contains("50 certificates of a registered domain")
                && small.why.contains("400 of shop.example")
        );
        assert_eq!(of(SERVER, &orders(100, domain)).unwrap().at_least, WEEK);
    }

    #[test]
    fn many_domains_are_stretched_by_the_accounts_orders() {
        let stretched = of(SERVER, &orders(25, |n| format!("d{}.example", n / 25))).unwrap();
        // 100 over 300, at 100 an hour.
        assert_eq!(stretched.at_least, HOUR);
        assert!(stretched.why.contains("300 new orders in 3 h, and 400 are open"));
    }

    #[test]
    fn what_fits_and_what_is_unknown_is_not_stretched() {
        let few = orders(100, |n| format!("d{}.example", n / 100));
        assert_eq!(of(SERVER, &few), None);
        assert_eq!(
            of(
                "https://ca.example/dir",
                &orders(1, |_| "shop.example".to_owned())
            ),
            None
        );
        assert_eq!(of(SERVER, &[]), None);
    }
}
