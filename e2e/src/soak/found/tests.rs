use fastrand::Rng;
use k8s_openapi::ByteString;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use rcgen::{CertificateParams, KeyPair, SerialNumber};
use sancho_crds::CertificateShardSpec;

use super::*;

fn wish(is_key_kept: bool) -> Wish {
    let mut wish = Wish::first(0, &mut Rng::with_seed(1));
    wish.is_key_kept = is_key_kept;
    wish
}

/// A Secret with the certificate of this serial number.
fn secret(uid: &str, serial: u64, key: &KeyPair) -> Secret {
    let mut params = CertificateParams::new(["a.example".to_owned()]).unwrap();
    params.serial_number = Some(SerialNumber::from(serial));
    let chain = params.self_signed(key).unwrap().pem();
    let fields = [("tls.crt", chain), ("tls.key", key.serialize_pem())];
    let mut secret = Secret {
        data: Some(
            fields
                .map(|(field, text)| (field.to_owned(), ByteString(text.into_bytes())))
                .into(),
        ),
        type_: Some("kubernetes.io/tls".to_owned()),
        ..Secret::default()
    };
    secret.metadata.uid = Some(uid.to_owned());
    secret
}

/// One shard, and its Secret.
fn found(policy: SecretDeletionPolicy, secret: Secret) -> Found {
    let name = wish(false).secret_name(None, 0);
    let mut shard = CertificateShard::new(
        "soak-0-0",
        CertificateShardSpec {
            certificate: "soak-0".to_owned(),
            secret_name: name.clone(),
            secret_deletion_policy: Some(policy),
            ..CertificateShardSpec::default()
        },
    );
    shard.metadata.uid = Some("shard".to_owned());
    Found {
        shards: vec![shard],
        secrets: BTreeMap::from([(name, secret)]),
        ..Found::default()
    }
}

#[test]
fn the_next_certificate_has_the_same_key_or_another_one_as_was_asked_for_all_the_time() {
    let [one, other] = [(), ()].map(|()| KeyPair::generate().unwrap());
    let with = |secret: Secret| found(SecretDeletionPolicy::Retain, secret);
    let before = with(secret("1", 1, &one));
    let judged = |after: Secret, is_kept: bool| {
        let wish = wish(is_kept);
        let windows = [Window::new(&wish)];
        with(after).problems_of_keys(&before, &[wish], &windows)
    };
    let next = |key: &KeyPair| secret("1", 2, key);
    for (after, is_kept) in [
        (next(&one), true),
        (next(&other), false),
        // The certificate of before, and a Secret that is not the same.
        (secret("1", 1, &one), false),
        (secret("2", 2, &one), false),
        (secret("2", 2, &other), true),
    ] {
        assert_eq!(judged(after, is_kept), Vec::<String>::new());
    }
    let name = wish(false).secret_name(None, 0);
    assert_eq!(
        judged(next(&one), false),
        [format!("Secret {name}: its next certificate has the same key")]
    );
    assert_eq!(
        judged(next(&other), true),
        [format!("Secret {name}: its next certificate has another key")]
    );
}

#[test]
fn a_secret_goes_with_a_shard_that_is_there_and_says_so_alone() {
    let key = KeyPair::generate().unwrap();
    let judged = |policy, owner: &str| {
        let mut secret = secret("1", 1, &key);
        secret.metadata.owner_references = Some(vec![OwnerReference {
            kind: "CertificateShard".to_owned(),
            name: "soak-0-0".to_owned(),
            uid: owner.to_owned(),
            ..OwnerReference::default()
        }]);
        found(policy, secret.clone()).of_owners(&secret).is_some()
    };
    assert!(!judged(SecretDeletionPolicy::Delete, "shard"));
    assert!(judged(SecretDeletionPolicy::Retain, "shard"));
    assert!(judged(SecretDeletionPolicy::Delete, "earlier"));
}

#[test]
fn a_secret_has_the_forms_that_are_asked_for_and_no_other() {
    let mut secret = secret("1", 1, &KeyPair::generate().unwrap());
    let none = BTreeSet::new();
    let both = BTreeSet::from([Format::CombinedPem, Format::Der]);
    assert!(has_forms(&secret, &none).is_ok());
    assert!(has_forms(&secret, &both).is_err());
    let data = secret.data.as_mut().unwrap();
    let (key, chain) = (data["tls.key"].0.clone(), data["tls.crt"].0.clone());
    let der = KeyPair::from_pem(std::str::from_utf8(&key).unwrap())
        .unwrap()
        .serialize_der();
    data.insert("key.der".to_owned(), ByteString(der));
    assert!(has_forms(&secret, &BTreeSet::from([Format::Der])).is_ok());
    let combined = [key.as_slice(), b"\n", &chain].concat();
    let data = secret.data.as_mut().unwrap();
    data.insert("tls-combined.pem".to_owned(), ByteString(combined));
    assert!(has_forms(&secret, &both).is_ok());
    assert!(has_forms(&secret, &none).is_err());
}
