//! Vultr: <https://www.vultr.com/api/#tag/dns>.

use hyper::Method;
use serde_json::json;

use super::{Answered, Form, Of};

pub(super) const FORM: Form = Form {
    refusal: |status, words| json!({ "error": words, "status": status }),
    value: "data",
    is_quoted: true,
    ttl: ("ttl", 120),
    has_numbers: false,
    ..Form::USUAL
};

pub(super) async fn answered(of: &Of<'_>) -> Answered {
    match (&of.head.method, of.below("/v2/domains")?.as_slice()) {
        (&Method::GET, [zone]) => Ok((200, json!({ "domain": { "domain": of.zone(zone)? } }))),
        (&Method::GET, [zone, "records"]) => {
            let (records, page, pages) = of.page(of.zone(zone)?, "per_page", 500).await?;
            let next = match page < pages {
                true => (page + 1).to_string(),
                false => String::new(),
            };
            let meta = json!({ "links": { "next": next, "prev": "" } });
            Ok((200, json!({ "records": records, "meta": meta })))
        }
        (&Method::POST, [zone, "records"]) => {
            let made = of.make(of.zone(zone)?, &of.json()?).await?;
            Ok((201, json!({ "record": made })))
        }
        (&Method::DELETE, [zone, "records", id]) => of.delete(of.zone(zone)?, id).await,
        _ => Err(of.no_path()),
    }
}
