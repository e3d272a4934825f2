//! Simply.com: <https://www.simply.com/en/docs/api/>. The zones are those of products, each by a handle of its own.

use hyper::Method;
use serde_json::{Value, json};

use super::{Answered, Form, Of, Refused, hash};

pub(super) const FORM: Form = Form {
    account: "S123456",
    is_let_in: |of| of.has_basic(),
    refusal: |status, words| match status {
        401 => json!({ "error": "Invalid account authorization" }),
        _ => json!({ "error": words }),
    },
    value: "data",
    ..Form::USUAL
};

pub(super) async fn answered(of: &Of<'_>) -> Answered {
    let mut answer = match (&of.head.method, of.below("/2/my/products")?.as_slice()) {
        (&Method::GET, []) => {
            let zones = of.shared.zones.names().iter();
            let products: Vec<Value> = zones
                .map(|zone| {
                    json!({ "object": hash(&[zone]), "name": hash(&[zone]), "cancelled": false,
                        "domain": { "name": zone, "name_idn": zone, "managed": true } })
                })
                .collect();
            json!({ "products": products })
        }
        (&Method::GET, [product, "dns", "records"]) => {
            let all = of.all(of_product(of, product)?).await?;
            let records: Vec<Value> = all.iter().map(shown).collect();
            json!({ "records": records })
        }
        (&Method::POST, [product, "dns", "records"]) => {
            let made = of.make(of_product(of, product)?, &of.json()?).await?;
            json!({ "record": { "id": made["id"] } })
        }
        (&Method::DELETE, [product, "dns", "records", id]) => {
            let deleted = of.delete(of_product(of, product)?, id).await;
            deleted.map_err(|(status, _)| (status, "Unknown DNS record".to_owned()))?;
            json!({})
        }
        _ => return Err(of.no_path()),
    };
    answer["status"] = json!(200);
    answer["message"] = "success".into();
    Ok((200, answer))
}

/// The zone of a product.
fn of_product<'a>(of: &'a Of<'_>, handle: &str) -> Result<&'a str, Refused> {
    let mut zones = of.shared.zones.names().iter();
    let found = zones.find(|zone| hash(&[zone]) == handle);
    let words = "Unknown or invalid product reference";
    found.map(String::as_str).ok_or((404, words.into()))
}

fn shown(record: &Value) -> Value {
    let name = match record["name"].as_str() {
        None | Some("") => "@",
        Some(name) => name,
    };
    json!({ "record_id": record["id"], "name": name, "ttl": 60, "data": record["data"], "type": "TXT", "priority": 0 })
}
