//! Writes a shard's routes, and waits until Gateways have said whether they take theirs.

use std::collections::BTreeMap;
use std::time::Duration;

use kube::api::{Patch, PatchParams};
use sancho_core::check::Fault;
use sancho_core::shown::shown_within;
use sancho_crds::{CertificateShard, Solver};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::Kind;
use super::accepted::{Acceptance, acceptance};
use super::wanted::{Route, Wanted, wanted};
use crate::context::{Context, full_name};
use crate::secrets::FIELD_MANAGER;
use crate::solvers::Labels;

/// So long a Gateway may take to say whether it takes a route. One that says nothing is asked through the public path.
const ACCEPTED_WITHIN: Duration = Duration::from_secs(15);
/// A refusal counts once it has stood for so long: controllers see the parts of a route one after another.
const REFUSED_FOR: Duration = Duration::from_secs(3);
/// Between two looks at a route's status.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// The most characters of the API server's words.
const MESSAGE_MAX: usize = 300;

/// What has become of the routes for some names.
#[derive(Debug, Default)]
pub struct Written {
    by_name: BTreeMap<String, Result<String, Fault>>,
    /// Whether anything was written, or may have been.
    any: bool,
}

impl Written {
    /// The route of a name in words, or why it cannot have one; nothing if none is asked for.
    #[must_use]
    pub fn of(&self, name: &str) -> Option<&Result<String, Fault>> {
        self.by_name.get(name)
    }

    /// Is there anything to be swept up?
    #[must_use]
    pub fn any(&self) -> bool {
        self.any
    }

    fn set(&mut self, hosts: &[String], came_to: &Result<String, Fault>) {
        self.by_name
            .extend(hosts.iter().map(|host| (host.clone(), came_to.clone())));
    }
}

/// Writes the routes for `names` of `shard` as its issuer's `solvers` have it, whether they stand already or not. The
/// claim of `shard` has to be recorded. What the API server refuses for good, and what the Gateways refuse, is held
/// against the names.
///
/// # Errors
/// What the API server answered that may pass: to be tried again.
pub async fn write(
    context: &Context,
    shard: &CertificateShard,
    solvers: &[Solver],
    labels: &Labels,
    names: &[String],
) -> Result<Written, kube::Error> {
    let home = &context.routes.home;
    let Wanted { routes, unroutable } = wanted(home, shard, solvers, labels, names);
    let mut written = Written {
        any: !routes.is_empty(),
        ..Written::default()
    };
    written.set(&unroutable, &Err(Fault::AddressNotRoutable));
    let mut open = Vec::new();
    for route in routes {
        match apply(context, &route).await {
            Ok(()) if route.kind == Kind::HttpRoute => open.push(route),
            Ok(()) => written.set(&route.hosts, &Ok(route.words)),
            Err(kube::Error::Api(status)) if is_final(status.code) => {
                let words = refusal(route.kind, status.code, &status.message);
                let fault = Fault::RouteNotWritten {
                    route: route.words,
                    words,
                };
                written.set(&route.hosts, &Err(fault));
            }
            Err(error) => return Err(error),
        }
    }
    accept(context, open, &mut written).await?;
    tracing::debug!(shard = full_name(shard), ?written, "routes are written");
    Ok(written)
}

/// An answer that comes again as long as nobody changes anything.
fn is_final(code: u16) -> bool {
    matches!(code, 400 | 403 | 404 | 405 | 422)
}

async fn apply(context: &Context, route: &Route) -> Result<(), kube::Error> {
    let api = route.kind.api(&context.client, &context.routes.home.namespace);
    let params = PatchParams::apply(FIELD_MANAGER).force();
    let apply = async |manifest: &Value| api.patch(&route.name, &params, &Patch::Apply(manifest)).await;
    match apply(&route.manifest).await {
        Err(kube::Error::Api(status)) if refuses_path_type(&status.message) => {
            apply(&with_own_path_type(&route.manifest)).await?;
        }
        written => {
            written?;
        }
    }
    Ok(())
}

/// Versions 1.12.0 and later of ingress-nginx refused a dot in the path of `Prefix` and `Exact`
/// (kubernetes/ingress-nginx#11176) until #13798 allowed it.
fn refuses_path_type(message: &str) -> bool {
    message.contains("cannot be used with pathType")
}

/// The Ingress with the type of path that is the controller's own; for ingress-nginx a prefix, too.
fn with_own_path_type(manifest: &Value) -> Value {
    let mut manifest = manifest.clone();
    let rules = manifest["spec"]["rules"].as_array_mut();
    for rule in rules.into_iter().flatten() {
        for path in rule["http"]["paths"].as_array_mut().into_iter().flatten() {
            path["pathType"] = "ImplementationSpecific".into();
        }
    }
    manifest
}

/// What the API server said, and what can be done about it.
fn refusal(kind: Kind, code: u16, message: &str) -> String {
    let said = shown_within(message, MESSAGE_MAX);
    let advice = match (kind, code) {
        (Kind::HttpRoute, 404) => {
            "install the Gateway API with its kind HTTPRoute of version v1, or use another solver"
        }
        (_, 403) if message.contains("cannot") => {
            "install the chart with routes.enabled=true, which gives the operator the right"
        }
        _ => "mend the solver in spec.acme.solvers of the issuer, or what refuses it",
    };
    format!("{said}; {advice}")
}

/// Waits for the Gateways' word.
async fn accept(context: &Context, mut open: Vec<Route>, written: &mut Written) -> Result<(), kube::Error> {
    let api = Kind::HttpRoute.api(&context.client, &context.routes.home.namespace);
    let began = Instant::now();
    let mut refused_since: BTreeMap<String, Instant> = BTreeMap::new();
    while !open.is_empty() {
        let mut still_open = Vec::new();
        for route in open {
            let present = api.get_opt(&route.name).await?;
            let present = present.map(|object| serde_json::to_value(object).unwrap_or(Value::Null));
            match acceptance(&present.unwrap_or(Value::Null)) {
                Acceptance::Accepted => written.set(&route.hosts, &Ok(route.words)),
                Acceptance::Refused(words) => {
                    let since = *refused_since
                        .entry(route.name.clone())
                        .or_insert_with(Instant::now);
                    if since.elapsed() < REFUSED_FOR {
                        still_open.push(route);
                    } else {
                        let fault = Fault::RouteNotAccepted {
                            route: route.words,
                            words,
                        };
                        written.set(&route.hosts, &Err(fault));
                    }
                }
                Acceptance::Pending if began.elapsed() < ACCEPTED_WITHIN => {
                    refused_since.remove(&route.name);
                    still_open.push(route);
                }
                Acceptance::Pending => {
                    let words = format!("{}, which no Gateway has accepted or refused", route.words);
                    written.set(&route.hosts, &Ok(words));
                }
            }
        }
        open = still_open;
        if !open.is_empty() {
            sleep(LOOK_AGAIN).await;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_ingress_whose_type_of_path_is_refused_leaves_it_to_the_controller() {
        assert!(refuses_path_type(
            "admission webhook \"validate.nginx.ingress.kubernetes.io\" denied the request: ingress contains invalid \
             paths: path /.well-known/acme-challenge cannot be used with pathType Prefix"
        ));
        let path = |kind: &str| json!({ "path": "/a", "pathType": kind });
        let ingress = |kind: &str| {
            json!({ "spec": { "rules": [
                { "host": "a", "http": { "paths": [path(kind)] } },
                { "host": "b", "http": { "paths": [path(kind)] } },
            ] } })
        };
        assert_eq!(
            with_own_path_type(&ingress("Prefix")),
            ingress("ImplementationSpecific")
        );
    }

    #[test]
    fn what_the_api_server_refuses_is_told_with_the_mend() {
        let missing = refusal(
            Kind::HttpRoute,
            404,
            "the server could not find the requested resource",
        );
        assert!(missing.contains("install the Gateway API"), "{missing}");
        let forbidden = refusal(
            Kind::Ingress,
            403,
            "ingresses is forbidden: User \"x\" cannot patch resource",
        );
        assert!(forbidden.contains("routes.enabled=true"), "{forbidden}");
        let denied = refusal(
            Kind::Ingress,
            403,
            "admission webhook denied the request: host is taken",
        );
        assert!(denied.contains("what refuses it"), "{denied}");
        assert!([500, 503, 429, 409].iter().all(|code| !is_final(*code)));
    }
}
