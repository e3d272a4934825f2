//! The TXT records that have to stand for a Certificate (dns-persist-01). Pure.

use jiff::Timestamp;
use kube::ResourceExt;
use sancho::solvers::solver_for;
use sancho_core::standing::{Standing, StandingRecord, TTL};
use sancho_crds::{Certificate, DnsPersist01, IssuerKind};
use serde::Serialize;

use crate::cluster::AnIssuer;

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
    /// Where it stands, without a final dot. If a CNAME stands there, it stands where that leads.
    pub name: String,
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

/// The records for `certificate`, whose issuer this is.
pub fn view(certificate: &Certificate, issuer: Option<&AnIssuer>) -> RecordsView {
    let reference = &certificate.spec.issuer_ref;
    let kind = match reference.kind() {
        IssuerKind::Issuer => "Issuer",
        IssuerKind::ClusterIssuer => "ClusterIssuer",
    };
    let words = format!("{kind} {}", reference.name);
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

fn record(record: StandingRecord) -> RecordView {
    RecordView {
        line: record.to_string(),
        name: record.name,
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
    lines.extend(records.iter().map(|record| record.line.clone()));
    lines.iter().map(|line| format!("{line}\n")).collect()
}

#[cfg(test)]
mod tests {
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
        let view = view(&certificate, Some(&issuer(Some(registered(Some("ca.example"))))));
        let start = "3600 IN TXT \"ca.example; accounturi=https://ca.example/acct/1";
        assert_eq!(
            text(std::slice::from_ref(&view)),
            format!(
                "; Certificate web/shop, ClusterIssuer ca\n\
                 _validation-persist.shop.example. {start}; policy=wildcard; persistUntil=1893456000\"\n\
                 _validation-persist.www.shop.example. {start}; persistUntil=1893456000\"\n"
            )
        );
        let json = serde_json::to_value(&view).unwrap();
        assert_eq!(json["records"][0]["type"], "TXT");
        assert_eq!(json["records"][0]["name"], "_validation-persist.shop.example");
        assert_eq!(json.get("unknown"), None);
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
            let view = view(&certificate, issuer.as_ref());
            assert!(view.unknown.as_ref().unwrap().contains(words), "{view:?}");
            assert!(text(&[view]).contains("; not known yet: ClusterIssuer ca"));
        }
    }

    #[test]
    fn a_certificate_without_such_names_needs_none() {
        let certificate = certificate(&["blog.example"]);
        let view = view(&certificate, Some(&issuer(None)));
        assert_eq!(view.unknown, None);
        assert!(text(&[view]).contains("no name of it is validated by dns-persist-01"));
    }
}
