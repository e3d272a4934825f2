//! Name.com: <https://www.name.com/api-docs/DNS>. Fields that are empty are left out.

use hyper::Method;
use serde_json::json;

use super::{Answered, Form, Of};

pub(super) const FORM: Form = Form {
    account: "shop",
    is_let_in: |of| of.has_basic(),
    name: "host",
    value: "answer",
    ttl: ("ttl", 300),
    ..Form::USUAL
};

pub(super) async fn answered(of: &Of<'_>) -> Answered {
    match (&of.head.method, of.below("/v4/domains")?.as_slice()) {
        (&Method::GET, [zone]) => Ok((200, json!({ "domainName": of.zone(zone)? }))),
        (&Method::GET, [zone, "records"]) => {
            let (records, page, pages) = of.page(of.zone(zone)?, "perPage", 1000).await?;
            let mut answer = json!({});
            if !records.is_empty() {
                answer["records"] = json!(records);
            }
            if page < pages {
                answer["nextPage"] = json!(page + 1);
            }
            Ok((200, answer))
        }
        (&Method::POST, [zone, "records"]) => Ok((200, of.make(of.zone(zone)?, &of.json()?).await?)),
        (&Method::DELETE, [zone, "records", id]) => {
            of.delete(of.zone(zone)?, id).await?;
            Ok((200, json!({})))
        }
        _ => Err(of.no_path()),
    }
}
