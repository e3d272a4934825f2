//! Endpoints that turn out to have a limit of their own.
//!
//! A CA does not say which of its limits a request has exceeded. If two refusals in a row are of one endpoint,
//! though few requests were for it, chance is a bad explanation: then that endpoint gets a [`SubRate`] of its own,
//! the search for the whole rate goes on from where it was before the first of these refusals, and later refusals
//! of this endpoint count for the sub-rate alone. It is looked for like the whole rate: up while it is borne,
//! between the two when it is refused, then held, and more is tried ever more rarely.
//!
//! The probe after a refusal is mostly another endpoint's, so it does not tell whether this one is out of order. That
//! is told by refusals in a row, each at a lower rate: once a request goes well after three of them, a rate that was
//! known before is in force again. And a rate that fell to less than a quarter is looked for again by doubling as soon
//! as the lower one is borne, until six refusals say that it is not there any more.
//!
//! If it was chance after all, the whole rate is refused once or twice more, and the sub-rate rises until it holds
//! nothing back and is dropped. To wait for more evidence costs more: the search would end at a rate that only the
//! one endpoint does not bear.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::search::{
    CLOSE, DEEP_FALL, DOUBLING_REQUESTS, DOUBLING_SECONDS, FIRST_STEP, OUTAGE_PROBES, PROOF_REQUESTS,
    PROOF_SECONDS, readable,
};
use super::{Before, Cause, Discovery, Evidence, Stage};
use crate::budget::{Budget, PerSecond, SLOWEST, SubRate};
use crate::endpoint::Endpoint;

/// So many refusals in a row, all of one endpoint, are hardly chance …
const IN_A_ROW: u32 = 2;
/// … if it had no more than this part of the requests: one in so many. By chance alone two refusals hit it once in
/// 25 cases at most.
const ONE_IN: u32 = 5;
/// More is tried after so many seconds' worth of requests at a sub-rate that is held; doubled after each refused
/// try. Requests are counted and not time, so that no clock passes through the Lease for it.
const FIRST_PATIENCE_SECONDS: u32 = 3600;
/// A rate without a burst that so many requests have borne, one after the other, is hardly what is refused then.
const INNOCENT: u32 = 3;
const MOST_PATIENCE_SECONDS: u32 = 24 * 3600;
/// A rate that fell deep is looked for again as soon as the lower one is borne, until so many more refusals.
const MOST_CLIMBS: u32 = 6;

/// For each new order or new nonce at least one other request is sent: more than this part of the whole rate is never
/// used, one in so many.
const OTHERS_PER_ONE: f64 = 2.0;

/// An endpoint that all refusals of late were of.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Suspect {
    /// Which.
    pub endpoint: Endpoint,
    /// How many refusals in a row.
    pub refusals: u32,
    /// How many of its requests went well since the first of them.
    #[serde(default)]
    pub passed: u32,
    /// How many other requests went well since then.
    #[serde(default)]
    pub others: u32,
    /// The search before the first of them.
    pub before: Before,
    /// Fields of a later minor format, kept as they are.
    #[serde(flatten)]
    pub unknown: BTreeMap<String, Value>,
}

impl Suspect {
    /// The first refusal of `endpoint`.
    pub(super) fn new(endpoint: Endpoint, before: Before) -> Self {
        Self {
            endpoint,
            refusals: 1,
            passed: 0,
            others: 0,
            before,
            unknown: BTreeMap::new(),
        }
    }

    /// Has the endpoint a limit of its own, as far as can be told?
    fn is_convicted(&self) -> bool {
        let own = self.passed.max(1);
        self.refusals >= IN_A_ROW && self.others >= own.saturating_mul(ONE_IN - 1)
    }

    /// Its part of the requests that went well since the first refusal.
    fn part(&self) -> f64 {
        let own = f64::from(self.passed.max(1));
        own / (own + f64::from(self.others))
    }
}

/// The search for one endpoint's own rate.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EndpointSearch {
    /// The rate that is in force, in requests per second.
    pub requests_per_second: PerSecond,
    /// The highest rate that was borne.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub borne: Option<PerSecond>,
    /// The lowest rate above it that was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<PerSecond>,
    /// Requests at this rate that went well and that it held back.
    #[serde(default)]
    pub proof: u32,
    /// By how much the next rate exceeds this one, if nothing above it was refused; in percent.
    pub step_percent: u32,
    /// After so many seconds' worth of requests more is tried, once the rate is held.
    pub patience_seconds: u32,
    /// The highest rate of late, until it is there again or a lower one is believed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fell_from: Option<PerSecond>,
    /// How often more was refused since the rate fell deep below that.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub climbs: u32,
    /// How many of its requests were refused since the last that went well.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub refusals: u32,
    /// The search before the first of them, if the rate was known then: after several, the endpoint was out of order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Box<EndpointSearch>>,
    /// The endpoint was out of order, and nothing was proven since: the next refusal is believed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub after_outage: bool,
    /// Fields of a later minor format, kept as they are.
    #[serde(flatten)]
    pub unknown: BTreeMap<String, Value>,
}

impl EndpointSearch {
    /// Begins with what `suspect` was served at, while the whole rate was `rate`, but with no more than `most`.
    fn start(suspect: &Suspect, rate: f64, most: f64) -> Self {
        let first = readable(rate * suspect.part()).min(most).max(SLOWEST);
        Self {
            requests_per_second: PerSecond(first),
            borne: None,
            refused: None,
            proof: 0,
            step_percent: 100,
            patience_seconds: FIRST_PATIENCE_SECONDS,
            fell_from: Some(PerSecond(first)),
            climbs: 0,
            refusals: 0,
            before: None,
            after_outage: false,
            unknown: BTreeMap::new(),
        }
    }

    /// The limit to keep: the CA is believed to bear no two of these requests back to back.
    fn sub_rate(&self) -> SubRate {
        SubRate::new(self.rate(), 0)
    }

    fn rate(&self) -> f64 {
        self.requests_per_second.0.max(SLOWEST)
    }

    /// The rate was refused.
    fn is_refused(&mut self) {
        let rate = self.rate();
        if self.borne.is_some() && self.has_fallen_deep() {
            self.climbs = self.climbs.saturating_add(1);
            self.fell_from = self.fell_from.filter(|_| self.climbs < MOST_CLIMBS);
        }
        self.note_refused();
        let next = match self.borne {
            Some(PerSecond(borne)) if rate / borne > CLOSE => f64::midpoint(borne, rate),
            Some(PerSecond(borne)) => borne,
            None => rate / 2.0,
        };
        self.go_on_at(next);
    }

    /// The rate, which was borne before, was refused, and then another request got through: the CA may have become
    /// slower.
    fn is_borne_no_more(&mut self) {
        let highest = self.fell_from.map_or(self.rate(), |from| from.0.max(self.rate()));
        self.note_refused();
        self.fell_from = Some(PerSecond(highest));
        self.go_on_at(self.rate() * (1.0 - f64::from(FIRST_STEP) / 100.0));
    }

    fn note_refused(&mut self) {
        let rate = self.rate();
        if self.refusals == 0 && self.borne.is_some() && !self.after_outage {
            self.before = Some(Box::new(self.clone()));
        }
        self.refusals = self.refusals.saturating_add(1);
        // Only a try of more is put off.
        if self.is_settled() && !self.is_borne() {
            self.patience_seconds = self.patience_seconds.saturating_mul(2).min(MOST_PATIENCE_SECONDS);
        }
        self.refused = Some(PerSecond(rate));
        self.borne = self.borne.filter(|borne| borne.0 < rate);
    }

    /// One of its requests went well. Returns whether the rate is again what it was before the refusals: so many in a
    /// row, at ever lower rates, were no evidence about it.
    fn is_served(&mut self) -> bool {
        let refusals = std::mem::take(&mut self.refusals);
        match self.before.take() {
            Some(before) if refusals >= OUTAGE_PROBES => {
                *self = Self {
                    proof: 0,
                    after_outage: true,
                    ..*before
                };
                true
            }
            _ => false,
        }
    }

    fn has_fallen_deep(&self) -> bool {
        self.fell_from
            .is_some_and(|from| self.rate() * DEEP_FALL < from.0)
    }

    /// Do so many more requests that went well and that this rate held back prove anything?
    fn would_advance(&self, proof: u32) -> bool {
        f64::from(self.proof.saturating_add(proof)) >= self.needed()
    }

    /// Goes on to another rate, if there is proof enough. Returns whether it has.
    fn advance(&mut self) -> bool {
        if !self.would_advance(0) {
            return false;
        }
        let rate = self.rate();
        self.after_outage = false;
        if self.has_fallen_deep() {
            self.refused = None;
            self.step_percent = 100;
        } else if self.is_held() {
            self.refused = None;
            self.step_percent = FIRST_STEP;
        } else if self.refused.is_none() {
            self.patience_seconds = FIRST_PATIENCE_SECONDS;
        }
        self.borne = Some(PerSecond(rate));
        if self.fell_from.is_some_and(|from| rate >= from.0) {
            (self.fell_from, self.climbs) = (None, 0);
        }
        match self.refused {
            Some(PerSecond(refused)) if refused / rate > CLOSE => {
                self.go_on_at(f64::midpoint(rate, refused));
            }
            Some(_) => self.go_on_at(rate),
            None => {
                self.go_on_at(rate * (1.0 + f64::from(self.step_percent) / 100.0));
                self.step_percent = self.step_percent.saturating_mul(2).min(100);
            }
        }
        true
    }

    /// Is the search over, but for a try now and then?
    pub(super) fn is_settled(&self) -> bool {
        self.is_held() || self.step_percent < 100
    }

    /// Was this rate borne before?
    fn is_borne(&self) -> bool {
        self.borne.is_some_and(|borne| self.rate() <= borne.0)
    }

    /// Is the rate borne, and not much more?
    fn is_held(&self) -> bool {
        let is_close = |refused: PerSecond| refused.0 / self.rate() <= CLOSE;
        self.borne == Some(self.requests_per_second) && self.refused.is_some_and(is_close)
    }

    fn needed(&self) -> f64 {
        let (requests, seconds) = if self.has_fallen_deep() {
            (DOUBLING_REQUESTS, DOUBLING_SECONDS)
        } else if self.is_held() {
            (PROOF_REQUESTS, f64::from(self.patience_seconds))
        } else if self.refused.is_none() && !self.is_settled() {
            (DOUBLING_REQUESTS, DOUBLING_SECONDS)
        } else {
            (PROOF_REQUESTS, PROOF_SECONDS)
        };
        f64::from(requests).max(seconds * self.rate())
    }

    fn go_on_at(&mut self, rate: f64) {
        self.requests_per_second = PerSecond(readable(rate).max(SLOWEST));
        self.proof = 0;
    }
}

impl Discovery {
    /// Adds what `evidence` says of the endpoints.
    pub(super) fn add_apart(&mut self, evidence: &Evidence) {
        if let Some(suspect) = &mut self.suspect {
            let (own, others) = evidence.since_suspected;
            suspect.passed = suspect.passed.saturating_add(own);
            suspect.others = suspect.others.saturating_add(others);
        }
        for (endpoint, search) in &mut self.endpoints {
            let proof = evidence.proof_apart.get(*endpoint).copied().unwrap_or_default();
            search.proof = search.proof.saturating_add(proof);
        }
    }

    /// Requests of endpoints that were refused so far went well. Returns whether that changes a rate.
    pub(super) fn served_apart(&mut self, budget: &mut Budget, evidence: &Evidence) -> bool {
        let mut has_changed = false;
        for endpoint in Endpoint::APART {
            if !evidence.has_served(endpoint) {
                continue;
            }
            if let Some(mut search) = self.endpoints.remove(&endpoint) {
                has_changed |= search.is_served();
                self.search_apart(budget, endpoint, search);
            }
        }
        has_changed
    }

    /// A request for `endpoint` was refused. If that is the endpoint's own limit, as is known or comes out by this
    /// refusal, the whole rate has nothing to do with it; returns whether it is so.
    pub(super) fn refused_apart(&mut self, budget: &mut Budget, endpoint: Endpoint) -> bool {
        if endpoint == Endpoint::Other {
            self.suspect = None;
            return false;
        }
        let present = self.as_it_is(budget);
        let before = (!self.after_outage).then(|| present.clone());
        if let Some(known) = self.endpoints.get(&endpoint).cloned() {
            let is_whole_borne = self.borne.is_some_and(|borne| budget.rate() <= borne.0);
            if !is_whole_borne && (known.is_borne() || known.proof >= INNOCENT) {
                // Once the whole rate is to blame; if the next refusal is this endpoint's again, it was not.
                match self.suspect.take().filter(|suspect| suspect.endpoint == endpoint) {
                    Some(suspect) => self.give_back(&suspect.before, budget),
                    None => {
                        self.suspect = Some(Suspect::new(endpoint, present));
                        return false;
                    }
                }
            }
            if known.is_borne() && !self.after_outage {
                // Like a whole rate that is held: lowered only if the probe gets through.
                self.begin_outage(Cause::Throttled, true, None);
                if let Some(outage) = &mut self.outage {
                    outage.endpoint = endpoint;
                }
                return true;
            }
            self.change_apart(budget, endpoint, EndpointSearch::is_refused);
            self.begin_outage(Cause::Throttled, false, before);
            return true;
        }
        if self.stage == Stage::Pair {
            return false;
        }
        let suspect = match self.suspect.take() {
            Some(suspect) if suspect.endpoint == endpoint => Suspect {
                refusals: suspect.refusals.saturating_add(1),
                ..suspect
            },
            _ => Suspect::new(endpoint, present),
        };
        if !suspect.is_convicted() {
            self.suspect = Some(suspect);
            return false;
        }
        let most = self.most_apart(budget, endpoint);
        let search = EndpointSearch::start(&suspect, budget.rate(), most);
        self.give_back(&suspect.before, budget);
        self.search_apart(budget, endpoint, search);
        self.begin_outage(Cause::Throttled, false, before);
        true
    }

    /// The whole rate had nothing to do with the refusals since. What was borne since is not taken back.
    fn give_back(&mut self, before: &Before, budget: &mut Budget) {
        if self
            .borne
            .is_none_or(|borne| borne.0 < before.requests_per_second.0)
        {
            budget.requests_per_second = before.requests_per_second.0;
            self.stage = before.stage;
            self.borne = before.borne;
            (self.refused, self.refusals) = (before.refused, before.refusals);
            self.fall_as(before);
        }
    }

    /// A refusal of `endpoint` whose rate was borne before, and the probe got through.
    pub(super) fn slow_apart(&mut self, budget: &mut Budget, endpoint: Endpoint) {
        self.change_apart(budget, endpoint, EndpointSearch::is_borne_no_more);
    }

    fn change_apart(
        &mut self,
        budget: &mut Budget,
        endpoint: Endpoint,
        change: impl Fn(&mut EndpointSearch),
    ) {
        if let Some(mut search) = self.endpoints.remove(&endpoint) {
            change(&mut search);
            self.search_apart(budget, endpoint, search);
        }
    }

    /// The searches are again what they were.
    pub(super) fn take_up_apart(&mut self, before: &BTreeMap<Endpoint, EndpointSearch>, budget: &mut Budget) {
        for endpoint in Endpoint::APART {
            match before.get(&endpoint) {
                Some(search) => self.search_apart(budget, endpoint, search.clone()),
                None if self.endpoints.remove(&endpoint).is_some() => {
                    budget.set_sub_rate(endpoint, self.published_apart(endpoint));
                }
                None => {}
            }
        }
    }

    /// Does an endpoint's own rate go on to something else with this evidence?
    pub(crate) fn would_advance_apart(&self, evidence: &Evidence) -> bool {
        let mut searches = self.endpoints.iter();
        self.outage.is_none()
            && searches.any(|(endpoint, search)| {
                let proof = evidence.proof_apart.get(*endpoint);
                let is_news = search.refusals > 0 && evidence.has_served(*endpoint);
                is_news || proof.is_some_and(|proof| search.would_advance(*proof))
            })
    }

    /// Goes on with the endpoints' own rates, where there is proof enough. Returns whether any has changed.
    pub(super) fn advance_apart(&mut self, budget: &mut Budget) -> bool {
        if self.outage.is_some() {
            return false;
        }
        let mut has_changed = false;
        for endpoint in Endpoint::APART {
            let Some(mut search) = self.endpoints.remove(&endpoint) else {
                continue;
            };
            let has_advanced = search.advance();
            has_changed |= has_advanced;
            if has_advanced && search.rate() >= self.most_apart(budget, endpoint) {
                // As fast as is known anyway: that is no limit of its own.
                budget.set_sub_rate(endpoint, self.published_apart(endpoint));
            } else {
                self.search_apart(budget, endpoint, search);
            }
        }
        has_changed
    }

    /// From now on `endpoint` has this rate of its own.
    fn search_apart(&mut self, budget: &mut Budget, endpoint: Endpoint, search: EndpointSearch) {
        budget.set_sub_rate(endpoint, Some(search.sub_rate()));
        self.endpoints.insert(endpoint, search);
    }

    /// What is given or published for `endpoint`.
    fn published_apart(&self, endpoint: Endpoint) -> Option<SubRate> {
        self.ceiling.as_ref()?.sub_rate(endpoint).cloned()
    }

    /// At this rate an endpoint has no limit but the known ones.
    fn most_apart(&self, budget: &Budget, endpoint: Endpoint) -> f64 {
        // A whole rate that fell may be there again soon.
        let whole = self
            .fell_from
            .map_or(budget.rate(), |from| from.0.max(budget.rate()));
        let usable = whole / OTHERS_PER_ONE;
        let published = self.published_apart(endpoint);
        published.map_or(usable, |published| published.requests_per_second.0.min(usable))
    }
}

fn is_zero(count: &u32) -> bool {
    *count == 0
}

#[cfg(test)]
mod tests;
