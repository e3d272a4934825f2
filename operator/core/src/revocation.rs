//! What came of a request to revoke a certificate (RFC 8555 §7.6).

use jiff::{SignedDuration, Timestamp};

use crate::order::Reply;
use crate::renewal::retry_time;
use crate::response::{Response, Throttle, kind};

/// The first wait after a request without an answer, or a server error. It doubles.
const TROUBLE: SignedDuration = SignedDuration::from_secs(2);
/// The longest such wait.
const TROUBLE_MAX: SignedDuration = SignedDuration::from_secs(300);

/// What it came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The certificate is revoked: by this request, or by one before it.
    Revoked,
    /// It is asked for again.
    Again {
        /// When.
        at: Timestamp,
        /// The CA's words, bounded and escaped, or ours.
        message: String,
        /// Has the CA refused it for its own reasons, rather than not dealt with it yet?
        is_refused: bool,
    },
}

/// Takes in what came of a request to revoke at `now`, after `before` vain ones. `seed` fixes the jitter of long waits.
///
/// Guarantees: the next request is at least 2 s away.
pub fn heard(reply: &Reply, before: u32, now: Timestamp, seed: &str) -> Outcome {
    let soon = || plus(now, trouble(before));
    let again = |at, message: &str, is_refused| Outcome::Again {
        at,
        message: message.to_owned(),
        is_refused,
    };
    let response = match reply {
        Reply::Lost => return again(soon(), "the CA did not answer in time", false),
        Reply::NotSent => return again(soon(), "the CA could not be reached", false),
        Reply::Response(response) => response,
    };
    if is_done(response) {
        return Outcome::Revoked;
    }
    let message = response.problem().message();
    let asked = match response.throttle(now) {
        Some(Throttle::Quota(quota)) => Some(quota.until),
        Some(Throttle::Pace(until)) => until,
        None => response.retry_after(now),
    };
    let is_passing =
        matches!(response.status, 408 | 425 | 429 | 500..) || response.problem().kind() == kind::BAD_NONCE;
    let at = if is_passing {
        soon()
    } else {
        retry_time(now, before.saturating_add(1), None, seed)
    };
    again(asked.map_or(at, |asked| asked.max(at)), &message, !is_passing)
}

fn is_done(response: &Response) -> bool {
    response.is_success() || response.problem().kind() == kind::ALREADY_REVOKED
}

fn trouble(before: u32) -> SignedDuration {
    TROUBLE.saturating_mul(1 << before.min(10)).min(TROUBLE_MAX)
}

fn plus(now: Timestamp, wait: SignedDuration) -> Timestamp {
    now.saturating_add(wait).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-11-24T06:00:00Z".parse().unwrap()
    }

    fn problem(status: u16, kind: &str) -> Reply {
        let body =
            serde_json::json!({ "type": format!("urn:ietf:params:acme:error:{kind}"), "detail": "words" });
        Reply::Response(Response {
            status,
            body: body.to_string().into_bytes(),
            ..Response::default()
        })
    }

    fn wait(reply: &Reply, before: u32) -> (i64, bool) {
        match heard(reply, before, now(), "shop/shop-0") {
            Outcome::Again { at, is_refused, .. } => (at.duration_since(now()).as_secs(), is_refused),
            Outcome::Revoked => panic!("revoked"),
        }
    }

    #[test]
    fn what_is_revoked_or_was_so_before_is_done() {
        let ok = Reply::Response(Response {
            status: 200,
            ..Response::default()
        });
        for reply in [ok, problem(400, "alreadyRevoked")] {
            assert_eq!(heard(&reply, 3, now(), ""), Outcome::Revoked);
        }
    }

    #[test]
    fn what_passes_is_asked_again_within_seconds_and_up_to_five_minutes() {
        for reply in [
            Reply::Lost,
            Reply::NotSent,
            problem(500, "serverInternal"),
            problem(400, "badNonce"),
        ] {
            assert_eq!(wait(&reply, 0), (2, false));
            assert_eq!(wait(&reply, 3), (16, false));
            assert_eq!(wait(&reply, 1000), (300, false));
        }
    }

    #[test]
    fn a_throttle_is_waited_out_as_the_ca_says() {
        let throttled = Reply::Response(Response {
            status: 503,
            retry_after: Some("90".to_owned()),
            ..Response::default()
        });
        assert_eq!(wait(&throttled, 0), (90, false));
    }

    #[test]
    fn a_refusal_is_asked_about_after_a_minute_and_ever_more_rarely() {
        let refused = problem(403, "unauthorized");
        let (first, is_refused) = wait(&refused, 0);
        assert!(is_refused && (60..=72).contains(&first), "{first}");
        assert!(wait(&refused, 5).0 > 20 * 60);
        let Outcome::Again { message, .. } = heard(&refused, 0, now(), "") else {
            panic!("revoked")
        };
        assert_eq!(message, "unauthorized: words");
    }
}
