//! What solvers are let in by, from Secrets: of an Issuer's namespace, or of the operator's own for a ClusterIssuer.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hickory_proto::rr::rdata::tsig::TsigAlgorithm as Algorithm;
use hickory_proto::rr::{Name, TSigner};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use sancho_crds::{Rfc2136, SecretKeySelector, TsigAlgorithm};
use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

use super::api::{Account, Apis, Provider};
use super::changes::Patience;
use super::fault::{CREDENTIALS_MISSING, CREDENTIALS_UNREADABLE, DnsFault};

/// How far the clocks of both sides may be apart, in seconds (RFC 8945 §10).
const FUDGE: u16 = 300;

/// The Secrets that an issuer may name, and on whose behalf they are used.
pub(super) struct Credentials<'a> {
    pub(super) apis: &'a Arc<Apis>,
    pub(super) secrets: &'a Api<Secret>,
    pub(super) tenant: &'a str,
    pub(super) patience: Patience,
}

impl Credentials<'_> {
    /// The TSIG key (RFC 8945) that `settings` name; none for updates that are not signed.
    ///
    /// # Errors
    /// [`DnsFault`] says what is missing or wrong; it never quotes the key.
    pub(super) async fn key(&self, settings: &Rfc2136) -> Result<Option<TSigner>, DnsFault> {
        let (Some(name), Some(reference)) = (&settings.tsig_key_name, &settings.tsig_secret_secret_ref)
        else {
            return Ok(None);
        };
        let field = self
            .field(reference, "the TSIG key", "rfc2136.tsigSecretSecretRef")
            .await?;
        let key = decoded(&field, reference)?;
        signer(name, settings.tsig_algorithm.unwrap_or_default(), &key).map(Some)
    }

    /// What a field of a Secret holds, without the white space around it. `what` it is, and `path`, where below `dns01`
    /// the issuer names it, are for people.
    ///
    /// # Errors
    /// [`DnsFault`] says what is missing or wrong; it never quotes what is there.
    pub(super) async fn text(
        &self,
        reference: &SecretKeySelector,
        what: &str,
        path: &str,
    ) -> Result<Zeroizing<String>, DnsFault> {
        let field = self.field(reference, what, path).await?;
        let text = std::str::from_utf8(&field).map(|text| Zeroizing::new(text.trim().to_owned()));
        text.map_err(|_| {
            missing(&format!(
                "field {} of Secret {} is not {what}: it is no text; write it there, or name another field in dns01.{path}.key",
                reference.key, reference.name
            ))
        })
    }

    /// The same of a field that need not be there.
    pub(super) async fn optional(
        &self,
        reference: &SecretKeySelector,
    ) -> Result<Option<Zeroizing<String>>, DnsFault> {
        let secret = self
            .secrets
            .get_opt(&reference.name)
            .await
            .map_err(|error| unreadable(&reference.name, "what lets in", &error))?;
        let data = secret.and_then(|secret| secret.data).unwrap_or_default();
        let field = data
            .get(&reference.key)
            .map(|field| Zeroizing::new(field.0.clone()));
        Ok(field.and_then(|field| {
            Some(Zeroizing::new(
                std::str::from_utf8(&field).ok()?.trim().to_owned(),
            ))
        }))
    }

    /// An issuer names no credential at `path` below `dns01`. The API server refuses that already, unless its CRDs are older.
    pub(super) fn none(&self, path: &str) -> DnsFault {
        missing(&format!(
            "dns01.{path} is missing in the issuer: write it there, since what the pod is let in by where it runs (IRSA, \
             Workload Identity, managed identities) is not used"
        ))
    }

    /// The account at `provider` that these words tell from others.
    ///
    /// # Errors
    /// [`DnsFault`] if the key by which it is hashed cannot be had.
    pub(super) async fn account<'w>(
        &self,
        provider: Provider,
        words: impl IntoIterator<Item = &'w str>,
    ) -> Result<Account, DnsFault> {
        self.apis
            .account(provider, words, self.tenant, self.patience)
            .await
    }

    async fn field(
        &self,
        reference: &SecretKeySelector,
        what: &str,
        path: &str,
    ) -> Result<Zeroizing<Vec<u8>>, DnsFault> {
        let secret = self.secrets.get_opt(&reference.name).await;
        let secret = secret.map_err(|error| unreadable(&reference.name, what, &error))?;
        field_of(secret.as_ref(), reference, what, path)
    }
}

/// Has serde read what is not to stay in memory.
pub(super) fn zeroizing<'de, D: Deserializer<'de>>(from: D) -> Result<Zeroizing<String>, D::Error> {
    String::deserialize(from).map(Zeroizing::new)
}

fn missing(words: &str) -> DnsFault {
    DnsFault::new(CREDENTIALS_MISSING, words)
}

/// The API server does not show a Secret, which says nothing of what it holds.
fn unreadable(name: &str, what: &str, error: &kube::Error) -> DnsFault {
    DnsFault::new(
        CREDENTIALS_UNREADABLE,
        &format!("Secret {name}, with {what}, cannot be read: {error}"),
    )
}

fn field_of(
    secret: Option<&Secret>,
    reference: &SecretKeySelector,
    what: &str,
    path: &str,
) -> Result<Zeroizing<Vec<u8>>, DnsFault> {
    let SecretKeySelector { name, key } = reference;
    let Some(secret) = secret else {
        return Err(missing(&format!(
            "Secret {name}, with {what}, does not exist: kubectl create secret generic {name} \
             --from-literal={key}=KEY makes one, beside an Issuer in its namespace, for a ClusterIssuer in the \
             operator's"
        )));
    };
    let field = secret.data.as_ref().and_then(|data| data.get(key));
    match field.filter(|field| !field.0.trim_ascii().is_empty()) {
        Some(field) => Ok(Zeroizing::new(field.0.clone())),
        None => Err(missing(&format!(
            "Secret {name} has no field {key} with {what}: write it there, or name another field in dns01.{path}.key"
        ))),
    }
}

fn decoded(field: &[u8], reference: &SecretKeySelector) -> Result<Zeroizing<Vec<u8>>, DnsFault> {
    let SecretKeySelector { name, key } = reference;
    STANDARD
        .decode(field.trim_ascii())
        .map(Zeroizing::new)
        .map_err(|_| {
            missing(&format!(
                "field {key} of Secret {name} is no TSIG key: put it there in base64, as it stands in the server's \
                 configuration"
            ))
        })
}

fn signer(name: &str, algorithm: TsigAlgorithm, key: &[u8]) -> Result<TSigner, DnsFault> {
    let algorithm = match algorithm {
        TsigAlgorithm::HmacSha256 => Algorithm::HmacSha256,
        TsigAlgorithm::HmacSha384 => Algorithm::HmacSha384,
        TsigAlgorithm::HmacSha512 => Algorithm::HmacSha512,
    };
    let name = Name::from_ascii(name)
        .map_err(|error| {
            missing(&format!(
                "dns01.rfc2136.tsigKeyName is no name of a key ({error}): write it as the server's configuration has it"
            ))
        })?;
    TSigner::new(key.to_vec(), algorithm, name, FUDGE).map_err(|error| {
        missing(&format!(
            "the TSIG key cannot be used ({error}): make dns01.rfc2136.tsigAlgorithm and the Secret of \
                 tsigSecretSecretRef those of the server's configuration"
        ))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use k8s_openapi::ByteString;

    use super::*;

    fn secret(field: &str, value: &str) -> Secret {
        Secret {
            data: Some(BTreeMap::from([(field.to_owned(), ByteString(value.into()))])),
            ..Secret::default()
        }
    }

    #[test]
    fn a_key_is_base64_with_white_space_around_it_and_a_fault_says_how_to_mend_it() {
        let reference = SecretKeySelector {
            name: "tsig".into(),
            key: "key".into(),
        };
        let read = |secret: Option<&Secret>| {
            let field = field_of(secret, &reference, "the TSIG key", "rfc2136.tsigSecretSecretRef")?;
            decoded(&field, &reference)
        };
        let good = secret("key", " c2VjcmV0\n");
        assert_eq!(**read(Some(&good)).unwrap(), *b"secret");
        let words = |secret: Option<&Secret>| read(secret).unwrap_err().words;
        assert!(words(None).contains("kubectl create secret generic tsig --from-literal=key=KEY"));
        for empty in [secret("other", "c2VjcmV0"), secret("key", " \n")] {
            assert!(words(Some(&empty)).contains("has no field key"));
        }
        let bad = words(Some(&secret("key", "not-base64!")));
        assert!(
            bad.contains("put it there in base64") && !bad.contains("not-base64"),
            "{bad}"
        );
    }

    #[test]
    fn a_secret_that_the_api_server_does_not_show_may_be_read_in_a_moment_and_one_that_is_missing_not() {
        let fault = unreadable("tsig", "the TSIG key", &kube::Error::TlsRequired);
        assert!(fault.is_passing());
        assert!(
            fault
                .words
                .starts_with("Secret tsig, with the TSIG key, cannot be read: ")
        );
        assert!(!missing("it does not exist").is_passing());
    }

    #[test]
    fn a_key_name_that_is_none_is_told() {
        let words = signer("a..b", TsigAlgorithm::HmacSha256, b"k")
            .err()
            .unwrap()
            .words;
        assert!(words.contains("tsigKeyName"), "{words}");
        assert!(signer("sancho.", TsigAlgorithm::HmacSha512, b"k").is_ok());
    }
}
