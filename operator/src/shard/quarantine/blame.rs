//! Which names a refusal is held against. Pure.

use sancho_core::names::Name;
use sancho_core::order::{Failure, reason};
use sancho_core::response::Scope;

/// The names that the refusal of an order is held against: those that the CA names, if its reason is about names.
#[must_use]
pub fn blamed(reason: &str, failure: &Failure) -> Vec<String> {
    if !is_about_names(reason) {
        return Vec::new();
    }
    match &failure.quota {
        Some(Scope::Names(names)) => names.clone(),
        Some(Scope::Account | Scope::RegisteredDomain(_) | Scope::NameSet) => Vec::new(),
        None => failure.names.iter().map(Name::to_string).collect(),
    }
}

/// Is the refusal of an order for one name alone held against that name? The CA need not say then which it means.
#[must_use]
pub fn is_blamed_alone(failure: &Failure) -> bool {
    match &failure.quota {
        Some(scope) => matches!(scope, Scope::Names(_)),
        None if failure.reason == reason::RATE_LIMITED => false,
        None => is_about_names(failure.reason) || failure.reason == reason::ORDER_INVALID,
    }
}

/// Can a refusal for this reason be about names, rather than about the account, the request or the CA?
fn is_about_names(reason: &str) -> bool {
    matches!(
        reason,
        reason::VALIDATION_FAILED
            | reason::REJECTED_IDENTIFIER
            | reason::CAA
            | reason::NO_HTTP01
            | reason::NO_DNS01
            | reason::NO_DNS_PERSIST01
            | reason::RATE_LIMITED
    )
}

#[cfg(test)]
mod tests {
    use sancho_core::order::Retry;

    use super::*;

    fn refused(reason: &'static str, names: &[&str], quota: Option<Scope>) -> Failure {
        Failure {
            reason,
            message: "no".into(),
            names: names.iter().map(|name| Name::parse(name).unwrap()).collect(),
            retry: Retry::Backoff,
            quota,
            most_names: None,
        }
    }

    #[test]
    fn what_speaks_of_the_account_or_the_request_is_held_against_no_name() {
        for reason in [
            reason::ACCOUNT_DOES_NOT_EXIST,
            reason::EXTERNAL_ACCOUNT_REQUIRED,
            reason::USER_ACTION_REQUIRED,
            reason::UNAUTHORIZED,
            reason::PROFILE_NOT_OFFERED,
            reason::MALFORMED,
            reason::REFUSED,
            reason::BAD_CSR,
            reason::UNEXPECTED_ANSWER,
        ] {
            let failure = refused(reason, &["a.example"], None);
            assert_eq!(blamed(reason, &failure), Vec::<String>::new(), "{reason}");
            assert!(!is_blamed_alone(&failure), "{reason}");
        }
    }

    #[test]
    fn of_several_names_those_that_the_ca_names_are_refused_and_one_alone_need_not_be_named() {
        for reason in [
            reason::VALIDATION_FAILED,
            reason::REJECTED_IDENTIFIER,
            reason::CAA,
            reason::NO_HTTP01,
            reason::NO_DNS01,
            reason::NO_DNS_PERSIST01,
        ] {
            let named = refused(reason, &["a.example"], None);
            assert_eq!(blamed(reason, &named), ["a.example"]);
            let unnamed = refused(reason, &[], None);
            assert_eq!(blamed(reason, &unnamed), Vec::<String>::new());
            assert!(is_blamed_alone(&unnamed), "{reason}");
        }
        // Of an order that was given up without a word nobody knows which name was meant, unless there is one.
        let unsaid = refused(reason::ORDER_INVALID, &[], None);
        assert_eq!(blamed(reason::ORDER_INVALID, &unsaid), Vec::<String>::new());
        assert!(is_blamed_alone(&unsaid));
    }

    #[test]
    fn a_quota_is_held_against_names_if_it_counts_names() {
        let limited = |scope| refused(reason::RATE_LIMITED, &["a.example"], scope);
        let of_names = limited(Some(Scope::Names(vec!["a.example".into()])));
        assert_eq!(blamed(reason::RATE_LIMITED, &of_names), ["a.example"]);
        assert!(is_blamed_alone(&of_names));
        for scope in [
            Scope::Account,
            Scope::RegisteredDomain("example".into()),
            Scope::NameSet,
        ] {
            let limited = limited(Some(scope));
            assert_eq!(blamed(reason::RATE_LIMITED, &limited), Vec::<String>::new());
            assert!(!is_blamed_alone(&limited));
        }
        assert!(!is_blamed_alone(&limited(None)));
    }
}
