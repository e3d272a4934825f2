//! Changes of records in several zones: zone → as many records at once as the writer takes → an outcome for
//! each record.
//!
//! # Guarantees
//! - A fault is that of the records that were asked for together: the others are tried all the same.
//! - Once its time is over nobody else is asked for, whatever came of the others: whoever waits may hold a shard. That is no
//!   fault of theirs. One change is made in any case, so that whoever comes again gets further.
//! - The zones come in the order of the records: whoever puts first what was not asked for the last time has each one
//!   asked for, however long others take.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::TxtRecord;
use super::fault::DnsFault;
use super::sets::Wish;

/// So long a drive asks for records. A provider may take a hundred requests for those of a shard, and bear one in two seconds;
/// meanwhile the drive has the turn of its zone, and a place among those that write, and others wait for both. An
/// account's Lease that is new is waited for 15 s.
const DRIVE_ASKS: Duration = Duration::from_secs(20);
/// So long a task asks that nobody waits for.
const TASK_ASKS: Duration = Duration::from_secs(60);
/// So long a drive waits for the turn of its zone. Who has it may ask for as long as [`DRIVE_ASKS`].
const DRIVE_WAITS: Duration = Duration::from_secs(2);
/// The same of a task.
const TASK_WAITS: Duration = Duration::from_secs(30);

/// Who waits for records to be written or removed, and so for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// A drive of a shard. What it does not come to is asked for by the next one.
    OfDrive,
    /// A task that keeps nobody waiting.
    OfTask,
}

impl Patience {
    /// After so long nobody else is asked for.
    pub(super) fn asks(self) -> Duration {
        match self {
            Self::OfDrive => DRIVE_ASKS,
            Self::OfTask => TASK_ASKS,
        }
    }

    /// So long others' changes of the same zone are waited for.
    pub(super) fn waits(self) -> Duration {
        match self {
            Self::OfDrive => DRIVE_WAITS,
            Self::OfTask => TASK_WAITS,
        }
    }
}

/// How much goes by one change.
#[derive(Debug, Clone, Copy)]
pub(super) enum Grain {
    /// A record.
    Record,
    /// The records of a name.
    Name,
    /// Those of a zone, up to so many.
    Zone(usize),
}

/// Who carries changes out.
pub(super) trait Changes {
    /// How much it takes at once.
    fn grain(&self) -> Grain;

    /// Has these records of `zone` there, or gone. One outcome for each, in their order. After `until`, who makes several
    /// requests begins no other one once something is done; what is left has a fault that says so.
    async fn change(
        &self,
        zone: &str,
        wish: Wish,
        records: &[&TxtRecord],
        until: Instant,
    ) -> Vec<Result<(), DnsFault>>;
}

/// Has these records there, or gone, for as long as `patience` has it. One outcome for each of them, in their order.
pub(super) async fn carry_out<C: Changes>(
    changes: &C,
    wish: Wish,
    records: &[TxtRecord],
    patience: Patience,
) -> Vec<Result<(), DnsFault>> {
    let until = Instant::now() + patience.asks();
    let mut failed: Option<DnsFault> = None;
    let mut outcomes: Vec<Result<(), DnsFault>> = vec![Ok(()); records.len()];
    for (zone, places) in by_zone(records) {
        for some in parts(changes.grain(), &places, records) {
            let asked: Vec<&TxtRecord> = some.iter().map(|place| &records[*place]).collect();
            let came = if Instant::now() < until {
                together(changes, zone, wish, &asked, until).await
            } else {
                vec![Err(DnsFault::not_asked_yet(failed.as_ref())); asked.len()]
            };
            let mut faults = came.iter().filter_map(|outcome| outcome.as_ref().err());
            let passing = faults.rfind(|fault| fault.is_passing() && !fault.is_not_asked_yet());
            failed = passing.cloned().or(failed);
            for (place, outcome) in some.iter().zip(came) {
                outcomes[*place] = outcome;
            }
        }
    }
    outcomes
}

/// The places of the records of each zone, in the order in which the zones come first.
fn by_zone(records: &[TxtRecord]) -> Vec<(&str, Vec<usize>)> {
    let mut zones: Vec<(&str, Vec<usize>)> = Vec::new();
    for (place, record) in records.iter().enumerate() {
        match zones.iter_mut().find(|(zone, _)| *zone == record.zone) {
            Some((_, places)) => places.push(place),
            None => zones.push((record.zone.as_str(), vec![place])),
        }
    }
    zones
}

/// Which of these records of a zone go by one change.
fn parts(grain: Grain, places: &[usize], records: &[TxtRecord]) -> Vec<Vec<usize>> {
    match grain {
        Grain::Record => places.iter().map(|place| vec![*place]).collect(),
        Grain::Name => {
            let mut names: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
            for place in places {
                names.entry(&records[*place].name).or_default().push(*place);
            }
            names.into_values().collect()
        }
        Grain::Zone(most) => places.chunks(most).map(<[usize]>::to_vec).collect(),
    }
}

/// One outcome for each of these records of one zone.
async fn together<C: Changes>(
    changes: &C,
    zone: &str,
    wish: Wish,
    records: &[&TxtRecord],
    until: Instant,
) -> Vec<Result<(), DnsFault>> {
    let mut outcomes = changes.change(zone, wish, records, until).await;
    if records.len() == 1 {
        return outcomes;
    }
    // Some may be allowed and others not.
    let mut is_first = true;
    for (record, outcome) in records.iter().zip(&mut outcomes) {
        if !outcome.as_ref().is_err_and(|fault| fault.is_about_names) {
            continue;
        }
        let alone = if is_first || Instant::now() < until {
            changes.change(zone, wish, &[*record], until).await.pop()
        } else {
            None
        };
        *outcome = alone.unwrap_or_else(|| Err(DnsFault::not_asked_yet(None)));
        is_first = false;
    }
    outcomes
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
        grain: Grain,
        takes: Duration,
        refuses: F,
        done: RefCell<Vec<String>>,
        asked: RefCell<usize>,
    }

    fn picky<F: Fn(&TxtRecord) -> Option<DnsFault>>(grain: Grain, refuses: F) -> Picky<F> {
        Picky {
            grain,
            takes: Duration::ZERO,
            refuses,
            done: RefCell::default(),
            asked: RefCell::default(),
        }
    }

    impl<F: Fn(&TxtRecord) -> Option<DnsFault>> Changes for Picky<F> {
        fn grain(&self) -> Grain {
            self.grain
        }

        async fn change(
            &self,
            zone: &str,
            _: Wish,
            records: &[&TxtRecord],
            _: Instant,
        ) -> Vec<Result<(), DnsFault>> {
            *self.asked.borrow_mut() += 1;
            assert!(records.iter().all(|record| record.zone == zone));
            if !self.takes.is_zero() {
                tokio::time::sleep(self.takes).await;
            }
            if let Some(fault) = records.iter().find_map(|record| (self.refuses)(record)) {
                return vec![Err(fault); records.len()];
            }
            let names = records.iter().map(|record| record.name.clone());
            self.done.borrow_mut().extend(names);
            vec![Ok(()); records.len()]
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

    /// What comes of it for a drive.
    async fn driven<C: Changes>(changes: &C, records: &[TxtRecord]) -> Vec<Result<(), DnsFault>> {
        carry_out(changes, Wish::There, records, Patience::OfDrive).await
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
        let all = Grain::Zone(100);
        let writer = picky(all, |record| (record.zone == "a").then(|| refused(record)));
        let records = records(&["1.b", "1.a", "2.b", "2.a", "1.c"]);
        let outcomes = driven(&writer, &records).now_or_never().unwrap();
        assert_eq!(came(&outcomes), [true, false, true, false, true]);
        assert_eq!(*writer.done.borrow(), ["1.b", "2.b", "1.c"]);
        // Who takes all at once was asked once for each zone.
        assert_eq!(*writer.asked.borrow(), 3);
        assert!(outcomes[1].as_ref().unwrap_err().words.ends_with(".a is refused"));
    }

    #[test]
    fn of_who_takes_one_at_a_time_each_has_a_fault_of_its_own() {
        let writer = picky(Grain::Record, |record| {
            record.name.starts_with('2').then(|| refused(record))
        });
        let records = records(&["1.a", "2.a", "3.a"]);
        let outcomes = driven(&writer, &records).now_or_never().unwrap();
        assert_eq!(came(&outcomes), [true, false, true]);
        assert_eq!(outcomes[1].as_ref().unwrap_err().words, "2.a is refused");
    }

    #[test]
    fn of_who_takes_a_name_at_a_time_its_values_go_together() {
        let writer = picky(Grain::Name, |_| None);
        let records = records(&["1.a", "2.a", "1.a", "1.b"]);
        let outcomes = driven(&writer, &records).now_or_never().unwrap();
        assert_eq!(came(&outcomes), [true; 4]);
        assert_eq!(*writer.done.borrow(), ["1.a", "1.a", "2.a", "1.b"]);
        assert_eq!(*writer.asked.borrow(), 3);
    }

    #[test]
    fn where_some_names_may_be_written_and_others_not_each_is_asked_for() {
        let about_names = |record: &TxtRecord| {
            record.name.starts_with('2').then(|| DnsFault {
                is_about_names: true,
                ..refused(record)
            })
        };
        let writer = picky(Grain::Zone(100), about_names);
        let records = records(&["1.a", "2.a", "3.a"]);
        let outcomes = driven(&writer, &records).now_or_never().unwrap();
        assert_eq!(came(&outcomes), [true, false, true]);
        assert_eq!(*writer.asked.borrow(), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn after_twenty_seconds_nobody_else_is_asked_for_whatever_came_of_the_others() {
        let fails = |record: &TxtRecord| Some(DnsFault::new(PROVIDER_FAILS, &record.name));
        let writer = Picky {
            takes: Duration::from_secs(25),
            ..picky(Grain::Record, fails)
        };
        let asked = records(&["1.a", "1.b", "1.c"]);
        let outcomes = driven(&writer, &asked).await;
        assert_eq!(*writer.asked.borrow(), 1);
        // What was not asked for has no fault of its own.
        let is_of_pace = |outcome: &Result<(), DnsFault>| outcome.as_ref().unwrap_err().is_of_pace();
        assert_eq!(
            outcomes.iter().map(is_of_pace).collect::<Vec<_>>(),
            [false, true, true]
        );
        assert!(outcomes[2].as_ref().unwrap_err().words.ends_with("1.a"));

        // One that is only slow, as well.
        let writer = Picky {
            takes: Duration::from_secs(3),
            ..picky(Grain::Record, |_: &TxtRecord| None)
        };
        let names: Vec<String> = (0..10).map(|number| format!("{number}.a")).collect();
        let mut left = records(&names.iter().map(String::as_str).collect::<Vec<_>>());
        let outcomes = driven(&writer, &left).await;
        assert_eq!(came(&outcomes), [[true; 7].as_slice(), &[false; 3]].concat());
        assert!(is_of_pace(&outcomes[9]));
        // The next drive goes on with the rest.
        left.drain(..7);
        assert_eq!(came(&driven(&writer, &left).await), [true; 3]);
        assert_eq!(*writer.done.borrow(), names);
    }

    #[tokio::test(start_paused = true)]
    async fn each_drive_comes_further_however_slow_a_change_is() {
        let writer = Picky {
            takes: Duration::from_secs(45),
            ..picky(Grain::Record, |_: &TxtRecord| None)
        };
        let mut left = records(&["1.a", "2.a", "1.b"]);
        while !left.is_empty() {
            let before = left.len();
            let came = came(&driven(&writer, &left).await);
            let mut came = came.into_iter();
            left.retain(|_| came.next() == Some(false));
            assert_eq!(left.len(), before - 1);
        }
        // Of who keeps nobody waiting two are asked for.
        let left = records(&["1.a", "2.a", "1.b"]);
        let outcomes = carry_out(&writer, Wish::Gone, &left, Patience::OfTask).await;
        assert_eq!(came(&outcomes), [true, true, false]);
    }
}
