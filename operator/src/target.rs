//! What a certificate is for: the hash that tells whether the one in hand is the one that is asked for.

use sancho_crds::{IssuerKind, IssuerRef};
use sha2::{Digest, Sha256};

/// A hash of the sorted names, the issuer and its server. Another hash means another certificate.
#[must_use]
pub fn target(names: &[String], issuer: &IssuerRef, server: &str) -> String {
    let kind = match issuer.kind() {
        IssuerKind::Issuer => "Issuer",
        IssuerKind::ClusterIssuer => "ClusterIssuer",
    };
    let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
    names.sort_unstable();
    digest([kind, issuer.name.as_str(), server].into_iter().chain(names))
}

/// The first 32 hexadecimal digits of a SHA-256 over the parts, each with its length.
#[must_use]
pub fn digest<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize()
        .iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issuer(name: &str, kind: Option<IssuerKind>) -> IssuerRef {
        IssuerRef {
            name: name.into(),
            kind,
        }
    }

    #[test]
    fn the_order_of_names_does_not_matter_and_everything_else_does() {
        let names = |list: &[&str]| list.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        let base = target(
            &names(&["a.example", "b.example"]),
            &issuer("ca", None),
            "https://ca/",
        );
        assert_eq!(
            base,
            target(
                &names(&["b.example", "a.example"]),
                &issuer("ca", None),
                "https://ca/"
            )
        );
        assert_eq!(
            base,
            target(
                &names(&["a.example", "b.example"]),
                &issuer("ca", Some(IssuerKind::Issuer)),
                "https://ca/"
            )
        );
        for other in [
            target(&names(&["a.example"]), &issuer("ca", None), "https://ca/"),
            target(
                &names(&["a.example", "b.example"]),
                &issuer("cb", None),
                "https://ca/",
            ),
            target(
                &names(&["a.example", "b.example"]),
                &issuer("ca", Some(IssuerKind::ClusterIssuer)),
                "https://ca/",
            ),
            target(
                &names(&["a.example", "b.example"]),
                &issuer("ca", None),
                "https://cb/",
            ),
        ] {
            assert_ne!(base, other);
        }
    }
}
