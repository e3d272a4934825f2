//! Records of one zone, made or deleted: what there is → what is missing, or to go → one request for several, where the API
//! has such, else name by name.
//!
//! # Guarantees
//! - Each record has an outcome of its own: one that was made stays known as made, whatever comes of the others.
//! - Once time is up nothing else is begun, but for the first name: so that whoever comes again gets further.

use std::collections::{BTreeMap, BTreeSet};

use tokio::time::Instant;

use super::apis::{Ask, Found, Zone, below};
use super::{Other, status};
use crate::solvers::dns01::TxtRecord;
use crate::solvers::dns01::fault::DnsFault;
use crate::solvers::dns01::sets::Wish;

/// The most records that are changed by one request, of an API that has several by one.
const MOST_AT_ONCE: usize = 100;
/// So few requests are made together, however slowly; of more each name has its own, and time is looked at between them.
const FEW: usize = 4;

impl Other {
    /// Has these records of `zone` there or gone, in as few requests as the API has. One outcome for each.
    pub(in crate::solvers::dns01) async fn change(
        &self,
        zone: &str,
        wish: Wish,
        records: &[&TxtRecord],
        until: Instant,
    ) -> Vec<Result<(), DnsFault>> {
        let mut done = BTreeSet::new();
        let changed = self.bring_about(zone, wish, records, until, &mut done).await;
        let outcome = |place| match &changed {
            Err(fault) if !done.contains(&place) => Err(fault.clone()),
            _ => Ok(()),
        };
        (0..records.len()).map(outcome).collect()
    }

    /// The same. `done`: the places of those that are as wanted, whatever comes of the others.
    async fn bring_about(
        &self,
        zone: &str,
        wish: Wish,
        records: &[&TxtRecord],
        until: Instant,
        done: &mut BTreeSet<usize>,
    ) -> Result<(), DnsFault> {
        let id = self.zone(zone).await?;
        let _turn = self.account.turn_to_change(zone).await?;
        let about: BTreeSet<&str> = records.iter().map(|record| below(&record.name, zone)).collect();
        let about: Vec<&str> = about.into_iter().collect();
        let at = Zone {
            by: &self.by,
            name: zone,
            id: &id,
            about: &about,
        };
        let there = self.records(&at).await?;
        let changed = match wish {
            Wish::There => self.make(&at, records, &there, until, done).await,
            Wish::Gone => self.remove(&at, records, &there, until, done).await,
        };
        // Asked always: who asked before may have ended between a change and this.
        let Some(ask) = self.api.settle(&at) else {
            return changed;
        };
        let settled = self.settle(ask, zone).await;
        if settled.is_err() {
            done.clear();
        }
        changed.and(settled)
    }

    async fn settle(&self, ask: Ask, zone: &str) -> Result<(), DnsFault> {
        let response = self.send("changeRecords", ask).await?;
        self.judged(&response, zone).map(drop)
    }

    /// Makes those of `records` that are not `there`.
    async fn make(
        &self,
        at: &Zone<'_>,
        records: &[&TxtRecord],
        there: &[Found],
        until: Instant,
        done: &mut BTreeSet<usize>,
    ) -> Result<(), DnsFault> {
        let mut missing = Vec::new();
        for (place, record) in records.iter().enumerate() {
            match there.iter().any(|found| is(found, record, at.name)) {
                true => _ = done.insert(place),
                false => missing.push(place),
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        let requests = self.api.make_all(at, &values(&missing, records, at.name)).len();
        for (number, some) in parts(&missing, records, requests).into_iter().enumerate() {
            in_time(number, until)?;
            for ask in self.api.make_all(at, &values(&some, records, at.name)) {
                let response = self.send("changeRecords", ask).await?;
                self.judged(&response, at.name)?;
            }
            done.extend(some);
        }
        Ok(())
    }

    /// Deletes what is `there` of `records`.
    async fn remove(
        &self,
        at: &Zone<'_>,
        records: &[&TxtRecord],
        there: &[Found],
        until: Instant,
        done: &mut BTreeSet<usize>,
    ) -> Result<(), DnsFault> {
        let mut unwanted = Vec::new();
        for (place, record) in records.iter().enumerate() {
            match there.iter().any(|found| is(found, record, at.name)) {
                true => unwanted.push(place),
                false => _ = done.insert(place),
            }
        }
        if unwanted.is_empty() {
            return Ok(());
        }
        let requests = self
            .api
            .delete_all(at, &found(&unwanted, records, there, at.name))
            .len();
        let mut doubtful = Vec::new();
        for (number, some) in parts(&unwanted, records, requests).into_iter().enumerate() {
            in_time(number, until)?;
            let mut is_one_gone = false;
            for few in found(&some, records, there, at.name).chunks(MOST_AT_ONCE) {
                is_one_gone |= self.delete(at, few).await?;
            }
            match is_one_gone {
                true => doubtful.extend(some),
                false => done.extend(some),
            }
        }
        if !doubtful.is_empty() {
            let there = self.records(at).await?;
            for found in found(&doubtful, records, &there, at.name) {
                self.deleted(at, self.api.delete(at, found)).await?;
            }
            done.extend(doubtful);
        }
        Ok(())
    }

    /// Deletes these records. Was one of several gone already, so that the others may be there still?
    async fn delete(&self, at: &Zone<'_>, found: &[&Found]) -> Result<bool, DnsFault> {
        let asks = self.api.delete_all(at, found);
        let is_several = asks.len() < found.len();
        let mut is_one_gone = false;
        for ask in asks {
            is_one_gone |= self.deleted(at, ask).await?;
        }
        Ok(is_several && is_one_gone)
    }

    /// Asks for something to be deleted. Was it gone already?
    async fn deleted(&self, at: &Zone<'_>, ask: Ask) -> Result<bool, DnsFault> {
        let response = self.send("changeRecords", ask).await?;
        let is_gone = status(self.api, &response) == 404;
        if !is_gone {
            self.judged(&response, at.name)?;
        }
        Ok(is_gone)
    }
}

/// Which of the records at these places are asked for together, if all of them take so many `requests`.
fn parts(places: &[usize], records: &[&TxtRecord], requests: usize) -> Vec<Vec<usize>> {
    if requests <= FEW {
        return vec![places.to_vec()];
    }
    let mut names: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for place in places {
        names.entry(&records[*place].name).or_default().push(*place);
    }
    names.into_values().collect()
}

/// Is there time for the part of this number?
fn in_time(number: usize, until: Instant) -> Result<(), DnsFault> {
    match number == 0 || Instant::now() < until {
        true => Ok(()),
        false => Err(DnsFault::not_asked_yet(None)),
    }
}

/// The names, below the zone, and values of the records at these places.
fn values<'r>(places: &[usize], records: &[&'r TxtRecord], zone: &str) -> Vec<(&'r str, &'r str)> {
    let mut values = Vec::new();
    for place in places {
        let record: &'r TxtRecord = records[*place];
        values.push((below(&record.name, zone), record.value.as_str()));
    }
    values
}

/// What is `there` of the records at these places.
fn found<'t>(places: &[usize], records: &[&TxtRecord], there: &'t [Found], zone: &str) -> Vec<&'t Found> {
    let is_its = |found: &&Found| places.iter().any(|place| is(found, records[*place], zone));
    there.iter().filter(is_its).collect()
}

fn is(found: &Found, record: &TxtRecord, zone: &str) -> bool {
    found.is(below(&record.name, zone)) && found.value == record.value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(name: &str, value: &str) -> TxtRecord {
        TxtRecord {
            zone: "shop.example".into(),
            name: name.into(),
            value: value.into(),
            domain: "shop.example".into(),
        }
    }

    #[test]
    fn a_record_is_known_by_its_name_and_value_alone() {
        let found = |name: &str, value: &str| Found {
            id: "7".into(),
            name: name.into(),
            value: value.into(),
        };
        let wanted = record("_acme-challenge.www.shop.example", "v");
        assert!(is(&found("_ACME-challenge.www", "v"), &wanted, "shop.example"));
        for other in [
            found("_acme-challenge", "v"),
            found("_acme-challenge.www", "w"),
            found("", "v"),
        ] {
            assert!(!is(&other, &wanted, "shop.example"));
        }
        // A CNAME may lead to a zone's own name.
        for apex in ["", "@"] {
            assert!(is(
                &found(apex, "v"),
                &record("shop.example", "v"),
                "shop.example"
            ));
        }
        for (name, wanted) in [
            ("workshop.example", "workshop.example"),
            ("www.Shop.Example.", "www"),
            ("shop.example", "@"),
            ("www", "www"),
        ] {
            assert_eq!(below(name, "shop.example"), wanted);
        }
    }

    #[test]
    fn what_takes_few_requests_goes_together_and_else_name_by_name() {
        let all = ["b", "a", "b", "c"].map(|name| record(name, "v"));
        let all: Vec<&TxtRecord> = all.iter().collect();
        assert_eq!(parts(&[0, 1, 2, 3], &all, 1), [[0, 1, 2, 3]]);
        assert_eq!(parts(&[0, 2, 3], &all, FEW), [[0, 2, 3]]);
        assert_eq!(
            parts(&[0, 1, 2, 3], &all, FEW + 1),
            [vec![1], vec![0, 2], vec![3]]
        );
        assert_eq!(values(&[1, 2], &all, "shop.example"), [("a", "v"), ("b", "v")]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_name_is_asked_for_however_late_it_is() {
        let until = Instant::now();
        assert!(in_time(0, until).is_ok());
        assert!(in_time(1, until).unwrap_err().is_of_pace());
        assert!(in_time(1, until + std::time::Duration::from_secs(1)).is_ok());
    }
}
