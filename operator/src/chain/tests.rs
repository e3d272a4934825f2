//! On chains made here: one root, one intermediate, one leaf.

use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, PKCS_RSA_SHA256, SanType,
    SignatureAlgorithm, date_time_ymd,
};

use proptest::prelude::*;

use super::*;

/// 2026-06-01; the leaves below are valid from 2026-01-01 to 2027-01-01.
fn now() -> Timestamp {
    "2026-06-01T00:00:00Z".parse().unwrap()
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

/// An intermediate CA of its own root.
struct Ca {
    issuer: Issuer<'static, KeyPair>,
    intermediate_pem: String,
    root_pem: String,
}

impl Ca {
    fn new() -> Self {
        let params = |name: &str| {
            let mut params = CertificateParams::default();
            params.distinguished_name = DistinguishedName::new();
            params.distinguished_name.push(DnType::CommonName, name);
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params
        };
        let root_key = KeyPair::generate().unwrap();
        let root = params("Root").self_signed(&root_key).unwrap();
        let root_issuer = Issuer::new(params("Root"), root_key);
        let key = KeyPair::generate().unwrap();
        let intermediate = params("Intermediate").signed_by(&key, &root_issuer).unwrap();
        Ca {
            issuer: Issuer::new(params("Intermediate"), key),
            intermediate_pem: intermediate.pem(),
            root_pem: root.pem(),
        }
    }

    fn leaf(&self, key: &KeyPair, change: impl FnOnce(&mut CertificateParams)) -> String {
        let mut params = CertificateParams::new(names(&["a.example", "b.example"])).unwrap();
        params.not_before = date_time_ymd(2026, 1, 1);
        params.not_after = date_time_ymd(2027, 1, 1);
        change(&mut params);
        params.signed_by(key, &self.issuer).unwrap().pem()
    }

    /// The chain of a usual leaf, and its key.
    fn issue(&self) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        (
            self.leaf(&key, |_| {}) + &self.intermediate_pem,
            key.serialize_pem(),
        )
    }
}

fn checked(chain: &str, key: &str, expected: &[&str]) -> Result<IssuedFacts, ChainError> {
    check(chain.as_bytes(), key.as_bytes(), &names(expected), now())
}

#[test]
fn a_chain_for_key_and_names_passes_and_tells_its_facts() {
    let (chain, key) = Ca::new().issue();
    let facts = checked(&chain, &key, &["b.example", "A.example"]).unwrap();
    assert_eq!(facts.not_before, "2026-01-01T00:00:00Z".parse().unwrap());
    assert_eq!(facts.not_after, "2027-01-01T00:00:00Z".parse().unwrap());
    assert_eq!(facts.fingerprint, fingerprint(chain.as_bytes()));
    assert_eq!(facts.fingerprint.len(), 64);
    assert_eq!((facts.issuer.as_str(), facts.links), ("CN=Intermediate", 2));
    assert_eq!(
        super::names(chain.as_bytes()).unwrap(),
        ["a.example", "b.example"]
    );
}

#[test]
fn the_cert_id_has_the_serial_number_with_its_leading_zero_and_needs_a_key_identifier() {
    let ca = Ca::new();
    let key = KeyPair::generate().unwrap();
    let leaf = ca.leaf(&key, |params| {
        params.use_authority_key_identifier_extension = true;
        params.serial_number = Some(vec![0x87, 0x65, 0x43, 0x21].into());
    });
    let names = ["a.example", "b.example"];
    let facts = checked(&(leaf + &ca.intermediate_pem), &key.serialize_pem(), &names).unwrap();
    let cert_id = facts.cert_id.unwrap();
    assert!(cert_id.as_str().ends_with(".AIdlQyE"), "{cert_id}");

    let (chain, key) = ca.issue();
    assert_eq!(checked(&chain, &key, &names).unwrap().cert_id, None);
}

#[test]
fn a_leaf_alone_and_a_chain_up_to_the_root_pass() {
    let ca = Ca::new();
    let key = KeyPair::generate().unwrap();
    let leaf = ca.leaf(&key, |_| {});
    for chain in [leaf.clone(), leaf + &ca.intermediate_pem + &ca.root_pem] {
        checked(&chain, &key.serialize_pem(), &["a.example", "b.example"]).unwrap();
    }
}

#[test]
fn keys_of_every_kind_that_a_found_secret_may_hold_are_matched() {
    let ca = Ca::new();
    let algorithms: [&'static SignatureAlgorithm; 4] = [
        &rcgen::PKCS_ECDSA_P256_SHA256,
        &rcgen::PKCS_ECDSA_P384_SHA384,
        &rcgen::PKCS_ED25519,
        &PKCS_RSA_SHA256,
    ];
    for algorithm in algorithms {
        let key = KeyPair::generate_for(algorithm).unwrap();
        checked(
            &ca.leaf(&key, |_| {}),
            &key.serialize_pem(),
            &["a.example", "b.example"],
        )
        .unwrap();
    }
}

#[test]
fn another_key_is_refused() {
    let ca = Ca::new();
    let (chain, _) = ca.issue();
    let (_, other) = ca.issue();
    assert_eq!(
        checked(&chain, &other, &["a.example", "b.example"]),
        Err(ChainError::WrongKey)
    );
}

#[test]
fn missing_and_surplus_names_are_told() {
    let (chain, key) = Ca::new().issue();
    let error = checked(&chain, &key, &["a.example", "c.example"]).unwrap_err();
    let difference = ChainError::Names {
        missing: names(&["c.example"]),
        surplus: names(&["b.example"]),
    };
    assert_eq!(error, difference);
    assert_eq!(
        error.to_string(),
        r#"the certificate's names are not the shard's: it lacks "c.example"; it also has "b.example""#
    );
    let many: Vec<String> = (0..1000).map(|i| format!("{i}.example")).collect();
    let error = check(chain.as_bytes(), key.as_bytes(), &many, now()).unwrap_err();
    assert!(error.to_string().contains("and 997 more"), "{error}");
}

#[test]
fn a_name_that_is_no_dns_name_is_surplus() {
    let ca = Ca::new();
    let key = KeyPair::generate().unwrap();
    let leaf = ca.leaf(&key, |params| {
        params
            .subject_alt_names
            .push(SanType::Rfc822Name(Ia5String::try_from("a@a.example").unwrap()));
    });
    let error = checked(&leaf, &key.serialize_pem(), &["a.example", "b.example"]).unwrap_err();
    let ChainError::Names { missing, surplus } = error else {
        panic!("{error:?}")
    };
    assert_eq!((missing.len(), surplus.len()), (0, 1));
}

#[test]
fn a_certificate_out_of_its_time_is_refused_with_the_date() {
    let ca = Ca::new();
    let key = KeyPair::generate().unwrap();
    let leaf = |from, to| {
        let dated = ca.leaf(&key, |params| {
            params.not_before = date_time_ymd(from, 1, 1);
            params.not_after = date_time_ymd(to, 1, 1);
        });
        checked(&dated, &key.serialize_pem(), &["a.example", "b.example"]).unwrap_err()
    };
    assert_eq!(
        leaf(2025, 2026),
        ChainError::Expired("2026-01-01T00:00:00Z".parse().unwrap())
    );
    assert_eq!(
        leaf(2027, 2028),
        ChainError::NotYetValid("2027-01-01T00:00:00Z".parse().unwrap())
    );
    assert_eq!(leaf(2027, 2026), ChainError::Dates);
}

#[test]
fn a_clock_that_is_an_hour_behind_the_cas_does_no_harm() {
    let (chain, key) = Ca::new().issue();
    let at = |text: &str| {
        let expected = names(&["a.example", "b.example"]);
        check(chain.as_bytes(), key.as_bytes(), &expected, text.parse().unwrap())
    };
    assert!(at("2025-12-31T22:56:00Z").is_ok());
    assert!(matches!(
        at("2025-12-31T22:54:00Z"),
        Err(ChainError::NotYetValid(_))
    ));
}

#[test]
fn a_chain_whose_links_do_not_hold_is_refused() {
    let (ca, other) = (Ca::new(), Ca::new());
    let key = KeyPair::generate().unwrap();
    let leaf = ca.leaf(&key, |_| {});
    let linked = |rest: &str| {
        checked(
            &(leaf.clone() + rest),
            &key.serialize_pem(),
            &["a.example", "b.example"],
        )
    };
    // The same subject, another key.
    assert_eq!(
        linked(&other.intermediate_pem),
        Err(ChainError::Unlinked { index: 0 })
    );
    // The intermediate is left out.
    assert_eq!(linked(&ca.root_pem), Err(ChainError::Unlinked { index: 0 }));
    // The root is another's.
    let rest = ca.intermediate_pem.clone() + &other.root_pem;
    assert_eq!(linked(&rest), Err(ChainError::Unlinked { index: 1 }));
    // The leaf comes twice.
    assert_eq!(linked(&leaf), Err(ChainError::Unlinked { index: 0 }));
}

#[test]
fn a_cas_certificate_is_no_leaf() {
    let ca = Ca::new();
    let key = KeyPair::generate().unwrap();
    let leaf = ca.leaf(&key, |params| {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)
    });
    assert_eq!(
        checked(&leaf, &key.serialize_pem(), &["a.example", "b.example"]),
        Err(ChainError::LeafIsCa)
    );
}

#[test]
fn garbage_is_refused_by_name() {
    let (chain, key) = Ca::new().issue();
    let expected = ["a.example", "b.example"];
    assert_eq!(checked("", &key, &expected), Err(ChainError::Count(0)));
    assert_eq!(
        checked("<title>Hello</title>", &key, &expected),
        Err(ChainError::Count(0))
    );
    assert_eq!(checked(&chain, "", &expected), Err(ChainError::Key));
    assert_eq!(
        checked(&chain, "-----BEGIN PRIVATE KEY-----\n", &expected),
        Err(ChainError::Key)
    );
    let empty = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert!(matches!(
        checked(empty, &key, &expected),
        Err(ChainError::Malformed { index: 0, .. })
    ));
    let open = chain.replacen("-----END", "-----ENT", 1);
    assert!(checked(&open, &key, &expected).is_err());
}

#[test]
fn a_text_that_is_too_long_is_not_even_looked_at() {
    let (chain, key) = Ca::new().issue();
    let long = "-----BEGIN CERTIFICATE-----\n".repeat(LONGEST_CHAIN_PEM / 28 + 1);
    let too_long = |what, limit| Err(ChainError::TooLong { what, limit });
    assert_eq!(checked(&long, &key, &[]), too_long("chain", LONGEST_CHAIN_PEM));
    let long = "a".repeat(LONGEST_KEY_PEM + 1);
    assert_eq!(
        checked(&chain, &long, &["a.example", "b.example"]),
        too_long("key", LONGEST_KEY_PEM)
    );
    let many = chain.repeat(6);
    assert_eq!(
        checked(&many, &key, &[]),
        Err(ChainError::Count(MOST_CERTIFICATES + 1))
    );
}

#[test]
fn a_hundred_long_names_fit() {
    let ca = Ca::new();
    let key = KeyPair::generate().unwrap();
    let label = "x".repeat(60);
    let long: Vec<String> = (0..100)
        .map(|i| format!("{label}.{label}.{label}.{i}.example"))
        .collect();
    let leaf = ca.leaf(&key, |params| {
        params.subject_alt_names = long
            .iter()
            .map(|name| SanType::DnsName(name.as_str().try_into().unwrap()))
            .collect();
    });
    let chain = leaf + &ca.intermediate_pem;
    check(chain.as_bytes(), key.serialize_pem().as_bytes(), &long, now()).unwrap();
}

/// What may stand where a chain is expected: not even PEM, PEM without an end, PEM of anything.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let anything = || prop::collection::vec(any::<u8>(), 0..200);
    let label = || {
        prop_oneof![
            Just("CERTIFICATE".to_owned()),
            "[ -~]{0,20}",
            Just("X".repeat(5000)),
            Just("\u{202e}".repeat(500)),
        ]
    };
    let framed = (label(), anything(), label()).prop_map(|(begin, inside, end)| {
        let inside = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, inside);
        format!("-----BEGIN {begin}-----\n{inside}\n-----END {end}-----\n").into_bytes()
    });
    prop_oneof![anything(), framed]
}

proptest! {
    #[test]
    fn whatever_stands_in_place_of_a_chain_is_refused_in_few_words(chain in hostile(), key in hostile()) {
        let refused = check(&chain, &key, &names(&["a.example"]), now()).unwrap_err().to_string();
        prop_assert!(refused.chars().count() <= 300, "{}", refused);
    }
}

#[test]
fn addresses_count_as_names_by_their_canonical_text() {
    let ca = Ca::new();
    let key = KeyPair::generate().unwrap();
    let leaf = ca.leaf(&key, |params| {
        params.subject_alt_names = vec![
            SanType::DnsName("a.example".try_into().unwrap()),
            SanType::IpAddress("192.0.2.1".parse().unwrap()),
            SanType::IpAddress("2001:db8:0::1".parse().unwrap()),
        ];
    });
    let chain = leaf + &ca.intermediate_pem;
    let expected = ["2001:db8::1", "192.0.2.1", "a.example"];
    checked(&chain, &key.serialize_pem(), &expected).unwrap();
    assert_eq!(
        super::names(chain.as_bytes()).unwrap(),
        ["192.0.2.1", "2001:db8::1", "a.example"]
    );
    let other = checked(
        &chain,
        &key.serialize_pem(),
        &["2001:db8::2", "192.0.2.1", "a.example"],
    );
    assert!(matches!(other, Err(ChainError::Names { .. })), "{other:?}");
}
