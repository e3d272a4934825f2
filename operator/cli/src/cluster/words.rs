//! What the API server's refusals mean, and what to do about them. Pure.

use std::error::Error;
use std::fmt;

use anyhow::{Result, anyhow};
use kube::core::Status;

/// How those who admit objects say no, whatever the code of their answer: webhooks, policies and quotas of objects.
const NOT_ADMITTED: [&str; 3] = [
    "admission webhook \"",
    "ValidatingAdmissionPolicy '",
    "exceeded quota: ",
];
/// How the API server says that a webhook cannot be asked what it would say.
const NO_DRY_RUN: &str = "does not support dry run";

/// The API server does not let the user do something.
#[derive(Debug)]
pub struct Forbidden {
    /// Its words.
    message: String,
}

impl fmt::Display for Forbidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: your account needs the right to do that", self.message)
    }
}

impl Error for Forbidden {}

/// What was read, if the user may read it.
///
/// # Errors
/// When it could not be read for another reason.
pub fn if_allowed<T>(read: Result<T>) -> Result<Result<T, Forbidden>> {
    match read {
        Ok(read) => Ok(Ok(read)),
        Err(error) => error.downcast::<Forbidden>().map(Err),
    }
}

/// Why the API server does not take a manifest in a dry run.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It would refuse it, in these words.
    Refused(String),
    /// The manifest's namespace is not there, so that nothing else was judged.
    NoNamespace(String),
    /// One who has a say in it takes no part in dry runs, so that it was not judged; the API server's words.
    NoDryRun(String),
}

/// What this answer to a dry run says of the manifest; nothing if it is about something else.
pub fn verdict(status: &Status) -> Option<Verdict> {
    let message = &status.message;
    if let Some(namespace) = missing_namespace(status) {
        return Some(Verdict::NoNamespace(namespace.to_owned()));
    }
    if message.contains(NO_DRY_RUN) {
        return Some(Verdict::NoDryRun(message.clone()));
    }
    // It cannot be read as what it says it is, it is too large, or it breaks a rule of its kind.
    let is_of_manifest = matches!(status.code, 400 | 413 | 422);
    let is_not_admitted = NOT_ADMITTED.iter().any(|words| message.contains(words));
    (is_of_manifest || is_not_admitted).then(|| Verdict::Refused(message.clone()))
}

/// The API server's words, and what to do about them.
pub fn explained(error: kube::Error) -> anyhow::Error {
    match &error {
        kube::Error::Api(status) if status.code == 404 => {
            let message = &status.message;
            match missing_namespace(status) {
                Some(namespace) => anyhow!("{}", no_namespace(namespace)),
                None if is_about_an_object(status) => anyhow!("{message}"),
                None => anyhow!("{message}: are Sancho's CRDs installed in this cluster?"),
            }
        }
        kube::Error::Api(status) if status.code == 403 => {
            let message = status.message.clone();
            anyhow::Error::new(Forbidden { message })
        }
        _ => anyhow::Error::new(error).context("the API server does not answer as it should"),
    }
}

/// That a namespace is not there, and the mend.
pub fn no_namespace(name: &str) -> String {
    format!("namespace {name} is not there: kubectl create namespace {name}")
}

/// The namespace that the API server has not found.
fn missing_namespace(status: &Status) -> Option<&str> {
    let details = status.details.as_ref().filter(|_| status.code == 404)?;
    (details.kind == "namespaces" && !details.name.is_empty()).then_some(details.name.as_str())
}

/// A kind that is not served has no details.
fn is_about_an_object(status: &Status) -> bool {
    let details = status.details.as_ref();
    details.is_some_and(|details| !details.kind.is_empty() && !details.name.is_empty())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn answer(status: Value) -> anyhow::Error {
        explained(kube::Error::Api(serde_json::from_value(status).unwrap()))
    }

    fn of(code: u16, message: &str) -> Option<Verdict> {
        let status: Status = serde_json::from_value(json!({ "code": code, "message": message })).unwrap();
        verdict(&status)
    }

    /// As the API server says that the namespace `shop` is not there.
    fn no_shop() -> Value {
        json!({
            "code": 404, "reason": "NotFound", "message": "namespaces \"shop\" not found",
            "details": { "kind": "namespaces", "name": "shop" },
        })
    }

    #[test]
    fn what_is_forbidden_is_told_apart_from_what_fails() {
        let answer = |code: u16| answer(json!({ "message": "no", "code": code }));
        let forbidden = if_allowed::<()>(Err(answer(403))).unwrap().unwrap_err();
        assert_eq!(
            forbidden.to_string(),
            "no: your account needs the right to do that"
        );
        let failed = if_allowed::<()>(Err(answer(500))).unwrap_err();
        assert!(
            failed.to_string().contains("the API server does not answer"),
            "{failed}"
        );
        assert!(if_allowed(Ok(7)).unwrap().is_ok_and(|read| read == 7));
    }

    #[test]
    fn what_is_not_found_is_a_namespace_an_object_or_a_kind() {
        assert_eq!(
            answer(no_shop()).to_string(),
            "namespace shop is not there: kubectl create namespace shop"
        );
        let object = answer(json!({
            "code": 404, "message": "certificates.sancho.dev \"shop\" not found",
            "details": { "group": "sancho.dev", "kind": "certificates", "name": "shop" },
        }));
        assert_eq!(object.to_string(), "certificates.sancho.dev \"shop\" not found");
        let kind = answer(json!({ "code": 404, "message": "404 page not found" }));
        assert_eq!(
            kind.to_string(),
            "404 page not found: are Sancho's CRDs installed in this cluster?"
        );
    }

    #[test]
    fn a_manifest_is_refused_by_its_schema_by_webhooks_policies_and_quotas() {
        for (code, message) in [
            (400, "strict decoding error: unknown field \"spec.shardng\""),
            (422, "spec.dnsNames: Invalid value: \"string\""),
            (413, "Request entity too large: limit is 3145728"),
            (403, "admission webhook \"gate.example\" denied the request: no"),
            (503, "admission webhook \"gate.example\" denied the request: no"),
            (
                403,
                "certificates.sancho.dev \"shop\" is forbidden: ValidatingAdmissionPolicy 'names' with binding \
                 'names' denied request: no",
            ),
            (
                403,
                "certificates.sancho.dev \"shop\" is forbidden: exceeded quota: few, requested: 1",
            ),
        ] {
            assert_eq!(of(code, message), Some(Verdict::Refused(message.into())));
        }
    }

    #[test]
    fn what_is_about_the_user_the_namespace_or_the_webhook_is_no_refusal() {
        let right =
            "certificates.sancho.dev is forbidden: User \"dev\" cannot create resource \"certificates\"";
        assert_eq!(of(403, right), None);
        assert_eq!(of(409, "the object has been modified"), None);
        let failed = "Internal error occurred: failed calling webhook \"gate.example\": no route";
        assert_eq!(of(500, failed), None);
        let silent = "admission webhook \"gate.example\" does not support dry run";
        assert_eq!(of(400, silent), Some(Verdict::NoDryRun(silent.into())));
        let no_shop: Status = serde_json::from_value(no_shop()).unwrap();
        assert_eq!(verdict(&no_shop), Some(Verdict::NoNamespace("shop".into())));
    }
}
