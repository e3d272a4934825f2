//! The rules of the search.

use std::time::Duration;

use super::{Before, Cause, Discovery, Evidence, FIRST_TRY, Finding, LastThrottle, Outage, Stage};
use crate::budget::{Budget, PerSecond, SLOWEST};
use crate::endpoint::Endpoint;

/// A rate is borne after so many requests …
pub(super) const PROOF_REQUESTS: u32 = 20;
/// … and so many seconds at it. What counts are requests that the rate held back, so that seconds are requests.
pub(super) const PROOF_SECONDS: f64 = 30.0;
/// While doubling, a rate is left behind sooner: the first refusal comes soon enough.
pub(super) const DOUBLING_REQUESTS: u32 = 4;
pub(super) const DOUBLING_SECONDS: f64 = 3.0;
/// Bisection ends when the refused rate is at most this much above the borne one.
pub(super) const CLOSE: f64 = 1.051;
/// The rate of each try over the one that is held, in percent, to begin with.
pub(super) const FIRST_STEP: u32 = 5;
/// Unasked, no more than this is sought: who needs more gives a budget.
const MOST_SOUGHT: f64 = 100.0;
const MOST_IN_FLIGHT: u32 = 16;
/// So many requests held back by the number in flight raise it, and so many prove the higher number.
const CROWDED: u32 = 20;
/// So many probes in a row fail only in an outage: the pauses between them grow, and a CA that is merely slow lets
/// one of them through.
pub(super) const OUTAGE_PROBES: u32 = 3;
/// After a good try the next comes soon.
const NEXT_GOOD_TRY: Duration = Duration::from_secs(300);
/// A CA hardly becomes slower by more than this: a rate that fell further is looked for again soon, …
pub(super) const DEEP_FALL: f64 = 4.0;
/// … so long after the last refusal to begin with …
const FIRST_CLIMB: Duration = Duration::from_secs(60);
/// … and so many times as long after each search that ended as low, until [`FIRST_TRY`] is exceeded.
const NEXT_CLIMB: u32 = 10;
const MOST_RARELY: Duration = Duration::from_secs(24 * 3600);

impl Discovery {
    /// Adds `evidence` from under `epoch`, and begins a try if one `is_due`. Changes `budget`, the figures in force,
    /// accordingly.
    ///
    /// Returns whether anything but the counts has changed, so that a new epoch begins.
    pub(crate) fn learn(
        &mut self,
        budget: &mut Budget,
        evidence: &Evidence,
        try_is_due: bool,
        epoch: u64,
    ) -> bool {
        self.proof = self.proof.saturating_add(evidence.proof);
        self.crowded = self.crowded.saturating_add(evidence.crowded);
        self.add_apart(evidence);
        let has_come_back = self.served_apart(budget, evidence);
        let is_by_whole = match evidence.finding {
            Some(Finding::Throttled { is_soon, endpoint }) => {
                self.count_throttle(budget, endpoint, epoch);
                self.after_outage &= is_soon || self.outage.is_some();
                if self.outage.is_some() || !self.refused_apart(budget, endpoint) {
                    self.throttled(budget);
                }
                true
            }
            Some(Finding::Lost(cause)) => {
                self.lost(cause);
                true
            }
            Some(Finding::Back) => self.back(budget),
            Some(Finding::Pair(is_borne)) => {
                if !is_borne {
                    self.count_throttle(budget, Endpoint::Other, epoch);
                    self.begin_outage(Cause::Throttled, false, None);
                }
                budget.burst = u32::from(is_borne);
                self.stage = Stage::Doubling;
                true
            }
            None => self.advance(budget) || (try_is_due && self.try_more(budget)),
        };
        if is_by_whole {
            (self.proof, self.crowded) = (0, 0);
        }
        (evidence.finding.is_none() && self.advance_apart(budget)) || is_by_whole || has_come_back
    }

    /// Does the search go on to something else with this evidence?
    pub(crate) fn would_advance(&self, budget: &Budget, evidence: &Evidence) -> bool {
        let proof = self.proof.saturating_add(evidence.proof);
        let crowded = self.crowded.saturating_add(evidence.crowded);
        self.proven(budget, proof, crowded).is_some()
    }

    /// Is there anything above the figures that may be tried?
    pub(crate) fn may_try(&self, budget: &Budget) -> bool {
        self.outage.is_none()
            && self.in_flight_borne.is_none()
            && (self.may_try_rate(budget) || self.in_flight_is_kept_down(budget))
    }

    fn may_try_rate(&self, budget: &Budget) -> bool {
        self.stage == Stage::Holding && budget.rate() < self.most()
    }

    /// Was more in flight refused, so that it is not asked for any more?
    fn in_flight_is_kept_down(&self, budget: &Budget) -> bool {
        self.in_flight_refused.is_some() && budget.max_in_flight < self.most_in_flight()
    }

    fn count_throttle(&mut self, budget: &Budget, endpoint: Endpoint, epoch: u64) {
        self.throttles = self.throttles.saturating_add(1);
        self.last_throttle = Some(LastThrottle {
            endpoint,
            requests_per_second: PerSecond(budget.rate()),
            max_in_flight: budget.max_in_flight,
            epoch,
            unknown: self
                .last_throttle
                .take()
                .map(|throttle| throttle.unknown)
                .unwrap_or_default(),
        });
    }

    fn throttled(&mut self, budget: &mut Budget) {
        if let Some(outage) = &mut self.outage {
            outage.cause = Cause::Throttled;
            outage.failed_probes = outage.failed_probes.saturating_add(1);
            return;
        }
        let rate = budget.rate();
        let before = (!self.after_outage).then(|| self.as_it_is(budget));
        // More in flight is not evidence about the rate.
        if let Some(borne) = self.in_flight_borne.take() {
            self.in_flight_refused = Some(budget.max_in_flight);
            budget.max_in_flight = borne;
            self.try_more_rarely();
            return self.begin_outage(Cause::Throttled, false, before);
        }
        if rate <= SLOWEST {
            return self.begin_outage(Cause::Throttled, false, None);
        }
        match self.stage {
            // The first of the pair: nothing was fast about it.
            Stage::Pair => self.begin_outage(Cause::Throttled, false, None),
            Stage::Holding if self.after_outage => {
                // It was no outage, or the CA came back slower: the rate cannot be kept up.
                self.borne = None;
                self.begin_to_fall(rate);
                self.lower(budget, rate / 2.0);
                self.begin_outage(Cause::Throttled, false, None);
            }
            Stage::Holding => self.begin_outage(Cause::Throttled, true, None),
            Stage::Trying => {
                let borne = self.borne.map_or(rate, |borne| borne.0.min(rate));
                budget.requests_per_second = borne;
                self.refused = Some(PerSecond(rate));
                self.step_percent = FIRST_STEP;
                self.end_fall();
                self.try_more_rarely();
                self.stage = Stage::Holding;
                self.begin_outage(Cause::Throttled, false, None);
            }
            Stage::Doubling | Stage::Bisecting => {
                let next = self.below(rate);
                self.lower(budget, next);
                self.begin_outage(Cause::Throttled, false, before);
            }
        }
    }

    /// A rate that was held is to be lowered. If it fell already, and not deep, it goes on falling.
    fn begin_to_fall(&mut self, rate: f64) {
        if !self.has_fallen_deep(rate) {
            let highest = self.fell_from.map_or(rate, |from| from.0.max(rate));
            self.fell_from = Some(PerSecond(highest));
            self.try_every = FIRST_CLIMB;
        }
    }

    /// Nothing has fallen, or what had is believed or there again.
    fn end_fall(&mut self) {
        if self.fell_from.take().is_some() {
            self.try_every = FIRST_TRY;
        }
    }

    /// A try was refused.
    fn try_more_rarely(&mut self) {
        self.try_every = self.try_every.saturating_mul(2).min(MOST_RARELY);
        self.next_try = self.try_every;
    }

    /// What to take up again if a refusal turns out to be an outage.
    pub(super) fn as_it_is(&self, budget: &Budget) -> Before {
        Before {
            stage: self.stage,
            requests_per_second: PerSecond(budget.rate()),
            max_in_flight: budget.max_in_flight,
            borne: self.borne,
            refused: self.refused,
            refusals: self.refusals,
            in_flight_borne: self.in_flight_borne,
            in_flight_refused: self.in_flight_refused,
            fell_from: self.fell_from,
            endpoints: self.endpoints.clone(),
            unknown: Default::default(),
        }
    }

    fn take_up(&mut self, before: &Before, budget: &mut Budget) {
        budget.requests_per_second = before.requests_per_second.0;
        budget.max_in_flight = before.max_in_flight;
        self.stage = before.stage;
        (self.borne, self.refused) = (before.borne, before.refused);
        self.refusals = before.refusals;
        (self.in_flight_borne, self.in_flight_refused) = (before.in_flight_borne, before.in_flight_refused);
        self.fall_as(before);
        self.take_up_apart(&before.endpoints, budget);
    }

    /// What fell since did so for another reason.
    pub(super) fn fall_as(&mut self, before: &Before) {
        match before.fell_from {
            None => self.end_fall(),
            from => self.fell_from = from,
        }
    }

    /// The next rate after a refusal of `rate` while searching.
    fn below(&mut self, rate: f64) -> f64 {
        self.borne = self.borne.filter(|borne| borne.0 < rate);
        let in_a_row = self.refusals.saturating_add(1);
        let PerSecond(refused) = self.lowest_refused(rate);
        match self.borne {
            Some(PerSecond(borne)) if in_a_row <= 2 && refused / borne > CLOSE => {
                f64::midpoint(borne, refused)
            }
            Some(PerSecond(borne)) => borne,
            None if self.fell_from.is_some() => rate / 2.0,
            // What was taken for borne was hidden by a burst: deeper and deeper.
            None => {
                rate / 2_f64.powi(
                    i32::try_from(in_a_row)
                        .unwrap_or(i32::MAX)
                        .saturating_sub(3)
                        .clamp(1, 5),
                )
            }
        }
    }

    fn lower(&mut self, budget: &mut Budget, next: f64) {
        self.refused = Some(self.lowest_refused(budget.rate()));
        self.refusals = self.refusals.saturating_add(1);
        budget.requests_per_second = self.bounded(next);
        self.stage = Stage::Bisecting;
    }

    /// `rate` was refused, and perhaps a lower one above what was borne.
    fn lowest_refused(&self, rate: f64) -> PerSecond {
        let is_above = |refused: &PerSecond| self.borne.is_some_and(|borne| refused.0 > borne.0);
        let lower = self.refused.filter(|refused| refused.0 < rate).filter(is_above);
        lower.unwrap_or(PerSecond(rate))
    }

    pub(super) fn begin_outage(&mut self, cause: Cause, suspected: bool, before: Option<Before>) {
        self.outage = Some(Outage {
            cause,
            failed_probes: 0,
            suspected,
            endpoint: Endpoint::Other,
            before,
            unknown: Default::default(),
        });
    }

    fn lost(&mut self, cause: Cause) {
        match &mut self.outage {
            Some(outage) => {
                outage.cause = cause;
                outage.failed_probes = outage.failed_probes.saturating_add(1);
            }
            None => self.begin_outage(cause, false, None),
        }
    }

    /// A probe got through.
    fn back(&mut self, budget: &mut Budget) -> bool {
        let Some(outage) = self.outage.take() else {
            return false;
        };
        if outage.failed_probes > 0 {
            self.after_outage = outage.cause == Cause::Throttled;
            if outage.failed_probes >= OUTAGE_PROBES {
                // Its first refusal was no evidence about an endpoint either.
                self.suspect = None;
                if let Some(before) = &outage.before {
                    self.take_up(before, budget);
                }
            }
        } else if outage.suspected && outage.endpoint != Endpoint::Other {
            self.slow_apart(budget, outage.endpoint);
        } else if outage.suspected {
            self.borne = None;
            self.begin_to_fall(budget.rate());
            let next = budget.rate() * (1.0 - f64::from(FIRST_STEP) / 100.0);
            self.lower(budget, next);
        }
        true
    }

    /// What so many requests that went well prove, if anything.
    fn proven(&self, budget: &Budget, proof: u32, crowded: u32) -> Option<Proven> {
        if self.outage.is_some() {
            return None;
        }
        if self.in_flight_borne.is_some() {
            return (crowded.saturating_add(proof) >= CROWDED).then_some(Proven::InFlight);
        }
        if crowded >= CROWDED && crowded >= proof {
            if let Some(more) = self.more_in_flight(budget) {
                return Some(Proven::NeedOf(more));
            }
            if self.stage == Stage::Trying {
                return Some(Proven::NotTheRate);
            }
        }
        let (requests, seconds, is_news) = match self.stage {
            Stage::Pair => return None,
            Stage::Doubling => (DOUBLING_REQUESTS, DOUBLING_SECONDS, true),
            Stage::Bisecting if self.has_fallen_deep(budget.rate()) => {
                (DOUBLING_REQUESTS, PROOF_SECONDS, true)
            }
            Stage::Bisecting | Stage::Trying => (PROOF_REQUESTS, PROOF_SECONDS, true),
            Stage::Holding => (PROOF_REQUESTS, PROOF_SECONDS, self.after_outage),
        };
        let is_enough = f64::from(proof) >= f64::from(requests).max(seconds * budget.rate());
        (is_enough && is_news).then_some(Proven::Rate)
    }

    /// Goes on if there is proof enough.
    fn advance(&mut self, budget: &mut Budget) -> bool {
        match self.proven(budget, self.proof, self.crowded) {
            None => return false,
            Some(Proven::InFlight) => {
                self.in_flight_borne = None;
                self.try_every = FIRST_TRY;
            }
            Some(Proven::NotTheRate) => {
                // Nothing is learned from a higher rate: the try is of more in flight.
                budget.requests_per_second = self.borne.map_or(budget.rate(), |borne| borne.0);
                self.in_flight_refused = None;
                self.hold(self.try_every);
            }
            Some(Proven::NeedOf(more)) => {
                self.in_flight_borne = Some(budget.max_in_flight);
                budget.max_in_flight = more;
            }
            Some(Proven::Rate) => self.rate_is_proven(budget),
        }
        true
    }

    fn rate_is_proven(&mut self, budget: &mut Budget) {
        let rate = budget.rate();
        // What was refused before was refused for another reason, or is long ago.
        self.suspect
            .take_if(|suspect| suspect.before.requests_per_second.0 <= rate);
        match self.stage {
            Stage::Pair => {}
            Stage::Holding => self.after_outage = false,
            Stage::Doubling => {
                self.borne = Some(PerSecond(rate));
                self.refused = self.refused.filter(|refused| refused.0 > rate);
                self.after_outage = false;
                // A climb ends where the fall began.
                let next = match self.fell_from {
                    Some(from) => self.bounded((rate * 2.0).min(from.0)),
                    None => self.bounded(rate * 2.0),
                };
                if next > rate {
                    budget.requests_per_second = next;
                } else {
                    self.hold_after_search(budget);
                }
            }
            Stage::Bisecting => {
                self.borne = Some(PerSecond(rate));
                (self.refusals, self.after_outage) = (0, false);
                self.refused = self.refused.filter(|refused| refused.0 > rate);
                match self.refused {
                    Some(PerSecond(refused)) if refused / rate > CLOSE => {
                        budget.requests_per_second = self.bounded(f64::midpoint(rate, refused));
                    }
                    Some(_) | None => self.hold_after_search(budget),
                }
            }
            Stage::Trying => {
                self.borne = Some(PerSecond(rate));
                self.refused = self.refused.filter(|refused| refused.0 > rate);
                // The CA bears more than it did, perhaps in flight as well.
                self.in_flight_refused = None;
                self.step_percent = self.step_percent.saturating_mul(2).min(100);
                if self.is_back(rate) {
                    self.end_fall();
                }
                self.try_every = FIRST_TRY;
                self.hold(NEXT_GOOD_TRY);
            }
        }
    }

    /// The rate is found. After a deep fall it may be that of a bad hour.
    fn hold_after_search(&mut self, budget: &Budget) {
        if self.has_fallen_deep(budget.rate()) && self.try_every <= FIRST_TRY {
            return self.hold(self.try_every);
        }
        if self.has_fallen_deep(budget.rate()) || self.is_back(budget.rate()) {
            self.end_fall();
        }
        self.try_every = FIRST_TRY;
        self.hold(FIRST_TRY);
    }

    fn has_fallen_deep(&self, rate: f64) -> bool {
        self.fell_from.is_some_and(|from| rate * DEEP_FALL < from.0)
    }

    /// Is `rate` what it was before it fell, or more?
    fn is_back(&self, rate: f64) -> bool {
        self.fell_from.is_some_and(|from| rate >= from.0)
    }

    fn hold(&mut self, next_try: Duration) {
        self.stage = Stage::Holding;
        self.next_try = next_try;
    }

    /// The next higher number of requests in flight, if there is to be one. After a refusal there is none, until
    /// a try: it would mostly find out the same again.
    fn more_in_flight(&self, budget: &Budget) -> Option<u32> {
        let now = budget.max_in_flight;
        let next = now.saturating_mul(2).min(self.most_in_flight());
        let may_be = budget.burst > 0 && self.stage != Stage::Pair && self.in_flight_refused.is_none();
        (may_be && next > now).then_some(next)
    }

    fn try_more(&mut self, budget: &mut Budget) -> bool {
        if !self.may_try(budget) {
            return false;
        }
        let rate = budget.rate();
        if !self.may_try_rate(budget) {
            // It is asked for as soon as it is needed.
            self.in_flight_refused = None;
            return true;
        }
        self.borne = Some(PerSecond(rate));
        if self.has_fallen_deep(rate) {
            // Not a little more: as if nothing had been refused yet.
            budget.requests_per_second = self.bounded(rate * 2.0);
            (self.stage, self.refusals) = (Stage::Doubling, 0);
            self.try_every = self.try_every.saturating_mul(NEXT_CLIMB);
            return true;
        }
        budget.requests_per_second = self.bounded(rate * (1.0 + f64::from(self.step_percent) / 100.0));
        self.stage = Stage::Trying;
        true
    }

    fn most(&self) -> f64 {
        self.ceiling.as_ref().map_or(MOST_SOUGHT, Budget::rate)
    }

    fn most_in_flight(&self) -> u32 {
        self.ceiling
            .as_ref()
            .map_or(MOST_IN_FLIGHT, |ceiling| ceiling.max_in_flight)
    }

    /// Within what may be sought.
    fn bounded(&self, rate: f64) -> f64 {
        readable(rate).max(SLOWEST).min(self.most())
    }
}

/// As good a figure, and short enough to be read.
pub(super) fn readable(rate: f64) -> f64 {
    let rate = rate.max(SLOWEST / 1000.0);
    let digits = 10_f64.powi(3 - rate.log10().floor() as i32);
    (rate * digits).round() / digits
}

/// What the requests that went well prove.
enum Proven {
    /// That the requests in flight, and not the rate that is being tried, hold sending back.
    NotTheRate,
    /// The requests in flight that are being tried.
    InFlight,
    /// That the requests in flight hold sending back: so many are to be tried.
    NeedOf(u32),
    /// The rate.
    Rate,
}

#[cfg(test)]
mod tests;
