use serde_json::json;

use super::*;

const ALL: [&dyn Api; 6] = [&DigitalOcean, &DnSimple, &Hetzner, &Linode, &Scaleway, &Vultr];

fn at() -> Zone<'static> {
    Zone {
        account: "1010",
        name: "shop.example",
        id: "42",
    }
}

/// What is asked, in a line.
fn line(ask: &Ask) -> String {
    let body = ask.body.as_ref().map(|body| format!(" {body}"));
    format!("{} {}{}", ask.method, ask.path, body.unwrap_or_default())
}

#[test]
fn one_record_is_made_and_one_deleted_as_each_api_publishes_it() {
    let found = Found {
        id: "7".into(),
        name: "_acme-challenge.www".into(),
        value: "v".into(),
    };
    let lines = |api: &dyn Api| {
        let make = api.make(&at(), "_acme-challenge.www", "v");
        [line(&make), line(&api.delete(&at(), &found))]
    };
    let expected = [
        [
            r#"POST /v2/domains/42/records {"data":"v","name":"_acme-challenge.www","ttl":60,"type":"TXT"}"#,
            "DELETE /v2/domains/42/records/7",
        ],
        [
            r#"POST /v2/1010/zones/42/records {"content":"v","name":"_acme-challenge.www","ttl":60,"type":"TXT"}"#,
            "DELETE /v2/1010/zones/42/records/7",
        ],
        [
            r#"POST /v1/zones/42/rrsets/_acme-challenge.www/TXT/actions/add_records {"records":[{"value":"\"v\""}]}"#,
            r#"POST /v1/zones/42/rrsets/_acme-challenge.www/TXT/actions/remove_records {"records":[{"value":"7"}]}"#,
        ],
        [
            r#"POST /v4/domains/42/records {"name":"_acme-challenge.www","target":"v","ttl_sec":300,"type":"TXT"}"#,
            "DELETE /v4/domains/42/records/7",
        ],
        [
            r#"PATCH /domain/v2beta1/dns-zones/42/records {"changes":[{"add":{"records":[{"data":"\"v\"","name":"_acme-challenge.www","ttl":60,"type":"TXT"}]}}],"disallow_new_zone_creation":true,"return_all_records":false}"#,
            r#"PATCH /domain/v2beta1/dns-zones/42/records {"changes":[{"delete":{"id":"7"}}],"disallow_new_zone_creation":true,"return_all_records":false}"#,
        ],
        [
            r#"POST /v2/domains/42/records {"data":"\"v\"","name":"_acme-challenge.www","ttl":120,"type":"TXT"}"#,
            "DELETE /v2/domains/42/records/7",
        ],
    ];
    assert_eq!(ALL.map(lines), expected.map(|lines| lines.map(str::to_owned)));
}

#[test]
fn records_and_the_next_page_are_read_as_each_api_publishes_them() {
    let answers = [
        json!({ "domain_records": [
                { "id": 7, "type": "TXT", "name": "_acme-challenge", "data": "v", "ttl": 60 },
                { "id": 8, "type": "A", "name": "www", "data": "192.0.2.1", "ttl": 60 },
            ], "links": { "pages": { "next": "https://api.digitalocean.com/v2/domains/a/records?page=2&per_page=200" } } }),
        json!({ "data": [{ "id": 7, "type": "TXT", "name": "_acme-challenge", "content": "v" }],
            "pagination": { "current_page": 1, "per_page": 100, "total_entries": 101, "total_pages": 2 } }),
        json!({ "rrsets": [{ "id": "_acme-challenge/TXT", "type": "TXT", "name": "_acme-challenge",
                "records": [{ "value": "\"v\"", "comment": "" }] }],
            "meta": { "pagination": { "page": 1, "next_page": 2 } } }),
        json!({ "data": [{ "id": 7, "type": "TXT", "name": "_acme-challenge", "target": "v" }], "page": 1, "pages": 2 }),
        json!({ "records": (0..100).map(|_| json!({
            "id": "7", "type": "TXT", "name": "_acme-challenge", "data": "\"v\"", "ttl": 60,
        })).collect::<Vec<_>>(), "total_count": 101 }),
        json!({ "records": [{ "id": "7", "type": "TXT", "name": "_acme-challenge", "data": "\"v\"", "ttl": 120 }],
            "meta": { "total": 501, "links": { "next": "2", "prev": "" } } }),
    ];
    for (api, answer) in ALL.into_iter().zip(answers) {
        let Page { found, next } = api.read(&answer, None).unwrap();
        let first = &found[0];
        assert_eq!(
            (first.name.as_str(), first.value.as_str()),
            ("_acme-challenge", "v"),
            "{answer}"
        );
        assert!(first.id == "7" || first.id == "\"v\"", "{answer}");
        assert_eq!(next.as_deref(), Some("2"), "{answer}");
        // The page that it is asked for by.
        let path = api.records(&at(), Some("2")).path;
        assert!(path.ends_with("page=2") || path.ends_with("cursor=2"), "{path}");
        for none in [
            json!(null),
            json!({}),
            json!([]),
            json!({ "records": 1, "data": "a", "rrsets": [1] }),
        ] {
            assert_eq!(api.read(&none, None), None);
        }
    }
    let last = json!({ "records": [], "data": [], "domain_records": [], "rrsets": [], "page": 1, "pages": 1,
        "pagination": { "current_page": 2, "total_pages": 2 }, "meta": { "pagination": { "next_page": null },
        "links": { "next": "" } }, "links": {} });
    for api in ALL {
        assert_eq!(api.read(&last, Some("2")), Some(Page::default()));
    }
}

#[test]
fn a_zone_is_the_one_of_that_name_and_one_that_is_served() {
    let linode =
        |zone_type: &str| json!({ "data": [{ "id": 3, "domain": "shop.example", "type": zone_type }] });
    let scaleway = |status: &str| {
        json!({ "dns_zones": [
            { "domain": "shop.example", "subdomain": "dev", "status": "active" },
            { "domain": "shop.example", "subdomain": "", "status": status },
        ] })
    };
    let hetzner = |mode: &str| json!({ "zone": { "id": 42, "name": "shop.example", "mode": mode } });
    let cases: [(&dyn Api, Value, Option<&str>); 9] = [
        (
            &DigitalOcean,
            json!({ "domain": { "name": "shop.example" } }),
            Some("shop.example"),
        ),
        (
            &DnSimple,
            json!({ "data": { "id": 1, "name": "shop.example" } }),
            Some("shop.example"),
        ),
        (
            &Vultr,
            json!({ "domain": { "domain": "shop.example" } }),
            Some("shop.example"),
        ),
        (&Linode, linode("master"), Some("3")),
        (&Linode, linode("slave"), None),
        (&Scaleway, scaleway("active"), Some("shop.example")),
        (&Scaleway, scaleway("pending"), None),
        (&Hetzner, hetzner("primary"), Some("42")),
        (&Hetzner, hetzner("secondary"), None),
    ];
    for (api, answer, id) in cases {
        assert_eq!(api.zone_id(&answer, "shop.example").as_deref(), id, "{answer}");
        assert_eq!(api.zone_id(&answer, "example"), None, "{answer}");
        assert_eq!(api.zone_id(&Value::Null, "shop.example"), None);
    }
}

#[test]
fn a_record_is_known_by_its_name_and_value_alone() {
    let record = |name: &str| TxtRecord {
        zone: "shop.example".into(),
        name: name.into(),
        value: "v".into(),
        domain: "shop.example".into(),
    };
    let found = |name: &str, value: &str| Found {
        id: "7".into(),
        name: name.into(),
        value: value.into(),
    };
    let wanted = record("_acme-challenge.www.shop.example");
    assert!(found("_ACME-challenge.www", "v").is(&wanted, "shop.example"));
    for other in [
        found("_acme-challenge", "v"),
        found("_acme-challenge.www", "w"),
        found("", "v"),
    ] {
        assert!(!other.is(&wanted, "shop.example"));
    }
    // A CNAME may lead to a zone's own name.
    for apex in ["", "@"] {
        assert!(found(apex, "v").is(&record("shop.example"), "shop.example"));
    }
    assert_eq!(below("workshop.example", "shop.example"), "workshop.example");
}

#[test]
fn a_refusal_is_told_in_the_providers_words_whichever_way_it_has_them() {
    for answer in [
        json!({ "id": "unauthorized", "message": "why" }),
        json!({ "error": { "code": "unauthorized", "message": "why" } }),
        json!({ "error": "why", "status": 401 }),
        json!({ "errors": [{ "reason": "why", "field": "name" }] }),
    ] {
        assert_eq!(said(&answer), "why");
    }
    assert_eq!(said(&Value::Null), "it does not say why");
}
