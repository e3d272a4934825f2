//! Vercel: <https://vercel.com/docs/rest-api/dns>. A token that is none is answered 403 there. A page begins below the time of
//! the last record of the one before.

use hyper::Method;
use serde_json::json;

use super::{Answered, Form, Of};

pub(super) const FORM: Form = Form {
    account: "team_of_the_shop",
    refusal: |status, words| match status {
        401 => json!({ "error": { "code": "forbidden", "message": "Not authorized", "invalidToken": true } }),
        403 => json!({ "error": { "code": "forbidden", "message": words } }),
        404 => json!({ "error": { "code": "not_found", "message": words } }),
        429 => json!({ "error": { "code": "rate_limited", "message": words } }),
        _ => json!({ "error": { "code": "bad_request", "message": words } }),
    },
    status: |status| if status == 401 { 403 } else { status },
    value: "value",
    has_numbers: false,
    ..Form::USUAL
};

pub(super) async fn answered(of: &Of<'_>) -> Answered {
    if of.parameter("teamId").as_deref() != Some(FORM.account) {
        return Err((403, "Not authorized: another team's".into()));
    }
    match (&of.head.method, of.below("/")?.as_slice()) {
        (&Method::GET, ["v5", "domains", zone]) => {
            let domain =
                json!({ "id": "1", "name": of.zone(zone)?, "serviceType": "zeit.world", "verified": true });
            Ok((200, json!({ "domain": domain })))
        }
        (&Method::GET, ["v5", "domains", zone, "records"]) => {
            let all = of.all(of.zone(zone)?).await?;
            let number = |name: &str| of.parameter(name).and_then(|text| text.parse::<usize>().ok());
            let limit = number("limit").unwrap_or(20);
            if limit > 100 {
                return Err((400, "limit is at most 100".into()));
            }
            // Its place from the end stands for the time at which a record was made.
            let until = number("until").unwrap_or(all.len() + 1);
            let first = (all.len() + 1).saturating_sub(until);
            let next = (first + limit < all.len()).then(|| all.len() + 1 - first - limit);
            let records: Vec<_> = all.into_iter().skip(first).take(limit).collect();
            let pagination = json!({ "count": records.len(), "next": next, "prev": null });
            Ok((200, json!({ "records": records, "pagination": pagination })))
        }
        (&Method::POST, ["v2", "domains", zone, "records"]) => {
            let made = of.make(of.zone(zone)?, &of.json()?).await?;
            Ok((200, json!({ "uid": made["id"], "updated": 1 })))
        }
        (&Method::DELETE, ["v2", "domains", zone, "records", id]) => {
            of.delete(of.zone(zone)?, id).await?;
            Ok((200, json!({})))
        }
        _ => Err(of.no_path()),
    }
}
