//! Whether challenges find their way: the IngressClasses and Gateways that solvers name, and the responder's Service. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::IngressClass;
use kube::ResourceExt;

use super::issuing::{issuers, together};
use super::{gateways, unseen};
use crate::doctor::Finding;
use crate::doctor::Weight::{Broken, Doubtful};
use crate::doctor::survey::{Facts, Ways};

/// By which an IngressClass says that it takes Ingresses that name none.
const DEFAULT: &str = "ingressclass.kubernetes.io/is-default-class";

/// For solvers with HTTP-01; nothing if there is none.
pub fn of_challenges(facts: &Facts) -> Vec<Finding> {
    let mut is_http = false;
    // The class that is named, or none for the default one, with the issuers that ask for it.
    let mut classes: BTreeMap<Option<&str>, Vec<String>> = BTreeMap::new();
    for issuer in issuers(facts) {
        for http01 in issuer
            .acme
            .solvers
            .iter()
            .filter_map(|solver| solver.http01.as_ref())
        {
            is_http = true;
            // The older annotation names no object.
            let Some(ingress) = http01.ingress.as_ref().filter(|ingress| ingress.class.is_none()) else {
                continue;
            };
            let asking = classes.entry(ingress.ingress_class_name.as_deref()).or_default();
            if asking.last() != Some(&issuer.words) {
                asking.push(issuer.words.clone());
            }
        }
    }
    let mut found = Vec::new();
    match &facts.ways.ingress_classes {
        Err(error) if !classes.is_empty() => found.push(unseen("IngressClasses of solvers", error)),
        Err(_) => {}
        Ok(present) => {
            let classes = classes.iter();
            found.extend(classes.map(|(name, issuers)| class(*name, &together(issuers), present)));
        }
    }
    found.extend(gateways::of_solvers(facts));
    if is_http {
        found.push(service(&facts.ways, &facts.operator_namespace));
    }
    found
}

fn class(name: Option<&str>, issuers: &str, present: &[IngressClass]) -> Finding {
    let Some(name) = name else {
        return default_class(issuers, present);
    };
    let about = format!("IngressClass {name} of {issuers}");
    match present.iter().find(|class| class.name_any() == name) {
        Some(class) => Finding::fine(
            about,
            format!("is there, for the controller {}", controller(class)),
        ),
        None => Finding::trouble(
            Broken,
            about,
            "is not there, so that no controller takes Sancho's Ingresses",
            "name one of kubectl get ingressclasses in the solver's ingressClassName, or install that controller",
        ),
    }
}

fn default_class(issuers: &str, present: &[IngressClass]) -> Finding {
    let about = format!("default IngressClass for {issuers}");
    let is_default = |class: &&IngressClass| {
        let word = class.annotations().get(DEFAULT);
        word.is_some_and(|word| word == "true")
    };
    match present.iter().find(is_default) {
        Some(class) => {
            let found = format!(
                "is {}, for the controller {}",
                class.name_any(),
                controller(class)
            );
            Finding::fine(about, found)
        }
        None => Finding::trouble(
            Doubtful,
            about,
            "there is none, and few controllers take an Ingress that names no class",
            format!(
                "set the solver's ingressClassName, or mark a class by the annotation {DEFAULT}=\"true\""
            ),
        ),
    }
}

fn controller(class: &IngressClass) -> &str {
    let spec = class.spec.as_ref();
    spec.and_then(|spec| spec.controller.as_deref())
        .unwrap_or("that it does not name")
}

fn service(ways: &Ways, home: &str) -> Finding {
    let name = &ways.service;
    let about = format!("Service {name} in {home}");
    match &ways.endpoints {
        Err(error) => unseen(&about, error),
        Ok(None) => Finding::trouble(
            Broken,
            about,
            "is not there: no challenge by HTTP gets to Sancho through it",
            "install the chart again",
        ),
        Ok(Some(slices)) if slices.iter().any(is_ready) => {
            Finding::fine(about, "leads to Pods that are ready")
        }
        Ok(Some(_)) => Finding::trouble(
            Broken,
            about,
            "leads to no Pod that is ready: no challenge by HTTP gets to Sancho through it",
            format!(
                "see what is found of replicas and responders; then kubectl describe service -n {home} {name}"
            ),
        ),
    }
}

/// Of an endpoint that says nothing it is to be taken for granted (`EndpointConditions`).
fn is_ready(slice: &EndpointSlice) -> bool {
    let mut endpoints = slice.endpoints.iter().flatten();
    endpoints.any(|endpoint| {
        let conditions = endpoint.conditions.as_ref();
        conditions.and_then(|conditions| conditions.ready) != Some(false)
    })
}
