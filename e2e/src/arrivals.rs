//! What arrived at the CA front: the data that the front writes and the checker reads.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// Everything that reached the front from its start until the log was taken.
///
/// All times are microseconds since the front's start, on one monotonic clock.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ArrivalLog {
    /// When this copy was taken.
    pub taken_us: u64,
    /// In the order of arrival.
    pub arrivals: Vec<Arrival>,
    /// In the order of opening.
    pub connections: Vec<Connection>,
}

/// One request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Arrival {
    /// When its header had been read.
    pub at_us: u64,
    /// When its answer had been handed to the connection, or its connection was found closed.
    /// `None`: not yet.
    pub ended_us: Option<u64>,
    /// Index into [`ArrivalLog::connections`].
    pub connection: u64,
    /// HTTP method.
    pub method: String,
    /// What kind of request it is.
    pub kind: RequestKind,
    /// The path, without the query.
    pub path: String,
    /// The answer's status. `None`: none yet, or the client went away before it.
    pub status: Option<u16>,
    /// True if a limit refused it; it did not reach the CA then.
    pub throttled: bool,
    /// Who sent it: `NAME` from a User-Agent that has `(replica NAME)`, else the whole User-Agent,
    /// else the peer's address.
    pub client: String,
    /// The path of the order that it is about, as the CA's answers have told it: the order that it made or asked for, or
    /// whose authorization, challenge, finalize or certificate it asked for. An authorization of several orders counts
    /// for the last. `None`: it is about no order, or about one whose making is not in the log.
    #[serde(default)]
    pub order: Option<String>,
}

/// One TCP connection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Connection {
    /// When it was accepted.
    pub opened_us: u64,
    /// When the front saw its end. `None`: still open.
    pub closed_us: Option<u64>,
    /// The other end.
    pub peer: String,
}

/// What an ACME request is about (RFC 8555 §7), by Pebble's paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RequestKind {
    /// The directory.
    Directory,
    /// newNonce.
    Nonce,
    /// newAccount.
    NewAccount,
    /// An account, or its list of orders.
    Account,
    /// newOrder.
    NewOrder,
    /// An order.
    Order,
    /// An authorization.
    Authorization,
    /// A challenge.
    Challenge,
    /// An order's finalize.
    Finalize,
    /// A certificate.
    Certificate,
    /// renewalInfo (RFC 9773).
    RenewalInfo,
    /// revokeCert, keyChange.
    Management,
    /// Anything else.
    Other,
}

impl RequestKind {
    /// The kind of a path as Pebble names them.
    pub fn of_path(path: &str) -> Self {
        let first = path.trim_start_matches('/').split('/').next().unwrap_or_default();
        match first {
            "dir" => Self::Directory,
            "nonce-plz" => Self::Nonce,
            "sign-me-up" => Self::NewAccount,
            "my-account" | "list-orderz" => Self::Account,
            "order-plz" => Self::NewOrder,
            "my-order" => Self::Order,
            "authZ" => Self::Authorization,
            "chalZ" => Self::Challenge,
            "finalize-order" => Self::Finalize,
            "certZ" => Self::Certificate,
            "draft-ietf-acme-ari-03" => Self::RenewalInfo,
            "revoke-cert" | "rollover-account-key" => Self::Management,
            _ => Self::Other,
        }
    }
}

impl Arrival {
    /// Whether this replica sent it. It signs with its pod's name, or with that, a dash and something of its process.
    pub fn is_of(&self, replica: &str) -> bool {
        let rest = self.client.strip_prefix(replica);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    }
}

impl ArrivalLog {
    /// How many requests were refused by a limit.
    pub fn throttled(&self) -> usize {
        self.arrivals.iter().filter(|arrival| arrival.throttled).count()
    }

    /// How many orders the CA made: answers 201 to newOrder.
    pub fn orders(&self) -> usize {
        let made = |arrival: &&Arrival| arrival.kind == RequestKind::NewOrder && arrival.status == Some(201);
        self.arrivals.iter().filter(made).count()
    }

    /// The requests about each order, by its path, in the order of arrival.
    pub fn by_order(&self) -> BTreeMap<&str, Vec<&Arrival>> {
        let mut orders: BTreeMap<&str, Vec<&Arrival>> = BTreeMap::new();
        for arrival in &self.arrivals {
            if let Some(order) = &arrival.order {
                orders.entry(order).or_default().push(arrival);
            }
        }
        orders
    }

    /// How many challenges the CA was told to validate: those whose URL was answered 200.
    pub fn challenges(&self) -> usize {
        let told = |arrival: &&Arrival| arrival.kind == RequestKind::Challenge && arrival.status == Some(200);
        let urls: BTreeSet<&str> = self
            .arrivals
            .iter()
            .filter(told)
            .map(|arrival| arrival.path.as_str())
            .collect();
        urls.len()
    }

    /// How the CA answered so far, by code: `12 requests (200: 11, 503: 1)`. Code 0: not yet.
    pub fn answers(&self) -> String {
        let mut codes: BTreeMap<u16, usize> = BTreeMap::new();
        for arrival in &self.arrivals {
            *codes.entry(arrival.status.unwrap_or_default()).or_default() += 1;
        }
        let codes: Vec<String> = codes
            .iter()
            .map(|(code, count)| format!("{code}: {count}"))
            .collect();
        format!("{} requests ({})", self.arrivals.len(), codes.join(", "))
    }

    /// Requests by client, sorted by client.
    pub fn by_client(&self) -> BTreeMap<&str, usize> {
        let mut counts = BTreeMap::new();
        for arrival in &self.arrivals {
            *counts.entry(arrival.client.as_str()).or_default() += 1;
        }
        counts
    }

    /// Requests of one replica.
    pub fn requests_of(&self, replica: &str) -> usize {
        self.arrivals
            .iter()
            .filter(|arrival| arrival.is_of(replica))
            .count()
    }

    /// The part of the log that arrived at `from_us` or later. Connections stay, since indices
    /// point at them.
    pub fn since(&self, from_us: u64) -> Self {
        let arrivals = self
            .arrivals
            .iter()
            .filter(|arrival| arrival.at_us >= from_us)
            .cloned()
            .collect();
        ArrivalLog {
            taken_us: self.taken_us,
            arrivals,
            connections: self.connections.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrival(path: &str, status: Option<u16>) -> Arrival {
        Arrival {
            at_us: 0,
            ended_us: None,
            connection: 0,
            method: "POST".into(),
            kind: RequestKind::of_path(path),
            path: path.into(),
            status,
            throttled: status == Some(503),
            client: "client".into(),
            order: None,
        }
    }

    fn log() -> ArrivalLog {
        ArrivalLog {
            arrivals: vec![
                arrival("/chalZ/1", Some(200)),
                arrival("/chalZ/1", Some(200)),
                arrival("/chalZ/2", Some(503)),
                arrival("/chalZ/3", Some(200)),
                arrival("/chalZ/4", None),
                arrival("/authZ/5", Some(200)),
            ],
            ..ArrivalLog::default()
        }
    }

    #[test]
    fn a_challenge_counts_once_and_only_when_the_ca_took_it() {
        assert_eq!(log().challenges(), 2);
    }

    #[test]
    fn answers_are_counted_by_code() {
        assert_eq!(log().answers(), "6 requests (0: 1, 200: 4, 503: 1)");
    }
    #[test]
    fn requests_are_told_apart_by_order_and_by_replica() {
        let about = |path: &str, order: Option<&str>, client: &str| Arrival {
            order: order.map(str::to_owned),
            client: client.to_owned(),
            ..arrival(path, Some(200))
        };
        let log = ArrivalLog {
            arrivals: vec![
                about("/dir", None, "sancho-1-abc"),
                about("/authZ/1", Some("/my-order/1"), "sancho-1-abc"),
                about("/authZ/2", Some("/my-order/2"), "sancho-10"),
                about("/chalZ/1", Some("/my-order/1"), "sancho-1"),
            ],
            ..ArrivalLog::default()
        };
        let paths: Vec<(&str, Vec<&str>)> = log
            .by_order()
            .into_iter()
            .map(|(order, arrivals)| (order, arrivals.iter().map(|one| one.path.as_str()).collect()))
            .collect();
        let one = vec!["/authZ/1", "/chalZ/1"];
        assert_eq!(paths, [("/my-order/1", one), ("/my-order/2", vec!["/authZ/2"])]);
        assert_eq!(log.requests_of("sancho-1"), 3);
    }
}
