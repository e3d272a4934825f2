//! Single limiters, step by step.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

#[path = "bench/limiter.rs"]
mod bench;

use sancho_limiter::{
    Action, Blocked, Budget, Durations, Event, Holder, Moment, Read, Record, Row, Source, Throttle,
    Unreadable, Waiter, WriteOutcome,
};

use self::bench::{Bench, SECOND, free_table, holder};

#[test]
fn an_acknowledged_write_gives_a_slot_and_a_permit() {
    let bench = Bench::holding(&Budget::new(5.0, 0, 1));
    assert_eq!(bench.permits().len(), 1);
    assert_eq!(bench.limiter.blocked(bench.now), Some(Blocked::Pacing));
}

#[test]
fn validity_runs_from_the_start_of_the_write() {
    let mut bench = Bench::new(&Budget::new(5.0, 0, 1));
    bench.found(&free_table(&Budget::new(5.0, 0, 1)), "1");
    let (id, _, version) = bench.written();
    assert_eq!(version.as_deref(), Some("1"));
    bench.now = bench.now + 7 * SECOND;
    bench.outcome(id, WriteOutcome::Acknowledged { version: "2".into() });
    assert_eq!(bench.permits().len(), 1);
    bench.pass(SECOND);
    assert_eq!(bench.permits(), [], "two seconds are left");
    bench.pass(2 * SECOND);
    assert!(bench.limiter.slots_held(bench.now).is_empty());
    assert!(
        bench
            .actions
            .iter()
            .any(|action| matches!(action, Action::Abort { permits } if permits.len() == 1))
    );
}

#[test]
fn an_expired_slot_is_not_revived_by_a_late_acknowledgement() {
    let mut bench = Bench::holding(&Budget::new(5.0, 0, 1));
    bench.pass(9 * SECOND);
    bench.found_unchanged();
    let (id, _, _) = bench.written();
    bench.pass(2 * SECOND);
    assert!(bench.limiter.slots_held(bench.now).is_empty());
    bench.outcome(id, WriteOutcome::Acknowledged { version: "3".into() });
    assert!(bench.limiter.slots_held(bench.now).is_empty());
    let (_, record, _) = bench.written();
    assert_eq!(record.held_by(&holder("me")), 1, "it is taken anew");
}

#[test]
fn an_unknown_outcome_grants_once_a_read_shows_the_stamp() {
    for outcome in [WriteOutcome::Unknown, WriteOutcome::Conflict] {
        let mut bench = Bench::new(&Budget::new(5.0, 0, 1));
        bench.found(&free_table(&Budget::new(5.0, 0, 1)), "1");
        let (id, record, _) = bench.written();
        bench.outcome(id, outcome);
        assert_eq!(bench.permits(), []);
        assert!(bench.actions.contains(&Action::Read));
        bench.found(&record, "2");
        assert_eq!(bench.permits().len(), 1);
    }
}

#[test]
fn an_absent_lease_is_made_in_doubt_and_taken_after_the_takeover_time() {
    let mut bench = Bench::new(&Budget::new(5.0, 0, 1));
    bench.step(Event::Read(Read::Absent));
    let (_, record, version) = bench.written();
    assert_eq!(version, None);
    assert!(record.slots[0].in_doubt);
    bench.acknowledge("1");
    bench.pass(14 * SECOND);
    bench.found_unchanged();
    assert!(
        !bench
            .actions
            .iter()
            .any(|action| matches!(action, Action::Write { .. }))
    );
    bench.pass(SECOND);
    bench.found_unchanged();
    bench.acknowledge("2");
    assert_eq!(bench.limiter.slots_held(bench.now), [0]);
    assert_eq!(bench.permits(), [], "the bucket is empty");
}

#[test]
fn a_damaged_lease_is_replaced_by_a_table_in_doubt() {
    let mut bench = Bench::new(&Budget::new(5.0, 0, 1));
    let reason = Record::from_annotations(&std::collections::BTreeMap::new()).unwrap_err();
    bench.step(Event::Read(Read::Unreadable {
        reason,
        version: "7".into(),
    }));
    let (_, record, version) = bench.written();
    assert_eq!(version.as_deref(), Some("7"));
    assert!(record.slots.iter().all(|row| row.in_doubt));
}

#[test]
fn a_newer_format_stops_the_sending_and_is_never_written_over() {
    let mut bench = Bench::holding(&Budget::new(5.0, 0, 1));
    let permit = bench.permits()[0];
    let reason = Unreadable::Newer { found: 2 };
    bench.step(Event::Read(Read::Unreadable {
        reason: reason.clone(),
        version: "9".into(),
    }));
    assert_eq!(
        bench.limiter.blocked(bench.now),
        Some(Blocked::LeaseUnreadable(reason.clone()))
    );
    bench.step(Event::Answered {
        permit,
        throttle: None,
    });
    for _ in 0..30 {
        bench.pass(SECOND);
        assert_eq!(bench.permits(), []);
        assert!(
            !bench
                .actions
                .iter()
                .any(|action| matches!(action, Action::Write { .. }))
        );
        if bench.actions.contains(&Action::Read) {
            bench.step(Event::Read(Read::Unreadable {
                reason: reason.clone(),
                version: "9".into(),
            }));
        }
    }
}

#[test]
fn a_table_made_anew_ends_the_renewal_of_what_was_held() {
    let budget = Budget::new(5.0, 0, 1);
    let mut bench = Bench::holding(&budget);
    let permit = bench.permits()[0];
    bench.found(
        &Record::new("another".into(), budget, Source::Given, Durations::default()),
        "9",
    );
    bench.pass(SECOND);
    assert_eq!(bench.permits(), []);
    bench.step(Event::Answered {
        permit,
        throttle: None,
    });
    assert!(bench.limiter.slots_held(bench.now).is_empty());
}

#[test]
fn a_throttle_stops_this_process_at_once_and_is_told_to_the_others() {
    let budget = Budget::new(60.0, 10, 20);
    let mut bench = Bench::new(&budget);
    let mut record = free_table(&budget);
    record.slots[2] = Row {
        holder: Some(holder("other")),
        stamp: 5,
        epoch: 1,
        turn: 1,
        ..Row::default()
    };
    bench.found(&record, "1");
    bench.acknowledge("2");
    let permit = bench.permits()[0];
    let throttle = Some(Throttle {
        retry_after: Some(30 * SECOND),
    });
    bench.step(Event::Answered { permit, throttle });
    assert_eq!(bench.permits(), []);
    let (_, record, _) = bench.written();
    assert_eq!(record.pause.unwrap().remaining, 30 * SECOND);
    assert_eq!(
        bench.limiter.blocked(bench.now),
        Some(Blocked::Paused {
            until: bench.now + 30 * SECOND,
            cause: None,
        })
    );
}

#[test]
fn a_lowered_budget_binds_before_it_is_written() {
    let mut bench = Bench::holding(&Budget::new(60.0, 10, 20));
    assert!(bench.limiter.rate(bench.now) > 50.0);
    bench.step(Event::Configured {
        budget: Budget::new(6.0, 10, 20),
        source: Source::Given,
    });
    assert!(bench.limiter.rate(bench.now) < 6.0);
    let (_, record, _) = bench.written();
    assert_eq!((record.budget.requests_per_second, record.epoch), (6.0, 2));
}

#[test]
fn a_raised_budget_is_used_only_once_it_is_written() {
    let mut bench = Bench::holding(&Budget::new(6.0, 0, 1));
    bench.step(Event::Configured {
        budget: Budget::new(12.0, 0, 1),
        source: Source::Given,
    });
    assert!(bench.limiter.rate(bench.now) < 6.0);
    bench.acknowledge("3");
    assert!(bench.limiter.rate(bench.now) > 11.0);
}

#[test]
fn a_budget_that_changes_while_the_old_one_is_being_written_is_written_next() {
    let configured = |rate| Event::Configured {
        budget: Budget::new(rate, 0, 1),
        source: Source::Given,
    };
    // To another one, or back to what the Lease says while the write is under way.
    for last in [4.0, 6.0] {
        for is_known in [true, false] {
            let mut bench = Bench::holding(&Budget::new(6.0, 0, 1));
            bench.step(configured(5.0));
            let (id, written, _) = bench.written();
            assert_eq!(written.budget.requests_per_second, 5.0);
            bench.step(configured(last));
            if is_known {
                bench.outcome(id, WriteOutcome::Acknowledged { version: "3".into() });
            } else {
                bench.outcome(id, WriteOutcome::Unknown);
                bench.found(&written, "3");
            }
            let (_, record, _) = bench.written();
            assert_eq!(record.budget.requests_per_second, last, "known: {is_known}");
        }
    }
}

#[test]
fn the_same_configuration_told_again_overrules_nobody() {
    let budget = Budget::new(6.0, 0, 1);
    let mut bench = Bench::holding(&budget);
    let mut record = bench.limiter.record().unwrap().clone();
    (record.budget, record.revision, record.epoch) = (Budget::new(3.0, 0, 1), record.revision + 1, 2);
    bench.found(&record, "3");
    bench.step(Event::Configured {
        budget,
        source: Source::Given,
    });
    assert!(
        !bench
            .actions
            .iter()
            .any(|action| matches!(action, Action::Write { .. }))
    );
    assert!(bench.limiter.rate(bench.now) < 3.0);
}

#[test]
fn who_finds_no_free_slot_lists_itself_once_and_then_only_reads() {
    let budget = Budget::new(5.0, 0, 1);
    let mut bench = Bench::new(&budget);
    let mut record = free_table(&budget);
    record.slots[0] = Row {
        holder: Some(holder("other")),
        stamp: 5,
        epoch: 1,
        turn: 1,
        ..Row::default()
    };
    record.waiting.push(Waiter {
        holder: holder("first"),
        ..Waiter::default()
    });
    bench.found(&record, "1");
    bench.acknowledge("2");
    assert_eq!(bench.limiter.waiting_position(), Some(1));
    for stamp in 6..30 {
        bench.pass(SECOND);
        assert_eq!(bench.actions.first(), Some(&Action::Read));
        let mut record = bench.limiter.record().unwrap().clone();
        record.slots[0].stamp = stamp;
        record.revision += 1;
        bench.found(&record, "later");
        assert!(
            !bench
                .actions
                .iter()
                .any(|action| matches!(action, Action::Write { .. }))
        );
    }
}

#[test]
fn an_answer_older_than_what_is_known_changes_nothing() {
    let budget = Budget::new(5.0, 0, 1);
    let mut bench = Bench::holding(&budget);
    bench.found(&free_table(&budget), "1");
    assert_eq!(bench.limiter.slots_held(bench.now), [0]);
}

#[test]
fn a_holder_is_alive_for_the_takeover_time_and_a_predecessor_not_at_all() {
    let budget = Budget::new(60.0, 10, 20);
    let mut bench = Bench::new(&budget);
    let mut record = free_table(&budget);
    record.slots[0].holder = Some(holder("other"));
    record.slots[1].holder = Some(Holder {
        process: "before".into(),
        ..holder("me")
    });
    bench.found(&record, "1");
    let takeover = Durations::default().takeover;
    let alive: Vec<(Holder, Moment)> = bench
        .limiter
        .live_holders(bench.now)
        .map(|(holder, until)| (holder.clone(), until))
        .collect();
    assert_eq!(alive, [(holder("other"), bench.now + takeover)]);
    bench.pass(takeover);
    assert_eq!(bench.limiter.live_holders(bench.now).count(), 0);
}

#[test]
fn slots_are_idle_after_a_while_without_work_but_not_during_an_errand() {
    let is_given_up = |bench: &Bench| bench.actions.contains(&Action::CloseConnections);
    let idle = Durations::default().idle;
    let mut bench = Bench::holding(&Budget::new(5.0, 0, 1));
    let permit = bench.permits()[0];
    bench.step(Event::Demand(0));
    bench.step(Event::Answered {
        permit,
        throttle: None,
    });
    bench.step(Event::Busy(true));
    bench.pass(2 * idle);
    assert!(!is_given_up(&bench) && !bench.limiter.slots_held(bench.now).is_empty());
    bench.step(Event::Busy(false));
    assert!(!is_given_up(&bench));
    bench.pass(idle);
    assert!(is_given_up(&bench));
}
