//! The protocol checked by search: every order of events, within bounds, for two or three real limiters.
//!
//! The limiters are the real ones, with durations of a few ticks. The model adds what surrounds them: one
//! Lease, messages that come late or never, clocks that run apart, processes that stop, die and restart. In
//! fair weather a message arrives before the next tick; each fault lets one thing go wrong, and a scenario
//! says how many faults there may be. Then each [`Rule`](crate::rules::Rule) is taken away in turn, and the
//! search must find what goes wrong without it.
//!
//! `SANCHO_MODEL=long` searches with three replicas, later ticks and more faults, for as long as that takes.

mod process;
mod world;

use std::time::Instant;

use stateright::{Checker, HasDiscoveries, Model, Property};

use self::world::{Scenario, Start, Step, World};
use crate::rules::Rule;

impl Model for Scenario {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        vec![World::new(self)]
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        world.steps(self, steps);
    }

    fn next_state(&self, world: &World, step: Step) -> Option<World> {
        let mut next = world.clone();
        next.take(self, step);
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("I3: nobody holds another's slot", |_, world: &World| {
                world.slots_are_held_once()
            }),
            Property::always(
                "I2: no more in flight than allowed",
                |scenario: &Scenario, world: &World| world.in_flight() <= scenario.most_in_flight(),
            ),
            Property::always(
                "I1: the slots' rates add up to no more than the budget",
                |scenario: &Scenario, world: &World| world.rate() <= scenario.rate(),
            ),
            Property::always("I1: two requests are a spacing apart", |_, world: &World| {
                !world.has_broken_spacing
            }),
            Property::always(
                "I4: nothing leaves on a slot that has expired",
                |_, world: &World| world.expired_slots_rest(),
            ),
            Property::always("I6: refusals from one epoch count once", |_, world: &World| {
                world.refusals_count_once()
            }),
            Property::always("I6: one probe at a time", |_, world: &World| {
                world.most_probes() <= 1
            }),
            Property::always("I6: nothing is sent in a pause", |_, world: &World| {
                world.pauses_are_kept()
            }),
            Property::always(
                "I8: somebody sends before long",
                |scenario: &Scenario, world: &World| world.hungry_for <= scenario.most_hungry(),
            ),
            Property::sometimes("every replica has sent", |_, world: &World| world.all_have_sent()),
        ]
    }
}

/// A search of `ticks` with one fault, or a long one.
fn scenario(start: Start, slots: u32, ticks: u32) -> Scenario {
    let is_long = std::env::var("SANCHO_MODEL").is_ok_and(|value| value == "long");
    let (replicas, ticks, faults) = if is_long { (3, ticks + 4, 2) } else { (2, ticks, 1) };
    Scenario {
        start,
        replicas,
        slots,
        ticks,
        faults,
        requests: 1,
        broken: None,
    }
}

/// Two slots at a CA that refuses two requests.
fn refused() -> Scenario {
    scenario(Start::Refused, 2, 2)
}

fn hold(scenario: Scenario) {
    let name = format!("{scenario:?}");
    #[expect(clippy::disallowed_methods, reason = "how long the search took")]
    let start = Instant::now();
    let checker = scenario.checker().spawn_bfs().join();
    println!(
        "{} states in {:?}: {name}",
        checker.unique_state_count(),
        start.elapsed()
    );
    checker.assert_properties();
}

/// Without `rule` the search finds what goes wrong, at the earliest moment possible.
fn is_caught(rule: Rule, scenario: Scenario) {
    let scenario = Scenario {
        broken: Some(rule),
        ..scenario
    };
    let checker = scenario
        .checker()
        .finish_when(HasDiscoveries::AnyFailures)
        .spawn_bfs()
        .join();
    let found = checker.discoveries();
    let Some((property, path)) = found.into_iter().find(|(name, _)| name.starts_with('I')) else {
        panic!("nothing goes wrong without {rule:?}");
    };
    println!(
        "without {rule:?}: {property} fails after {:?}",
        path.into_actions()
    );
}

#[test]
fn one_slot_is_never_held_twice() {
    hold(scenario(Start::Free, 1, 6));
}

#[test]
fn two_slots_are_never_held_twice() {
    hold(scenario(Start::Free, 2, 3));
}

#[test]
fn a_lease_that_does_not_exist_yet_is_never_taken_for_free() {
    hold(scenario(Start::Absent, 1, 7));
}

#[test]
fn a_table_that_grows_never_adds_to_the_rate() {
    hold(scenario(Start::Grows, 2, 3));
}

#[test]
fn a_table_that_shrinks_never_adds_to_the_rate() {
    hold(scenario(Start::Shrinks, 2, 3));
}

#[test]
fn a_slot_that_changes_hands_keeps_its_spacing() {
    hold(scenario(Start::Slow, 1, 10));
}

#[test]
fn whatever_goes_wrong_somebody_sends_before_long() {
    hold(scenario(Start::Free, 1, 9));
}

#[test]
fn a_refusal_counts_once_and_is_followed_by_one_probe() {
    hold(refused());
}

#[test]
fn without_a_look_at_the_epoch_one_mistake_counts_twice() {
    is_caught(Rule::CountOncePerEpoch, refused());
}

#[test]
fn without_the_rule_of_one_probe_every_slot_sends_one() {
    is_caught(Rule::OneProbe, refused());
}

#[test]
fn a_pause_that_only_one_replica_keeps_is_broken_by_another() {
    is_caught(Rule::PauseAll, refused());
}

#[test]
fn without_expiry_by_its_own_clock_a_holder_meets_its_successor() {
    is_caught(Rule::ExpireByOwnClock, scenario(Start::Free, 1, 6));
}

#[test]
fn validity_from_the_answer_outlasts_the_takeover_time() {
    is_caught(Rule::ValidFromStart, scenario(Start::Free, 1, 6));
}

#[test]
fn a_takeover_before_the_validity_ends_makes_two_holders() {
    is_caught(Rule::TakeOverAfterValidity, scenario(Start::Free, 1, 6));
}

#[test]
fn a_write_without_compare_and_swap_takes_what_another_took() {
    is_caught(Rule::CompareAndSwap, scenario(Start::Free, 1, 6));
}

#[test]
fn a_slot_used_until_its_release_is_acknowledged_is_held_twice() {
    is_caught(Rule::ShrinkBeforeWrite, scenario(Start::Free, 1, 6));
}

#[test]
fn a_slot_used_before_its_write_is_acknowledged_is_held_twice() {
    is_caught(Rule::GrowAfterAcknowledgement, scenario(Start::Free, 1, 6));
}

#[test]
fn a_slot_released_with_a_request_unanswered_adds_to_those_in_flight() {
    is_caught(Rule::ReleaseOnlyAnswered, scenario(Start::Free, 1, 6));
}

#[test]
fn a_new_table_without_doubt_is_taken_from_under_a_holder() {
    is_caught(Rule::DoubtNewTable, scenario(Start::Free, 1, 6));
}

#[test]
fn a_new_slot_taken_before_all_know_of_it_adds_to_the_rate() {
    is_caught(Rule::WaitForEpoch, scenario(Start::Grows, 2, 3));
}

#[test]
fn a_table_that_loses_a_row_under_its_holder_adds_to_the_rate() {
    is_caught(Rule::ShrinkByFreeRows, scenario(Start::Shrinks, 2, 3));
}

#[test]
fn a_full_bucket_after_a_takeover_breaks_the_spacing() {
    is_caught(Rule::EmptyAfterTakeover, scenario(Start::Slow, 1, 6));
}

#[test]
fn a_released_slot_that_forgets_its_wait_breaks_the_spacing() {
    is_caught(Rule::CarryWait, scenario(Start::Slow, 1, 6));
}

#[test]
fn a_dead_holder_that_nobody_takes_over_from_stops_everything() {
    is_caught(Rule::TakeOverTheDead, scenario(Start::Free, 1, 9));
}
