//! The passwords of a shard's keystores, in Secrets of its namespace, and the keystores themselves.

use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use sancho_crds::CertificateShard;
use zeroize::Zeroizing;

use super::keystore::Asked;
use super::{SecretError, failed};

/// A shard's keystores.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Keystores {
    /// Those that could be made, each with the Secret's field that holds it.
    pub(super) made: Vec<(Asked, Vec<u8>)>,
    /// Why others could not be made, and what to do; nothing if all were.
    pub(super) lacking: Option<String>,
}

/// The keystores of this chain and key that `shard` asks for: those in `present`, if they will do.
///
/// # Errors
/// [`SecretError::Api`] if the API server does not say what a password is.
pub(super) async fn keystores(
    api: &Api<Secret>,
    shard: &CertificateShard,
    present: &Secret,
    chain: &[u8],
    key: &[u8],
) -> Result<Keystores, SecretError> {
    let mut made = Vec::new();
    let mut lacking = Vec::new();
    for asked in Asked::of(&shard.spec) {
        let name = &asked.password().name;
        let secret = api.get_opt(name).await.map_err(|error| failed(name, &error))?;
        let file = match password(secret.as_ref(), &asked) {
            Ok(password) => file(&asked, password, present, chain, key).await,
            Err(why) => Err(why),
        };
        match file {
            Ok(file) => made.push((asked, file)),
            Err(why) => lacking.push(why),
        }
    }
    let lacking = Some(lacking.join("; ")).filter(|lacking| !lacking.is_empty());
    Ok(Keystores { made, lacking })
}

async fn file(
    asked: &Asked,
    password: Zeroizing<String>,
    present: &Secret,
    chain: &[u8],
    key: &[u8],
) -> Result<Vec<u8>, String> {
    let present = present
        .data
        .as_ref()
        .and_then(|data| data.get(asked.field()).cloned());
    let (chain, key) = (chain.to_vec(), Zeroizing::new(key.to_vec()));
    let of = asked.clone();
    // The derivation of keys from the password keeps a thread busy.
    let made = tokio::task::spawn_blocking(move || {
        let present = present.as_ref().map(|present| present.0.as_slice());
        of.made(&chain, &key, &password, present)
    });
    match made.await {
        Ok(Ok(file)) => Ok(file),
        Ok(Err(error)) => Err(format!("{}: {error}", asked.path())),
        Err(error) => Err(format!("{}: {error}", asked.path())),
    }
}

/// The password in a Secret, or why there is none and what to do.
fn password(secret: Option<&Secret>, asked: &Asked) -> Result<Zeroizing<String>, String> {
    let reference = asked.password();
    let (name, key) = (&reference.name, reference.key());
    let (file, path) = (asked.field(), asked.path());
    let mend = format!("kubectl create secret generic {name} --from-literal={key}=PASSWORD makes one");
    let Some(secret) = secret else {
        return Err(format!(
            "Secret {name}, with the password of {file}, does not exist: {mend}"
        ));
    };
    let value = secret.data.as_ref().and_then(|data| data.get(key));
    let Some(value) = value.filter(|value| !value.0.is_empty()) else {
        return Err(format!(
            "Secret {name} has no password for {file} under its key {key}: write it there, or name another key in \
             {path}.passwordSecretRef"
        ));
    };
    match String::from_utf8(value.0.clone()) {
        Ok(password) => Ok(Zeroizing::new(password)),
        Err(_) => Err(format!(
            "the password for {file} in Secret {name} under {key} is no text in UTF-8: write another one there"
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use k8s_openapi::ByteString;
    use proptest::prelude::{Strategy, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};
    use sancho_crds::{KeystorePasswordRef, Pkcs12Keystore};

    use super::*;

    fn asked() -> Asked {
        Asked::Pkcs12(Pkcs12Keystore {
            create: true,
            password_secret_ref: KeystorePasswordRef {
                name: "store".into(),
                key: None,
            },
            profile: None,
        })
    }

    fn secret(field: &str, value: &[u8]) -> Secret {
        Secret {
            data: Some(BTreeMap::from([(field.to_owned(), ByteString(value.to_vec()))])),
            ..Default::default()
        }
    }

    #[test]
    fn a_missing_password_is_told_with_its_mend() {
        let why = |secret: Option<&Secret>| password(secret, &asked()).unwrap_err();
        assert!(why(None).contains("kubectl create secret generic store --from-literal=password=PASSWORD"));
        assert!(why(Some(&secret("other", b"x"))).contains("under its key password"));
        assert!(why(Some(&secret("password", b""))).contains("under its key password"));
        assert!(why(Some(&secret("password", b"\xff"))).contains("no text in UTF-8"));
        assert_eq!(*password(Some(&secret("password", b"x")), &asked()).unwrap(), "x");
    }

    proptest! {
        #[test]
        fn any_text_is_a_password_as_it_stands_there_and_nothing_else_is(
            value in prop_oneof![
                prop::collection::vec(any::<u8>(), 0..40),
                any::<String>().prop_map(String::into_bytes),
            ],
        ) {
            match password(Some(&secret("password", &value)), &asked()) {
                Ok(password) => prop_assert_eq!(password.as_bytes(), value.as_slice()),
                Err(_) => prop_assert!(value.is_empty() || std::str::from_utf8(&value).is_err()),
            }
        }
    }
}
