//! A CA that keeps to RFC 8555, and is strict: it refuses what comes twice.

use std::collections::BTreeSet;

use super::*;

pub(super) struct Ca {
    /// How many of an order's first names are authorized already.
    pub(super) authorized: usize,
    /// How long a validation, and the issuance, take.
    pub(super) slowness: SignedDuration,
    /// Names whose validation fails.
    pub(super) unreachable: BTreeSet<Name>,
    pub(super) orders: Vec<SimulatedOrder>,
    /// The names whose TXT records stand in DNS.
    pub(super) records: BTreeSet<Name>,
    /// The kinds of the requests that it received.
    pub(super) received: Vec<&'static str>,
}

pub(super) struct SimulatedOrder {
    names: Vec<Name>,
    /// When each name's validation ends, once it was asked for.
    validated: Vec<Option<Timestamp>>,
    issued: Option<Timestamp>,
}

impl Ca {
    pub(super) fn new(authorized: usize, slowness: SignedDuration) -> Self {
        Self {
            authorized,
            slowness,
            unreachable: BTreeSet::new(),
            orders: Vec::new(),
            records: BTreeSet::new(),
            received: Vec::new(),
        }
    }

    pub(super) fn receive(&mut self, request: &Request, now: Timestamp) -> Response {
        self.received.push(request.kind());
        match request {
            Request::NewOrder { names, .. } => {
                let validated = (0..names.len())
                    .map(|i| (i < self.authorized).then_some(Timestamp::MIN))
                    .collect();
                self.orders.push(SimulatedOrder {
                    names: names.clone(),
                    validated,
                    issued: None,
                });
                let id = self.orders.len() - 1;
                let location = Some(format!("https://ca.example/order/{id}"));
                Response {
                    status: 201,
                    location,
                    ..self.order(id, now)
                }
            }
            Request::PollOrder { url } => self.order(last_number(url), now),
            Request::FetchAuthorization { url, .. } => {
                let (id, index) = last_two_numbers(url);
                ok(self.authorization(id, index, now))
            }
            Request::AnswerChallenge { url, .. } => {
                let (id, index) = last_two_numbers(url);
                let name = &self.orders[id].names[index];
                if url.contains("/dns/") {
                    assert!(
                        self.records.contains(name),
                        "{name} was answered without its record"
                    );
                } else {
                    assert!(!name.is_wildcard(), "{name} has no such challenge");
                }
                let validated = &mut self.orders[id].validated[index];
                if validated.is_some() {
                    return problem(400, "malformed", "the challenge is not pending");
                }
                *validated = Some(now + self.slowness);
                ok(json!({"status": "processing"}))
            }
            Request::Finalize { url } => {
                let id = last_number(url);
                if self.status(id, now) != "ready" {
                    return problem(403, "orderNotReady", "the order is not ready");
                }
                self.orders[id].issued = Some(now + self.slowness);
                self.order(id, now)
            }
            Request::DownloadCertificate { url } => {
                assert_eq!(self.status(last_number(url), now), "valid");
                Response {
                    status: 200,
                    body: CHAIN.into(),
                    ..Response::default()
                }
            }
        }
    }

    fn state(&self, id: usize, index: usize, now: Timestamp) -> &'static str {
        let order = &self.orders[id];
        match order.validated[index] {
            None => "pending",
            Some(end) if end > now => "processing",
            Some(_) if self.unreachable.contains(&order.names[index]) => "invalid",
            Some(_) => "valid",
        }
    }

    fn status(&self, id: usize, now: Timestamp) -> &'static str {
        let order = &self.orders[id];
        let states: Vec<&str> = (0..order.names.len())
            .map(|index| self.state(id, index, now))
            .collect();
        match order.issued {
            Some(end) if end > now => "processing",
            Some(_) => "valid",
            None if states.contains(&"invalid") => "invalid",
            None if states.iter().all(|state| *state == "valid") => "ready",
            None => "pending",
        }
    }

    fn order(&self, id: usize, now: Timestamp) -> Response {
        let order = &self.orders[id];
        let status = self.status(id, now);
        let urls =
            (0..order.names.len()).map(|index| format!("https://ca.example/authorization/{id}/{index}"));
        let mut body = json!({
            "status": status,
            "expires": (now + SignedDuration::from_hours(100)).to_string(),
            "identifiers": order.names.iter().map(|name| json!({"type": "dns", "value": name})).collect::<Vec<_>>(),
            "authorizations": urls.collect::<Vec<_>>(),
            "finalize": format!("https://ca.example/finalize/{id}"),
        });
        if status == "valid" {
            body["certificate"] = json!(format!("https://ca.example/certificate/{id}"));
        }
        ok(body)
    }

    fn authorization(&self, id: usize, index: usize, now: Timestamp) -> Value {
        let (state, name) = (self.state(id, index, now), &self.orders[id].names[index]);
        let challenge = |kind: &str, path: &str| {
            let mut challenge = json!({
                "type": kind, "url": format!("https://ca.example/{path}/{id}/{index}"),
                "status": state, "token": TOKEN,
            });
            if state == "invalid" {
                challenge["error"] =
                    json!({"type": "urn:ietf:params:acme:error:connection", "detail": "refused"});
            }
            challenge
        };
        let mut challenges = vec![challenge("dns-01", "dns")];
        if !name.is_wildcard() {
            challenges.push(challenge("http-01", "challenge"));
        }
        json!({
            "status": if state == "processing" { "pending" } else { state },
            "identifier": {"type": "dns", "value": name.as_str().trim_start_matches("*.")},
            "wildcard": name.is_wildcard(),
            "challenges": challenges,
        })
    }
}

fn last_number(url: &str) -> usize {
    url.rsplit('/').next().unwrap().parse().unwrap()
}

fn last_two_numbers(url: &str) -> (usize, usize) {
    let (front, index) = url.rsplit_once('/').unwrap();
    (last_number(front), index.parse().unwrap())
}
