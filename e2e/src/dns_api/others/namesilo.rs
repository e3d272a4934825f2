//! NameSilo: <https://www.namesilo.com/api-reference>. Whatever is asked is a GET, and answered by 200 with a code.

use hyper::Method;
use serde_json::{Value, json};

use super::{Answered, Form, Of, hash};

pub(super) const FORM: Form = Form {
    // The key stands in the query.
    is_let_in: |_| true,
    refusal: |status, words| {
        let code = match status {
            401 => 110,
            404 => 200,
            _ => 280,
        };
        json!({ "request": { "ip": "192.0.2.1" }, "reply": { "code": code, "detail": words } })
    },
    ttl: ("ttl", 3600),
    has_numbers: false,
    ..Form::USUAL
};

pub(super) async fn answered(of: &Of<'_>) -> Answered {
    let is_let_in = of.parameter("key").as_deref() == Some(of.token.as_str());
    let result = match is_let_in {
        true => done(of).await,
        false => Err((401, "Invalid API Key".into())),
    };
    result.or_else(|(status, words)| Ok((200, (FORM.refusal)(status, &words))))
}

async fn done(of: &Of<'_>) -> Answered {
    let given = |name: &str| of.parameter(name).unwrap_or_default();
    if given("version") != "1" || given("type") != "json" {
        return Err((400, "Invalid API version or type".into()));
    }
    let success = |field: &str, value: Value| {
        let mut reply = json!({ "code": 300, "detail": "success" });
        if !field.is_empty() {
            reply[field] = value;
        }
        json!({ "request": { "ip": "192.0.2.1" }, "reply": reply })
    };
    let domain = given("domain");
    let zone = || {
        let words = "Domain is not active, or does not belong to this user";
        of.zone(&domain).map_err(|_| (404, words.to_owned()))
    };
    let parts = of.below("/api")?;
    match (&of.head.method, parts.as_slice()) {
        (&Method::GET, ["listDomains"]) => {
            let zones = of.shared.zones.names().iter();
            let domains: Vec<Value> = zones
                .map(|zone| json!({ "domain": zone, "created": "2020-01-01", "expires": "2030-01-01" }))
                .collect();
            Ok((200, success("domains", domains.into())))
        }
        (&Method::GET, ["dnsListRecords"]) => {
            let mut records = Vec::new();
            for (name, at) in of.texts(zone()?).await? {
                for value in &at.values {
                    records.push(json!({
                        "record_id": hash(&[&name, value]), "type": "TXT", "host": name, "value": value,
                        "ttl": "3600", "distance": "0",
                    }));
                }
            }
            match records.is_empty() {
                true => Ok((200, success("", Value::Null))),
                false => Ok((200, success("resource_record", records.into()))),
            }
        }
        (&Method::GET, ["dnsAddRecord"]) => {
            let record = json!({
                "type": given("rrtype"), "name": given("rrhost"), "content": given("rrvalue"),
                "ttl": given("rrttl").parse::<u64>().ok(),
            });
            let made = of.make(zone()?, &record).await?;
            Ok((200, success("record_id", made["id"].clone())))
        }
        (&Method::GET, ["dnsDeleteRecord"]) => {
            of.delete(zone()?, &given("rrid")).await?;
            Ok((200, success("", Value::Null)))
        }
        _ => Err(of.no_path()),
    }
}
