//! Changes of records in several zones: zone → as many records at once as the writer takes → an outcome for
//! each record.
//!
//! # Guarantees
//! - A fault is that of the records that were asked for together: the others are tried all the same.
//! - Once a minute is over, and something fails that may pass, nobody else is asked for: whoever waits holds a
//!   shard. That is no fault of theirs.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::TxtRecord;
use super::fault::DnsFault;
use super::sets::Wish;

/// After so long nobody else is asked for once something fails that may pass.
const WITHIN: Duration = Duration::from_secs(60);

/// Who carries changes out.
pub(super) trait Changes {
    /// The most records that it takes at once.
    fn most_at_once(&self) -> usize;

    /// Has these records of `zone` there, or gone.
    ///
    /// # Errors
    /// [`DnsFault`] says why one of them, at least, may not be.
    async fn change(&self, zone: &str, wish: Wish, records: &[&TxtRecord]) -> Result<(), DnsFault>;
}

/// Has these records there, or gone. One outcome for each of them, in their order.
pub(super) async fn carry_out<C: Changes>(
    changes: &C,
    wish: Wish,
    records: &[TxtRecord],
) -> Vec<Result<(), DnsFault>> {
    let mut by_zone: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (place, record) in records.iter().enumerate() {
        by_zone.entry(&record.zone).or_default().push(place);
    }
    let begun = Instant::now();
    let mut given_up: Option<DnsFault> = None;
    let mut outcomes: Vec<Result<(), DnsFault>> = vec![Ok(()); records.len()];
    for (zone, places) in by_zone {
        for some in places.chunks(changes.most_at_once()) {
            let asked: Vec<&TxtRecord> = some.iter().map(|place| &records[*place]).collect();
            let came = match &given_up {
                Some(fault) => vec![Err(DnsFault::not_asked_yet(fault)); asked.len()],
                None => together(changes, zone, wish, &asked).await,
            };
            let mut faults = came.iter().filter_map(|outcome| outcome.as_ref().err());
            let passing = faults.rfind(|fault| fault.is_passing()).cloned();
            given_up = given_up.or(passing.filter(|_| begun.elapsed() >= WITHIN));
            for (place, outcome) in some.iter().zip(came) {
                outcomes[*place] = outcome;
            }
        }
    }
    outcomes
}

/// One outcome for each of these records of one zone.
async fn together<C: Changes>(
    changes: &C,
    zone: &str,
    wish: Wish,
    records: &[&TxtRecord],
) -> Vec<Result<(), DnsFault>> {
    match changes.change(zone, wish, records).await {
        // Some may be allowed and others not.
        Err(fault) if fault.is_about_names && records.len() > 1 => {
            let mut outcomes = Vec::new();
            for record in records {
                outcomes.push(changes.change(zone, wish, &[*record]).await);
            }
            outcomes
        }
        outcome => vec![outcome; records.len()],
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use futures::FutureExt;

    use super::super::fault::{PROVIDER_FAILS, UPDATE_REFUSED};
    use super::*;

    /// Takes all records but those that `refuses` has something against, and none of a change that has one of
    /// these.
    struct Picky<F> {
        most: usize,
        takes: Duration,
        refuses: F,
        done: RefCell<Vec<String>>,
        asked: RefCell<usize>,
    }

    fn picky<F: Fn(&TxtRecord) -> Option<DnsFault>>(most: usize, refuses: F) -> Picky<F> {
        Picky {
            most,
            takes: Duration::ZERO,
            refuses,
            done: RefCell::default(),
            asked: RefCell::default(),
        }
    }

    impl<F: Fn(&TxtRecord) -> Option<DnsFault>> Changes for Picky<F> {
        fn most_at_once(&self) -> usize {
            self.most
        }

        async fn change(&self, zone: &str, _: Wish, records: &[&TxtRecord]) -> Result<(), DnsFault> {
            *self.asked.borrow_mut() += 1;
            assert!(records.len() <= self.most && records.iter().all(|record| record.zone == zone));
            if !self.takes.is_zero() {
                tokio::time::sleep(self.takes).await;
            }
            if let Some(fault) = records.iter().find_map(|record| (self.refuses)(record)) {
                return Err(fault);
            }
            let names = records.iter().map(|record| record.name.clone());
            self.done.borrow_mut().extend(names);
            Ok(())
        }
    }

    fn records(names: &[&str]) -> Vec<TxtRecord> {
        let record = |name: &&str| TxtRecord {
            zone: name.rsplit('.').next().unwrap().to_owned(),
            name: (*name).to_owned(),
            value: "v".into(),
            domain: (*name).to_owned(),
        };
        names.iter().map(record).collect()
    }

    /// Whether each record came about.
    fn came(outcomes: &[Result<(), DnsFault>]) -> Vec<bool> {
        outcomes.iter().map(Result::is_ok).collect()
    }

    fn refused(record: &TxtRecord) -> DnsFault {
        DnsFault::new(UPDATE_REFUSED, &format!("{} is refused", record.name))
    }

    #[test]
    fn a_fault_of_one_zone_is_that_of_its_records_alone() {
        let writer = picky(100, |record| (record.zone == "a").then(|| refused(record)));
        let records = records(&["1.b", "1.a", "2.b", "2.a", "1.c"]);
        let outcomes = carry_out(&writer, Wish::Gone, &records).now_or_never().unwrap();
        assert_eq!(came(&outcomes), [true, false, true, false, true]);
        assert_eq!(*writer.done.borrow(), ["1.b", "2.b", "1.c"]);
        // Who takes all at once was asked once for each zone.
        assert_eq!(*writer.asked.borrow(), 3);
        assert!(outcomes[1].as_ref().unwrap_err().words.ends_with(".a is refused"));
    }

    #[test]
    fn of_who_takes_one_at_a_time_each_has_a_fault_of_its_own() {
        let writer = picky(1, |record| record.name.starts_with('2').then(|| refused(record)));
        let records = records(&["1.a", "2.a", "3.a"]);
        let outcomes = carry_out(&writer, Wish::There, &records).now_or_never().unwrap();
        assert_eq!(came(&outcomes), [true, false, true]);
        assert_eq!(outcomes[1].as_ref().unwrap_err().words, "2.a is refused");
    }

    #[test]
    fn where_some_names_may_be_written_and_others_not_each_is_asked_for() {
        let about_names = |record: &TxtRecord| {
            record.name.starts_with('2').then(|| DnsFault {
                is_about_names: true,
                ..refused(record)
            })
        };
        let writer = picky(100, about_names);
        let records = records(&["1.a", "2.a", "3.a"]);
        let outcomes = carry_out(&writer, Wish::There, &records).now_or_never().unwrap();
        assert_eq!(came(&outcomes), [true, false, true]);
        assert_eq!(*writer.asked.borrow(), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_answer_is_not_asked_for_longer_than_a_minute() {
        let silent = |record: &TxtRecord| Some(DnsFault::new(PROVIDER_FAILS, &record.name));
        let writer = Picky {
            takes: Duration::from_secs(25),
            ..picky(1, silent)
        };
        let records = records(&["1.a", "1.b", "1.c", "1.d", "1.e"]);
        let outcomes = carry_out(&writer, Wish::There, &records).await;
        assert_eq!(came(&outcomes), [false; 5]);
        assert_eq!(*writer.asked.borrow(), 3);
        // What was not asked for has no fault of its own.
        let is_of_pace = |outcome: &Result<(), DnsFault>| outcome.as_ref().unwrap_err().is_of_pace();
        assert_eq!(
            outcomes.iter().map(is_of_pace).collect::<Vec<_>>(),
            [false, false, false, true, true]
        );

        // One that is only slow is asked to the end.
        let writer = Picky {
            takes: Duration::from_secs(25),
            ..picky(1, |record: &TxtRecord| {
                (record.zone == "c").then(|| refused(record))
            })
        };
        let outcomes = carry_out(&writer, Wish::There, &records).await;
        assert_eq!(came(&outcomes), [true, true, false, true, true]);
    }
}
