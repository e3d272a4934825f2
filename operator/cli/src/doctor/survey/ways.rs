//! Asks for what challenges go through on their way to Sancho.

use std::collections::BTreeMap;

use anyhow::Result;
use k8s_openapi::api::core::v1::{Namespace, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::IngressClass;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, ListParams};
use kube::{Api, Client};

/// The label of an EndpointSlice that names its Service.
const SERVICE_LABEL: &str = "kubernetes.io/service-name";

/// What challenges go through. `Err` holds the API server's words where it did not let itself be asked.
pub struct Ways {
    /// All IngressClasses.
    pub ingress_classes: Result<Vec<IngressClass>>,
    /// All Gateways; none if the API server does not know them.
    pub gateways: Result<Vec<DynamicObject>>,
    /// The labels of the operator's namespace, by which Gateways may choose.
    pub labels: Result<BTreeMap<String, String>>,
    /// The name of the responder's Service.
    pub service: String,
    /// That Service's EndpointSlices; absent if there is no such Service.
    pub endpoints: Result<Option<Vec<EndpointSlice>>>,
}

/// Asks for them: Gateways only if they are known, and `service` in the operator's namespace.
pub async fn ways(client: &Client, home: &str, service: &str, are_gateways_known: bool) -> Ways {
    let (ingress_classes, gateways, labels, endpoints) = tokio::join!(
        ingress_classes(client),
        gateways(client, are_gateways_known),
        labels(client, home),
        endpoints(client, home, service)
    );
    Ways {
        ingress_classes,
        gateways,
        labels,
        service: service.to_owned(),
        endpoints,
    }
}

async fn ingress_classes(client: &Client) -> Result<Vec<IngressClass>> {
    let api: Api<IngressClass> = Api::all(client.clone());
    Ok(api.list(&ListParams::default()).await?.items)
}

async fn gateways(client: &Client, are_known: bool) -> Result<Vec<DynamicObject>> {
    if !are_known {
        return Ok(Vec::new());
    }
    let kind = GroupVersionKind::gvk("gateway.networking.k8s.io", "v1", "Gateway");
    let resource = ApiResource::from_gvk_with_plural(&kind, "gateways");
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
    Ok(api.list(&ListParams::default()).await?.items)
}

async fn labels(client: &Client, namespace: &str) -> Result<BTreeMap<String, String>> {
    let api: Api<Namespace> = Api::all(client.clone());
    let namespace = api.get(namespace).await?;
    Ok(namespace.metadata.labels.unwrap_or_default())
}

async fn endpoints(client: &Client, namespace: &str, service: &str) -> Result<Option<Vec<EndpointSlice>>> {
    let services: Api<Service> = Api::namespaced(client.clone(), namespace);
    if services.get_opt(service).await?.is_none() {
        return Ok(None);
    }
    let slices: Api<EndpointSlice> = Api::namespaced(client.clone(), namespace);
    let of_service = ListParams::default().labels(&format!("{SERVICE_LABEL}={service}"));
    Ok(Some(slices.list(&of_service).await?.items))
}
