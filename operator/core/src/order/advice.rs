//! What a user can do about a reason.

use super::step::reason;

/// Half a sentence in the imperative. `None` if the CA's own words are all that can be said.
fn advice(reason: &str, message: &str) -> Option<&'static str> {
    match reason {
        reason::ACCOUNT_DOES_NOT_EXIST => {
            Some("check that the issuer's spec.acme.server is the CA at which its account was made")
        }
        reason::BAD_CSR => Some(
            "choose a key in spec.privateKey of the Certificate that the CA takes (ECDSA 256 and RSA 2048 are taken by \
             most), or take out the names that it does not certify",
        ),
        reason::CAA => Some("allow this CA in the CAA records of the names"),
        reason::DURATION_REFUSED => Some(
            "take spec.duration out of the Certificate, or ask for less, where the CA decides how long a certificate is valid",
        ),
        reason::EXTERNAL_ACCOUNT_REQUIRED => {
            Some("set spec.acme.externalAccountBinding of the issuer to what the CA gives its customers")
        }
        reason::RATE_LIMITED => Some("wait, or ask the CA for a higher quota"),
        reason::REJECTED_IDENTIFIER => {
            Some("take the name out of spec.dnsNames, or choose an issuer whose CA certifies it")
        }
        reason::TOO_MANY_NAMES => {
            Some("nothing is to be done: the names are split into smaller certificates")
        }
        reason::VALIDATION_FAILED => Some(of_validation(message)),
        reason::SERVER_ERROR => Some("see what is wrong at the CA if this stays"),
        reason::THROTTLED => Some(
            "see whether the CA is overloaded if this stays, else lower the budget of its ClusterIssuers \
             (spec.budget)",
        ),
        _ => None,
    }
}

/// What the words of CAs about a validation that failed are known to mean; the more telling ones first. They are of
/// Let's Encrypt's Boulder, Pebble, step-ca and other Go programs.
const VALIDATION: [(&[&str], &str); 7] = [
    (
        &["DNS-PERSIST-01", "dns-persist-01", "_validation-persist"],
        "make the TXT record that `kubectl sancho dns-records` prints for the Certificate",
    ),
    (
        &["CAA"],
        "allow this CA in the CAA records of the name, or of the domain above it",
    ),
    (
        &[
            "NXDOMAIN",
            "no such host",
            "no valid A record",
            "No valid IP addresses",
        ],
        "make the name's A or AAAA record, or take it out of spec.dnsNames",
    ),
    (
        &["SERVFAIL", "DNS problem", "looking up"],
        "check the name's delegation and DNS servers, and DNSSEC if it is signed",
    ),
    (
        &["x509", "certificate", "tls:"],
        "exempt /.well-known/acme-challenge/ from the redirect to https, where the certificate does not do",
    ),
    (
        &[
            "connection refused",
            "Connection refused",
            "Timeout",
            "timeout",
            "no route",
            "reset by peer",
        ],
        "open port 80 of the name's address to the CA; an AAAA record counts, too, and is preferred",
    ),
    (
        &[
            "Invalid response",
            "not match",
            "did not match",
            "key authorization",
            "404",
            "403",
        ],
        "point the name's A and AAAA records at the right address and route \
         http://NAME/.well-known/acme-challenge/ to Sancho's responder: somebody else answers there",
    ),
];

fn of_validation(message: &str) -> &'static str {
    let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
    let known = VALIDATION.iter().find(|(words, _)| says(words));
    known.map_or(
        "check that the CA can reach http://NAME/.well-known/acme-challenge/ of each name, and that it leads to \
         Sancho's responder",
        |(_, advice)| advice,
    )
}

/// The CA's `message` about `reason`, one of the constants in [`reason`], with what to do about it put first:
/// messages are cut at their end. For some reasons there is nothing to add.
pub fn advised(reason: &str, message: &str) -> String {
    match advice(reason, message) {
        Some(advice) => format!("{advice}; the CA's words: {message}"),
        None => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_advice_comes_first_and_the_cas_words_stay() {
        let words = advised(reason::REJECTED_IDENTIFIER, "policy forbids it");
        assert!(words.starts_with("take the name out"), "{words}");
        assert!(words.ends_with("the CA's words: policy forbids it"), "{words}");
    }

    #[test]
    fn what_cas_say_of_a_validation_is_told_apart() {
        for (words, advice) in [
            (
                "DNS problem: NXDOMAIN looking up A for a.example",
                "make the name's A",
            ),
            ("CAA record for a.example prevents issuance", "CAA records"),
            (
                "DNS problem: SERVFAIL looking up CAA for a.example",
                "CAA records",
            ),
            ("Fetching http://a.example/: Connection refused", "open port 80"),
            (
                "2001:db8::1: Timeout during connect (likely firewall problem)",
                "AAAA",
            ),
            (
                "Invalid response from http://a.example/.well-known/acme-challenge/x: 404",
                "somebody else answers",
            ),
            (
                "Get \"https://a.example/\": x509: certificate has expired",
                "redirect to https",
            ),
            (
                "No valid TXT record found for DNS-PERSIST-01 challenge",
                "kubectl sancho dns-records",
            ),
            ("something new", "check that the CA can reach"),
        ] {
            let advised = advised(reason::VALIDATION_FAILED, words);
            assert!(advised.contains(advice), "{advised}");
        }
    }

    #[test]
    fn words_without_advice_are_the_cas_own() {
        assert_eq!(advised(reason::MALFORMED, "no"), "no");
    }
}
