//! What a CA suggests for a renewal as a shard's status holds it, and back.

use jiff::Timestamp;
use sancho_core::renewal::{RenewalInfo, Suggestion, Window};
use sancho_crds::{RenewalInfoStatus, SuggestedWindow};

use crate::clock;

/// What is recorded of a suggestion. `seed` chooses the moment in its window.
#[must_use]
pub fn to_status(suggestion: &Suggestion, seed: &str) -> RenewalInfoStatus {
    let Suggestion {
        info,
        next_look,
        failures,
        error,
    } = suggestion.clone();
    let (window, explanation_url) = match info {
        Some(RenewalInfo { window, explanation }) => (Some(window), explanation),
        None => (None, None),
    };
    RenewalInfoStatus {
        suggested_window: window.map(|window| SuggestedWindow {
            start: clock::time(whole_second_before(window.start())),
            end: clock::time(clock::whole_second_after(window.end())),
        }),
        chosen_time: window.map(|window| clock::time(window.moment(seed))),
        explanation_url,
        next_look: clock::time(clock::whole_second_after(next_look)),
        failures: (failures > 0).then_some(failures),
        error,
    }
}

/// What a record says. A window that somebody else has spoilt counts as none.
#[must_use]
pub fn from_status(status: &RenewalInfoStatus) -> Suggestion {
    let RenewalInfoStatus {
        suggested_window,
        chosen_time: _,
        explanation_url,
        next_look,
        failures,
        error,
    } = status.clone();
    let window = suggested_window.and_then(|window| Window::new(window.start.0, window.end.0));
    Suggestion {
        info: window.map(|window| RenewalInfo {
            window,
            explanation: explanation_url,
        }),
        next_look: next_look.0,
        failures: failures.unwrap_or_default(),
        error,
    }
}

fn whole_second_before(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_millisecond().div_euclid(1000)).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millisecond: i64) -> Timestamp {
        Timestamp::from_millisecond(millisecond).unwrap()
    }

    fn suggestion(start: i64, end: i64) -> Suggestion {
        Suggestion {
            info: Some(RenewalInfo {
                window: Window::new(at(start), at(end)).unwrap(),
                explanation: Some("https://ca.example/why".into()),
            }),
            next_look: at(60_000),
            failures: 2,
            error: Some("no answer".into()),
        }
    }

    #[test]
    fn a_recorded_suggestion_is_the_suggestion() {
        let suggestion = suggestion(10_000, 20_000);
        let status = to_status(&suggestion, "x");
        assert_eq!(from_status(&status), suggestion);
        let moment = suggestion.info.unwrap().window.moment("x");
        assert_eq!(status.chosen_time, Some(clock::time(moment)));
    }

    #[test]
    fn a_window_of_less_than_a_second_stays_one() {
        let status = to_status(&suggestion(10_200, 10_300), "x");
        let window = from_status(&status).info.unwrap().window;
        assert_eq!((window.start(), window.end()), (at(10_000), at(11_000)));
    }

    #[test]
    fn nothing_known_is_nothing_recorded() {
        let none = Suggestion {
            info: None,
            failures: 0,
            error: None,
            ..suggestion(0, 1)
        };
        let status = to_status(&none, "x");
        assert_eq!((&status.suggested_window, &status.chosen_time), (&None, &None));
        assert_eq!(status.failures, None);
        assert_eq!(from_status(&status), none);
    }
}
