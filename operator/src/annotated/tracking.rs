//! Labels by which GitOps tools know the objects that they have applied. Pure.
//!
//! An object that has such a label and does not stand in Git is taken for one that was taken out there, and pruned. So
//! they are never copied to an object that somebody else makes.

/// Of Argo CD, where it tracks by label: the second one by default.
const LABELS: [&str; 2] = ["argocd.argoproj.io/instance", "app.kubernetes.io/instance"];
/// Of Flux, `kubectl apply --prune --applyset`, kapp, Fleet and Config Sync.
const DOMAINS: [&str; 6] = [
    "kustomize.toolkit.fluxcd.io/",
    "helm.toolkit.fluxcd.io/",
    "applyset.kubernetes.io/",
    "kapp.k14s.io/",
    "objectset.rio.cattle.io/",
    "configsync.gke.io/",
];

/// Is it by this label that a GitOps tool knows its objects?
#[must_use]
pub fn is_tracking_label(key: &str) -> bool {
    LABELS.contains(&key) || DOMAINS.iter().any(|domain| key.starts_with(domain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_tools_are_told_apart_from_those_of_people() {
        for key in [
            "argocd.argoproj.io/instance",
            "app.kubernetes.io/instance",
            "kustomize.toolkit.fluxcd.io/name",
            "applyset.kubernetes.io/part-of",
        ] {
            assert!(is_tracking_label(key), "{key}");
        }
        for key in ["team", "app.kubernetes.io/name", "app.kubernetes.io/part-of"] {
            assert!(!is_tracking_label(key), "{key}");
        }
    }
}
