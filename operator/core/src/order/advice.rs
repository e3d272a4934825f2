//! What a user can do about a reason.

use super::step::reason;

/// Half a sentence in the imperative. `None` if the CA's own words are all that can be said.
fn advice(reason: &str) -> Option<&'static str> {
    match reason {
        reason::ACCOUNT_DOES_NOT_EXIST => {
            Some("check that the issuer's spec.acme.server is the CA at which its account was made")
        }
        reason::CAA => Some("allow this CA in the CAA records of the names"),
        reason::EXTERNAL_ACCOUNT_REQUIRED => {
            Some("choose another CA: an external account binding is not supported yet")
        }
        reason::RATE_LIMITED => Some("wait, or ask the CA for a higher quota"),
        reason::REJECTED_IDENTIFIER => {
            Some("take the name out of spec.dnsNames, or choose an issuer whose CA certifies it")
        }
        reason::VALIDATION_FAILED => Some(
            "check that the CA can reach http://NAME/.well-known/acme-challenge/ of each name, and that it \
             leads to Sancho's responder",
        ),
        reason::SERVER_ERROR => Some("see what is wrong at the CA if this stays"),
        reason::THROTTLED => Some(
            "see whether the CA is overloaded if this stays, else lower the budget of its ClusterIssuers \
             (spec.budget)",
        ),
        _ => None,
    }
}

/// The CA's `message` about `reason`, one of the constants in [`reason`], with what to do about it put first:
/// messages are cut at their end. For some reasons there is nothing to add.
pub fn advised(reason: &str, message: &str) -> String {
    match advice(reason) {
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
    fn words_without_advice_are_the_cas_own() {
        assert_eq!(advised(reason::MALFORMED, "no"), "no");
    }
}
