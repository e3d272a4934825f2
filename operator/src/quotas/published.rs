//! Quotas that a CA publishes, and how long they stretch what is still to be issued. Pure.
//!
//! What a CA says is used up is another matter: it is known to the minute, and holds back orders ([`super::Quotas`]).
//! This tells beforehand that a plan takes days. It knows nothing of what the account has ordered lately for other
//! Certificates, so it is the shortest time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use sancho_core::names::{Name, registered_domain};
use sancho_crds::{CertificateShard, condition};

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
    /// How long it takes from `now` until `wanted` more are granted, if it was full before those that were `granted`.
    fn time_for(&self, wanted: u32, mut granted: Vec<Timestamp>, now: Timestamp) -> Duration {
        let each = self.within / self.count;
        let full = self.within;
        // What is left, as the time in which it is granted.
        let mut left = full;
        let mut seen = Timestamp::MIN;
        granted.sort_unstable();
        for at in granted.into_iter().chain([now]) {
            let since = Duration::try_from(at.duration_since(seen)).unwrap_or_default();
            left = left.saturating_add(since).min(full);
            seen = at;
            if at < now {
                left = left.saturating_sub(each);
            }
        }
        (each * wanted).saturating_sub(left)
    }
}

/// When the first certificate of each of these shards was issued, and for which names: what is granted for renewals is
/// counted apart.
pub fn granted<'a>(
    shards: impl IntoIterator<Item = &'a CertificateShard>,
) -> impl Iterator<Item = (Timestamp, Vec<String>)> {
    shards.into_iter().filter_map(|shard| {
        let status = shard.status.as_ref().filter(|status| status.issued.is_some())?;
        // It stays as it is through renewals.
        let ready = condition(&status.conditions, "Ready").filter(|ready| ready.status == "True")?;
        Some((ready.last_transition_time.0, shard.spec.own_names()))
    })
}

/// How long the published quotas of the CA at `server` stretch orders of these sets of names, none of which is a
/// renewal, after those that it has `granted`. Nothing if they fit at once, or if nothing is known of the CA.
pub fn stretch<'a>(
    server: &str,
    orders: impl IntoIterator<Item = &'a [String]>,
    granted: impl IntoIterator<Item = (Timestamp, Vec<String>)>,
    now: Timestamp,
) -> Option<Stretch> {
    let published = TABLE.iter().find(|known| server.starts_with(known.origin))?;
    let mut count = 0_u32;
    let mut by_domain: BTreeMap<String, u32> = BTreeMap::new();
    for names in orders {
        count += 1;
        for domain in domains(names) {
            *by_domain.entry(domain).or_default() += 1;
        }
    }
    if count == 0 {
        return None;
    }
    let mut of_account = Vec::new();
    let mut of_domains: BTreeMap<String, Vec<Timestamp>> = BTreeMap::new();
    for (at, names) in granted {
        of_account.push(at);
        for domain in domains(&names) {
            of_domains.entry(domain).or_default().push(at);
        }
    }
    let Published {
        orders_per_account,
        certificates_per_domain,
        ..
    } = published;
    let account = Stretch {
        at_least: orders_per_account.time_for(count, of_account, now),
        why: format!(
            "the CA grants an account {} new orders in 3 h, and {count} are open",
            orders_per_account.count
        ),
    };
    let of_each = by_domain.into_iter().map(|(domain, count)| Stretch {
        at_least: {
            let granted = of_domains.remove(&domain).unwrap_or_default();
            certificates_per_domain.time_for(count, granted, now)
        },
        why: format!(
            "the CA grants {} certificates of a registered domain in 7 days, and {count} of {domain} are open",
            certificates_per_domain.count
        ),
    });
    let longest = std::iter::once(account)
        .chain(of_each)
        .max_by_key(|stretch| stretch.at_least)?;
    (!longest.at_least.is_zero()).then_some(longest)
}

/// The registered domains of an order's names.
fn domains(names: &[String]) -> BTreeSet<String> {
    let names = names.iter().filter_map(|name| Name::parse(name).ok());
    names.map(|name| registered_domain(&name).to_owned()).collect()
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

    const NOW: Timestamp = Timestamp::constant(2_000_000_000, 0);

    fn of(server: &str, orders: &[Vec<String>]) -> Option<Stretch> {
        after(server, orders, &[])
    }

    /// The same, after these were granted so long ago.
    fn after(server: &str, orders: &[Vec<String>], granted: &[(Duration, &[String])]) -> Option<Stretch> {
        let granted = granted.iter().map(|(ago, names)| (NOW - *ago, names.to_vec()));
        stretch(server, orders.iter().map(Vec::as_slice), granted, NOW)
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
    fn what_was_granted_already_counts_until_it_is_granted_anew() {
        let all = orders(25, |n| format!("d{}.example", n / 25));
        let (done, left) = all.split_at(100);
        let lately = |ago: Duration| -> Vec<(Duration, &[String])> {
            done.iter().map(|names| (ago, names.as_slice())).collect()
        };
        // 300 are left: at 100 an hour, 200 of them at once.
        let just_now = lately(Duration::from_secs(1));
        let stretched = after(SERVER, left, &just_now).unwrap();
        assert_eq!(stretched.at_least, HOUR - Duration::from_secs(1));
        assert!(stretched.why.contains("300 are open"));
        assert_eq!(after(SERVER, left, &lately(HOUR)), None);
        // One registered domain: the 51st waits for the first to be granted anew.
        let domain = orders(100, |_| "shop.example".to_owned());
        let (done, left) = domain.split_at(50);
        let done: Vec<(Duration, &[String])> = done.iter().map(|names| (HOUR, names.as_slice())).collect();
        assert_eq!(
            after(SERVER, &left[..1], &done).unwrap().at_least,
            WEEK / 50 - HOUR
        );
        assert_eq!(after(SERVER, left, &done).unwrap().at_least, WEEK - HOUR);
        assert_eq!(after(SERVER, &[], &done), None);
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
