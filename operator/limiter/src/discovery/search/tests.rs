use super::*;
use crate::budget::Source;

/// Refused soon after the epoch had begun.
const REFUSED: Finding = Finding::Throttled {
    is_soon: true,
    endpoint: Endpoint::Other,
};

/// A search with the figures in force, and the epoch.
struct Search {
    discovery: Discovery,
    budget: Budget,
    epoch: u64,
}

impl Search {
    fn of(budget: &Budget, source: Source) -> Self {
        let (discovery, budget) = Discovery::start(budget, source);
        Self {
            discovery,
            budget,
            epoch: 1,
        }
    }

    fn unknown() -> Self {
        let mut search = Self::of(&Budget::unknown_ca(), Source::Discovered);
        search.find(Finding::Pair(true));
        search
    }

    fn given(rate: f64) -> Self {
        Self::of(&Budget::new(rate, 5, 4), Source::Given)
    }

    fn learn(&mut self, evidence: &Evidence, is_due: bool) -> bool {
        let has_changed = self
            .discovery
            .learn(&mut self.budget, evidence, is_due, self.epoch);
        self.epoch += u64::from(has_changed);
        has_changed
    }

    fn find(&mut self, finding: Finding) {
        let evidence = Evidence {
            finding: Some(finding),
            ..Evidence::about(self.epoch)
        };
        assert!(self.learn(&evidence, false), "{finding:?} changes nothing");
    }

    /// Refused, and the probe gets through.
    fn refuse(&mut self) {
        self.find(REFUSED);
        self.find(Finding::Back);
    }

    /// So many requests go well that were held back by the rate.
    fn bear(&mut self, requests: u32) -> bool {
        let evidence = Evidence {
            proof: requests,
            ..Evidence::about(self.epoch)
        };
        self.learn(&evidence, false)
    }

    fn rate(&self) -> f64 {
        self.budget.requests_per_second
    }

    /// A CA that bears `rate`: the search goes on until it holds. Returns the number of refusals.
    fn run(&mut self, rate: f64) -> u64 {
        while self.discovery.stage != Stage::Holding {
            if self.rate() > rate {
                self.refuse();
            } else {
                self.bear(10_000);
            }
        }
        self.discovery.throttles
    }
}

#[test]
fn any_rate_is_found_to_five_percent_with_few_refusals() {
    for rate in [0.05, 0.2, 1.0, 2.7, 5.0, 10.0, 33.0, 80.0] {
        let mut search = Search::unknown();
        let refusals = search.run(rate);
        assert!(refusals <= 8, "{refusals} refusals at {rate}");
        assert!(
            search.rate() <= rate && search.rate() > rate / 1.06,
            "{} found at {rate}",
            search.rate()
        );
    }
}

#[test]
fn a_ca_without_limits_is_asked_for_no_more_than_the_search_may() {
    let mut search = Search::unknown();
    assert_eq!(search.run(1e6), 0);
    assert_eq!(search.rate(), MOST_SOUGHT);
}

#[test]
fn a_step_of_the_bisection_needs_twenty_requests_and_thirty_seconds() {
    let mut search = Search::unknown();
    while search.rate() < 8.0 {
        search.bear(1000);
    }
    search.refuse();
    assert_eq!((search.rate(), search.discovery.stage), (6.0, Stage::Bisecting));
    assert!(!search.bear(179));
    assert!(search.bear(1));
    search.discovery.stage = Stage::Bisecting;
    search.budget.requests_per_second = 0.1;
    assert!(!search.bear(19));
    assert!(search.bear(1));
}

#[test]
fn refusals_in_a_row_cut_deeper() {
    let mut search = Search::unknown();
    while search.rate() < 32.0 {
        search.bear(1000);
    }
    let mut rates = Vec::new();
    for _ in 0..7 {
        search.refuse();
        rates.push(search.rate());
    }
    // Twice between what was borne and what was refused, then what was borne, then below it.
    assert_eq!(rates, [24.0, 20.0, 16.0, 8.0, 2.0, 0.25, SLOWEST]);
}

#[test]
fn a_held_rate_is_lowered_only_if_the_probe_gets_through() {
    let mut search = Search::given(10.0);
    search.find(REFUSED);
    assert_eq!(search.rate(), 10.0);
    search.find(Finding::Back);
    assert_eq!(search.rate(), 9.5);

    let mut search = Search::given(10.0);
    for _ in 0..5 {
        search.find(REFUSED);
    }
    search.find(Finding::Back);
    assert_eq!((search.rate(), search.discovery.stage), (10.0, Stage::Holding));
}

#[test]
fn a_ca_that_came_back_slower_is_told_from_one_that_came_back() {
    let mut search = Search::given(10.0);
    search.find(REFUSED);
    search.refuse();
    assert_eq!(search.rate(), 10.0, "an outage");
    search.refuse();
    assert_eq!(search.rate(), 5.0, "refused again before anything was borne");

    let mut search = Search::given(10.0);
    search.find(REFUSED);
    search.refuse();
    assert!(search.bear(300));
    search.find(REFUSED);
    assert_eq!(search.rate(), 10.0, "borne since: first a probe");
}

#[test]
fn some_time_after_an_outage_the_next_refusal_may_be_another_one() {
    let mut search = Search::given(10.0);
    search.find(REFUSED);
    search.refuse();
    assert!(search.discovery.after_outage);
    search.find(Finding::Throttled {
        is_soon: false,
        endpoint: Endpoint::Other,
    });
    assert_eq!(search.rate(), 10.0, "first a probe");
    search.refuse();
    assert_eq!((search.rate(), search.discovery.after_outage), (10.0, true));
}

#[test]
fn an_outage_during_the_search_is_no_evidence() {
    let mut doubling = Search::unknown();
    doubling.bear(10);
    let mut bisecting = Search::unknown();
    while bisecting.discovery.stage == Stage::Doubling {
        if bisecting.rate() > 5.0 {
            bisecting.refuse();
        } else {
            bisecting.bear(100);
        }
    }
    bisecting.discovery.in_flight_refused = Some(4);
    let mut crowded = Search::unknown();
    crowded.discovery.in_flight_borne = Some(1);
    crowded.budget.max_in_flight = 2;
    for mut search in [doubling, bisecting, crowded] {
        let (before, budget) = (search.discovery.clone(), search.budget.clone());
        search.find(REFUSED);
        assert_ne!(search.budget, budget, "believed at first");
        for _ in 0..OUTAGE_PROBES {
            search.find(REFUSED);
        }
        search.find(Finding::Back);
        assert_eq!(search.budget, budget);
        assert!(search.discovery.after_outage);
        let after = &search.discovery;
        assert_eq!(
            (after.stage, after.borne, after.refused, after.refusals),
            (before.stage, before.borne, before.refused, before.refusals)
        );
        assert_eq!(
            (after.in_flight_borne, after.in_flight_refused),
            (before.in_flight_borne, before.in_flight_refused)
        );
        // Soon after one, a refusal is believed for good.
        search.find(REFUSED);
        for _ in 0..OUTAGE_PROBES {
            search.find(REFUSED);
        }
        search.find(Finding::Back);
        assert_ne!(search.budget, budget);
    }
}

#[test]
fn a_probe_or_two_that_fail_during_the_search_may_be_the_rate() {
    let mut search = Search::unknown();
    let rate = search.rate();
    search.find(REFUSED);
    search.find(REFUSED);
    search.find(REFUSED);
    search.find(Finding::Back);
    assert!(search.rate() < rate);
}

#[test]
fn a_ca_that_cannot_be_reached_lowers_nothing_at_any_stage() {
    for mut search in [Search::unknown(), Search::given(10.0)] {
        let before = search.budget.clone();
        search.find(Finding::Lost(Cause::Refused));
        search.find(Finding::Lost(Cause::TimedOut));
        let outage = search.discovery.outage.clone().unwrap();
        assert_eq!((outage.cause, outage.failed_probes), (Cause::TimedOut, 1));
        search.find(Finding::Back);
        assert_eq!(search.budget, before);
    }
}

#[test]
fn a_refusal_at_the_slowest_rate_is_an_outage() {
    let mut search = Search::unknown();
    search.discovery.stage = Stage::Bisecting;
    search.budget.requests_per_second = SLOWEST;
    search.refuse();
    assert_eq!(search.rate(), SLOWEST);
    assert_eq!(search.discovery.refusals, 0);
}

#[test]
fn a_good_try_doubles_the_step_and_a_refused_one_the_wait() {
    let mut search = Search::given(100.0);
    search.budget.requests_per_second = 10.0;
    let none = Evidence::default();
    for (rate, next) in [(10.5, 5), (11.55, 5), (13.86, 5)] {
        assert!(search.learn(&none, true));
        assert_eq!((search.rate(), search.discovery.stage), (rate, Stage::Trying));
        search.bear(1000);
        assert_eq!(search.discovery.stage, Stage::Holding);
        assert_eq!(search.discovery.next_try, Duration::from_secs(next * 60));
    }
    for hours in [2, 4, 8, 16, 24, 24] {
        assert!(search.learn(&none, true));
        search.refuse();
        assert_eq!((search.rate(), search.discovery.stage), (13.86, Stage::Holding));
        assert_eq!(search.discovery.next_try, Duration::from_secs(hours * 3600));
    }
}

#[test]
fn a_rate_that_fell_deep_is_looked_for_again_after_a_minute() {
    let mut search = Search::given(20.0);
    for rate in [19.0, 9.5, 4.75, 2.375, 1.188, 0.594] {
        search.refuse();
        assert_eq!(search.rate(), rate);
    }
    search.run(1.0);
    assert_eq!(search.discovery.next_try, FIRST_CLIMB);
    let held = search.rate();
    assert!(search.learn(&Evidence::default(), true));
    assert_eq!(
        (search.rate(), search.discovery.stage),
        (readable(2.0 * held), Stage::Doubling)
    );
    let before = search.discovery.throttles;
    assert_eq!(search.run(1000.0), before);
    assert_eq!(search.rate(), 20.0);
    assert_eq!(search.discovery.next_try, FIRST_TRY);
    assert_eq!(search.discovery.fell_from, None);
}

#[test]
fn a_ca_that_became_much_slower_is_believed_at_last() {
    let mut search = Search::given(20.0);
    search.refuse();
    search.run(2.0);
    for minutes in [1, 10] {
        assert_eq!(search.discovery.next_try, Duration::from_secs(minutes * 60));
        assert!(search.learn(&Evidence::default(), true));
        let before = search.discovery.throttles;
        assert_eq!(search.run(2.0) - before, 1, "what is known is not asked again");
        assert!((1.9..=2.0).contains(&search.rate()), "{}", search.rate());
    }
    assert_eq!(search.discovery.next_try, FIRST_TRY);
    assert!(search.learn(&Evidence::default(), true));
    assert_eq!(search.discovery.stage, Stage::Trying, "a little more, as ever");
}

#[test]
fn a_rate_that_fell_little_is_left_alone_for_an_hour() {
    let mut search = Search::given(20.0);
    search.refuse();
    search.run(6.0);
    assert_eq!(search.discovery.next_try, FIRST_TRY);
    assert!(search.learn(&Evidence::default(), true));
    assert_eq!(search.discovery.stage, Stage::Trying);
    search.refuse();
    assert_eq!(
        search.discovery.fell_from, None,
        "more was refused: it is believed"
    );
}

#[test]
fn many_small_falls_are_a_deep_one() {
    let mut search = Search::given(20.0);
    while search.rate() > 4.9 {
        search.refuse();
        search.bear(1000);
        search.bear(1000);
        assert_eq!(search.discovery.stage, Stage::Holding);
    }
    assert_eq!(search.discovery.next_try, FIRST_CLIMB);
    assert!(search.learn(&Evidence::default(), true));
    let before = search.discovery.throttles;
    assert_eq!(search.run(1000.0), before);
    assert_eq!((search.rate(), search.discovery.fell_from), (20.0, None));
}

#[test]
fn a_ceiling_is_never_exceeded_and_needs_no_tries() {
    let mut search = Search::given(10.0);
    assert!(!search.discovery.may_try(&search.budget));
    search.refuse();
    search.run(1e6);
    while search.discovery.may_try(&search.budget) {
        search.learn(&Evidence::default(), true);
        search.bear(10_000);
    }
    assert_eq!(search.rate(), 10.0);
}

#[test]
fn more_in_flight_is_tried_when_it_holds_sending_back_and_a_refusal_takes_only_that_back() {
    let mut search = Search::unknown();
    let crowded = |search: &mut Search| {
        let evidence = Evidence {
            crowded: CROWDED,
            ..Evidence::about(search.epoch)
        };
        search.learn(&evidence, false)
    };
    assert!(crowded(&mut search));
    assert_eq!((search.budget.max_in_flight, search.rate()), (2, 1.0));
    assert!(crowded(&mut search), "two are borne");
    assert!(crowded(&mut search));
    assert_eq!(search.budget.max_in_flight, 4);
    search.refuse();
    assert_eq!((search.budget.max_in_flight, search.rate()), (2, 1.0));
    assert!(!crowded(&mut search), "four were refused");
}

#[test]
fn at_the_ceiling_more_in_flight_is_tried_again_ever_more_rarely() {
    let mut search = Search::of(&Budget::new(10.0, 5, 8), Source::Published);
    assert_eq!(search.budget.max_in_flight, 1);
    let crowded = |search: &mut Search| {
        let evidence = Evidence {
            crowded: CROWDED,
            ..Evidence::about(search.epoch)
        };
        search.learn(&evidence, false)
    };
    for hours in [2, 4, 8] {
        assert!(crowded(&mut search));
        assert_eq!(search.budget.max_in_flight, 2);
        search.refuse();
        assert_eq!((search.budget.max_in_flight, search.rate()), (1, 10.0));
        assert_eq!(search.discovery.next_try, Duration::from_secs(hours * 3600));
        assert!(!crowded(&mut search), "not before the next try");
        assert!(search.discovery.may_try(&search.budget));
        assert!(search.learn(&Evidence::about(search.epoch), true));
        assert!(
            !search.discovery.may_try(&search.budget),
            "it is to be needed first"
        );
    }
    assert!(crowded(&mut search));
    assert!(crowded(&mut search), "two are borne now");
    assert!(crowded(&mut search));
    assert_eq!(search.budget.max_in_flight, 4);
}

#[test]
fn a_try_of_a_rate_that_holds_nothing_back_becomes_one_of_more_in_flight() {
    let mut search = Search::given(100.0);
    search.budget.requests_per_second = 10.0;
    search.budget.max_in_flight = 2;
    search.discovery.in_flight_refused = Some(4);
    let crowded = |search: &mut Search| {
        let evidence = Evidence {
            crowded: CROWDED,
            ..Evidence::about(search.epoch)
        };
        search.learn(&evidence, false)
    };
    assert!(!crowded(&mut search), "not before a try is due");
    assert!(search.learn(&Evidence::about(search.epoch), true));
    assert_eq!(search.discovery.stage, Stage::Trying);
    assert!(crowded(&mut search));
    assert_eq!((search.rate(), search.discovery.stage), (10.0, Stage::Holding));
    assert!(crowded(&mut search));
    assert_eq!(search.budget.max_in_flight, 4);
}

#[test]
fn more_in_flight_that_was_refused_during_the_search_is_tried_again_too() {
    let mut search = Search::unknown();
    search.discovery.in_flight_refused = Some(2);
    assert!(search.discovery.may_try(&search.budget));
    assert!(search.learn(&Evidence::about(search.epoch), true));
    assert_eq!(search.discovery.in_flight_refused, None);
    assert_eq!((search.rate(), search.discovery.stage), (1.0, Stage::Doubling));
}

#[test]
fn the_pair_says_whether_there_is_a_burst_and_lowers_no_rate() {
    let mut search = Search::of(&Budget::unknown_ca(), Source::Discovered);
    search.find(Finding::Pair(false));
    assert_eq!((search.budget.burst, search.rate()), (0, 1.0));
    assert!(search.discovery.outage.is_some(), "a probe follows");
    assert_eq!(Search::unknown().budget.burst, 1);
}
