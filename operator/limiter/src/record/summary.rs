//! The budget in a sentence.

use std::fmt::Write as _;

use super::Record;
use crate::budget::{PerSecond, Source};
use crate::discovery::Stage;

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
    if let Some(throttle) = &discovery.last_throttle {
        let _ = write!(
            text,
            "; {} refusals counted, the last at {} a second in epoch {}",
            discovery.throttles, throttle.requests_per_second, throttle.epoch
        );
    }
    if let Some(outage) = &discovery.outage {
        let _ = write!(text, "; {}", outage.cause);
    }
    text
}

#[cfg(test)]
mod tests {
    use crate::budget::{Budget, Source};
    use crate::discovery::{Cause, Evidence, Finding};
    use crate::durations::Durations;
    use crate::record::Record;

    #[test]
    fn a_lowered_budget_says_what_was_given_and_what_went_wrong() {
        let budget = Budget::new(10.0, 5, 2);
        let mut record = Record::new("t".into(), budget, Source::Given, Durations::default());
        for finding in [Finding::Throttled, Finding::Back, Finding::Lost(Cause::Reset)] {
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
             given: 10 requests a second; 1 refusals counted, the last at 10 a second in epoch 1; \
             connections to the CA break off"
        );
    }
}
