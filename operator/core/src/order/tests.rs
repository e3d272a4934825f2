//! Conversations with a CA, each a sentence. The answers are written out here, except where a
//! simulated CA gives them.

mod by_dns;
mod conversation;
mod hostile;
mod overdue;
mod refused;
mod replaces;
mod resumed;
mod simulated;
mod simulated_ca;
mod trouble;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::*;
use crate::challenge::ChallengeKinds;
use crate::names::Name;
use crate::response::Response;

const ORDER: &str = "https://ca.example/order/1";
const FINALIZE: &str = "https://ca.example/finalize/1";
const CERTIFICATE: &str = "https://ca.example/certificate/1";
const TOKEN: &str = "LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0";
const CHAIN: &str = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";

fn now() -> Timestamp {
    "2026-11-24T06:00:00Z".parse().unwrap()
}

fn later(seconds: i64) -> Timestamp {
    now() + SignedDuration::from_secs(seconds)
}

fn names(count: usize) -> Vec<Name> {
    let mut names: Vec<Name> = (0..count)
        .map(|i| Name::parse(&format!("h{i}.shop.example")).unwrap())
        .collect();
    names.sort();
    names
}

fn ok(body: Value) -> Response {
    Response {
        status: 200,
        body: body.to_string().into_bytes(),
        ..Response::default()
    }
}

fn problem(status: u16, kind: &str, detail: &str) -> Response {
    let body = json!({"type": format!("urn:ietf:params:acme:error:{kind}"), "detail": detail});
    Response {
        status,
        content_type: Some("application/problem+json".to_owned()),
        body: body.to_string().into_bytes(),
        ..Response::default()
    }
}

fn html(status: u16) -> Response {
    Response {
        status,
        content_type: Some("text/html".to_owned()),
        body: b"<html><head><title>Oops</title></head><body><h1>Oops</h1></body></html>".to_vec(),
        ..Response::default()
    }
}

/// An order object of `count` names.
fn order(status: &str, count: usize) -> Value {
    json!({
        "status": status,
        "expires": "2026-12-01T06:00:00Z",
        "identifiers": names(count).iter().map(|name| json!({"type": "dns", "value": name})).collect::<Vec<_>>(),
        "authorizations": (0..count).map(authorization_url).collect::<Vec<_>>(),
        "finalize": FINALIZE,
    })
}

fn with(mut body: Value, field: &str, value: Value) -> Value {
    body[field] = value;
    body
}

fn authorization_url(index: usize) -> String {
    format!("https://ca.example/authorization/{index}")
}

fn challenge_url(index: usize) -> String {
    format!("https://ca.example/challenge/{index}")
}

/// An authorization object whose HTTP-01 challenge has the same status.
fn authorization(index: usize, status: &str) -> Value {
    json!({
        "status": status,
        "identifier": {"type": "dns", "value": format!("h{index}.shop.example")},
        "challenges": [
            {"type": "dns-01", "url": "https://ca.example/dns/1", "status": "pending", "token": TOKEN},
            {"type": "http-01", "url": challenge_url(index), "status": status, "token": TOKEN},
        ],
    })
}

fn made(body: Value) -> Response {
    Response {
        status: 201,
        location: Some(ORDER.to_owned()),
        ..ok(body)
    }
}

/// A talk with a CA about an order of some names: each request is checked, then answered.
struct Talk {
    names: Vec<Name>,
    kinds: ChallengeKinds,
    state: OrderState,
    now: Timestamp,
}

impl Talk {
    fn of(count: usize) -> Self {
        Self {
            names: names(count),
            kinds: ChallengeKinds::default(),
            state: OrderState::default(),
            now: now(),
        }
    }

    /// One that has made its order, and has fetched and answered its challenges.
    fn answered(count: usize) -> Self {
        let mut talk = Self::of(count);
        talk.moves("newOrder", made(order("pending", count)));
        for index in 0..count {
            talk.moves("authorization", ok(authorization(index, "pending")));
        }
        for _ in 0..count {
            talk.moves(
                "challenge",
                ok(json!({"type": "http-01", "status": "processing"})),
            );
        }
        talk
    }

    /// One whose order is ready to be finalized.
    fn ready(count: usize) -> Self {
        let mut talk = Self::of(count);
        talk.moves("newOrder", made(order("ready", count)));
        talk
    }

    fn step(&self) -> Step {
        next(&self.state, &self.names, self.now)
    }

    fn request(&self) -> Request {
        match self.step() {
            Step::Send(request) => request,
            other => panic!("not a request: {other:?}"),
        }
    }

    /// The machine asks for `kind`, and `outcome` comes of it.
    fn hears(&mut self, kind: &str, outcome: Reply) -> Effect {
        let request = self.request();
        assert_eq!(request.kind(), kind);
        let (state, effect) = reply(
            self.state.clone(),
            &request,
            &outcome,
            &self.names,
            &self.kinds,
            self.now,
        );
        if !matches!(effect, Effect::Failed(_) | Effect::Restart { .. }) {
            assert_eq!(state.check(&self.names), Ok(()));
        }
        self.state = state;
        effect
    }

    fn answers(&mut self, kind: &str, response: Response) -> Effect {
        self.hears(kind, Reply::Response(response))
    }

    fn moves(&mut self, kind: &str, response: Response) {
        assert_eq!(self.answers(kind, response), Effect::Moved);
    }

    fn fails(&mut self, kind: &str, response: Response) -> Failure {
        match self.answers(kind, response) {
            Effect::Failed(failure) => failure,
            other => panic!("no failure: {other:?}"),
        }
    }

    fn restarts(&mut self, kind: &str, response: Response) -> String {
        match self.answers(kind, response) {
            Effect::Restart { why } => why,
            other => panic!("no restart: {other:?}"),
        }
    }

    /// In vain; the reason is given back.
    fn again(&mut self, kind: &str, outcome: Reply) -> &'static str {
        match self.hears(kind, outcome) {
            Effect::Again { reason, .. } => reason,
            other => panic!("not in vain: {other:?}"),
        }
    }

    /// The machine waits, and time passes until it does not. Gives back how long that was.
    fn waits(&mut self) -> SignedDuration {
        let Step::Wait { until, .. } = self.step() else {
            panic!("no wait: {:?}", self.step())
        };
        let waited = until.duration_since(self.now);
        self.now = until;
        waited
    }
}
