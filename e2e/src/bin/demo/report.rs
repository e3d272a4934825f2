//! The figures at the end.

use std::time::Duration;

use anyhow::Result;
use kube::Api;
use sancho_crds::CertificateShard;
use sancho_e2e::certificates::in_secrets;
use sancho_e2e::checker::{Bounds, judge};
use sancho_e2e::world::World;
use serde::Serialize;

use crate::arguments::Arguments;
use crate::follow::Follower;

/// The figures. Those that only the CA's log can tell are absent when the CA runs elsewhere.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    names: usize,
    /// Names that stand in a certificate in a Secret.
    issued: usize,
    /// Orders that were recorded, over all shards.
    orders: u32,
    secrets: usize,
    seconds: f64,
    requests: Option<usize>,
    throttled: Option<usize>,
    violations: Option<Vec<String>>,
    lease_writes: usize,
    killed: Option<String>,
    replicas: Vec<ReplicaFigures>,
    #[serde(skip)]
    secret_names: Vec<String>,
    /// The most requests that the CA may refuse for all to be well; any number if what it bears was given,
    /// since the violations tell then.
    #[serde(skip)]
    throttled_at_most: Option<usize>,
}

/// So many requests may be refused while it is found out what the CA bears.
const WHILE_LEARNING: usize = 10;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ReplicaFigures {
    name: String,
    requests: usize,
}

impl Report {
    /// Reads Secrets, shards, the CA's log and the API server's audit log.
    pub async fn make(
        world: &World,
        arguments: &Arguments,
        follower: &Follower,
        seconds: Duration,
        since: jiff::Timestamp,
    ) -> Result<Self> {
        let client = world.cluster.client();
        let shards: Api<CertificateShard> = Api::namespaced(client.clone(), "default");
        let shards = shards.list(&Default::default()).await?;
        let orders = shards
            .iter()
            .filter_map(|shard| shard.status.as_ref()?.orders)
            .sum();
        let (issued, secret_names) = in_secrets(&Api::namespaced(client, "default")).await?;
        let writes = world.writes_by_sancho(since)?;
        let lease_writes = writes.iter().filter(|write| write.resource == "leases").count();
        let mut report = Self {
            names: usize::try_from(arguments.names)?,
            issued: issued.len(),
            orders,
            secrets: secret_names.len(),
            seconds: (seconds.as_secs_f64() * 10.0).round() / 10.0,
            requests: None,
            throttled: None,
            violations: None,
            lease_writes,
            killed: follower.killed.clone(),
            replicas: Vec::new(),
            secret_names,
            throttled_at_most: arguments.discover.then_some(WHILE_LEARNING),
        };
        if let Ok(front) = world.front() {
            let log = front.log();
            let bounds = Bounds::new(arguments.ca_rate, arguments.ca_burst, arguments.ca_connections);
            report.requests = Some(log.arrivals.len());
            report.throttled = Some(log.throttled());
            if !arguments.discover {
                let verdict = judge(&log, &bounds);
                report.violations = Some(verdict.violations.iter().map(ToString::to_string).collect());
            }
            let of = |name: &str| ReplicaFigures {
                name: name.to_owned(),
                requests: log.requests_of(name),
            };
            report.replicas = world.replicas.iter().map(|replica| of(replica.name())).collect();
        }
        Ok(report)
    }

    /// Were all names issued, nothing violated, and few requests refused if it had to be learned how many the
    /// CA bears?
    pub fn is_good(&self) -> bool {
        let few_throttled = match (self.throttled, self.throttled_at_most) {
            (Some(throttled), Some(most)) => throttled <= most,
            _ => true,
        };
        self.issued == self.names && few_throttled && self.violations.as_ref().is_none_or(Vec::is_empty)
    }

    /// The Secrets' names.
    pub fn secrets_in_words(&self) -> String {
        match self.secret_names.as_slice() {
            [] => "No Secret was written.".into(),
            names if names.len() <= 12 => format!("Secrets: {}", names.join(", ")),
            names => format!(
                "{} Secrets: {} … {}",
                names.len(),
                names[0],
                names[names.len() - 1]
            ),
        }
    }

    /// One line of figures.
    pub fn line(&self) -> String {
        let of_ca = match (self.requests, self.throttled) {
            (Some(requests), Some(throttled)) => {
                let shares: Vec<String> = self
                    .replicas
                    .iter()
                    .map(|r| format!("{} {}", r.name, r.requests))
                    .collect();
                let violations = self.violations.as_ref().map_or(String::new(), |violations| {
                    let first = violations.first();
                    let words = first.map_or(String::new(), |first| format!(" (first: {first})"));
                    format!(", {} violations{words}", violations.len())
                });
                format!(
                    "{requests} requests ({}), {throttled} throttled{violations}",
                    shares.join(", ")
                )
            }
            _ => "requests: the CA runs elsewhere, its log is not judged".into(),
        };
        format!(
            "{} of {} names in {} orders and {} Secrets, {:.1} s, {of_ca}, {} Lease writes",
            self.issued, self.names, self.orders, self.secrets, self.seconds, self.lease_writes
        )
    }
}
