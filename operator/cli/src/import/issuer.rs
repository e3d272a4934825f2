//! An Issuer or ClusterIssuer of cert-manager. Pure.

use serde_json::{Value, json};

use super::fields::Fields;
use super::metadata::with_name_of;
use super::solver::solvers;

/// What means the same in both.
const SAME: [&str; 3] = ["server", "email", "profile"];

/// The manifest, if Sancho can do what is asked for.
pub fn manifest(object: &Value, kind: &str, spec: &mut Fields, remarks: &mut Vec<String>) -> Option<Value> {
    let Some(mut acme) = spec.take_fields("acme") else {
        remarks.push(
            "it is no ACME issuer: Sancho has nothing like it, leave its Certificates to cert-manager".into(),
        );
        return None;
    };
    let mut wanted = json!({});
    for field in SAME {
        if let Some(value) = acme.take(field) {
            wanted[field] = value;
        }
    }
    if let Some(bundle) = acme.take("caBundle") {
        wanted["caBundle"] = bundle;
    }
    let mut key = acme.take_fields("privateKeySecretRef").unwrap_or_default();
    let secret = key.take_text("name").unwrap_or_default();
    if let Some(field) = key.take_text("key").filter(|field| field != "tls.key") {
        remarks.push(format!(
            "spec.acme.privateKeySecretRef.key: Sancho reads tls.key; copy the field {field} to it"
        ));
    }
    if kind == "ClusterIssuer" {
        remarks.push(format!(
            "to keep the CA's account, copy Secret {secret} from cert-manager's namespace to the operator's; without \
             it a new account is made"
        ));
    }
    wanted["privateKeySecretRef"] = json!({ "name": secret });
    if let Some(binding) = acme.take_fields("externalAccountBinding") {
        wanted["externalAccountBinding"] = self::binding(binding, kind, remarks);
    }
    wanted["solvers"] = solvers(&acme.take("solvers").unwrap_or_default(), kind, remarks);
    remarks.extend(key.rest("spec.acme.privateKeySecretRef"));
    remarks.extend(acme.rest("spec.acme"));
    Some(with_name_of(object, kind, json!({ "acme": wanted }), remarks))
}

fn binding(mut binding: Fields, kind: &str, remarks: &mut Vec<String>) -> Value {
    let reference = binding.take("keySecretRef").unwrap_or_default();
    if kind == "ClusterIssuer" {
        remarks.push(format!(
            "spec.acme.externalAccountBinding: copy Secret {} from cert-manager's namespace to the operator's",
            reference["name"].as_str().unwrap_or_default()
        ));
    }
    // Deprecated there, and HS256 in both.
    binding.take("keyAlgorithm");
    let wanted = json!({ "keyID": binding.take("keyID"), "keySecretRef": reference });
    remarks.extend(binding.rest("spec.acme.externalAccountBinding"));
    wanted
}
