//! DNSimple: <https://developer.dnsimple.com/v2/zones/records/>.

use hyper::Method;
use serde_json::json;

use super::{Answered, Form, Of};

pub(super) const FORM: Form = Form {
    account: "1010",
    ..Form::USUAL
};

pub(super) async fn answered(of: &Of<'_>) -> Answered {
    let parts = of.below("/v2")?;
    let [account, "zones", rest @ ..] = parts.as_slice() else {
        return Err(of.no_path());
    };
    if *account != FORM.account {
        return Err((404, "no such account".into()));
    }
    match (&of.head.method, rest) {
        (&Method::GET, [zone]) => Ok((200, json!({ "data": { "id": 1, "name": of.zone(zone)? } }))),
        (&Method::GET, [zone, "records"]) => {
            let (records, page, pages) = of.page(of.zone(zone)?, "per_page", 100).await?;
            let pagination = json!({ "current_page": page, "per_page": 100, "total_pages": pages });
            Ok((200, json!({ "data": records, "pagination": pagination })))
        }
        (&Method::POST, [zone, "records"]) => {
            let made = of.make(of.zone(zone)?, &of.json()?).await?;
            Ok((201, json!({ "data": made })))
        }
        (&Method::DELETE, [zone, "records", id]) => of.delete(of.zone(zone)?, id).await,
        _ => Err(of.no_path()),
    }
}
