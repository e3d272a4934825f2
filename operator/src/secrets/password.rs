//! The password of a shard's keystore, in a Secret of its namespace, and the keystore itself.

use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use sancho_crds::{CertificateShard, Pkcs12Keystore};
use zeroize::Zeroizing;

use super::form::{self, PKCS12};
use super::{SecretError, failed, keystore};

/// A shard's keystore.
pub enum Keystore {
    /// None is asked for.
    NotAsked,
    /// The file.
    Made(Vec<u8>),
    /// It cannot be made: why, and what to do.
    Lacking(String),
}

impl Keystore {
    /// The file, if there is one; and why there is none, if it is asked for.
    pub(super) fn parts(self) -> (Option<Vec<u8>>, Option<String>) {
        match self {
            Keystore::NotAsked => (None, None),
            Keystore::Made(file) => (Some(file), None),
            Keystore::Lacking(why) => (None, Some(why)),
        }
    }
}

/// The keystore of this chain and key for `shard`: the one in `present`, if that will do.
///
/// # Errors
/// [`SecretError::Api`] if the API server does not say what the password is.
pub(super) async fn keystore(
    api: &Api<Secret>,
    shard: &CertificateShard,
    present: Option<&Secret>,
    chain: &[u8],
    key: &[u8],
) -> Result<Keystore, SecretError> {
    let Some(asked) = form::pkcs12(&shard.spec) else {
        return Ok(Keystore::NotAsked);
    };
    let name = &asked.password_secret_ref.name;
    let secret = api.get_opt(name).await.map_err(|error| failed(name, &error))?;
    let password = match password(secret.as_ref(), asked) {
        Ok(password) => password,
        Err(why) => return Ok(Keystore::Lacking(why)),
    };
    let present = present.and_then(|secret| secret.data.as_ref()?.get(PKCS12).cloned());
    let (chain, key) = (chain.to_vec(), Zeroizing::new(key.to_vec()));
    // The derivation of its keys from the password keeps a thread busy.
    let made = tokio::task::spawn_blocking(move || {
        let present = present.as_ref().map(|present| present.0.as_slice());
        keystore::pkcs12(&chain, &key, &password, present)
    });
    Ok(match made.await {
        Ok(Ok(file)) => Keystore::Made(file),
        Ok(Err(error)) => Keystore::Lacking(format!("spec.keystores.pkcs12: {error}")),
        Err(error) => Keystore::Lacking(format!("spec.keystores.pkcs12: {error}")),
    })
}

/// The password in a Secret, or why there is none and what to do.
fn password(secret: Option<&Secret>, asked: &Pkcs12Keystore) -> Result<Zeroizing<String>, String> {
    let reference = &asked.password_secret_ref;
    let (name, key) = (&reference.name, reference.key());
    let mend = format!("kubectl create secret generic {name} --from-literal={key}=PASSWORD makes one");
    let Some(secret) = secret else {
        return Err(format!(
            "Secret {name}, with the password of keystore.p12, does not exist: {mend}"
        ));
    };
    let value = secret.data.as_ref().and_then(|data| data.get(key));
    let Some(value) = value.filter(|value| !value.0.is_empty()) else {
        return Err(format!(
            "Secret {name} has no password for keystore.p12 under its key {key}: write it there, or name another key \
             in spec.keystores.pkcs12.passwordSecretRef"
        ));
    };
    match String::from_utf8(value.0.clone()) {
        Ok(password) => Ok(Zeroizing::new(password)),
        Err(_) => Err(format!(
            "the password for keystore.p12 in Secret {name} under {key} is no text in UTF-8: write another one there"
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use k8s_openapi::ByteString;
    use sancho_crds::KeystorePasswordRef;

    use super::*;

    #[test]
    fn a_missing_password_is_told_with_its_mend() {
        let asked = Pkcs12Keystore {
            create: true,
            password_secret_ref: KeystorePasswordRef {
                name: "store".into(),
                key: None,
            },
            profile: None,
        };
        let secret = |field: &str, value: &[u8]| Secret {
            data: Some(BTreeMap::from([(field.to_owned(), ByteString(value.to_vec()))])),
            ..Default::default()
        };
        let why = |secret: Option<&Secret>| password(secret, &asked).unwrap_err();
        assert!(why(None).contains("kubectl create secret generic store --from-literal=password=PASSWORD"));
        assert!(why(Some(&secret("other", b"x"))).contains("under its key password"));
        assert!(why(Some(&secret("password", b""))).contains("under its key password"));
        assert!(why(Some(&secret("password", b"\xff"))).contains("no text in UTF-8"));
        assert_eq!(*password(Some(&secret("password", b"x")), &asked).unwrap(), "x");
    }
}
