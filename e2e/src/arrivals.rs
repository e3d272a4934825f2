//! What arrived at the CA front: the data that the front writes and the checker reads.

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
    /// revokeCert, keyChange, renewalInfo.
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
            "revoke-cert" | "rollover-account-key" | "draft-ietf-acme-ari-03" => Self::Management,
            _ => Self::Other,
        }
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

    /// Requests by client, sorted by client.
    pub fn by_client(&self) -> std::collections::BTreeMap<&str, usize> {
        let mut counts = std::collections::BTreeMap::new();
        for arrival in &self.arrivals {
            *counts.entry(arrival.client.as_str()).or_default() += 1;
        }
        counts
    }

    /// Requests of one replica. It signs with its pod's name, or with that, a dash and something of
    /// its process.
    pub fn requests_of(&self, replica: &str) -> usize {
        let is_its = |client: &str| {
            client
                .strip_prefix(replica)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
        };
        self.arrivals
            .iter()
            .filter(|arrival| is_its(&arrival.client))
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
