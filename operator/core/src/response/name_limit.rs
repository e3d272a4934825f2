//! A CA that says that an order has too many names.
//!
//! ACME has no error type for it, and no way to tell beforehand, so it is the text that tells. What was read:
//! Boulder (`Order cannot contain more than 100 identifiers`, `CSR contains more than 100 DNS names`) and
//! acme2certifier (`identifier limit exceeded`), both as of 2026-11.

use super::{Problem, kind};

/// What a limit counts.
const NOUNS: [&str; 5] = ["names", "identifiers", "domains", "sans", "hostnames"];
/// Words right before the number of a limit: more than, at most, the maximum is, up to, only.
const BEFORE_NUMBER: [&str; 7] = ["than", "most", "is", "to", "max", "maximum", "only"];
/// Words before `of` and the number.
const BEFORE_OF: [&str; 3] = ["maximum", "limit", "max"];
/// So many words may stand between the number, or "too many", and what it counts.
const NEAR: usize = 4;
/// The text of acme2certifier, and its limit unless it is configured.
const ACME2CERTIFIER: (&str, usize) = ("identifier limit exceeded", 20);

/// How many names the CA takes at most, if `problem` refuses an order of `asked` names for their number: what it
/// says, else half of what was asked for.
///
/// Guarantees: at least 1 and fewer than `asked`. A single name is never too many.
pub(crate) fn most_names(problem: &Problem, asked: usize) -> Option<usize> {
    let is_about_order = matches!(
        problem.kind(),
        "" | kind::MALFORMED
            | kind::REJECTED_IDENTIFIER
            | kind::UNSUPPORTED_IDENTIFIER
            | kind::UNAUTHORIZED
            | kind::BAD_CSR
    );
    if asked < 2 || !is_about_order {
        return None;
    }
    let detail = problem.detail()?.to_lowercase();
    let words: Vec<&str> = detail
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .collect();
    match limit(&words, &detail)? {
        Some(most) if (1..asked).contains(&most) => Some(most),
        // The order keeps to that limit: it is another thing that is wrong with it.
        Some(_) if !detail.contains(ACME2CERTIFIER.0) => None,
        _ => Some(asked / 2),
    }
}

/// The limit that the text tells of, with its number if it has one.
fn limit(words: &[&str], detail: &str) -> Option<Option<usize>> {
    if detail.contains(ACME2CERTIFIER.0) {
        return Some(Some(ACME2CERTIFIER.1));
    }
    let counted = words.iter().enumerate().filter(|(_, word)| NOUNS.contains(word));
    for (end, _) in counted {
        let before = &words[end.saturating_sub(NEAR)..end];
        if before.ends_with(&["too", "many"]) || before.windows(2).any(|pair| pair == ["too", "many"]) {
            return Some(number(words));
        }
        if let Some(most) = number(before) {
            return Some(Some(most));
        }
    }
    None
}

/// The first number that reads like a limit.
fn number(words: &[&str]) -> Option<usize> {
    words.iter().enumerate().find_map(|(place, word)| {
        let number = word.parse().ok()?;
        let is_limit = match &words[..place] {
            [.., before, "of"] => BEFORE_OF.contains(before),
            [.., before] => BEFORE_NUMBER.contains(before),
            [] => false,
        };
        is_limit.then_some(number)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::response::Response;

    fn told(kind: &str, detail: &str, asked: usize) -> Option<usize> {
        let body =
            serde_json::json!({ "type": format!("urn:ietf:params:acme:error:{kind}"), "detail": detail });
        let response = Response {
            status: 400,
            body: body.to_string().into_bytes(),
            ..Response::default()
        };
        most_names(&response.problem(), asked)
    }

    #[test]
    fn the_texts_of_known_cas_tell_their_limit() {
        let cases = [
            ("malformed", "Order cannot contain more than 25 identifiers", 25),
            ("malformed", "Order cannot contain more than 25 DNS names", 25),
            (
                "badCSR",
                "Error finalizing order :: CSR contains more than 25 identifiers",
                25,
            ),
            ("rejectedIdentifier", "identifier limit exceeded", 20),
            ("malformed", "Too many identifiers: 60, the maximum is 30", 30),
            (
                "unauthorized",
                "an order may hold at most 10 subject alternative names",
                10,
            ),
            ("malformed", "a maximum of 5 domains is allowed", 5),
            // No number: half.
            ("rejectedIdentifier", "too many identifiers", 30),
        ];
        for (kind, detail, most) in cases {
            assert_eq!(told(kind, detail, 60), Some(most), "{detail}");
        }
        assert_eq!(
            told("rejectedIdentifier", "identifier limit exceeded", 20),
            Some(10)
        );
        assert_eq!(
            told("rejectedIdentifier", "identifier limit exceeded", 2),
            Some(1)
        );
    }

    #[test]
    fn other_refusals_and_a_single_name_are_not_about_their_number() {
        for (kind, detail) in [
            ("rejectedIdentifier", "policy forbids issuing for these names"),
            ("malformed", "domain names must not be longer than 253 characters"),
            ("malformed", "name has more than 10 labels"),
            (
                "rejectedIdentifier",
                "Domain name contains more than one wildcard",
            ),
            ("unauthorized", "2 of 40 names are not allowed"),
            (
                "malformed",
                "an order is limited to 100 names, and one of these is not allowed",
            ),
            ("rateLimited", "too many names ordered recently"),
            ("serverInternal", "more than 20 names"),
        ] {
            assert_eq!(told(kind, detail, 60), None, "{detail}");
        }
        assert_eq!(told("malformed", "more than 25 names", 1), None);
    }
}
