//! A budget in a sentence, for a status.

use std::fmt::Write;

use super::Record;
use crate::budget::{Budget, Source};

impl Record {
    /// The budget in a sentence: its figures, where they come from, and how far a search for them is.
    ///
    /// It says what all replicas know, and changes only when that does: not with each request.
    #[must_use]
    pub fn in_words(&self) -> String {
        let mut words = match self.source {
            Source::Given => format!("given: {}", figures(&self.budget)),
            Source::Published => format!("published by the CA: {}", figures(&self.budget)),
            Source::Discovered => format!("found out: {}", figures(&self.budget)),
        };
        let discovery = &self.discovery;
        if let Some(ceiling) = &discovery.ceiling
            && ceiling.rate() > self.budget.rate()
        {
            let _ = write!(
                words,
                "; lowered from {} requests a second, which the CA refused",
                number(ceiling.rate())
            );
        }
        if !discovery.is_settled() {
            words.push_str("; still searching");
        }
        if discovery.throttles > 0 {
            let times = if discovery.throttles == 1 { "time" } else { "times" };
            let _ = write!(words, "; refused {} {times} so far", discovery.throttles);
        }
        words
    }
}

fn figures(budget: &Budget) -> String {
    format!(
        "{} requests a second, burst {}, {} in flight",
        number(budget.rate()),
        budget.burst,
        budget.max_in_flight
    )
}

/// Two digits after the point, without zeros that say nothing.
fn number(figure: f64) -> String {
    let text = format!("{figure:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::durations::Durations;

    fn record(budget: Budget, source: Source) -> Record {
        Record::new("t".into(), budget, source, Durations::default())
    }

    #[test]
    fn a_given_budget_is_told_as_it_was_given() {
        let record = record(Budget::new(5.0, 0, 16), Source::Given);
        assert_eq!(
            record.in_words(),
            "given: 5 requests a second, burst 0, 16 in flight"
        );
    }

    #[test]
    fn a_search_tells_how_far_it_is() {
        let mut record = record(Budget::unknown_ca(), Source::Discovered);
        let begin = record.in_words();
        assert!(begin.starts_with("found out: "), "{begin}");
        assert!(begin.ends_with("in flight; still searching"), "{begin}");
        record.discovery.stage = crate::discovery::Stage::Holding;
        record.discovery.throttles = 3;
        let held = record.in_words();
        assert!(held.ends_with("in flight; refused 3 times so far"), "{held}");
    }

    #[test]
    fn a_given_budget_that_was_too_much_says_so() {
        let mut record = record(Budget::new(10.0, 5, 4), Source::Given);
        record.budget = Budget::new(7.25, 5, 4);
        record.discovery.throttles = 1;
        assert_eq!(
            record.in_words(),
            "given: 7.25 requests a second, burst 5, 4 in flight; lowered from 10 requests a second, which the CA \
             refused; refused 1 time so far"
        );
    }
}
