//! cert-manager's DNS webhooks as they are: a `ChallengePayload` for each record, through the API server's aggregation layer.
//! <https://cert-manager.io/docs/configuration/acme/dns01/webhook/>
//!
//! `POST /apis/GROUP/v1alpha1/SOLVER`. The webhook sees the issuer's `config` as it stands there, and in which namespace
//! that may name Secrets, which the webhook reads by its own rights.

use hyper::Request;
use hyper::header::CONTENT_TYPE;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use k8s_openapi::api::core::v1::Secret;
use kube::api::PostParams;
use kube::{Api, Client};
use sancho_core::shown::shown_within;
use sancho_crds::Webhook as Settings;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::TxtRecord;
use super::fault::{DnsFault, PROVIDER_FAILS, UPDATE_REFUSED};
use super::sets::Wish;
use crate::target::digest;

const API_VERSION: &str = "webhook.acme.cert-manager.io/v1alpha1";
const KIND: &str = "ChallengePayload";

/// A webhook, as an issuer has it.
pub(super) struct Webhook {
    client: Client,
    /// Where `config` may name Secrets.
    namespace: String,
    settings: Settings,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Payload<'a> {
    api_version: &'static str,
    kind: &'static str,
    request: ChallengeRequest<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ChallengeRequest<'a> {
    uid: String,
    action: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    dns_name: &'a str,
    key: &'a str,
    resource_namespace: &'a str,
    #[serde(rename = "resolvedFQDN")]
    resolved_fqdn: String,
    resolved_zone: String,
    allow_ambient_credentials: bool,
    config: &'a Value,
}

#[derive(Deserialize)]
struct Answer {
    response: Option<ChallengeResponse>,
}

#[derive(Deserialize)]
struct ChallengeResponse {
    success: bool,
    status: Option<Status>,
}

#[derive(Default, Deserialize)]
struct Status {
    #[serde(default)]
    message: String,
    /// As HTTP has them. Webhooks that are made with cert-manager's own library give none.
    #[serde(default)]
    code: i64,
}

impl Status {
    /// Does it say that the same request fails again, until something is mended? What is not said may pass.
    fn is_lasting(&self) -> bool {
        const PASSING: [i64; 3] = [408, 425, 429];
        (400..500).contains(&self.code) && !PASSING.contains(&self.code)
    }
}

impl Webhook {
    /// The webhook of `settings`, for an issuer that may name these Secrets.
    ///
    /// # Errors
    /// [`DnsFault`] if what it names is no webhook: it is asked by the operator's rights.
    pub(super) fn new(settings: &Settings, secrets: &Api<Secret>) -> Result<Self, DnsFault> {
        if !is_a_webhooks(&settings.group_name, &settings.solver_name) {
            return Err(DnsFault::new(
                UPDATE_REFUSED,
                "dns01.webhook.groupName and solverName name no webhook: write those of its documents",
            ));
        }
        Ok(Self {
            client: secrets.clone().into_client(),
            namespace: secrets.namespace().unwrap_or_default().to_owned(),
            settings: settings.clone(),
        })
    }

    /// Could it be asked? Asks the API server whether it knows the webhook, and whether Sancho may ask it.
    pub(super) async fn check(&self) -> Result<(), DnsFault> {
        let Settings {
            group_name,
            solver_name,
            ..
        } = &self.settings;
        let review = SelfSubjectAccessReview {
            spec: SelfSubjectAccessReviewSpec {
                resource_attributes: Some(ResourceAttributes {
                    group: Some(group_name.clone()),
                    version: Some("v1alpha1".into()),
                    resource: Some(solver_name.clone()),
                    verb: Some("create".into()),
                    ..ResourceAttributes::default()
                }),
                ..SelfSubjectAccessReviewSpec::default()
            },
            ..SelfSubjectAccessReview::default()
        };
        let reviews: Api<SelfSubjectAccessReview> = Api::all(self.client.clone());
        let answer = reviews.create(&PostParams::default(), &review).await;
        let is_allowed = answer
            .map_err(|error| self.fault(&error))?
            .status
            .is_some_and(|status| status.allowed);
        if !is_allowed {
            return Err(self.not_allowed());
        }
        let discovery = Request::get(format!("/apis/{group_name}/v1alpha1"))
            .body(Vec::new())
            .map_err(|error| DnsFault::new(PROVIDER_FAILS, &error.to_string()))?;
        let found = self.client.request_text(discovery).await;
        found.map(drop).map_err(|error| self.fault(&error))
    }

    /// Has these records there or gone, one request each.
    pub(super) async fn change(
        &self,
        zone: &str,
        wish: Wish,
        records: &[&TxtRecord],
    ) -> Result<(), DnsFault> {
        for record in records {
            self.ask(zone, wish, record).await?;
        }
        Ok(())
    }

    async fn ask(&self, zone: &str, wish: Wish, record: &TxtRecord) -> Result<(), DnsFault> {
        let Settings {
            group_name,
            solver_name,
            config,
        } = &self.settings;
        let action = match wish {
            Wish::There => "Present",
            Wish::Gone => "CleanUp",
        };
        let payload = Payload {
            api_version: API_VERSION,
            kind: KIND,
            request: ChallengeRequest {
                uid: digest([record.name.as_str(), record.value.as_str()]),
                action,
                kind: "dns-01",
                dns_name: &record.domain,
                key: &record.value,
                resource_namespace: &self.namespace,
                resolved_fqdn: format!("{}.", record.name),
                resolved_zone: format!("{zone}."),
                allow_ambient_credentials: false,
                config: config.as_ref().map_or(&Value::Null, |config| &config.0),
            },
        };
        let fails = |words: &str| DnsFault::new(PROVIDER_FAILS, words);
        let body = serde_json::to_vec(&payload).map_err(|error| fails(&error.to_string()))?;
        let request = Request::post(format!("/apis/{group_name}/v1alpha1/{solver_name}"))
            .header(CONTENT_TYPE, "application/json")
            .body(body)
            .map_err(|error| fails(&format!("the webhook cannot be asked: {error}")))?;
        let text = self
            .client
            .request_text(request)
            .await
            .map_err(|error| self.fault(&error))?;
        let answer: Answer = serde_json::from_str(&text).map_err(|_| {
            fails(&format!(
                "the webhook {solver_name}.{group_name} answers with what cannot be read"
            ))
        })?;
        match answer.response {
            Some(ChallengeResponse { success: true, .. }) => Ok(()),
            Some(ChallengeResponse { status, .. }) => {
                let status = status.unwrap_or_default();
                let (reason, done) = match (status.is_lasting(), wish) {
                    (true, _) => (UPDATE_REFUSED, "refuses the TXT record"),
                    (false, Wish::There) => (PROVIDER_FAILS, "did not write the TXT record"),
                    (false, Wish::Gone) => (PROVIDER_FAILS, "did not remove the TXT record"),
                };
                let words = format!(
                    "the webhook {solver_name}.{group_name} {done} {}: {}",
                    record.name,
                    shown_within(&status.message, 200)
                );
                Err(DnsFault::new(reason, &words))
            }
            None => Err(fails(&format!(
                "the webhook {solver_name}.{group_name} answers without a response"
            ))),
        }
    }

    fn fault(&self, error: &kube::Error) -> DnsFault {
        let Settings {
            group_name,
            solver_name,
            ..
        } = &self.settings;
        let code = match error {
            kube::Error::Api(status) => status.code,
            _ => 0,
        };
        match code {
            403 => self.not_allowed(),
            404 => DnsFault::new(
                UPDATE_REFUSED,
                &format!(
                    "the API server knows no webhook {solver_name} in the API group {group_name}: install it, or mend \
                     dns01.webhook.groupName and solverName (kubectl get apiservice v1alpha1.{group_name})"
                ),
            ),
            _ => DnsFault::new(
                PROVIDER_FAILS,
                &format!(
                    "the webhook {solver_name}.{group_name} cannot be asked: {} (kubectl get apiservice \
                     v1alpha1.{group_name})",
                    shown_within(&error.to_string(), 200)
                ),
            ),
        }
    }

    fn not_allowed(&self) -> DnsFault {
        let Settings {
            group_name,
            solver_name,
            ..
        } = &self.settings;
        DnsFault::new(
            UPDATE_REFUSED,
            &format!(
                "Sancho may not ask the webhook {solver_name}.{group_name}: let its service account create {solver_name} \
                 in the API group {group_name} by a ClusterRoleBinding, as the webhook's chart does for cert-manager's"
            ),
        )
    }
}

/// May this be a webhook's group and solver? Neither Kubernetes' own groups nor Sancho's.
fn is_a_webhooks(group: &str, solver: &str) -> bool {
    let is_name = |text: &str| {
        let mut bytes = text.bytes();
        let fits =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
        !text.is_empty() && !text.starts_with('.') && !text.contains("..") && bytes.all(fits)
    };
    is_name(group)
        && is_name(solver)
        && group.contains('.')
        && !group.ends_with(".k8s.io")
        && group != "sancho.dev"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_kubernetes_groups_nor_paths_are_webhooks() {
        assert!(is_a_webhooks("acme.example.com", "my-solver"));
        for (group, solver) in [
            ("apps", "deployments"),
            ("rbac.authorization.k8s.io", "clusterroles"),
            ("sancho.dev", "issuers"),
            ("acme.example.com", "a/b"),
            ("acme.example.com", ".."),
            ("acme..com", "a"),
            ("acme.example.com", ""),
        ] {
            assert!(!is_a_webhooks(group, solver), "{group} {solver}");
        }
    }

    #[test]
    fn a_refusal_lasts_if_its_code_is_one_of_who_asks_and_not_of_when() {
        let is_lasting = |status: Value| {
            let response = serde_json::json!({ "uid": "1", "success": false, "status": status });
            let response: ChallengeResponse = serde_json::from_value(response).unwrap();
            assert!(!response.success);
            response.status.unwrap_or_default().is_lasting()
        };
        for code in [400, 401, 403, 404, 422] {
            assert!(
                is_lasting(serde_json::json!({ "code": code, "message": "no" })),
                "{code}"
            );
        }
        for code in [0, 408, 425, 429, 500, 503] {
            assert!(!is_lasting(serde_json::json!({ "code": code })), "{code}");
        }
        let plain = serde_json::json!({ "metadata": {}, "status": "Failed", "message": "no" });
        assert!(!is_lasting(plain));
        assert!(!is_lasting(Value::Null));
    }

    #[test]
    fn a_payload_is_as_cert_managers_types_have_it() {
        let payload = Payload {
            api_version: API_VERSION,
            kind: KIND,
            request: ChallengeRequest {
                uid: "1".into(),
                action: "Present",
                kind: "dns-01",
                dns_name: "a.example",
                key: "v",
                resource_namespace: "shop",
                resolved_fqdn: "_acme-challenge.a.example.".into(),
                resolved_zone: "a.example.".into(),
                allow_ambient_credentials: false,
                config: &serde_json::json!({ "a": 1 }),
            },
        };
        assert_eq!(
            serde_json::to_value(&payload).unwrap(),
            serde_json::json!({
                "apiVersion": "webhook.acme.cert-manager.io/v1alpha1", "kind": "ChallengePayload",
                "request": {
                    "uid": "1", "action": "Present", "type": "dns-01", "dnsName": "a.example", "key": "v",
                    "resourceNamespace": "shop", "resolvedFQDN": "_acme-challenge.a.example.",
                    "resolvedZone": "a.example.", "allowAmbientCredentials": false, "config": { "a": 1 },
                },
            })
        );
    }
}
