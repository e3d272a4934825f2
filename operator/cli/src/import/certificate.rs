//! A Certificate of cert-manager. Pure.

use std::collections::BTreeSet;
use std::net::IpAddr;

use sancho_crds::ADOPT_ANNOTATION;
use serde_json::{Value, json};

use super::GROUP;
use super::fields::Fields;
use super::metadata::with_name_of;

/// A shard has no more names.
const MOST_NAMES: usize = 100;
/// What means the same in both.
const SAME: [&str; 5] = [
    "secretName",
    "duration",
    "renewBefore",
    "renewBeforePercentage",
    "additionalOutputFormats",
];
/// What an ACME certificate has anyhow.
const USUAL_USAGES: [&str; 4] = [
    "digital signature",
    "key encipherment",
    "server auth",
    "client auth",
];

/// The manifest, if Sancho can do what is asked for.
pub fn manifest(object: &Value, spec: &mut Fields, remarks: &mut Vec<String>) -> Option<Value> {
    let mut issuer = spec.take_fields("issuerRef")?;
    let group = issuer.take_text("group").unwrap_or_else(|| GROUP.to_owned());
    let kind = issuer.take_text("kind").unwrap_or_else(|| "Issuer".to_owned());
    if group != GROUP || !["Issuer", "ClusterIssuer"].contains(&kind.as_str()) {
        remarks.push(format!(
            "its issuer is a {kind} of {group}: Sancho has ACME issuers only"
        ));
        return None;
    }
    if spec.take("isCA").is_some() {
        remarks.push("spec.isCA: an ACME CA issues no CA certificates".into());
        return None;
    }
    for other in ["uris", "emailAddresses", "otherNames"] {
        if spec.take(other).is_some() {
            remarks.push(format!(
                "spec.{other}: Sancho certifies DNS names and IP addresses only"
            ));
            return None;
        }
    }
    let names = names(spec);
    let addresses = addresses(spec);
    if names.is_empty() && addresses.is_empty() {
        remarks.push("it has no DNS name and no IP address".into());
        return None;
    }
    if let Some(wildcard) = names.iter().find(|name| name.starts_with("*.")) {
        remarks.push(format!(
            "{wildcard} needs a solver with dns01 in its issuer: see what is said of that above"
        ));
    }
    let count = names.len() + addresses.len();
    if count > MOST_NAMES {
        remarks.push(format!(
            "{count} names are split into several Secrets, of which spec.secretName is the first: the present Secret \
             cannot be adopted as it is"
        ));
    }
    let usages = spec.take("usages").unwrap_or_default();
    for usage in usages.as_array().into_iter().flatten().filter_map(Value::as_str) {
        if !USUAL_USAGES.contains(&usage) {
            remarks.push(format!(
                "the usage {usage:?} does not carry over: the CA decides on usages"
            ));
        }
    }
    // They make no difference to an ACME certificate.
    for idle in ["revisionHistoryLimit", "encodeUsagesInRequest"] {
        spec.take(idle);
    }
    if let Some(maker) = maker(object) {
        remarks.push(format!(
            "cert-manager makes it from {maker}: remove its annotation there, or it comes back"
        ));
    }
    let mut wanted = json!({
        "issuerRef": { "name": issuer.take_text("name"), "kind": kind },
    });
    for (field, list) in [("dnsNames", names), ("ipAddresses", addresses)] {
        if !list.is_empty() {
            wanted[field] = list.into();
        }
    }
    for field in SAME {
        if let Some(value) = spec.take(field) {
            wanted[field] = value;
        }
    }
    let key = private_key(spec.take_fields("privateKey").unwrap_or_default(), remarks);
    if key != json!({}) {
        wanted["privateKey"] = key;
    }
    let template = secret_template(spec.take_fields("secretTemplate").unwrap_or_default(), remarks);
    if template != json!({}) {
        wanted["secretTemplate"] = template;
    }
    if let Some(keystores) = keystores(spec.take_fields("keystores").unwrap_or_default(), remarks) {
        wanted["keystores"] = keystores;
    }
    remarks.extend(issuer.rest("spec.issuerRef"));
    remarks.push(format!(
        "its Secret {} is adopted without a request to the CA: delete cert-manager's Certificate first, which leaves \
         the Secret there unless cert-manager runs with --enable-certificate-owner-ref",
        wanted["secretName"].as_str().unwrap_or_default()
    ));
    let mut manifest = with_name_of(object, "Certificate", wanted, remarks);
    manifest["metadata"]["annotations"] = json!({ ADOPT_ANNOTATION: "true" });
    Some(manifest)
}

/// The private key: the same fields, but for how it is written in the Secret and for some sizes.
fn private_key(mut key: Fields, remarks: &mut Vec<String>) -> Value {
    let mut wanted = json!({});
    let algorithm = key.take_text("algorithm");
    let size = key.take("size").and_then(|size| size.as_u64());
    match (algorithm, size) {
        (None, None) => remarks.push(
            "cert-manager's default is an RSA key, Sancho's is ECDSA P-256, from the next renewal on: to stay with RSA, \
             write spec.privateKey.algorithm: RSA"
                .into(),
        ),
        (algorithm, size) => {
            let algorithm = algorithm.unwrap_or_else(|| "RSA".to_owned());
            let offered = match algorithm.as_str() {
                "RSA" => [2048, 3072, 4096].as_slice(),
                "ECDSA" => [256, 384].as_slice(),
                _ => [].as_slice(),
            };
            match size {
                Some(size) if offered.contains(&size) => wanted["size"] = size.into(),
                Some(size) if algorithm != "Ed25519" => remarks.push(format!(
                    "spec.privateKey.size: Sancho makes no {algorithm} keys of {size} bits, so that it is left out"
                )),
                Some(_) | None => {}
            }
            wanted["algorithm"] = algorithm.into();
        }
    }
    if let Some(policy) = key.take("rotationPolicy") {
        wanted["rotationPolicy"] = policy;
    }
    if let Some(encoding) = key.take_text("encoding").filter(|encoding| encoding != "PKCS8") {
        remarks.push(format!(
            "spec.privateKey.encoding: {encoding} does not carry over: keys are written as PKCS#8 from the next \
             renewal on"
        ));
    }
    remarks.extend(key.rest("spec.privateKey"));
    wanted
}

/// The template of Secrets: the same fields, but for keys of cert-manager's own.
fn secret_template(mut template: Fields, remarks: &mut Vec<String>) -> Value {
    let mut wanted = json!({});
    for field in ["labels", "annotations"] {
        let Some(Value::Object(mut pairs)) = template.take(field) else {
            continue;
        };
        pairs.retain(|key, _| {
            let is_injection = field == "annotations" && key == "cert-manager.io/allow-direct-injection";
            let is_own = key.starts_with("cert-manager.io/") || key.contains(".cert-manager.io/");
            if is_own && !is_injection {
                remarks.push(format!(
                    "spec.secretTemplate.{field}: {key} does not carry over: cert-manager would take the Secret for its own"
                ));
            }
            !is_own || is_injection
        });
        if !pairs.is_empty() {
            wanted[field] = pairs.into();
        }
    }
    remarks.extend(template.rest("spec.secretTemplate"));
    wanted
}

/// The keystores: the same fields, but for old ways to encrypt PKCS#12 and a password in the manifest.
fn keystores(mut keystores: Fields, remarks: &mut Vec<String>) -> Option<Value> {
    let (pkcs12, jks) = (keystores.take_fields("pkcs12"), keystores.take_fields("jks"));
    remarks.extend(keystores.rest("spec.keystores"));
    let mut wanted = serde_json::Map::new();
    if let Some(pkcs12) = pkcs12.and_then(|pkcs12| self::pkcs12(pkcs12, remarks)) {
        wanted.insert("pkcs12".into(), pkcs12);
    }
    if let Some(jks) = jks.and_then(|jks| self::jks(jks, remarks)) {
        wanted.insert("jks".into(), jks);
    }
    (!wanted.is_empty()).then(|| wanted.into())
}

fn pkcs12(mut pkcs12: Fields, remarks: &mut Vec<String>) -> Option<Value> {
    let path = "spec.keystores.pkcs12";
    let profile = pkcs12.take_text("profile");
    let reference = password(&mut pkcs12, path, remarks);
    remarks.extend(pkcs12.rest(path));
    let reference = reference?;
    if profile.as_deref() != Some("Modern2023") {
        remarks.push(format!(
            "spec.keystores.pkcs12.profile: {} does not carry over: keystore.p12 is written as Modern2023, which Java \
             reads from 8u301 on",
            profile.as_deref().unwrap_or("cert-manager's default, LegacyRC2,")
        ));
    }
    Some(json!({ "create": true, "passwordSecretRef": reference }))
}

fn jks(mut jks: Fields, remarks: &mut Vec<String>) -> Option<Value> {
    let path = "spec.keystores.jks";
    let alias = jks.take_text("alias");
    let reference = password(&mut jks, path, remarks);
    remarks.extend(jks.rest(path));
    let mut wanted = json!({ "create": true, "passwordSecretRef": reference? });
    if let Some(alias) = alias {
        wanted["alias"] = alias.into();
    }
    Some(wanted)
}

/// Where the password of a keystore is, if it is to be made and its password is in a Secret.
fn password(keystore: &mut Fields, path: &str, remarks: &mut Vec<String>) -> Option<Value> {
    let create = keystore.take("create").is_some();
    let reference = keystore.take_fields("passwordSecretRef").filter(|_| create);
    if create && reference.is_none() {
        remarks.push(format!(
            "{path} does not carry over, since Sancho reads the password from a Secret alone: put it into one, and name \
             it as passwordSecretRef"
        ));
    }
    let mut reference = reference?;
    let wanted = json!({ "name": reference.take_text("name"), "key": reference.take_text("key") });
    remarks.extend(reference.rest(&format!("{path}.passwordSecretRef")));
    Some(wanted)
}

/// The names, none twice; `commonName` is one of them, as cert-manager asks the CA for it too.
fn names(spec: &mut Fields) -> Vec<String> {
    let listed = spec.take("dnsNames").unwrap_or_default();
    let listed = listed.as_array().cloned().unwrap_or_default();
    let listed = listed.iter().filter_map(Value::as_str).map(str::to_owned);
    let mut seen = BTreeSet::new();
    // One that is an address stands among the addresses too.
    let common = spec
        .take_text("commonName")
        .filter(|name| name.parse::<IpAddr>().is_err());
    common
        .into_iter()
        .chain(listed)
        .filter(|name| seen.insert(name.clone()))
        .collect()
}

/// The IP addresses in their canonical form, none twice.
fn addresses(spec: &mut Fields) -> Vec<String> {
    let listed = spec.take("ipAddresses").unwrap_or_default();
    let listed = listed.as_array().cloned().unwrap_or_default();
    let mut seen = BTreeSet::new();
    listed
        .iter()
        .filter_map(Value::as_str)
        .map(|text| {
            text.parse::<IpAddr>()
                .map_or_else(|_| text.to_owned(), |ip| ip.to_canonical().to_string())
        })
        .filter(|address| seen.insert(address.clone()))
        .collect()
}

/// The Ingress, Gateway or the like that it is made from.
fn maker(object: &Value) -> Option<String> {
    let owner = object["metadata"]["ownerReferences"].as_array()?.first()?;
    Some(format!("{} {}", owner["kind"].as_str()?, owner["name"].as_str()?))
}
