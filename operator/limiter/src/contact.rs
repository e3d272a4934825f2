//! Whether the CA is reached, as the replicas have seen it: for people alone, nothing is decided by it.
//!
//! The only times of day in the Lease stand here, each by the clock of the replica that noted it. None is compared with
//! another: what came later is told by the order of the writes.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// When the CA answered last, and what has kept it from that since.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Contact {
    /// When it answered last, be it with a refusal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered: Option<Timestamp>,
    /// Set from a request that got no answer until one that does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing: Option<Failing>,
    /// Fields of a later minor format, kept as they are.
    #[serde(flatten)]
    pub unknown: BTreeMap<String, Value>,
}

/// Requests in a row that got no answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Failing {
    /// When the first one failed.
    pub since: Timestamp,
    /// When the last one failed.
    pub last: Timestamp,
    /// The process that sent the last one.
    pub replica: String,
    /// Why it failed, as one word of a fixed few.
    pub reason: String,
    /// Why, and what to do about it.
    pub message: String,
    /// Fields of a later minor format, kept as they are.
    #[serde(flatten)]
    pub unknown: BTreeMap<String, Value>,
}

impl Contact {
    /// The CA answered.
    pub(crate) fn answer(at: Timestamp) -> Self {
        Self {
            answered: Some(at),
            ..Self::default()
        }
    }

    /// A request of `replica` got no answer.
    pub(crate) fn failure(at: Timestamp, replica: &str, reason: &str, message: &str) -> Self {
        Self {
            failing: Some(Failing {
                since: at,
                last: at,
                replica: replica.to_owned(),
                reason: reason.to_owned(),
                message: message.to_owned(),
                unknown: BTreeMap::new(),
            }),
            ..Self::default()
        }
    }

    /// What is known once `news` is known as well, which came later.
    pub(crate) fn then(&self, news: &Self) -> Self {
        let failing = match (&self.failing, &news.failing) {
            (Some(known), Some(last)) if news.answered.is_none() => Some(Failing {
                since: known.since,
                ..last.clone()
            }),
            (_, Some(last)) => Some(last.clone()),
            (_, None) if news.answered.is_some() => None,
            (known, None) => known.clone(),
        };
        Self {
            answered: news.answered.or(self.answered),
            failing,
            unknown: self.unknown.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn answer(second: i64) -> Contact {
        Contact::answer(at(second))
    }

    fn failure(second: i64) -> Contact {
        Contact::failure(at(second), "sancho-0", "CaUnreachable", "no route")
    }

    /// When it answered last, since when it has not, and when that was seen last.
    fn told(contact: &Contact) -> (Option<Timestamp>, Option<(Timestamp, Timestamp)>) {
        let failing = contact.failing.as_ref();
        (
            contact.answered,
            failing.map(|failing| (failing.since, failing.last)),
        )
    }

    #[test]
    fn failures_in_a_row_are_told_with_the_first_and_the_last_until_an_answer_comes() {
        let failing = answer(1).then(&failure(5)).then(&failure(9));
        assert_eq!(told(&failing), (Some(at(1)), Some((at(5), at(9)))));
        assert_eq!(told(&failing.then(&answer(12))), (Some(at(12)), None));
        assert_eq!(failing.then(&Contact::default()), failing);
    }

    #[test]
    fn what_another_replica_has_written_meanwhile_is_gone_on_from() {
        let written = failure(3);
        let news = failure(5).then(&failure(7));
        assert_eq!(told(&written.then(&news)), (None, Some((at(3), at(7)))));
        // It answered in between: the row of failures is another one.
        let news = answer(4).then(&news);
        assert_eq!(told(&written.then(&news)), (Some(at(4)), Some((at(5), at(7)))));
        // Told once more, since it is not known whether the write has landed.
        assert_eq!(
            written.then(&news).then(&news),
            written.then(&news),
            "it is the same"
        );
    }
}
