//! ANS SafeDNS: <https://developers.ukfast.io/documentation/safedns>. Names are full, and values in quotation marks.

use hyper::Method;
use hyper::header::AUTHORIZATION;
use serde_json::json;

use super::{Answered, Form, Of, text};

pub(super) const FORM: Form = Form {
    is_let_in: |of| text(of.head, AUTHORIZATION) == of.token,
    is_full: true,
    is_quoted: true,
    ..Form::USUAL
};

pub(super) async fn answered(of: &Of<'_>) -> Answered {
    match (&of.head.method, of.below("/safedns/v1/zones")?.as_slice()) {
        (&Method::GET, [zone]) => {
            let zone = of.zone(zone)?;
            Ok((
                200,
                json!({ "data": { "name": zone, "description": "" }, "meta": {} }),
            ))
        }
        (&Method::GET, [zone, "records"]) => {
            let (records, _, pages) = of.page(of.zone(zone)?, "per_page", 50).await?;
            let pagination = json!({ "count": records.len(), "per_page": 50, "total_pages": pages });
            Ok((
                200,
                json!({ "data": records, "meta": { "pagination": pagination } }),
            ))
        }
        (&Method::POST, [zone, "records"]) => {
            let made = of.make(of.zone(zone)?, &of.json()?).await?;
            Ok((201, json!({ "data": { "id": made["id"] }, "meta": {} })))
        }
        (&Method::DELETE, [zone, "records", id]) => of.delete(of.zone(zone)?, id).await,
        _ => Err(of.no_path()),
    }
}
