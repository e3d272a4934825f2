use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, RSA_PKCS1_2048_8192_SHA256, VerificationAlgorithm,
};
use proptest::prelude::{Strategy, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};

use super::*;

/// Made with `openssl ecparam -name prime256v1 -genkey`; the point and the hash were computed
/// with `openssl ec -text` and Python's hashlib.
const PKCS8: &str = "-----BEGIN PRIVATE KEY-----\n\
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg59vVmu6b3NG3v+1t\n\
Dwy0s5iUbGpblWrnpFcThbBBV6mhRANCAAQQEd4s38M6jjMhmSyepxzU7ucVCdJm\n\
1Ec1oeUL2fDfuZEXrjxHSsNLy2mr0oId9H0EvAspNIB4LT4gbhhcUAwg\n\
-----END PRIVATE KEY-----\n";
const SEC1: &str = "-----BEGIN EC PRIVATE KEY-----\n\
MHcCAQEEIOfb1Zrum9zRt7/tbQ8MtLOYlGxqW5Vq56RXE4WwQVepoAoGCCqGSM49\n\
AwEHoUQDQgAEEBHeLN/DOo4zIZksnqcc1O7nFQnSZtRHNaHlC9nw37mRF648R0rD\n\
S8tpq9KCHfR9BLwLKTSAeC0+IG4YXFAMIA==\n\
-----END EC PRIVATE KEY-----\n";
const THUMBPRINT: &str = "c3MSxHIJb_7bYnnBPhd4Alf23qRBT6ScuTXaYFWdvCk";

/// Made with `openssl genrsa 2048` and `openssl rsa -traditional`; the hash was computed with Python's hashlib.
const RSA_PKCS8: &str = "-----BEGIN PRIVATE KEY-----\n\
MIIEvgIBADANBgkqhkiG9w0BAQEFAASCBKgwggSkAgEAAoIBAQCuXFxnudEB9yxX\n\
cz09KE6rEQRoWNxLJ8H398du5dU/xvdwTZKenlRAUGioL4DcsdYmHTj/d2Y6pkmk\n\
ibn8HPzk1DmELZferYTFa6MBop6mTWkVpT37hW24XM6ta5DDvr6nBXorgjv4zPPO\n\
gWIb7lmZHMx2kNYQ/nQm2sZ/MJhVIgNulah5+ARkPaAwhLEib36ja0LrdeFOaDRk\n\
iUbonZNzr59d7IVmMNy/DWev48jc8e7zviB/nQNQCyGJ55uuGA5oFtv67fS8Q4AE\n\
qbqt6UlvhzF7NRITRmRovGgnQtejzAnF+KA2T8PI2k4/ru+HJKJ6xdR/Sxz5Lfo4\n\
thxraZXdAgMBAAECggEAA1CiOR6hSKZIY4k/WtBPXpU+PjWiSpOA7pP5aLRZ75J6\n\
1dnDtdxQwcBFnRz6GDgRWDwp/0Fn4imTMNule5OZg0g9p7OuNX+bDJ3VRYyv8315\n\
R/4SRZvt0BmDnGx1HiOcQFSsU/Nv7HUJFZ4EHX/UmEKh6IcsarpLvwldyMFFxCiP\n\
WIvlmJm2UIcwMM+npb1G8uyWfFso2yOCiMOzpZD0fVCaIcomMg7dCYtwEcTGiu8j\n\
fNYo1Hfb8dzw5gF2IARTmV+NdiBnCTM2ZNYkKygkVsPNN399D/J5RASlAm+B5kP+\n\
j1uG0W07cNOAL8NyWoy/LlaXsE53UomjUvwdgpBQiQKBgQDe9560km1HcpmOEd7M\n\
fz1pSfpqbtQNzbLB+tL2Q/IfhuHGrlUdFZTHsN1y3j6UyEXETN5dHfKnYC0nNUyi\n\
q1un6XF31p5LYoA00uEjIQ5rTXaOGNH9geRmjUpPWRyNW2w7OP/UnhT1c0dPaUaz\n\
2u5882KdPDr2c/JA8XoUjfmzLwKBgQDIMUPDualeYlVwOCgPFg/WBvEsHpsApGIZ\n\
MCK2SiUSe5QFZSh2p4GPA2frh+r+uLFr/g9/c5qo1cwm7PsZlISYRu+YZNpP2lQE\n\
6v8JhJKmeSZrpM9yX1izyp3aiQJ4w0J2Vk1oXkfG7QIlNCvN9YoHTyOEvXvi7JYn\n\
RocgYWB0swKBgQCrx0RrQ+CTShRJozTugh0TEB6wfyA6Xj6ZOh/sAR758RXi1w7V\n\
8HmGe5mw1M6MG9u8R6iNPvRixTMkYOjg7noX3D9CH4Qm+gViLRGs2dvdCXoMMc0e\n\
rUMFS1dz2Gip80RoQBrBeOUW0TCgWrBRApv4gh54mx2mIGAEbsYqLdOxmwKBgGva\n\
ftO39xOujrFCz/IwxJ9eZhiK9J9H8MH5OPpUv9xRT9IISeCDJj3Sa+5s76IEBzJT\n\
Ui4sLiq/5JkkG7QQW89eiD7mNufGjHWJ1ZVfI1Mk+hoMVOcdj0Bt7NWL8xT0vZ3b\n\
qSCNisYVco5wqRjxLEf7zvr4ywHazJqkWLCNRdYZAoGBAJaJCEXqAf5JK0FVVoS9\n\
f0S3VnrMeBU335co1/r7dzVypcG/q9NjixLRlHLCDE0uutSFFZMhJ8J72djb4BTS\n\
mxYYKtKd+oUDf8RzI5CXXJ+g/ebocvG367K1pk1DjMGCnEH1ZdzPaz5Mp3FlUSzL\n\
uokZiydUhHoxf+oAG2qVxDst\n\
-----END PRIVATE KEY-----\n\
";
const RSA_PKCS1: &str = "-----BEGIN RSA PRIVATE KEY-----\n\
MIIEpAIBAAKCAQEArlxcZ7nRAfcsV3M9PShOqxEEaFjcSyfB9/fHbuXVP8b3cE2S\n\
np5UQFBoqC+A3LHWJh04/3dmOqZJpIm5/Bz85NQ5hC2X3q2ExWujAaKepk1pFaU9\n\
+4VtuFzOrWuQw76+pwV6K4I7+MzzzoFiG+5ZmRzMdpDWEP50JtrGfzCYVSIDbpWo\n\
efgEZD2gMISxIm9+o2tC63XhTmg0ZIlG6J2Tc6+fXeyFZjDcvw1nr+PI3PHu874g\n\
f50DUAshieebrhgOaBbb+u30vEOABKm6relJb4cxezUSE0ZkaLxoJ0LXo8wJxfig\n\
Nk/DyNpOP67vhySiesXUf0sc+S36OLYca2mV3QIDAQABAoIBAANQojkeoUimSGOJ\n\
P1rQT16VPj41okqTgO6T+Wi0We+SetXZw7XcUMHARZ0c+hg4EVg8Kf9BZ+IpkzDb\n\
pXuTmYNIPaezrjV/mwyd1UWMr/N9eUf+EkWb7dAZg5xsdR4jnEBUrFPzb+x1CRWe\n\
BB1/1JhCoeiHLGq6S78JXcjBRcQoj1iL5ZiZtlCHMDDPp6W9RvLslnxbKNsjgojD\n\
s6WQ9H1QmiHKJjIO3QmLcBHExorvI3zWKNR32/Hc8OYBdiAEU5lfjXYgZwkzNmTW\n\
JCsoJFbDzTd/fQ/yeUQEpQJvgeZD/o9bhtFtO3DTgC/DclqMvy5Wl7BOd1KJo1L8\n\
HYKQUIkCgYEA3veetJJtR3KZjhHezH89aUn6am7UDc2ywfrS9kPyH4bhxq5VHRWU\n\
x7Ddct4+lMhFxEzeXR3yp2AtJzVMoqtbp+lxd9aeS2KANNLhIyEOa012jhjR/YHk\n\
Zo1KT1kcjVtsOzj/1J4U9XNHT2lGs9rufPNinTw69nPyQPF6FI35sy8CgYEAyDFD\n\
w7mpXmJVcDgoDxYP1gbxLB6bAKRiGTAitkolEnuUBWUodqeBjwNn64fq/rixa/4P\n\
f3OaqNXMJuz7GZSEmEbvmGTaT9pUBOr/CYSSpnkma6TPcl9Ys8qd2okCeMNCdlZN\n\
aF5Hxu0CJTQrzfWKB08jhL174uyWJ0aHIGFgdLMCgYEAq8dEa0Pgk0oUSaM07oId\n\
ExAesH8gOl4+mTof7AEe+fEV4tcO1fB5hnuZsNTOjBvbvEeojT70YsUzJGDo4O56\n\
F9w/Qh+EJvoFYi0RrNnb3Ql6DDHNHq1DBUtXc9hoqfNEaEAawXjlFtEwoFqwUQKb\n\
+IIeeJsdpiBgBG7GKi3TsZsCgYBr2n7Tt/cTro6xQs/yMMSfXmYYivSfR/DB+Tj6\n\
VL/cUU/SCEnggyY90mvubO+iBAcyU1IuLC4qv+SZJBu0EFvPXog+5jbnxox1idWV\n\
XyNTJPoaDFTnHY9AbezVi/MU9L2d26kgjYrGFXKOcKkY8SxH+876+MsB2syapFiw\n\
jUXWGQKBgQCWiQhF6gH+SStBVVaEvX9Et1Z6zHgVN9+XKNf6+3c1cqXBv6vTY4sS\n\
0ZRywgxNLrrUhRWTISfCe9nY2+AU0psWGCrSnfqFA3/EcyOQl1yfoP3m6HLxt+uy\n\
taZNQ4zBgpxB9WXcz2s+TKdxZVEsy7qJGYsnVIR6MX/qABtqlcQ7LQ==\n\
-----END RSA PRIVATE KEY-----\n\
";
const RSA_THUMBPRINT: &str = "Zk2UTUhqoOHxpfWaDr1b5y8O2abL8c7Vety94dUzpa4";
/// Too short a key.
const RSA_1024: &str = "-----BEGIN PRIVATE KEY-----\n\
MIICdwIBADANBgkqhkiG9w0BAQEFAASCAmEwggJdAgEAAoGBAJp69RRh9bt3v03f\n\
H13iBIV+d0PoHJL89u/Zaf2hqeM0+8muawVZjU66i774VqOGJeGnez9jNbMPQojt\n\
W27oejxBYLeZxJSr2DEmhwAM+ST4SDBSJjHnw/6l8ajEvHU0RyD9L4ztYLXt2DhB\n\
LxR1/Vu6TcKHB47cBussl0EncmHTAgMBAAECgYBLTl1izk5IURvFDlvwHFov6XKi\n\
e+hSD1chnU76AXEb/ZwwuQIa3YjxNCcjtVQm6yJUWpzOTcLDw1CgB3VnH5VWQGpL\n\
MHEQOy1onFhDNCR9icXNN48JjM/Fj0knAhTMaiGiZ1R4k8ztlSFYsq1kJCm1gwMU\n\
jGBGnTUCLaz+5uPCgQJBAMsfoivONCJcfd6g26gC08ZRuNkQii2hzLK4/6XL164B\n\
bS95SR/i9cYWdIl9Cb/x8gsIMijVXcVBPm07im18+nECQQDCsa+UAZcGDnfwOsNm\n\
yqYVP9eN4mUfwpjH3XxyRuEpuLNxeZ+AZNXGIoPenzyaj6V0vWkDKVp9BXafP6nf\n\
2tqDAkEAvwxk0wDixkLqXKA9mbv3BjxNOVS2Mo9RYfRg98dPeCl9Ub6pCaXF9ued\n\
+scxiWj+eGPgEcoFpYdlOQZcf/ih8QJBAIwl7AXWvygU8jFzm4U7CyLwufHgrnqW\n\
UfRNc2+vphWqZ0GgEzkRXPErl1GBvtZj4O6QCi/EbObiL+miol4J5JECQB98GhI6\n\
t75FyU2r/J3dL/JSGR3cPMchkxS9LYZryNJKqx6pQ7I2UI7RjDlipdxODcVV5dvr\n\
RZHmtxsFS50IqRQ=\n\
-----END PRIVATE KEY-----\n\
";

#[test]
fn the_thumbprint_is_the_one_that_openssl_and_python_give() {
    assert_eq!(
        AccountKey::from_pem(PKCS8.as_bytes()).unwrap().thumbprint(),
        THUMBPRINT
    );
}

#[test]
fn a_sec1_key_is_read_as_the_same_key() {
    assert_eq!(
        AccountKey::from_pem(SEC1.as_bytes()).unwrap().thumbprint(),
        THUMBPRINT
    );
}

#[test]
fn a_generated_key_survives_its_pem_text() {
    let (key, pem) = AccountKey::generate().unwrap();
    assert!(pem.starts_with("-----BEGIN PRIVATE KEY-----"));
    assert_eq!(AccountKey::from_pem(pem.as_bytes()).unwrap().jwk(), key.jwk());
}

#[test]
fn garbage_is_named_and_never_quoted() {
    let error = |pem: &[u8]| AccountKey::from_pem(pem).unwrap_err();
    assert_eq!(error(b"secret garbage"), AccountKeyError::NoKey);
    assert_eq!(error(b""), AccountKeyError::NoKey);
    assert_eq!(error(&[0xff, 0xfe]), AccountKeyError::NotText);
    assert_eq!(error(&vec![b'a'; LONGEST_PEM + 1]), AccountKeyError::NotText);
    let empty = b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    assert_eq!(error(empty), AccountKeyError::Unsupported);
    assert_eq!(error(&PKCS8.as_bytes()[..100]), AccountKeyError::NoKey);
    assert!(!error(b"secret garbage").to_string().contains("garbage"));
}

#[test]
fn keys_of_other_kinds_are_told_apart_from_garbage() {
    let ed25519 = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    for pem in [ed25519.serialize_pem().as_str(), RSA_1024] {
        let error = AccountKey::from_pem(pem.as_bytes()).unwrap_err();
        assert_eq!(error, AccountKeyError::Unsupported);
    }
}

#[test]
fn an_rsa_key_is_the_same_in_pkcs8_and_pkcs1() {
    for pem in [RSA_PKCS8, RSA_PKCS1] {
        let key = AccountKey::from_pem(pem.as_bytes()).unwrap();
        assert_eq!(
            (key.algorithm(), key.thumbprint().as_str()),
            ("RS256", RSA_THUMBPRINT)
        );
        let jwk = serde_json::to_value(key.jwk()).unwrap();
        assert_eq!((&jwk["kty"], &jwk["e"]), (&"RSA".into(), &"AQAB".into()));
        // 2048 bits without a leading zero.
        assert_eq!(
            URL_SAFE_NO_PAD.decode(jwk["n"].as_str().unwrap()).unwrap().len(),
            256
        );
    }
}

#[test]
fn each_kind_of_key_signs_so_that_its_public_half_verifies() {
    let p384 = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    let cases: [(&str, &str, &dyn VerificationAlgorithm); 3] = [
        (PKCS8, "ES256", &ECDSA_P256_SHA256_FIXED),
        (&p384.serialize_pem(), "ES384", &ECDSA_P384_SHA384_FIXED),
        (RSA_PKCS8, "RS256", &RSA_PKCS1_2048_8192_SHA256),
    ];
    for (pem, algorithm, verification) in cases {
        let key = AccountKey::from_pem(pem.as_bytes()).unwrap();
        assert_eq!(key.algorithm(), algorithm);
        let public = match &key.pair {
            Pair::Es256(pair) | Pair::Es384(pair) => pair.public_key().as_ref().to_vec(),
            Pair::Rs256(pair) => pair.public_key().as_ref().to_vec(),
        };
        let signature = key.sign(b"message").unwrap();
        verification.verify_sig(&public, b"message", &signature).unwrap();
        assert!(verification.verify_sig(&public, b"another", &signature).is_err());
    }
}

#[test]
fn debug_shows_no_private_key() {
    let key = AccountKey::from_pem(PKCS8.as_bytes()).unwrap();
    assert_eq!(
        format!("{key:?}"),
        format!("AccountKey {{ thumbprint: {THUMBPRINT:?}, .. }}")
    );
}

#[test]
fn new_account_asks_as_rfc_8555_7_3_has_it() {
    let json = |email| serde_json::to_value(NewAccount::with_email(email)).unwrap();
    assert_eq!(
        json(Some("ops@example.com")),
        serde_json::json!({ "contact": ["mailto:ops@example.com"], "termsOfServiceAgreed": true })
    );
    assert_eq!(json(None), serde_json::json!({ "termsOfServiceAgreed": true }));
}

/// Anything; anything in the place of a key; and keys of which one character is another.
fn some_pem() -> impl Strategy<Value = Vec<u8>> {
    let labels = vec!["PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY", "CERTIFICATE"];
    let keys = vec![PKCS8, SEC1, RSA_PKCS8, RSA_PKCS1];
    let characters: Vec<u8> = (b'0'..=b'z').chain(*b"+/=-\n").collect();
    let wrapped = |(label, der): (&str, Vec<u8>)| {
        let text = base64::engine::general_purpose::STANDARD.encode(der);
        format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n").into_bytes()
    };
    let damaged = |(key, at, character): (&str, prop::sample::Index, u8)| {
        let mut text = key.as_bytes().to_vec();
        let at = at.index(text.len());
        text[at] = character;
        text
    };
    let character = prop::sample::select(characters);
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..500),
        any::<String>().prop_map(String::into_bytes),
        (
            prop::sample::select(labels),
            prop::collection::vec(any::<u8>(), 0..300)
        )
            .prop_map(wrapped),
        (
            prop::sample::select(keys),
            any::<prop::sample::Index>(),
            character
        )
            .prop_map(damaged),
    ]
}

proptest! {
    #[test]
    fn whatever_stands_in_the_place_of_a_key_signs_or_is_refused_in_few_words(text in some_pem()) {
        match AccountKey::from_pem(&text) {
            Ok(key) => {
                prop_assert_eq!(key.thumbprint().len(), 43);
                let is_refused = key.sign(b"message").is_err_and(|error| error != AccountKeyError::Signing);
                prop_assert!(!is_refused);
            }
            Err(error) => prop_assert!(error.to_string().len() < 120, "{}", error),
        }
    }
}
