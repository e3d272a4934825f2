//! What an issuer says against the names of an object. Pure.

use std::collections::BTreeMap;

use sancho_crds::{Allowed, Solver};

use super::decide::first;
use super::source::{Complaint, Source};
use super::translate::Wanted;
use crate::issuer::IssuerKey;
use crate::issuer::allowed::{NOT_ALLOWED, outside};
use crate::solvers::{can_validate, solver_for};

/// As far as it concerns names.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct IssuerSays {
    /// How it validates them.
    pub(super) solvers: Vec<Solver>,
    /// Which Certificates may use it.
    pub(super) allowed: Option<Allowed>,
}

impl IssuerSays {
    /// What it says against a Certificate. That is made all the same: it tells the same, and comes right once the issuer
    /// is mended.
    pub(super) fn against(&self, source: &Source, wanted: &Wanted) -> Vec<Complaint> {
        let spec = &wanted.spec;
        let issuer = IssuerKey::of(&spec.issuer_ref, &source.namespace).to_string();
        let names = spec.dns_names.iter().map(String::as_str);
        let not_allowed = outside(self.allowed.as_ref(), &issuer, &source.namespace, names)
            .map(|words| Complaint::new(NOT_ALLOWED, format!("Secret {}: {words}", spec.secret_name)));
        let is_open = |name: &&String| {
            let solver = solver_for(&self.solvers, name, &BTreeMap::new());
            name.starts_with("*.") && !solver.is_some_and(|solver| can_validate(solver, name))
        };
        let open: Vec<&String> = spec.dns_names.iter().filter(is_open).collect();
        let by_dns_alone = (!open.is_empty()).then(|| {
            Complaint::new(
                "WildcardNeedsDNS01",
                format!(
                    "Secret {}: {} can be validated by DNS alone, and {issuer} has no solver dns01 or dnsPersist01 that \
                     is for it: add one, or write the host names in its place",
                    spec.secret_name,
                    first(&open),
                ),
            )
        });
        not_allowed.into_iter().chain(by_dns_alone).collect()
    }
}
