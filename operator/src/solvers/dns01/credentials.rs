//! The TSIG key (RFC 8945) of a solver, from its Secret.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hickory_proto::rr::rdata::tsig::TsigAlgorithm as Algorithm;
use hickory_proto::rr::{Name, TSigner};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use sancho_crds::{Rfc2136, SecretKeySelector, TsigAlgorithm};
use zeroize::Zeroizing;

use super::fault::{CREDENTIALS_MISSING, DnsFault};

/// How far the clocks of both sides may be apart, in seconds (RFC 8945 §10).
const FUDGE: u16 = 300;

/// The key that `settings` name; none for updates that are not signed.
///
/// # Errors
/// [`DnsFault`] says what is missing or wrong; it never quotes the key.
pub(super) async fn key(settings: &Rfc2136, secrets: &Api<Secret>) -> Result<Option<TSigner>, DnsFault> {
    let (Some(name), Some(reference)) = (&settings.tsig_key_name, &settings.tsig_secret_secret_ref) else {
        return Ok(None);
    };
    let secret = secrets.get_opt(&reference.name).await.map_err(|error| {
        DnsFault::new(
            CREDENTIALS_MISSING,
            &format!(
                "Secret {}, with the TSIG key, cannot be read: {error}",
                reference.name
            ),
        )
    })?;
    let key = decoded(secret.as_ref(), reference)?;
    signer(name, settings.tsig_algorithm.unwrap_or_default(), &key).map(Some)
}

fn decoded(secret: Option<&Secret>, reference: &SecretKeySelector) -> Result<Zeroizing<Vec<u8>>, DnsFault> {
    let SecretKeySelector { name, key } = reference;
    let missing = |words: String| DnsFault::new(CREDENTIALS_MISSING, &words);
    let Some(secret) = secret else {
        return Err(missing(format!(
            "Secret {name}, with the TSIG key, does not exist: kubectl create secret generic {name} \
             --from-literal={key}=KEY makes one, beside an Issuer in its namespace, for a ClusterIssuer in the \
             operator's"
        )));
    };
    let field = secret.data.as_ref().and_then(|data| data.get(key));
    let Some(field) = field.filter(|field| !field.0.is_empty()) else {
        return Err(missing(format!(
            "Secret {name} has no field {key} with the TSIG key: write it there, or name another field in \
             dns01.rfc2136.tsigSecretSecretRef.key"
        )));
    };
    STANDARD
        .decode(field.0.trim_ascii())
        .map(Zeroizing::new)
        .map_err(|_| {
            missing(format!(
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
    let invalid = |words: String| DnsFault::new(CREDENTIALS_MISSING, &words);
    let name = Name::from_ascii(name)
        .map_err(|error| invalid(format!("dns01.rfc2136.tsigKeyName is no name of a key: {error}")))?;
    TSigner::new(key.to_vec(), algorithm, name, FUDGE)
        .map_err(|error| invalid(format!("the TSIG key cannot be used: {error}")))
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
        let good = secret("key", " c2VjcmV0\n");
        assert_eq!(**decoded(Some(&good), &reference).unwrap(), *b"secret");
        let words = |secret: Option<&Secret>| decoded(secret, &reference).unwrap_err().words;
        assert!(words(None).contains("kubectl create secret generic tsig --from-literal=key=KEY"));
        assert!(words(Some(&secret("other", "c2VjcmV0"))).contains("has no field key"));
        let bad = words(Some(&secret("key", "not-base64!")));
        assert!(
            bad.contains("put it there in base64") && !bad.contains("not-base64"),
            "{bad}"
        );
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
