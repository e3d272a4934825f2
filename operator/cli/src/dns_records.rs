//! The TXT records that have to stand for a Certificate (dns-persist-01). Pure.

use jiff::Timestamp;
use kube::ResourceExt;
use sancho::shard::quarantine::entries;
use sancho::solvers::dns01::standing_place;
use sancho::solvers::solver_for;
use sancho_core::standing::{Standing, StandingRecord, TTL};
use sancho_crds::{Certificate, CertificateShard, DnsPersist01, IssuerKind};
use serde::Serialize;

use crate::cluster::AnIssuer;

/// What is said where a CNAME may lead elsewhere.
const UNFOUND: &str =
    "; where a CNAME stands at such a name, create the record where that leads: no record stands beside one";

/// The records of one Certificate.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RecordsView {
    /// The namespace.
    pub namespace: String,
    /// The Certificate.
    pub certificate: String,
    /// The issuer, in words.
    pub issuer: String,
    /// The records; none if no name is validated by one, or if they are not known.
    pub records: Vec<RecordView>,
    /// Why they are not known yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unknown: Option<String>,
}

/// One record.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RecordView {
    /// Where it stands, without a final dot. If a CNAME stands there that Sancho has not seen, it stands where that leads.
    pub name: String,
    /// The name whose CNAME leads there, as Sancho has found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cname: Option<String>,
    /// Whether Sancho has found where it stands.
    #[serde(skip)]
    pub is_found: bool,
    /// `TXT`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// A good time to live.
    pub ttl: u32,
    /// Its value, in one.
    pub value: String,
    /// All of it as a line of a zone file.
    pub line: String,
}

/// The records for `certificate`, whose issuer this is. `shards`: any, its own among them.
pub fn view(
    certificate: &Certificate,
    issuer: Option<&AnIssuer>,
    shards: &[CertificateShard],
) -> RecordsView {
    let reference = &certificate.spec.issuer_ref;
    let kind = match reference.kind() {
        IssuerKind::Issuer => "Issuer",
        IssuerKind::ClusterIssuer => "ClusterIssuer",
    };
    let words = format!("{kind} {}", reference.name);
    let findings = findings(certificate, shards);
    let record = |wanted| record(wanted, &findings);
    let (records, unknown) = match records(certificate, issuer, &words) {
        Ok(records) => (records.into_iter().map(record).collect(), None),
        Err(why) => (Vec::new(), Some(why)),
    };
    RecordsView {
        namespace: certificate.namespace().unwrap_or_default(),
        certificate: certificate.name_any(),
        issuer: words,
        records,
        unknown,
    }
}

fn records(
    certificate: &Certificate,
    issuer: Option<&AnIssuer>,
    words: &str,
) -> Result<Vec<StandingRecord>, String> {
    let issuer = issuer.ok_or_else(|| format!("{words} is not there: apply it first"))?;
    let solvers = &issuer.acme.solvers;
    let settings = |name: &str| {
        solver_for(solvers, name, certificate.labels())?
            .dns_persist01
            .as_ref()
    };
    let until = |settings: &DnsPersist01| settings.persist_until.as_ref().map(|until| until.0);
    let names = certificate.spec.dns_names.iter();
    let standing: Vec<(&str, Option<Timestamp>)> = names
        .filter_map(|name| Some((name.as_str(), until(settings(name)?))))
        .collect();
    if standing.is_empty() {
        return Ok(Vec::new());
    }
    let status = issuer.status.clone().unwrap_or_default();
    let is_its = status.account_server.as_ref() == Some(&issuer.acme.server);
    let Some(account) = status.account_url.filter(|_| is_its) else {
        return Err(format!(
            "{words} has no account at its CA yet, whose URL is part of each record (accounturi): wait until it is Ready"
        ));
    };
    let issuers = status.issuer_domain_names.unwrap_or_default();
    if issuers.is_empty() {
        return Err(format!(
            "{words} does not know yet by which name its CA goes in records: its directory has no caaIdentities, or was \
             not read yet; the first order tells"
        ));
    }
    let records = Standing::new(&issuers, &account).map(|known| known.records(standing));
    records.map_err(|unwritable| unwritable.to_string())
}

/// What Sancho has found of names of this Certificate, in the words of its shards.
fn findings<'a>(certificate: &Certificate, shards: &'a [CertificateShard]) -> Vec<&'a str> {
    let (namespace, name) = (certificate.namespace(), certificate.name_any());
    let mut findings = Vec::new();
    for shard in shards {
        if shard.namespace() != namespace || shard.spec.certificate != name {
            continue;
        }
        findings.extend(entries(shard).into_iter().map(|entry| entry.message.as_str()));
        // Where all names are wanted or none: that of the first name, which stands before it.
        let failure = shard.status.as_ref().and_then(|status| status.failure.as_ref());
        findings.extend(failure.and_then(|failure| Some(failure.message.split_once(": ")?.1)));
    }
    findings
}

/// A record, at the place that one of these findings has for it.
fn record(wanted: StandingRecord, findings: &[&str]) -> RecordView {
    let StandingRecord { name: due, value } = wanted;
    let found = findings.iter().find_map(|finding| standing_place(finding, &due));
    let is_found = found.is_some();
    let (name, cname) = match found {
        Some(place) if place != due => (place.to_owned(), Some(due)),
        Some(_) | None => (due, None),
    };
    let record = StandingRecord { name, value };
    RecordView {
        line: record.to_string(),
        name: record.name,
        cname,
        is_found,
        kind: "TXT",
        ttl: TTL,
        value: record.value,
    }
}

/// Lines of a zone file.
pub fn text(views: &[RecordsView]) -> String {
    views.iter().map(paragraph).collect()
}

fn paragraph(view: &RecordsView) -> String {
    let RecordsView {
        namespace,
        certificate,
        issuer,
        records,
        unknown,
    } = view;
    let mut lines = vec![format!("; Certificate {namespace}/{certificate}, {issuer}")];
    lines.extend(unknown.iter().map(|why| format!("; not known yet: {why}")));
    if unknown.is_none() && records.is_empty() {
        lines.push("; no name of it is validated by dns-persist-01 (dnsPersist01)".into());
    }
    if records.iter().any(|record| !record.is_found) {
        lines.push(UNFOUND.into());
    }
    for RecordView { cname, line, .. } in records {
        lines.extend(
            cname
                .iter()
                .map(|cname| format!("; where the CNAME at {cname} leads:")),
        );
        lines.push(line.clone());
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use sancho::solvers::dns01::{DnsFault, STANDING_RECORD_MISSING};
    use sancho_core::standing;
    use sancho_crds::IssuerStatus;
    use serde_json::json;

    use super::*;

    const SERVER: &str = "https://ca.example/directory";

    fn certificate(dns_names: &[&str]) -> Certificate {
        let object = json!({
            "apiVersion": "sancho.dev/v1alpha1",
            "kind": "Certificate",
            "metadata": { "name": "shop", "namespace": "web" },
            "spec": {
                "secretName": "shop", "issuerRef": { "name": "ca", "kind": "ClusterIssuer" }, "dnsNames": dns_names,
            },
        });
        serde_json::from_value(object).unwrap()
    }

    fn issuer(status: Option<IssuerStatus>) -> AnIssuer {
        let acme = json!({
            "server": SERVER,
            "privateKeySecretRef": { "name": "account" },
            "solvers": [
                { "http01": { "external": {} } },
                {
                    "selector": { "dnsZones": ["shop.example"] },
                    "dnsPersist01": { "persistUntil": "2030-01-01T00:00:00Z" },
                },
            ],
        });
        AnIssuer {
            acme: serde_json::from_value(acme).unwrap(),
            allowed: None,
            status,
        }
    }

    fn registered(issuers: Option<&str>) -> IssuerStatus {
        IssuerStatus {
            account_url: Some("https://ca.example/acct/1".into()),
            account_server: Some(SERVER.into()),
            issuer_domain_names: issuers.map(|name| vec![name.to_owned()]),
            ..IssuerStatus::default()
        }
    }

    #[test]
    fn a_record_for_each_place_is_printed_as_a_zone_file_has_it() {
        let certificate = certificate(&[
            "shop.example",
            "*.shop.example",
            "www.shop.example",
            "blog.example",
        ]);
        let view = view(
            &certificate,
            Some(&issuer(Some(registered(Some("ca.example"))))),
            &[],
        );
        let start = "3600 IN TXT \"ca.example; accounturi=https://ca.example/acct/1";
        assert_eq!(
            text(std::slice::from_ref(&view)),
            format!(
                "; Certificate web/shop, ClusterIssuer ca\n\
                 {UNFOUND}\n\
                 _validation-persist.shop.example. {start}; policy=wildcard; persistUntil=1893456000\"\n\
                 _validation-persist.www.shop.example. {start}; persistUntil=1893456000\"\n"
            )
        );
        let json = serde_json::to_value(&view).unwrap();
        assert_eq!(json["records"][0]["type"], "TXT");
        assert_eq!(json["records"][0]["name"], "_validation-persist.shop.example");
        assert_eq!(json["records"][0].get("cname"), None);
        assert_eq!(json.get("unknown"), None);
    }

    /// A shard of the Certificate of this name, with what was found of names and why its order failed.
    fn shard(certificate: &str, found: &[(&str, &DnsFault)], failure: Option<&str>) -> CertificateShard {
        let entry = |(name, fault): &(&str, &DnsFault)| {
            json!({
                "name": name, "place": "Out", "foundBy": "Check", "reason": fault.reason, "message": fault.words,
                "since": "2026-01-01T00:00:00Z", "count": 1, "nextTry": "2026-01-01T01:00:00Z",
            })
        };
        let failure = failure.map(|message| {
            json!({
                "reason": STANDING_RECORD_MISSING, "message": message, "target": "t", "count": 1,
                "retryTime": "2026-01-01T01:00:00Z",
            })
        });
        let names: Vec<&str> = found.iter().map(|(name, _)| *name).collect();
        let object = json!({
            "apiVersion": "sancho.dev/v1alpha1",
            "kind": "CertificateShard",
            "metadata": { "name": "shop-1", "namespace": "web" },
            "spec": {
                "certificate": certificate, "index": 0, "secretName": "shop", "issuerRef": { "name": "ca" },
                "dnsNames": names,
            },
            "status": { "quarantine": found.iter().map(entry).collect::<Vec<_>>(), "failure": failure },
        });
        serde_json::from_value(object).unwrap()
    }

    /// That the record of this domain is missing, which is to stand at `place`.
    fn missing(domain: &str, place: &str) -> DnsFault {
        let wanted = StandingRecord {
            name: place.into(),
            value: "ca.example; accounturi=https://ca.example/acct/1".into(),
        };
        let due = standing::place(domain);
        DnsFault::standing(STANDING_RECORD_MISSING, &wanted, &due, "there is none of this CA")
    }

    #[test]
    fn a_record_is_printed_where_the_finding_of_the_shard_has_it() {
        let certificate = certificate(&["shop.example", "www.shop.example", "blog.shop.example"]);
        let elsewhere = missing("shop.example", "shop.standing.example");
        let own = missing("www.shop.example", "_validation-persist.www.shop.example");
        let blog = missing("blog.shop.example", "blog.standing.example");
        let of_all = format!("blog.shop.example: {}; and 1 more", blog.words);
        let issuer = issuer(Some(registered(Some("ca.example"))));
        let printed = |shards: &[CertificateShard]| {
            let view = view(&certificate, Some(&issuer), shards);
            let json = serde_json::to_value(&view).unwrap();
            let text = text(&[view]);
            let of = |line: &str| line.split(". ").next().unwrap_or_default().to_owned();
            (text.lines().skip(1).map(of).collect::<Vec<_>>(), json)
        };
        let found = [("shop.example", &elsewhere), ("www.shop.example", &own)];
        let (lines, json) = printed(&[shard("shop", &found, None), shard("shop", &[], Some(&of_all))]);
        assert_eq!(
            lines,
            [
                "; where the CNAME at _validation-persist.blog.shop.example leads:",
                "blog.standing.example",
                "; where the CNAME at _validation-persist.shop.example leads:",
                "shop.standing.example",
                "_validation-persist.www.shop.example",
            ]
        );
        assert_eq!(
            json["records"][0]["cname"],
            "_validation-persist.blog.shop.example"
        );
        assert_eq!(json["records"][0]["name"], "blog.standing.example");
        assert_eq!(json["records"][2].get("cname"), None);

        // What was found for another Certificate says nothing of this one.
        let (lines, _) = printed(&[shard("other", &found, None)]);
        assert_eq!(lines[0], UNFOUND);
        assert_eq!(lines[2], "_validation-persist.shop.example");
    }

    #[test]
    fn what_is_not_known_yet_is_told() {
        let certificate = certificate(&["shop.example"]);
        let other_ca = IssuerStatus {
            account_server: Some("https://other.example/directory".into()),
            ..registered(Some("ca.example"))
        };
        for (issuer, words) in [
            (None, "ClusterIssuer ca is not there"),
            (
                Some(issuer(None)),
                "has no account at its CA yet, whose URL is part of each record (accounturi)",
            ),
            (Some(issuer(Some(other_ca))), "has no account at its CA yet"),
            (Some(issuer(Some(registered(None)))), "by which name its CA goes"),
        ] {
            let view = view(&certificate, issuer.as_ref(), &[]);
            assert!(view.unknown.as_ref().unwrap().contains(words), "{view:?}");
            assert!(text(&[view]).contains("; not known yet: ClusterIssuer ca"));
        }
    }

    #[test]
    fn a_certificate_without_such_names_needs_none() {
        let certificate = certificate(&["blog.example"]);
        let view = view(&certificate, Some(&issuer(None)), &[]);
        assert_eq!(view.unknown, None);
        assert!(text(&[view]).contains("no name of it is validated by dns-persist-01"));
    }
}
