//! What an issuer's status says. Pure, but for the time of its conditions.

use sancho_crds::{IssuerStatus, condition, set_condition};

use super::ReadyIssuer;
use super::account::{NotReady, Retry};
use super::any::AnyIssuer;
use crate::budget::Figures;
use crate::clock;

pub(super) fn ready_status<K: AnyIssuer>(
    issuer: &K,
    ready: &ReadyIssuer,
    budget_words: String,
) -> IssuerStatus {
    let mut status = issuer.status().cloned().unwrap_or_default();
    let generation = issuer.meta().generation;
    let now = clock::time(clock::now());
    status.observed_generation = generation;
    status.account_url = Some(ready.session.kid().to_owned());
    status.account_server = Some(ready.server.clone());
    status.account_key_secret = Some(issuer.acme().private_key_secret_ref.name.clone());
    status.thumbprint = Some(ready.session.thumbprint());
    status.issuer_domain_names = ready.terms.issuer_domain_names.clone();
    status.budget_lease = Some(ready.budget.lease().to_owned());
    status.budget = Some(budget_words);
    let message = format!("the account {} is ready", ready.session.kid());
    set_condition(
        &mut status.conditions,
        "Ready",
        true,
        "AccountReady",
        &message,
        generation,
        &now,
    );
    set_condition(
        &mut status.conditions,
        "Stalled",
        false,
        "AccountReady",
        "",
        generation,
        &now,
    );
    status
}

pub(super) fn not_ready_status<K: AnyIssuer>(issuer: &K, why: &NotReady) -> IssuerStatus {
    let mut status = issuer.status().cloned().unwrap_or_default();
    let generation = issuer.meta().generation;
    let now = clock::time(clock::now());
    status.observed_generation = generation;
    let stalled = why.retry == Retry::Edit;
    set_condition(
        &mut status.conditions,
        "Ready",
        false,
        why.reason,
        &why.message,
        generation,
        &now,
    );
    // Helm and Flux tell of what they give up waiting for by this message.
    set_condition(
        &mut status.conditions,
        "Stalled",
        stalled,
        why.reason,
        if stalled { why.message.as_str() } else { "" },
        generation,
        &now,
    );
    status
}

/// Does `present` say what `wanted` says? Replicas that do not reach the CA do so in words that differ a
/// little, and would overwrite one another's for ever.
pub(super) fn says_as_much(present: &IssuerStatus, wanted: &IssuerStatus) -> bool {
    let not_ready = |status: &IssuerStatus| {
        condition(&status.conditions, "Ready")
            .filter(|ready| ready.status == "False")
            .map(|ready| ready.reason.clone())
    };
    let same_trouble = not_ready(present).is_some()
        && not_ready(present) == not_ready(wanted)
        && present.observed_generation == wanted.observed_generation;
    present == wanted || same_trouble
}

/// The budget in a sentence: as its Lease has it, or as it is given as long as there is no Lease.
pub(super) fn budget_words(words: Option<&str>, in_force: Option<&Figures>, others: &[String]) -> String {
    let figures = match (words, in_force) {
        (Some(words), _) => words.to_owned(),
        (None, None) => "found out from the CA's answers, once it is asked for the first time".into(),
        (None, Some(figures)) => format!(
            "given: {} requests a second, burst {}, {} in flight",
            figures.requests_per_second, figures.burst, figures.max_in_flight
        ),
    };
    if others.is_empty() {
        figures
    } else {
        format!(
            "{figures}; the lowest figures of all ClusterIssuers of this CA count, and {} give others",
            others.join(", ")
        )
    }
}

#[cfg(test)]
mod tests {
    use sancho_crds::Issuer;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_only_an_edit_mends_is_said_by_the_condition_that_kstatus_tells() {
        let issuer: Issuer = serde_json::from_value(json!({
            "metadata": { "name": "own", "namespace": "shop", "generation": 3 },
            "spec": { "acme": {
                "server": "https://ca.example/directory",
                "privateKeySecretRef": { "name": "account" },
                "solvers": [{ "http01": { "external": {} } }],
            } },
        }))
        .unwrap();
        for (retry, stalled) in [
            (Retry::Edit, ("True", "put it there")),
            (Retry::Backoff, ("False", "")),
        ] {
            let why = NotReady::new("CaBundleWrong", "put it there", retry);
            let status = not_ready_status(&issuer, &why);
            let said = |kind| {
                let said = condition(&status.conditions, kind).unwrap();
                (said.status.as_str(), said.message.as_str())
            };
            assert_eq!(said("Ready"), ("False", "put it there"));
            assert_eq!(said("Stalled"), stalled);
            assert_eq!(status.observed_generation, Some(3));
        }
    }
}
