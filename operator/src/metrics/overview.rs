//! What there is of Certificates, names and shards, as the watches show it: counted anew whenever Prometheus asks.

use std::borrow::Borrow;
use std::collections::BTreeMap;

use jiff::Timestamp;
use kube::ResourceExt;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use sancho_crds::{Certificate, CertificateShard, IssuedStatus, condition};

/// Within how many hours certificates end, for the label `within` in hours; 0: they have ended.
const WITHIN_HOURS: [i64; 4] = [0, 24, 168, 720];

/// A renewal that is so late is overdue, however long the certificate lives.
const OVERDUE_SECONDS: i64 = 24 * 3600;

/// States of a Certificate, of which it is in one.
const CERTIFICATE_STATES: [&str; 4] = ["ready", "degraded", "pending", "stalled"];
/// States of a shard, of which it is in one.
const SHARD_STATES: [&str; 4] = ["ready", "ordering", "failed", "pending"];

/// The figures.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Overview {
    /// Certificates by [`CERTIFICATE_STATES`].
    certificates: BTreeMap<&'static str, i64>,
    /// Names: asked for, in a certificate in use, left out because they cannot be validated.
    names: BTreeMap<&'static str, i64>,
    /// Shards by [`SHARD_STATES`].
    shards: BTreeMap<&'static str, i64>,
    /// Shards whose certificates end within so many hours and should have been renewed, as [`is_late`] says.
    ending: BTreeMap<i64, i64>,
    /// Shards whose renewal [`is_overdue`].
    overdue: i64,
    /// When the first certificate in use ends, in Unix seconds.
    earliest: Option<i64>,
    /// Of each Certificate, by namespace and name, when its first certificate ends and whether it is ready; empty
    /// unless it is asked for.
    each: BTreeMap<(String, String), (Option<i64>, bool)>,
}

impl Overview {
    /// The figures of what there is at `now`. With `each` there are some for every Certificate.
    pub fn of(
        certificates: impl Iterator<Item = impl Borrow<Certificate>>,
        shards: impl Iterator<Item = impl Borrow<CertificateShard>>,
        each: bool,
        now: Timestamp,
    ) -> Self {
        let mut figures = Self::default();
        for certificate in certificates {
            figures.count_certificate(certificate.borrow(), each);
        }
        for shard in shards {
            figures.count_shard(shard.borrow(), now);
        }
        figures
    }

    fn count_certificate(&mut self, certificate: &Certificate, each: bool) {
        let state = certificate_state(certificate);
        *self.certificates.entry(state).or_default() += 1;
        let status = certificate.status.as_ref();
        let count = |number: Option<u32>| i64::from(number.unwrap_or_default());
        let asked = i64::try_from(certificate.spec.name_count()).unwrap_or(i64::MAX);
        let ready = count(status.and_then(|status| status.ready_names));
        let left_out = count(status.and_then(|status| status.quarantined_names));
        for (state, number) in [("asked", asked), ("ready", ready), ("quarantined", left_out)] {
            *self.names.entry(state).or_default() += number;
        }
        if each {
            let ends = status.and_then(|status| status.not_after.as_ref());
            let ends = ends.map(|ends| ends.0.as_second());
            let key = (
                certificate.namespace().unwrap_or_default(),
                certificate.name_any(),
            );
            self.each
                .insert(key, (ends, matches!(state, "ready" | "degraded")));
        }
    }

    fn count_shard(&mut self, shard: &CertificateShard, now: Timestamp) {
        *self.shards.entry(shard_state(shard)).or_default() += 1;
        let Some(issued) = shard.status.as_ref().and_then(|status| status.issued.as_ref()) else {
            return;
        };
        let ends = issued.not_after.0.as_second();
        let left = ends - now.as_second();
        let is_late = is_late(issued, now);
        for hours in WITHIN_HOURS {
            if is_late && left <= hours * 3600 {
                *self.ending.entry(hours).or_default() += 1;
            }
        }
        if is_overdue(issued, now) {
            self.overdue += 1;
        }
        self.earliest = Some(self.earliest.map_or(ends, |earliest| earliest.min(ends)));
    }
}

/// Is half of the time over that was planned for the renewal, from its moment to the end of the certificate?
///
/// One that lives for a day ends within 24 hours from its first moment on, and one of many is always being renewed just
/// now: neither is cause for concern.
fn is_late(issued: &IssuedStatus, now: Timestamp) -> bool {
    let ends = issued.not_after.0.as_second();
    ends - now.as_second() <= planned_seconds(issued) / 2
}

/// Was it to be renewed a day ago, or, if that is sooner, a quarter of the time ago that was planned for the renewal?
///
/// Of thousands that live for a day a few are always a little late: that is no cause for concern either.
fn is_overdue(issued: &IssuedStatus, now: Timestamp) -> bool {
    let late = now.as_second() - issued.renewal_time.0.as_second();
    late >= OVERDUE_SECONDS.min(planned_seconds(issued) / 4)
}

/// How long before its end a certificate was to be renewed.
fn planned_seconds(issued: &IssuedStatus) -> i64 {
    (issued.not_after.0.as_second() - issued.renewal_time.0.as_second()).max(0)
}

fn says(certificate: &Certificate, kind: &str) -> bool {
    let status = certificate.status.as_ref();
    let said = status.and_then(|status| condition(&status.conditions, kind));
    said.is_some_and(|said| said.status == "True")
}

fn certificate_state(certificate: &Certificate) -> &'static str {
    if says(certificate, "Stalled") {
        "stalled"
    } else if !says(certificate, "Ready") {
        "pending"
    } else if says(certificate, "Degraded") {
        "degraded"
    } else {
        "ready"
    }
}

fn shard_state(shard: &CertificateShard) -> &'static str {
    let Some(status) = &shard.status else {
        return "pending";
    };
    let is_ready = condition(&status.conditions, "Ready").is_some_and(|ready| ready.status == "True");
    if status.failure.is_some() {
        "failed"
    } else if status.order.is_some() {
        "ordering"
    } else if is_ready {
        "ready"
    } else {
        "pending"
    }
}

/// The gauges.
#[derive(Default)]
pub(super) struct Gauges {
    certificates: Family<StateLabels, Gauge>,
    names: Family<StateLabels, Gauge>,
    shards: Family<StateLabels, Gauge>,
    ending: Family<WithinLabels, Gauge>,
    overdue: Gauge,
    /// Nothing stands there while nothing is in use.
    earliest: Family<Vec<(String, String)>, Gauge>,
    each_end: Family<CertificateLabels, Gauge>,
    each_ready: Family<CertificateLabels, Gauge>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabels {
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WithinLabels {
    within: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CertificateLabels {
    // `namespace` is what Prometheus says of the Pod that it asks.
    certificate_namespace: String,
    certificate: String,
}

impl Gauges {
    pub(super) fn registered(registry: &mut Registry) -> Self {
        let gauges = Self::default();
        registry.register(
            "certificates",
            "Certificates: ready, degraded (ready without some names), pending, or stalled until they are edited",
            gauges.certificates.clone(),
        );
        registry.register(
            "names",
            "Names: asked for by Certificates, in a valid certificate in its Secret, or left out since they cannot be validated",
            gauges.names.clone(),
        );
        registry.register(
            "shards",
            "Shards: ready, ordering, failed and tried again later, or pending",
            gauges.shards.clone(),
        );
        registry.register(
            "expiring_shards",
            "Shards whose certificate ends within so many hours, though half of the time from its planned renewal to its end is over; 0h: it has ended",
            gauges.ending.clone(),
        );
        registry.register(
            "overdue_renewals",
            "Shards whose certificate was to be renewed a day ago, or a quarter of the time from its planned renewal to its end ago, if that is sooner",
            gauges.overdue.clone(),
        );
        registry.register(
            "earliest_expiry_timestamp_seconds",
            "When the first of all certificates in use ends, as a Unix time",
            gauges.earliest.clone(),
        );
        registry.register(
            "certificate_expiry_timestamp_seconds",
            "When the first certificate of this Certificate ends, as a Unix time; with --metrics-per-certificate",
            gauges.each_end.clone(),
        );
        registry.register(
            "certificate_ready",
            "1 while this Certificate is Ready; with --metrics-per-certificate",
            gauges.each_ready.clone(),
        );
        gauges
    }

    /// From now on they say what `figures` say.
    pub(super) fn set(&self, figures: &Overview) {
        let by_state =
            |family: &Family<StateLabels, Gauge>, states: &[&'static str], counts: &BTreeMap<&str, i64>| {
                for state in states {
                    let count = counts.get(state).copied().unwrap_or_default();
                    family.get_or_create(&StateLabels { state }).set(count);
                }
            };
        by_state(&self.certificates, &CERTIFICATE_STATES, &figures.certificates);
        by_state(&self.names, &["asked", "ready", "quarantined"], &figures.names);
        by_state(&self.shards, &SHARD_STATES, &figures.shards);
        for hours in WITHIN_HOURS {
            let within = format!("{hours}h");
            let count = figures.ending.get(&hours).copied().unwrap_or_default();
            self.ending.get_or_create(&WithinLabels { within }).set(count);
        }
        self.overdue.set(figures.overdue);
        match figures.earliest {
            Some(earliest) => {
                self.earliest.get_or_create(&Vec::new()).set(earliest);
            }
            None => self.earliest.clear(),
        }
        // What is gone is not told any more.
        self.each_end.clear();
        self.each_ready.clear();
        for ((namespace, name), (ends, is_ready)) in &figures.each {
            let labels = CertificateLabels {
                certificate_namespace: namespace.clone(),
                certificate: name.clone(),
            };
            if let Some(ends) = ends {
                self.each_end.get_or_create(&labels).set(*ends);
            }
            self.each_ready.get_or_create(&labels).set(i64::from(*is_ready));
        }
    }
}

#[cfg(test)]
mod tests;
