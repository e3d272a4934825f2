//! Providers of DNS, whose APIs write the records. Field names are cert-manager's.

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};

use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::SecretKeySelector;
use crate::issuer::SecretRef;

/// Cloudflare's API.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.apiTokenSecretRef) != has(self.apiKeySecretRef)")
    .message("name one credential: apiTokenSecretRef with an API token that may read zones and edit their DNS, or email and apiKeySecretRef with the account's global key"))]
#[x_kube(validation = Rule::new("!has(self.apiKeySecretRef) || has(self.email)")
    .message("a global key is one of an account: write its email beside apiKeySecretRef, or use apiTokenSecretRef"))]
pub struct Cloudflare {
    /// An API token with the permissions Zone:Read and DNS:Edit for the zones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_token_secret_ref: Option<SecretKeySelector>,
    /// The global API key of an account, which may do everything. A token is the better choice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key_secret_ref: Option<SecretKeySelector>,
    /// The account that the global key is of.
    #[schemars(length(min = 1, max = 254))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
}

/// Amazon Route 53's API.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.secretAccessKeySecretRef) && has(self.accessKeyID) != has(self.accessKeyIDSecretRef)")
    .message("write accessKeyID or accessKeyIDSecretRef, and secretAccessKeySecretRef: Sancho has no ambient credentials (IRSA, Pod Identity, instance profiles) and assumes no role"))]
pub struct Route53 {
    /// The region. Route 53 has none; of use in China (`cn-…`) and GovCloud (`us-gov-…`), which have a service of their
    /// own.
    #[schemars(length(min = 1, max = 32))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9-]+$')")
        .message("not a region: write one such as us-east-1, or leave it out"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The hosted zone that records are written to. Found by the domain's name if left out, which takes the permission
    /// route53:ListHostedZonesByName.
    #[schemars(length(min = 1, max = 48))]
    #[x_kube(validation = Rule::new("self.matches('^(/hostedzone/)?[A-Z0-9]+$')")
        .message("not the ID of a hosted zone: write it as in Z2FDTNDATAQYW2, or leave it out"))]
    #[serde(default, rename = "hostedZoneID", skip_serializing_if = "Option::is_none")]
    pub hosted_zone_id: Option<String>,
    /// The ID of an access key that has the permissions route53:ChangeResourceRecordSets and
    /// route53:ListResourceRecordSets for the zones.
    #[schemars(length(min = 16, max = 128))]
    #[x_kube(validation = Rule::new("self.matches('^[A-Z0-9]+$')")
        .message("not the ID of an access key: write it as in AKIAIOSFODNN7EXAMPLE"))]
    #[serde(default, rename = "accessKeyID", skip_serializing_if = "Option::is_none")]
    pub access_key_id: Option<String>,
    /// The same, in a Secret.
    #[serde(
        default,
        rename = "accessKeyIDSecretRef",
        skip_serializing_if = "Option::is_none"
    )]
    pub access_key_id_secret_ref: Option<SecretKeySelector>,
    /// The access key itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_access_key_secret_ref: Option<SecretKeySelector>,
}

/// Google Cloud DNS' API.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.serviceAccountSecretRef)")
    .message("name the key file of a service account in serviceAccountSecretRef: Sancho has no ambient credentials (Workload Identity, metadata servers)"))]
pub struct CloudDns {
    /// The project that has the zones.
    #[schemars(length(min = 1, max = 64))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9.:-]+$')")
        .message("not the ID of a project: write it as in my-project-1234"))]
    pub project: String,
    /// The managed zone that records are written to. Found by the domain's name if left out.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9-]+$')")
        .message("not the name of a managed zone: write the name that it has in the project, or leave it out"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hosted_zone_name: Option<String>,
    /// The key file (JSON) of a service account with the role DNS Administrator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account_secret_ref: Option<SecretKeySelector>,
}

/// Azure DNS' API.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.tenantID) && has(self.clientID) && has(self.clientSecretSecretRef)")
    .message("write tenantID, clientID and clientSecretSecretRef of an application: Sancho has no ambient credentials (managed identities, workload identity)"))]
pub struct AzureDns {
    /// The subscription that has the zones.
    #[schemars(length(min = 1, max = 64))]
    #[serde(rename = "subscriptionID")]
    pub subscription_id: String,
    /// The resource group in it.
    #[schemars(length(min = 1, max = 90))]
    pub resource_group_name: String,
    /// The zone that records are written to. Found by the domain's name if left out.
    #[schemars(length(min = 1, max = 253))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hosted_zone_name: Option<String>,
    /// Which of Azure's clouds. `AzurePublicCloud` if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<AzureEnvironment>,
    /// The directory that the application is in.
    #[schemars(length(min = 1, max = 64))]
    #[serde(default, rename = "tenantID", skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<String>,
    /// The application, which has the role DNS Zone Contributor for the zones.
    #[schemars(length(min = 1, max = 64))]
    #[serde(default, rename = "clientID", skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// A client secret of it: its value, not its ID.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret_secret_ref: Option<SecretKeySelector>,
}

/// Which of Azure's clouds.
#[derive(
    schemars::JsonSchema,
    Serialize,
    Deserialize,
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
)]
pub enum AzureEnvironment {
    /// The one for everybody.
    #[default]
    #[serde(rename = "AzurePublicCloud")]
    Public,
    /// The US government's.
    #[serde(rename = "AzureUSGovernmentCloud")]
    UsGovernment,
    /// China's.
    #[serde(rename = "AzureChinaCloud")]
    China,
}

/// A server that speaks lego's httpreq, in its default mode.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[serde(rename_all = "camelCase")]
pub struct HttpReq {
    /// The Secret that says where it is and what it lets in: `endpoint` (https), and if it wants them `username` and
    /// `password`; beside those `ca.crt`, PEM certificates that its own is checked against in place of the public roots.
    /// Where it is does not stand in the issuer, so that a Secret is sent to nowhere but where it says.
    pub secret_ref: SecretRef,
}

/// A server of acme-dns.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[serde(rename_all = "camelCase")]
pub struct AcmeDns {
    /// Its URL; https only.
    #[schemars(length(min = 1, max = 2048))]
    #[x_kube(validation = Rule::new("!self.startsWith('http://') && !self.contains('@')")
        .message("acme-dns must be reached by https: write its URL, such as https://auth.acme-dns.io"))]
    pub host: String,
    /// The accounts there: JSON that has for each domain what `/register` answered.
    pub account_secret_ref: SecretKeySelector,
}

/// A webhook that was written for cert-manager, behind the API server's aggregation layer.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[serde(rename_all = "camelCase")]
pub struct Webhook {
    /// The API group that it is installed as.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)+$') && !self.endsWith('.k8s.io') && self != 'sancho.dev'")
        .message("not a webhook's API group: write the one that it was installed with, such as acme.example.com"))]
    pub group_name: String,
    /// The solver's name, as the webhook has it.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')")
        .message("not a solver's name: write the one of the webhook's documents, in lower case"))]
    pub solver_name: String,
    /// What the webhook is told, as its documents have it. Do not put credentials here: name Secrets, which the webhook
    /// reads by its own rights, in the namespace of an Issuer, of a ClusterIssuer in the operator's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<WebhookConfig>,
}

/// What a webhook is told: anything.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(transparent)]
pub struct WebhookConfig(pub Value);

impl JsonSchema for WebhookConfig {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "WebhookConfig".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true })
    }
}

impl Hash for WebhookConfig {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.to_string().hash(state);
    }
}

impl PartialOrd for WebhookConfig {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for WebhookConfig {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.to_string().cmp(&other.0.to_string())
    }
}
