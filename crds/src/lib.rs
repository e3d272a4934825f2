//! The API that users write and read: group `sancho.dev`, version `v1alpha1`.
//!
//! Types alone: what is in a manifest, what the API server checks, what a status says.
//! The YAML in `crds/yaml` is generated from here by `cargo crdgen`.
#![warn(missing_docs)]
#![allow(clippy::duplicated_attributes, reason = "printer columns repeat their type")]

mod allowed;
mod annotated;
mod certificate;
mod condition;
mod dns01;
mod dns_persist01;
mod issuer;
mod private_key;
mod revocation;
mod route;
mod rules;
mod secret_form;
mod shard;
mod solver;

pub use allowed::Allowed;
pub use annotated::{
    CLUSTER_ISSUER_ANNOTATION, DURATION_ANNOTATION, ISSUER_ANNOTATION, KEY_ALGORITHM_ANNOTATION,
    KEY_ROTATION_ANNOTATION, KEY_SIZE_ANNOTATION, MADE_FOR_LABEL, PROFILE_ANNOTATION,
    RENEW_BEFORE_ANNOTATION,
};
pub use certificate::{
    ADOPT_ANNOTATION, Certificate, CertificateSpec, CertificateStatus, IssuerKind, IssuerRef, NamePolicy,
    PAUSED_ANNOTATION, PlanStatus, RENEW_ANNOTATION, RETRY_ANNOTATION, SecretDeletionPolicy, Sharding,
    ShardingGroup, ShardingStrategy,
};
pub use condition::{condition, set_condition, unset_condition};
pub use dns_persist01::DnsPersist01;
pub use dns01::{
    AcmeDns, AzureDns, AzureEnvironment, CloudDns, Cloudflare, CnameStrategy, Dns01, HttpReq, OtherProvider,
    ProviderName, Rfc2136, Route53, SecretKeySelector, TsigAlgorithm, UpdateProtocol, Webhook, WebhookConfig,
};
pub use issuer::{
    Acme, Budget, ClusterIssuer, ClusterIssuerSpec, ExternalAccountBinding, Issuer, IssuerSpec, IssuerStatus,
    NameCap, SecretKeyRef, SecretRef,
};
pub use private_key::{KeyAlgorithm, PrivateKey, RotationPolicy};
pub use revocation::{
    REVOKE_ANNOTATION, RevocationAskedBy, RevocationReason, RevocationStatus, UnknownReason,
};
pub use route::{GatewayRoute, IngressRoute, IngressTemplate, ParentRef, RouteMetadata};
pub use secret_form::{
    AdditionalOutputFormat, JksKeystore, KeystorePasswordRef, Keystores, OutputFormat, Pkcs12Keystore,
    Pkcs12Profile, SecretTemplate,
};
pub use shard::{
    AuthorizationStatus, CertificateShard, CertificateShardSpec, CertificateShardStatus, Claim, FoundBy,
    IssuedStatus, OrderStatus, PresentedRecord, QuarantinePlace, QuarantinedName, QuotaScope,
    RenewalInfoStatus, ShardFailure, ShardQuota, SuggestedWindow,
};
pub use solver::{ExternalSolver, Http01, SelfCheck, Solver, SolverSelector};

/// The API group of all kinds.
pub const GROUP: &str = "sancho.dev";
/// The API version of all kinds.
pub const VERSION: &str = "v1alpha1";

#[cfg(test)]
mod tests;
