//! The budget in a sentence.

use std::fmt::Write as _;

use super::Record;
use crate::budget::{Budget, PerSecond, Source};
use crate::discovery::Stage;
use crate::endpoint::Endpoint;
use crate::limiter::pause::LONGEST;

/// A pause of so many seconds is worth a word.
const WORTH_SAYING: u64 = 60;

/// It changes when what is known does, and not with each request or probe: issuers repeat it in their status.
/// For example: `Discovered: 9.75 requests a second, burst 1, 1 in flight; held; 9.75 was borne, 10.2 refused`.
pub(super) fn of(record: &Record) -> String {
    let (budget, discovery) = (&record.budget, &record.discovery);
    let mut text = format!(
        "{:?}: {} requests a second, burst {}, {} in flight; ",
        record.source,
        PerSecond(budget.rate()),
        budget.burst,
        budget.max_in_flight
    );
    text.push_str(match discovery.stage {
        Stage::Pair => "does the CA bear two requests back to back?",
        Stage::Doubling => "the rate is doubled until it is refused",
        Stage::Bisecting => "between a rate borne and a rate refused",
        Stage::Holding => "held",
        Stage::Trying => "trying a little more than is known to be borne",
    });
    // Writing to a string does not fail.
    if let (Some(borne), Some(refused)) = (discovery.borne, discovery.refused) {
        let _ = write!(text, "; {borne} was borne, {refused} refused");
    }
    if let Some(ceiling) = &discovery.ceiling
        && !ceiling.same_figures(budget)
    {
        let whose = if record.source == Source::Given {
            "given"
        } else {
            "published"
        };
        let _ = write!(text, "; {whose}: {} requests a second", PerSecond(ceiling.rate()));
    }
    if let Some(from) = discovery.fell_from
        && discovery.ceiling.as_ref().map(Budget::rate) != Some(from.0)
    {
        let _ = write!(text, "; before refusals lowered it: {from} requests a second");
    }
    for endpoint in Endpoint::APART {
        if let Some(sub_rate) = budget.sub_rate(endpoint) {
            let _ = write!(
                text,
                "; {endpoint} alone: {} a second",
                sub_rate.requests_per_second
            );
        }
    }
    if let Some(throttle) = &discovery.last_throttle {
        let _ = write!(
            text,
            "; {} refusals counted, the last at {} a second in epoch {}",
            discovery.throttles, throttle.requests_per_second, throttle.epoch
        );
        if throttle.endpoint != Endpoint::Other {
            let _ = write!(text, ", of {}", throttle.endpoint);
        }
    }
    if let Some(outage) = &discovery.outage {
        let _ = write!(text, "; {}", outage.cause);
    }
    let asked = record.pause.as_ref().and_then(|pause| pause.asked_seconds);
    if let Some(asked) = asked.filter(|asked| *asked >= WORTH_SAYING) {
        let _ = write!(text, "; paused: the CA asks to be left alone for {asked} s");
        if asked > LONGEST.as_secs() {
            let _ = write!(text, ", but no longer than {} s", LONGEST.as_secs());
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::budget::{Budget, Source};
    use crate::discovery::{Cause, Evidence, Finding};
    use crate::durations::Durations;
    use crate::endpoint::Endpoint;
    use crate::record::{Pause, Record};

    #[test]
    fn a_long_pause_that_the_ca_asks_for_is_told_and_so_is_the_cap() {
        let budget = Budget::new(10.0, 5, 2);
        let mut record = Record::new("t".into(), budget, Source::Given, Durations::default());
        for (asked, words) in [
            (None, "held"),
            (Some(20), "held"),
            (Some(3600), "; paused: the CA asks to be left alone for 3600 s"),
            (Some(172_800), " for 172800 s, but no longer than 86400 s"),
        ] {
            record.pause = Some(Pause {
                serial: 1,
                remaining: Duration::from_secs(1),
                bare_throttles: 0,
                asked_seconds: asked,
                unknown: Default::default(),
            });
            assert!(record.summary().ends_with(words), "{}", record.summary());
        }
    }

    #[test]
    fn a_lowered_budget_says_what_was_given_and_what_went_wrong() {
        let budget = Budget::new(10.0, 5, 2);
        let mut record = Record::new("t".into(), budget, Source::Given, Durations::default());
        for finding in [
            Finding::Throttled {
                is_soon: false,
                endpoint: Endpoint::NewNonce,
            },
            Finding::Back,
            Finding::Lost(Cause::Reset),
        ] {
            let evidence = Evidence {
                finding: Some(finding),
                ..Evidence::about(record.epoch)
            };
            record
                .discovery
                .learn(&mut record.budget, &evidence, false, record.epoch);
        }
        assert_eq!(
            record.summary(),
            "Given: 9.5 requests a second, burst 5, 2 in flight; between a rate borne and a rate refused; \
             given: 10 requests a second; 1 refusals counted, the last at 10 a second in epoch 1, of newNonce; \
             connections to the CA break off"
        );
    }
}
