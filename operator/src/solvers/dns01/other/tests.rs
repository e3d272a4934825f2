use serde_json::json;

use super::*;

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
