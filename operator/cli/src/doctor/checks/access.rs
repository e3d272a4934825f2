//! Rights that somebody lacks. Pure.

use anyhow::Result;

use super::issuing::issuers;
use super::{SHOWN, unseen};
use crate::doctor::Finding;
use crate::doctor::Weight::{self, Broken, Doubtful};
use crate::doctor::rights::{Held, Place};
use crate::doctor::survey::Facts;

/// Who may not read Certificates where they look can have nothing told of them. All else is a matter of single commands.
pub fn of_user(facts: &Facts) -> Vec<Finding> {
    let is_blind =
        |held: &Held| !held.is_allowed && held.right.place == Place::LookedAt && held.right.verb == "list";
    let (weight, next_step) = match &facts.user {
        Ok(user) if user.iter().any(is_blind) => (
            Broken,
            "ask for the ClusterRole sancho-view or sancho-edit, or name a namespace by -n where you have it"
                .to_owned(),
        ),
        Ok(_) | Err(_) => (
            Doubtful,
            format!(
                "nothing, if you do not need these commands; else ask for the ClusterRole sancho-edit, for sancho-view in \
                 the whole cluster, or for the right to list Leases in {}",
                facts.operator_namespace
            ),
        ),
    };
    rights("your rights", &facts.user, weight, &next_step)
}

/// Where the operator looks its Deployment tells. Without that a right in single namespaces may be all that is needed.
pub fn of_operator(facts: &Facts) -> Vec<Finding> {
    let is_known = facts
        .deployments
        .as_ref()
        .is_ok_and(|deployments| !deployments.is_empty());
    let (weight, next_step) = match is_known {
        true => (
            Broken,
            "install the chart again: its Roles have been changed, or a namespace that it is to watch was made anew",
        ),
        false => (
            Doubtful,
            "let somebody run this who may read the operator's Deployment: it says which namespaces are watched, and by \
             which service account",
        ),
    };
    rights("the operator's rights", &facts.operator, weight, next_step)
}

/// What is missing, each right once with the namespaces that it is missing in.
fn rights(about: &str, rights: &Result<Vec<Held>>, weight: Weight, next_step: &str) -> Vec<Finding> {
    let rights = match rights {
        Ok(rights) => rights,
        Err(error) => return vec![unseen(about, error)],
    };
    let missing = missing(rights);
    vec![if missing.is_empty() {
        Finding::fine(about, format!("all {} that are needed", rights.len()))
    } else {
        Finding::trouble(
            weight,
            about,
            format!("missing: {}", missing.join(", ")),
            next_step,
        )
    }]
}

/// `get, watch issuers in bank, shop (to see the CAs)`.
fn missing(rights: &[Held]) -> Vec<String> {
    let mut found: Vec<(Vec<&str>, String)> = Vec::new();
    for places in rights.chunk_by(|one, next| one.right == next.right) {
        let missing: Vec<&Held> = places.iter().filter(|held| !held.is_allowed).collect();
        let Some(right) = missing.first().map(|held| held.right) else {
            continue;
        };
        let namespaces: Vec<&str> = missing
            .iter()
            .filter_map(|held| held.namespace.as_deref())
            .collect();
        let place = match namespaces.len() {
            0 => String::new(),
            count if count > SHOWN => format!(" in {} and more", namespaces[..SHOWN].join(", ")),
            _ => format!(" in {}", namespaces.join(", ")),
        };
        let what = format!("{}{place} ({})", right.resource, right.why);
        match found.last_mut() {
            Some((verbs, last)) if *last == what => verbs.push(right.verb),
            _ => found.push((vec![right.verb], what)),
        }
    }
    let words = |(verbs, what): (Vec<&str>, String)| format!("{} {what}", verbs.join(", "));
    found.into_iter().map(words).collect()
}

/// Whether the operator may write the routes that issuers ask for; nothing of those that none asks for.
pub fn to_routes(facts: &Facts) -> Vec<Finding> {
    let (mut by_ingress, mut by_gateway) = (false, false);
    for issuer in issuers(facts) {
        for http01 in issuer
            .acme
            .solvers
            .iter()
            .filter_map(|solver| solver.http01.as_ref())
        {
            by_ingress |= http01.ingress.is_some();
            by_gateway |= http01.gateway_http_route.is_some();
        }
    }
    let about = "routes of challenges";
    let asked: Vec<&str> = [("ingresses", by_ingress), ("httproutes", by_gateway)]
        .into_iter()
        .filter_map(|(resource, is_asked)| is_asked.then_some(resource))
        .collect();
    if asked.is_empty() {
        return Vec::new();
    }
    let mut found = Vec::new();
    if by_gateway && matches!(facts.has_http_routes, Ok(false)) {
        found.push(Finding::trouble(
            Broken,
            about,
            "an issuer wants HTTPRoutes, which the API server does not know",
            "install the Gateway API, or use another solver",
        ));
    }
    let known = match &facts.routes {
        Ok(known) => known,
        Err(error) => {
            found.push(unseen(about, error));
            return found;
        }
    };
    let known = known
        .iter()
        .filter(|held| asked.contains(&held.right.resource))
        .cloned()
        .collect();
    let next_step = "install the chart with routes.enabled=true";
    found.extend(rights(about, &Ok(known), Broken, next_step));
    found
}
