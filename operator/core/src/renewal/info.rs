//! What a CA suggests for the renewal of a certificate: its RenewalInfo object (RFC 9773 §4.2).

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use super::fraction;
use crate::response::{NotJson, Response};
use crate::shown::shown_within;

/// The most characters of an explanation's URL.
const URL_MAX: usize = 512;

/// The time in which the CA suggests to renew: it begins before it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    start: Timestamp,
    end: Timestamp,
}

/// A CA's suggestion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenewalInfo {
    /// When to renew.
    pub window: Window,
    /// A page that says why, bounded and escaped.
    pub explanation: Option<String>,
}

/// Why an answer is no suggestion. Fit to be shown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// It is an error.
    #[error("{0}")]
    Refused(String),
    /// The body is none.
    #[error(transparent)]
    NotJson(#[from] NotJson),
    /// The window's times are none.
    #[error("the CA's suggestedWindow has a time that cannot be read")]
    Time,
    /// The window ends before it begins; such an answer counts as none (RFC 9773 §4.2).
    #[error("the CA's suggestedWindow ends at {end}, and begins at {start}")]
    Window {
        /// Where it begins.
        start: Timestamp,
        /// Where it ends.
        end: Timestamp,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    suggested_window: Times,
    #[serde(default, rename = "explanationURL")]
    explanation_url: serde_json::Value,
}

#[derive(Deserialize)]
struct Times {
    start: String,
    end: String,
}

impl Window {
    /// The window between two moments; none if the second does not come after the first.
    pub fn new(start: Timestamp, end: Timestamp) -> Option<Self> {
        (start < end).then_some(Self { start, end })
    }

    /// Where it begins.
    pub fn start(&self) -> Timestamp {
        self.start
    }

    /// Where it ends.
    pub fn end(&self) -> Timestamp {
        self.end
    }

    /// The moment in it at which to renew, evenly spread over the window by `seed` (RFC 9773 §4.2):
    /// the same for the same seed and window. In whole seconds, rounded down.
    pub fn moment(&self, seed: &str) -> Timestamp {
        let (start, end) = (self.start.to_string(), self.end.to_string());
        let length = self.end.duration_since(self.start).as_millis() as f64;
        let into = SignedDuration::from_millis((length * fraction(&["window", seed, &start, &end])) as i64);
        let moment = self.start.saturating_add(into).unwrap_or(self.start);
        Timestamp::from_second(moment.as_millisecond().div_euclid(1000)).unwrap_or(moment)
    }
}

impl RenewalInfo {
    /// Reads the answer to a request for it.
    ///
    /// # Errors
    /// [`Unusable`] says why it is none.
    pub fn read(response: &Response) -> Result<Self, Unusable> {
        if !response.is_success() {
            return Err(Unusable::Refused(response.problem().message()));
        }
        let Document {
            suggested_window: Times { start, end },
            explanation_url,
        } = response.json()?;
        let time = |text: &str| text.parse::<Timestamp>().map_err(|_| Unusable::Time);
        let (start, end) = (time(&start)?, time(&end)?);
        let window = Window::new(start, end).ok_or(Unusable::Window { start, end })?;
        // For people to click on: no other scheme.
        let explanation = explanation_url
            .as_str()
            .filter(|url| url.starts_with("https://") || url.starts_with("http://"))
            .map(|url| shown_within(url, URL_MAX));
        Ok(Self { window, explanation })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn read(body: &str) -> Result<RenewalInfo, Unusable> {
        RenewalInfo::read(&Response {
            status: 200,
            body: body.into(),
            ..Response::default()
        })
    }

    fn window(start: &str, end: &str) -> String {
        json!({ "suggestedWindow": { "start": start, "end": end } }).to_string()
    }

    #[test]
    fn a_suggestion_is_read_with_its_explanation() {
        let body = json!({
            "suggestedWindow": { "start": "2025-01-02T04:00:00Z", "end": "2025-01-03T05:00:00.5+01:00" },
            "explanationURL": "https://ca.example/incident\u{202e}",
        });
        let info = read(&body.to_string()).unwrap();
        assert_eq!(info.window.start(), "2025-01-02T04:00:00Z".parse().unwrap());
        assert_eq!(info.window.end(), "2025-01-03T04:00:00.5Z".parse().unwrap());
        assert_eq!(
            info.explanation.as_deref(),
            Some("https://ca.example/incident\\u{202e}")
        );
    }

    #[test]
    fn an_explanation_that_is_no_web_page_is_left_out_and_a_long_one_is_cut() {
        let explained = |url: serde_json::Value| {
            let mut body: serde_json::Value =
                serde_json::from_str(&window("2025-01-02T04:00:00Z", "2025-01-03T04:00:00Z")).unwrap();
            body["explanationURL"] = url;
            read(&body.to_string()).unwrap().explanation
        };
        assert_eq!(explained(json!("javascript:alert(1)")), None);
        assert_eq!(explained(json!(7)), None);
        assert_eq!(explained(json!(null)), None);
        let long = explained(json!(format!("https://ca.example/{}", "x".repeat(5000)))).unwrap();
        assert_eq!(long.chars().count(), URL_MAX);
    }

    #[test]
    fn a_window_that_does_not_end_after_it_begins_is_refused() {
        for (start, end) in [
            ("2025-01-03T04:00:00Z", "2025-01-02T04:00:00Z"),
            ("2025-01-03T04:00:00Z", "2025-01-03T04:00:00Z"),
        ] {
            let error = read(&window(start, end)).unwrap_err();
            assert!(matches!(error, Unusable::Window { .. }), "{error}");
        }
    }

    #[test]
    fn what_is_no_suggestion_says_why() {
        assert_eq!(read(&window("soon", "2025-01-03T04:00:00Z")), Err(Unusable::Time));
        assert!(matches!(read("{}"), Err(Unusable::NotJson(_))));
        assert!(matches!(read("<title>Oops</title>"), Err(Unusable::NotJson(_))));
        let refused = RenewalInfo::read(&Response {
            status: 404,
            body: r#"{"type":"urn:ietf:params:acme:error:malformed","detail":"no such serial"}"#.into(),
            ..Response::default()
        });
        assert_eq!(
            refused,
            Err(Unusable::Refused("malformed: no such serial".to_owned()))
        );
    }

    #[test]
    fn the_moment_is_stable_for_a_shard_and_window_and_spreads_many_evenly() {
        let window = Window::new(at(0), at(100_000)).unwrap();
        assert_eq!(window.moment("shop/web-0"), window.moment("shop/web-0"));
        let moments: Vec<i64> = (0..1000)
            .map(|i| window.moment(&format!("shop/web-{i}")).as_second())
            .collect();
        for tenth in 0..10 {
            let within = tenth * 10_000..(tenth + 1) * 10_000;
            let count = moments.iter().filter(|moment| within.contains(*moment)).count();
            assert!((60..=140).contains(&count), "{count} in {within:?}");
        }
        let moved = Window::new(at(1), at(100_000)).unwrap();
        assert_ne!(window.moment("shop/web-0"), moved.moment("shop/web-0"));
    }

    proptest! {
        #[test]
        fn the_moment_lies_in_the_window(start in -4_000_000_000i64..8_000_000_000, length in 1i64..400 * 86_400, seed in ".{0,8}") {
            let window = Window::new(at(start), at(start + length)).unwrap();
            let moment = window.moment(&seed);
            prop_assert!(window.start() <= moment && moment < window.end());
        }

        #[test]
        fn no_body_makes_the_reading_fail_otherwise(start in ".{0,24}", end in "[0-9TZ:.+-]{0,30}") {
            let _ = read(&window(&start, &end));
            let _ = read(&start);
        }
    }
}
