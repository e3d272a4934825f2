use super::*;
use crate::budget::Source;
use crate::discovery::Finding;

fn suspect(refusals: u32, passed: u32, others: u32) -> Suspect {
    let before = Before {
        stage: Stage::Doubling,
        requests_per_second: PerSecond(8.0),
        max_in_flight: 1,
        borne: None,
        refused: None,
        refusals: 0,
        in_flight_borne: None,
        in_flight_refused: None,
        fell_from: None,
        endpoints: BTreeMap::new(),
        unknown: BTreeMap::new(),
    };
    Suspect {
        refusals,
        passed,
        others,
        ..Suspect::new(Endpoint::NewOrder, before)
    }
}

#[test]
fn refusals_in_a_row_of_a_known_rate_are_forgotten_once_a_request_goes_well() {
    let mut search = EndpointSearch::start(&suspect(2, 6, 24), 8.0, 8.0);
    while !search.is_settled() {
        match search.rate() > 2.0 {
            true => search.is_refused(),
            false => assert!({
                search.proof = 10_000;
                search.advance()
            }),
        }
        assert!(
            !search.is_served(),
            "one refusal between two that go well is evidence"
        );
    }
    let held = search.clone();
    search.is_borne_no_more();
    for _ in 0..5 {
        search.is_refused();
    }
    assert!(search.rate() < held.rate() / 16.0);
    assert!(search.is_served());
    assert_eq!(search.rate(), held.rate());
    // Refused again at once, it is believed.
    for _ in 0..5 {
        search.is_refused();
    }
    assert!(!search.is_served());
    assert!(search.rate() < held.rate() / 8.0);
}

#[test]
fn a_rate_that_fell_deep_doubles_again_until_it_is_believed() {
    let mut search = EndpointSearch::start(&suspect(2, 6, 24), 8.0, 8.0);
    let first = search.rate();
    for _ in 0..4 {
        search.is_refused();
    }
    let low = search.rate();
    assert_eq!(low, readable(first / 16.0));
    search.proof = 4;
    assert!(search.advance(), "four requests are enough");
    assert_eq!(search.rate(), readable(low * 2.0));
    // A CA that bears no more than that lower rate.
    let mut refusals = 0;
    while !search.is_held() {
        if search.rate() > low {
            search.is_refused();
            refusals += 1;
        } else {
            search.proof = 10_000;
            search.advance();
        }
    }
    assert!((MOST_CLIMBS..2 * MOST_CLIMBS).contains(&refusals), "{refusals}");
    assert_eq!(search.fell_from, None);
}

#[test]
fn refusals_in_a_row_of_an_endpoint_that_is_seldom_asked_are_no_chance() {
    assert!(!suspect(1, 0, 100).is_convicted(), "too few");
    assert!(!suspect(2, 6, 20).is_convicted(), "it is asked as often as this");
    assert!(suspect(2, 6, 24).is_convicted());
}

#[test]
fn the_rate_is_found_between_what_is_borne_and_what_is_refused_and_more_is_tried_ever_more_rarely() {
    // The CA bears 1.7 a second.
    let mut search = EndpointSearch::start(&suspect(2, 8, 72), 10.0, 5.0);
    assert_eq!(search.rate(), 1.0);
    let mut refused = Vec::new();
    let mut requests = 0;
    while requests < 100_000 {
        if search.rate() > 1.7 {
            refused.push(requests);
            search.is_refused();
        } else {
            requests += 1;
            search.proof += 1;
            search.advance();
        }
        assert!(search.rate() < 2.1, "{search:?}");
    }
    let found = search.borne.unwrap().0;
    assert!((1.6..=1.7).contains(&found), "{search:?}");
    // Some to find it, and then one for each try: after one, two, four and eight hours' worth.
    let learning = refused.iter().filter(|at| **at < 1000).count();
    assert!((1..=5).contains(&learning), "{refused:?}");
    assert!(refused.len() <= learning + 6, "{refused:?}");
    assert_eq!(search.sub_rate(), SubRate::new(search.rate(), 0));
}

/// A discovery at a given budget, and what it does to the figures.
struct Held {
    discovery: Discovery,
    budget: Budget,
    epoch: u64,
}

impl Held {
    /// 10 a second are given, and newOrder is known to be borne at `rate`.
    fn with_new_order(rate: f64) -> Self {
        let (discovery, budget) = Discovery::start(&Budget::new(10.0, 5, 4), Source::Given);
        let mut held = Self {
            discovery,
            budget,
            epoch: 1,
        };
        let search = EndpointSearch {
            requests_per_second: PerSecond(rate),
            borne: Some(PerSecond(rate)),
            refused: Some(PerSecond(rate * 1.05)),
            ..EndpointSearch::start(&suspect(2, 1, 9), 10.0, rate)
        };
        held.discovery
            .search_apart(&mut held.budget, Endpoint::NewOrder, search);
        held
    }

    fn find(&mut self, finding: Finding) {
        let evidence = Evidence {
            finding: Some(finding),
            ..Evidence::about(self.epoch)
        };
        let has_changed = self
            .discovery
            .learn(&mut self.budget, &evidence, false, self.epoch);
        assert!(has_changed, "{finding:?} changes nothing");
        self.epoch += 1;
    }

    fn refuse(&mut self, endpoint: Endpoint) {
        self.find(Finding::Throttled {
            is_soon: false,
            endpoint,
        });
    }

    fn new_order(&self) -> Option<f64> {
        let sub_rate = self.budget.sub_rate(Endpoint::NewOrder)?;
        Some(sub_rate.requests_per_second.0)
    }
}

#[test]
fn a_rate_that_was_borne_is_lowered_a_little_once_the_probe_gets_through_and_halved_if_that_was_not_enough() {
    let mut held = Held::with_new_order(1.0);
    held.refuse(Endpoint::NewOrder);
    assert_eq!(held.new_order(), Some(1.0), "first a probe");
    held.find(Finding::Back);
    assert_eq!(held.new_order(), Some(0.95));
    held.refuse(Endpoint::NewOrder);
    assert_eq!(held.new_order(), Some(0.475));
    assert_eq!(held.budget.requests_per_second, 10.0);
}

#[test]
fn an_outage_lowers_neither_the_whole_rate_nor_one_of_an_endpoint() {
    for first in [Endpoint::NewOrder, Endpoint::Other, Endpoint::NewNonce] {
        for probes in [1, 2, 5] {
            let mut held = Held::with_new_order(1.0);
            let before = held.discovery.endpoints.clone();
            held.refuse(first);
            for probe in 0..probes {
                held.refuse(if probe % 2 == 0 {
                    Endpoint::Other
                } else {
                    Endpoint::NewOrder
                });
            }
            held.find(Finding::Back);
            let figures = (held.budget.requests_per_second, held.new_order());
            assert_eq!(figures, (10.0, Some(1.0)), "{first} and {probes} probes refused");
            assert_eq!(held.discovery.endpoints, before);
        }
    }
}

#[test]
fn refusals_of_an_endpoint_whose_rate_is_proven_are_held_against_the_whole_once_and_given_back() {
    let mut held = Held::with_new_order(0.4);
    // Somebody else was refused: the whole rate is in question, and nothing proves it.
    held.refuse(Endpoint::Other);
    held.find(Finding::Back);
    let whole = held.budget.requests_per_second;
    assert_eq!(whole, 9.5);
    // Then the CA bears fewer newOrders than it did.
    for _ in 0..3 {
        held.refuse(Endpoint::NewOrder);
        held.find(Finding::Back);
    }
    assert!(
        held.budget.requests_per_second >= whole / 2.0,
        "{:?}",
        held.budget
    );
    assert!(held.new_order().unwrap() < 0.4);
}

#[test]
fn a_rate_that_reaches_the_whole_one_is_no_limit_of_its_own() {
    let mut held = Held::with_new_order(9.9);
    if let Some(search) = held.discovery.endpoints.get_mut(&Endpoint::NewOrder) {
        search.refused = None;
        search.proof = u32::MAX;
    }
    let evidence = Evidence::about(held.epoch);
    assert!(
        held.discovery
            .learn(&mut held.budget, &evidence, false, held.epoch)
    );
    assert_eq!((held.new_order(), held.discovery.endpoints.len()), (None, 0));
}
