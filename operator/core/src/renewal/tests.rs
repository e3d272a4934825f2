use proptest::prelude::*;

use super::*;

const DAY: i64 = 24 * 60 * 60;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn seconds(text: &str) -> u64 {
    parse_go_duration(text).unwrap().as_secs()
}

#[test]
fn without_renew_before_two_thirds_of_the_lifetime_pass_less_the_jitter() {
    for lifetime in [360, 6 * DAY, 90 * DAY, 398 * DAY] {
        for seed in ["a", "b", "c"] {
            let time = renewal_time(at(0), at(lifetime), None, seed).as_second();
            assert!(time <= lifetime * 2 / 3, "{lifetime}: {time}");
            assert!(time >= lifetime * 63 / 100, "{lifetime}: {time}");
        }
    }
}

#[test]
fn renew_before_counts_from_the_expiry() {
    let time = renewal_time(at(0), at(90 * DAY), Some(Duration::from_secs(720 * 3600)), "x").as_second();
    assert!((57 * DAY..=60 * DAY).contains(&time), "{time}");
}

#[test]
fn a_renew_before_that_is_not_shorter_than_the_lifetime_is_not_heeded() {
    let without = renewal_time(at(0), at(360), None, "x");
    assert_eq!(
        renewal_time(at(0), at(360), Some(Duration::from_secs(720 * 3600)), "x"),
        without
    );
    assert_eq!(renewal_time(at(0), at(360), Some(Duration::MAX), "x"), without);
}

#[test]
fn the_jitter_is_stable_for_a_shard_and_spreads_many() {
    let times: std::collections::BTreeSet<_> = (0..200)
        .map(|i| renewal_time(at(0), at(90 * DAY), None, &format!("shop/web-{i}")))
        .collect();
    assert_eq!(times.len(), 200);
    assert_eq!(
        renewal_time(at(0), at(90 * DAY), None, "s"),
        renewal_time(at(0), at(90 * DAY), None, "s")
    );
}

#[test]
fn a_lifetime_of_nothing_is_due_at_its_end() {
    assert_eq!(renewal_time(at(10), at(10), None, "x"), at(10));
    assert_eq!(renewal_time(at(10), at(5), None, "x"), at(5));
}

#[test]
fn failures_wait_from_a_minute_to_a_day() {
    assert!((60..=72).contains(&backoff(1, "x").as_secs()));
    assert!((120..=144).contains(&backoff(2, "x").as_secs()));
    assert!((960..=1152).contains(&backoff(5, "x").as_secs()));
    // The jitter is there at the longest wait as well, and within it.
    for count in [12, 40, u32::MAX] {
        let wait = backoff(count, "x");
        assert!(wait >= BACKOFF_MAX * 5 / 6 && wait < BACKOFF_MAX, "{wait:?}");
    }
    assert_ne!(backoff(40, "x"), backoff(40, "y"));
    assert!((60..=72).contains(&backoff(0, "x").as_secs()));
    assert_ne!(backoff(3, "x"), backoff(3, "y"));
}

#[test]
fn retries_come_sooner_as_the_expiry_nears() {
    let wait = |count, left: Option<i64>| retry_time(at(0), count, left.map(at), "x").as_second();
    let within = |wait: i64, most: i64| assert!(wait >= most * 5 / 6 - 1 && wait <= most, "{wait} of {most}");
    within(wait(20, None), DAY);
    within(wait(20, Some(30 * DAY)), DAY);
    within(wait(20, Some(DAY)), DAY / 10);
    within(wait(20, Some(-1)), 3600);
    assert!((60..=72).contains(&wait(20, Some(120))));
    assert!((60..=72).contains(&wait(1, Some(-1))));
    let other = retry_time(at(0), 20, Some(at(DAY)), "y").as_second();
    assert_ne!(
        wait(20, Some(DAY)),
        other,
        "what fails together does not come back together"
    );
}

#[test]
fn a_name_that_a_look_alone_has_refused_is_looked_at_within_the_hour() {
    let wait = |count, left: Option<i64>| look_again_time(at(0), count, left.map(at), "x").as_second();
    assert!((60..=72).contains(&wait(1, None)));
    assert!((240..=288).contains(&wait(3, Some(90 * DAY))));
    for left in [None, Some(90 * DAY), Some(-1)] {
        assert!((3000..=3600).contains(&wait(30, left)), "{left:?}");
    }
    assert!((300..=360).contains(&wait(30, Some(3600))));
}

#[test]
fn a_ca_is_asked_about_a_refused_name_ever_sooner_before_the_expiry_and_not_too_often() {
    let end = 6 * 3600;
    let mut now = 0;
    let mut tries = Vec::new();
    while now < end {
        tries.push(end - now);
        now = ask_again_time(at(now), 20, Some(at(end)), "x").as_second();
    }
    let within = |most: i64| tries.iter().filter(|left| **left <= most).count();
    assert!(within(6 * 3600) - within(5 * 3600) <= 5, "{tries:?}");
    assert!(within(2 * 3600) - within(3600) <= 5, "{tries:?}");
    assert!((6..=10).contains(&within(3600)), "{tries:?}");
    assert!(tries.last().is_some_and(|left| *left <= 120), "{tries:?}");
    // Before there is a certificate, or long before its end, or after it, as usual.
    for left in [None, Some(at(90 * DAY)), Some(at(-1))] {
        assert_eq!(
            ask_again_time(at(0), 20, left, "x"),
            retry_time(at(0), 20, left, "x")
        );
    }
}

#[test]
fn what_stands_in_the_way_is_looked_at_after_seconds_and_at_last_every_ten_minutes() {
    let wait = |count| obstacle_time(at(0), count, "x").as_second();
    assert!((15..=18).contains(&wait(1)));
    assert!((30..=36).contains(&wait(2)));
    assert!((120..=144).contains(&wait(4)));
    assert!((500..=600).contains(&wait(7)));
    assert!((500..=600).contains(&wait(u32::MAX)));
}

#[test]
fn go_durations_are_read() {
    assert_eq!(seconds("720h"), 720 * 3600);
    assert_eq!(seconds("1h30m"), 5400);
    assert_eq!(seconds("1.5h"), 5400);
    assert_eq!(seconds(".5h"), 1800);
    assert_eq!(seconds("+5m10s"), 310);
    assert_eq!(seconds("2562047h47m16s"), 9_223_372_036);
    assert_eq!(
        parse_go_duration("1h1ms").unwrap(),
        Duration::from_millis(3_600_001)
    );
    assert_eq!(
        parse_go_duration("1µs1us1μs2ns").unwrap(),
        Duration::from_nanos(3002)
    );
}

#[test]
fn what_is_no_go_duration_says_how_to_mend_it() {
    for (text, words) in [
        ("", "is not a duration"),
        ("h", "is not a duration"),
        ("1.2.3h", "is not a duration"),
        ("720", "lacks a unit"),
        ("1h30", "lacks a unit"),
        ("30d", "a day is 24h"),
        ("1 h", "has the unit \"h\""),
        ("-5h", "not longer than zero"),
        ("0", "not longer than zero"),
        ("0s", "not longer than zero"),
        ("2562048h", "longer than a duration can be"),
        (
            "99999999999999999999999999999999999999999999h",
            "longer than a duration can be",
        ),
    ] {
        let error = parse_go_duration(text).unwrap_err().to_string();
        assert!(error.contains(words), "{text:?}: {error}");
    }
}

/// 6, 90 and 398 days.
const LIFETIMES: [i64; 3] = [6 * DAY, 90 * DAY, 398 * DAY];

#[test]
fn a_suggestion_counts_instead_of_two_thirds_whether_earlier_or_later() {
    for lifetime in LIFETIMES {
        for suggested in [0, lifetime / 10, lifetime * 3 / 4] {
            let time = suggested_renewal_time(at(0), at(lifetime), None, at(suggested), "x");
            assert_eq!(time, at(suggested));
        }
    }
}

#[test]
fn a_renew_before_that_is_given_can_be_brought_forward_and_not_put_off() {
    for lifetime in LIFETIMES {
        let before = Some(Duration::from_secs(lifetime as u64 / 2));
        let usual = renewal_time(at(0), at(lifetime), before, "x");
        let time = |suggested| suggested_renewal_time(at(0), at(lifetime), before, at(suggested), "x");
        assert_eq!(time(lifetime / 10), at(lifetime / 10));
        assert_eq!(time(lifetime * 3 / 4), usual);
    }
}

#[test]
fn a_ca_that_suggests_to_renew_after_the_expiry_is_not_obeyed() {
    for lifetime in LIFETIMES {
        for suggested in [lifetime - 1, lifetime, 1000 * DAY] {
            let time = suggested_renewal_time(at(0), at(lifetime), None, at(suggested), "x").as_second();
            assert!(time <= lifetime * 5 / 6 + 1, "{time} of {lifetime}");
            assert!(time >= lifetime * 8 / 10, "{time} of {lifetime}");
        }
    }
}

proptest! {
    #[test]
    fn a_suggested_renewal_comes_within_the_lifetime_too(
        start in 0i64..4_000_000_000, lifetime in 1i64..400 * DAY, ahead in proptest::option::of(0u64..500 * 86_400),
        suggested in -4_000_000_000i64..8_000_000_000, seed in ".{0,8}",
    ) {
        let ahead = ahead.map(Duration::from_secs);
        let (start, end) = (at(start), at(start + lifetime));
        let time = suggested_renewal_time(start, end, ahead, at(suggested), &seed);
        prop_assert!(time >= start && time < end);
        // Never later than without a suggestion, if that moment was asked for.
        if ahead.is_some() {
            prop_assert!(time <= renewal_time(start, end, ahead, &seed));
        }
    }

    #[test]
    fn a_renewal_always_comes_within_the_lifetime(
        start in 0i64..4_000_000_000, lifetime in 1i64..400 * DAY, ahead in proptest::option::of(0u64..500 * 86_400), seed in ".{0,8}",
    ) {
        let time = renewal_time(at(start), at(start + lifetime), ahead.map(Duration::from_secs), &seed);
        prop_assert!(time >= at(start) && time < at(start + lifetime));
    }

    #[test]
    fn a_retry_is_never_sooner_than_a_minute_nor_later_than_a_day(
        count: u32, left in proptest::option::of(-10 * DAY..400 * DAY), seed in ".{0,8}",
    ) {
        for again in [retry_time, look_again_time, ask_again_time] {
            let time = again(at(0), count, left.map(at), &seed);
            prop_assert!(time >= at(60) && time <= at(DAY));
        }
    }

    #[test]
    fn no_text_makes_the_parser_fail_otherwise(text in "[0-9.hmsnuµd +-]{0,12}|.{0,12}") {
        let _ = parse_go_duration(&text);
    }
}

#[test]
fn a_share_of_the_lifetime_is_renewed_when_it_is_all_that_is_left() {
    let days = |days: i64| Timestamp::from_second(days * 86_400).unwrap();
    let share = |percentage| share_of_lifetime(days(0), days(90), percentage);
    assert_eq!(share(25), Duration::from_secs(45 * 43_200));
    let renewal = renewal_time(days(0), days(90), Some(share(25)), "x");
    assert!(
        renewal.as_second() <= 135 * 43_200 && renewal > days(64),
        "{renewal}"
    );
    // One second of lifetime, and none.
    let second = |second| Timestamp::from_second(second).unwrap();
    assert_eq!(share_of_lifetime(second(0), second(1), 99), Duration::ZERO);
    assert_eq!(share_of_lifetime(second(1), second(0), 99), Duration::ZERO);
}
