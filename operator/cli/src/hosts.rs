//! Which Secret serves a host name, and what expires soon. Pure.

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use sancho_crds::{CertificateShard, QuarantinePlace, QuarantinedName, condition};
use serde::Serialize;

use crate::output::table;
use crate::span;

/// One Secret with a certificate.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Served {
    /// The namespace.
    pub namespace: String,
    /// The Certificate.
    pub certificate: String,
    /// The Secret.
    pub secret: String,
    /// How many names it has.
    pub names: usize,
    /// Whether the certificate that is asked for is in it.
    pub ready: bool,
    /// When it expires; absent if there is none yet.
    pub not_after: Option<Timestamp>,
    /// How long that is.
    #[serde(skip)]
    pub left: String,
}

/// The Secrets that serve `host`, by its own name or by a wildcard.
pub fn which(host: &str, shards: &[CertificateShard], now: Timestamp) -> Vec<Served> {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let wildcard = host.split_once('.').map(|(_, parent)| format!("*.{parent}"));
    let serves = |name: &String| *name == host || Some(name) == wildcard.as_ref();
    let mut found: Vec<Served> = shards
        .iter()
        .filter(|shard| shard.spec.names().iter().any(serves))
        .map(|shard| {
            let served = served(shard, now);
            let ready = served.ready && !is_left_out(shard, serves);
            Served { ready, ..served }
        })
        .collect();
    found.sort_by(|a, b| (&a.namespace, &a.secret).cmp(&(&b.namespace, &b.secret)));
    found
}

/// What expires within `within` of `now`, the next one first; what has expired counts.
pub fn expiring(shards: &[CertificateShard], within: SignedDuration, now: Timestamp) -> Vec<Served> {
    let end = now.saturating_add(within).unwrap_or(Timestamp::MAX);
    let mut found: Vec<Served> = shards
        .iter()
        .map(|shard| served(shard, now))
        .filter(|served| served.not_after.is_some_and(|at| at <= end))
        .collect();
    found.sort_by(|a, b| (a.not_after, &a.namespace, &a.secret).cmp(&(b.not_after, &b.namespace, &b.secret)));
    found
}

/// Is the certificate without such a name, because it cannot be validated?
fn is_left_out(shard: &CertificateShard, serves: impl Fn(&String) -> bool) -> bool {
    let quarantine = shard.status.as_ref().map_or(&[][..], |status| &status.quarantine);
    let left_out = |entry: &QuarantinedName| entry.place != QuarantinePlace::Served && serves(&entry.name);
    quarantine.iter().any(left_out)
}

fn served(shard: &CertificateShard, now: Timestamp) -> Served {
    let status = shard.status.as_ref();
    let not_after = status
        .and_then(|status| status.issued.as_ref())
        .map(|issued| issued.not_after.0);
    let ready = status
        .and_then(|status| condition(&status.conditions, "Ready"))
        .is_some_and(|ready| ready.status == "True");
    Served {
        namespace: shard.namespace().unwrap_or_default(),
        certificate: shard.spec.certificate.clone(),
        secret: shard.spec.secret_name.clone(),
        names: shard.spec.name_count(),
        ready: ready && not_after.is_some_and(|at| at > now),
        left: not_after.map_or_else(|| "-".into(), |at| span::until(at, now)),
        not_after,
    }
}

/// A line for each.
pub fn text(served: &[Served]) -> String {
    let rows = served.iter().map(|served| {
        [
            served.namespace.clone(),
            served.secret.clone(),
            served.certificate.clone(),
            served.names.to_string(),
            if served.ready { "True" } else { "False" }.to_owned(),
            served.left.clone(),
        ]
    });
    table(
        [
            "NAMESPACE",
            "SECRET",
            "CERTIFICATE",
            "NAMES",
            "READY",
            "EXPIRES IN",
        ],
        rows,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::tests::{NOW, at, issued_shard, new_shard};

    #[test]
    fn a_host_is_found_by_name_and_by_wildcard() {
        let shards = [
            issued_shard("shop-0", &["www.shop.example", "*.shop.example"], 90),
            new_shard("blog-0", &["blog.example"]),
        ];
        let secrets = |host| -> Vec<String> {
            let found = which(host, &shards, at(NOW));
            found.into_iter().map(|served| served.secret).collect()
        };
        assert_eq!(secrets("WWW.shop.example."), ["shop-0-tls"]);
        assert_eq!(secrets("api.shop.example"), ["shop-0-tls"]);
        assert_eq!(secrets("a.b.shop.example"), Vec::<String>::new());
        assert_eq!(secrets("blog.example"), ["blog-0-tls"]);
    }

    #[test]
    fn what_expires_next_comes_first_and_what_is_not_there_does_not_expire() {
        let shards = [
            issued_shard("late-0", &["a.example"], 90),
            issued_shard("soon-0", &["b.example"], 10),
            issued_shard("gone-0", &["c.example"], -1),
            new_shard("new-0", &["d.example"]),
        ];
        let found = expiring(&shards, SignedDuration::from_hours(14 * 24), at(NOW));
        let told: Vec<_> = found
            .iter()
            .map(|s| (s.secret.as_str(), s.left.as_str()))
            .collect();
        assert_eq!(told, [("gone-0-tls", "expired"), ("soon-0-tls", "10d")]);
    }
}
