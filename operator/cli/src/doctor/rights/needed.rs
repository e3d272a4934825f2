//! The rights that are needed, and what for. The end-to-end tests have a list of the operator's of their own, which doctor has
//! to agree with.

use sancho_crds::GROUP;

use super::{Place, Right};

const CORE: &str = "";
const EVENTS: &str = "events.k8s.io";
const GATEWAYS: &str = "gateway.networking.k8s.io";
const INGRESSES: &str = "networking.k8s.io";
const LEASES: &str = "coordination.k8s.io";

/// Rights to do several things with one resource.
struct Need {
    /// Separated by spaces.
    verbs: &'static str,
    group: &'static str,
    resource: &'static str,
    place: Place,
    why: &'static str,
}

const fn need(
    verbs: &'static str,
    group: &'static str,
    resource: &'static str,
    place: Place,
    why: &'static str,
) -> Need {
    Need {
        verbs,
        group,
        resource,
        place,
        why,
    }
}

const fn right(verb: &'static str, resource: &'static str, why: &'static str) -> Right {
    Right {
        verb,
        group: GROUP,
        resource,
        place: Place::LookedAt,
        why,
    }
}

/// What the plugin's commands need.
pub const OF_USER: [Right; 6] = [
    right("list", "certificates", "status, doctor"),
    right("list", "certificateshards", "status, which, expiring, doctor"),
    right("list", "issuers", "budget, doctor"),
    Right {
        place: Place::Cluster,
        ..right("list", "clusterissuers", "budget, doctor")
    },
    right("patch", "certificates", "renew, retry, pause, resume"),
    Right {
        group: LEASES,
        place: Place::BesideOperator,
        ..right("list", "leases", "budget, doctor")
    },
];

/// What the operator cannot do without.
#[rustfmt::skip]
const ALWAYS: [Need; 15] = [
    need("get list watch patch", GROUP, "certificates", Place::LookedAt, "to see what is asked for"),
    need("update", GROUP, "certificates/status", Place::LookedAt, "to plan"),
    need("update", GROUP, "certificates/finalizers", Place::LookedAt, "to own shards"),
    need("get list watch create update delete", GROUP, "certificateshards", Place::LookedAt, "to plan"),
    need("update", GROUP, "certificateshards/status", Place::LookedAt, "to record orders"),
    need("update", GROUP, "certificateshards/finalizers", Place::LookedAt, "to own keys"),
    need("get list watch", GROUP, "issuers", Place::LookedAt, "to see the CAs"),
    need("update", GROUP, "issuers/status", Place::LookedAt, "to tell of accounts"),
    need("get list watch", GROUP, "clusterissuers", Place::Cluster, "to see the CAs"),
    need("update", GROUP, "clusterissuers/status", Place::Cluster, "to tell of accounts"),
    need("get list watch create patch delete", CORE, "secrets", Place::LookedAt, "to write certificates"),
    need("create", EVENTS, "events", Place::LookedAt, "to tell what happens"),
    need("create", EVENTS, "events", Place::Default, "to tell what happens to ClusterIssuers"),
    need("get list watch create update", LEASES, "leases", Place::BesideOperator, "to share the budget"),
    need("get create", CORE, "secrets", Place::BesideOperator, "to keep account keys"),
];

/// What it needs for annotated Ingresses and Gateways.
#[rustfmt::skip]
const OF_ANNOTATIONS: [Need; 3] = [
    need("create delete", GROUP, "certificates", Place::LookedAt, "for annotated Ingresses and Gateways"),
    need("get list watch", INGRESSES, "ingresses", Place::LookedAt, "to see their annotations"),
    need("get list watch", GATEWAYS, "gateways", Place::LookedAt, "to see their annotations"),
];

/// What it cannot write routes of challenges without.
#[rustfmt::skip]
const OF_ROUTES: [Need; 2] = [
    need("list create patch delete", INGRESSES, "ingresses", Place::BesideOperator, "for solvers with ingress"),
    need("get list create patch delete", GATEWAYS, "httproutes", Place::BesideOperator, "for solvers with gatewayHTTPRoute"),
];

/// What the operator needs: more, if it makes Certificates for annotated Ingresses and Gateways.
pub fn of_operator(for_annotations: bool) -> Vec<Right> {
    let mut all = each(&ALWAYS);
    if for_annotations {
        all.extend(each(&OF_ANNOTATIONS));
    }
    all
}

/// What the operator needs for routes of challenges.
pub fn of_routes() -> Vec<Right> {
    each(&OF_ROUTES)
}

fn each(needs: &[Need]) -> Vec<Right> {
    let rights = needs.iter().flat_map(|need| {
        let Need {
            verbs,
            group,
            resource,
            place,
            why,
        } = *need;
        verbs.split(' ').map(move |verb| Right {
            verb,
            group,
            resource,
            place,
            why,
        })
    });
    rights.collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_verb_is_a_right_of_its_own_and_none_is_asked_for_twice() {
        let mut all = of_operator(true);
        all.extend(of_routes());
        let places = all.iter().map(|right| {
            format!(
                "{} {} {} {:?}",
                right.verb, right.group, right.resource, right.place
            )
        });
        assert_eq!(places.collect::<BTreeSet<_>>().len(), all.len());
        assert!(all.iter().all(|right| !right.verb.contains(' ')));
    }

    #[test]
    fn certificates_are_made_for_annotations_alone() {
        let makes = |rights: Vec<Right>| {
            let mut rights = rights.into_iter();
            rights.any(|right| (right.verb, right.resource) == ("create", "certificates"))
        };
        assert!(makes(of_operator(true)));
        assert!(!makes(of_operator(false)));
    }
}
