//! Linode: <https://techdocs.akamai.com/linode-api/reference/get-domain-records>.

use hyper::Method;
use hyper::header::HeaderName;
use serde_json::{Value, json};

use super::{Answered, Form, Of, hash, number, text};

pub(super) const FORM: Form = Form {
    refusal: |_, words| json!({ "errors": [{ "reason": words }] }),
    value: "target",
    ttl: ("ttl_sec", 300),
    ..Form::USUAL
};

pub(super) async fn answered(of: &Of<'_>) -> Answered {
    let filter = text(of.head, HeaderName::from_static("x-filter"));
    let filter: Value = serde_json::from_str(filter).unwrap_or_default();
    match (&of.head.method, of.below("/v4/domains")?.as_slice()) {
        (&Method::GET, []) => {
            let zones = of.shared.zones.names().iter();
            let found = zones.filter(|zone| filter["domain"] == json!(zone));
            let found: Vec<Value> = found
                .map(|zone| json!({ "id": number(&hash(&[zone])), "domain": zone, "type": "master" }))
                .collect();
            Ok((
                200,
                json!({ "data": found, "page": 1, "pages": 1, "results": found.len() }),
            ))
        }
        (&Method::GET, [id, "records"]) => {
            let (records, page, pages) = of.page(of.numbered(id)?, "page_size", 500).await?;
            Ok((200, json!({ "data": records, "page": page, "pages": pages })))
        }
        (&Method::POST, [id, "records"]) => Ok((200, of.make(of.numbered(id)?, &of.json()?).await?)),
        (&Method::DELETE, [id, "records", record]) => {
            of.delete(of.numbered(id)?, record).await?;
            Ok((200, json!({})))
        }
        _ => Err(of.no_path()),
    }
}
