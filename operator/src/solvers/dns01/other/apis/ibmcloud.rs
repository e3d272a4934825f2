//! IBM Cloud's classic infrastructure (SoftLayer): <https://sldn.softlayer.com/reference/services/SoftLayer_Dns_Domain/>.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Api, Ask, Found, Login, Page, TTL, Zone, encoded, found, is, text};

pub(super) struct IbmCloud;

impl IbmCloud {
    /// The most records of a page.
    const PAGE: usize = 500;

    fn path(rest: &str) -> String {
        format!("/rest/v3.1/SoftLayer_Dns_Domain{rest}")
    }
}

impl Api for IbmCloud {
    fn host(&self) -> &'static str {
        "https://api.softlayer.com"
    }

    fn let_in(&self, by: &Login, ask: Ask, _: Timestamp) -> Ask {
        ask.with_basic(by)
    }

    fn zone(&self, _: &Login, zone: &str) -> Ask {
        // Those below it come as well.
        Ask::get(Self::path(&format!("/getByDomainName/{}.json", encoded(zone))))
    }

    fn zone_id(&self, answer: &Value, zone: &str) -> Option<String> {
        let mut zones = answer.as_array()?.iter();
        let found = zones.find(|found| is(&found["name"], zone))?;
        text(&found["id"])
    }

    fn records(&self, at: &Zone<'_>, page: Option<&str>) -> Ask {
        let (id, offset, most) = (encoded(at.id), page.unwrap_or("0"), Self::PAGE);
        Ask::get(Self::path(&format!(
            "/{id}/getResourceRecords.json?resultLimit={offset},{most}"
        )))
    }

    fn read(&self, _: &Zone<'_>, answer: &Value, page: Option<&str>) -> Option<Page> {
        let records = answer.as_array()?;
        let is_list = records.iter().all(Value::is_object);
        let offset: usize = page.map_or(Some(0), |page| page.parse().ok())?;
        let is_full = records.len() >= Self::PAGE;
        Some(Page {
            found: found(answer, "host", "data").filter(|_| is_list)?,
            next: is_full.then(|| (offset + records.len()).to_string()),
        })
    }

    fn make(&self, at: &Zone<'_>, name: &str, value: &str) -> Ask {
        let zone = at.id.parse::<u64>().ok();
        let record = json!({ "domainId": zone, "type": "txt", "host": name, "data": value, "ttl": TTL });
        Ask::post(
            Self::path("_ResourceRecord/createObject.json"),
            json!({ "parameters": [record] }),
        )
    }

    fn delete(&self, _: &Zone<'_>, found: &Found) -> Ask {
        Ask::delete(Self::path(&format!(
            "_ResourceRecord/{}.json",
            encoded(&found.id)
        )))
    }

    fn status(&self, status: u16, answer: &Value) -> u16 {
        match answer {
            // It did not delete the record, and does not say why.
            Value::Bool(false) => 409,
            _ => status,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::ProviderName;
    use super::super::published::Published;
    use super::*;

    #[test]
    fn it_is_asked_as_published() {
        let basic = "authorization: Basic U0w3OlRPS0VO";
        let base = "/rest/v3.1/SoftLayer_Dns_Domain";
        Published {
            name: ProviderName::IbmCloud,
            account: "SL7",
            zone: &format!("GET {base}/getByDomainName/shop.example.json\n{basic}"),
            is_zone: (
                json!([{ "id": 43, "name": "dev.shop.example" }, { "id": 42, "name": "shop.example", "serial": 1 }]),
                "42",
            ),
            is_no_zone: vec![
                (200, json!([])),
                (200, json!([{ "id": 43, "name": "dev.shop.example" }])),
            ],
            refused: (
                401,
                json!({ "error": "Invalid API token.", "code": "SoftLayer_Exception_Public" }),
                "Invalid API token.",
            ),
            records: &format!("GET {base}/42/getResourceRecords.json?resultLimit=0,500\n{basic}"),
            // A page that is full may have another behind it.
            page: json!(vec![
                json!({ "id": 7, "domainId": 42, "type": "txt", "host": "_acme-challenge.www", "data": "v", "ttl": 60 });
                500
            ]),
            id: "7",
            next: Some(&format!("{base}/42/getResourceRecords.json?resultLimit=500,500")),
            none: json!([]),
            make: &format!(
                "POST {base}_ResourceRecord/createObject.json\n{basic}\n{}",
                r#"{"parameters":[{"data":"v","domainId":42,"host":"_acme-challenge.www","ttl":60,"type":"txt"}]}"#
            ),
            delete: &format!("DELETE {base}_ResourceRecord/7.json\n{basic}"),
        }
        .holds();
        assert_eq!(IbmCloud.status(200, &json!(false)), 409);
        assert_eq!(IbmCloud.status(200, &json!(true)), 200);
    }
}
