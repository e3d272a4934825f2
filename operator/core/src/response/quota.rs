//! Quotas that a CA says are used up: whom they hold back, and until when.
//!
//! RFC 8555 §6.6 has one error type for every limit, `rateLimited`, and a Retry-After; §6.7.1 lets subproblems
//! name identifiers. Whether a limit is of the account or of a domain stands, if anywhere, in the text: [`TEXTS`].

use jiff::fmt::strtime;
use jiff::{SignedDuration, Timestamp};

use super::{Problem, QUOTA_FROM, RETRY_AFTER_MAX, Response, kind};

/// A quota that is used up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Whom it holds back.
    pub scope: Scope,
    /// Until when.
    pub until: Timestamp,
}

/// Whom a quota holds back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All orders of the account.
    Account,
    /// All orders with a name of this registered domain, which is in lower case.
    RegisteredDomain(String),
    /// All orders with one of these names, in lower case.
    Names(Vec<String>),
    /// Orders of just the same names.
    NameSet,
}

/// A text that tells a quota.
struct Text {
    /// What stands in the problem's detail, in lower case, in this order.
    parts: &'static [&'static str],
    /// Whom it is about, from the detail in lower case.
    scope: fn(&str) -> Option<Scope>,
    /// How long to wait if neither a Retry-After nor the text says.
    wait: SignedDuration,
    /// A detail as it comes, for the tests.
    #[cfg_attr(not(test), expect(dead_code, reason = "what the row is made for"))]
    example: &'static str,
}

/// The texts of Boulder (Let's Encrypt and other CAs that run it), from its `ratelimits/limiter.go` and `wfe2/wfe.go`
/// as of 2026-09. What a text quotes is what was counted. More specific rows come first.
const TEXTS: [Text; 6] = [
    Text {
        parts: &["too many certificates", "already issued for this exact set of"],
        scope: |_| Some(Scope::NameSet),
        wait: HOUR,
        example: "too many certificates (5) already issued for this exact set of identifiers in the last \
                  168h0m0s, retry after 2026-11-25 15:12:13 UTC: see https://letsencrypt.org/docs/rate-limits/",
    },
    Text {
        parts: &["too many certificates", "already issued for"],
        scope: |detail| Some(Scope::RegisteredDomain(between(detail, "\"", "\"")?)),
        wait: HOUR,
        example: "too many certificates (50) already issued for \"example.com\" in the last 168h0m0s, retry \
                  after 2026-11-25 15:12:13 UTC: see https://letsencrypt.org/docs/rate-limits/",
    },
    Text {
        parts: &["too many failed authorizations", "for"],
        scope: |detail| Some(Scope::Names(vec![between(detail, "\"", "\"")?])),
        wait: HOUR,
        example: "too many failed authorizations (5) for \"www.example.com\" in the last 1h0m0s, retry after \
                  2026-11-25 15:12:13 UTC: see https://letsencrypt.org/docs/rate-limits/",
    },
    Text {
        parts: &["too many new orders", "from this account"],
        scope: |_| Some(Scope::Account),
        wait: HOUR,
        example: "too many new orders (300) from this account in the last 3h0m0s, retry after 2026-11-25 \
                  15:12:13 UTC: see https://letsencrypt.org/docs/rate-limits/",
    },
    Text {
        parts: &["too many new registrations"],
        scope: |_| Some(Scope::Account),
        wait: HOUR,
        example: "too many new registrations (10) from this IP address in the last 3h0m0s, retry after \
                  2026-11-25 15:12:13 UTC",
    },
    // Until somebody visits the page that it names.
    Text {
        parts: &["account is temporarily prevented from requesting certificates for"],
        scope: |detail| Some(Scope::Names(vec![between(detail, "certificates for ", " and ")?])),
        wait: SignedDuration::from_hours(6),
        example: "Your account is temporarily prevented from requesting certificates for www.example.com and \
                  possibly others. Please visit: https://portal.example/unpause",
    },
];

const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// The longest name of the DNS.
const LONGEST_NAME: usize = 253;
/// No order has more names.
const MOST_NAMES: usize = 100;

/// The quota that an answer of 429 or 503 speaks of, if it does not ask for a slower pace.
///
/// A `rateLimited` problem does if its text is known, whatever its wait (Boulder's quotas of an account are refilled
/// within seconds), or if its wait is [`QUOTA_FROM`] or more. Then it holds back the names that its subproblems
/// identify, else nobody but the set of names that was asked for.
pub(super) fn quota(response: &Response, now: Timestamp) -> Option<Quota> {
    let problem = response.problem();
    if problem.kind() != kind::RATE_LIMITED {
        return None;
    }
    let asked = response.retry_after(now);
    if let Some((scope, until)) = told(&problem, now) {
        let until = asked.or(until.0).unwrap_or(until.1);
        return Some(Quota { scope, until });
    }
    let until = asked.filter(|until| until.duration_since(now) >= QUOTA_FROM)?;
    let scope = match identified(&problem) {
        names if names.is_empty() => Scope::NameSet,
        names => Scope::Names(names),
    };
    Some(Quota { scope, until })
}

/// What a known text tells: the scope, the moment that it names, and the one to take if it names none.
fn told(problem: &Problem, now: Timestamp) -> Option<(Scope, (Option<Timestamp>, Timestamp))> {
    let detail = problem.detail()?;
    let lower = detail.to_ascii_lowercase();
    let text = TEXTS.iter().find(|text| contains(&lower, text.parts))?;
    let scope = (text.scope)(&lower)?;
    let latest = now.saturating_add(RETRY_AFTER_MAX).ok()?;
    let named = named_moment(detail).map(|until| until.clamp(now, latest));
    Some((scope, (named, now.saturating_add(text.wait).ok()?)))
}

fn contains(text: &str, parts: &[&str]) -> bool {
    let rest = parts
        .iter()
        .try_fold(text, |rest, part| rest.split_once(part).map(|(_, rest)| rest));
    rest.is_some()
}

/// What stands between the first `start` and the `end` after it, if it can be a name.
fn between(text: &str, start: &str, end: &str) -> Option<String> {
    let (_, rest) = text.split_once(start)?;
    let (name, _) = rest.split_once(end)?;
    is_name_like(name).then(|| name.to_owned())
}

/// Can it be a name? What a CA quotes goes into a status, and is compared with names there.
fn is_name_like(text: &str) -> bool {
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '*');
    (1..=LONGEST_NAME).contains(&text.len()) && text.chars().all(is_of_name)
}

/// `… retry after 2026-11-25 15:12:13 UTC …`
fn named_moment(text: &str) -> Option<Timestamp> {
    const SHAPE: &str = "2026-11-25 15:12:13 UTC";
    let (_, rest) = text.split_once("retry after ")?;
    let written = rest.get(..SHAPE.len())?.strip_suffix(" UTC")?;
    let parsed = strtime::parse("%Y-%m-%d %H:%M:%S", written).ok()?;
    let zoned = parsed
        .to_datetime()
        .ok()?
        .to_zoned(jiff::tz::TimeZone::UTC)
        .ok()?;
    Some(zoned.timestamp())
}

/// The names that the subproblems are about, as many as an order can have.
fn identified(problem: &Problem) -> Vec<String> {
    let about = problem
        .subproblems
        .iter()
        .filter_map(|part| part.identifier.as_ref());
    let mut names: Vec<String> = about
        .map(|name| &name.value)
        .filter(|name| is_name_like(name))
        .map(|name| name.to_ascii_lowercase())
        .collect();
    names.sort();
    names.dedup();
    names.truncate(MOST_NAMES);
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-11-24T12:00:00Z".parse().unwrap()
    }

    fn limited(detail: &str, retry_after: Option<&str>) -> Response {
        let body = serde_json::json!({ "type": "urn:ietf:params:acme:error:rateLimited", "detail": detail });
        Response {
            status: 429,
            retry_after: retry_after.map(str::to_owned),
            body: body.to_string().into_bytes(),
            ..Response::default()
        }
    }

    #[test]
    fn each_text_tells_whom_its_quota_holds_back_and_until_when() {
        let scopes = [
            Scope::NameSet,
            Scope::RegisteredDomain("example.com".into()),
            Scope::Names(vec!["www.example.com".into()]),
            Scope::Account,
            Scope::Account,
            Scope::Names(vec!["www.example.com".into()]),
        ];
        for (text, scope) in TEXTS.iter().zip(scopes) {
            let told = quota(&limited(text.example, None), now()).unwrap();
            assert_eq!(told.scope, scope, "{}", text.example);
            let until = if text.example.contains("retry after") {
                "2026-11-25T15:12:13Z".parse().unwrap()
            } else {
                now() + text.wait
            };
            assert_eq!(told.until, until, "{}", text.example);
        }
    }

    #[test]
    fn a_retry_after_counts_before_the_text_and_may_be_short() {
        let told = quota(&limited(TEXTS[3].example, Some("36")), now()).unwrap();
        assert_eq!(told.until, now() + SignedDuration::from_secs(36));
    }

    #[test]
    fn of_an_unknown_text_a_long_wait_makes_a_quota_and_a_short_one_is_about_the_pace() {
        let told = quota(&limited("you have had your share", Some("7200")), now()).unwrap();
        assert_eq!(told.scope, Scope::NameSet);
        assert_eq!(
            quota(&limited("Rate limit for '/acme' reached", Some("3")), now()),
            None
        );
        assert_eq!(quota(&limited("Service busy; retry later.", None), now()), None);
    }

    #[test]
    fn subproblems_name_those_that_a_quota_holds_back() {
        let body = r#"{"type":"urn:ietf:params:acme:error:rateLimited","detail":"no more","subproblems":[
            {"type":"urn:ietf:params:acme:error:rateLimited","identifier":{"type":"dns","value":"B.example"}},
            {"type":"urn:ietf:params:acme:error:rateLimited","identifier":{"type":"dns","value":"a.example"}}]}"#;
        let response = Response {
            body: body.into(),
            ..limited("", Some("3600"))
        };
        let names = vec!["a.example".into(), "b.example".into()];
        assert_eq!(quota(&response, now()).unwrap().scope, Scope::Names(names));
    }

    #[test]
    fn a_text_without_the_name_that_it_should_quote_is_no_known_text() {
        let text = "too many certificates already issued for example.com";
        assert_eq!(quota(&limited(text, None), now()), None);
    }

    #[test]
    fn a_moment_that_is_past_or_far_away_is_brought_within_bounds() {
        let at = |moment: &str| {
            let text = format!("too many new orders (3) from this account, retry after {moment} UTC");
            quota(&limited(&text, None), now()).unwrap().until
        };
        assert_eq!(at("2020-01-01 00:00:00"), now());
        assert_eq!(at("2999-01-01 00:00:00"), now() + RETRY_AFTER_MAX);
        assert_eq!(at("2999-99-01 00:00:00"), now() + HOUR);
    }
}
