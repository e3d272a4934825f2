//! Reads from the API server and writes to it, with the user's own rights.

mod judge;
mod words;

use std::fmt;
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::core::PartialObjectMeta;
use kube::{Api, Client, Config, Resource, ResourceExt};
use sancho::api_server;
use sancho::certificate::assignment_in_secrets;
use sancho::proxy;
use sancho::secrets::{CERTIFICATE_LABEL, label_value};
use sancho_core::plan::PlannedShard;
use sancho_crds::{
    Acme, Allowed, Certificate, CertificateShard, ClusterIssuer, Issuer, IssuerKind, IssuerStatus,
};
use sancho_limiter::{LEASE_LABEL, Record};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

pub use self::judge::in_place_of;
use self::words::explained;
pub use self::words::{Forbidden, Verdict, if_allowed, no_namespace};
use crate::by_hand::Written;
use crate::import;

/// How many objects are asked for at once.
const PAGE: u32 = 500;

/// A cluster that can be asked.
pub struct Cluster {
    client: Client,
    namespace: String,
}

/// An Issuer or a ClusterIssuer.
#[derive(Clone)]
pub struct AnIssuer {
    /// Where it gets certificates.
    pub acme: Acme,
    /// Which Certificates may use it, if it says so.
    pub allowed: Option<Allowed>,
    /// Where it stands.
    pub status: Option<IssuerStatus>,
}

/// Where to look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// In all namespaces.
    All,
    /// In this one.
    Namespace(String),
}

impl Cluster {
    /// The cluster of a kubeconfig file and context; the usual ones if they are left out.
    ///
    /// # Errors
    /// When there is no kubeconfig, or it has no such context.
    pub async fn connect(file: Option<&Path>, context: Option<&str>) -> Result<Self> {
        // kube leaves the choice of a TLS library to the program; it fails if one is chosen already.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let options = KubeConfigOptions {
            context: context.map(str::to_owned),
            ..Default::default()
        };
        let kubeconfig = match file {
            Some(file) => Kubeconfig::read_from(file).with_context(|| format!("{}", file.display()))?,
            None => Kubeconfig::read().map_err(no_cluster)?,
        };
        let proxy_url = api_server::proxy_url(&kubeconfig, context).map(str::to_owned);
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &options)
            .await
            .map_err(no_cluster)?;
        config.proxy_url = proxy::of_api_server(proxy_url.as_deref(), &config.cluster_url)?;
        Ok(Self {
            namespace: config.default_namespace.clone(),
            client: Client::try_from(config)?,
        })
    }

    /// Asks the API server.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The context's namespace.
    pub fn default_namespace(&self) -> &str {
        &self.namespace
    }

    /// Certificates: all in the scope, or the one of this name in each of its namespaces.
    ///
    /// # Errors
    /// When the API server refuses, or the one that is named does not exist.
    pub async fn certificates(&self, scope: &Scope, name: Option<&str>) -> Result<Vec<Certificate>> {
        let api = self.api::<Certificate>(scope);
        let Some(name) = name else {
            return list(&api).await;
        };
        let named = ListParams::default().fields(&format!("metadata.name={name}"));
        let found = list_of(&api, named).await?;
        if found.is_empty() {
            return Err(match scope {
                Scope::All => anyhow!("no namespace has a Certificate {name}"),
                Scope::Namespace(namespace) => anyhow!(
                    "namespace {namespace} has no Certificate {name}: name another by -n, or look everywhere by -A"
                ),
            });
        }
        Ok(found)
    }

    /// All Issuers in the scope.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn issuers(&self, scope: &Scope) -> Result<Vec<Issuer>> {
        list(&self.api(scope)).await
    }

    /// All CertificateShards in the scope.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn shards(&self, scope: &Scope) -> Result<Vec<CertificateShard>> {
        list(&self.api(scope)).await
    }

    /// The CertificateShards of the Certificate of this name, in each namespace of the scope.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn shards_of(&self, scope: &Scope, certificate: &str) -> Result<Vec<CertificateShard>> {
        let label = format!("{CERTIFICATE_LABEL}={}", label_value(certificate));
        list_of(&self.api(scope), ListParams::default().labels(&label)).await
    }

    /// The ClusterIssuers.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn cluster_issuers(&self) -> Result<Vec<ClusterIssuer>> {
        list(&Api::all(self.client.clone())).await
    }

    /// All of a kind that the user may read: in all namespaces or, with what forbids that, in the scope.
    ///
    /// # Errors
    /// When the API server refuses for another reason.
    pub async fn widest<K>(&self, scope: &Scope) -> Result<(Vec<K>, Option<Forbidden>)>
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
            + Clone
            + DeserializeOwned
            + fmt::Debug,
    {
        let forbidden = match if_allowed(list(&self.api::<K>(&Scope::All)).await)? {
            Ok(all) => return Ok((all, None)),
            Err(forbidden) => forbidden,
        };
        let own = match scope {
            Scope::All => Vec::new(),
            Scope::Namespace(_) => if_allowed(list(&self.api::<K>(scope)).await)?.unwrap_or_default(),
        };
        Ok((own, Some(forbidden)))
    }

    /// The Leases that hold budgets.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn budget_leases(&self, namespace: &str) -> Result<Vec<Lease>> {
        let api: Api<Lease> = Api::namespaced(self.client.clone(), namespace);
        let (key, value) = LEASE_LABEL;
        let marked = ListParams::default().labels(&format!("{key}={value}"));
        Ok(api.list(&marked).await.map_err(explained)?.items)
    }

    /// The budget in this Lease, if there is one that can be read.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn budget(&self, namespace: &str, lease: &str) -> Result<Option<Record>> {
        let api: Api<Lease> = Api::namespaced(self.client.clone(), namespace);
        let lease = api.get_opt(lease).await.map_err(explained)?;
        Ok(lease.and_then(|lease| Record::from_annotations(lease.annotations()).ok()))
    }

    /// What the issuer of `certificate` says, if it is there.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn issuer(&self, certificate: &Certificate) -> Result<Option<AnIssuer>> {
        let reference = &certificate.spec.issuer_ref;
        let client = self.client.clone();
        Ok(match reference.kind() {
            IssuerKind::ClusterIssuer => {
                let api: Api<ClusterIssuer> = Api::all(client);
                let found = api.get_opt(&reference.name).await.map_err(explained)?;
                found.map(|issuer| AnIssuer {
                    acme: issuer.spec.acme,
                    allowed: issuer.spec.allowed,
                    status: issuer.status,
                })
            }
            IssuerKind::Issuer => {
                let api: Api<Issuer> = Api::namespaced(
                    client,
                    certificate.metadata.namespace.as_deref().unwrap_or_default(),
                );
                let found = api.get_opt(&reference.name).await.map_err(explained)?;
                found.map(|issuer| AnIssuer {
                    acme: issuer.spec.acme,
                    allowed: None,
                    status: issuer.status,
                })
            }
        })
    }

    /// How the Secrets that are marked as a Certificate's are assigned.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn assignment_in_secrets(&self, scope: &Scope, certificate: &str) -> Result<Vec<PlannedShard>> {
        let api: Api<Secret> = self.api(scope);
        let label = format!("{CERTIFICATE_LABEL}={}", label_value(certificate));
        let found = api
            .list(&ListParams::default().labels(&label))
            .await
            .map_err(explained)?;
        Ok(assignment_in_secrets(&found.items, certificate))
    }

    /// cert-manager's Certificates and issuers, as it serves them.
    ///
    /// # Errors
    /// When the API server refuses, or there is no cert-manager.
    pub async fn of_cert_manager(&self, scope: &Scope) -> Result<Vec<Value>> {
        let mut found = Vec::new();
        for kind in ["ClusterIssuer", "Issuer", "Certificate"] {
            let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(import::GROUP, "v1", kind));
            let client = self.client.clone();
            let api: Api<DynamicObject> = match scope {
                Scope::Namespace(namespace) if kind != "ClusterIssuer" => {
                    Api::namespaced_with(client, namespace, &resource)
                }
                Scope::All | Scope::Namespace(_) => Api::all_with(client, &resource),
            };
            let objects = api
                .list(&ListParams::default())
                .await
                .map_err(|error| match error {
                    kube::Error::Api(status) if status.code == 404 => {
                        anyhow!("this cluster has no cert-manager: give its manifests by -f")
                    }
                    other => explained(other),
                })?;
            for object in objects {
                let mut value = serde_json::to_value(object)?;
                // The items of a list do not say what they are.
                value["apiVersion"] = json!(resource.api_version);
                value["kind"] = json!(kind);
                found.push(value);
            }
        }
        Ok(found)
    }

    /// The metadata of one Secret; of the context's namespace, if no other is named.
    ///
    /// # Errors
    /// When the API server refuses, or there is none of that name.
    pub async fn secret(&self, scope: &Scope, name: &str) -> Result<PartialObjectMeta<Secret>> {
        let Scope::Namespace(namespace) = scope else {
            return Err(anyhow!("a Secret is of one namespace: name it by -n"));
        };
        let api: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
        let found = api.get_metadata_opt(name).await.map_err(explained)?;
        found.ok_or_else(|| anyhow!("namespace {namespace} has no Secret {name}"))
    }

    /// Writes an annotation of a Certificate or a Secret, or removes it.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn annotate(&self, written: &Written) -> Result<()> {
        let scope = Scope::Namespace(written.namespace.clone());
        let patch = json!({ "metadata": { "annotations": { written.annotation: written.value } } });
        let params = PatchParams {
            field_manager: Some("kubectl-sancho".into()),
            ..PatchParams::default()
        };
        let patch = Patch::Merge(&patch);
        match &written.secret {
            Some(secret) => self
                .api::<Secret>(&scope)
                .patch_metadata(secret, &params, &patch)
                .await
                .map(drop),
            None => self
                .api::<Certificate>(&scope)
                .patch_metadata(&written.certificate, &params, &patch)
                .await
                .map(drop),
        }
        .map_err(explained)
    }

    fn api<K>(&self, scope: &Scope) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
    {
        match scope {
            Scope::All => Api::all(self.client.clone()),
            Scope::Namespace(namespace) => Api::namespaced(self.client.clone(), namespace),
        }
    }
}

async fn list<K: Clone + DeserializeOwned + fmt::Debug>(api: &Api<K>) -> Result<Vec<K>> {
    list_of(api, ListParams::default()).await
}

/// Those that `params` select.
async fn list_of<K: Clone + DeserializeOwned + fmt::Debug>(
    api: &Api<K>,
    params: ListParams,
) -> Result<Vec<K>> {
    let mut all = Vec::new();
    let mut params = params.limit(PAGE);
    loop {
        let page = api.list(&params).await.map_err(explained)?;
        all.extend(page.items);
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(all),
        }
    }
}

/// Why there is no cluster to ask, and what to do about it.
fn no_cluster(error: KubeconfigError) -> anyhow::Error {
    let mend = match &error {
        KubeconfigError::ParseProxyUrl(_) => {
            "the kubeconfig's proxy-url, or HTTPS_PROXY, is no URL: write http://HOST:PORT"
        }
        KubeconfigError::ParseNoProxy(_) => {
            "NO_PROXY cannot be read: write names, addresses and CIDRs, with one comma between two of them and none at \
             the end"
        }
        _ => "no cluster: check --kubeconfig, $KUBECONFIG and --context",
    };
    anyhow::Error::new(error).context(mend)
}
