//! DigitalOcean: <https://docs.digitalocean.com/reference/api/digitalocean/#tag/Domain-Records>.

use hyper::Method;
use serde_json::json;

use super::{Answered, Form, Of};

pub(super) const FORM: Form = Form {
    refusal: |_, words| json!({ "id": "refused", "message": words }),
    value: "data",
    ttl: ("ttl", 30),
    ..Form::USUAL
};

pub(super) async fn answered(of: &Of<'_>) -> Answered {
    match (&of.head.method, of.below("/v2/domains")?.as_slice()) {
        (&Method::GET, [zone]) => Ok((200, json!({ "domain": { "name": of.zone(zone)?, "ttl": 1800 } }))),
        (&Method::GET, [zone, "records"]) => {
            let (records, page, pages) = of.page(of.zone(zone)?, "per_page", 200).await?;
            let next = format!(
                "https://api.digitalocean.com{}?page={}&per_page=200",
                of.path,
                page + 1
            );
            let links = match page < pages {
                true => json!({ "pages": { "next": next } }),
                false => json!({}),
            };
            Ok((200, json!({ "domain_records": records, "links": links })))
        }
        (&Method::POST, [zone, "records"]) => {
            let made = of.make(of.zone(zone)?, &of.json()?).await?;
            Ok((201, json!({ "domain_record": made })))
        }
        (&Method::DELETE, [zone, "records", id]) => of.delete(of.zone(zone)?, id).await,
        _ => Err(of.no_path()),
    }
}
