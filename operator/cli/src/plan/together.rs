//! What the Certificates of a file do together: the Secrets that two of them want, the orders that count toward the same
//! quotas, and what all of it takes. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use sancho::certificate::preview::Preview;
use sancho::issuer::IssuerKey;
use sancho::quotas::published::{Granted, Orderer};
use sancho_limiter::{Cost, Record};

use super::file::Manifest;
use super::{seconds, time};

/// What those that were planned so far do.
#[derive(Default)]
pub struct Together {
    /// The Certificate that has each Secret, by namespace and Secret.
    secrets: BTreeMap<(Option<String>, String), String>,
    /// The orders that count toward quotas.
    orders: Vec<Order>,
    /// What each of them takes.
    parts: Vec<Part>,
}

struct Order {
    server: String,
    issuer: IssuerKey,
    names: Vec<String>,
}

/// What one Certificate takes.
pub struct Part {
    /// Of the CA.
    pub cost: Cost,
    /// The budget that it takes it of, by its Lease, if that can be read.
    pub budget: Option<(String, Record)>,
}

/// What all of them take.
#[derive(Debug, PartialEq, Eq)]
pub struct Total {
    /// How many orders.
    pub orders: u64,
    /// About how many requests.
    pub requests: u64,
    /// About how many seconds, if all budgets are known: different CAs are asked at the same time.
    pub seconds: Option<u64>,
}

impl Together {
    /// Why `edited` would be refused beside those that were planned before, if so.
    pub fn clash(&self, edited: &Manifest, preview: &Preview) -> Option<String> {
        let mut secrets = preview.shards.iter().map(|shard| &shard.secret_name);
        secrets.find_map(|secret| {
            let holder = self.secrets.get(&(edited.namespace.clone(), secret.clone()))?;
            (*holder != edited.name).then(|| {
                format!(
                    "Secret {secret} would be written by Certificate {holder} and by Certificate {}, both of this file: \
                     choose another spec.secretName, or a sharding group's name, in one of them",
                    edited.name
                )
            })
        })
    }

    /// What will have been granted for those that were planned before, as far as it counts toward the quotas of `orderer`.
    pub fn granted(&self, orderer: Orderer<'_>, now: Timestamp) -> Vec<Granted> {
        let there = self.orders.iter().filter(|order| order.server == orderer.server);
        let granted = there.map(|order| Granted {
            at: now,
            names: order.names.clone(),
            by_account: order.issuer == *orderer.issuer,
        });
        granted.collect()
    }

    /// `edited` is planned, by the issuer and the server that `orderer` names, if they are known.
    pub fn take(&mut self, edited: &Manifest, orderer: Option<Orderer<'_>>, preview: &Preview, part: Part) {
        for shard in &preview.shards {
            let secret = (edited.namespace.clone(), shard.secret_name.clone());
            self.secrets.insert(secret, edited.name.clone());
        }
        if let Some(orderer) = orderer {
            self.orders.extend(preview.counted.iter().map(|names| Order {
                server: orderer.server.to_owned(),
                issuer: orderer.issuer.clone(),
                names: names.clone(),
            }));
        }
        self.parts.push(part);
    }

    /// What all of them take; nothing to tell of a single one.
    pub fn total(&self) -> Option<Total> {
        if self.parts.len() < 2 {
            return None;
        }
        let cost: Cost = self.parts.iter().map(|part| part.cost).sum();
        let mut by_lease: BTreeMap<&str, (Cost, &Record)> = BTreeMap::new();
        let mut is_known = true;
        for Part { cost, budget } in &self.parts {
            match budget {
                Some((lease, record)) => {
                    by_lease.entry(lease).or_insert((Cost::default(), record)).0 += *cost
                }
                None => is_known &= *cost == Cost::default(),
            }
        }
        let times = by_lease.into_values().map(|(cost, record)| time(cost, record));
        Some(Total {
            orders: cost.new_orders,
            requests: cost.requests,
            seconds: is_known.then(|| seconds(times.max().unwrap_or_default())),
        })
    }
}

#[cfg(test)]
mod tests {
    use sancho::certificate::preview::{Fate, PreviewedShard};
    use sancho_limiter::{Budget, Durations, Source};
    use serde_json::Value;

    use super::*;

    fn manifest(namespace: &str, name: &str) -> Manifest {
        Manifest {
            namespace: Some(namespace.into()),
            name: name.into(),
            object: Value::Null,
        }
    }

    /// A preview of one new shard with this Secret.
    fn preview(secret: &str) -> Preview {
        Preview {
            shards: vec![PreviewedShard {
                name: "shop-0".into(),
                secret_name: secret.into(),
                names: 1,
                fate: Fate::New,
                added: Vec::new(),
                removed: Vec::new(),
                because: Vec::new(),
                held_back: None,
            }],
            retired: Vec::new(),
            cost: Cost::default(),
            counted: vec![vec!["a.example".into()]],
            quotas: Vec::new(),
        }
    }

    /// So many requests, of the budget in this Lease, which has so many a second.
    fn part(requests: u64, budget: Option<(&str, f64)>) -> Part {
        Part {
            cost: Cost {
                requests,
                new_orders: 1,
            },
            budget: budget.map(|(lease, rate)| {
                let budget = Budget::new(rate, 0, 16);
                let record = Record::new("t".into(), budget, Source::Given, Durations::default());
                (lease.to_owned(), record)
            }),
        }
    }

    fn take(together: &mut Together, name: &str, part: Part) {
        let secret = format!("{name}-tls");
        together.take(&manifest("web", name), None, &preview(&secret), part);
    }

    #[test]
    fn two_certificates_of_a_namespace_do_not_get_the_same_secret() {
        let mut together = Together::default();
        together.take(&manifest("web", "one"), None, &preview("tls"), part(1, None));
        let clash = together.clash(&manifest("web", "two"), &preview("tls")).unwrap();
        assert!(
            clash.starts_with("Secret tls would be written by Certificate one and by Certificate two"),
            "{clash}"
        );
        for (namespace, name, secret) in [
            ("other", "two", "tls"),
            ("web", "two", "two"),
            ("web", "one", "tls"),
        ] {
            let clash = together.clash(&manifest(namespace, name), &preview(secret));
            assert_eq!(clash, None, "{namespace}/{name} with {secret}");
        }
    }

    #[test]
    fn what_is_planned_before_counts_toward_the_quotas_of_what_comes_after() {
        let key = |name: &str| IssuerKey {
            namespace: None,
            name: name.into(),
        };
        let (ca, other) = (key("ca"), key("other"));
        let orderer = |issuer, server| Orderer {
            server,
            issuer,
            account: None,
        };
        let mut together = Together::default();
        let first = orderer(&ca, "https://ca.example/dir");
        together.take(
            &manifest("web", "one"),
            Some(first),
            &preview("one"),
            part(1, None),
        );
        let by_account = |orderer| {
            let granted = together.granted(orderer, Timestamp::UNIX_EPOCH);
            granted
                .iter()
                .map(|order| order.by_account)
                .collect::<Vec<bool>>()
        };
        assert_eq!(by_account(first), [true]);
        assert_eq!(by_account(orderer(&other, "https://ca.example/dir")), [false]);
        assert!(by_account(orderer(&ca, "https://other.example/dir")).is_empty());
    }

    #[test]
    fn what_all_take_is_added_up_by_budget_and_cas_are_asked_at_the_same_time() {
        let mut together = Together::default();
        take(&mut together, "one", part(100, Some(("ca", 5.0))));
        assert_eq!(together.total(), None);
        take(&mut together, "two", part(50, Some(("ca", 5.0))));
        take(&mut together, "three", part(20, Some(("other", 1.0))));
        let total = together.total().unwrap();
        assert_eq!((total.orders, total.requests), (3, 170));
        // 150 at 5 a second, and 20 at 1 a second meanwhile.
        let seconds = total.seconds.unwrap();
        assert!((25..60).contains(&seconds), "{seconds}");
        take(&mut together, "four", part(1, None));
        assert_eq!(together.total().unwrap().seconds, None);
    }
}
