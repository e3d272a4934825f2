//! Scaleway: <https://www.scaleway.com/en/developers/api/domains-and-dns/>.

use std::sync::atomic::Ordering;

use hyper::Method;
use hyper::header::HeaderName;
use serde_json::{Value, json};

use super::{Answered, Form, Of, text};

pub(super) const FORM: Form = Form {
    is_let_in: |of| text(of.head, HeaderName::from_static("x-auth-token")) == of.token,
    value: "data",
    is_quoted: true,
    has_numbers: false,
    ..Form::USUAL
};

pub(super) async fn answered(of: &Of<'_>) -> Answered {
    match (&of.head.method, of.below("/domain/v2beta1/dns-zones")?.as_slice()) {
        (&Method::GET, []) => {
            let wanted = of.parameter("dns_zone");
            let zones = of.shared.zones.names().iter();
            let zones: Vec<Value> = zones
                .filter(|zone| Some(*zone) == wanted.as_ref())
                .map(|zone| json!({ "domain": zone, "subdomain": "", "status": "active" }))
                .collect();
            Ok((200, json!({ "total_count": zones.len(), "dns_zones": zones })))
        }
        (&Method::GET, [zone, "records"]) => {
            let (records, ..) = of.page(of.zone(zone)?, "page_size", 100).await?;
            Ok((200, json!({ "total_count": records.len(), "records": records })))
        }
        (&Method::PATCH, [zone, "records"]) => {
            let (zone, body) = (of.zone(zone)?, of.json()?);
            if body["disallow_new_zone_creation"] != json!(true) {
                return Err((400, "a zone would be made of a name that is in none".into()));
            }
            let changes = body["changes"].as_array().into_iter().flatten();
            let deleted: Vec<&str> = changes
                .filter_map(|change| change["delete"]["id"].as_str())
                .collect();
            if let [first, _, ..] = deleted.as_slice()
                && of.shared.is_one_gone.swap(false, Ordering::Relaxed)
            {
                of.delete(zone, first).await?;
            }
            for change in body["changes"].as_array().into_iter().flatten() {
                let (added, deleted) = (&change["add"]["records"], &change["delete"]["id"]);
                match (added.as_array(), deleted.as_str()) {
                    (Some(records), None) => {
                        for record in records {
                            of.make(zone, record).await?;
                        }
                    }
                    (None, Some(id)) => {
                        of.delete(zone, id).await?;
                    }
                    _ => return Err((400, "a change adds records or deletes one".into())),
                }
            }
            Ok((200, json!({ "records": [] })))
        }
        _ => Err(of.no_path()),
    }
}
