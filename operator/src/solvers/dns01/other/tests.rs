use serde_json::json;

use super::*;

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
    assert!(is(&found("_ACME-challenge.www", "v"), &wanted, "shop.example"));
    for other in [
        found("_acme-challenge", "v"),
        found("_acme-challenge.www", "w"),
        found("", "v"),
    ] {
        assert!(!is(&other, &wanted, "shop.example"));
    }
    // A CNAME may lead to a zone's own name.
    for apex in ["", "@"] {
        assert!(is(&found(apex, "v"), &record("shop.example"), "shop.example"));
    }
    for (name, wanted) in [
        ("workshop.example", "workshop.example"),
        ("www.Shop.Example.", "www"),
        ("shop.example", "@"),
        ("www", "www"),
    ] {
        assert_eq!(below(name, "shop.example"), wanted);
    }
}

#[test]
fn a_refusal_is_told_in_the_providers_words_whichever_way_it_has_them() {
    for answer in [
        json!({ "id": "unauthorized", "message": "why" }),
        json!({ "error": { "code": "unauthorized", "message": "why" } }),
        json!({ "error": "why", "status": 401 }),
        json!({ "errors": [{ "reason": "why", "field": "name" }] }),
        json!({ "msg": "why", "status": 403 }),
        json!({ "code": 1000, "msg": "Command completed successfully", "resData": { "tfa": "why" } }),
    ] {
        assert_eq!(said(&answer), "why");
    }
    assert_eq!(said(&Value::Null), "it does not say why");
}
