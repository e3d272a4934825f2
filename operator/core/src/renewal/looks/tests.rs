use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::response::Response;

const DAY: i64 = 24 * 60 * 60;
/// 6 and 398 days.
const LIFETIMES: [i64; 2] = [6 * DAY, 398 * DAY];

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn seconds(seconds: i64) -> SignedDuration {
    SignedDuration::from_secs(seconds)
}

fn shards(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|i| format!("shop/web-{i}"))
}

fn answer(status: u16, retry_after: Option<&str>) -> Reply {
    let window = json!({ "start": "2026-11-24T06:00:00Z", "end": "2026-11-25T06:00:00Z" });
    Reply::Response(Response {
        status,
        retry_after: retry_after.map(str::to_owned),
        body: json!({ "suggestedWindow": window }).to_string().into(),
        ..Response::default()
    })
}

fn new() -> Suggestion {
    Suggestion::none_yet(at(0), seconds(90 * DAY), "x")
}

/// How long after `now`, in seconds.
fn wait(heard: &Suggestion, now: i64) -> i64 {
    heard.next_look.duration_since(at(now)).as_secs()
}

#[test]
fn a_new_certificate_is_asked_about_after_six_to_twelve_hours_a_short_one_sooner() {
    for shard in shards(50) {
        for lifetime in LIFETIMES {
            let first = first_look(seconds(lifetime), &shard).as_secs();
            assert!((6 * 3600..12 * 3600).contains(&first), "{first}");
        }
        let first = first_look(seconds(20 * 60), &shard).as_secs();
        assert!((60..120).contains(&first), "{first}");
        let first = first_look(seconds(DAY), &shard).as_secs();
        assert!((3600..7200).contains(&first), "{first}");
    }
}

#[test]
fn the_cas_retry_after_is_kept_within_a_minute_and_a_day() {
    for (retry_after, least) in [
        (None, 6 * 3600),
        (Some("21600"), 6 * 3600),
        (Some("0"), 60),
        (Some("59"), 60),
        (Some("7200"), 7200),
        (Some("999999999"), DAY),
        (Some("soon"), 6 * 3600),
    ] {
        let heard = heard(&new(), &answer(200, retry_after), at(1000), "x");
        let wait = wait(&heard, 1000);
        assert!(
            (least..=least + least / 10).contains(&wait),
            "{retry_after:?}: {wait}"
        );
        assert!(heard.info.is_some());
        assert_eq!((heard.failures, heard.error), (0, None));
    }
}

#[test]
fn where_no_answer_comes_the_last_one_counts_until_the_tries_are_used_up() {
    let known = heard(&new(), &answer(200, None), at(0), "x");
    for reply in [Reply::Lost, Reply::NotSent, answer(503, None), answer(500, None)] {
        let mut last = known.clone();
        let mut waits = Vec::new();
        for _ in 0..TRIES {
            last = heard(&last, &reply, at(0), "x");
            assert_eq!(last.info, known.info);
            assert!(last.error.is_some());
            waits.push(wait(&last, 0) / 60);
        }
        let doubled = waits.iter().zip([1, 2, 4, 8, 16]);
        assert!(
            doubled
                .into_iter()
                .all(|(wait, base)| (base..=base * 6 / 5).contains(wait)),
            "{waits:?}"
        );
        let given_up = heard(&last, &reply, at(0), "x");
        assert_eq!(given_up.info, None);
        assert!(wait(&given_up, 0) >= 6 * 3600);
        let recovered = heard(&given_up, &answer(200, None), at(0), "x");
        assert_eq!((recovered.info, recovered.failures), (known.info.clone(), 0));
    }
}

#[test]
fn a_throttle_is_waited_out() {
    let heard = heard(&new(), &answer(429, Some("7200")), at(0), "x");
    assert_eq!(wait(&heard, 0), 7200);
}

#[test]
fn an_answer_that_is_of_no_use_leaves_the_usual_rule_and_is_not_repeated_soon() {
    let known = heard(&new(), &answer(200, None), at(0), "x");
    let backwards = Reply::Response(Response {
        status: 200,
        retry_after: Some("60".to_owned()),
        body: r#"{"suggestedWindow":{"start":"2026-11-25T06:00:00Z","end":"2026-11-24T06:00:00Z"}}"#.into(),
        ..Response::default()
    });
    let unreadable = Reply::Response(Response {
        status: 200,
        body: "<title>Oops</title>".into(),
        ..Response::default()
    });
    for reply in [answer(404, None), answer(301, None), backwards, unreadable] {
        let heard = heard(&known, &reply, at(0), "x");
        assert_eq!(heard.info, None);
        assert!(heard.error.is_some());
        assert!(wait(&heard, 0) >= 6 * 3600);
    }
}

#[test]
fn a_look_is_made_when_it_is_planned_and_somewhat_late_if_need_be() {
    let planned = at(100_000);
    for now in [20_000, 100_000, 100_000 + 1800] {
        assert_eq!(look_time(planned, at(now), "x"), planned);
    }
}

#[test]
fn looks_that_a_jump_of_the_clock_made_late_are_spread_again() {
    let now = at(40 * DAY);
    let shards: Vec<_> = shards(10_000).collect();
    let due: Vec<_> = shards
        .iter()
        .enumerate()
        // Planned over six hours, as they are where nothing has jumped, a day ago or 300 days ahead.
        .map(|(i, shard)| {
            let planned = if i % 2 == 0 { 39 * DAY } else { 340 * DAY } + i as i64 * 2;
            look_time(at(planned), now, shard)
        })
        .collect();
    let at_once = due.iter().filter(|due| **due <= now).count();
    assert!((700..1000).contains(&at_once), "{at_once} at once");
    // One at a second, by and large, over the six hours.
    let moments: BTreeSet<_> = due.iter().collect();
    assert!(moments.len() > 7000, "{}", moments.len());
    assert!(due.iter().all(|due| *due <= now + INTERVAL));
}

#[test]
fn ten_thousand_certificates_of_one_night_are_asked_about_over_six_hours() {
    for lifetime in LIFETIMES {
        let mut hours = [0; 12];
        for shard in shards(10_000) {
            let first = first_look(seconds(lifetime), &shard).as_secs();
            hours[usize::try_from(first / 3600).unwrap()] += 1;
        }
        assert_eq!(hours[..6], [0; 6]);
        assert!(
            hours[6..].iter().all(|count| (1500..1850).contains(count)),
            "{hours:?}"
        );
    }
}

proptest! {
    #[test]
    fn the_next_look_is_a_minute_to_a_day_and_a_tenth_away(
        now in 0i64..4_000_000_000, status in 100u16..600, retry_after in proptest::option::of("[0-9]{1,12}|.{0,12}"),
        failures: u32, lost: bool, seed in ".{0,8}",
    ) {
        let last = Suggestion { failures, ..new() };
        let reply = if lost { Reply::Lost } else { answer(status, retry_after.as_deref()) };
        let heard = heard(&last, &reply, at(now), &seed);
        let wait = wait(&heard, now);
        prop_assert!((60..=DAY + DAY / 10).contains(&wait), "{}", wait);
        // And it is made then.
        prop_assert_eq!(look_time(heard.next_look, at(now), &seed), heard.next_look);
    }

    #[test]
    fn a_look_never_waits_longer_than_the_longest_answer_and_is_due_when_its_time_comes(
        planned in 0i64..4_000_000_000, now in 0i64..4_000_000_000, seed in ".{0,8}",
    ) {
        let due = look_time(at(planned), at(now), &seed);
        prop_assert!(due > at(now) - PATIENCE - seconds(1));
        prop_assert!(due <= at(now) + seconds(DAY + DAY / 10));
        if due > at(now) {
            prop_assert!(look_time(at(planned), due, &seed) <= due);
        }
    }

    #[test]
    fn a_first_look_leaves_most_of_the_lifetime(days in 1i64..=398, seed in ".{0,8}") {
        let lifetime = seconds(days * DAY);
        let first = first_look(lifetime, &seed);
        prop_assert!(first >= lifetime.min(seconds(6 * DAY)) / 24 && first <= lifetime / 12);
    }
}
