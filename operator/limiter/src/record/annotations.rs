//! The record as annotations of a Lease, readable in `kubectl describe lease`.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Pause, Record, Row, Unreadable, VERSION};
use crate::budget::{Budget, Source};
use crate::contact::Contact;
use crate::discovery::Discovery;
use crate::durations::Durations;
use crate::holder::Waiter;

/// Every annotation of a record starts with this; other annotations are not the limiter's.
pub const PREFIX: &str = "budget.sancho.dev/";
/// The label, key and value, of every Lease that holds a budget.
pub const LEASE_LABEL: (&str, &str) = ("app.kubernetes.io/part-of", "sancho-budget");
/// The annotation that names the CA whose budget a Lease holds, by its origin. Not part of the record.
pub const ORIGIN_ANNOTATION: &str = "sancho.dev/origin";
/// The annotation that names the replica that wrote a Lease last; `spec.renewTime` is by its clock. Not part of the record.
pub const WRITER_ANNOTATION: &str = "sancho.dev/written-by";

const VERSION_KEY: &str = "version";
const TABLE: &str = "table";
const BUDGET: &str = "budget";
/// The state of the search. A Lease without it is one whose search has not begun.
const DISCOVERY: &str = "discovery";
/// For people only: made of the others at each write.
const SUMMARY: &str = "summary";
const DURATIONS: &str = "durations";
const WAITING: &str = "waiting";
const PAUSE: &str = "pause";
const CONTACT: &str = "contact";
const SLOT: &str = "slot-";
/// A table is at most 4 rows long; anything beyond is no table of ours.
const MOST_ROWS: usize = 64;

/// Annotation `table`.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Table {
    incarnation: String,
    revision: u64,
    epoch: u64,
    turns: u64,
    slots: usize,
    source: Source,
    #[serde(flatten)]
    unknown: BTreeMap<String, Value>,
}

impl Record {
    /// The annotations that hold this record, keys with [`PREFIX`].
    ///
    /// A writer replaces all annotations under the prefix by these, and leaves all others alone.
    pub fn to_annotations(&self) -> BTreeMap<String, String> {
        let Self {
            incarnation,
            revision,
            epoch,
            turns,
            budget,
            source,
            discovery,
            durations,
            slots,
            waiting,
            pause,
            contact,
            unknown,
            unknown_fields,
        } = self;
        let table = Table {
            incarnation: incarnation.clone(),
            revision: *revision,
            epoch: *epoch,
            turns: *turns,
            slots: slots.len(),
            source: *source,
            unknown: unknown_fields.clone(),
        };
        let mut annotations = unknown.clone();
        let mut put = |key: &str, text: String| annotations.insert(format!("{PREFIX}{key}"), text);
        put(VERSION_KEY, VERSION.to_string());
        put(TABLE, json(&table));
        put(BUDGET, json(budget));
        put(DISCOVERY, json(discovery));
        put(SUMMARY, self.summary());
        put(DURATIONS, json(durations));
        for (number, row) in slots.iter().enumerate() {
            put(&format!("{SLOT}{number}"), json(row));
        }
        if !waiting.is_empty() {
            put(WAITING, json(waiting));
        }
        if let Some(pause) = pause {
            put(PAUSE, json(pause));
        }
        if *contact != Contact::default() {
            put(CONTACT, json(contact));
        }
        annotations
    }

    /// Reads a record from a Lease's annotations; those without [`PREFIX`] are passed over.
    ///
    /// # Errors
    /// [`Unreadable::Newer`] for a later format, whatever else is in it; [`Unreadable::Damaged`] if an
    /// annotation is missing, or malformed, or its figures cannot be.
    pub fn from_annotations(annotations: &BTreeMap<String, String>) -> Result<Self, Unreadable> {
        let mut own: BTreeMap<&str, &str> = annotations
            .iter()
            .filter_map(|(key, text)| Some((key.strip_prefix(PREFIX)?, text.as_str())))
            .collect();
        let version = own
            .remove(VERSION_KEY)
            .ok_or_else(|| damaged(VERSION_KEY, "is missing"))?;
        let version: u32 = version
            .trim()
            .parse()
            .map_err(|_| damaged(VERSION_KEY, "is no whole number"))?;
        if version > VERSION {
            return Err(Unreadable::Newer { found: version });
        }
        if version != VERSION {
            return Err(damaged(VERSION_KEY, "is a version that never was"));
        }
        let Table {
            incarnation,
            revision,
            epoch,
            turns,
            slots: count,
            source,
            unknown: unknown_fields,
        } = parse(&mut own, TABLE)?.ok_or_else(|| damaged(TABLE, "is missing"))?;
        let budget: Budget = parse(&mut own, BUDGET)?.ok_or_else(|| damaged(BUDGET, "is missing"))?;
        let durations: Durations =
            parse(&mut own, DURATIONS)?.ok_or_else(|| damaged(DURATIONS, "is missing"))?;
        let discovery: Discovery =
            parse(&mut own, DISCOVERY)?.unwrap_or_else(|| Discovery::start(&budget, source).0);
        own.remove(SUMMARY);
        if durations.takeover <= durations.validity {
            return Err(damaged(DURATIONS, "takeoverMs must be longer than validityMs"));
        }
        if count == 0 || count > MOST_ROWS {
            return Err(damaged(TABLE, "the number of slots is out of bounds"));
        }
        let mut slots: Vec<Row> = Vec::with_capacity(count);
        for number in 0..count {
            let key = format!("{SLOT}{number}");
            slots.push(parse(&mut own, &key)?.ok_or_else(|| damaged(&key, "is missing"))?);
        }
        let waiting: Vec<Waiter> = parse(&mut own, WAITING)?.unwrap_or_default();
        let pause: Option<Pause> = parse(&mut own, PAUSE)?;
        // Nothing is decided by it, so damage in it stops nothing.
        let contact: Option<Contact> = parse(&mut own, CONTACT).unwrap_or_default();
        // Rows beyond the table would come back to life when it grows again.
        let unknown = own
            .into_iter()
            .filter(|(key, _)| !key.starts_with(SLOT))
            .map(|(key, text)| (format!("{PREFIX}{key}"), text.to_owned()))
            .collect();
        Ok(Self {
            incarnation,
            revision,
            epoch,
            turns,
            budget,
            source,
            discovery,
            durations,
            slots,
            waiting,
            pause,
            contact: contact.unwrap_or_default(),
            unknown,
            unknown_fields,
        })
    }
}

/// All that is written here has text keys and finite numbers, so that JSON can hold it.
fn json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

fn parse<T: DeserializeOwned>(own: &mut BTreeMap<&str, &str>, key: &str) -> Result<Option<T>, Unreadable> {
    own.remove(key)
        .map(|text| serde_json::from_str(text).map_err(|error| damaged(key, &error.to_string())))
        .transpose()
}

fn damaged(key: &str, problem: &str) -> Unreadable {
    Unreadable::Damaged {
        annotation: format!("{PREFIX}{key}"),
        problem: problem.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::Timestamp;

    use super::*;
    use crate::budget::SubRate;
    use crate::holder::Holder;

    fn holder(process: &str) -> Holder {
        Holder {
            pod_uid: "pod".into(),
            container: "operator".into(),
            process: process.into(),
        }
    }

    fn record() -> Record {
        let mut record = Record::new(
            "made".into(),
            Budget::new(60.0, 10, 20),
            Source::Given,
            Durations::default(),
        );
        record.slots[1] = Row {
            holder: Some(holder("a")),
            stamp: 7,
            epoch: 1,
            turn: 1,
            ..Row::default()
        };
        record.slots[2] = Row {
            wait: Duration::from_millis(1500),
            ..Row::default()
        };
        record.waiting.push(Waiter {
            holder: holder("b"),
            unknown: BTreeMap::new(),
        });
        record.pause = Some(Pause {
            serial: 3,
            remaining: Duration::from_secs(30),
            bare_throttles: 2,
            asked_seconds: Some(30),
            unknown: BTreeMap::new(),
        });
        let at = |second| Timestamp::from_second(second).unwrap();
        record.contact =
            Contact::answer(at(0)).then(&Contact::failure(at(60), "a", "CaUnreachable", "no route"));
        record
    }

    #[test]
    fn a_record_comes_back_as_it_was_written() {
        assert_eq!(Record::from_annotations(&record().to_annotations()), Ok(record()));
    }

    #[test]
    fn one_row_can_be_read_by_a_person() {
        let annotations = record().to_annotations();
        assert_eq!(
            annotations["budget.sancho.dev/slot-1"],
            r#"{"holder":{"podUid":"pod","container":"operator","process":"a"},"stamp":7,"epoch":1,"turn":1}"#
        );
        assert_eq!(
            annotations["budget.sancho.dev/budget"],
            r#"{"requestsPerSecond":60.0,"burst":10,"maxInFlight":20}"#
        );
        assert_eq!(
            annotations["budget.sancho.dev/contact"],
            r#"{"answered":"1970-01-01T00:00:00Z","failing":{"since":"1970-01-01T00:01:00Z","last":"1970-01-01T00:01:00Z","replica":"a","reason":"CaUnreachable","message":"no route"}}"#
        );
        assert_eq!(record().holder_identity(), "a 1/3");
    }

    #[test]
    fn unknown_fields_are_kept_at_every_level() {
        let mut annotations = record().to_annotations();
        for key in [
            "table",
            "budget",
            "discovery",
            "durations",
            "slot-0",
            "slot-1",
            "pause",
            "contact",
        ] {
            let text = annotations.get_mut(&format!("{PREFIX}{key}")).unwrap();
            *text = text.replacen('{', r#"{"later":[1,{"x":null}],"#, 1);
        }
        let waiting = annotations.get_mut("budget.sancho.dev/waiting").unwrap();
        *waiting = waiting.replacen('{', r#"{"later":true,"#, 1);
        annotations.insert("budget.sancho.dev/later".into(), "anything".into());
        let written = Record::from_annotations(&annotations).unwrap().to_annotations();
        for (key, text) in &annotations {
            let before: Value = serde_json::from_str(text).unwrap_or_else(|_| text.clone().into());
            let after: Value = serde_json::from_str(&written[key]).unwrap_or_else(|_| text.clone().into());
            assert_eq!(before, after, "{key}");
        }
    }

    #[test]
    fn unknown_fields_are_kept_deep_in_the_search_and_the_budget() {
        let mut record = record();
        record.budget.new_order = Some(SubRate::new(0.5, 0));
        let discovery = r#"{"stage":"Holding","stepPercent":5,"nextTryMs":1,"tryEveryMs":1,"proof":0,"crowded":0,
            "refusals":0,"throttles":0,"suspect":{"endpoint":"newOrder","refusals":1,"passed":0,"others":0,
            "before":{"stage":"Doubling","requestsPerSecond":4.0,"maxInFlight":1,"refusals":0,"later":1},"later":2},
            "endpoints":{"newOrder":{"requestsPerSecond":0.5,"proof":0,"stepPercent":5,"patienceSeconds":9,"later":3}},
            "outage":{"cause":"Throttled","failedProbes":0,"later":4},
            "lastThrottle":{"requestsPerSecond":5.0,"maxInFlight":1,"epoch":3,"later":5}}"#;
        let mut annotations = record.to_annotations();
        annotations.insert(format!("{PREFIX}discovery"), discovery.into());
        let budget = annotations.get_mut("budget.sancho.dev/budget").unwrap();
        *budget = budget.replace(r#""newOrder":{"#, r#""newOrder":{"later":6,"#);
        assert!(budget.contains("later"), "{budget}");
        let written = Record::from_annotations(&annotations).unwrap().to_annotations();
        for key in ["discovery", "budget"] {
            let key = format!("{PREFIX}{key}");
            let before: Value = serde_json::from_str(&annotations[&key]).unwrap();
            let after: Value = serde_json::from_str(&written[&key]).unwrap();
            assert_eq!(before, after, "{key}");
        }
    }

    #[test]
    fn a_newer_version_is_told_from_damage_whatever_else_is_there() {
        let mut annotations = record().to_annotations();
        annotations.insert("budget.sancho.dev/version".into(), "2".into());
        annotations.insert("budget.sancho.dev/table".into(), "?".into());
        assert_eq!(
            Record::from_annotations(&annotations),
            Err(Unreadable::Newer { found: 2 })
        );
    }

    #[test]
    fn damage_is_named_with_its_annotation() {
        for key in [
            "version",
            "table",
            "budget",
            "discovery",
            "durations",
            "slot-2",
            "waiting",
            "pause",
        ] {
            let mut annotations = record().to_annotations();
            annotations.insert(format!("{PREFIX}{key}"), "{".into());
            let Err(Unreadable::Damaged { annotation, .. }) = Record::from_annotations(&annotations) else {
                panic!("{key} was read");
            };
            assert_eq!(annotation, format!("{PREFIX}{key}"));
        }
        assert!(Record::from_annotations(&BTreeMap::new()).is_err());
    }

    #[test]
    fn damage_in_what_nothing_is_decided_by_is_passed_over() {
        let mut annotations = record().to_annotations();
        annotations.insert(format!("{PREFIX}contact"), "{".into());
        let read = Record::from_annotations(&annotations).unwrap();
        assert_eq!(read.contact, Contact::default());
    }

    #[test]
    fn a_takeover_time_within_the_validity_is_damage() {
        let mut record = record();
        record.durations.takeover = record.durations.validity;
        assert!(Record::from_annotations(&record.to_annotations()).is_err());
    }
}
